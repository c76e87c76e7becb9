//! Where the rooms meet that `gate` puts together: configuration, keys and tokens, the proxy.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::assurance::{Assurance, Issuer};
use crate::cli::output::Failure;
use crate::cli::render;
use crate::config::{
    IssuerKeys, LoadedSettings, Problem, Rejected, Settings, SourceFile, Sources, load_policy, load_settings,
};

use crate::config::settings::Keys;
use crate::jwks::{CacheDir, IssuerKeysConfig, KeySettings, KeyStore};
use crate::live::Live;
use crate::policy::Policy;
use crate::proxy::{BindError, Bound, Gate, Verify, bind, serve};
use crate::telemetry::{CacheUse, Health, IssuerHealth, Recorder};
use crate::token::{Credential, KeyLimits, Timestamp};
use crate::verification::{self, Verifier};

/// A policy, compiled, with what was found odd about it.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) policy: Policy,
    pub(super) keys: Vec<IssuerKeys>,
    pub(super) lints: Vec<String>,
}

/// Reads `stepgate.yaml`, and says in a line each what was found odd about it.
///
/// # Errors
/// Every problem in it, rendered.
pub(super) fn settings(file: SourceFile) -> Result<(Settings, Vec<String>), Failure> {
    let LoadedSettings { settings, lints, sources, .. } = load_settings(file).map_err(|rejected| refused(&rejected))?;
    Ok((settings, lints.iter().map(|lint| lint.line(&sources)).collect()))
}

/// Compiles the files of a policy folder, and holds them against the settings.
///
/// # Errors
/// Every problem in them, rendered.
pub(super) fn policy(files: Vec<SourceFile>, settings: &Settings) -> Result<Compiled, Failure> {
    let loaded = load_policy(files).map_err(|rejected| refused(&rejected))?;
    let problems = loaded.check_against(settings);
    if !problems.is_empty() {
        return Err(shown(&problems, &loaded.sources));
    }
    let lints = loaded.lints.iter().map(|lint| lint.line(&loaded.sources)).collect();
    Ok(Compiled { policy: loaded.policy, keys: loaded.keys, lints })
}

fn refused(rejected: &Rejected) -> Failure {
    shown(&rejected.problems, &rejected.sources)
}

fn shown(problems: &[Problem], sources: &Sources) -> Failure {
    Failure::Problems(render::human(problems, sources, io::stderr().is_terminal()))
}

/// Keys and verified tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    keys: Arc<KeyStore>,
    verifier: Verifier,
}

impl Tokens {
    /// Begins to fetch the keys of the policy's issuers, on this runtime.
    ///
    /// # Errors
    /// When the folder of `keys.cache_dir` cannot be used, or the system has no randomness to give.
    pub(super) fn start(settings: &Settings, keys: &[IssuerKeys], control: &Handle) -> Result<Self, Failure> {
        let store = KeyStore::new(key_settings(settings)?, control.clone());
        let configs: Vec<IssuerKeysConfig> = keys.iter().map(wanted).collect();
        store.apply(&configs);
        let keys = Arc::new(store);
        let verifier = Verifier::new(Arc::clone(&keys), settings.limits.token_cache)
            .map_err(|_none| Failure::could_not_run("the system has no randomness to give"))?;
        Ok(Self { keys, verifier })
    }
}

fn key_settings(settings: &Settings) -> Result<KeySettings, Failure> {
    let Keys { max_stale, allow_http, cache_dir, proxy } = &settings.keys;
    let cache_dir = cache_dir.as_deref().map(CacheDir::open).transpose().map_err(Failure::could_not_run)?;
    let limits = KeyLimits { bytes: settings.limits.jwks, keys: settings.limits.jwks_keys };
    let proxy = proxy.as_deref().map(Into::into);
    Ok(KeySettings { cache_dir, proxy, limits, ..KeySettings::new(*max_stale, *allow_http) })
}

fn wanted(keys: &IssuerKeys) -> IssuerKeysConfig {
    IssuerKeysConfig { name: keys.name.clone(), issuer: keys.iss.clone(), source: keys.source.clone() }
}

impl Health for Tokens {
    fn issuers(&self) -> Vec<IssuerHealth> {
        self.keys.status()
    }

    fn cache(&self) -> CacheUse {
        self.verifier.cache_use()
    }
}

/// What the proxy asks of whoever verifies.
#[derive(Debug)]
struct ByTokens(Arc<Tokens>);

impl Verify for ByTokens {
    async fn verify(
        &self,
        credential: &Credential,
        policy: &Policy,
        peer: IpAddr,
        now: Timestamp,
    ) -> Result<Arc<Assurance>, verification::Rejected> {
        self.0.verifier.verify(credential, policy, peer, now).await
    }

    fn acr_values_supported(&self, issuer: &Issuer) -> Option<Arc<Box<[Box<str>]>>> {
        self.0.keys.get(&issuer.name).and_then(|keys| keys.acr_values_supported())
    }
}

/// The proxy, its ports bound.
#[derive(Debug)]
pub(super) struct Proxy {
    bound: Bound,
    settings: Settings,
}

impl Proxy {
    /// Binds every listener.
    ///
    /// # Errors
    /// For a port that is busy or cannot be bound.
    pub(super) fn bind(settings: &Settings) -> Result<Self, Failure> {
        // The cores that the cgroup grants, not those of the machine.
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let workers = settings.workers.unwrap_or_else(cores);
        let bound = bind(&settings.listeners, workers).map_err(|error| {
            let remedy = match &error {
                BindError::InUse(_) => {
                    "; stop that program, or choose another address under `listeners` in the settings"
                }
                BindError::Forbidden(_) | BindError::NotOurs(_) | BindError::Other { .. } => {
                    "; the address is named under `listeners` in the settings"
                }
            };
            Failure::could_not_run(format!("{error}{remedy}"))
        })?;
        Ok(Self { bound, settings: settings.clone() })
    }

    /// Where it listens.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        self.bound.addresses()
    }

    /// Serves until `shutdown` turns true and the requests under way are done, or `limits.drain` has passed.
    ///
    /// # Errors
    /// When a worker cannot be started.
    pub(super) fn run(
        self,
        live: Arc<Live>,
        tokens: Arc<Tokens>,
        recorder: Arc<dyn Recorder>,
        shutdown: &watch::Receiver<bool>,
    ) -> Result<(), Failure> {
        let Settings { listeners, upstreams, identity, public_url, limits, .. } = self.settings;
        let gate =
            Gate { live, verifier: ByTokens(tokens), recorder, listeners, upstreams, identity, public_url, limits };
        let running = serve(self.bound, &Arc::new(gate), shutdown)
            .map_err(|error| Failure::could_not_run(format!("failed to start a worker: {error}")))?;
        running.join().map_err(|lost| Failure::could_not_run(format!("{lost} of the workers ended by a bug")))
    }
}
