//! The metrics as text: every family with its name, its help and its samples. `docs/metrics.md` lists the same.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::reason::Reason;
use crate::telemetry::metrics::Metrics;

/// The text of one scrape.
pub(super) fn text(metrics: &Arc<Metrics>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(Arc::clone(metrics))));
    let mut out = String::new();
    // A `String` takes everything; were it to fail, a scrape cut short is seen by its missing end.
    match text::encode(&mut out, &registry) {
        Ok(()) | Err(fmt::Error) => out,
    }
}

#[derive(Debug)]
struct Families(Arc<Metrics>);

impl Collector for Families {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        self.decisions(&mut out)?;
        self.upstreams(&mut out)?;
        self.logs(&mut out)?;
        self.issuers(&mut out)?;
        info(&mut out, "stepgate_build", "The running version", &[("version", env!("CARGO_PKG_VERSION"))])?;
        let table = self.0.table();
        info(&mut out, "stepgate_policy", "The policy in force", &[("hash", &*table.policy)])
    }
}

impl Families {
    fn decisions(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let table = self.0.table();
        let help = "Requests decided, by route (`-`: none), decision and reason (`-`: allowed)";
        let mut requests = out.encode_descriptor("stepgate_requests", help, None, MetricType::Counter)?;
        for route in table.routes.iter().chain([&table.no_route]) {
            let denied = Reason::ALL.iter().zip(&route.denied).map(|(reason, count)| ("deny", reason.code(), count));
            for (decision, reason, count) in [("allow", "-", &route.allowed)].into_iter().chain(denied) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let labels = [("route", &*route.route), ("decision", decision), ("reason", reason)];
                    requests.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
                }
            }
        }
        let (sum, buckets) = self.0.decisions.read();
        let count = buckets.iter().map(|(_, count)| *count).sum();
        let help = "Time from a request's head to its decision";
        out.encode_descriptor("stepgate_decision_seconds", help, None, MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        let open = self.0.connections.load(Ordering::Relaxed);
        let help = "Connections of clients that are open";
        out.encode_descriptor("stepgate_connections_open", help, None, MetricType::Gauge)?.encode_gauge(&open)?;
        let refused = self.0.refused.load(Ordering::Relaxed);
        counter(out, "stepgate_connections_refused", "Connections turned away at the limit", refused)?;
        let unreadable = self.0.unreadable.load(Ordering::Relaxed);
        counter(out, "stepgate_requests_unreadable", "What came on connections and was no HTTP request", unreadable)
    }

    fn upstreams(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Allowed requests that the upstream failed";
        let mut failures = out.encode_descriptor("stepgate_upstream_failures", help, None, MetricType::Counter)?;
        for (upstream, counters) in self.0.upstreams().iter() {
            for (reason, count) in
                [(Reason::UpstreamUnreachable, &counters.unreachable), (Reason::UpstreamTimeout, &counters.timeout)]
            {
                let labels = [("upstream", &**upstream), ("reason", reason.code())];
                let count = count.load(Ordering::Relaxed);
                failures.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "Connections made to the upstream";
        let mut made = out.encode_descriptor("stepgate_upstream_connections", help, None, MetricType::Counter)?;
        for (upstream, counters) in self.0.upstreams().iter() {
            let count = counters.connected.load(Ordering::Relaxed);
            made.encode_family(&[("upstream", &**upstream)])?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    fn logs(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let sources = self.0.sources();
        let [lines, dropped, errors] = sources.audit.as_ref().map_or([0; 3], |audit| audit());
        counter(out, "stepgate_audit_lines", "Audit lines written", lines)?;
        counter(out, "stepgate_audit_dropped", "Audit lines lost", dropped)?;
        counter(out, "stepgate_audit_write_errors", "Failed writes of the audit log", errors)?;
        let dropped = sources.logs_dropped.as_ref().map_or(0, |dropped| dropped());
        counter(out, "stepgate_log_dropped", "Log lines lost", dropped)
    }

    fn issuers(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let sources = self.0.sources();
        let issuers = sources.health.as_ref().map(|health| health.issuers()).unwrap_or_default();
        let cache = sources.health.as_ref().map(|health| health.cache()).unwrap_or_default();
        let mut keys = out.encode_descriptor("stepgate_issuer_keys", "Usable keys held", None, MetricType::Gauge)?;
        for issuer in &issuers {
            let count = i64::try_from(issuer.keys).unwrap_or(i64::MAX);
            keys.encode_family(&[("issuer", &*issuer.name)])?.encode_gauge(&count)?;
        }
        let help = "Whether the issuer's tokens can be verified (1) or not (0)";
        let mut ready = out.encode_descriptor("stepgate_issuer_ready", help, None, MetricType::Gauge)?;
        for issuer in &issuers {
            let usable = i64::from(issuer.state.is_usable());
            ready.encode_family(&[("issuer", &*issuer.name)])?.encode_gauge(&usable)?;
        }
        let help = "Fetches of the issuer's keys";
        let mut fetches = out.encode_descriptor("stepgate_key_fetches", help, None, MetricType::Counter)?;
        for issuer in &issuers {
            for (result, count) in [("ok", issuer.fetched), ("failed", issuer.failed)] {
                let labels = [("issuer", &*issuer.name), ("result", result)];
                fetches.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        counter(out, "stepgate_token_cache_hits", "Tokens found in the cache of verified tokens", cache.hits)?;
        counter(out, "stepgate_token_cache_misses", "Tokens not found there, so verified", cache.misses)?;
        let bytes = i64::try_from(cache.bytes).unwrap_or(i64::MAX);
        out.encode_descriptor("stepgate_token_cache_bytes", "Bytes held there", None, MetricType::Gauge)?
            .encode_gauge(&bytes)
    }
}

fn counter(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, count: u64) -> fmt::Result {
    out.encode_descriptor(name, help, None, MetricType::Counter)?.encode_counter::<NoLabelSet, _, u64>(&count, None)
}

fn info(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, labels: &impl EncodeLabelSet) -> fmt::Result {
    out.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(labels)
}
