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
use crate::clock;
use crate::live::Live;
use crate::policy::{Exception, Policy, Standing};
use crate::telemetry::{AddressHealth, AddressState, Health, IssuerHealth, Reloads};
use crate::token::Timestamp;

/// Looks at everything that readiness depends on.
#[derive(Clone)]
pub struct Readiness {
    live: Arc<Live>,
    health: Arc<dyn Health>,
    reloads: Arc<Reloads>,
    audit_blocks: Arc<dyn Fn() -> bool + Send + Sync>,
    draining: Arc<AtomicBool>,
    upstreams: Arc<dyn Fn() -> Vec<AddressHealth> + Send + Sync>,
}

/// What `/readyz` answers.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// When all this was looked at.
    #[serde(skip)]
    pub(super) at: Timestamp,
    pub(super) ready: bool,
    policy: Box<str>,
    pub(super) draining: bool,
    audit: &'static str,
    /// Whether requests are refused because the audit log cannot be written.
    #[serde(skip)]
    pub(super) audit_blocks: bool,
    pub(super) issuers: Vec<IssuerReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reload: Option<ReloadReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upstreams: Option<Vec<AddressReport>>,
}

/// What it says, when asked for more, of one place of an upstream.
#[derive(Debug, Serialize)]
pub(super) struct AddressReport {
    pub(super) upstream: Box<str>,
    pub(super) address: Box<str>,
    /// Whether it gets requests.
    #[serde(skip)]
    pub(super) up: bool,
    pub(super) state: &'static str,
    pub(super) next_try_in_seconds: u64,
    pub(super) error: Option<Box<str>>,
}

/// What it says, when asked for more, of the policy in force and of the newest content of its folder.
#[derive(Debug, Serialize)]
pub(super) struct ReloadReport {
    pub(super) in_force: InForce,
    /// Whether the folder's newest content is what is in force.
    pub(super) current: bool,
    pub(super) refused: Option<RefusedReport>,
    /// Certificates and keys that are taken up anew when their files change.
    pub(super) tls: Vec<FilesReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct FilesReport {
    pub(super) of: Box<str>,
    not_after: Option<Rfc3339>,
    pub(super) refused: Option<Box<str>>,
}

#[derive(Debug, Serialize)]
pub(super) struct InForce {
    pub(super) policy: Box<str>,
    pub(super) since: Rfc3339,
    pub(super) exceptions: Vec<ExceptionReport>,
}

/// What it says of an exception that holds now. Nobody is named who is let in by it.
#[derive(Debug, Serialize)]
pub(super) struct ExceptionReport {
    pub(super) name: Box<str>,
    pub(super) until: Rfc3339,
    pub(super) routes: Vec<Box<str>>,
    pub(super) because: Box<str>,
}

#[derive(Debug, Serialize)]
pub(super) struct RefusedReport {
    pub(super) at: Rfc3339,
    pub(super) diagnostics: String,
}

/// What it says of one issuer.
#[derive(Debug, Serialize)]
pub(super) struct IssuerReport {
    pub(super) name: String,
    pub(super) ready: bool,
    pub(super) state: &'static str,
    pub(super) keys: usize,
    pub(super) fetched_at: Option<Rfc3339>,
    pub(super) next_fetch_in_seconds: u64,
    pub(super) error: Option<String>,
}

impl Readiness {
    /// `audit_blocks`: whether requests are refused because the audit log cannot be written.
    #[must_use]
    pub fn new(
        live: Arc<Live>,
        health: Arc<dyn Health>,
        reloads: Arc<Reloads>,
        audit_blocks: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            live,
            health,
            reloads,
            audit_blocks: Arc::new(audit_blocks),
            draining: Arc::default(),
            upstreams: Arc::new(Vec::new),
        }
    }

    /// The same with what is known of upstreams. One that is out of reach does not make the gate unready: routes to others
    /// work, and where all gates have the same upstreams no other would do better.
    #[must_use]
    pub fn with_upstreams(self, upstreams: Arc<dyn Fn() -> Vec<AddressHealth> + Send + Sync>) -> Self {
        Self { upstreams, ..self }
    }

    /// From now on unready: the process is about to end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// `verbose`: with what is known of the policy's reloads. A refused one does not make the gate unready: the policy
    /// before it works.
    pub(super) fn report(&self, verbose: bool) -> Report {
        let issuers: Vec<IssuerReport> = self.health.issuers().into_iter().map(IssuerReport::from).collect();
        let draining = self.draining.load(Ordering::Relaxed);
        let blocked = (self.audit_blocks)();
        let (live, at) = (self.live.current(), clock::now());
        Report {
            at,
            ready: !draining && !blocked && issuers.iter().all(|issuer| issuer.ready),
            policy: live.policy.hash().into(),
            draining,
            audit: if blocked { "blocked" } else { "ok" },
            audit_blocks: blocked,
            issuers,
            reload: verbose.then(|| self.reload(&live.policy, at)),
            upstreams: verbose.then(|| (self.upstreams)().into_iter().map(AddressReport::from).collect()),
        }
    }

    fn reload(&self, policy: &Policy, now: Timestamp) -> ReloadReport {
        let state = self.reloads.state();
        let hash = policy.hash().into();
        let exceptions = holding(policy, now).map(|one| ExceptionReport {
            name: one.name.clone(),
            until: Rfc3339(one.until),
            routes: policy.routes_of(one).map(|route| route.name.clone()).collect(),
            because: one.because.clone(),
        });
        let in_force = InForce { policy: hash, since: Rfc3339(state.since), exceptions: exceptions.collect() };
        let refused =
            state.refused.map(|it| RefusedReport { at: Rfc3339(it.at), diagnostics: it.diagnostics.to_string() });
        let tls = self.reloads.files().into_iter().map(|files| FilesReport {
            of: files.of,
            not_after: files.not_after.map(Rfc3339),
            refused: files.refused.map(|detail| (*detail).into()),
        });
        ReloadReport { in_force, current: refused.is_none(), refused, tls: tls.collect() }
    }

    pub(super) fn issuer(&self, name: &str) -> Option<IssuerReport> {
        self.health.issuers().into_iter().find(|issuer| issuer.name == name).map(IssuerReport::from)
    }
}

/// The exceptions that hold at this moment.
pub(super) fn holding(policy: &Policy, now: Timestamp) -> impl Iterator<Item = &Exception> {
    policy.exceptions().iter().filter(move |one| one.standing(now) == Standing::InForce)
}

impl From<AddressHealth> for AddressReport {
    fn from(place: AddressHealth) -> Self {
        Self {
            upstream: place.upstream,
            address: place.address,
            up: place.state == AddressState::Up,
            state: place.state.name(),
            next_try_in_seconds: place.out_for.as_secs(),
            error: place.error,
        }
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
