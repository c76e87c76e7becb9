//! `stepgate check`: loads and lints policies, each folder that holds one by itself.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use crate::cli::files;
use crate::cli::render::{self, Format};
use crate::config::{LoadedSettings, Problem, Settings, Severity, Sources, load_policy, load_settings};
use crate::live::folder::{ReadError, read_file};

/// Arguments of `stepgate check`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// The folder to look in, its subfolders too [default: the one that the settings name, or `policies`]
    pub dir: Option<PathBuf>,
    /// A stepgate.yaml to check too; upstreams and plain-http issuers are then held against it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How problems are shown
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Clean.
const CLEAN: u8 = 0;
/// Problems were found.
const PROBLEMS: u8 = 1;
/// It could not run.
const COULD_NOT_RUN: u8 = 2;

/// Runs it: exit code 0 when clean, 1 with problems, 2 when it could not run.
#[must_use]
pub(super) fn run(args: &CheckArgs) -> ExitCode {
    let code = match check(args) {
        Ok(findings) => findings.print(args.format),
        Err(unreadable) => {
            writeln!(io::stderr(), "error: {unreadable}").unwrap_or_default();
            COULD_NOT_RUN
        }
    };
    ExitCode::from(code)
}

/// What was found, ready to be shown.
#[derive(Debug, Default)]
struct Findings {
    policies: usize,
    errors: usize,
    lints: usize,
    human: String,
    json: Vec<Value>,
}

#[derive(Debug, thiserror::Error)]
enum CannotCheck {
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    #[error("no policy in `{0}`: no folder there holds a file that ends in `.yaml`")]
    NoPolicy(PathBuf),
}

fn check(args: &CheckArgs) -> Result<Findings, CannotCheck> {
    let colour = io::stdout().is_terminal();
    let mut findings = Findings::default();
    let settings = match &args.config {
        Some(path) => match load_settings(read_file(path)?) {
            Ok(LoadedSettings { settings, lints, sources, .. }) => {
                findings.add(&lints, &sources, colour);
                Some(settings)
            }
            Err(rejected) => {
                findings.add(&rejected.problems, &rejected.sources, colour);
                None
            }
        },
        None => None,
    };
    let dir = match (&args.dir, &settings, &args.config) {
        (Some(dir), _, _) => dir.clone(),
        (None, Some(settings), _) => settings.policies.clone(),
        // Settings that can't be read do not say where the policies are.
        (None, None, Some(_)) => return Ok(findings),
        (None, None, None) => PathBuf::from("policies"),
    };
    for folder in files::find(&dir)?.into_iter().filter(|folder| !folder.policies.is_empty()) {
        findings.policies = findings.policies.saturating_add(1);
        check_folder(files::read_all(&folder.policies)?, settings.as_ref(), colour, &mut findings);
    }
    if findings.policies == 0 {
        return Err(CannotCheck::NoPolicy(dir));
    }
    Ok(findings)
}

fn check_folder(
    texts: Vec<crate::config::SourceFile>,
    settings: Option<&Settings>,
    colour: bool,
    findings: &mut Findings,
) {
    match load_policy(texts) {
        Ok(loaded) => {
            let more = settings.map_or_else(|| loaded.plain_http_lints(), |settings| loaded.check_against(settings));
            let problems: Vec<Problem> = loaded.lints.iter().cloned().chain(more).collect();
            findings.add(&problems, &loaded.sources, colour);
        }
        Err(rejected) => findings.add(&rejected.problems, &rejected.sources, colour),
    }
}

impl Findings {
    fn add(&mut self, problems: &[Problem], sources: &Sources, colour: bool) {
        let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        self.errors = self.errors.saturating_add(errors);
        self.lints = self.lints.saturating_add(problems.len().saturating_sub(errors));
        self.human.push_str(&render::human(problems, sources, colour));
        self.json.extend(render::json(problems, sources));
    }

    /// Lints are said, and are no reason to fail.
    fn print(&self, format: Format) -> u8 {
        let counts = format!(
            "{} checked: {}, {}",
            counted(self.policies, "policy", "policies"),
            counted(self.errors, "error", "errors"),
            counted(self.lints, "lint", "lints")
        );
        let written = match format {
            Format::Json => writeln!(io::stdout(), "{}", Value::from(self.json.clone())),
            Format::Human => writeln!(io::stdout(), "{}{counts}", self.human),
        };
        match written {
            Err(_) => COULD_NOT_RUN,
            Ok(()) if self.errors == 0 => CLEAN,
            Ok(()) => PROBLEMS,
        }
    }
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
