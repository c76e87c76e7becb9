//! One issuer of the policy: what its tokens must look like, how they are read, and what proves a level.

use std::sync::Arc;

use crate::assurance::claims::{ClaimFacts, ClaimTable};
use crate::assurance::common;
use crate::assurance::dialect::Dialect;
use crate::assurance::evidence::{Evidence, Fact, Reading};
use crate::assurance::expression::{Expression, Source, View};
use crate::assurance::level::{Ladders, Rung, Rungs};
use crate::assurance::list::List;
use crate::assurance::mapping::Mapping;
use crate::assurance::methods::MethodTable;
use crate::reason::Hints;
use crate::token::claims::believe_again;
use crate::token::{Expectation, Rejection, Timestamp, TokenKind, Tree, VerifiedToken};

/// The place of an issuer in its policy's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerId(pub u32);

/// One issuer, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct Issuer {
    /// Its place in the policy's list.
    pub id: IssuerId,
    /// The policy's name for it.
    pub name: Box<str>,
    /// What its tokens must look like.
    pub expectation: Expectation,
    /// Where its evidence is found.
    pub mapping: Mapping,
    /// Where this certainly holds, the caller is a client, whoever its subject is. Consults no evidence.
    pub client_when: Option<Expression>,
    /// What its `amr` values are worth.
    pub methods: MethodTable,
    /// `amr` values that count for nothing.
    pub ignore_amr: Box<[Box<str>]>,
    /// How `mfa` and `may` count.
    pub reading: Reading,
    /// What proves each rung; rungs without an entry can't be proved by themselves.
    pub proofs: Box<[Proof]>,
    /// The rungs for which the policy or profile lists `acr_values` to ask for, whether or not they have a proof.
    pub challenges: Box<[ListedChallenge]>,
    /// In whose words a client is told to bring a better sign-in.
    pub dialect: Dialect,
    /// How the id token beside an access token is tied to it.
    pub pair: Pair,
    /// What its profile has an operator look at, by reason.
    pub hints: Hints,
    /// Changes when anything changes by which this issuer's tokens are verified or mapped; tokens kept under another
    /// fingerprint are verified anew.
    pub fingerprint: u64,
}

/// What proves one rung at one issuer.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    /// The rung, already capped by `trust.max_level`: a proof of a stronger rung stands here under the cap.
    pub rung: Rung,
    /// The evidence that reaches it.
    pub evidence: Expression,
    /// The `acr_values` that a challenge names for it: the issuer's own list, or what the proof names.
    pub challenge: Challenge,
}

/// The `acr_values` that the policy or profile lists for a rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedChallenge {
    /// The rung.
    pub rung: Rung,
    /// What to ask for. Never empty.
    pub acr_values: Box<[Box<str>]>,
}

/// The `acr_values` that a challenge for a rung names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// The operator's (or profile's) own list: sent as it is.
    Listed(Box<[Box<str>]>),
    /// Derived from the proof: sent as far as the issuer's discovery document supports it, when it says which it does.
    Derived(Box<[Box<str>]>),
}

impl Challenge {
    /// The same challenge with only those of its values; `None` if none is left.
    #[must_use]
    pub fn only(self, wanted: impl Fn(&str) -> bool) -> Option<Self> {
        let pick = |values: Box<[Box<str>]>| -> Option<Box<[Box<str>]>> {
            let left: Box<[Box<str>]> = values.into_iter().filter(|value| wanted(value)).collect();
            (!left.is_empty()).then_some(left)
        };
        match self {
            Self::Listed(values) => pick(values).map(Self::Listed),
            Self::Derived(values) => pick(values).map(Self::Derived),
        }
    }
}

/// How an `id_token` beside an access token is tied to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pair {
    /// `at_hash` of the access token in the `id_token`, or an equal `sid`.
    #[default]
    Bound,
    /// An equal subject and an equal client.
    Subject,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A user, through a client.
    User,
    /// A client that acts for itself.
    Client,
    /// The subject is there but unreadable: neither may be assumed.
    Unclear,
}

