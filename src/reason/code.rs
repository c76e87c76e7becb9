//! The codes, in their order of precedence, each with its meaning.

use std::fmt;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
        /// Why a request was refused. The order is the precedence: of several that hold, the first is the one reported.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// Every reason, in order of precedence.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable code: in challenges' bodies, logs, metric labels, the audit log and policy tests.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// One sentence on what it means, for people.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

reasons! {
    /// the gate is at one of its limits, or its audit log is blocked, and takes no more work for now
    Overloaded = "overloaded",
    /// the request breaks HTTP's own rules, or asks for a method that is never forwarded
    RequestMalformed = "request_malformed",
    /// the path can be read in two ways, so what was judged might not be what the application serves
    PathAmbiguous = "path_ambiguous",
    /// no route of the policy matches this host, path and method
    RouteNone = "route_none",
    /// the route needs a token and the request carries none where the route looks
    TokenMissing = "token_missing",
    /// two tokens stand in one place, or two Authorization fields were sent
    TokenDuplicate = "token_duplicate",
    /// the token is longer than the limit allows
    TokenTooLarge = "token_too_large",
    /// the body, or the form that carries the token, is longer than the limit allows
    BodyTooLarge = "body_too_large",
    /// the form is not application/x-www-form-urlencoded in UTF-8
    BodyUnsupported = "body_unsupported",
    /// a cookie came with an unsafe method from another origin
    OriginRefused = "origin_refused",
    /// the token is not a well-formed signed JWT
    TokenMalformed = "token_malformed",
    /// the token is encrypted (JWE), and the gate holds no key for it
    TokenEncrypted = "token_encrypted",
    /// the token's header asks for something that is not supported
    HeaderRefused = "header_refused",
    /// the token's signature algorithm is not one that this issuer and key may use
    AlgorithmRefused = "algorithm_refused",
    /// no issuer of the policy has this `iss`
    IssuerUnknown = "issuer_unknown",
    /// the issuer's keys cannot be had right now, so nothing can be said of the token
    KeysUnavailable = "keys_unavailable",
    /// the issuer's key set was asked and has no such key
    KeyUnknown = "key_unknown",
    /// the signature is not that of the issuer's key
    SignatureInvalid = "signature_invalid",
    /// a claim that the gate must read has the wrong JSON type or an impossible value
    ClaimsMalformed = "claims_malformed",
    /// the token has expired
    Expired = "expired",
    /// the token is not valid yet, or was issued in the future
    NotYetValid = "not_yet_valid",
    /// the token was issued for another audience
    AudienceWrong = "audience_wrong",
    /// the id_token names an authorized party that is not one of ours, or names none beside several audiences
    AzpWrong = "azp_wrong",
    /// the token is of a kind that is not taken here, such as an id_token where an access token belongs
    TokenKindWrong = "token_kind_wrong",
    /// the introspection endpoint cannot be asked right now
    IntrospectionUnavailable = "introspection_unavailable",
    /// the issuer says that the token is not active
    IntrospectionInactive = "introspection_inactive",
    /// the token, its session or its subject was revoked
    Revoked = "revoked",
    /// the issuer is trusted, but not on this route
    IssuerRefused = "issuer_refused",
    /// the token is bound to a key or certificate, and the request brings no checked proof of it
    BindingMissing = "binding_missing",
    /// the proof of possession does not fit the token or the request
    BindingInvalid = "binding_invalid",
    /// the DPoP proof was used before
    DpopReplayed = "dpop_replayed",
    /// the access token and the id_token of one request do not belong together
    TokensDisagree = "tokens_disagree",
    /// a client called for itself where a user must, or a user where only a client may
    CallerWrong = "caller_wrong",
    /// `acr` has the wrong JSON type, so it says nothing
    AcrMalformed = "acr_malformed",
    /// `amr` has the wrong JSON type, so it says nothing
    AmrMalformed = "amr_malformed",
    /// the token has no `acr`, and the route depends on it
    AcrMissing = "acr_missing",
    /// the token has no `amr`, and the route depends on it: often the issuer did not challenge the user
    AmrMissing = "amr_missing",
    /// the token's `acr` is a value that no proof of this issuer names
    AcrUnknown = "acr_unknown",
    /// the `acr` is not one that the route itself lists
    AcrInsufficient = "acr_insufficient",
    /// the `amr` values are not what the route itself asks for
    AmrInsufficient = "amr_insufficient",
    /// the sign-in reached a lower level than the route asks for
    LevelTooLow = "level_too_low",
    /// the token does not say when the user signed in, and the route limits the age
    AuthTimeMissing = "auth_time_missing",
    /// the user signed in longer ago than the route allows
    AuthTooOld = "auth_too_old",
    /// the token lacks a scope that the route asks for
    ScopeMissing = "scope_missing",
    /// a claim is not what the route asks for, or not what the path names
    ClaimMismatch = "claim_mismatch",
    /// the application could not be reached, or broke the connection before it answered
    UpstreamUnreachable = "upstream_unreachable",
    /// the application did not answer in time
    UpstreamTimeout = "upstream_timeout",
}

impl Reason {
    /// The reason with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_product_in_its_order() {
        let product = "overloaded request_malformed path_ambiguous route_none token_missing token_duplicate token_too_large \
            body_too_large body_unsupported origin_refused token_malformed token_encrypted header_refused algorithm_refused \
            issuer_unknown keys_unavailable key_unknown signature_invalid claims_malformed expired not_yet_valid audience_wrong \
            azp_wrong token_kind_wrong introspection_unavailable introspection_inactive revoked issuer_refused binding_missing \
            binding_invalid dpop_replayed tokens_disagree caller_wrong acr_malformed amr_malformed acr_missing amr_missing \
            acr_unknown acr_insufficient amr_insufficient level_too_low auth_time_missing auth_too_old scope_missing \
            claim_mismatch upstream_unreachable upstream_timeout";
        let ours: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(ours, product.split_whitespace().collect::<Vec<_>>());
        assert!(Reason::ALL.is_sorted());
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            assert!(!reason.meaning().is_empty());
        }
    }
}
