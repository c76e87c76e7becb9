//! Lints of silences.

use crate::config::lints::entry::{Found, Level, Lint};

pub(in crate::config::lints) const ALL: &[Lint] = &[
    Lint {
        name: "silence_unreadable",
        level: Level::Warning,
        found: Found::Policy,
        meaning: "a comment for Stepgate can't be understood",
        why: "A comment that begins with `# stepgate:` and means to silence something says it in another way, so it silences nothing.",
        remedy: "Write `# stepgate: allow LINT because REASON`.",
        example: include_str!("../examples/silence_unreadable.yaml"),
    },
    Lint {
        name: "silence_without_reason",
        level: Level::Warning,
        found: Found::Policy,
        meaning: "a silence says no reason",
        why: "Whoever reads the policy after you must see why the lint was no mistake. Without a reason it is still said.",
        remedy: "Say why: `# stepgate: allow LINT because REASON`.",
        example: include_str!("../examples/silence_without_reason.yaml"),
    },
    Lint {
        name: "silence_unknown",
        level: Level::Warning,
        found: Found::Policy,
        meaning: "a silence names no lint that can be silenced",
        why: "There is no such lint: the name is misspelt, or it is that of an error or of a lint about silences, and those can't be silenced.",
        remedy: "Correct the name; `stepgate check --lints` lists them.",
        example: include_str!("../examples/silence_unknown.yaml"),
    },
    Lint {
        name: "silence_idle",
        level: Level::Warning,
        found: Found::Policy,
        meaning: "a silence silences nothing",
        why: "The lint that it speaks of is not found on its line or on the one below it. Left there, it would silence one that comes up later for another reason.",
        remedy: "Take it out, or put it at the end of the lint's line or above it.",
        example: include_str!("../examples/silence_idle.yaml"),
    },
];
