//! `stepgate test`: judges the cases of `*.test.yaml` by the functions that judge requests.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::assurance::{Assurance, pair};
use crate::cli::files::{self, NamedBy, PolicyFolder};
use crate::cli::output::{Failure, PROBLEMS, say};
use crate::cli::render;
use crate::config::cases::{Case, Expected, TestToken, Tests};
use crate::config::{Rejected, load_policy, load_tests};
use crate::live::folder::{ReadError, read_file};
use crate::policy::{CanonicalPath, Permit, Policy, Requirement, Route, Target, Tokens, canonical_host, decide};
use crate::reason::Reason;
use crate::token::{Timestamp, TokenKind, danger_assume_signed};

/// Arguments of `stepgate test`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TestArgs {
    /// The folder to look in, its subfolders too, or one `*.test.yaml` [default: `policies`]
    dir: Option<PathBuf>,
    /// Only cases whose file, request or tokens hold this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
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

/// What came of all cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Cases that came out as expected.
    passed: usize,
    /// Cases that did not.
    failed: usize,
    /// Files that could not be taken.
    broken: usize,
    /// What to say of them.
    text: String,
}

/// Runs it: exit code 0 when every promise holds, 1 when one does not or a file is wrong, 2 when it could not run.
#[must_use]
pub(super) fn run(args: &TestArgs) -> ExitCode {
    match test(args) {
        Ok(tally) => {
            let said = say(&format!("{}{}", tally.text, tally.summary()));
            match said {
                Err(failure) => failure.report(),
                Ok(()) if tally.failed == 0 && tally.broken == 0 => ExitCode::SUCCESS,
                Ok(()) => ExitCode::from(PROBLEMS),
            }
        }
        Err(cannot) => Failure::could_not_run(cannot).report(),
    }
}

/// Judges all cases.
///
/// # Errors
/// When there is nothing to judge, or a file cannot be read.
fn test(args: &TestArgs) -> Result<Tally, CannotTest> {
    let mut tally = Tally::default();
    let by = if args.dir.is_some() { NamedBy::Argument } else { NamedBy::Default };
    let folders: Vec<PolicyFolder> = files::find(args.dir.as_deref().unwrap_or(Path::new("policies")), &by)?
        .into_iter()
        .filter(|folder| !folder.tests.is_empty())
        .collect();
    if folders.is_empty() {
        return Err(CannotTest::NoTests(args.dir.clone().unwrap_or_else(|| PathBuf::from("policies"))));
    }
    for folder in &folders {
        test_folder(folder, args.filter.as_deref(), &mut tally)?;
    }
    match &args.filter {
        Some(filter) if tally.passed == 0 && tally.failed == 0 && tally.broken == 0 => {
            Err(CannotTest::NothingLeft(filter.clone()))
        }
        Some(_) | None => Ok(tally),
    }
}

fn test_folder(folder: &PolicyFolder, filter: Option<&str>, tally: &mut Tally) -> Result<(), CannotTest> {
    if folder.policies.is_empty() {
        return Err(CannotTest::NoPolicy(folder.tests.first().unwrap_or(&folder.path).clone()));
    }
    let policy = match load_policy(files::read_all(&folder.policies)?) {
        Ok(loaded) => loaded.policy,
        Err(rejected) => {
            tally.broken(&rejected);
            return Ok(());
        }
    };
    for path in &folder.tests {
        match load_tests(read_file(path)?, &policy) {
            Ok(tests) => test_file(path, &tests, &policy, filter, tally),
            Err(rejected) => tally.broken(&rejected),
        }
    }
    Ok(())
}

impl Tally {
    /// The last line. Where nothing could be judged, a count of what passed would read like a success.
    fn summary(&self) -> String {
        let (passed, failed, broken) = (self.passed, self.failed, self.broken);
        let files = if broken == 1 { "file or policy has" } else { "files or policies have" };
        match (passed, failed, broken) {
            (_, _, 0) => format!("{passed} passed, {failed} failed"),
            (0, 0, _) => format!("no case was judged: {broken} {files} errors"),
            (_, _, _) => format!("{passed} passed, {failed} failed; {broken} {files} errors"),
        }
    }

    fn broken(&mut self, rejected: &Rejected) {
        self.broken = self.broken.saturating_add(1);
        self.text.push_str(&render::human(&rejected.problems, &rejected.sources, io::stdout().is_terminal()));
    }
}

fn test_file(path: &Path, tests: &Tests, policy: &Policy, filter: Option<&str>, tally: &mut Tally) {
    for case in &tests.cases {
        let tokens: Vec<&TestToken> = case.tokens.iter().filter_map(|place| tests.tokens.get(*place)).collect();
        let names: Vec<&str> = tokens.iter().map(|token| &*token.name).collect();
        let title = format!("{} [{}]", case.request, names.join(", "));
        let at = format!("{}:{}", path.display(), tests.sources.position(case.span).line);
        if filter.is_some_and(|filter| !title.contains(filter) && !at.contains(filter)) {
            continue;
        }
        let outcome = judge(case, &tokens, policy, tests.now);
        if holds(case.expect, &outcome) {
            tally.passed = tally.passed.saturating_add(1);
        } else {
            tally.failed = tally.failed.saturating_add(1);
            let (expected, got) = (said(case.expect), came(&outcome, policy));
            tally.text.push_str(&format!("FAILED {at}: {title}\n  expected {expected}\n  got      {got}\n"));
        }
    }
}