/// What a policy needs to know of one verified token. Holds no verdict: each route judges it anew.
#[derive(Clone, Debug, PartialEq)]
pub struct Assurance {
    /// Who issued it.
    pub issuer: IssuerId,
    /// Access token or `id_token`.
    pub kind: TokenKind,
    /// What it says of the sign-in.
    pub evidence: Evidence,
    /// User or client.
    pub caller: Caller,
    /// The mapped subject.
    pub subject: Option<Box<str>>,
    /// The mapped client.
    pub client: Option<Arc<str>>,
    /// The scopes granted.
    pub scopes: List<Box<str>>,
    /// All audiences named.
    pub audiences: List<Box<str>>,
    /// `sid`, where it is a string.
    pub session: Option<Box<str>>,
    /// `at_hash`, where it is a string.
    pub at_hash: Option<Box<str>>,
    /// The other claims that the policy reads.
    pub claims: ClaimFacts,
    /// `exp`.
    pub expires: Timestamp,
    /// `iat`.
    pub issued: Option<Timestamp>,
}

#[cfg(test)]
impl Assurance {
    /// Of a token that says nothing.
    pub(crate) fn bare(kind: TokenKind) -> Self {
        let reading = Reading::default();
        Self {
            issuer: IssuerId(0),
            kind,
            evidence: Evidence { acr: Fact::Absent, amr: Fact::Absent, auth_time: Fact::Absent, reading },
            caller: Caller::User,
            subject: None,
            client: None,
            scopes: List::default(),
            audiences: List::default(),
            session: None,
            at_hash: None,
            claims: ClaimFacts::default(),
            expires: Timestamp::from_seconds(0),
            issued: None,
        }
    }
}

/// What a token says besides what is mapped.
struct Stated {
    kind: TokenKind,
    audiences: List<Box<str>>,
    expires: Timestamp,
    issued: Option<Timestamp>,
}

impl Issuer {
    /// Maps a verified token of this issuer to what policies judge.
    #[must_use]
    pub fn assess(&self, token: &VerifiedToken<'_>, table: &ClaimTable) -> Assurance {
        let audiences = Arc::clone(token.audiences()).into();
        let (kind, expires, issued) = (token.kind(), token.expires(), token.issued());
        self.assess_claims(token.claims(), table, Stated { kind, audiences, expires, issued })
    }

    /// Maps what was kept of a verified token of this issuer, by what the policy asks of such tokens and makes of them now.
    /// `expires`: when what was kept ends.
    ///
    /// # Errors
    /// What is wrong with it now.
    pub(crate) fn assess_again(
        &self,
        kind: TokenKind,
        claims: &Tree<'_>,
        table: &ClaimTable,
        expires: Timestamp,
    ) -> Result<Assurance, Rejection> {
        let audiences = believe_again(claims, kind, &self.expectation)?.into();
        let issued = claims.member("iat").and_then(Timestamp::from_claim);
        Ok(self.assess_claims(claims, table, Stated { kind, audiences, expires, issued }))
    }

    fn assess_claims(&self, claims: &Tree<'_>, table: &ClaimTable, stated: Stated) -> Assurance {
        let Stated { kind, audiences, expires, issued } = stated;
        let subject = self.mapping.subject(claims);
        let client = self.mapping.client(claims);
        let facts = table.pick(claims);
        let caller = match (&subject, &client) {
            (Fact::Malformed, _) => Caller::Unclear,
            (Fact::Absent, _) => Caller::Client,
            (Fact::Known(subject), Fact::Known(client)) if subject == client => Caller::Client,
            (Fact::Known(_), Fact::Malformed) => Caller::Unclear,
            (Fact::Known(_), Fact::Known(_) | Fact::Absent) if self.is_client(&facts) => Caller::Client,
            (Fact::Known(_), Fact::Known(_) | Fact::Absent) => Caller::User,
        };
        let string = |name: &str| claims.member(name).and_then(Tree::as_str).map(Box::from);
        Assurance {
            issuer: self.id,
            kind,
            evidence: self.evidence(claims, caller == Caller::User),
            caller,
            subject: subject.known().copied().map(Box::from),
            client: client.known().map(|client| common::client(client)),
            scopes: self.mapping.scopes(claims),
            audiences,
            session: string("sid"),
            at_hash: string("at_hash"),
            claims: facts,
            expires,
            issued,
        }
    }

    /// Whether the issuer's own rule makes the caller a client. It can never make one a user.
    fn is_client(&self, claims: &ClaimFacts) -> bool {
        let Some(rule) = &self.client_when else { return false };
        let (acr, amr, auth_time) = (Fact::Absent, Fact::Absent, Fact::Absent);
        let evidence = Evidence { acr, amr, auth_time, reading: self.reading };
        rule.evaluate(&View { evidence: &evidence, claims, ignored: None }).holds()
    }

