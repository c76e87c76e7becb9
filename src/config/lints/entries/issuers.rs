//! Lints of issuers.

use crate::config::lints::entry::{Found, Level, Lint};

pub(in crate::config::lints) const ALL: &[Lint] = &[
    Lint {
        name: "amr_unclassed",
        level: Level::Warning,
        found: Found::Policy,
        meaning: "an `amr` value has no class",
        why: "A value that neither the issuer's `factor_classes` nor its profile nor RFC 8176 knows counts as no factor. Under `ignore_amr` or in a proof it is mostly misspelt: then what was to be ignored counts.",
        remedy: "Correct it, or give it a class under `factor_classes`; `none` is one.",
        example: include_str!("../examples/amr_unclassed.yaml"),
    },
    Lint {
        name: "acr_beside_ignored",
        level: Level::Warning,
        found: Found::Policy,
        meaning: "`acr` proves a level whatever `amr` values are ignored",
        why: "`ignore_amr` takes values out of `amr`. A proof by `acr` alone, of a level that some route asks for, does not look there: a user who signed in by a text message is let in all the same if the issuer gives such a sign-in that `acr`.",
        remedy: "Let the proof ask for `amr` or `factors` beside `acr`. Where the issuer gives the `acr` to no such sign-in, silence this with that reason.",
        example: include_str!("../examples/acr_beside_ignored.yaml"),
    },
    Lint {
        name: "issuer_unnamed",
        level: Level::Warning,
        found: Found::Policy,
        meaning: "an issuer that is trusted less reaches routes that ask for no level",
        why: "`trust` holds an issuer's levels down, and where no level is asked for that has no effect: any valid token of any issuer is enough there. A partner's users come further than was thought.",
        remedy: "Name the issuers that are meant: `issuers: [..]`; or ask for a `level`.",
        example: include_str!("../examples/issuer_unnamed.yaml"),
    },
    Lint {
        name: "tokens_not_taken",
        level: Level::Warning,
        found: Found::Policy,
        meaning: "an issuer has only tokens of a kind that no route takes",
        why: "Without `take` only access tokens are looked for, in `Authorization`. An issuer whose users bring nothing but id_tokens has all of them refused.",
        remedy: "Say where its tokens come: `take: [ { header: x-id-token, kind: id } ]`.",
        example: include_str!("../examples/tokens_not_taken.yaml"),
    },
    Lint {
        name: "profile_outdated",
        level: Level::Note,
        found: Found::Surroundings,
        meaning: "an older version of a profile is in use",
        why: "The issuer names a version of a shipped profile, and there is a newer one. Its `about` says what has changed.",
        remedy: "Read what has changed, then name the newer version or leave the version out.",
        example: include_str!("../examples/profile_outdated.yaml"),
    },
    Lint {
        name: "plain_http",
        level: Level::Warning,
        found: Found::Surroundings,
        meaning: "keys come by plain HTTP",
        why: "Whoever sits between the gate and the issuer could send keys of their own, and sign tokens with them.",
        remedy: "Use `https`. Loopback addresses are taken; elsewhere it is refused unless stepgate.yaml says `keys: { allow_http: true }`.",
        example: include_str!("../examples/plain_http.yaml"),
    },
];
