//! Where the rooms meet that `gate` puts together: configuration, keys and tokens, the proxy.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::admin::{Jwks, Published};
use crate::assertion::Keyring;
use crate::assurance::{Assurance, Issuer};
use crate::cli::named;
use crate::cli::output::Failure;
use crate::cli::render;
use crate::cli::secret::seal_keys;
use crate::clock;
use crate::config::lints::kept;
use crate::config::settings::Keys;
use crate::config::{
    IssuerKeys, LoadedSettings, Problem, Settings, Severity, SourceFile, Sources, load_policy_at, load_settings,
};
use crate::jwks::{self, CacheDir, IssuerKeysConfig, KeySettings, KeyStore};
use crate::live::Live;
use crate::live::watch::Nudge;
use crate::policy::{Policy, Standing};
use crate::proxy::{BindError, Bound, Gate, Sealing, Standings, Verify, bind, check_health, serve};
use crate::telemetry::{CacheUse, FilesHealth, Health, IssuerHealth, Recorder};
use crate::tls::{self, ListenerTls, UpstreamTls};
use crate::token::{Credential, KeyLimits, Timestamp};
use crate::verification::{self, Verifier};

/// A policy, compiled, with what was found odd about it.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) policy: Policy,
    pub(super) keys: Vec<IssuerKeys>,
    pub(super) lints: Vec<String>,
    /// The texts that it was made from.
    pub(super) files: Vec<SourceFile>,
}

/// Logs what was found odd about a policy that is taken.
pub(super) fn say_lints(lints: &[String]) {
    for lint in lints {
        tracing::warn!(lint, "the policy is taken, but hardly means what it says");
    }
}

/// Logs which exceptions of a policy hold from now on, or will: each lets somebody in on less than a route asks.
pub(super) fn say_exceptions(policy: &Policy) {
    let now = clock::now();
    for one in policy.exceptions().iter().filter(|one| one.standing(now) != Standing::Over) {
        let routes: Vec<&str> = policy.routes_of(one).map(|route| &*route.name).collect();
        let (exception, until, because, routes) = (&*one.name, &*one.until_written, &*one.because, routes.join(", "));
        let (persons, clients) = (one.who.subjects.len(), one.who.clients.len());
        tracing::warn!(exception, until, routes, persons, clients, because, "an exception is in force");
    }
}

/// Reads `stepgate.yaml`, and says in a line each what was found odd about it.
///
/// # Errors
/// Every problem in it, rendered.
pub(super) fn settings(file: SourceFile) -> Result<(Settings, Vec<String>), Failure> {
    let LoadedSettings { settings, mut lints, sources, files } = load_settings(file).map_err(|rejected| {
        Failure::Problems(render::human(&rejected.problems, &rejected.sources, io::stderr().is_terminal()))
    })?;
    // What cannot be used at all is said by whoever opens it, and ends the start; of the folder for keys its keeper warns.
    let is_ours = |problem: &Problem| problem.severity == Severity::Lint && problem.code != "writable_by_all";
    lints.extend(kept(named::problems(&files), &sources).into_iter().filter(is_ours));
    lints.sort_by_key(|lint| lint.span);
    Ok((settings, lints.iter().map(|lint| lint.line(&sources)).collect()))
}

/// Compiles the files of a policy folder, and holds them against the settings.
///
/// # Errors
/// Every problem in them, rendered for standard error.
pub(super) fn policy(files: Vec<SourceFile>, settings: &Settings) -> Result<Compiled, Failure> {
    compile(files, settings, io::stderr().is_terminal()).map_err(Failure::Problems)
}

