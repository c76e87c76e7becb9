//! What is wrong with a file, where, and how to mend it. Rendered by `cli`; here it is data.

use crate::config::secrets;
use crate::config::source::{FileId, Sources, Span};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is not taken.
    Error,
    /// The file is taken, but hardly means what it says.
    Lint,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Error or lint.
    pub severity: Severity,
    /// A stable name for this kind of problem, in `snake_case`.
    pub code: &'static str,
    /// Where it stands.
    pub span: Span,
    /// What is wrong, in lower case and without a final stop.
    pub message: String,
    /// What to say of the place itself; may be empty.
    pub label: String,
    /// How to mend it.
    pub help: Option<String>,
    /// Other places that have to do with it, and what they have.
    pub related: Vec<(Span, String)>,
    /// Whether a secret stands there: the place is shown, and not what is written in it.
    pub secret: bool,
}

impl Problem {
    /// An error.
    #[must_use]
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        let (message, label) = (secrets::without_users(&message.into()), String::new());
        Self { severity: Severity::Error, code, span, message, label, help: None, related: Vec::new(), secret: false }
    }

    /// A lint.
    #[must_use]
    pub fn lint(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Lint, ..Self::error(code, span, message) }
    }

    /// With words for the place itself.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = secrets::without_users(&label.into());
        self
    }

    /// With a way to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(secrets::without_users(&help.into()));
        self
    }

    /// With another place that has to do with it.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, secrets::without_users(&label.into())));
        self
    }

    /// With its place shown, and not what is written there.
    #[must_use]
    pub fn secret(mut self, is: bool) -> Self {
        self.secret = is;
        self
    }
}

/// Problems found so far; whoever finds one adds it and goes on.
#[derive(Debug, Default)]
pub struct Report {
    problems: Vec<Problem>,
}

impl Report {
    /// Adds a problem.
    pub fn add(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Whether one of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// How many errors there are.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// All of them, in the order in which they stand in the files, each once.
    #[must_use]
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| (problem.span, problem.severity));
        self.problems.dedup();
        self.problems
    }
}

/// A reading that failed: every problem, and the texts to show them in.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// Errors and lints; at least one error.
    pub problems: Vec<Problem>,
    /// The files.
    pub sources: Sources,
}

impl Rejected {
    /// One line a problem: `file:line:column: message; help`. For logs.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.problems.iter().map(|problem| problem.line(&self.sources)).collect()
    }
}

impl Problem {
    /// The problem in one line: `file:line:column: message; help`.
    #[must_use]
    pub fn line(&self, sources: &Sources) -> String {
        let at = sources.position(self.span);
        let name = sources.file(self.span.file).map_or("?", |file| file.name.as_str());
        let help = self.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        format!("{name}:{}:{}: {}{help}", at.line, at.column, self.message)
    }

    /// The file that it stands in.
    #[must_use]
    pub fn file(&self) -> FileId {
        self.span.file
    }
}
