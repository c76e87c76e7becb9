//! The command: what is asked, by what, and in which form the answer is shown.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::explain::beside::BesideArgs;
use crate::cli::explain::input::{self, From};
use crate::cli::explain::running::{self, Running};
use crate::cli::explain::setting::{self, Setting};
use crate::cli::explain::told::{Explained, GateTold, Keys};
use crate::cli::explain::walk::{How, Question, explain};
use crate::cli::explain::{human, json};
use crate::cli::files::NamedBy;
use crate::cli::output::{Failure, PROBLEMS, complain, say};
use crate::clock;
use crate::config::settings::{Limits, SecretSource};
use crate::config::{Loaded, cases, moment};
use crate::policy::{CanonicalPath, PREFLIGHT, Policy, ResourceMetadata, Route, Target, canonical_host};

/// Arguments of `stepgate explain`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Claims are shown, whatever is in them: names and numbers of persons too. Tokens, their
signatures and cookies never are, and are never taken from the command line, where other users
of the machine can read them.

Signatures are checked with the keys in the policy's `jwks_file`, or those of --jwks; nobody is
asked for keys. Where there are none it is said loudly, and the rest is explained as if the
signature were good. With --admin the policy and the keys are those of a running gate. What is
sealed in a kept cookie takes the gate's `seal.keys`, of --config or --seal-key-file; whether a
logout ended it the running gate alone knows.

Exit codes:
  0  the request is let through
  1  it is refused
  2  it could not be explained: a wrong argument, a missing file, a policy with errors")]
pub(in crate::cli) struct ExplainArgs {
    /// The request, such as `POST https://api.example/payments/7`
    request: String,
    /// A place where a token is not taken
    #[arg(hide = true)]
    more: Vec<String>,
    /// A place where a token is not taken
    #[arg(long, hide = true, value_name = "TOKEN")]
    token: Vec<String>,
    /// A file with a token; twice for an access token and an id_token, in either order
    #[arg(long, value_name = "FILE")]
    token_file: Vec<PathBuf>,
    /// Read a token from standard input
    #[arg(long)]
    token_stdin: bool,
    /// An environment variable with a token
    #[arg(long, value_name = "NAME")]
    token_env: Vec<String>,
    /// A file with claims in place of a token, as tests write them (`issuer`, `kind`, `claims`), or all claims of a decoded token,
    /// as YAML or JSON; `-` for standard input
    #[arg(long, value_name = "FILE")]
    claims: Vec<PathBuf>,
    #[command(flatten)]
    beside: BesideArgs,
    /// The folder of the policy, or one of its files [default: the one that the settings name, or `policies`]
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// A stepgate.yaml: names the policies, the limits on tokens, forms and keys, the keys of kept cookies, and what
    /// clients call the gate
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A key set (JWKS) to check signatures with, in place of the issuer's own
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// The request is a gRPC call: a refusal is shown as its client would read it
    #[arg(long)]
    grpc: bool,
    /// The request is a browser's preflight (with OPTIONS) for a request with this method
    #[arg(long, value_name = "METHOD", conflicts_with_all = [
        "grpc", "token_file", "token_stdin", "token_env", "claims", "form", "cookie_file", "cookie_stdin", "cookie_env", "kept_claims",
    ])]
    preflight: Option<String>,
    /// The admin listener of a running gate, such as `http://127.0.0.1:9901`: its policy and keys are asked for and used. No token
    /// is sent there
    #[arg(long, value_name = "URL", conflicts_with_all = ["policies", "config", "jwks"])]
    admin: Option<String>,
    /// The environment variable with the credential of that admin listener
    #[arg(long, value_name = "NAME", default_value = "STEPGATE_ADMIN", requires = "admin")]
    admin_credential_env: String,
    /// A file with that credential, in place of the variable
    #[arg(long, value_name = "FILE", requires = "admin", conflicts_with = "admin_credential_env")]
    admin_credential_file: Option<PathBuf>,
    /// The moment at which it is judged, such as `2026-01-01T12:00:00Z` [default: now]
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
    /// How it is shown
    #[arg(long, value_enum, default_value_t)]
    format: Form,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Step by step, for people
    #[default]
    Human,
    /// One JSON object, as docs/explain.md describes it
    Json,
}