/// The same at any time. `colour`: with terminal escapes.
///
/// # Errors
/// Every problem, as `check` shows it.
pub(super) fn compile(files: Vec<SourceFile>, settings: &Settings, colour: bool) -> Result<Compiled, String> {
    let show = |problems: &[Problem], sources: &Sources| render::human(problems, sources, colour);
    let loaded =
        load_policy_at(files.clone(), clock::now()).map_err(|rejected| show(&rejected.problems, &rejected.sources))?;
    let problems = loaded.check_against(settings);
    if !problems.is_empty() {
        return Err(show(&problems, &loaded.sources));
    }
    let lints = loaded.lints.iter().map(|lint| lint.line(&loaded.sources)).collect();
    Ok(Compiled { policy: loaded.policy, keys: loaded.keys, lints, files })
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
    pub(super) fn start(
        settings: &Settings,
        policy: &str,
        keys: &[IssuerKeys],
        control: &Handle,
    ) -> Result<Self, Failure> {
        let store = KeyStore::new(key_settings(settings)?, control.clone());
        store.take_up(policy, &wanted(keys));
        let keys = Arc::new(store);
        let verifier = Verifier::new(Arc::clone(&keys), settings.limits.token_cache)
            .map_err(|_none| Failure::could_not_run("the system has no randomness to give"))?;
        Ok(Self { keys, verifier })
    }

    /// Begins to fetch the keys of another policy's issuers, beside those of the ones before.
    pub(super) fn take_up(&self, policy: &str, keys: &[IssuerKeys]) {
        self.keys.take_up(policy, &wanted(keys));
    }

    /// The keys of the issuers of the policy with this hash, by name, for whoever looks on.
    pub(super) fn published(&self, policy: &str) -> Vec<Published> {
        let one = |keys: Arc<jwks::IssuerKeys>| Published {
            health: keys.status(),
            issuer: keys.config().issuer.clone(),
            jwks: keys.published(),
            acr_values_supported: keys.acr_values_supported(),
        };
        self.keys.all(policy).into_iter().map(one).collect()
    }

    /// Believes only on keys of the newest policy and of these.
    pub(super) fn let_go(&self, but: &[&str]) {
        self.keys.let_go(but);
    }
}

fn key_settings(settings: &Settings) -> Result<KeySettings, Failure> {
    let Keys { max_stale, allow_http, cache_dir, proxy } = &settings.keys;
    let cache_dir = cache_dir.as_deref().map(CacheDir::open).transpose().map_err(Failure::could_not_run)?;
    let limits = KeyLimits { bytes: settings.limits.jwks, keys: settings.limits.jwks_keys };
    let proxy = proxy.as_deref().map(Into::into);
    Ok(KeySettings { cache_dir, proxy, limits, ..KeySettings::new(*max_stale, *allow_http) })
}

fn wanted(keys: &[IssuerKeys]) -> Vec<IssuerKeysConfig> {
    let one = |keys: &IssuerKeys| IssuerKeysConfig {
        name: keys.name.clone(),
        issuer: keys.iss.clone(),
        source: keys.source.clone(),
    };
    keys.iter().map(one).collect()
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

    fn acr_values_supported(&self, policy: &Policy, issuer: &Issuer) -> Option<Arc<Box<[Box<str>]>>> {
        // Of the policy that the request is judged by: in another the name may be another issuer's.
        self.0.keys.of(policy.hash(), &issuer.name)?.acr_values_supported()
    }
}

/// The proxy, its ports bound.
#[derive(Debug)]
pub(super) struct Proxy {
    bound: Bound,
    settings: Settings,
    tls: Vec<Option<ListenerTls>>,
    upstream_tls: Vec<Option<Arc<UpstreamTls>>>,
    standings: Standings,
    sealing: Option<Sealing>,
    assertion: Option<Arc<Keyring>>,
}

impl Proxy {
    /// Binds every listener, and reads the certificates and keys that the settings name.
    ///
    /// # Errors
    /// For a port that is busy or cannot be bound, for files that cannot be used, and for keys to seal with that are none.
    pub(super) fn bind(settings: &Settings) -> Result<Self, Failure> {
        // The cores that the cgroup grants, not those of the machine.
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let workers = settings.workers.unwrap_or_else(cores);
        let sealing = seal_keys(&settings.seal).map_err(Failure::could_not_run)?.map(Sealing::new);
        let public_url = settings.public_url.as_deref();
        let keyring = |assertion| Keyring::load(assertion, public_url).map(Arc::new);
        let assertion = settings.assertion.as_ref().map(keyring).transpose().map_err(Failure::could_not_run)?;
        let tls = tls::server::load_all(&settings.listeners).map_err(Failure::could_not_run)?;
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
        let upstream_tls = UpstreamTls::load_all(&settings.upstreams).map_err(Failure::could_not_run)?;
        let standings = Standings::of(&settings.upstreams);
        Ok(Self { bound, settings: settings.clone(), tls, upstream_tls, standings, sealing, assertion })
    }

