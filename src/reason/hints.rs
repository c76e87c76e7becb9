//! What an issuer's profile has an operator look at, reason by reason, in place of the general hint.

use std::collections::BTreeMap;

use crate::reason::code::Reason;

/// The hints of one profile. Most reasons have none here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints(BTreeMap<Reason, Box<str>>);

impl Hints {
    /// The hint for this reason, where there is one.
    #[must_use]
    pub fn get(&self, reason: Reason) -> Option<&str> {
        self.0.get(&reason).map(|hint| &**hint)
    }

    /// All of them, in the reasons' order of precedence.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, &str)> {
        self.0.iter().map(|(reason, hint)| (*reason, &**hint))
    }
}

impl FromIterator<(Reason, Box<str>)> for Hints {
    fn from_iter<I: IntoIterator<Item = (Reason, Box<str>)>>(hints: I) -> Self {
        Self(hints.into_iter().collect())
    }
}
