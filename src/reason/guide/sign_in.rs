//! Reasons for which a token that is believed is not enough: who calls, how they signed in, when, and what was granted.

use crate::reason::guide::text::{Guide, NewSignIn};

pub(super) const CALLER_WRONG: Guide = Guide {
    causes: &[
        "a job uses a token of its own (client credentials) on a route that asks for a user's level or age",
        "the token has no subject, or its subject is its client's id, so it speaks for no user",
        "a user calls where the route says `caller: client`, or the client is not one of `clients`",
    ],
    remedy: &[
        "if the job is meant, give the route an alternative: `any: [ { level: … }, { caller: client, clients: [..], scopes: … } ]`",
        "if a user signed in, look whether `mapping: { subject }` reads the claim that names the user",
    ],
    hint: "A client called for itself where a user must, or the reverse. A client never has a level or an age: let a job in by an alternative with `caller: client`. If it is a user, check `mapping: { subject }`.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 6749 section 4.4", "RFC 9068 section 2.2", "docs/policy.md, a requirement adds"],
};

pub(super) const ACR_MALFORMED: Guide = Guide {
    causes: &[
        "`acr` is an object, a list or a number where a string is taken",
        "`mapping: { acr: { from } }` points at another claim than the one that is meant",
    ],
    remedy: &[
        "decode a token of this user and look at the claim that `mapping: { acr: { from } }` reads first",
        "have the issuer send a string, or say what it sends: `accept: number` or `accept: array`",
    ],
    hint: "`acr` has a JSON type that is not taken. Have the issuer send a string, or name what it sends under `mapping: { acr: { accept } }`; nothing stands in for a malformed claim.",
    new_sign_in: NewSignIn::Mends,
    sources: &["OpenID Connect Core 1.0 section 2", "RFC 9068 section 2.2.1"],
};

pub(super) const AMR_MALFORMED: Guide = Guide {
    causes: &[
        "`amr` is one string where a list of strings belongs: known of ID-porten, Curity and MitID brokers",
        "a claim script puts objects, numbers or an empty text into the list",
    ],
    remedy: &[
        "decode a token of this user: `amr` is to be a JSON array of strings",
        "correct the mapping at the identity provider; if it can't be, take what it sends: `mapping: { amr: { accept: string } }`, or `space-separated`",
    ],
    hint: "`amr` is there and is no list of strings. Correct the claim at the identity provider, or take its form with `mapping: { amr: { accept: string } }` (or `space-separated`).",
    new_sign_in: NewSignIn::Mends,
    sources: &["OpenID Connect Core 1.0 section 2", "RFC 8176 section 1"],
};

pub(super) const ACR_MISSING: Guide = Guide {
    causes: &[
        "the issuer puts `acr` into the id_token alone, and the access token is judged",
        "the issuer sends no `acr` unless it is asked for one, or needs a mapper or optional claim for it",
        "the fact stands in another claim, and `mapping` does not read it",
        "`trust: { acr: false }`: the policy does not believe it",
    ],
    remedy: &[
        "decode the token: is `acr` there, or the same fact under another name",
        "have the issuer add `acr` to its access tokens, or let the client send its id_token beside (`take`, `pair`)",
        "a fact in another claim is read by `mapping: { acr: { from: [..] } }`",
    ],
    hint: "The token has no `acr`. Mostly the issuer puts it into the id_token alone: add it to access tokens there, take the id_token beside, or map the claim that has it.",
    new_sign_in: NewSignIn::Mends,
    sources: &["OpenID Connect Core 1.0 section 2", "RFC 9068 section 2.2.1", "RFC 9470 section 6"],
};

pub(super) const AMR_MISSING: Guide = Guide {
    causes: &[
        "the identity provider let the user in without challenging them, and says `amr` only of a challenge (RSA ID Plus does so)",
        "the issuer never puts `amr` into this kind of token: access tokens of many, v2.0 access tokens of Microsoft Entra among them",
        "a mapper is missing or has no values: Keycloak sends an empty list, which is absent",
        "`trust: { amr: false }`: the policy does not believe it",
    ],
    remedy: &[
        "compare two sign-ins of one user, one that was challenged and one that was not: does the first have `amr`",
        "if so, find the rule at the provider that lets people in unchallenged, and have it ask for a second factor",
        "if neither has it, have the issuer add `amr` to this token, or prove the level by `acr`",
        "only if absence surely means a password: `mapping: { amr: { absent: [pwd] } }`",
    ],
    hint: "The token has no `amr`. Either the provider let the user in without a challenge (find the rule that does), or it never sends `amr` in this kind of token (prove the level by `acr`).",
    new_sign_in: NewSignIn::Mends,
    sources: &["RFC 8176 section 1", "OpenID Connect Core 1.0 section 2", "RFC 9470 section 3"],
};

pub(super) const ACR_UNKNOWN: Guide = Guide {
    causes: &[
        "the issuer has a value that `proves` does not name: a new one, another tenant's, or one in another case",
        "the value comes with a prefix or as a number, and `rename` or `at_least` is not used",
    ],
    remedy: &[
        "read `acr` in the audit line and find out at the issuer what it stands for",
        "name it under `proves` of that issuer, at the rung that it is worth; values compare byte for byte",
    ],
    hint: "`acr` has a value that no proof of this issuer names (the audit line has it). Find out what it is worth, and name it under `proves`; values compare byte for byte.",
    new_sign_in: NewSignIn::Mends,
    sources: &["OpenID Connect Core 1.0 section 2", "RFC 9470 section 2 (levels have no order of their own)"],
};