    /// Who knows how the places of upstreams stand.
    pub(super) fn standings(&self) -> Standings {
        self.standings.clone()
    }

    /// Begins to ask upstreams how they are, on this runtime.
    pub(super) fn check_upstreams(&self, control: &Handle) {
        check_health(&self.settings.upstreams, &self.upstream_tls, &self.standings, control);
    }

    /// Who knows how the certificates and keys of listeners and upstreams stand.
    pub(super) fn files(&self) -> impl Fn() -> Vec<FilesHealth> + Send + Sync + use<> {
        let (listeners, upstreams, assertion) = (self.tls.clone(), self.upstream_tls.clone(), self.assertion.clone());
        move || {
            let listeners = listeners.iter().flatten().map(|tls| tls.health());
            let upstreams = upstreams.iter().flatten().map(|tls| tls.reloaded().health());
            listeners.chain(upstreams).chain(assertion.iter().map(|keyring| keyring.health())).collect()
        }
    }

    /// Takes up changed certificates and keys while it runs, on this runtime; looks for changes at once when nudged.
    pub(super) fn watch_files(&self, control: &Handle, nudge: &Nudge) {
        for tls in self.tls.iter().flatten() {
            control.spawn(Arc::clone(tls).watch(nudge.clone()));
        }
        for tls in self.upstream_tls.iter().flatten() {
            control.spawn(tls.reloaded().watch(nudge.clone()));
        }
        if let Some(keyring) = &self.assertion {
            control.spawn(keyring.watch(nudge.clone()));
        }
    }

    /// Who knows the keys of assertions, as they are published; `None`: nothing is asserted.
    pub(super) fn jwks(&self) -> Option<Jwks> {
        let keyring = Arc::clone(self.assertion.as_ref()?);
        Some(Arc::new(move || keyring.jwks()))
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
        let (tls, upstream_tls) = (self.tls, self.upstream_tls);
        let gate = Gate {
            live,
            verifier: ByTokens(tokens),
            recorder,
            listeners,
            tls,
            upstreams,
            upstream_tls,
            standings: self.standings,
            identity,
            assertion: self.assertion,
            public_url,
            sealing: self.sealing,
            limits,
        };
        let running = serve(self.bound, &Arc::new(gate), shutdown)
            .map_err(|error| Failure::could_not_run(format!("failed to start a worker: {error}")))?;
        running.join().map_err(|lost| Failure::could_not_run(format!("{lost} of the workers ended by a bug")))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::live::folder::read_file;

    #[test]
    fn a_start_says_what_is_odd_about_the_files_that_the_settings_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let key = rcgen::KeyPair::generate().unwrap();
        let mut wanted = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        wanted.not_after = rcgen::date_time_ymd(2020, 2, 1);
        fs::write(at("cert"), wanted.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(at("key"), key.serialize_pem()).unwrap();
        fs::set_permissions(at("key"), Permissions::from_mode(0o644)).unwrap();
        fs::create_dir(at("cache")).unwrap();
        fs::set_permissions(at("cache"), Permissions::from_mode(0o777)).unwrap();
        let text = "version: 1\nlisteners: [{ address: 127.0.0.1:8443, tls: { cert: cert, key: key } }]\n\
                    upstreams: { app: { url: 'http://127.0.0.1:1' } }\nkeys: { cache_dir: cache }\n";
        fs::write(at("stepgate.yaml"), text).unwrap();
        let (_, said) = settings(read_file(&at("stepgate.yaml")).unwrap()).unwrap();
        let [dates, rights] = &*said else { panic!("{said:?}") };
        assert!(dates.contains("yaml:2:") && dates.contains("it expired "), "{dates}");
        assert!(rights.contains("yaml:2:") && rights.contains("can be read by every user"), "{rights}");
    }
}
