//! How evidence came out of a token's claims, step by step, and how an issuer would have to write other evidence.
//!
//! For people: what was found, what stood in for it, what was renamed. The result is always that of the mapping itself.

use std::borrow::Cow;

use crate::assurance::evidence::Fact;
use crate::assurance::expression::{Ignored, View};
use crate::assurance::issuer::{Assurance, Issuer};
use crate::assurance::mapping::{Accept, ValueMapping, owned};
use crate::assurance::methods::Classes;
use crate::token::{ClaimPath, Json};

/// How one evidence claim was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Retraced<'m> {
    /// Whether the issuer is believed about it. If not, nothing was looked at.
    pub trusted: bool,
    /// The claims that were looked at, in this order, up to the one that was taken.
    pub looked: Vec<Looked<'m>>,
    /// What stands in for the claim, since the token has none (`absent`).
    pub stand_in: Option<&'m [Box<str>]>,
    /// The values that were renamed, each with what it was renamed to.
    pub renamed: Vec<(Box<str>, Box<str>)>,
    /// What came of it.
    pub fact: Fact<Vec<Box<str>>>,
}

/// One claim that was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Looked<'m> {
    /// Its name or pointer.
    pub path: &'m ClaimPath,
    /// What the token has there; `null` and an empty list count as nothing.
    pub found: Option<&'m Json>,
}

impl ValueMapping {
    /// Reads the claim as [`Self::values`] does, and tells how.
    #[must_use]
    pub fn retrace<'m>(&'m self, claims: &'m Json, user: bool) -> Retraced<'m> {
        let fact = self.values(claims, user).map(|values| owned(&values));
        let mut looked = Vec::new();
        for path in self.from.iter().filter(|_| self.trusted) {
            let found = path.find(claims);
            looked.push(Looked { path, found });
            if found.is_some_and(|value| !value.is_absent()) {
                break;
            }
        }
        let taken = looked.last().and_then(|last| last.found).filter(|value| !value.is_absent());
        let stand_in = self.absent.as_deref().filter(|_| self.trusted && taken.is_none() && user);
        let stated = match taken {
            Some(value) => self.accept.read(value).unwrap_or_default(),
            None => stand_in.unwrap_or_default().iter().map(|value| Cow::Borrowed(&**value)).collect(),
        };
        let renamed =
            stated.iter().filter_map(|value| self.rename.get(&**value).map(|to| ((**value).into(), to.clone())));
        Retraced { trusted: self.trusted, renamed: renamed.collect(), looked, stand_in, fact }
    }

    /// A claim with which this issuer would say exactly these values of the policy's; `None`: no claim of it says them.
    #[must_use]
    pub fn written(&self, ours: &[&str]) -> Option<(&ClaimPath, Json)> {
        let path = self.from.first().filter(|_| self.trusted)?;
        let theirs: Vec<Box<str>> =
            ours.iter().map(|value| self.theirs(value).into_iter().next()).collect::<Option<_>>()?;
        let array = || Json::Array(theirs.iter().map(|value| (&**value).into()).collect());
        let one = || match theirs.as_slice() {
            [one] => Some(one),
            _ => None,
        };
        let Accept { string, array: lists, number, space_separated } = self.accept;
        let shapes = [
            one().filter(|_| string).map(|value| (&**value).into()),
            lists.then(array),
            one().filter(|_| number).and_then(|value| value.parse::<u64>().ok()).map(|n| Json::Number(n.into())),
            space_separated.then(|| Json::String(theirs.join(" ").into())),
        ];
        // What would be read otherwise says something else.
        let says = |shape: &Json| {
            let read = self.accept.read(shape).unwrap_or_default();
            read.iter().map(|value| self.renamed(value)).eq(ours.iter().copied())
        };
        shapes.into_iter().flatten().find(says).map(|shape| (path, shape))
    }
}

impl Accept {
    /// The JSON shapes that are taken, in words.
    #[must_use]
    pub fn shapes(self) -> String {
        let all = [
            (self.string, "a string"),
            (self.array, "a list of strings"),
            (self.number, "a whole number"),
            (self.space_separated, "a string with spaces between"),
        ];
        let taken: Vec<&str> = all.into_iter().filter(|(taken, _)| *taken).map(|(_, words)| words).collect();
        taken.join(" or ")
    }
}

/// The factor classes that a token's `amr` certainly, and possibly, counts for where these values are ignored; `None` where it
/// has no readable `amr`.
#[must_use]
pub fn classes_counted(token: &Assurance, ignored: &[Box<str>]) -> Option<(Classes, Classes)> {
    let ignored = Ignored { values: ignored, outer: None };
    let view = View { evidence: &token.evidence, claims: &token.claims, ignored: Some(&ignored) };
    token.evidence.amr.known().map(|methods| view.classes(methods))
}

