//! What there is to know of a lint.

/// How much a lint matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Someone may be let in, or refused, who was not meant.
    Warning,
    /// Something is there for nothing, or could be said better.
    Note,
}

impl Level {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// What a lint is found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A policy by itself.
    Policy,
    /// `stepgate.yaml` by itself.
    Settings,
    /// What stands around them: the files of this machine, or the settings that a policy is held against. Elsewhere it may
    /// not be found, so that a silence which is of no use here may be of use there.
    Surroundings,
    /// What its issuers answer, for whoever asks them (`stepgate check --online`).
    Online,
}

/// One lint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lint {
    /// Its stable name, in `snake_case`.
    pub name: &'static str,
    /// How much it matters.
    pub level: Level,
    /// What it is found in.
    pub found: Found,
    /// What it says, in a few words without a final stop.
    pub meaning: &'static str,
    /// Why that is odd, and what comes of it.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// A file in which it is found.
    pub example: &'static str,
}
