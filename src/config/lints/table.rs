//! All lints, in the order in which they are listed.

use crate::config::lints::entries::{exceptions, issuers, proofs, routes, settings, silences};
use crate::config::lints::entry::Lint;

const GROUPS: [&[Lint]; 6] = [routes::ALL, exceptions::ALL, proofs::ALL, issuers::ALL, settings::ALL, silences::ALL];

/// All lints.
pub fn all() -> impl Iterator<Item = &'static Lint> + Clone {
    GROUPS.into_iter().flatten()
}

/// The lint with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Lint> {
    all().find(|lint| lint.name == name)
}

/// The names of all.
pub(super) fn names() -> impl Iterator<Item = &'static str> + Clone {
    all().map(|lint| lint.name)
}
