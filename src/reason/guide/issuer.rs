//! Reasons that lie with the issuer: whether it is known, can be asked, and still stands by the token.

use crate::reason::guide::text::{Guide, NewSignIn};

pub(super) const ISSUER_UNKNOWN: Guide = Guide {
    causes: &[
        "`issuer` in the policy differs from `iss` by a final slash, a path, http for https, or a tenant's id",
        "the client signs in at another realm, tenant or environment (staging tokens in production)",
        "one issuer that has two names, such as the two versions of Microsoft Entra tokens",
    ],
    remedy: &[
        "read `detail`, compare with `issuer` in its discovery document, and write exactly that: it is compared byte for byte",
        "if the issuer is meant, add it; nothing else makes it trusted",
    ],
    hint: "No issuer of the policy has this `iss`. They are compared byte for byte: look for a final slash, another tenant, or staging tokens in production.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 7519 section 4.1.1", "RFC 8414 section 3.3", "RFC 9068 section 4"],
};

pub(super) const KEYS_UNAVAILABLE: Guide = Guide {
    causes: &[
        "the gate has just started and cannot reach the issuer yet",
        "the issuer, the network, DNS or an egress proxy is down, and the last good keys have passed `max_stale`",
        "the key set is empty or broken, or its certificate is not trusted",
    ],
    remedy: &[
        "ask `/readyz?verbose`: it says of each issuer why its last fetch failed",
        "try the issuer's `/.well-known/openid-configuration` from where the gate runs",
        "set `keys: { cache_dir }` in stepgate.yaml, so that a restart does not need the issuer",
    ],
    hint: "The issuer's keys cannot be had, so nothing can be said of its tokens: `/readyz?verbose` says why. Look at the network, DNS and the egress proxy between gate and issuer.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 9110 section 15.6.4", "docs/keys.md"],
};

pub(super) const KEY_UNKNOWN: Guide = Guide {
    causes: &[
        "a made-up or old token, whose key the issuer has taken away",
        "the issuer signs by a key before it publishes it",
        "the gate reads another key set than the issuer signs by: a copied `jwks_file`, another realm's `jwks_url`",
    ],
    remedy: &[
        "an unknown `kid` has the gate ask again at most every 30 s: after a rotation it mends itself",
        "if it lasts, compare the token's `kid` with the issuer's `jwks_uri`",
        "with `jwks_file`, put the new keys into the file",
    ],
    hint: "The issuer's key set was asked and has no such key. After a rotation it mends itself within 30 s; if it lasts, compare `kid` with what `jwks_uri` serves, and see `keys` in the policy.",
    new_sign_in: NewSignIn::BringsToken,
    sources: &["OpenID Connect Core 1.0 section 10.1.1", "RFC 7517 section 4.5", "docs/keys.md"],
};

pub(super) const INTROSPECTION_UNAVAILABLE: Guide = Guide {
    causes: &[
        "the introspection endpoint is down or cannot be reached",
        "the endpoint refuses the gate's own client id or secret",
    ],
    remedy: &[
        "look at the endpoint's own log: a 401 there is about the gate's credentials, not about the user's token",
        "no request is refused for this by a version whose policies know no `introspection`",
    ],
    hint: "The introspection endpoint cannot be asked. A 401 from it is about the gate's own client id and secret, not about the user.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 7662 sections 2.2 and 2.3"],
};

pub(super) const INTROSPECTION_INACTIVE: Guide = Guide {
    causes: &[
        "the token has run out, was revoked, or its session ended at the issuer",
        "the token is another issuer's, or the gate may not ask about this client's tokens: both are told as inactive",
    ],
    remedy: &[
        "if all tokens of a client have it, look whether the gate's client is allowed to introspect them",
        "no request is refused for this by a version whose policies know no `introspection`",
    ],
    hint: "The issuer says that the token is not active: revoked, run out, or not one that the gate may ask about. If all of a client's are, look at the gate's rights at the issuer.",
    new_sign_in: NewSignIn::BringsToken,
    sources: &["RFC 7662 section 2.2"],
};

pub(super) const REVOKED: Guide = Guide {
    causes: &[
        "the user signed out, changed a credential, or an administrator ended the session",
        "a copy of a kept cookie came after its user had signed out",
    ],
    remedy: &[
        "ask whoever ended the session; the user signs in again",
        "of a kept cookie (`kept` in the audit line) it is always the logout that `keep: { ends_on }` names: docs/kept.md",
    ],
    hint: "The token, its session or its subject was revoked on purpose: the user signed out, or somebody ended the session. A new sign-in is needed.",
    new_sign_in: NewSignIn::BringsToken,
    sources: &["OpenID Connect Back-Channel Logout 1.0", "OpenID Shared Signals Framework 1.0", "OpenID CAEP 1.0"],
};

pub(super) const ISSUER_REFUSED: Guide = Guide {
    causes: &[
        "the route names other `issuers`: a partner's token on a route for your own people",
        "the client signs in at the wrong one of several trusted issuers",
    ],
    remedy: &[
        "if this issuer's people are meant to use the route, add it under `issuers` there",
        "else have the client sign in where the route's people are",
    ],
    hint: "The issuer is trusted, but not on this route (`issuers` there). Either the client signed in at the wrong provider, or the route should name this one too.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 6750 section 3.1", "docs/policy.md, a requirement"],
};
