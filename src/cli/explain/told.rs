//! All that there is to tell of one request.

use std::sync::Arc;

use crate::policy::{Asking, Denial, Mend, Reckoned};
use crate::proxy::Preview;
use crate::reason::{NewSignIn, Reason};
use crate::token::{Check, Credential, Json, KeySet, Rejection, Timestamp, TokenKind};

/// A token that the request would bring.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// Where it was read from.
    pub(super) name: String,
    pub(super) what: What,
}

/// A token, or claims that nobody signed.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// A token, or why it is too long to be looked at.
    Token(Result<Credential, Rejection>),
    Claims {
        claims: Json,
        typ: Option<Box<str>>,
    },
}

/// The keys of one issuer, and where they were read; or why there are none.
#[derive(Clone, Debug)]
pub(super) enum Keys {
    Read {
        set: Arc<KeySet>,
        from: String,
    },
    /// Nobody here has any: the signature is not checked.
    None(String),
    /// The gate that is asked has none either: it can't decide.
    Lacking(String),
}

/// The running gate by whose policy and keys it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GateTold {
    /// Its admin listener.
    pub(super) url: String,
    pub(super) version: String,
}

/// What came of a request, and how.
#[derive(Clone, Debug)]
pub(super) struct Explained {
    pub(super) request: String,
    pub(super) now: Timestamp,
    pub(super) gate: Option<GateTold>,
    /// The policy's hash.
    pub(super) policy: Box<str>,
    /// Host and path as they are compared.
    pub(super) canonical: Option<(String, String)>,
    pub(super) route: Option<Named>,
    /// The routes that match too, and those that nearly do.
    pub(super) passed_over: Vec<Named>,
    pub(super) nearly: Vec<Named>,
    pub(super) floors: Vec<Named>,
    /// Where the route looks for tokens.
    pub(super) takes: Vec<String>,
    /// The posted form, where it was read, by where it is from.
    pub(super) form: Option<Named>,
    /// What was given and nobody looks at, with why not.
    pub(super) unread: Vec<Named>,
    pub(super) tokens: Vec<TokenTold>,
    /// Whether two tokens belong together.
    pub(super) pair: Option<(bool, String)>,
    pub(super) reckoned: Vec<ReckonedTold>,
    /// What is asked, where no token came so far as to be judged by it.
    pub(super) asks: Vec<Asking>,
    /// Refused for this; `None`: it is forwarded.
    pub(super) denial: Option<Denial>,
    /// What it would be refused for, did the route enforce what it asks (`mode`).
    pub(super) would_deny: Option<Denial>,
    /// The exceptions from a route that refuses, and what came of each.
    pub(super) exceptions: Vec<Named>,
    /// The one by which it is forwarded, if it is by one.
    pub(super) exception: Option<String>,
    /// What is kept of the sign-in, where its route keeps any.
    pub(super) keeps: Option<Keeps>,
    /// The kept cookies that the answer deletes.
    pub(super) deletes: Vec<String>,
    /// The decision in a line.
    pub(super) decided: String,
    /// The rungs reached, by name.
    pub(super) levels: Vec<String>,
    /// What is answered instead of the application.
    pub(super) response: Option<Preview>,
    pub(super) client: Option<Client>,
    pub(super) operator: Option<Operator>,
}

/// Something with a name, and what there is to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) text: String,
}

/// One token, and what came of it.
#[derive(Clone, Debug)]
pub(super) struct TokenTold {
    pub(super) name: String,
    pub(super) signature: Signature,
    /// The policy's name for its issuer.
    pub(super) issuer: Option<Box<str>>,
    /// Its kind, where it is believed.
    pub(super) kind: Option<TokenKind>,
    pub(super) header: Option<Json>,
    pub(super) claims: Option<Json>,
    pub(super) checks: Vec<Check>,
    /// Why it is not taken.
    pub(super) refused: Option<(Reason, String)>,
    /// Where it was kept, if it is no token but what was kept of one.
    pub(super) kept: Option<KeptTold>,
    /// How its claims were read.
    pub(super) mapping: Vec<Mapped>,
}

/// What was kept of a sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptTold {
    pub(super) cookie: String,
    /// When, where that is known.
    pub(super) at: Option<Timestamp>,
    /// Until when it counts, where that could be read.
    pub(super) until: Option<Timestamp>,
    /// A logout may have ended it before that, which the running gate alone knows.
    pub(super) may_have_ended: bool,
}

/// What is kept, once the application has taken a sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keeps {
    pub(super) cookie: String,
    /// Until when it counts; or why nothing is kept.
    pub(super) until: Result<Timestamp, String>,
}

/// Whether a signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// With these keys.
    Checked(String),
    /// It was not, for this reason.
    NotChecked(String),
    /// There is none: claims were given.
    Unsigned,
    /// It was not looked at, since the token was refused before, or the route needs none.
    NotAsked,
}

/// How one thing was read from claims.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mapped {
    /// `acr`, `amr`, `auth_time`, `subject`, `client` or `scopes`.
    pub(super) what: &'static str,
    /// Claims looked at in this order, and what the token has there.
    pub(super) looked: Vec<(String, Option<Json>)>,
    /// What was done with it, a sentence each.
    pub(super) steps: Vec<String>,
    /// What came of it; empty where nothing did.
    pub(super) values: Vec<String>,
    /// `known`, `absent` or `malformed`.
    pub(super) state: &'static str,
}

/// What one token's evidence comes to.
#[derive(Clone, Debug)]
pub(super) struct ReckonedTold {
    pub(super) reckoned: Reckoned,
    pub(super) evidence: String,
    /// Factor classes that certainly, and that perhaps, count; none where there is no readable `amr`.
    pub(super) classes: Option<(Vec<&'static str>, Vec<&'static str>)>,
    pub(super) levels: Vec<String>,
    /// The names of the rungs in `reckoned.missed`.
    pub(super) missed: Vec<String>,
}

/// What the client could do.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Client {
    /// What another sign-in does about it.
    pub(super) new_sign_in: NewSignIn,
    /// A sign-in that would be let in, where the answer asks for one and there is one.
    pub(super) mend: Option<Mend>,
    /// In sentences.
    pub(super) text: Vec<String>,
}

/// What the operator could do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operator {
    pub(super) hint: String,
    pub(super) remedy: &'static [&'static str],
    pub(super) sources: &'static [&'static str],
}

impl TokenTold {
    /// One of which nothing is known yet.
    pub(super) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            signature: Signature::NotAsked,
            issuer: None,
            kind: None,
            header: None,
            claims: None,
            checks: Vec::new(),
            refused: None,
            kept: None,
            mapping: Vec::new(),
        }
    }
}

impl Explained {
    /// What was kept and may have been ended by a logout: of that nobody here knows.
    pub(super) fn perhaps_ended(&self) -> impl Iterator<Item = &str> {
        let perhaps = |token: &&TokenTold| token.kept.as_ref().is_some_and(|kept| kept.may_have_ended);
        self.tokens.iter().filter(perhaps).map(|token| &*token.name)
    }

    /// The tokens of which nobody knows whether they are genuine, and why not.
    pub(super) fn unchecked(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tokens.iter().filter_map(|token| match &token.signature {
            Signature::NotChecked(why) => Some((&*token.name, &**why)),
            Signature::Unsigned => Some((&*token.name, "claims that nobody signed were given")),
            Signature::Checked(_) | Signature::NotAsked => None,
        })
    }
}
