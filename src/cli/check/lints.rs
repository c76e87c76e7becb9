//! `stepgate check --lints`: what lints there are, and all about one of them.

use serde_json::{Value, json};

use crate::cli::check::command::CheckArgs;
use crate::cli::check::format::Format;
use crate::cli::check::page;
use crate::cli::output::Failure;
use crate::config::lints::{self, Found, Lint};
use crate::config::reader::suggest;

/// What is told: of all, or of the one with this name.
pub(super) fn told(name: Option<&str>, args: &CheckArgs) -> Result<String, Failure> {
    if args.docs {
        return Ok(page::markdown());
    }
    Ok(match (name, args.format) {
        (None, Format::Human) => listing(),
        (None, Format::Json) => Value::from(lints::all().map(json).collect::<Vec<_>>()).to_string(),
        (Some(name), Format::Human) => human(named(name)?),
        (Some(name), Format::Json) => json(named(name)?).to_string(),
        (_, Format::Github | Format::Sarif) => {
            return Err(Failure::could_not_run("lints are listed as `--format human` or `--format json`"));
        }
    })
}

fn named(name: &str) -> Result<&'static Lint, Failure> {
    lints::find(name).ok_or_else(|| {
        let near = suggest(name, lints::all().map(|lint| lint.name));
        let help = Some(near).filter(|near| near.starts_with("did you mean"));
        let help = help.unwrap_or_else(|| "`stepgate check --lints` lists all".to_owned());
        Failure::could_not_run(format!("unknown lint `{name}`; {help}"))
    })
}

/// One line a lint: name, level, meaning.
fn listing() -> String {
    let width = lints::all().map(|lint| lint.name.len()).max().unwrap_or_default().saturating_add(2);
    let line = |lint: &Lint| format!("{:width$}{:9}{}\n", lint.name, lint.level.name(), lint.meaning);
    lints::all().map(line).collect::<String>() + "\nAll about one of them: stepgate check --lints NAME"
}

/// In what a lint is found, in words.
pub(super) fn found_in(lint: &Lint) -> &'static str {
    match lint.found {
        Found::Policy => "policies",
        Found::Settings => "stepgate.yaml",
        Found::Surroundings => "what stands around a file: the machine, the settings, this version",
        Found::Online => "what the issuers of a policy say of themselves (`--online`)",
    }
}

fn human(lint: &Lint) -> String {
    let Lint { name, meaning, why, remedy, example, .. } = lint;
    let example: String = example.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "{name} ({}): {meaning}\n\n{why}\n\nWhat to do: {remedy}\n\nFound in {}, as here:\n\n{example}\nWhere it is meant, say so in place: # stepgate: allow {name} because REASON",
        lint.level.name(),
        found_in(lint),
    )
}

fn json(lint: &Lint) -> Value {
    let Lint { name, level, found, meaning, why, remedy, example } = lint;
    let found = match found {
        Found::Policy => "policy",
        Found::Settings => "settings",
        Found::Surroundings => "surroundings",
        Found::Online => "online",
    };
    json!({
        "name": name, "level": level.name(), "found": found, "meaning": meaning, "why": why, "remedy": remedy,
        "example": example,
    })
}
