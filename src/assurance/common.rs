//! What many tokens say alike: made once by each thread, and given to each that says it.
//!
//! Called by the mapping of a token that is believed. What is given is equal to what would have been made.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use crate::assurance::evidence::Method;
use crate::assurance::list::List;
use crate::assurance::mapping::Values;
use crate::assurance::methods::MethodTable;
use crate::token::lately::{Lately, Texts, is_little, texts};

thread_local! {
    static ACRS_HERE: RefCell<Lately<Texts>> = const { RefCell::new(Lately::new()) };
    static SCOPES_HERE: RefCell<Lately<Texts>> = const { RefCell::new(Lately::new()) };
    static METHODS_HERE: RefCell<Lately<List<Method>>> = const { RefCell::new(Lately::new()) };
    static CLIENTS_HERE: RefCell<Lately<Arc<str>>> = const { RefCell::new(Lately::new()) };
}

/// `acr` values.
pub(in crate::assurance) fn acr(values: &Values<'_>) -> List<Box<str>> {
    texts(&ACRS_HERE, values).into()
}

/// Scopes.
pub(in crate::assurance) fn scopes(values: &Values<'_>) -> List<Box<str>> {
    texts(&SCOPES_HERE, values).into()
}

/// The name of a client.
pub(in crate::assurance) fn client(name: &str) -> Arc<str> {
    if !is_little(&[name]) {
        return Arc::from(name);
    }
    CLIENTS_HERE.with_borrow_mut(|lately| lately.get(|known| **known == *name, || Arc::from(name)))
}

/// `amr` values with what each is worth by an issuer's table, and whether the issuer's policy ignores it.
pub(in crate::assurance) fn methods(values: &Values<'_>, table: &MethodTable, ignored: &[Box<str>]) -> List<Method> {
    let worth = |value: &str| (table.get(value).unwrap_or_default(), ignored.iter().any(|ignored| **ignored == *value));
    let method = |value: &Cow<'_, str>| {
        let (class, ignored) = worth(value);
        Method { value: (**value).into(), class, ignored }
    };
    let make = || values.iter().map(method).collect();
    if !is_little(values) {
        return make();
    }
    // The same values may be worth something else at another issuer.
    let same = |known: &List<Method>| {
        known.len() == values.len()
            && known
                .iter()
                .zip(values)
                .all(|(known, value)| *known.value == **value && (known.class, known.ignored) == worth(value))
    };
    METHODS_HERE.with_borrow_mut(|lately| lately.get(same, make))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_amr_value_is_worth_is_each_issuers_own_affair_also_where_the_values_are_the_same() {
        let values: Values<'_> = ["pwd", "otp"].into_iter().map(Cow::Borrowed).collect();
        let (rfc, none) = (MethodTable::rfc8176(), MethodTable::default());
        let ignored: Box<[Box<str>]> = ["otp".into()].into();
        for _ in 0..2 {
            for (table, ignored) in [(&rfc, &[][..]), (&none, &[]), (&rfc, &ignored), (&none, &ignored)] {
                let made = methods(&values, table, ignored);
                assert_eq!(made.iter().map(|method| &*method.value).collect::<Vec<_>>(), ["pwd", "otp"]);
                for method in &made {
                    assert_eq!(method.class, table.get(&method.value).unwrap_or_default());
                    assert_eq!(method.ignored, ignored.contains(&method.value));
                }
            }
        }
        let many: Values<'_> = (0..100).map(|number| Cow::Owned(number.to_string())).collect();
        assert_eq!(methods(&many, &rfc, &[]).len(), 100);
    }

    #[test]
    fn a_client_has_its_own_name() {
        for name in ["a", "b", "a", &"x".repeat(1000)] {
            assert_eq!(*client(name), *name);
        }
        assert!(Arc::ptr_eq(&client("a"), &client("a")));
    }
}