impl Issuer {
    /// A claim that says when the user signed in; `None`: none is read.
    #[must_use]
    pub fn auth_time_claim(&self) -> Option<&ClaimPath> {
        self.mapping.auth_time.first()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn mapping(
        from: &[&str],
        accept: Accept,
        absent: Option<&[&str]>,
        rename: &[(&str, &str)],
        trusted: bool,
    ) -> ValueMapping {
        ValueMapping {
            trusted,
            from: from.iter().map(|path| ClaimPath::parse(path).unwrap()).collect(),
            accept,
            absent: absent.map(|values| values.iter().map(|value| Box::from(*value)).collect()),
            rename: rename.iter().map(|(a, b)| (Box::from(*a), Box::from(*b))).collect::<BTreeMap<_, _>>(),
        }
    }

    const LIST: Accept = Accept { string: false, array: true, number: false, space_separated: false };

    #[test]
    fn each_step_is_told_up_to_the_claim_that_is_taken() {
        let claims = Json::parse(r#"{"a":null,"b":["x","y"],"c":["z"]}"#).unwrap();
        let mapping = mapping(&["none", "a", "b", "c"], LIST, Some(&["pwd"]), &[("x", "otp")], true);
        let told = mapping.retrace(&claims, true);
        let looked: Vec<(&str, bool)> =
            told.looked.iter().map(|one| (one.path.as_written(), one.found.is_some())).collect();
        assert_eq!(looked, [("none", false), ("a", true), ("b", true)]);
        assert_eq!((told.stand_in, told.renamed), (None, vec![("x".into(), "otp".into())]));
        assert_eq!(told.fact, Fact::Known(vec!["otp".into(), "y".into()]));
    }

    #[test]
    fn what_stands_in_is_told_for_a_user_alone_and_nothing_of_what_is_not_trusted() {
        let claims = Json::parse("{}").unwrap();
        let stands_in = mapping(&["amr"], LIST, Some(&["pwd"]), &[], true);
        assert_eq!(stands_in.retrace(&claims, true).stand_in.map(<[_]>::len), Some(1));
        assert_eq!(stands_in.retrace(&claims, false).stand_in, None);
        let distrusted = mapping(&["amr"], LIST, Some(&["pwd"]), &[], false);
        let distrusted = distrusted.retrace(&claims, true);
        assert!(!distrusted.trusted && distrusted.looked.is_empty() && distrusted.stand_in.is_none());
    }

    fn mappings() -> impl Strategy<Value = ValueMapping> {
        let accept = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(string, array, n, s)| {
            Accept { string: string || !(array || n || s), array, number: n, space_separated: s }
        });
        let from = prop::sample::subsequence(vec!["a", "/b/c", "d"], 0..3);
        let absent = prop::option::of(Just(&["pwd"][..]));
        let rename = prop::sample::subsequence(vec![("x", "y"), ("y", "z"), ("7", "x"), ("pwd", "p")], 0..4);
        (from, accept, absent, rename, prop::bool::weighted(0.9))
            .prop_map(|(from, accept, absent, rename, trusted)| mapping(&from, accept, absent, &rename, trusted))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_what_was_meant(
            mapping in mappings(),
            ours in prop::collection::vec(prop::sample::select(vec!["x", "y", "z", "7", "p", "a b"]), 1..3),
        ) {
            if let Some((path, claim)) = mapping.written(&ours) {
                let name = path.as_written();
                let claims = match name.strip_prefix("/b/") {
                    Some(inner) => Json::object([("b".into(), Json::object([(inner.into(), claim)]))]),
                    None => Json::object([(name.into(), claim)]),
                };
                let meant: Vec<Box<str>> = ours.iter().map(|value| Box::from(*value)).collect();
                prop_assert_eq!(mapping.values(&claims, true).map(|values| owned(&values)), Fact::Known(meant));
            }
        }

        #[test]
        fn what_is_told_has_the_mappings_own_result(
            mapping in mappings(),
            claims in prop::sample::select(vec![
                "{}", r#"{"a":"x"}"#, r#"{"a":["x","y"]}"#, r#"{"a":[],"b":{"c":7}}"#, r#"{"b":{"c":"x y"},"d":"z"}"#, r#"{"d":{}}"#,
            ]),
            user in any::<bool>(),
        ) {
            let claims = Json::parse(claims).unwrap();
            let told = mapping.retrace(&claims, user);
            prop_assert_eq!(&told.fact, &mapping.values(&claims, user).map(|values| owned(&values)));
            let taken = told.looked.last().and_then(|last| last.found).is_some_and(|value| !value.is_absent());
            prop_assert!(!(taken && told.stand_in.is_some()));
            if let Fact::Known(values) = &told.fact {
                prop_assert!(told.renamed.iter().all(|(_, to)| values.contains(to)));
                prop_assert!(taken || told.stand_in.is_some());
            }
        }
    }
}
