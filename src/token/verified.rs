//! A token that may be believed.

use std::sync::Arc;

use crate::token::expectation::TokenKind;
use crate::token::json::Tree;
use crate::token::time::Timestamp;

/// A token whose signature, issuer, audience, times and kind were checked. Only [`crate::token::verify()`] builds one.
#[derive(Clone, Debug)]
pub struct VerifiedToken<'t> {
    pub(in crate::token) kind: TokenKind,
    pub(in crate::token) claims: Tree<'t>,
    pub(in crate::token) audiences: Arc<[Box<str>]>,
    pub(in crate::token) expires: Timestamp,
    pub(in crate::token) issued: Option<Timestamp>,
}

impl<'t> VerifiedToken<'t> {
    /// Access token or `id_token`.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// All claims; always an object.
    #[must_use]
    pub fn claims(&self) -> &Tree<'t> {
        &self.claims
    }

    /// All the audiences that the token names.
    #[must_use]
    pub fn audiences(&self) -> &Arc<[Box<str>]> {
        &self.audiences
    }

    /// `exp`.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// `iat`, where the token has one.
    #[must_use]
    pub fn issued(&self) -> Option<Timestamp> {
        self.issued
    }
}
