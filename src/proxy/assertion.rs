//! What upstreams are told of the caller in the place of fields and token: one short-lived JWT, signed by us.
//!
//! It says what the fields would (see `identity`), and what an application would else have read in the token: its scopes, its
//! issuer. It is meant for one upstream, and counts no longer than the token does.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use http::header::HeaderName;
use serde_json::{Map, Value};

use crate::assertion::{Keyring, KeysInForce};
use crate::assurance::Caller;
use crate::proxy::identity::{Facts, KNOWN, Known, Written, place};
use crate::token::Timestamp;

/// An assertion, with what else it follows from.
struct Signed {
    known: Known,
    keys: Arc<KeysInForce>,
    upstream: Box<str>,
    /// Until when it is told again.
    until: Timestamp,
}

thread_local! {
    static KNOWN_HERE: RefCell<Vec<Option<Signed>>> = const { RefCell::new(Vec::new()) };
}

/// What is asserted, and to whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asserted<'a> {
    pub(super) facts: Facts<'a>,
    pub(super) upstream: &'a str,
    pub(super) now: Timestamp,
}

impl Asserted<'_> {
    /// The field that tells it. One that was signed for the same is told again for half of its life. `None`: it can't be
    /// signed.
    pub(super) fn signed(&self, keyring: &Keyring) -> Option<Rc<Written>> {
        let keys = keyring.current();
        KNOWN_HERE.with_borrow_mut(|all| {
            if all.is_empty() {
                all.resize_with(KNOWN, || None);
            }
            let slot = all.get_mut(place(self.facts.caller))?;
            if let Some(signed) = slot
                && self.now < signed.until
                // What is held can't be another by the same address.
                && Arc::ptr_eq(&signed.keys, &keys)
                && *signed.upstream == *self.upstream
                && let Some(identity) = signed.known.again(&self.facts)
            {
                return Some(identity);
            }
            let expires = self.expires(keyring);
            let jwt = keys.sign(&self.claims(keyring, expires)?)?;
            let identity = Rc::new(Written::one(&ASSERTION, &HeaderValue::try_from(jwt).ok()?));
            let half = self.now.plus_seconds(keyring.seconds() / 2);
            *slot = Some(Signed {
                known: Known::new(self.facts, &identity),
                keys,
                upstream: self.upstream.into(),
                // Of a token that ended within the leeway, another would say no more.
                until: if expires > self.now { half.min(expires) } else { half },
            });
            Some(identity)
        })
    }

    /// When it ends: in time, and never after the tokens that it stands for.
    fn expires(&self, keyring: &Keyring) -> Timestamp {
        let Facts { caller, witness, .. } = self.facts;
        self.now.plus_seconds(keyring.seconds()).min(caller.expires).min(witness.expires)
    }

    fn claims(&self, keyring: &Keyring, expires: Timestamp) -> Option<Value> {
        let Self { facts: Facts { policy, permit, caller, witness }, upstream, now } = *self;
        let mut id = [0; 16];
        getrandom::fill(&mut id).ok()?;
        let mut claims = Map::new();
        let mut say = |name: &str, value: Value| {
            claims.insert(name.to_owned(), value);
        };
        say("iss", keyring.issuer().into());
        say("aud", upstream.into());
        say("iat", now.seconds().into());
        say("exp", expires.seconds().into());
        say("jti", URL_SAFE_NO_PAD.encode(id).into());
        // What is not known is not told.
        if let Some(subject) = &caller.subject {
            say("sub", (&**subject).into());
        }
        if let Some(client) = &caller.client {
            say("client_id", (&**client).into());
        }
        say("caller", if caller.caller == Caller::Client { "client" } else { "user" }.into());
        if let Some(issuer) = policy.issuer(caller.issuer) {
            say("issuer", (&*issuer.name).into());
            say("token_iss", (&*issuer.expectation.issuer).into());
        }
        say("levels", permit.levels().iter().map(|rung| policy.ladders().name(*rung)).collect());
        let evidence = &witness.evidence;
        match evidence.acr.known().map(|values| values.iter().map(|value| &**value).collect::<Vec<&str>>()).as_deref() {
            None | Some([]) => {}
            Some([only]) => say("acr", (*only).into()),
            Some(several) => say("acr", several.into()),
        }
        if let Some(methods) = evidence.amr.known() {
            // A value that counts for nothing here is not to count there.
            let counts = methods.iter().filter(|method| !method.ignored && !permit.ignores(&method.value));
            say("amr", counts.map(|method| &*method.value).collect());
        }
        if let Some(at) = evidence.auth_time.known() {
            say("auth_time", at.seconds().into());
        }
        let scopes: Vec<&str> = caller.scopes.iter().map(|scope| &**scope).collect();
        if !scopes.is_empty() {
            say("scope", scopes.join(" ").into());
        }
        if let Some(session) = &caller.session {
            say("sid", (&**session).into());
        }
        Some(Value::Object(claims))
    }
}

static ASSERTION: HeaderName = HeaderName::from_static("x-stepgate-assertion");
