//! `stepgate check`: loads and lints policies, each folder that holds one by itself.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::check::findings::Findings;
use crate::cli::check::format::Format;
use crate::cli::check::{lints, online};
use crate::cli::files::{self, NamedBy};
use crate::cli::named;
use crate::cli::output::{Failure, say};
use crate::clock;
use crate::config::lints::kept;
use crate::config::{LoadedSettings, Problem, Settings, load_policy_at, load_settings};
use crate::live::folder::{ReadError, is_policy, read_file};

/// Arguments of `stepgate check`.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct CheckArgs {
    /// The folder to look in, its subfolders too, or one file of a policy [default: the one that the settings name, or `policies`]
    pub dir: Option<PathBuf>,
    /// A stepgate.yaml to check too; upstreams and plain-http issuers are then held against it
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Ask the policies' issuers for their discovery documents and keys, and hold the policies against them
    #[arg(long)]
    online: bool,
    /// How problems are shown; all but `human` put nothing else on standard output
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// List the lints, with what each means, or tell all about one
    #[arg(long, value_name = "NAME", num_args = 0..=1, conflicts_with_all = ["dir", "config", "online"])]
    pub lints: Option<Option<String>>,
    /// Print docs/lints.md
    #[arg(long, hide = true, requires = "lints")]
    pub docs: bool,
}

/// Runs it: exit code 0 when clean, 1 with problems, 2 when it could not run.
#[must_use]
pub(in crate::cli) fn run(args: &CheckArgs) -> ExitCode {
    let done = match &args.lints {
        Some(name) => {
            lints::told(name.as_deref(), args).and_then(|text| say(text.trim_end())).map(|()| ExitCode::SUCCESS)
        }
        None => check(args).and_then(Findings::print),
    };
    match done {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn check(args: &CheckArgs) -> Result<Findings, Failure> {
    let colour = io::stdout().is_terminal();
    let mut findings = Findings::shown_as(args.format);
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
        check_folder(texts, settings.as_ref(), args.online, colour, &mut findings)?;
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
            lints.extend(kept(named::problems(&files), &sources));
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
    online: bool,
    colour: bool,
    findings: &mut Findings,
) -> Result<(), Failure> {
    match load_policy_at(texts, clock::now()) {
        Ok(loaded) => {
            let more = settings.map_or_else(|| loaded.plain_http_lints(), |settings| loaded.check_against(settings));
            let asked = if online { online::look(&loaded, settings)? } else { online::Found::default() };
            for name in &asked.not_asked {
                findings.notes.push(format!("`{name}` was not asked: its keys are in a file"));
            }
            let around = more.into_iter().chain(named::problems(&loaded.files)).chain(asked.problems).collect();
            let around = kept(around, &loaded.sources);
            let problems: Vec<Problem> = loaded.lints.iter().cloned().chain(around).collect();
            findings.add(&problems, &loaded.sources, colour);
            findings.profiles.extend(loaded.in_use);
        }
        Err(rejected) => findings.add(&rejected.problems, &rejected.sources, colour),
    }
    Ok(())
}
