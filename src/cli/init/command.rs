//! The command: which issuer, and where what is written goes. Nothing that is there is written over.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Builder;

use crate::cli::init::draft::{Draft, Written};
use crate::cli::init::recognise::{Recognised, kind, named, recognise};
use crate::cli::output::{Failure, say};
use crate::config::profile::ALL;
use crate::config::reader::suggest;
use crate::config::schema::Schema;
use crate::jwks::{KeySettings, acr_values_supported};
use crate::live::folder::is_policy;

/// Arguments of `stepgate init`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The issuer is asked for its discovery document, to see that it is the issuer and which acr values it knows. Afterwards:

  stepgate check policies
  stepgate test policies")]
pub(in crate::cli) struct InitArgs {
    /// The issuer, as `iss` of its tokens has it
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// Whom its tokens must be meant for: your API's name there, or your application's client_id
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
    /// The profile to build on [default: recognised by the issuer]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The certificate of a private CA that the issuer's is signed by
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Ask nobody; recognise the issuer by its URL alone
    #[arg(long)]
    offline: bool,
    /// The folder for the policy
    #[arg(default_value = "policies")]
    dir: PathBuf,
}

/// How long nobody who can't be asked any more is trusted: nothing is kept here.
const NOTHING_STALE: Duration = Duration::ZERO;
/// Where an issuer's discovery document is, which some take for the issuer.
const DOCUMENT: &str = "/.well-known/openid-configuration";

/// Runs it.
///
/// # Errors
/// When the issuer can't be asked or is no issuer, or files stand in the way.
pub(in crate::cli) fn run(args: &InitArgs) -> Result<(), Failure> {
    let issuer = args.issuer.strip_suffix(DOCUMENT).unwrap_or(&args.issuer);
    let supported = if args.offline { Box::default() } else { asked(issuer, args.ca.as_deref())? };
    let recognised = match &args.profile {
        Some(name) => {
            let profile = named(name).ok_or_else(|| {
                let help = suggest(name, ALL.iter().map(|profile| profile.stem));
                Failure::could_not_run(format!("unknown profile `{name}`; {help}"))
            })?;
            Recognised { profile, by: Some("`--profile`".to_owned()) }
        }
        None => recognise(issuer, &supported).ok_or_else(|| Failure::could_not_run("no profile is shipped"))?,
    };
    let audience = args.audience.as_deref();
    let absolute = |file: &PathBuf| {
        let whole = file.canonicalize().map(|path| path.display().to_string());
        whole.map_err(|error| Failure::could_not_run(format!("`{}` cannot be read: {error}", file.display())))
    };
    let ca = args.ca.as_ref().map(absolute).transpose()?;
    let draft = Draft { issuer, recognised: &recognised, kind: kind(recognised.profile), audience, ca: ca.as_deref() };
    let Written { policy, tests } =
        draft.write().map_err(|why| Failure::could_not_run(format!("no policy can be made for `{issuer}`: {why}")))?;
    let mut files = vec![("policy.yaml", policy), ("policy.test.yaml", tests)];
    let schemas = [("policy", "policy.schema.json"), ("test", "test.schema.json")];
    files.extend(schemas.iter().filter_map(|(name, file)| Some((*file, Schema::named(name)?.text.to_owned()))));
    write(&args.dir, &files)?;
    let dir = args.dir.display();
    let profile = recognised.profile.name();
    let by = recognised.by.map_or_else(|| "not recognised".to_owned(), |by| format!("recognised by {by}"));
    let audience = if args.audience.is_none() { "set the audience in it, then " } else { "" };
    say(&format!(
        "wrote {dir}/policy.yaml with the profile {profile} ({by}) and {dir}/policy.test.yaml\n\
                  next: {audience}`stepgate check {dir}` and `stepgate test {dir}`"
    ))
}

/// The `acr` values that the issuer says it supports.
fn asked(issuer: &str, ca: Option<&Path>) -> Result<Box<[Box<str>]>, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::could_not_run(format!("nobody can be asked: {error}")))?;
    let settings = KeySettings::new(NOTHING_STALE, false);
    let asked = runtime.block_on(acr_values_supported(issuer, ca, &settings));
    asked.map(Option::unwrap_or_default).map_err(|why| {
        Failure::could_not_run(format!(
            "{why}\nwith `--offline` nobody is asked, and the profile is told by the URL alone"
        ))
    })
}

/// Writes all files, or none where one is there.
fn write(dir: &Path, files: &[(&str, String)]) -> Result<(), Failure> {
    let failed = |path: &Path, why: &dyn std::fmt::Display| {
        Failure::could_not_run(format!("`{}` cannot be written: {why}", path.display()))
    };
    let in_the_way = |path: &Path| failed(path, &"it is there already; name another folder, or move it away");
    for (name, _) in files {
        let path = dir.join(name);
        if fs::symlink_metadata(&path).is_ok() {
            return Err(in_the_way(&path));
        }
    }
    // All files of a folder are one policy, and a gate may have it in force: what is added would hold at once.
    let mut others = dir.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    if let Some(other) = others.find(|path| is_policy(path)) {
        let why = format!("`{}` would be one policy with what is written; name another folder", other.display());
        return Err(failed(dir, &why));
    }
    fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    for (name, text) in files {
        let path = dir.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
            if error.kind() == ErrorKind::AlreadyExists { in_the_way(&path) } else { failed(&path, &error) }
        })?;
    }
    Ok(())
}
