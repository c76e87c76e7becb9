//! The form of a guide, and which reason has which.

use crate::reason::code::Reason;
use crate::reason::guide::{issuer, request, sign_in, token};

/// What to know of a reason, besides its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guide {
    /// What usually causes it, the most frequent first.
    pub causes: &'static [&'static str],
    /// What the operator does about it, in this order.
    pub remedy: &'static [&'static str],
    /// Where to look first, in one or two sentences: stands in the record of each denial where no profile knows better.
    pub hint: &'static str,
    /// Whether another sign-in of the same user could mend it.
    pub new_sign_in: NewSignIn,
    /// Where the rule is written.
    pub sources: &'static [&'static str],
}

/// Whether another sign-in of the same user, at the same issuer, could mend a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewSignIn {
    /// One that is as strong and as fresh as the route asks.
    Mends,
    /// It brings a new token, and that one is good. A refreshed token would be too.
    BringsToken,
    /// Something else has to change.
    DoesNot,
}

impl NewSignIn {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mends => "mends",
            Self::BringsToken => "brings_token",
            Self::DoesNot => "does_not",
        }
    }

    /// The same for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Mends => {
                "mends it, if it is as strong and as fresh as the challenge asks and this issuer can prove that"
            }
            Self::BringsToken => "mends it by the new token that it brings; a refreshed token does as well",
            Self::DoesNot => "does not mend it",
        }
    }
}

impl Reason {
    /// What an operator should know of it.
    #[must_use]
    pub const fn guide(self) -> &'static Guide {
        match self {
            Self::Overloaded => &request::OVERLOADED,
            Self::RequestMalformed => &request::REQUEST_MALFORMED,
            Self::PathAmbiguous => &request::PATH_AMBIGUOUS,
            Self::RouteNone => &request::ROUTE_NONE,
            Self::TokenMissing => &request::TOKEN_MISSING,
            Self::TokenDuplicate => &request::TOKEN_DUPLICATE,
            Self::TokenTooLarge => &request::TOKEN_TOO_LARGE,
            Self::BodyTooLarge => &request::BODY_TOO_LARGE,
            Self::BodyUnsupported => &request::BODY_UNSUPPORTED,
            Self::OriginRefused => &request::ORIGIN_REFUSED,
            Self::TokenMalformed => &token::TOKEN_MALFORMED,
            Self::TokenEncrypted => &token::TOKEN_ENCRYPTED,
            Self::HeaderRefused => &token::HEADER_REFUSED,
            Self::AlgorithmRefused => &token::ALGORITHM_REFUSED,
            Self::IssuerUnknown => &issuer::ISSUER_UNKNOWN,
            Self::KeysUnavailable => &issuer::KEYS_UNAVAILABLE,
            Self::KeyUnknown => &issuer::KEY_UNKNOWN,
            Self::SignatureInvalid => &token::SIGNATURE_INVALID,
            Self::ClaimsMalformed => &token::CLAIMS_MALFORMED,
            Self::Expired => &token::EXPIRED,
            Self::NotYetValid => &token::NOT_YET_VALID,
            Self::AudienceWrong => &token::AUDIENCE_WRONG,
            Self::AzpWrong => &token::AZP_WRONG,
            Self::TokenKindWrong => &token::TOKEN_KIND_WRONG,
            Self::IntrospectionUnavailable => &issuer::INTROSPECTION_UNAVAILABLE,
            Self::IntrospectionInactive => &issuer::INTROSPECTION_INACTIVE,
            Self::Revoked => &issuer::REVOKED,
            Self::IssuerRefused => &issuer::ISSUER_REFUSED,
            Self::BindingMissing => &token::BINDING_MISSING,
            Self::BindingInvalid => &token::BINDING_INVALID,
            Self::DpopReplayed => &token::DPOP_REPLAYED,
            Self::TokensDisagree => &token::TOKENS_DISAGREE,
            Self::CallerWrong => &sign_in::CALLER_WRONG,
            Self::AcrMalformed => &sign_in::ACR_MALFORMED,
            Self::AmrMalformed => &sign_in::AMR_MALFORMED,
            Self::AcrMissing => &sign_in::ACR_MISSING,
            Self::AmrMissing => &sign_in::AMR_MISSING,
            Self::AcrUnknown => &sign_in::ACR_UNKNOWN,
            Self::AcrInsufficient => &sign_in::ACR_INSUFFICIENT,
            Self::AmrInsufficient => &sign_in::AMR_INSUFFICIENT,
            Self::LevelTooLow => &sign_in::LEVEL_TOO_LOW,
            Self::AuthTimeMissing => &sign_in::AUTH_TIME_MISSING,
            Self::AuthTooOld => &sign_in::AUTH_TOO_OLD,
            Self::ScopeMissing => &sign_in::SCOPE_MISSING,
            Self::ClaimMismatch => &sign_in::CLAIM_MISMATCH,
            Self::UpstreamUnreachable => &request::UPSTREAM_UNREACHABLE,
            Self::UpstreamTimeout => &request::UPSTREAM_TIMEOUT,
        }
    }

    /// What the operator should look at, whichever issuer it is about.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        self.guide().hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log line and an audit line hold it: one line, no longer than is read at a glance.
    const LONGEST_HINT: usize = 320;

    #[test]
    fn every_reason_says_all_that_an_operator_needs() {
        for reason in Reason::ALL {
            let Guide { causes, remedy, hint, new_sign_in: _, sources } = reason.guide();
            for list in [causes, remedy, sources] {
                assert!(!list.is_empty(), "{reason}");
            }
            for text in causes.iter().chain(*remedy).chain(*sources).chain([hint]) {
                assert!(text.trim() == *text && text.len() > 3 && !text.contains('\n'), "{reason}: {text:?}");
            }
            for text in causes.iter().chain(*remedy) {
                assert!(!text.ends_with('.'), "{reason}: {text}");
            }
            assert!(hint.len() > 30 && hint.len() <= LONGEST_HINT, "{reason}: {} bytes", hint.len());
        }
    }

    #[test]
    fn no_two_reasons_are_told_in_the_same_words() {
        for (place, reason) in Reason::ALL.iter().enumerate() {
            for other in &Reason::ALL[..place] {
                assert_ne!(reason.hint(), other.hint(), "{reason} and {other}");
                assert_ne!(reason.guide().causes, other.guide().causes, "{reason} and {other}");
                assert_ne!(reason.guide().remedy, other.guide().remedy, "{reason} and {other}");
            }
        }
    }
}
