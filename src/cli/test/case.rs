//! What came of the cases, ready to be shown in any form.

use crate::cli::test::coverage::Coverage;
use crate::cli::test::judge::{Decision, Judged, Told};
use crate::config::Rejected;
use crate::config::cases::Expected;

/// What came of one case.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// The file.
    pub(super) file: String,
    /// The line in it.
    pub(super) line: usize,
    /// What the case is called, where it has a name.
    pub(super) name: Option<Box<str>>,
    /// The request, as it was written.
    pub(super) request: Box<str>,
    /// The names of its tokens.
    pub(super) tokens: Vec<Box<str>>,
    /// What must come of it.
    pub(super) expected: Expected,
    /// What came of it.
    pub(super) judged: Judged,
}

/// What came of all cases, in their order; and what could not be taken.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) outcomes: Vec<Outcome>,
    /// Files and policies that could not be taken, with the path to show.
    pub(super) broken: Vec<(String, Box<Rejected>)>,
    /// What of each policy the cases reach, where that was asked for.
    pub(super) coverage: Vec<Coverage>,
}

impl Outcome {
    /// Whether it is what the case expects.
    pub(super) fn holds(&self) -> bool {
        match (self.expected, self.judged.decision) {
            (Expected::Allow, Decision::Allow) => true,
            (Expected::Deny(expected), Decision::Deny(reason))
            | (Expected::WouldDeny(expected), Decision::WouldDeny(reason)) => expected.is_none_or(|one| one == reason),
            (Expected::Allow | Expected::Deny(_) | Expected::WouldDeny(_), _) => false,
        }
    }

    /// `FILE:LINE`.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    /// Its name, if it has one, its request and its tokens.
    pub(super) fn title(&self) -> String {
        let name = self.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        format!("{name}{} [{}]", self.request, self.tokens.join(", "))
    }

    /// Whether a filter means it.
    pub(super) fn is_meant(&self, filter: &str) -> bool {
        self.title().contains(filter) || self.place().contains(filter)
    }

    /// What was expected, in words.
    pub(super) fn expected(&self) -> String {
        let decision = self.expected.decision();
        self.expected.reason().map_or_else(|| decision.to_owned(), |reason| format!("{decision}: {reason}"))
    }

    /// The steps of the decision, and the hint.
    pub(super) fn steps(&self) -> impl Iterator<Item = Told> {
        let hint = self.judged.hint.clone().map(|text| Told { name: "hint", text });
        self.judged.steps.iter().cloned().chain(hint)
    }
}

impl Results {
    pub(super) fn passed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.holds()).count()
    }

    pub(super) fn failed(&self) -> usize {
        self.outcomes.len().saturating_sub(self.passed())
    }

    /// Whether every promise holds and every file could be taken.
    pub(super) fn all_hold(&self) -> bool {
        self.failed() == 0 && self.broken.is_empty()
    }
}
