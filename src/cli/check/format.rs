//! The forms in which `check` shows what it found.

/// How problems are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// With a snippet, for people
    #[default]
    Human,
    /// One JSON array
    Json,
    /// Workflow commands, which GitHub shows beside the lines
    Github,
    /// SARIF 2.1.0, which code scanners and editors read
    Sarif,
}
