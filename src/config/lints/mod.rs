//! Lints: what is taken and hardly means what it says.
//!
//! `table` says of each all there is to know (`stepgate check --lints`, docs/lints.md); `silence` lets an operator say in
//! place that it is meant; the other files find them. A lint is only said where it certainly holds: of what can't be
//! compared nothing is said. None of them compares every two routes: `overlap` knows which can meet, and `sample` makes requests by
//! which it is tried what comes of a path that an upstream sees or reads otherwise.

mod asks;
mod budget;
mod case;
mod encoded;
mod entries;
mod entry;
mod evidence;
mod exceptions;
mod issuers;
mod levels;
mod look;
mod online;
mod overlap;
mod proofs;
mod rewrite;
mod routes;
mod sample;
mod shadows;
mod silence;
mod table;
#[cfg(test)]
mod tests;
mod walk;
mod weaker;

pub use entry::{Found, Level, Lint};
pub use look::{Places, check};
pub use online::{Said, check_online};
pub use silence::{kept, rejected, settle};
pub use table::{all, find};
