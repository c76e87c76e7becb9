//! `stepgate check`: loads and lints policies, each folder that holds one by itself.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

use crate::cli::files::{self, NamedBy};
use crate::cli::named;
use crate::cli::output::{Failure, PROBLEMS, complain, say};
use crate::cli::render::{self, Format};
use crate::config::{InUse, LoadedSettings, Problem, Settings, Severity, Sources, load_policy, load_settings};
use crate::live::folder::{ReadError, is_policy, read_file};

/// Arguments of `stepgate check`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// The folder to look in, its subfolders too, or one file of a policy [default: the one that the settings name, or `policies`]
    pub dir: Option<PathBuf>,
    /// A stepgate.yaml to check too; upstreams and plain-http issuers are then held against it
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How problems are shown
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs it: exit code 0 when clean, 1 with problems, 2 when it could not run.
#[must_use]
pub(super) fn run(args: &CheckArgs) -> ExitCode {
    match check(args).and_then(|findings| findings.print(args.format)) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

/// What was found, ready to be shown.
#[derive(Debug, Default)]
struct Findings {
    policies: usize,
    errors: usize,
    lints: usize,
    human: String,
    json: Vec<Value>,
    notes: Vec<String>,
    profiles: Vec<InUse>,
}

fn check(args: &CheckArgs) -> Result<Findings, Failure> {
    let colour = io::stdout().is_terminal();
    let mut findings = Findings::default();
    let settings = match &args.config {
        Some(path) => settings(path, colour, &mut findings)?,
        None => None,
    };
    let (dir, by) = match (&args.dir, &settings, &args.config) {
        (Some(dir), _, _) => (dir.clone(), NamedBy::Argument),
        (None, Some(settings), Some(file)) => (settings.policies.clone(), NamedBy::Setting(file.clone())),
        // Settings that can't be taken do not say where the policies are.
        (None, None, Some(file)) => match beside(file, &mut findings) {
            Some(dir) => (dir, NamedBy::Default),
            None => return Ok(findings),
        },
        (None, _, None) => (PathBuf::from("policies"), NamedBy::Default),
    };
    if let NamedBy::Setting(file) = &by {
        runnable(&dir, file)?;
    }
    let folders = files::find(&dir, &by).map_err(Failure::could_not_run)?;
    for folder in folders.into_iter().filter(|folder| !folder.policies.is_empty()) {
        findings.policies = findings.policies.saturating_add(1);
        let texts = files::read_all(&folder.policies).map_err(Failure::could_not_run)?;
        check_folder(texts, settings.as_ref(), colour, &mut findings);
    }
    if findings.policies == 0 {
        let reason = format!("no policy in `{}`: no folder there holds a file that ends in `.yaml`", dir.display());
        return Err(Failure::could_not_run(reason));
    }
    Ok(findings)
}

fn settings(path: &Path, colour: bool, findings: &mut Findings) -> Result<Option<Settings>, Failure> {
    let file = read_file(path).map_err(|error| Failure::could_not_run(format!("{error} (`--config`)")))?;
    match load_settings(file) {
        Ok(LoadedSettings { settings, mut lints, sources, files }) => {
            lints.extend(named::problems(&files));
            lints.sort_by_key(|lint| lint.span);
            findings.add(&lints, &sources, colour);
            Ok(Some(settings))
        }
        Err(rejected) => {
            findings.add(&rejected.problems, &rejected.sources, colour);
            Ok(None)
        }
    }
}

/// What `run` reads is a folder's own files: what settings name must have some.
fn runnable(dir: &Path, file: &Path) -> Result<(), Failure> {
    let (shown, named) = (dir.display(), format!("`policies` in `{}` names", file.display()));
    // That nothing is there at all is said elsewhere.
    let Ok(found) = dir.metadata() else { return Ok(()) };
    if !found.is_dir() {
        return Err(Failure::could_not_run(format!(
            "`{shown}`, which {named}, is no folder; name the one that it is in"
        )));
    }
    let unreadable = |error| Failure::could_not_run(ReadError::Io { path: dir.to_owned(), error });
    let mut names = dir.read_dir().map_err(unreadable)?.flatten().map(|entry| entry.path());
    if names.any(|path| is_policy(&path) && !path.is_dir()) {
        return Ok(());
    }
    let hint = "it holds no file that ends in .yaml or .yml, and `run` reads no subfolders";
    Err(Failure::could_not_run(format!("no policy in `{shown}`, which {named}: {hint}")))
}

/// The folder `policies` beside settings that can't be taken, if it is there.
fn beside(file: &Path, findings: &mut Findings) -> Option<PathBuf> {
    let dir = file.parent().unwrap_or(Path::new("")).join("policies");
    let shown = dir.display();
    if dir.is_dir() {
        findings.notes.push(format!("the policies in `{shown}` were checked without the settings, which have errors"));
        return Some(dir);
    }
    findings.notes.push(format!(
        "no policy was checked: the settings have errors, and there is no folder `{shown}`; name one as the argument DIR"
    ));
    None
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
            let mut problems: Vec<Problem> = loaded.lints.iter().cloned().chain(more).collect();
            problems.extend(named::problems(&loaded.files));
            findings.add(&problems, &loaded.sources, colour);
            findings.profiles.extend(loaded.in_use);
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
    fn print(&self, format: Format) -> Result<ExitCode, Failure> {
        let counts = format!(
            "{} checked: {}, {}",
            counted(self.policies, "policy", "policies"),
            counted(self.errors, "error", "errors"),
            counted(self.lints, "lint", "lints")
        );
        let in_use = profiles_in_use(&self.profiles);
        let notes: String = self.notes.iter().chain(&in_use).map(|note| format!("note: {note}\n")).collect();
        match format {
            Format::Json => {
                if !notes.is_empty() {
                    complain(notes.trim_end());
                }
                say(&Value::from(self.json.clone()).to_string())?;
            }
            Format::Human => say(&format!("{}{notes}{counts}", self.human))?,
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
