//! What an issuer's tokens must look like before anything they say is believed. Built by `config`, read by `verify`.

use crate::token::algorithm::Algorithm;
use crate::token::claim_path::ClaimPath;
use crate::token::json::{Json, Tree};

/// The two kinds of token that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKind {
    /// An access token (RFC 9068, RFC 6750).
    Access,
    /// An `id_token` (OpenID Connect Core section 2).
    Id,
}

impl TokenKind {
    /// `access` or `id`, as policies and the audit log write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Id => "id",
        }
    }
}

/// What one issuer's tokens must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Equals `iss` byte for byte.
    pub issuer: Box<str>,
    /// The algorithms that this issuer may use; `None`: what the key itself says.
    pub algorithms: Option<Box<[Algorithm]>>,
    /// How its access tokens are told; `None`: they are refused.
    pub access: Option<KindRule>,
    /// How its `id_tokens` are told; `None`: they are refused.
    pub id: Option<KindRule>,
}

/// How tokens of one kind are told from others of the same issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindRule {
    /// The audiences of which the token must name at least one. Never empty.
    pub audiences: Box<[Box<str>]>,
    /// Where the audience is read: `aud` unless the policy says otherwise.
    pub audience_from: ClaimPath,
    /// The `typ` header values taken, lower-case and without `application/`; `None` stands for a token without `typ`.
    pub types: Box<[Option<Box<str>>]>,
    /// Claims that must be there.
    pub has: Box<[Required]>,
}

/// A claim that every token of one kind has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Required {
    /// The claim.
    pub claim: ClaimPath,
    /// The values of which it must be one, whole and of the same JSON type; `None`: any that is not absent.
    pub values: Option<Box<[Json]>>,
}

impl Required {
    /// Whether a token's claims have it.
    #[must_use]
    pub fn is_in(&self, claims: &Tree<'_>) -> bool {
        let found = self.claim.find(claims).filter(|value| !value.is_absent());
        found
            .is_some_and(|found| self.values.as_ref().is_none_or(|values| values.iter().any(|value| value.same(found))))
    }

    /// Whether no token has both this and another.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        let (Some(mine), Some(theirs)) = (&self.values, &other.values) else { return false };
        self.claim == other.claim && !mine.iter().any(|value| theirs.iter().any(|their| value.same(their)))
    }
}
