//! Whether requests can be served, and per issuer why not.
//!
//! Ready: a policy is in force, every issuer's tokens can be verified (its keys are fresh, or stale and still honoured),
//! the audit log takes lines, and the process is not about to end. An issuer that is down when the gate starts keeps it
//! unready until its keys arrive; one that goes down later does so only when `keys.max_stale` has passed. Whoever runs
//! several issuers and wants to be routed to without one of them asks for `/readyz/NAME`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::audit::timestamp::Rfc3339;
use crate::live::Live;
use crate::telemetry::{Health, IssuerHealth};

/// Looks at everything that readiness depends on.
#[derive(Clone)]
pub struct Readiness {
    live: Arc<Live>,
    health: Arc<dyn Health>,
    audit_blocks: Arc<dyn Fn() -> bool + Send + Sync>,
    draining: Arc<AtomicBool>,
}

/// What `/readyz` answers.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) ready: bool,
    policy: Box<str>,
    draining: bool,
    audit: &'static str,
    issuers: Vec<IssuerReport>,
}

/// What it says of one issuer.
#[derive(Debug, Serialize)]
pub(super) struct IssuerReport {
    name: String,
    pub(super) ready: bool,
    state: &'static str,
    keys: usize,
    fetched_at: Option<Rfc3339>,
    next_fetch_in_seconds: u64,
    error: Option<String>,
}

impl Readiness {
    /// `audit_blocks`: whether requests are refused because the audit log cannot be written.
    #[must_use]
    pub fn new(
        live: Arc<Live>,
        health: Arc<dyn Health>,
        audit_blocks: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { live, health, audit_blocks: Arc::new(audit_blocks), draining: Arc::default() }
    }

    /// From now on unready: the process is about to end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn report(&self) -> Report {
        let issuers: Vec<IssuerReport> = self.health.issuers().into_iter().map(IssuerReport::from).collect();
        let draining = self.draining.load(Ordering::Relaxed);
        let blocked = (self.audit_blocks)();
        Report {
            ready: !draining && !blocked && issuers.iter().all(|issuer| issuer.ready),
            policy: self.live.current().policy.hash().into(),
            draining,
            audit: if blocked { "blocked" } else { "ok" },
            issuers,
        }
    }

    pub(super) fn issuer(&self, name: &str) -> Option<IssuerReport> {
        self.health.issuers().into_iter().find(|issuer| issuer.name == name).map(IssuerReport::from)
    }
}

impl From<IssuerHealth> for IssuerReport {
    fn from(issuer: IssuerHealth) -> Self {
        Self {
            name: issuer.name,
            ready: issuer.state.is_usable(),
            state: issuer.state.name(),
            keys: issuer.keys,
            fetched_at: issuer.fetched_at.map(Rfc3339),
            next_fetch_in_seconds: issuer.next_fetch_in.as_secs(),
            error: issuer.error,
        }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("draining", &self.draining).finish_non_exhaustive()
    }
}