    /// What claims say of the sign-in. `user`: whether a user signed in; `absent` never stands in for a client.
    pub(crate) fn evidence(&self, claims: &Tree<'_>, user: bool) -> Evidence {
        Evidence {
            acr: self.mapping.acr.values(claims, user).map(|values| common::acr(&values)),
            amr: self
                .mapping
                .amr
                .values(claims, user)
                .map(|values| common::methods(&values, &self.methods, &self.ignore_amr)),
            auth_time: self.mapping.auth_time(claims),
            reading: self.reading,
        }
    }

    /// The highest rung of a ladder whose proof holds. A client that acts for itself reaches none.
    #[must_use]
    pub fn level(&self, ladder: usize, caller: Caller, view: &View<'_>) -> Option<Rung> {
        if caller != Caller::User {
            return None;
        }
        let proofs = self.proofs.iter().filter(|proof| proof.rung.ladder() == ladder);
        proofs
            .filter(|proof| proof.evidence.evaluate(view).holds())
            .map(|proof| proof.rung)
            .max_by_key(|rung| rung.rank())
    }

    /// The levels that a token reaches, one of each ladder at the most.
    #[must_use]
    pub fn levels(&self, ladders: &Ladders, caller: Caller, view: &View<'_>) -> Rungs {
        (0..ladders.all().len()).filter_map(|ladder| self.level(ladder, caller, view)).collect()
    }

    /// The proofs that are enough for a rung: its own and those of the rungs above it, weakest first.
    pub fn proofs_of(&self, needed: Rung) -> impl Iterator<Item = &Proof> {
        self.proofs.iter().filter(move |proof| proof.rung.reaches(needed))
    }

    /// The `acr_values` to ask for so that a rung is reached: its own list, else what sufficient proofs name, weakest first,
    /// else the list of the weakest rung above that has one.
    #[must_use]
    pub fn challenge(&self, needed: Rung) -> Option<Challenge> {
        if let Some(listed) = self.challenges.iter().find(|listed| listed.rung == needed) {
            return Some(Challenge::Listed(listed.acr_values.clone()));
        }
        let mut derived: Vec<Box<str>> = Vec::new();
        for proof in self.proofs_of(needed) {
            match &proof.challenge {
                Challenge::Listed(_) if derived.is_empty() => return Some(proof.challenge.clone()),
                Challenge::Listed(values) | Challenge::Derived(values) => {
                    derived.extend(values.iter().filter(|value| !derived.contains(value)).cloned().collect::<Vec<_>>());
                }
            }
        }
        (!derived.is_empty()).then(|| Challenge::Derived(derived.into()))
    }

    /// The evidence claims that decide whether a rung is reached, in the order in which its proofs name them.
    #[must_use]
    pub fn consults(&self, needed: Rung) -> Vec<Source> {
        let mut sources = Vec::new();
        for source in self.proofs_of(needed).flat_map(|proof| proof.evidence.consults()) {
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        sources
    }

    /// Whether some proof of this issuer names this `acr` value.
    #[must_use]
    pub fn names_acr(&self, acr: &str) -> bool {
        self.proofs.iter().any(|proof| proof.names_acr(acr))
    }
}

impl Proof {
    /// Whether it names this `acr` value.
    #[must_use]
    pub fn names_acr(&self, acr: &str) -> bool {
        let mut named = false;
        self.evidence.walk(&mut |part| match part {
            Expression::Acr(values) => named |= values.iter().any(|value| **value == *acr),
            // A ladder of numbers names every number.
            Expression::AcrAtLeast(_) => named |= !acr.is_empty() && acr.bytes().all(|byte| byte.is_ascii_digit()),
            Expression::All(_)
            | Expression::Any(_)
            | Expression::Not(_)
            | Expression::AmrAny(_)
            | Expression::AmrAll(_)
            | Expression::AmrNone(_)
            | Expression::AmrOnly(_)
            | Expression::AmrCount(_)
            | Expression::Factors(_)
            | Expression::PhishingResistant
            | Expression::Hardware
            | Expression::Claim(..)
            | Expression::Present(_) => {}
        });
        named
    }
}
