//! What a running gate judges by, asked on its admin listener: its policy and the keys of its issuers. The command then judges by
//! them here, with the functions that the gate has. No token is sent there; the credential is, to this machine or over TLS.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{StatusCode, Url};
use rustls::ClientConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::cli::explain::input::refused;
use crate::cli::explain::told::{GateTold, Keys};
use crate::cli::output::Failure;
use crate::cli::secret;
use crate::config::settings::{self, SecretSource};
use crate::config::{IssuerKeys, Loaded, SourceFile, load_policy};
use crate::jwks::is_loopback;
use crate::tls::roots;
use crate::token::{KeyLimits, KeySet};

/// What a gate judges by.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) gate: GateTold,
    pub(super) loaded: Loaded,
    /// Of each issuer, in the policy's order.
    pub(super) keys: Vec<Keys>,
    /// What each issuer says it supports of `acr`; in the policy's order.
    pub(super) supported: Vec<Option<Box<[Box<str>]>>>,
    pub(super) public_url: Option<String>,
    /// Those of its limits that it tells.
    pub(super) limits: settings::Limits,
}

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// More of an answer than this is not read: as much as any policy folder has.
const LONGEST: usize = 256 << 20;
/// How often it is asked anew when its policy changed in between.
const TRIES: usize = 3;
/// The form of its answers that we read.
const VERSION: u32 = 1;

