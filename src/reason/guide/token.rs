//! Reasons for which a token is not believed, or not here.

use crate::reason::guide::text::{Guide, NewSignIn};

pub(super) const TOKEN_MALFORMED: Guide = Guide {
    causes: &[
        "the token is opaque: the issuer gives this client access tokens that are no JWT",
        "something else was sent: an API key, a session id, a token cut short by a log or a cookie limit",
        "a member stands twice in the token's JSON, or its base64url is not canonical",
    ],
    remedy: &[
        "count the dots of a token of that client: a signed JWT has two",
        "if it has none, have the issuer give this API JWT access tokens (mostly: register the API as an audience of its own)",
        "if it is cut off, find what shortened it",
    ],
    hint: "What was sent is no signed JWT. Mostly the issuer gives this client opaque tokens, since no audience was asked for; else something cut the token short.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 7519 section 7.2", "RFC 7515 sections 3 and 5.2", "RFC 8725 section 3"],
};

pub(super) const TOKEN_ENCRYPTED: Guide = Guide {
    causes: &["the issuer is set to encrypt tokens for this client or audience (JWE, five parts)"],
    remedy: &[
        "switch encryption off for this audience at the issuer; TLS protects the way, and the gate needs the signature alone",
    ],
    hint: "The token is encrypted (five parts). Switch token encryption off for this client or audience at the issuer: the gate holds no key to open it.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 7516 section 3", "RFC 7519 section 5.2"],
};

pub(super) const HEADER_REFUSED: Guide = Guide {
    causes: &[
        "an attack that has a verifier follow what the token says of itself",
        "`crit`, `zip`, a nested token (`cty: JWT`) or `b64: false`, none of which is supported",
        "`iss`, `sub` or `aud` in the header that is not the claim, or a `kid` of more than 256 bytes",
    ],
    remedy: &[
        "read `detail`: it names the member",
        "if the issuer is yours, switch that extension off; no token of a usual issuer has any of these",
    ],
    hint: "The token's header asks for an extension that is not supported, or contradicts the claims; `detail` names the member. No usual issuer does this: take it for an attack until the issuer says otherwise.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 7515 section 4.1.11", "RFC 7797 section 7", "RFC 7519 section 5.3", "RFC 8725 section 3.10"],
};

pub(super) const ALGORITHM_REFUSED: Guide = Guide {
    causes: &[
        "an attack: `none`, or HMAC with the issuer's public key for a secret",
        "the issuer signs by another algorithm than `algorithms` lists, or than the profile does",
        "the key in the issuer's set is marked for another algorithm",
    ],
    remedy: &[
        "read `detail`: the algorithm that came",
        "if the issuer changed it, compare `id_token_signing_alg_values_supported` in its discovery document, and list the new one under `algorithms`",
        "`none` and HS256 to HS512 can't be allowed, and need not be",
    ],
    hint: "The token is signed by an algorithm that this issuer may not use (`detail` has it). `none` and HS* are attacks; another one may be a change at the issuer: see `algorithms` in the policy or profile.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 8725 sections 3.1 and 3.2", "RFC 7518 section 3"],
};

pub(super) const SIGNATURE_INVALID: Guide = Guide {
    causes: &[
        "a forged or altered token",
        "the token is of another realm, tenant or environment that uses the same key id",
        "the issuer replaced a key and kept its `kid`",
        "a kept cookie that was altered or moved to another host, or whose key left `seal.keys`",
    ],
    remedy: &[
        "look who sends it: a stranger is an attack, all clients at once are a key that changed",
        "compare the key set that the gate reads (`keys`) with the one that the issuer signs by",
        "if the issuer reused a `kid`, have it use a new one: verifiers everywhere keep keys by `kid`",
        "if it is a kept cookie (`kept` in the audit line), compare `seal.keys` of all replicas, and leave a key there until `keep: { for }` has passed: docs/kept.md",
    ],
    hint: "The signature is not by the issuer's key. From one client: a forged token, or one of another tenant or environment. From all at once: the issuer replaced a key under the same `kid`.",
    new_sign_in: NewSignIn::BringsToken,
    sources: &["RFC 7515 section 5.2", "RFC 6750 section 3.1"],
};

pub(super) const CLAIMS_MALFORMED: Guide = Guide {
    causes: &[
        "`exp`, `iat`, `nbf` or `auth_time` is a string, or `exp` is not there at all",
        "`auth_time` is more than 30 s ahead: the clocks of issuer and gate differ, or it is in milliseconds",
        "the subject or the client cannot be read, so that nobody can say who calls",
    ],
    remedy: &[
        "read `detail`: it names the claim",
        "a custom claims script or a token exchange of your own is the usual culprit: have it leave dates as numbers of seconds",
        "compare the clocks (NTP) of issuer and gate if it is `auth_time`",
    ],
    hint: "A claim that the gate must read has the wrong type or an impossible value; `detail` names it. Look at claim scripts at the issuer (dates are numbers of seconds) and at both clocks.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 7519 sections 2 and 4.1", "OpenID Connect Core 1.0 section 2"],
};

pub(super) const EXPIRED: Guide = Guide {
    causes: &[
        "the client does not refresh its token, or keeps a cached one too long",
        "what was kept of a sign-in is older than `keep: { for }`: the user signs in again",
        "the gate's clock is ahead of the issuer's by more than 30 s",
    ],
    remedy: &[
        "a few are normal: the client gets 401, refreshes and comes again",
        "if one client never recovers, its refresh fails: look there, and at its refresh token's life",
        "if all clients have it at once, compare the gate's clock with the issuer's (NTP)",
    ],
    hint: "The token has run out. Normal now and then; if one client does not recover, its refresh fails; if all have it at once, compare the clocks of gate and issuer.",
    new_sign_in: NewSignIn::BringsToken,
    sources: &["RFC 7519 section 4.1.4", "RFC 6750 section 3.1"],
};

