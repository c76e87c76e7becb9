//! What many tokens have in common, kept once: of ten thousand tokens most name the same audiences, scopes, methods and key.

use std::cell::RefCell;
use std::sync::Arc;

use crate::assurance::{Assurance, Fact, List, Method};
use crate::jwks::IssuerKeys;
use crate::token::KeyId;

/// Under what a token was verified.
pub(super) struct Signed {
    /// The issuer's [`crate::assurance::Issuer::fingerprint`] when the token was mapped.
    pub(super) fingerprint: u64,
    /// Where the key that signed it lives.
    pub(super) keys: Arc<IssuerKeys>,
    pub(super) key: KeyId,
}

impl PartialEq for Signed {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.fingerprint == other.fingerprint && Arc::ptr_eq(&self.keys, &other.keys)
    }
}

/// The values of one sort that this thread saw last.
struct Last<T> {
    values: Vec<T>,
    next: usize,
}

/// How many are kept of each sort.
const KEPT: usize = 8;

impl<T: Clone + PartialEq> Last<T> {
    const fn new() -> Self {
        Self { values: Vec::new(), next: 0 }
    }

    /// Puts the value that was seen before in place of an equal one. Says whether there was one.
    fn share(&mut self, value: &mut T) -> bool {
        if let Some(known) = self.values.iter().find(|known| *known == value) {
            *value = known.clone();
            return true;
        }
        match self.values.get_mut(self.next) {
            Some(place) => *place = value.clone(),
            None => self.values.push(value.clone()),
        }
        self.next = self.next.saturating_add(1).checked_rem(KEPT).unwrap_or_default();
        false
    }
}

struct Shared {
    texts: Last<List<Box<str>>>,
    scopes: Last<List<Box<str>>>,
    methods: Last<List<Method>>,
    clients: Last<Arc<str>>,
    signed: Last<Arc<Signed>>,
}

thread_local! {
    static SHARED_HERE: RefCell<Shared> = const {
        RefCell::new(Shared {
            texts: Last::new(),
            scopes: Last::new(),
            methods: Last::new(),
            clients: Last::new(),
            signed: Last::new(),
        })
    };
}

/// Which parts of an assurance other tokens hold too, so that they cost this one nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) acr: bool,
    pub(super) amr: bool,
    pub(super) scopes: bool,
    pub(super) audiences: bool,
    pub(super) client: bool,
}

/// Takes from other tokens what they have in common with this one.
pub(super) fn share(mut assurance: Assurance, signed: Signed) -> (Assurance, Arc<Signed>, Held) {
    SHARED_HERE.with_borrow_mut(|shared| {
        let mut held = Held::default();
        if let Fact::Known(acr) = &mut assurance.evidence.acr {
            held.acr = shared.texts.share(acr);
        }
        if let Fact::Known(amr) = &mut assurance.evidence.amr {
            held.amr = shared.methods.share(amr);
        }
        if let Some(client) = &mut assurance.client {
            held.client = shared.clients.share(client);
        }
        held.scopes = shared.scopes.share(&mut assurance.scopes);
        held.audiences = shared.texts.share(&mut assurance.audiences);
        let mut signed = Arc::new(signed);
        shared.signed.share(&mut signed);
        (assurance, signed, held)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_become_one_and_others_stay_apart() {
        let mut last: Last<Arc<str>> = Last::new();
        let (first, mut same, mut other): (Arc<str>, _, _) = (Arc::from("a"), Arc::from("a"), Arc::from("b"));
        assert!(!last.share(&mut Arc::clone(&first)));
        assert!(last.share(&mut same) && Arc::ptr_eq(&first, &same));
        assert!(!last.share(&mut other) && &*other == "b");
        for n in 0..KEPT {
            assert!(!last.share(&mut Arc::from(format!("c{n}"))), "{n}");
        }
        assert!(!last.share(&mut Arc::from("a")), "only so many are kept");
        assert_eq!(last.values.len(), KEPT);
    }
}
