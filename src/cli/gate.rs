//! A running gate: what `run` and `demo` share, from bound ports to the last audit line.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

use crate::admin::{self, AdminListener, Readiness};
use crate::audit::{Auditor, Observer};
use crate::cli::output::Failure;
use crate::cli::parts::{Compiled, Proxy, Tokens};
use crate::cli::signals::{Signals, end_at_once};
use crate::config::Settings;
use crate::config::settings::WhenBlocked;
use crate::live::{Live, Snapshot};
use crate::telemetry::logs::Logs;
use crate::telemetry::metrics::Sources;
use crate::telemetry::{Health, Metrics};

/// How long logs and the audit log may take to be written at the end.
const FLUSH: Duration = Duration::from_secs(5);

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

/// Runs a gate until a signal ends it. `ready` is called once everything listens.
///
/// # Errors
/// Everything that keeps it from starting; nothing is served then.
pub(super) fn run(
    settings: &Settings,
    compiled: Compiled,
    control: &Runtime,
    ready: impl FnOnce(&Addresses) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let logs = Logs::init(&settings.telemetry).map_err(Failure::could_not_run)?;
    let result = serve(settings, compiled, control.handle(), &logs, ready);
    logs.close(FLUSH);
    result
}

fn serve(
    settings: &Settings,
    compiled: Compiled,
    control: &Handle,
    logs: &Logs,
    ready: impl FnOnce(&Addresses) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Compiled { policy, keys, lints } = compiled;
    let snapshot = Snapshot::new(policy, settings).map_err(Failure::problems)?;
    for lint in &lints {
        tracing::warn!(lint, "the policy is taken, but hardly means what it says");
    }
    // Whatever can be refused by the system is asked for before anything is served.
    let proxy = Proxy::bind(settings)?;
    let admin = settings
        .admin
        .as_ref()
        .map(|admin| AdminListener::bind(admin.address))
        .transpose()
        .map_err(Failure::could_not_run)?;
    let audit = Arc::new(Auditor::open(&settings.audit).map_err(Failure::could_not_run)?);
    let signals = {
        let _within = control.enter();
        Signals::listen().map_err(|error| Failure::could_not_run(format!("failed to listen for signals: {error}")))?
    };

    let tokens = Arc::new(Tokens::start(settings, &keys, control)?);
    let metrics = Arc::new(Metrics::default());
    metrics.install(&snapshot.policy);
    metrics.observe(sources(&tokens, &audit, logs));
    let live = Arc::new(Live::new(snapshot));
    let addresses = Addresses { gate: proxy.addresses().to_vec(), admin: admin.as_ref().map(AdminListener::address) };

    let (stop, stopped) = watch::channel(false);
    let (_nudger, nudge) = watch::channel(());
    proxy.watch_certificates(control, &nudge);
    let readiness = readiness(&live, &tokens, &audit, settings.audit.when_blocked);
    if let Some(admin) = admin {
        let router = admin::router(readiness.clone(), Arc::clone(&metrics));
        control.spawn(async move {
            // It answers for as long as the process lives, while it drains too.
            if let Err(error) = admin.serve(router, std::future::pending()).await {
                tracing::error!(%error, "the admin listener ended");
            }
        });
    }
    control.spawn(end_on_signals(signals, stop, readiness, logs.clone()));

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

fn sources(tokens: &Arc<Tokens>, audit: &Arc<Auditor>, logs: &Logs) -> Sources {
    let (audit, logs) = (Arc::clone(audit), logs.clone());
    let health: Arc<dyn Health> = Arc::<Tokens>::clone(tokens);
    Sources {
        health: Some(health),
        audit: Some(Arc::new(move || [audit.written(), audit.dropped(), audit.errors()])),
        logs_dropped: Some(Arc::new(move || logs.dropped())),
    }
}

fn readiness(live: &Arc<Live>, tokens: &Arc<Tokens>, audit: &Arc<Auditor>, when: WhenBlocked) -> Readiness {
    let health: Arc<dyn Health> = Arc::<Tokens>::clone(tokens);
    let audit = Arc::clone(audit);
    Readiness::new(Arc::clone(live), health, move || when == WhenBlocked::Refuse && audit.is_failing())
}

async fn end_on_signals(mut signals: Signals, stop: watch::Sender<bool>, readiness: Readiness, logs: Logs) {
    let signal = signals.next().await;
    tracing::info!(signal, "ending: requests under way may finish; a second signal ends at once");
    readiness.drain();
    stop.send_replace(true);
    let signal = signals.next().await;
    tracing::warn!(signal, "ending at once");
    logs.close(Duration::from_millis(200));
    end_at_once()
}
