//! Lints of exceptions.

use crate::config::lints::entry::{Found, Level, Lint};

pub(in crate::config::lints) const ALL: &[Lint] = &[
    Lint {
        name: "exception_over",
        level: Level::Note,
        found: Found::Surroundings,
        meaning: "an exception has ended",
        why: "From its `until` on an exception lets nobody in. It is taken all the same, so that a gate can start and other routes can be changed; but whoever reads the policy may think that it holds.",
        remedy: "Take it out. Where it is still needed, give it another `until`, at most 7 days ahead.",
        example: include_str!("../examples/exception_over.yaml"),
    },
    Lint {
        name: "exception_idle",
        level: Level::Warning,
        found: Found::Policy,
        meaning: "an exception changes nothing on a route",
        why: "An exception puts `instead` in the place of what a route asks of the sign-in. Here the route asks nothing of it, or takes no token of the issuer that the exception names, or `instead` asks for no less: whoever it was meant for is refused as before.",
        remedy: "Ask for less under `instead`, name the route that was meant, or take it out.",
        example: include_str!("../examples/exception_idle.yaml"),
    },
    Lint {
        name: "exception_any_token",
        level: Level::Warning,
        found: Found::Policy,
        meaning: "an exception asks nothing of how a person signed in",
        why: "With `instead: authenticated` any valid token of the persons who are named is enough, however old or weak the sign-in was: a token that was stolen from them opens what asked for more yesterday.",
        remedy: "Ask for what they can still prove, such as `{ level: single-factor, max_age: 8h }`; where that is nothing, silence this with the reason.",
        example: include_str!("../examples/exception_any_token.yaml"),
    },
];
