//! What is kept of a sign-in: whose word it was, until when it counts, and the claims that the policy read of it.
//!
//! Claims, and never what was concluded from them: opened, they are mapped anew by the policy in force, so that a mapping,
//! table or proof that has changed is obeyed. Never the token: nobody can present what is kept here as one.

use std::fmt;

use aws_lc_rs::digest;

use crate::Reason;
use crate::assurance::{Assurance, IssuerId};
use crate::policy::Policy;
use crate::seal::claims;
use crate::token::rejection::quoted;
use crate::token::{Credential, Json, Rejection, Timestamp, TokenKind, Unverified};

/// How many bytes tell one kept sign-in from every other.
pub(in crate::seal) const SESSION: usize = 16;
/// The text is filled up to a multiple of this, so that its length tells next to nothing of what is in it.
const STEP: usize = 64;
const KIND_ACCESS: u8 = b'a';
const KIND_ID: u8 = b'i';

/// Tells one sign-in from every other, and is never told to anyone. It is the token's own, so that whoever posts one token
/// again and again has one sign-in to end, and takes one place among those that were ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub(in crate::seal) [u8; SESSION]);

/// What is kept of a sign-in.
#[derive(Clone, PartialEq)]
pub struct Kept {
    id: SessionId,
    until: Timestamp,
    kind: TokenKind,
    issuer: Box<str>,
    iss: Box<str>,
    /// Which claims were looked at ([`claims::marks`]).
    read: Box<[u8]>,
    claims: Json,
}

/// Why a believed token is not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// Its issuer is not the policy's, or its text can't be read again, neither of which can be of one that was just believed.
    #[error("the token cannot be read again")]
    Unreadable,
    /// Kept, it would be good without the key that it is bound to.
    #[error("the token is bound to a key (`cnf`), and a cookie would not be")]
    Bound,
}

impl Kept {
    /// What a token proved, until so many seconds from now. `credential` is the text that `assurance` was made from.
    ///
    /// # Errors
    /// A token that can't be kept.
    pub fn of(
        credential: &Credential,
        assurance: &Assurance,
        policy: &Policy,
        seconds: u32,
        now: Timestamp,
    ) -> Result<Self, NotKept> {
        let issuer = policy.issuer(assurance.issuer).ok_or(NotKept::Unreadable)?;
        let mut room = Vec::new();
        let token = Unverified::parse(credential, &mut room).map_err(|_bug| NotKept::Unreadable)?;
        let all = token.claims_once_believed();
        if all.member("cnf").is_some_and(|cnf| *cnf != Json::Null) {
            return Err(NotKept::Bound);
        }
        let paths = claims::read(issuer, assurance.kind, policy.claims());
        Ok(Self {
            id: SessionId::of(credential),
            // Whole seconds, rounded down: never longer than was said.
            until: Timestamp::from_seconds(now.seconds()).plus_seconds(seconds.into()),
            kind: assurance.kind,
            issuer: issuer.name.clone(),
            iss: issuer.expectation.issuer.clone(),
            read: claims::marks(&paths),
            claims: claims::only(all, &paths),
        })
    }

    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Until when it counts.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Whose word it was, by the name and the `iss` that the issuer had then; its token's kind; the claims that were read. For
    /// whoever shows it: judged by them is in [`Kept::recall`] alone.
    #[must_use]
    pub fn shown(&self) -> (&str, &str, TokenKind, &Json) {
        (&self.issuer, &self.iss, self.kind, &self.claims)
    }

    /// How many bytes each claim takes, largest first: for an operator whose cookie grew too large.
    #[must_use]
    pub fn sizes(&self) -> Vec<(String, usize)> {
        claims::sizes(&self.claims)
    }