/// Runs it: exit code 0 when the request is let through, 1 when it is refused, 2 when it could not run.
#[must_use]
pub(in crate::cli) fn run(args: &ExplainArgs) -> ExitCode {
    match explained(args).and_then(|told| show(&told, args.format)) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn show(told: &Explained, form: Form) -> Result<ExitCode, Failure> {
    match form {
        Form::Human => say(human::text(told).trim_end())?,
        Form::Json => {
            for (name, why) in told.unchecked() {
                complain(&human::safe(&format!("stepgate: THE SIGNATURE WAS NOT CHECKED of {name}: {why}")));
            }
            for name in told.perhaps_ended() {
                complain(&human::safe(&format!("stepgate: {} {name}", human::NO_END)));
            }
            say(&json::value(told).to_string())?;
        }
    }
    Ok(if told.denial.is_none() { ExitCode::SUCCESS } else { ExitCode::from(PROBLEMS) })
}

fn explained(args: &ExplainArgs) -> Result<Explained, Failure> {
    let is_method = !args.request.is_empty() && args.request.bytes().all(|byte| byte.is_ascii_alphabetic());
    if args.token.is_empty() && is_method && args.more.len() == 1 {
        let reason =
            "method and URL are one argument; put them in quotes, such as \"GET https://api.example/accounts\"";
        return Err(Failure::could_not_run(reason));
    }
    if !args.more.is_empty() || !args.token.is_empty() {
        let reason = "a token is not taken from the command line, where other users of the machine can read it, and there is one \
                      request; use --token-file, --token-stdin or --token-env";
        return Err(Failure::could_not_run(reason));
    }
    // What was written is not repeated: it might be a token.
    let request = cases::request(&args.request).ok_or_else(|| {
        let help = "write a method and a URL, such as \"GET https://api.example/accounts\"";
        Failure::could_not_run(format!("the argument REQUEST is no request; {help}"))
    })?;
    let (method, authority, path) = request;
    if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
        let upper = method.to_ascii_uppercase();
        return Err(Failure::could_not_run(format!("methods are case-sensitive: did you mean `{upper}`?")));
    }
    if args.grpc && method != "POST" {
        return Err(Failure::could_not_run(
            "a gRPC call is a POST; write \"POST https://api.example/package.Service/Method\"",
        ));
    }
    if args.preflight.is_some() && method != PREFLIGHT {
        let reason = "a preflight comes with OPTIONS; write \"OPTIONS https://api.example/accounts\", and the method that would \
                      follow behind --preflight";
        return Err(Failure::could_not_run(reason));
    }
    let how = match &args.preflight {
        Some(asked) => How::Preflight(asked),
        None if args.grpc => How::Grpc,
        None => How::Plain,
    };
    let now = match &args.now {
        None => clock::now(),
        Some(text) => moment::parse(text).ok_or_else(|| {
            Failure::could_not_run(format!("`{text}` is no moment; write it in UTC, such as `2026-01-01T12:00:00Z`"))
        })?,
    };
    let judge = |by: &By| -> Result<Explained, Failure> {
        let from = From {
            files: args.token_file.clone(),
            stdin: args.token_stdin,
            env: args.token_env.clone(),
            claims: args.claims.clone(),
        };
        let policy = &by.loaded.policy;
        let setting = &by.setting;
        let given = input::given(&from, args.beside.on_stdin(), policy, setting.limits.token, now)?;
        let route = route(policy, (method, authority, path));
        let beside = &args.beside.read((policy, route), &setting.seal, now)?;
        let metadata = setting.public_url.as_deref().and_then(|url| ResourceMetadata::of(policy, url));
        let (metadata, gate) = (metadata.as_ref(), by.gate.as_ref());
        let (request, keys, given, supported) = (&*args.request, &*by.keys, &*given, &*by.supported);
        Ok(explain(&Question {
            policy,
            keys,
            request,
            method,
            authority,
            path,
            given,
            beside,
            setting,
            metadata,
            how,
            supported,
            gate,
            now,
        }))
    };
    match &args.admin {
        Some(admin) => judge(&of_gate(admin, args)?),
        None => judge(&of_files(args)?),
    }
}

/// The route that a request is for.
fn route<'p>(policy: &'p Policy, (method, authority, path): (&str, &str, &str)) -> Option<&'p Route> {
    let (host, path) = (canonical_host(authority)?, CanonicalPath::of_request(path).ok()?);
    policy.route_at(&Target { method, host: &host, path: &path }).ok().map(|(_, route)| route)
}

/// What a request is judged by.
struct By {
    gate: Option<GateTold>,
    loaded: Loaded,
    keys: Vec<Keys>,
    supported: Vec<Option<Box<[Box<str>]>>>,
    setting: Setting,
}

fn of_gate(admin: &str, args: &ExplainArgs) -> Result<By, Failure> {
    let credential = match &args.admin_credential_file {
        Some(path) => SecretSource::File(path.clone()),
        None => SecretSource::Env(args.admin_credential_env.clone()),
    };
    let Running { gate, loaded, keys, supported, public_url, limits } = running::ask(admin, &credential)?;
    let seal = setting::seal(&args.beside.seal_keys(), None, "and a running gate tells its `seal.keys` to nobody")?;
    Ok(By { gate: Some(gate), loaded, keys, supported, setting: Setting { public_url, limits, seal } })
}

fn of_files(args: &ExplainArgs) -> Result<By, Failure> {
    let settings = args.config.as_deref().map(input::settings).transpose()?;
    let limits = settings.as_ref().map_or_else(Limits::default, |settings| settings.limits.clone());
    let (dir, by) = match (&args.policies, &settings, &args.config) {
        (Some(dir), _, _) => (dir.as_path(), NamedBy::Option("--policies")),
        (None, Some(settings), Some(file)) => (settings.policies.as_path(), NamedBy::Setting(file.clone())),
        (None, _, _) => (Path::new("policies"), NamedBy::NoOption("--policies")),
    };
    let loaded = input::policy(dir, &by)?;
    let keys = input::keys(&loaded.keys, args.jwks.as_deref(), &limits)?;
    let named = args.config.as_deref().zip(settings.as_ref());
    let seal =
        setting::seal(&args.beside.seal_keys(), named, "since no settings were named that say where the keys are")?;
    let public_url = settings.and_then(|settings| settings.public_url);
    Ok(By { gate: None, loaded, keys, supported: Vec::new(), setting: Setting { public_url, limits, seal } })
}
