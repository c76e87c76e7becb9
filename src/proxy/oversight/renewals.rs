//! What later requests brought for sessions of which streams are open. One table for all workers, since the later request may
//! be another's; only streams put sessions into it, so there are never more of them.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

use crate::assurance::Assurance;
use crate::policy::{Policy, TokenSource};
use crate::token::{Credential, Timestamp};

/// Names a session: a keyed hash of issuer, subject and `sid`. Whoever uses what is found under it compares those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::proxy) struct Session(u64);

/// A token, with where it stood.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) credential: Credential,
    pub(super) source: TokenSource,
}

/// The tokens of one request, the one that calls first.
pub(super) type AllShown = SmallVec<[Shown; 1]>;

/// What the latest request of a session brought.
#[derive(Clone, Debug)]
pub(super) struct Later {
    pub(super) shown: AllShown,
    /// Whose it is.
    iss: Box<str>,
    caller: Arc<Assurance>,
    /// When the first of its tokens expires.
    pub(super) expires: Timestamp,
}

/// The sessions of open streams.
#[derive(Debug)]
pub(in crate::proxy) struct Renewals {
    hasher: RandomState,
    /// How many sessions there are, so that nobody else need lock anything.
    open: AtomicUsize,
    sessions: Mutex<HashMap<Session, Awaited>>,
}

#[derive(Debug, Default)]
struct Awaited {
    streams: usize,
    later: Option<Box<Later>>,
}

/// The most sessions of which streams can be renewed at once. Others end when their token does.
const MOST: usize = 1 << 16;

impl Later {
    /// Whether it is of the very session that another token is of.
    pub(super) fn is_of(&self, iss: &str, other: &Assurance) -> bool {
        let caller = &*self.caller;
        *self.iss == *iss && names(caller).is_some() && names(caller) == names(other)
    }
}

/// Subject and session of a token that has both.
fn names(token: &Assurance) -> Option<(&str, &str)> {
    let (subject, session) = (token.subject.as_deref()?, token.session.as_deref()?);
    (!subject.is_empty() && !session.is_empty()).then_some((subject, session))
}

impl Renewals {
    pub(in crate::proxy) fn new() -> Self {
        Self { hasher: RandomState::new(), open: AtomicUsize::new(0), sessions: Mutex::default() }
    }

    /// The session of a token; `None`: it is of none.
    pub(super) fn session(&self, policy: &Policy, token: &Assurance) -> Option<Session> {
        let issuer = policy.issuer(token.issuer)?;
        let (subject, session) = names(token)?;
        Some(Session(self.hasher.hash_one((&*issuer.expectation.issuer, subject, session))))
    }

    /// A stream of this session begins. Whether it can be renewed.
    pub(super) fn await_later(&self, session: Session) -> bool {
        let mut sessions = self.lock();
        if sessions.len() >= MOST && !sessions.contains_key(&session) {
            return false;
        }
        let awaited = sessions.entry(session).or_default();
        awaited.streams = awaited.streams.saturating_add(1);
        self.open.store(sessions.len(), Ordering::Relaxed);
        true
    }

    /// It is over.
    pub(super) fn await_no_more(&self, session: Session) {
        let mut sessions = self.lock();
        if let Some(awaited) = sessions.get_mut(&session) {
            awaited.streams = awaited.streams.saturating_sub(1);
            if awaited.streams == 0 {
                sessions.remove(&session);
            }
        }
        self.open.store(sessions.len(), Ordering::Relaxed);
    }

    /// What was brought for a session.
    pub(super) fn later(&self, session: Session) -> Option<Box<Later>> {
        self.lock().get(&session).and_then(|awaited| awaited.later.clone())
    }

    /// A request was let in with these tokens, of which the first calls.
    pub(in crate::proxy) fn note<'t>(
        &self,
        policy: &Policy,
        tokens: impl Iterator<Item = (&'t Credential, &'t TokenSource, &'t Arc<Assurance>)> + Clone,
    ) {
        if self.open.load(Ordering::Relaxed) == 0 {
            return;
        }
        let Some((_, _, caller)) = tokens.clone().next() else { return };
        let Some(session) = self.session(policy, caller) else { return };
        let Some(expires) = tokens.clone().map(|(_, _, token)| token.expires).min() else { return };
        let mut sessions = self.lock();
        let Some(awaited) = sessions.get_mut(&session) else { return };
        if awaited.later.as_ref().is_some_and(|later| later.expires >= expires) {
            return;
        }
        let Some(issuer) = policy.issuer(caller.issuer) else { return };
        let shown =
            tokens.map(|(credential, source, _)| Shown { credential: credential.clone(), source: source.clone() });
        awaited.later = Some(Box::new(Later {
            shown: shown.collect(),
            iss: issuer.expectation.issuer.clone(),
            caller: Arc::clone(caller),
            expires,
        }));
    }

    /// No lock here is held across an await or a panic, so a poisoned one is still whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<Session, Awaited>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::TokenKind;

    fn of(subject: Option<&str>, session: Option<&str>) -> Assurance {
        let (subject, session) = (subject.map(Box::from), session.map(Box::from));
        Assurance { subject, session, ..Assurance::bare(TokenKind::Access) }
    }

    #[test]
    fn what_falls_together_is_told_apart_by_its_names() {
        let later = |subject, session| Later {
            shown: AllShown::new(),
            iss: "https://a.example".into(),
            caller: Arc::new(of(subject, session)),
            expires: Timestamp::from_seconds(1),
        };
        let (ann, one) = (Some("ann"), Some("one"));
        let mine = of(ann, one);
        assert!(later(ann, one).is_of("https://a.example", &mine));
        assert!(!later(ann, one).is_of("https://b.example", &mine));
        assert!(!later(Some("bob"), one).is_of("https://a.example", &mine));
        assert!(!later(ann, Some("two")).is_of("https://a.example", &mine));
        for (subject, session) in [(None, None), (ann, None), (None, one), (ann, Some("")), (Some(""), one)] {
            assert!(!later(subject, session).is_of("https://a.example", &of(subject, session)), "absent is not equal");
        }
    }

    #[test]
    fn sessions_are_kept_while_streams_of_them_are_open_and_never_more_than_so_many() {
        let renewals = Renewals::new();
        let (one, two) = (Session(1), Session(2));
        assert!(renewals.await_later(one) && renewals.await_later(one) && renewals.await_later(two));
        renewals.await_no_more(one);
        assert_eq!(renewals.open.load(Ordering::Relaxed), 2);
        renewals.await_no_more(one);
        renewals.await_no_more(two);
        assert_eq!((renewals.open.load(Ordering::Relaxed), renewals.lock().len()), (0, 0));
        for number in 0..u64::try_from(MOST).unwrap() {
            assert!(renewals.await_later(Session(number)));
        }
        assert!(!renewals.await_later(Session(u64::MAX)), "there is no room for another");
        assert!(renewals.await_later(Session(0)), "of one that is there already, another stream may begin");
    }
}
