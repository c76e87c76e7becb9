//! The command: which cases, and in which form what came of them is shown.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::files::{self, NamedBy, PolicyFolder};
use crate::cli::output::{Failure, PROBLEMS, say};
use crate::cli::test::case::{Outcome, Results};
use crate::cli::test::coverage::Coverage;
use crate::cli::test::judge::judge;
use crate::cli::test::{human, json, junit, watch};
use crate::config::cases::{TestToken, Tests};
use crate::config::{load_policy, load_tests};
use crate::live::folder::{ReadError, read_file};
use crate::policy::Policy;

/// Arguments of `stepgate test`.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct TestArgs {
    /// The folder to look in, its subfolders too, or one `*.test.yaml` [default: `policies`]
    dir: Option<PathBuf>,
    /// Only cases whose name, file, request or tokens hold this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Show the steps of the cases that came out as expected, too
    #[arg(long, short)]
    verbose: bool,
    /// Say which routes, floors, conditions, rungs and reasons no case reaches
    #[arg(long)]
    coverage: bool,
    /// Run the tests again whenever a file of them or of their policy changes
    #[arg(long)]
    watch: bool,
    /// How what came of them is shown
    #[arg(long, value_enum, default_value_t)]
    format: Form,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// What failed and how, for people
    #[default]
    Human,
    /// One JSON object
    Json,
    /// JUnit XML, for CI
    Junit,
}

/// Why no case could be judged.
#[derive(Debug, thiserror::Error)]
enum CannotTest {
    /// A file or folder cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// There is nothing to look at.
    #[error(transparent)]
    Nowhere(#[from] files::CannotLook),
    /// There are none.
    #[error("no tests in `{0}`: no folder there holds a file that ends in `.test.yaml`")]
    NoTests(PathBuf),
    /// There is nothing to hold them against.
    #[error("`{0}` tests a policy, and none stands beside it")]
    NoPolicy(PathBuf),
    /// The filter left none.
    #[error("no case holds `{0}`")]
    NothingLeft(String),
}

/// Runs it: exit code 0 when every promise holds, 1 when one does not or a file is wrong, 2 when it could not run.
#[must_use]
pub(in crate::cli) fn run(args: &TestArgs) -> ExitCode {
    match (args.watch, args.coverage, args.format) {
        (true, _, Form::Json | Form::Junit) => {
            Failure::could_not_run("`--watch` is for people: leave `--format` out").report()
        }
        (_, true, Form::Junit) => {
            Failure::could_not_run("JUnit has no place for coverage: use `--format json`, or leave `--format` out")
                .report()
        }
        (true, _, Form::Human) => watch::run(args.top(), || once(args)),
        (false, _, _) => once(args),
    }
}

fn once(args: &TestArgs) -> ExitCode {
    match test(args) {
        Ok(results) => {
            let text = match args.format {
                Form::Human => human::text(&results, args.verbose, io::stdout().is_terminal()),
                Form::Json => json::text(&results),
                Form::Junit => junit::text(&results, args.verbose),
            };
            match say(&text) {
                Err(failure) => failure.report(),
                Ok(()) if results.all_hold() => ExitCode::SUCCESS,
                Ok(()) => ExitCode::from(PROBLEMS),
            }
        }
        Err(cannot) => Failure::could_not_run(cannot).report(),
    }
}

impl TestArgs {
    fn top(&self) -> &Path {
        self.dir.as_deref().unwrap_or(Path::new("policies"))
    }
}

/// Judges all cases.
///
/// # Errors
/// When there is nothing to judge, or a file cannot be read.
fn test(args: &TestArgs) -> Result<Results, CannotTest> {
    let mut results = Results::default();
    let by = if args.dir.is_some() { NamedBy::Argument } else { NamedBy::Default };
    let folders: Vec<PolicyFolder> =
        files::find(args.top(), &by)?.into_iter().filter(|folder| !folder.tests.is_empty()).collect();
    if folders.is_empty() {
        return Err(CannotTest::NoTests(args.top().to_owned()));
    }
    for folder in &folders {
        test_folder(folder, args, &mut results)?;
    }
    match &args.filter {
        Some(filter) if results.outcomes.is_empty() && results.broken.is_empty() => {
            Err(CannotTest::NothingLeft(filter.clone()))
        }
        Some(_) | None => Ok(results),
    }
}

fn test_folder(folder: &PolicyFolder, args: &TestArgs, results: &mut Results) -> Result<(), CannotTest> {
    if folder.policies.is_empty() {
        return Err(CannotTest::NoPolicy(folder.tests.first().unwrap_or(&folder.path).clone()));
    }
    let policy = match load_policy(files::read_all(&folder.policies)?) {
        Ok(loaded) => loaded.policy,
        Err(rejected) => {
            results.broken.push((folder.path.display().to_string(), rejected));
            return Ok(());
        }
    };
    let before = results.outcomes.len();
    for path in &folder.tests {
        match load_tests(read_file(path)?, &policy) {
            Ok(tests) => test_file(path, &tests, &policy, args.filter.as_deref(), results),
            Err(rejected) => results.broken.push((path.display().to_string(), rejected)),
        }
    }
    if args.coverage {
        let outcomes = results.outcomes.get(before..).unwrap_or_default();
        results.coverage.push(Coverage::of(folder.path.display().to_string(), &policy, outcomes));
    }
    Ok(())
}

fn test_file(path: &Path, tests: &Tests, policy: &Policy, filter: Option<&str>, results: &mut Results) {
    for case in &tests.cases {
        let tokens: Vec<&TestToken> = case.tokens.iter().filter_map(|place| tests.tokens.get(*place)).collect();
        let outcome = Outcome {
            file: path.display().to_string(),
            line: tests.sources.position(case.span).line,
            name: case.name.clone(),
            request: case.request.clone(),
            tokens: tokens.iter().map(|token| token.name.clone()).collect(),
            expected: case.expect,
            judged: judge(case, &tokens, policy, tests.now),
        };
        if filter.is_none_or(|filter| outcome.is_meant(filter)) {
            results.outcomes.push(outcome);
        }
    }
}
