//! Reads what a request is explained by: policy, keys, tokens, claims.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::explain::told::{Given, Keys, What};
use crate::cli::files::{self, NamedBy};
use crate::cli::output::Failure;
use crate::config::claims_file::load_token;
use crate::config::settings::Limits;
use crate::config::{IssuerKeys, Loaded, Rejected, Settings, SourceFile, load_policy, load_settings};
use crate::live::folder::{ReadError, read_file};
use crate::policy::Policy;
use crate::token::{Credential, KeyLimits, KeyPlace, KeySet, Timestamp};

/// The settings of `--config`.
pub(super) fn settings(path: &Path) -> Result<Settings, Failure> {
    let file = read_file(path).map_err(|error| Failure::could_not_run(format!("{error} (`--config`)")))?;
    load_settings(file).map(|loaded| loaded.settings).map_err(|rejected| refused("the settings have errors", &rejected))
}

/// The one policy of a folder.
pub(super) fn policy(dir: &Path, by: &NamedBy) -> Result<Loaded, Failure> {
    let folders = files::find(dir, by).map_err(Failure::could_not_run)?;
    let mut folders = folders.into_iter().filter(|folder| !folder.policies.is_empty());
    let (Some(folder), second) = (folders.next(), folders.next()) else {
        let reason = format!("no policy in `{}`: no folder there holds a file that ends in `.yaml`", dir.display());
        return Err(Failure::could_not_run(reason));
    };
    // A folder's own files are one policy; what stands in folders below is another.
    if let Some(second) = second.filter(|_| folder.path != dir) {
        let (one, other) = (folder.path.display(), second.path.display());
        let reason = format!("`{}` holds several policies, such as `{one}` and `{other}`; name one", dir.display());
        return Err(Failure::could_not_run(reason));
    }
    let texts = files::read_all(&folder.policies).map_err(Failure::could_not_run)?;
    load_policy(texts).map_err(|rejected| refused("the policy has errors", &rejected))
}

pub(super) fn refused(what: &str, rejected: &Rejected) -> Failure {
    Failure::could_not_run(format!("{what}:\n{}", rejected.lines().join("\n")))
}

/// The keys of each issuer: those of `given`, else those in the file that the policy names. Nobody is asked for any.
pub(super) fn keys(issuers: &[IssuerKeys], given: Option<&Path>, limits: &Limits) -> Result<Vec<Keys>, Failure> {
    let limits = KeyLimits { bytes: limits.jwks, keys: limits.jwks_keys };
    let read = |path: &Path| -> Result<Keys, String> {
        let file = read_file(path).map_err(|error| error.to_string())?;
        let set = KeySet::parse(file.text.as_bytes(), limits)
            .map_err(|error| format!("the keys in `{}` cannot be used: {error}", path.display()))?;
        Ok(Keys::Read { set: Arc::new(set), from: path.display().to_string() })
    };
    if let Some(path) = given {
        let keys = read(path).map_err(|error| Failure::could_not_run(format!("{error} (`--jwks`)")))?;
        return Ok(issuers.iter().map(|_| keys.clone()).collect());
    }
    let of = |issuer: &IssuerKeys| match &issuer.source.place {
        KeyPlace::JwksFile(path) => read(path).unwrap_or_else(Keys::None),
        KeyPlace::Discovery | KeyPlace::JwksUrl(_) => Keys::None(format!(
            "the keys of `{}` are fetched, and nobody is asked here: give them with `--jwks FILE`",
            issuer.name
        )),
    };
    Ok(issuers.iter().map(of).collect())
}

/// Where tokens and claims are read from.
#[derive(Clone, Debug, Default)]
pub(super) struct From {
    pub(super) files: Vec<PathBuf>,
    pub(super) stdin: bool,
    pub(super) env: Vec<String>,
    pub(super) claims: Vec<PathBuf>,
}

/// The tokens that the request would bring. `on_stdin`: how often something else is read from there.
pub(super) fn given(
    from: &From,
    on_stdin: usize,
    policy: &Policy,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<Given>, Failure> {
    let dash = |path: &&PathBuf| path.as_os_str() == "-";
    let own = usize::from(from.stdin).saturating_add(from.claims.iter().filter(dash).count());
    if own.saturating_add(on_stdin) > 1 {
        return Err(Failure::could_not_run(
            "standard input can be read once: for one token, one set of claims or the like",
        ));
    }
    let all = from.files.len().saturating_add(from.env.len()).saturating_add(from.claims.len());
    if all.saturating_add(usize::from(from.stdin)) > 2 {
        return Err(Failure::could_not_run("a request brings two tokens at the most: an access token and an id_token"));
    }
    let mut given = Vec::new();
    for path in &from.files {
        let text = read_file(path).map_err(Failure::could_not_run)?.text;
        given.push(token(format!("the token in {}", path.display()), &text, limit)?);
    }
    for name in &from.env {
        given.push(token(format!("the token in ${name}"), &variable(name)?, limit)?);
    }
    if from.stdin {
        given.push(token("the token on standard input".to_owned(), &stdin()?, limit)?);
    }
    for path in &from.claims {
        given.push(claims(path, policy, now)?);
    }
    Ok(given)
}

fn token(name: String, text: &str, limit: usize) -> Result<Given, Failure> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::could_not_run(format!("{name} is empty")));
    }
    Ok(Given { name, what: What::Token(Credential::new(text, limit)) })
}

/// What an environment variable holds.
pub(super) fn variable(name: &str) -> Result<String, Failure> {
    #[expect(clippy::disallowed_methods, reason = "the command line names the variable")]
    std::env::var(name).map_err(|_none| Failure::could_not_run(format!("the environment variable `{name}` is not set")))
}

/// Claims, in place of a token.
pub(super) fn claims(path: &Path, policy: &Policy, now: Timestamp) -> Result<Given, Failure> {
    let file = if path.as_os_str() == "-" {
        SourceFile { name: "standard input".to_owned(), folder: ".".into(), text: stdin()? }
    } else {
        read_file(path).map_err(Failure::could_not_run)?
    };
    let name = format!("the claims in {}", file.name);
    let token =
        load_token(file, policy, now).map_err(|rejected| refused(&format!("{name} cannot be taken"), &rejected))?;
    Ok(Given { name, what: What::Claims { claims: token.claims, typ: token.typ } })
}

/// The text on standard input.
pub(super) fn stdin() -> Result<String, Failure> {
    String::from_utf8(stdin_bytes()?)
        .map_err(|_not_text| Failure::could_not_run(ReadError::NotText(PathBuf::from("standard input"))))
}

/// What is on standard input.
pub(super) fn stdin_bytes() -> Result<Vec<u8>, Failure> {
    const MOST: u64 = 4 << 20;
    let mut bytes = Vec::new();
    let path = PathBuf::from("standard input");
    match io::stdin().lock().take(MOST.saturating_add(1)).read_to_end(&mut bytes) {
        Err(error) => Err(Failure::could_not_run(ReadError::Io { path, error })),
        Ok(length) if u64::try_from(length).is_ok_and(|length| length > MOST) => {
            Err(Failure::could_not_run("standard input has more than 4 MiB"))
        }
        Ok(_) => Ok(bytes),
    }
}
