//! What commands say, and the exit codes that they end with.

use std::io::{self, Write};
use std::process::ExitCode;

/// Problems were found.
pub(super) const PROBLEMS: u8 = 1;
/// The command could not run.
pub(super) const COULD_NOT_RUN: u8 = 2;

/// Why a command did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Problems in what was read, ready to be printed. Exit code 1.
    Problems(String),
    /// It could not run at all. Exit code 2.
    CouldNotRun(String),
}

impl Failure {
    /// It could not run, for this reason.
    #[expect(clippy::needless_pass_by_value, reason = "so that it can stand in `map_err`")]
    pub(super) fn could_not_run(reason: impl ToString) -> Self {
        Self::CouldNotRun(reason.to_string())
    }

    /// Problems, one a line.
    #[expect(clippy::needless_pass_by_value, reason = "so that it can stand in `map_err`")]
    pub(super) fn problems<P: ToString>(problems: Vec<P>) -> Self {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Self::Problems(lines.join("\n"))
    }

    /// Says it on standard error.
    pub(super) fn report(&self) -> ExitCode {
        let (text, code) = match self {
            Self::Problems(text) => (text.trim_end().to_owned(), PROBLEMS),
            Self::CouldNotRun(reason) => (format!("stepgate: {reason}"), COULD_NOT_RUN),
        };
        complain(&text);
        ExitCode::from(code)
    }
}

/// A line on standard error. A reader that went away is no reason to fail.
pub(super) fn complain(text: &str) {
    writeln!(io::stderr().lock(), "{text}").unwrap_or_default();
}

/// A text on standard output, which must arrive.
///
/// # Errors
/// When nobody takes it.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.map_err(|error| Failure::could_not_run(format!("failed to write to standard output: {error}")))
}