pub(super) const ACR_INSUFFICIENT: Guide = Guide {
    causes: &[
        "the user signed in more weakly than this route's own `acr` asks",
        "the route lists values of another issuer, or one value too few: stronger ones must be listed too",
    ],
    remedy: &[
        "compare `acr` in the audit line with `acr` under `require` of the route",
        "a route's own `acr` knows no order: list every value that is enough, or ask for a `level`",
    ],
    hint: "`acr` is not one that the route itself lists. A list knows no order: if a stronger value was refused, add it, or ask for a `level` in place of raw values.",
    new_sign_in: NewSignIn::Mends,
    sources: &["RFC 9470 section 3", "OpenID Connect Core 1.0 section 2"],
};

pub(super) const AMR_INSUFFICIENT: Guide = Guide {
    causes: &[
        "the user signed in without the method or the number of factors that this route asks for",
        "the value is there and counts for nothing: `ignore_amr`, or no factor class at this issuer",
        "the issuer calls the method by another name",
    ],
    remedy: &[
        "compare `amr` in the audit line with `amr` and `factors` under `require` of the route",
        "`detail` names values without a class: give them one under `factor_classes`, or `rename` them",
        "the provider's own sign-in policy has to ask for that method: no challenge can name an `amr`",
    ],
    hint: "The `amr` values are not what the route itself asks for. If the right one is there under another name, `rename` it or give it a class; else the provider's sign-in policy must ask for it.",
    new_sign_in: NewSignIn::Mends,
    sources: &["RFC 8176 section 2", "RFC 9470 section 3 (no parameter for amr)"],
};

pub(super) const LEVEL_TOO_LOW: Guide = Guide {
    causes: &[
        "the user signed in with less than the route asks: step-up at work",
        "two values of one factor class: a password and a security question are one factor",
        "the values are there and count for nothing: no class at this issuer, `ignore_amr`, `mfa: derived`, or `trust: { max_level }`",
        "no proof of this issuer reaches the level at all: then the answer is 403, and no sign-in helps",
    ],
    remedy: &[
        "a 401 that is followed by an allowed request is what the gate is for",
        "if a client goes round in circles, compare `acr` and `amr` in the audit line with `proves` of that issuer",
        "make a case of it in `*.test.yaml`: `stepgate test` shows which proof fails, and by what",
        "with status 403 add a proof for that level, or ask for one that this issuer can prove",
    ],
    hint: "The sign-in is weaker than the route asks. If the user did use a second factor, compare `acr` and `amr` in the audit line with `proves`, the factor classes and `trust: { max_level }` of this issuer.",
    new_sign_in: NewSignIn::Mends,
    sources: &["RFC 9470 section 3", "RFC 8176 section 2"],
};

pub(super) const AUTH_TIME_MISSING: Guide = Guide {
    causes: &[
        "the issuer sends `auth_time` in the id_token alone, or only when `max_age` is asked for",
        "it stands in another claim, and `mapping: { auth_time }` does not read it",
    ],
    remedy: &[
        "have the issuer add `auth_time` to this token (often: a setting of the client, or a mapper)",
        "or let the client send its id_token beside the access token",
    ],
    hint: "The route limits the age of the sign-in and the token has no `auth_time`. Have the issuer send it in this token, or map the claim that has it; `iat` says nothing of the sign-in.",
    new_sign_in: NewSignIn::Mends,
    sources: &["OpenID Connect Core 1.0 section 2", "RFC 9068 section 2.2.1", "RFC 9470 section 3"],
};

pub(super) const AUTH_TOO_OLD: Guide = Guide {
    causes: &[
        "the user signed in longer ago than `max_age` of the route",
        "the client refreshed its token, which leaves `auth_time` as it was",
        "the issuer answers from its own session: it ignores `max_age`",
    ],
    remedy: &[
        "a 401 that is followed by an allowed request is what the gate is for",
        "if a client goes round in circles, look whether it passes `max_age` (or `prompt=login`) on to the issuer",
        "if people complain, `max_age` on this route is too short for what they do",
    ],
    hint: "The sign-in is older than the route allows. Refreshing does not renew it; the client has to pass `max_age` on, and the issuer to honour it.",
    new_sign_in: NewSignIn::Mends,
    sources: &["RFC 9470 sections 3 and 6.1", "OpenID Connect Core 1.0 section 3.1.2.1"],
};

pub(super) const SCOPE_MISSING: Guide = Guide {
    causes: &[
        "the client did not ask for the scope, or the user did not grant it",
        "scopes stand in another claim than `scope` and `scp`, or in another form",
    ],
    remedy: &[
        "the challenge names the scopes: the client asks for them in a new authorization request",
        "if the token has them, look at `mapping: { scopes }` of the issuer",
    ],
    hint: "The token lacks a scope that the route asks for (`detail` names it). The client has to ask for it; if the token does have it, look at `mapping: { scopes }`.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["RFC 6750 section 3.1", "RFC 6749 section 3.3"],
};

pub(super) const CLAIM_MISMATCH: Guide = Guide {
    causes: &[
        "`bind`: the path names another consent, account or tenant than the token was issued for",
        "`claims` of the route: the claim is absent, of another JSON type (\"7\" is not 7), or has another value",
    ],
    remedy: &[
        "compare `facts` in the audit line with `bind` and `claims` of the route",
        "if the claim is not there at all, the issuer has to send it, or the pointer is wrong",
        "many from one client, over many paths, are somebody who tries other people's identifiers",
    ],
    hint: "A claim is not what the route asks, or not what the path names: compare `facts` in the audit line. Many from one client over many paths are an attempt on other people's data.",
    new_sign_in: NewSignIn::DoesNot,
    sources: &["docs/policy.md, a requirement adds"],
};