#[derive(Debug, Deserialize)]
struct PolicyTold {
    v: u32,
    version: String,
    policy: String,
    public_url: Option<String>,
    limits: Limits,
    files: Vec<File>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Limits {
    token: usize,
    jwks: usize,
    jwks_keys: usize,
    /// An older gate does not tell it, nor the next.
    form: Option<usize>,
    body: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct File {
    name: String,
    folder: PathBuf,
    text: String,
}

#[derive(Debug, Deserialize)]
struct KeysTold {
    v: u32,
    policy: String,
    issuers: Vec<IssuerTold>,
}

#[derive(Debug, Deserialize)]
struct IssuerTold {
    name: String,
    issuer: String,
    state: String,
    fetched_at: Option<String>,
    error: Option<String>,
    acr_values_supported: Option<Box<[Box<str>]>>,
    jwks: Option<Box<RawValue>>,
}

/// Asks the gate whose admin listener is at `admin`.
///
/// # Errors
/// A sentence for whoever called the command.
pub(super) fn ask(admin: &str, credential: &SecretSource) -> Result<Running, Failure> {
    let url = address(admin).map_err(Failure::could_not_run)?;
    let shown = secret::to_show(credential, "--admin").map_err(Failure::could_not_run)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::could_not_run(format!("failed to ask the gate: {error}")))?;
    let (policy, keys) = runtime.block_on(both(&url, &shown)).map_err(Failure::could_not_run)?;
    judged_by(&url, policy, &keys)
}

/// The admin listener's URL: `http` for this machine alone, else `https`.
fn address(admin: &str) -> Result<Url, String> {
    let whole = if admin.contains("://") { admin.to_owned() } else { format!("http://{admin}") };
    let example = "such as `http://127.0.0.1:9901`";
    let Ok(url) = Url::parse(&whole) else {
        return Err(format!("`--admin` is no URL of a gate's admin listener, {example}"));
    };
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !url.username().is_empty() || url.password().is_some() || !bare || !url.has_host() {
        return Err(format!("`--admin` is to be the URL of a gate's admin listener and nothing more, {example}"));
    }
    match url.scheme() {
        "http" if is_loopback(&url) => Ok(url),
        "https" => Ok(url),
        "http" => Err(format!(
            "`--admin` is plain http to another machine, where the credential could be read on its way: use an address of this \
             machine, {example}, to which a port is forwarded, or https"
        )),
        _ => Err(format!("`--admin` is neither http nor https: name a gate's admin listener, {example}")),
    }
}

async fn both(url: &Url, credential: &str) -> Result<(PolicyTold, KeysTold), String> {
    let client = client()?;
    for _ in 0..TRIES {
        let policy: PolicyTold = told(&client, url, "policy", credential).await?;
        let keys: KeysTold = told(&client, url, "keys", credential).await?;
        if policy.v != VERSION || keys.v != VERSION {
            return Err(format!(
                "the gate at {url} is stepgate {}, which tells its policy in a way that this stepgate {} does not know",
                policy.version,
                env!("CARGO_PKG_VERSION")
            ));
        }
        if policy.policy == keys.policy {
            return Ok((policy, keys));
        }
    }
    Err(format!("the policy of the gate at {url} changes faster than it can be asked for: try again"))
}

/// No redirects and no proxy: the credential goes where the operator says, and `localhost` is this machine.
fn client() -> Result<reqwest::Client, String> {
    let impossible = |error: &dyn std::fmt::Display| format!("the HTTP client cannot be set up: {error}");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| impossible(&error))?
        .with_root_certificates(roots(None)?)
        .with_no_client_auth();
    let local = [([127, 0, 0, 1], 0).into(), (std::net::Ipv6Addr::LOCALHOST, 0).into()];
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .resolve_to_addrs("localhost", &local)
        .timeout(PATIENCE)
        .user_agent(concat!("stepgate/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| impossible(&error))
}

async fn told<T: DeserializeOwned>(
    client: &reqwest::Client,
    url: &Url,
    what: &str,
    credential: &str,
) -> Result<T, String> {
    let nothing = |error: reqwest::Error| {
        let why = root_cause(&error.without_url());
        format!("nothing answers at {url}: {why}; is it the `admin` address of a gate that runs?")
    };
    let mut at = url.clone();
    at.set_path(what);
    let mut response = client.get(at).bearer_auth(credential).send().await.map_err(nothing)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(nothing)? {
        if body.len().saturating_add(chunk.len()) > LONGEST {
            return Err(format!("what answers at {url} does not end"));
        }
        body.extend_from_slice(&chunk);
    }
    match status {
        StatusCode::OK => serde_json::from_slice(&body)
            .map_err(|_other| format!("what answers at {url} is no gate's admin listener that we know")),
        StatusCode::UNAUTHORIZED => Err(format!(
            "the gate at {url} does not take this credential: show the one that `admin: {{ credential }}` in its stepgate.yaml names"
        )),
        StatusCode::FORBIDDEN => {
            let why: String =
                String::from_utf8_lossy(&body).lines().next().unwrap_or_default().chars().take(200).collect();
            Err(format!("the gate at {url} tells its policy to nobody: {why}"))
        }
        StatusCode::NOT_FOUND => Err(format!(
            "what answers at {url} tells no policy: it is another program, or a gate older than this command; give its policy with \
             --policies"
        )),
        other => Err(format!("what answers at {url} answers {other}")),
    }
}

/// What an error comes from in the end.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Makes of the answers what the gate made of its files, or nothing.
fn judged_by(url: &Url, policy: PolicyTold, keys: &KeysTold) -> Result<Running, Failure> {
    let PolicyTold { v: _, version, policy: hash, public_url, limits, files } = policy;
    let ours = env!("CARGO_PKG_VERSION");
    let files = files.into_iter().map(|File { name, folder, text }| SourceFile { name, folder, text });
    let loaded = load_policy(files.collect()).map_err(|rejected| {
        let what = format!(
            "this stepgate {ours} does not take the policy of the gate at {url}, which is stepgate {version}; its errors"
        );
        refused(&what, &rejected)
    })?;
    if *loaded.policy.hash() != *hash {
        return Err(Failure::could_not_run(format!(
            "this stepgate {ours} makes another policy of its files than the gate at {url}, which is stepgate {version}: explain with \
             the version that the gate has"
        )));
    }
    let of = |issuer: &IssuerKeys| {
        keys.issuers.iter().find(|told| *told.name == *issuer.name && *told.issuer == *issuer.iss)
    };
    let supported = loaded.keys.iter().map(|issuer| of(issuer)?.acr_values_supported.clone()).collect();
    let keys = loaded.keys.iter().map(|issuer| keys_of(url, issuer, of(issuer), limits)).collect();
    let gate = GateTold { url: url.to_string(), version };
    let Limits { token, form, body, .. } = limits;
    let usual = settings::Limits::default();
    let limits = settings::Limits { token, form: form.unwrap_or(usual.form), body, ..usual };
    Ok(Running { gate, loaded, keys, supported, public_url, limits })
}

fn keys_of(url: &Url, issuer: &IssuerKeys, told: Option<&IssuerTold>, limits: Limits) -> Keys {
    let name = &issuer.name;
    let limits = KeyLimits { bytes: limits.jwks, keys: limits.jwks_keys };
    let Some(IssuerTold { state, fetched_at, error, jwks, .. }) = told else {
        return Keys::Lacking(format!("the gate at {url} does not have keys of `{name}`"));
    };
    let why = error.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let Some(jwks) = jwks else { return Keys::Lacking(format!("the gate has no keys of `{name}` now{why}")) };
    match KeySet::parse(jwks.get().as_bytes(), limits) {
        Ok(set) => {
            let fetched = fetched_at.as_ref().map(|at| format!(", fetched at {at}")).unwrap_or_default();
            Keys::Read { set: Arc::new(set), from: format!("{url}keys: {state}{fetched}") }
        }
        Err(error) => Keys::Lacking(format!("the keys of `{name}` that the gate has cannot be used here: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_credential_goes_to_this_machine_or_over_tls_and_nowhere_else() {
        for (admin, is) in [
            ("http://127.0.0.1:9901", "http://127.0.0.1:9901/"),
            ("127.0.0.1:9901", "http://127.0.0.1:9901/"),
            ("[::1]:9901", "http://[::1]:9901/"),
            ("http://localhost:9901/", "http://localhost:9901/"),
            ("https://gate.example", "https://gate.example/"),
        ] {
            assert_eq!(address(admin).map(String::from).as_deref(), Ok(is), "{admin}");
        }
        for (admin, why) in [
            ("http://gate.example:9901", "plain http to another machine"),
            ("gate.example:9901", "plain http to another machine"),
            ("http://127.0.0.1.example:9901", "plain http to another machine"),
            ("http://localhost.example", "plain http to another machine"),
            ("http://user:pw@127.0.0.1:9901", "nothing more"),
            ("http://127.0.0.1:9901/policy", "nothing more"),
            ("http://127.0.0.1:9901/?a", "nothing more"),
            ("ftp://127.0.0.1", "neither http nor https"),
            ("", "no URL"),
        ] {
            let error = address(admin).unwrap_err();
            assert!(error.contains(why) && !error.contains("user:pw"), "{admin}: {error}");
        }
    }
}
