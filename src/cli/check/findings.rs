//! What was found, in the forms in which it can be shown.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::Value;

use crate::cli::check::format::Format;
use crate::cli::check::{github, sarif};
use crate::cli::output::{Failure, PROBLEMS, complain, say};
use crate::cli::render;
use crate::config::{InUse, Problem, Severity, Sources};

/// What was found, ready to be shown.
#[derive(Debug, Default)]
pub(super) struct Findings {
    format: Format,
    pub(super) policies: usize,
    pub(super) notes: Vec<String>,
    pub(super) profiles: Vec<InUse>,
    errors: usize,
    lints: usize,
    human: String,
    json: Vec<Value>,
    github: Vec<String>,
    sarif: sarif::Results,
}

impl Findings {
    /// Nothing yet.
    pub(super) fn shown_as(format: Format) -> Self {
        Self { format, ..Self::default() }
    }

    pub(super) fn add(&mut self, problems: &[Problem], sources: &Sources, colour: bool) {
        let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        self.errors = self.errors.saturating_add(errors);
        self.lints = self.lints.saturating_add(problems.len().saturating_sub(errors));
        // A snippet costs as much as its file is long, so only what will be shown is made.
        match self.format {
            Format::Human => self.human.push_str(&render::human(problems, sources, colour)),
            Format::Json => self.json.extend(render::json(problems, sources)),
            Format::Github => self.github.extend(problems.iter().map(|problem| github::command(problem, sources))),
            Format::Sarif => problems.iter().for_each(|problem| self.sarif.add(problem, sources)),
        }
    }

    /// Lints are said, and are no reason to fail. Only for people is more said than what was found.
    pub(super) fn print(self) -> Result<ExitCode, Failure> {
        let counts = format!(
            "{} checked: {}, {}",
            counted(self.policies, "policy", "policies"),
            counted(self.errors, "error", "errors"),
            counted(self.lints, "lint", "lints")
        );
        let in_use = profiles_in_use(&self.profiles);
        let notes: String = self.notes.iter().chain(&in_use).map(|note| format!("note: {note}\n")).collect();
        if self.format != Format::Human && !notes.is_empty() {
            complain(notes.trim_end());
        }
        match self.format {
            Format::Human => say(&format!("{}{notes}{counts}", self.human))?,
            Format::Json => say(&Value::from(self.json).to_string())?,
            Format::Github if self.github.is_empty() => {}
            Format::Github => say(&self.github.join("\n"))?,
            Format::Sarif => say(&self.sarif.log().to_string())?,
        }
        Ok(if self.errors == 0 { ExitCode::SUCCESS } else { ExitCode::from(PROBLEMS) })
    }
}

/// Which versions of which profiles are in use, and by whom.
fn profiles_in_use(used: &[InUse]) -> Option<String> {
    let mut by_profile: BTreeMap<(&str, u64), Vec<&str>> = BTreeMap::new();
    for one in used {
        let issuers = by_profile.entry((&one.profile.name, one.profile.version)).or_default();
        if !issuers.contains(&&*one.issuer) {
            issuers.push(&one.issuer);
        }
    }
    let each = by_profile.iter().map(|((name, version), issuers)| format!("{name}@{version} ({})", issuers.join(", ")));
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| format!("profiles in use: {}", each.join(", ")))
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