pub(super) const NOT_YET_VALID: Guide = Guide {
    causes: &["the gate's clock is behind the issuer's by more than 30 s", "the issuer sets `nbf` ahead on purpose"],
    remedy: &[
        "compare the clocks of gate and issuer (NTP, a machine that slept, a paused virtual machine)",
        "`detail` says by how many seconds",
    ],
    hint: "`nbf` or `iat` is ahead of the gate's clock by more than 30 s (`detail` says by how much). Nearly always a clock: check NTP where the gate runs, then at the issuer.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 7519 sections 4.1.5 and 4.1.6"],
};

pub(super) const AUDIENCE_WRONG: Guide = Guide {
    causes: &[
        "the client asked for no audience, or for another API's, so the token is not meant for this one",
        "`access: { audiences }` or `id: { audiences }` of the issuer lacks this value, or differs by a final slash",
        "a route's own `audience` is narrower than the issuer's",
    ],
    remedy: &[
        "read `detail`: what the token has, and what the policy lists; they are compared byte for byte",
        "have the client ask for the right one (`audience` or `resource` in its request, or a scope of this API)",
        "only if the token is meant for this API, add its audience to the policy",
    ],
    hint: "The token is for another audience (`detail` has both). Have the client ask for this API's; add an audience to the policy only if such tokens are meant for this API.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 7519 section 4.1.3", "RFC 9068 section 4", "RFC 8725 section 3.9"],
};

pub(super) const AZP_WRONG: Guide = Guide {
    causes: &[
        "the id_token was issued to another client and names this one as a further audience",
        "the id_token has several audiences and no `azp`",
    ],
    remedy: &[
        "if that client is yours too, add its client id to `id: { audiences }` of the issuer",
        "else have the issuer give each client id_tokens of its own",
    ],
    hint: "The id_token was made for another client (`azp`), or for several without saying which. If that client is yours, list its id under `id: { audiences }`.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["OpenID Connect Core 1.0 sections 2 and 3.1.3.7"],
};

pub(super) const TOKEN_KIND_WRONG: Guide = Guide {
    causes: &[
        "the client sends its id_token where an access token belongs",
        "the issuer's `typ` is not what `access` or `id` of the policy takes",
        "the issuer has no `access` (or no `id`) in the policy, so no token of that kind is taken",
    ],
    remedy: &[
        "read `detail`: the kind that came, or the `typ` that does not fit",
        "have the client send the access token; an id_token is for the client itself",
        "if the route is meant to read id_tokens, say so: `take: [ { header: NAME, kind: id } ]`",
    ],
    hint: "A token of a kind that nothing takes here: mostly an id_token sent as an access token. Correct the client, or name the kind under `take` if the route is meant to read it.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 8725 sections 3.11 and 3.12", "RFC 9068 section 4"],
};

pub(super) const BINDING_MISSING: Guide = Guide {
    causes: &[
        "the token is bound to a key (`cnf`), and was sent as a plain Bearer token: stolen, or by a client that forgets its proof",
        "the scheme is DPoP, or the token bound to a certificate, and no such proof can be checked here",
    ],
    remedy: &[
        "if the client is meant to use bound tokens, it must send its proof with each request",
        "if it is not, have the issuer give it unbound ones",
        "a proxy before the gate may end the TLS that carries the client's certificate",
    ],
    hint: "The token is bound to a key or certificate and no checked proof came with it. It may be stolen; else the client forgets its proof, or TLS ends before the gate.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 9449 section 7.2", "RFC 8705 section 3", "RFC 7800 section 3"],
};

pub(super) const BINDING_INVALID: Guide = Guide {
    causes: &[
        "the proof is by another key than the token names, or for another method, address or token",
        "`public_url` is not what clients call, so that no proof fits",
    ],
    remedy: &[
        "if all clients have it, compare `public_url` with the address that they use",
        "if one has it, its key changed after it got the token: it needs a new token",
    ],
    hint: "The proof of possession does not fit the token or the request. All clients at once: `public_url` is wrong. One client: another key than its token names, or a stolen token.",
    new_sign_in: NewSignIn::BringsToken,
    sources: &["RFC 9449 section 4.3", "RFC 8705 section 3"],
};

pub(super) const DPOP_REPLAYED: Guide = Guide {
    causes: &[
        "a client or a proxy sends a request again with the proof of the first",
        "somebody who saw the request sends it again",
    ],
    remedy: &[
        "have the client make a proof (with a new `jti`) for each request, repeated ones too",
        "look whether both requests came from one address; if not, treat it as an attack",
    ],
    hint: "A DPoP proof came twice. Look whether both came from one address: a client that repeats a request must make a new proof; from two addresses it is an attack.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 9449 sections 4.3 and 11.1"],
};

pub(super) const TOKENS_DISAGREE: Guide = Guide {
    causes: &[
        "the client keeps an old id_token beside an access token that it has refreshed since",
        "the issuer puts neither `at_hash` nor `sid` into id_tokens, so nothing ties the two",
        "two tokens of two people, or of two issuers: one sign-in shown with the access of another",
    ],
    remedy: &[
        "have the client replace both tokens at once, and keep them together",
        "if the issuer sends neither `at_hash` nor `sid`, write `pair: subject` for it: equal subject and client then suffice",
    ],
    hint: "Access token and id_token are not of one sign-in. Mostly the client refreshed one and kept the other; if the issuer sends neither `at_hash` nor `sid`, consider `pair: subject`.",
    new_sign_in: NewSignIn::BringsToken,
    sources: &["OpenID Connect Core 1.0 section 3.1.3.8", "docs/policy.md, an issuer"],
};