    /// As text, to be sealed.
    ///
    /// `None` never: claims that were read can be written, and no policy reads so many that they could not be counted.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let kind = match self.kind {
            TokenKind::Access => KIND_ACCESS,
            TokenKind::Id => KIND_ID,
        };
        let mut text = Vec::with_capacity(512);
        text.extend_from_slice(&self.id.0);
        text.extend_from_slice(&self.until.seconds().to_be_bytes());
        text.push(kind);
        text.extend_from_slice(&u16::try_from(self.read.len()).ok()?.to_be_bytes());
        text.extend_from_slice(&self.read);
        serde_json::to_writer(&mut text, &(&*self.issuer, &*self.iss, &self.claims)).ok()?;
        // White space after a JSON document is no part of it.
        text.resize(text.len().next_multiple_of(STEP), b' ');
        Some(text)
    }

    /// From text that was opened.
    ///
    /// # Errors
    /// `token_malformed`, for what no version of this program sealed.
    pub fn from_bytes(text: &[u8]) -> Result<Self, Rejection> {
        Self::read(text).ok_or_else(|| {
            Rejection::new(Reason::TokenMalformed, "the kept cookie opens, and holds nothing that is ever kept")
        })
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (id, rest) = text.split_first_chunk::<SESSION>()?;
        let (until, rest) = rest.split_first_chunk::<8>()?;
        let (kind, rest) = rest.split_first()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (read, json) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let kind = match *kind {
            KIND_ACCESS => TokenKind::Access,
            KIND_ID => TokenKind::Id,
            _ => return None,
        };
        let Json::Array(parts) = Json::parse(str::from_utf8(json).ok()?).ok()? else { return None };
        let [Json::String(issuer), Json::String(iss), claims @ Json::Object(_)]: [Json; 3] =
            parts.into_vec().try_into().ok()?
        else {
            return None;
        };
        let until = Timestamp::from_seconds(i64::from_be_bytes(*until));
        Some(Self {
            id: SessionId(*id),
            until,
            kind,
            issuer: (*issuer).into(),
            iss: (*iss).into(),
            read: read.into(),
            claims,
        })
    }

    /// What it proves under the policy in force, as if the token had come again.
    ///
    /// # Errors
    /// `issuer_unknown`: the policy has no such issuer any more, or means another one by the name; `expired`, and where its
    /// mapping reads what was not kept; or what the
    /// policy finds wrong with such a token now. With the issuer, where the policy has it.
    pub fn recall(&self, policy: &Policy, now: Timestamp) -> Result<Assurance, (Rejection, Option<IssuerId>)> {
        let Some(issuer) = policy.issuer_of(&self.iss).filter(|issuer| issuer.name == self.issuer) else {
            let why = "the policy has no issuer of the kept cookie's name and `iss` any more";
            return Err((Rejection::new(Reason::IssuerUnknown, why), None));
        };
        let refused = |rejection| (rejection, Some(issuer.id));
        // To the second and without leeway: it is our own clock that set it.
        if now >= self.until {
            let ago = now.seconds().saturating_sub(self.until.seconds());
            let why = format!("what was kept of the sign-in ended {ago} s ago");
            return Err(refused(Rejection::new(Reason::Expired, why)));
        }
        if let Some(claim) = claims::unread(issuer, policy.claims(), &self.read) {
            let claim = quoted(claim.as_written());
            let why =
                format!("the policy reads the claim {claim} now, and what was kept of the sign-in is from before");
            return Err(refused(Rejection::new(Reason::Expired, why)));
        }
        issuer.assess_again(self.kind, &self.claims, policy.claims(), self.until).map_err(refused)
    }
}

impl SessionId {
    /// Of what a token says. Not of its signature, of which there may be several for one text.
    #[must_use]
    pub fn of(credential: &Credential) -> Self {
        let token = credential.expose();
        let said = token.rsplit_once('.').map_or(token, |(said, _)| said);
        let hash = digest::digest(&digest::SHA256, said.as_bytes());
        Self(hash.as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// A number that is spread evenly.
    pub(in crate::seal) fn spread(&self) -> usize {
        let [first, ..] = self.0;
        usize::from(first)
    }
}

/// Whoever has the id could tell which sign-in of the audit log is whose.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("issuer", &self.issuer).field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
