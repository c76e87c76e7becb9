//! An issuer of the policy as the demo's identity provider plays it: what its tokens look like.

use serde_json::Value;

use crate::assurance::Issuer;
use crate::token::{Algorithm, ClaimPath, KindRule, TokenKind};

/// An issuer that tokens are made for.
#[derive(Clone, Debug, PartialEq)]
pub struct Vendor {
    /// The policy's name for it.
    pub name: String,
    /// `iss` of its tokens.
    pub iss: String,
    /// What its tokens are signed by.
    pub algorithm: Algorithm,
    /// Its access tokens; `None`: the policy takes none.
    pub access: Option<Shape>,
    /// Its `id_tokens`; `None`: the policy takes none.
    pub id: Option<Shape>,
    /// Where the policy looks for the client first.
    pub client: String,
    /// Where it looks for the scopes first.
    pub scopes: String,
}

/// What tokens of one kind look like.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Where the audience stands.
    pub audience_from: String,
    /// The audience that the policy names first.
    pub audience: String,
    /// `typ` of the header.
    pub typ: Option<String>,
    /// What such a token must say besides, where the policy names the value.
    pub has: Vec<(String, Value)>,
}

/// The algorithm for an issuer that names several, or none: the first of these that it takes.
const BY_PREFERENCE: [Algorithm; 10] = [
    Algorithm::Es256,
    Algorithm::Rs256,
    Algorithm::Ps256,
    Algorithm::Ed25519,
    Algorithm::Es384,
    Algorithm::Es512,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps384,
    Algorithm::Ps512,
];

impl Vendor {
    /// The issuer as the policy describes it.
    #[must_use]
    pub fn of(issuer: &Issuer) -> Self {
        let taken = issuer.expectation.algorithms.as_deref();
        let algorithm = BY_PREFERENCE.into_iter().find(|algorithm| taken.is_none_or(|taken| taken.contains(algorithm)));
        let first = |paths: &[ClaimPath], usual: &str| {
            paths.first().map_or_else(|| usual.to_owned(), |path| path.as_written().to_owned())
        };
        Self {
            name: issuer.name.to_string(),
            iss: issuer.expectation.issuer.to_string(),
            algorithm: algorithm.unwrap_or(Algorithm::Es256),
            access: issuer.expectation.access.as_ref().map(Shape::of),
            id: issuer.expectation.id.as_ref().map(Shape::of),
            client: first(&issuer.mapping.client, "client_id"),
            scopes: first(&issuer.mapping.scopes, "scope"),
        }
    }

    /// What its tokens of a kind look like.
    #[must_use]
    pub fn shape(&self, kind: TokenKind) -> Option<&Shape> {
        match kind {
            TokenKind::Access => self.access.as_ref(),
            TokenKind::Id => self.id.as_ref(),
        }
    }

    /// The kind that is meant where none is named: access tokens, where the policy takes them.
    #[must_use]
    pub const fn usual_kind(&self) -> TokenKind {
        if self.access.is_none() && self.id.is_some() { TokenKind::Id } else { TokenKind::Access }
    }
}

impl Shape {
    fn of(rule: &KindRule) -> Self {
        // Rules hold `typ` in lower case; issuers write this one in capitals.
        let typ = |typ: &str| if typ == "jwt" { "JWT".to_owned() } else { typ.to_owned() };
        let has = rule.has.iter().filter_map(|required| {
            let value = serde_json::to_value(required.values.as_ref()?.first()?).ok()?;
            Some((required.claim.as_written().to_owned(), value))
        });
        Self {
            audience_from: rule.audience_from.as_written().to_owned(),
            audience: rule.audiences.first().map(ToString::to_string).unwrap_or_default(),
            typ: rule.types.first().and_then(Option::as_deref).map(typ),
            has: has.collect(),
        }
    }
}
