//! Counters of the data path, resolved when a policy is loaded: a request touches atomics and looks nothing up.
//!
//! Labels are the policy's route names, issuers and upstreams and the closed list of reasons; never paths or subjects.

mod exceptions;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;

use crate::policy::{METADATA_ROUTE, Policy, Route};
use crate::reason::Reason;
use crate::telemetry::health::{AddressHealth, AuditUse, Health};
use crate::telemetry::histogram::Histogram;
use crate::telemetry::metrics::exceptions::Exceptions;
use crate::telemetry::record::{KeptEvent, Protocol};
use crate::telemetry::reloads::Reloads;
use crate::telemetry::scrape;
use crate::telemetry::sharded::{SHARDS, Sharded, shard};
use crate::telemetry::stream::StreamEnd;
use crate::telemetry::upstream::UpstreamMeter;

/// All metrics of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    table: ArcSwap<Table>,
    pub(super) decisions: Sharded<Histogram>,
    pub(super) connections: AtomicI64,
    pub(super) tunnels: AtomicI64,
    pub(super) refused: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) accept_errors: AtomicU64,
    /// By [`Protocol`], in the clear and by TLS.
    pub(super) spoken: [[AtomicU64; 2]; Protocol::ALL.len()],
    pub(super) unreadable: AtomicU64,
    pub(super) unproxied: AtomicU64,
    /// By [`KeptEvent`].
    pub(super) kept: Sharded<[AtomicU64; KeptEvent::ALL.len()]>,
    /// By [`StreamEnd::place`].
    pub(super) streams_ended: StreamCounts,
    /// Each worker's counters of each upstream. Locked when a worker starts, and at a scrape.
    upstreams: Mutex<BTreeMap<Box<str>, Vec<UpstreamMeter>>>,
    sources: ArcSwap<Sources>,
}

/// Where numbers come from that others keep.
#[derive(Default)]
pub struct Sources {
    /// Issuers and the token cache.
    pub health: Option<Arc<dyn Health>>,
    /// The audit log.
    pub audit: Option<Arc<dyn Fn() -> AuditUse + Send + Sync>>,
    /// Log lines that were lost.
    pub logs_dropped: Option<Arc<dyn Fn() -> u64 + Send + Sync>>,
    /// How loading policies went.
    pub reloads: Option<Arc<Reloads>>,
    /// How the places of upstreams stand.
    pub upstreams: Option<Arc<dyn Fn() -> Vec<AddressHealth> + Send + Sync>>,
}

/// How many streams were ended, for each reason.
#[derive(Debug)]
pub(super) struct StreamCounts(pub(super) [AtomicU64; StreamEnd::COUNT]);

impl Default for StreamCounts {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// The counters of one policy's routes, in its order.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) policy: Box<str>,
    pub(super) routes: Box<[Arc<RouteCounters>]>,
    by_name: HashMap<Box<str>, usize>,
    /// What no route of this policy can be charged with.
    pub(super) no_route: Arc<RouteCounters>,
    /// Requests that the gate answers out of the policy itself.
    pub(super) metadata: Arc<RouteCounters>,
    pub(super) exceptions: Exceptions,
}

/// One route's decisions. Each thread counts for itself, and makes its counters when it first needs them.
#[derive(Debug)]
pub(super) struct RouteCounters {
    pub(super) route: Box<str>,
    shards: [OnceLock<Box<Counts>>; SHARDS],
}

/// What one shard counted of a route.
#[derive(Debug)]
#[repr(align(128))]
struct Counts {
    allowed: AtomicU64,
    /// By the reason's place in [`Reason::ALL`].
    denied: [AtomicU64; Reason::ALL.len()],
    /// The same of what would have been denied. Most routes never count here.
    observed: OnceLock<Box<[AtomicU64; Reason::ALL.len()]>>,
}

/// What is counted of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was let through.
    Allow,
    /// It was refused.
    Deny(Reason),
    /// It was let through by a route that observes.
    WouldDeny(Reason),
}

impl Counts {
    fn new() -> Box<Self> {
        let denied = std::array::from_fn(|_| AtomicU64::new(0));
        Box::new(Self { allowed: AtomicU64::new(0), denied, observed: OnceLock::new() })
    }
}

impl RouteCounters {
    fn new(route: &str) -> Self {
        Self { route: route.into(), shards: std::array::from_fn(|_| OnceLock::new()) }
    }

