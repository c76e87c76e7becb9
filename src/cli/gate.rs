//! A running gate: what `run` and `demo` share, from bound ports to the last audit line.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::Signal;
use tokio::sync::watch;

use crate::admin::{self, Actions, AdminListener, Door, Inside, Readiness};
use crate::audit::{Auditor, Observer};
use crate::cli::descriptors;
use crate::cli::output::Failure;
use crate::cli::parts::{Compiled, Proxy, Tokens, say_exceptions, say_lints};
use crate::cli::reload::Reload;
use crate::cli::secret::admin_credential;
use crate::cli::signals::{Asked, Signals, end_at_once, not_listening};
use crate::config::settings::WhenBlocked;
use crate::config::{Settings, SourceFile};
use crate::live::watch::Nudges;
use crate::live::{Live, Snapshot};
use crate::proxy::Standings;
use crate::telemetry::logs::Logs;
use crate::telemetry::metrics::Sources;
use crate::telemetry::{AddressHealth, Health, Metrics, Reloads};

/// How long logs and the audit log may take to be written at the end.
const FLUSH: Duration = Duration::from_secs(5);

/// What a gate is to do on SIGHUP, and when its policy folder changes.
#[derive(Debug)]
pub(super) struct Watched {
    /// What was found in the policy folder and compiled.
    pub(super) files: Vec<SourceFile>,
    pub(super) hangups: Signal,
}

/// Where a gate listens.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    pub(super) gate: Vec<SocketAddr>,
    pub(super) admin: Option<SocketAddr>,
}

/// The runtime of everything that is not the data path: key fetches, the admin listener, signals.
///
/// # Errors
/// When the system gives us no threads.
pub(super) fn control_runtime() -> Result<Runtime, Failure> {
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("stepgate-control").enable_all().build();
    runtime.map_err(|error| Failure::could_not_run(format!("failed to start the control threads: {error}")))
}

/// Runs a gate until a signal ends it. `ready` is called once everything listens. `watched`: where the settings' policy
/// folder is to be watched for other content.
///
/// # Errors
/// Everything that keeps it from starting; nothing is served then.
pub(super) fn run(
    settings: &Settings,
    compiled: Compiled,
    watched: Option<Watched>,
    control: &Runtime,
    ready: impl FnOnce(&Addresses) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let logs = Logs::init(&settings.telemetry).map_err(Failure::could_not_run)?;
    let result = serve(settings, compiled, watched, control.handle(), &logs, ready);
    logs.close(FLUSH);
    result
}