/// Why a case is refused: the reason, and what more there is to say for whoever wrote the case.
#[derive(Debug)]
struct Refused {
    reason: Reason,
    detail: String,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self { reason, detail: reason.meaning().to_owned() }
    }
}

fn holds(expected: Expected, outcome: &Result<Permit, Refused>) -> bool {
    match (expected, outcome) {
        (Expected::Allow, Ok(_)) | (Expected::Deny(None), Err(_)) => true,
        (Expected::Deny(Some(reason)), Err(refused)) => refused.reason == reason,
        (Expected::Allow, Err(_)) | (Expected::Deny(_), Ok(_)) => false,
    }
}

fn said(expected: Expected) -> String {
    match expected {
        Expected::Allow => "allow".to_owned(),
        Expected::Deny(None) => "deny".to_owned(),
        Expected::Deny(Some(reason)) => format!("deny: {reason}"),
    }
}

fn came(outcome: &Result<Permit, Refused>, policy: &Policy) -> String {
    match outcome {
        Ok(permit) => {
            let levels: Vec<&str> = permit.levels().iter().map(|rung| policy.ladders().name(*rung)).collect();
            if levels.is_empty() { "allow".to_owned() } else { format!("allow, at {}", levels.join(", ")) }
        }
        Err(refused) => format!("deny: {} ({})", refused.reason, refused.detail),
    }
}

/// A request's way, without sockets and signatures.
fn judge(case: &Case, tokens: &[&TestToken], policy: &Policy, now: Timestamp) -> Result<Permit, Refused> {
    if matches!(&*case.method, "CONNECT" | "TRACE") {
        return Err(Reason::RequestMalformed.into());
    }
    let host = canonical_host(&case.authority).ok_or(Reason::RequestMalformed)?;
    let path = CanonicalPath::parse(&case.path)
        .map_err(|ambiguity| Refused { reason: Reason::PathAmbiguous, detail: ambiguity.to_string() })?;
    let target = Target { method: &case.method, host: &host, path: &path };
    let route = policy.route(&target).map_err(|denial| Refused::from(denial.reason))?;
    let verified = if route.require == Requirement::Public { Vec::new() } else { verify(tokens, route, policy, now)? };
    let of = |kind: TokenKind| verified.iter().find(|token| token.kind == kind);
    let tokens = match (of(TokenKind::Access), of(TokenKind::Id)) {
        (Some(access), Some(id)) => {
            // No text was ever signed, so an `at_hash` fits nothing here: `sid` or `pair: subject` ties a pair.
            let tied = policy.issuer(access.issuer).is_some_and(|issuer| pair::belong(issuer, access, "", id));
            if !tied {
                return Err(Reason::TokensDisagree.into());
            }
            Some(Tokens::Pair { access, id })
        }
        (Some(one), None) | (None, Some(one)) => Some(Tokens::One(one)),
        (None, None) => None,
    };
    decide(policy, route, &target, tokens, now).map_err(|denial| denial.reason.into())
}

/// Verifies all tokens; of several reasons the first in precedence is the one.
fn verify(tokens: &[&TestToken], route: &Route, policy: &Policy, now: Timestamp) -> Result<Vec<Assurance>, Refused> {
    let mut verified: Vec<Assurance> = Vec::new();
    let mut refused: Option<Refused> = None;
    for token in tokens {
        let outcome = verify_one(token, route, policy, now).and_then(|assurance| {
            if verified.iter().any(|known| known.kind == assurance.kind) {
                return Err(Reason::TokenDuplicate.into());
            }
            Ok(assurance)
        });
        match outcome {
            Ok(assurance) => verified.push(assurance),
            Err(next) if refused.as_ref().is_none_or(|first| next.reason < first.reason) => refused = Some(next),
            Err(_) => {}
        }
    }
    refused.map_or(Ok(verified), Err)
}

fn verify_one(token: &TestToken, route: &Route, policy: &Policy, now: Timestamp) -> Result<Assurance, Refused> {
    let issuer = Tests::issuer_of(token, policy).and_then(|id| policy.issuer(id)).ok_or(Reason::IssuerUnknown)?;
    let believed = danger_assume_signed(token.claims.clone(), token.typ.as_deref(), &issuer.expectation, now)
        .map_err(|rejection| Refused { reason: rejection.reason, detail: rejection.detail.into_owned() })?;
    let assurance = issuer.assess(&believed, policy.claims());
    if !route.take.iter().any(|source| source.kinds.takes(assurance.kind)) {
        return Err(Refused {
            reason: Reason::TokenKindWrong,
            detail: format!("this route takes no {} token", assurance.kind.name()),
        });
    }
    Ok(assurance)
}