    fn count(&self, verdict: Verdict) {
        let Some(counts) = self.shards.get(shard()).map(|counts| counts.get_or_init(Counts::new)) else { return };
        let none = || Box::new(std::array::from_fn(|_| AtomicU64::new(0)));
        let counter = match verdict {
            Verdict::Allow => Some(&counts.allowed),
            Verdict::Deny(reason) => counts.denied.get(reason as usize),
            Verdict::WouldDeny(reason) => counts.observed.get_or_init(none).get(reason as usize),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What all threads counted.
    pub(super) fn allowed(&self) -> u64 {
        self.sum(|counts| Some(&counts.allowed))
    }

    /// The same of one reason.
    pub(super) fn denied(&self, reason: Reason) -> u64 {
        self.sum(|counts| counts.denied.get(reason as usize))
    }

    /// The same of what would have been denied.
    pub(super) fn observed(&self, reason: Reason) -> u64 {
        self.sum(|counts| counts.observed.get()?.get(reason as usize))
    }

    fn sum(&self, of: impl Fn(&Counts) -> Option<&AtomicU64>) -> u64 {
        let counters = self.shards.iter().filter_map(OnceLock::get).filter_map(|counts| of(counts));
        counters.map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl Default for Table {
    fn default() -> Self {
        let counters = |route: &str| Arc::new(RouteCounters::new(route));
        Self {
            policy: Box::default(),
            routes: Box::default(),
            by_name: HashMap::new(),
            no_route: counters(NO_ROUTE),
            metadata: counters(METADATA_ROUTE),
            exceptions: Exceptions::default(),
        }
    }
}

/// The label of requests without a route; no route can have this name.
const NO_ROUTE: &str = "-";

impl Metrics {
    /// Takes up a policy: routes that go on under their names keep their counts.
    pub fn install(&self, policy: &Policy) {
        let old = self.table.load();
        let kept = |name: &str| old.by_name.get(name).and_then(|place| old.routes.get(*place)).cloned();
        let counters = |route: &Route| kept(&route.name).unwrap_or_else(|| Arc::new(RouteCounters::new(&route.name)));
        self.table.store(Arc::new(Table {
            policy: policy.hash().into(),
            routes: policy.routes().iter().map(counters).collect(),
            by_name: policy.routes().iter().enumerate().map(|(place, route)| (route.name.clone(), place)).collect(),
            no_route: Arc::clone(&old.no_route),
            metadata: Arc::clone(&old.metadata),
            exceptions: Exceptions::of(policy, &old.exceptions),
        }));
    }

    /// Says where the numbers come from that others keep.
    pub fn observe(&self, sources: Sources) {
        self.sources.store(Arc::new(sources));
    }

    /// Counts a decision.
    pub fn decided(&self, policy: &Policy, route: Option<&Route>, verdict: Verdict, micros: u64) {
        let table = self.table.load();
        let counters = route.and_then(|route| table.counters(policy, route)).unwrap_or(&table.no_route);
        counters.count(verdict);
        if let Some(decisions) = self.decisions.here() {
            decisions.observe(micros);
        }
    }

    /// Counts that an exception let somebody in, besides the decision.
    pub fn excepted(&self, exception: &str) {
        self.table.load().exceptions.count(exception);
    }

    /// New counters of an upstream, for one worker. The names come from `stepgate.yaml`, so there are no more than it has.
    #[must_use]
    pub fn upstream(&self, name: &str) -> UpstreamMeter {
        let meter = UpstreamMeter::default();
        self.upstreams().entry(name.into()).or_default().push(meter.clone());
        meter
    }

    /// Counts a connection that was turned away at the limit, and what it would have asked as `overloaded`.
    pub fn connection_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.table.load().no_route.count(Verdict::Deny(Reason::Overloaded));
    }

    /// Counts what came on a connection and was no request.
    pub fn request_unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was closed for want of a PROXY protocol header.
    pub fn proxy_header_refused(&self) {
        self.unproxied.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what became of a kept cookie.
    pub fn kept(&self, event: KeptEvent) {
        if let Some(count) = self.kept.here().and_then(|counts| counts.get(event as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a stream that was ended.
    pub fn stream_ended(&self, why: StreamEnd) {
        if let Some(count) = self.streams_ended.0.get(why.place()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a connection that could not be taken from the system.
    pub fn accept_failed(&self) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what a connection turned out to speak.
    pub fn connection_speaks(&self, protocol: Protocol, tls: bool) {
        if let Some([clear, encrypted]) = self.spoken.get(protocol as usize) {
            if tls { encrypted } else { clear }.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a client's connection.
    pub fn connection_opened(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts its end.
    pub fn connection_closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a WebSocket, or another upgrade, that is open.
    pub fn tunnel_opened(&self) {
        self.tunnels.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts its end.
    pub fn tunnel_closed(&self) {
        self.tunnels.fetch_sub(1, Ordering::Relaxed);
    }

    /// Everything, as Prometheus reads it.
    #[must_use]
    pub fn scrape(self: &Arc<Self>) -> String {
        scrape::text(self)
    }

    pub(super) fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    pub(super) fn sources(&self) -> Arc<Sources> {
        self.sources.load_full()
    }

    pub(super) fn upstreams(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Vec<UpstreamMeter>>> {
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// A route's counters: by its place, where this table is of its policy, else (a request that began before a reload) by
    /// its name.
    fn counters(&self, policy: &Policy, route: &Route) -> Option<&Arc<RouteCounters>> {
        let place = if *self.policy == *policy.hash() { policy.routes().element_offset(route) } else { None };
        let place = place.or_else(|| self.by_name.get(&route.name).copied());
        match place {
            Some(place) => self.routes.get(place),
            None => (*route.name == *METADATA_ROUTE).then_some(&self.metadata),
        }
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

#[cfg(test)]
pub(crate) mod tests;
