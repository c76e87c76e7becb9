//! Counters of the data path, resolved when a policy is loaded: a request touches atomics and looks nothing up.
//!
//! Labels are the policy's route names, issuers and upstreams and the closed list of reasons; never paths or subjects.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::policy::{Policy, Route};
use crate::reason::Reason;
use crate::telemetry::health::Health;
use crate::telemetry::scrape;

/// All metrics of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    table: ArcSwap<Table>,
    pub(super) decisions: Histogram,
    pub(super) connections: AtomicI64,
    pub(super) refused: AtomicU64,
    pub(super) unreadable: AtomicU64,
    upstreams: Mutex<BTreeMap<Box<str>, Arc<UpstreamCounters>>>,
    sources: ArcSwap<Sources>,
}

/// Where numbers come from that others keep.
#[derive(Default)]
pub struct Sources {
    /// Issuers and the token cache.
    pub health: Option<Arc<dyn Health>>,
    /// The audit log: lines written, lines dropped, write errors.
    pub audit: Option<Arc<dyn Fn() -> [u64; 3] + Send + Sync>>,
    /// Log lines that were lost.
    pub logs_dropped: Option<Arc<dyn Fn() -> u64 + Send + Sync>>,
}

/// The counters of one policy's routes, in its order.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) policy: Box<str>,
    pub(super) routes: Box<[Arc<RouteCounters>]>,
    by_name: HashMap<Box<str>, usize>,
    /// What no route of this policy can be charged with.
    pub(super) no_route: Arc<RouteCounters>,
}

/// One route's decisions.
#[derive(Debug)]
pub(super) struct RouteCounters {
    pub(super) route: Box<str>,
    pub(super) allowed: AtomicU64,
    /// By the reason's place in [`Reason::ALL`].
    pub(super) denied: Box<[AtomicU64]>,
}

/// One upstream's connections and failures.
#[derive(Debug, Default)]
pub(super) struct UpstreamCounters {
    pub(super) connected: AtomicU64,
    pub(super) unreachable: AtomicU64,
    pub(super) timeout: AtomicU64,
}

impl RouteCounters {
    fn new(route: &str) -> Self {
        Self {
            route: route.into(),
            allowed: AtomicU64::new(0),
            denied: Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Default for RouteCounters {
    fn default() -> Self {
        Self::new(NO_ROUTE)
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
        }));
    }

    /// Says where the numbers come from that others keep.
    pub fn observe(&self, sources: Sources) {
        self.sources.store(Arc::new(sources));
    }