fn serve(
    settings: &Settings,
    compiled: Compiled,
    watched: Option<Watched>,
    control: &Handle,
    logs: &Logs,
    ready: impl FnOnce(&Addresses) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Compiled { policy, keys, lints, files: texts } = compiled;
    let (files, hangups) = watched.map(|Watched { files, hangups }| (files, hangups)).unzip();
    let snapshot = Snapshot::new(policy, settings).map_err(Failure::problems)?.made_from(texts);
    say_lints(&lints);
    say_exceptions(&snapshot.policy);
    // Every watcher of files subscribes here, and looks at once on SIGHUP.
    let nudges = Nudges::new();
    if let Some(lacking) = descriptors::raise(settings.limits.connections) {
        tracing::warn!("{lacking}");
    }
    // Whatever can be refused by the system is asked for before anything is served.
    let proxy = Proxy::bind(settings)?;
    let admin = settings
        .admin
        .as_ref()
        .map(|admin| AdminListener::bind(admin.address))
        .transpose()
        .map_err(Failure::could_not_run)?;
    let credential = settings.admin.as_ref().and_then(|admin| admin.credential.as_ref());
    let credential = credential.map(admin_credential).transpose().map_err(Failure::could_not_run)?;
    let audit = Arc::new(Auditor::open(&settings.audit).map_err(Failure::could_not_run)?);
    // What SIGHUP and `POST /reload` do.
    let read_again: Arc<dyn Fn() + Send + Sync> = {
        let (audit, nudges) = (Arc::clone(&audit), nudges.clone());
        Arc::new(move || {
            audit.reopen();
            nudges.nudge();
        })
    };
    let signals = {
        let _within = control.enter();
        Signals::listen(hangups).map_err(not_listening)?
    };

    let tokens = Arc::new(Tokens::start(settings, snapshot.policy.hash(), &keys, control)?);
    let metrics = Arc::new(Metrics::default());
    metrics.install(&snapshot.policy);
    let reloads = Arc::new(Reloads::new());
    metrics.observe(sources(&tokens, &audit, logs, &reloads, proxy.standings()));
    let live = Arc::new(Live::new(snapshot));
    let addresses = Addresses { gate: proxy.addresses().to_vec(), admin: admin.as_ref().map(AdminListener::address) };

    reloads.observe_files(proxy.files());
    proxy.watch_files(control, &nudges.subscribe());
    proxy.check_upstreams(control);

    let (stop, stopped) = watch::channel(false);
    let readiness = readiness(&live, &tokens, &audit, &reloads, settings.audit.when_blocked);
    let readiness = readiness.with_upstreams(observed(proxy.standings()));
    if let Some(admin) = admin {
        let door = Arc::new(Door::new(credential));
        let actions = Actions::new(Arc::clone(&door), logs.filter().clone(), Arc::clone(&read_again));
        let keys = Arc::clone(&tokens);
        let published = Box::new(move |policy: &str| keys.published(policy));
        let inside = Inside::new(door, Arc::clone(&live), settings, published);
        let router = admin::router(readiness.clone(), Arc::clone(&metrics), actions, inside, proxy.jwks());
        control.spawn(async move {
            // It answers for as long as the process lives, while it drains too.
            if let Err(error) = admin.serve(router, std::future::pending()).await {
                tracing::error!(%error, "the admin listener ended");
            }
        });
    }
    if let Some(files) = files {
        let reload = Reload::new(settings, &live, &tokens, &metrics, &reloads);
        reload.run(control, files, nudges.subscribe()).map_err(Failure::could_not_run)?;
    }
    let hear = Hear { stop, readiness, logs: logs.clone(), audit: Arc::clone(&audit), read_again };
    control.spawn(hear.signals(signals));

    let recorder = Arc::new(Observer::new(Arc::clone(&audit), metrics));
    let policy = live.current().policy.hash().to_owned();
    let gate: Vec<String> = addresses.gate.iter().map(ToString::to_string).collect();
    let admin = addresses.admin.map_or_else(|| "off".to_owned(), |address| address.to_string());
    tracing::info!(gate = gate.join(", "), admin, policy, "listening");
    ready(&addresses)?;
    let result = proxy.run(live, tokens, recorder, &stopped);
    audit.close(FLUSH);
    tracing::info!("ended");
    result
}

/// Who tells how the places of upstreams stand.
fn observed(standings: Standings) -> Arc<dyn Fn() -> Vec<AddressHealth> + Send + Sync> {
    Arc::new(move || standings.health())
}

fn sources(
    tokens: &Arc<Tokens>,
    audit: &Arc<Auditor>,
    logs: &Logs,
    reloads: &Arc<Reloads>,
    standings: Standings,
) -> Sources {
    let (audit, logs) = (Arc::clone(audit), logs.clone());
    let health: Arc<dyn Health> = Arc::<Tokens>::clone(tokens);
    Sources {
        health: Some(health),
        audit: Some(Arc::new(move || audit.usage())),
        logs_dropped: Some(Arc::new(move || logs.dropped())),
        reloads: Some(Arc::clone(reloads)),
        upstreams: Some(observed(standings)),
    }
}

fn readiness(
    live: &Arc<Live>,
    tokens: &Arc<Tokens>,
    audit: &Arc<Auditor>,
    reloads: &Arc<Reloads>,
    when: WhenBlocked,
) -> Readiness {
    let health: Arc<dyn Health> = Arc::<Tokens>::clone(tokens);
    let audit = Arc::clone(audit);
    let blocks = move || when == WhenBlocked::Refuse && audit.is_failing();
    Readiness::new(Arc::clone(live), health, Arc::clone(reloads), blocks)
}

/// What signals have an effect on.
struct Hear {
    stop: watch::Sender<bool>,
    readiness: Readiness,
    logs: Logs,
    audit: Arc<Auditor>,
    read_again: Arc<dyn Fn() + Send + Sync>,
}

impl Hear {
    async fn signals(self, mut signals: Signals) {
        let mut ending = false;
        loop {
            match signals.next().await {
                Asked::Reload => {
                    (self.read_again)();
                    tracing::info!(
                        signal = "SIGHUP",
                        "the policy folder and every other watched file are looked at now, and an audit log in a file is \
                         opened anew"
                    );
                }
                Asked::End(signal) if !ending => {
                    tracing::info!(signal, "ending: requests under way may finish; a second signal ends at once");
                    ending = true;
                    self.readiness.drain();
                    self.stop.send_replace(true);
                }
                Asked::End(signal) => {
                    tracing::warn!(signal, "ending at once");
                    self.audit.close(Duration::from_millis(200));
                    self.logs.close(Duration::from_millis(200));
                    end_at_once()
                }
            }
        }
    }
}