    /// Counts a decision; `None` is allow.
    pub fn decided(&self, policy: &Policy, route: Option<&Route>, reason: Option<Reason>, micros: u64) {
        let table = self.table.load();
        let counters = route.and_then(|route| table.counters(policy, route)).unwrap_or(&table.no_route);
        let counter = match reason {
            None => Some(&counters.allowed),
            Some(reason) => counters.denied.get(reason as usize),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.decisions.observe(micros);
    }

    /// Counts a failure of an upstream.
    pub fn upstream_failed(&self, upstream: &str, reason: Reason) {
        let counters = self.upstream(upstream);
        let counter = if reason == Reason::UpstreamTimeout { &counters.timeout } else { &counters.unreachable };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection to an upstream.
    pub fn upstream_connected(&self, upstream: &str) {
        self.upstream(upstream).connected.fetch_add(1, Ordering::Relaxed);
    }

    fn upstream(&self, name: &str) -> Arc<UpstreamCounters> {
        let mut upstreams = self.upstreams();
        let counters = match upstreams.get(name) {
            Some(known) => known,
            // The names come from `stepgate.yaml`, so there are no more than it has.
            None => upstreams.entry(name.into()).or_default(),
        };
        Arc::clone(counters)
    }

    /// Counts a connection that was turned away at the limit, and what it would have asked as `overloaded`.
    pub fn connection_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if let Some(overloaded) = self.table.load().no_route.denied.get(Reason::Overloaded as usize) {
            overloaded.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts what came on a connection and was no request.
    pub fn request_unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a client's connection.
    pub fn connection_opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts its end.
    pub fn connection_closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
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

    pub(super) fn upstreams(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Arc<UpstreamCounters>>> {
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// A route's counters: by its place, where this table is of its policy, else (a request that began before a reload) by
    /// its name.
    fn counters(&self, policy: &Policy, route: &Route) -> Option<&Arc<RouteCounters>> {
        let place = if *self.policy == *policy.hash() { policy.routes().element_offset(route) } else { None };
        self.routes.get(place.or_else(|| self.by_name.get(&route.name).copied())?)
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

/// A histogram of plain atomics: no lock on the request's way.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

/// Upper bounds in microseconds. A decision takes tens of them; one that waits for keys takes seconds.
const BOUNDS: [(u64, f64); 14] = [
    (10, 0.000_01),
    (25, 0.000_025),
    (50, 0.000_05),
    (100, 0.000_1),
    (250, 0.000_25),
    (500, 0.000_5),
    (1_000, 0.001),
    (2_500, 0.002_5),
    (5_000, 0.005),
    (10_000, 0.01),
    (50_000, 0.05),
    (250_000, 0.25),
    (1_000_000, 1.0),
    (5_000_000, 5.0),
];

impl Histogram {
    fn observe(&self, micros: u64) {
        let place = BOUNDS.iter().position(|(bound, _)| micros <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// The sum in seconds, and how many fell into each bucket, with its upper bound in seconds.
    pub(super) fn read(&self) -> (f64, Vec<(f64, u64)>) {
        #[expect(clippy::cast_precision_loss, reason = "285 years of deciding stay exact")]
        let sum = self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        let bounds = BOUNDS.iter().map(|(_, seconds)| *seconds).chain([f64::INFINITY]);
        (sum, bounds.zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed))).collect())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::audit::tests::some_policy;
    use crate::telemetry::health::{CacheUse, IssuerHealth, KeyState};

    pub(crate) struct OneIssuer(pub(crate) KeyState);

    impl Health for OneIssuer {
        fn issuers(&self) -> Vec<IssuerHealth> {
            vec![IssuerHealth {
                name: "bank".into(),
                state: self.0,
                keys: 2,
                fetched_at: None,
                error: (self.0 != KeyState::Ready).then(|| "timed out".into()),
                next_fetch_in: Duration::from_secs(60),
                fetched: 3,
                failed: 1,
            }]
        }

        fn cache(&self) -> CacheUse {
            CacheUse { hits: 7, misses: 2, bytes: 4_096 }
        }
    }

    /// Metrics in which every family has a sample.
    pub(crate) fn busy() -> Arc<Metrics> {
        let metrics = Arc::new(Metrics::default());
        let policy = some_policy();
        metrics.install(&policy);
        metrics.observe(Sources {
            health: Some(Arc::new(OneIssuer(KeyState::Stale))),
            audit: Some(Arc::new(|| [5, 1, 0])),
            logs_dropped: Some(Arc::new(|| 4)),
        });
        let route = policy.routes().first();
        metrics.decided(&policy, route, None, 12);
        metrics.decided(&policy, route, Some(Reason::LevelTooLow), 40);
        metrics.decided(&policy, None, Some(Reason::RouteNone), 9_000_000);
        metrics.upstream_failed("app", Reason::UpstreamTimeout);
        metrics.connection_opened();
        metrics.connection_refused();
        metrics
    }

    #[test]
    fn what_happened_can_be_scraped() {
        let text = busy().scrape();
        for line in [
            r#"stepgate_requests_total{route="all",decision="allow",reason="-"} 1"#,
            r#"stepgate_requests_total{route="all",decision="deny",reason="level_too_low"} 1"#,
            r#"stepgate_requests_total{route="-",decision="deny",reason="route_none"} 1"#,
            r#"stepgate_decision_seconds_bucket{le="0.000025"} 1"#,
            r#"stepgate_decision_seconds_bucket{le="+Inf"} 3"#,
            r"stepgate_decision_seconds_count 3",
            r"stepgate_connections_open 1",
            r"stepgate_connections_refused_total 1",
            r#"stepgate_upstream_failures_total{upstream="app",reason="upstream_timeout"} 1"#,
            r"stepgate_audit_lines_total 5",
            r"stepgate_audit_dropped_total 1",
            r"stepgate_log_dropped_total 4",
            r#"stepgate_issuer_keys{issuer="bank"} 2"#,
            r#"stepgate_issuer_ready{issuer="bank"} 1"#,
            r#"stepgate_key_fetches_total{issuer="bank",result="ok"} 3"#,
            r#"stepgate_key_fetches_total{issuer="bank",result="failed"} 1"#,
            r"stepgate_token_cache_hits_total 7",
            r"stepgate_token_cache_bytes 4096",
            r#"stepgate_policy_info{hash="sha256:00"} 1"#,
            "# EOF",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn counts_go_on_over_a_reload_and_from_an_older_policy() {
        let (metrics, policy) = (busy(), some_policy());
        metrics.install(&policy);
        let other = some_policy();
        metrics.decided(&other, other.routes().first(), None, 1);
        let stray = other.routes().first().cloned();
        metrics.decided(&other, stray.as_ref(), None, 1);
        assert!(metrics.scrape().contains(r#"{route="all",decision="allow",reason="-"} 3"#), "{}", metrics.scrape());
    }

    #[test]
    fn the_documentation_lists_every_metric_and_no_other() {
        let text = busy().scrape();
        let mut have: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|line| line.split_once(' '))
            .map(|(name, kind)| match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            })
            .collect();
        let documentation = include_str!("../../docs/metrics.md");
        let mut said: Vec<String> = documentation
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|line| line.split(['`', '{']).next())
            .map(str::to_owned)
            .collect();
        have.sort();
        said.sort();
        assert_eq!(have, said);
    }
}
