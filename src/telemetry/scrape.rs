//! The metrics as text: every family with its name, its help and its samples. `docs/metrics.md` lists the same.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::reason::Reason;
use crate::telemetry::health::{AddressHealth, AddressState};
use crate::telemetry::histogram::{Histogram, Read};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::process::Process;
use crate::telemetry::record::{KeptEvent, Protocol};
use crate::telemetry::reloads::Outcome;
use crate::telemetry::stream::StreamEnd;
use crate::telemetry::upstream::{CLASSES, Totals};
use crate::token::Timestamp;

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
        self.exceptions(&mut out)?;
        self.kept(&mut out)?;
        self.streams(&mut out)?;
        self.connections(&mut out)?;
        self.upstreams(&mut out)?;
        self.addresses(&mut out)?;
        self.logs(&mut out)?;
        self.issuers(&mut out)?;
        self.reloads(&mut out)?;
        info(&mut out, "stepgate_build", "The running version", &[("version", env!("CARGO_PKG_VERSION"))])?;
        let table = self.0.table();
        info(&mut out, "stepgate_policy", "The policy in force", &[("hash", &*table.policy)])?;
        process(&mut out)
    }
}

impl Families {
    fn decisions(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let table = self.0.table();
        let help = "Requests decided, by route (`-`: none; `(metadata)`: the gate's own document), decision (`would_deny`: let through by a route that observes) and reason (`-`: allowed)";
        let mut requests = out.encode_descriptor("stepgate_requests", help, None, MetricType::Counter)?;
        for route in table.routes.iter().chain([&table.metadata, &table.no_route]) {
            let denied = Reason::ALL.iter().map(|reason| ("deny", reason.code(), route.denied(*reason)));
            let observed = Reason::ALL.iter().map(|reason| ("would_deny", reason.code(), route.observed(*reason)));
            let refused = denied.chain(observed);
            for (decision, reason, count) in [("allow", "-", route.allowed())].into_iter().chain(refused) {
                if count > 0 {
                    let labels = [("route", &*route.route), ("decision", decision), ("reason", reason)];
                    requests.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
                }
            }
        }
        let (sum, buckets) = Histogram::read(self.0.decisions.all());
        let count = buckets.iter().map(|(_, count)| *count).sum();
        let help = "Time from a request's head to its decision";
        out.encode_descriptor("stepgate_decision_seconds", help, None, MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        let unreadable = self.0.unreadable.load(Ordering::Relaxed);
        counter(out, "stepgate_requests_unreadable", "What came on connections and was no HTTP request", unreadable)?;
        let unproxied = self.0.unproxied.load(Ordering::Relaxed);
        counter(out, "stepgate_proxy_headers_refused", "Connections closed for want of a PROXY header", unproxied)
    }

    fn exceptions(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let table = self.0.table();
        let help = "Requests that an exception let in and their route would have refused";
        let mut used = out.encode_descriptor("stepgate_exceptions_used", help, None, MetricType::Counter)?;
        for one in table.exceptions.all() {
            let labels = [("exception", &*one.name)];
            used.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&one.used(), None)?;
        }
        let (name, help) = ("stepgate_exception_until_timestamp_seconds", "When an exception ends, or ended");
        let mut until = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for one in table.exceptions.all() {
            until.encode_family(&[("exception", &*one.name)])?.encode_gauge(&one.until.seconds())?;
        }
        Ok(())
    }

    fn kept(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "What became of kept cookies";
        let mut kept = out.encode_descriptor("stepgate_kept", help, None, MetricType::Counter)?;
        for event in KeptEvent::ALL {
            let counts = self.0.kept.all().filter_map(|counts| counts.get(event as usize));
            let count = counts.map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
            kept.encode_family(&[("event", event.name())])?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    fn streams(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Long-lived streams that were let in and later ended by the gate";
        let mut ended = out.encode_descriptor("stepgate_streams_ended", help, None, MetricType::Counter)?;
        for (why, count) in StreamEnd::all().zip(&self.0.streams_ended.0) {
            let count = count.load(Ordering::Relaxed);
            // Most reasons never end one; the usual one is there from the beginning.
            if count > 0 || why == StreamEnd::Refused(Reason::Expired) {
                ended.encode_family(&[("reason", why.code())])?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn connections(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let open = self.0.connections.load(Ordering::Relaxed);
        gauge(out, "stepgate_connections_open", "Connections of clients that are open", Some(open))?;
        let tunnels = self.0.tunnels.load(Ordering::Relaxed);
        gauge(out, "stepgate_tunnels_open", "WebSockets and other upgrades that are open", Some(tunnels))?;
        let accepted = self.0.accepted.load(Ordering::Relaxed);
        counter(out, "stepgate_connections_accepted", "Connections of clients that were let in", accepted)?;
        let help = "Connections by what they turned out to speak";
        let mut spoken = out.encode_descriptor("stepgate_connections", help, None, MetricType::Counter)?;
        for (protocol, counts) in Protocol::ALL.iter().zip(&self.0.spoken) {
            for (tls, count) in ["no", "yes"].into_iter().zip(counts) {
                let (labels, count) = ([("protocol", protocol.name()), ("tls", tls)], count.load(Ordering::Relaxed));
                spoken.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let refused = self.0.refused.load(Ordering::Relaxed);
        counter(out, "stepgate_connections_refused", "Connections turned away at the limit", refused)?;
        let errors = self.0.accept_errors.load(Ordering::Relaxed);
        counter(out, "stepgate_accept_errors", "Connections that the system could not hand over", errors)
    }

    fn upstreams(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let upstreams: Vec<(Box<str>, Totals)> =
            self.0.upstreams().iter().map(|(name, meters)| (name.clone(), Totals::of(meters))).collect();
        let help = "Allowed requests that the upstream failed";
        let mut failures = out.encode_descriptor("stepgate_upstream_failures", help, None, MetricType::Counter)?;
        for (upstream, totals) in &upstreams {
            for (reason, count) in
                [(Reason::UpstreamUnreachable, totals.unreachable), (Reason::UpstreamTimeout, totals.timeout)]
            {
                let labels = [("upstream", &**upstream), ("reason", reason.code())];
                failures.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "Answers of upstreams, by the class of their status";
        let mut responses = out.encode_descriptor("stepgate_upstream_responses", help, None, MetricType::Counter)?;
        for (upstream, totals) in &upstreams {
            for (class, count) in CLASSES.iter().zip(totals.responses) {
                let labels = [("upstream", &**upstream), ("status", *class)];
                responses.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "Requests whose client left before there was an answer";
        let mut abandoned = out.encode_descriptor("stepgate_upstream_abandoned", help, None, MetricType::Counter)?;
        for (upstream, totals) in &upstreams {
            let labels = [("upstream", &**upstream)];
            abandoned.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&totals.abandoned, None)?;
        }
        let help = "Connections opened to upstreams";
        let mut opened = out.encode_descriptor("stepgate_upstream_connections", help, None, MetricType::Counter)?;
        for (upstream, totals) in &upstreams {
            let labels = [("upstream", &**upstream)];
            opened.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&totals.connections, None)?;
        }
        let help = "Requests that are with an upstream, or whose answers are on their way";
        let mut flying =
            out.encode_descriptor("stepgate_upstream_requests_in_flight", help, None, MetricType::Gauge)?;
        for (upstream, totals) in &upstreams {
            flying.encode_family(&[("upstream", &**upstream)])?.encode_gauge(&totals.in_flight)?;
        }
        let help = "Time until the head of an upstream's answer";
        durations(out, "stepgate_upstream_answer_seconds", help, &upstreams, |totals| &totals.answer)?;
        let help = "Time from a request's head to the end of its upstream's answer";
        durations(out, "stepgate_request_seconds", help, &upstreams, |totals| &totals.whole)
    }

    /// Of the places of upstreams that are in several, or are checked. The settings name them, so there are no more.
    fn addresses(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let sources = self.0.sources();
        let addresses = sources.upstreams.as_ref().map(|upstreams| upstreams()).unwrap_or_default();
        let labels = |one: &AddressHealth| [("upstream", one.upstream.clone()), ("address", one.address.clone())];
        let help = "Whether an upstream's address gets requests (1), or is left out (0)";
        let mut up = out.encode_descriptor("stepgate_upstream_address_up", help, None, MetricType::Gauge)?;
        for one in &addresses {
            up.encode_family(&labels(one))?.encode_gauge(&i64::from(one.state == AddressState::Up))?;
        }
        let help = "Requests that got no response from an upstream's address";
        let mut failed =
            out.encode_descriptor("stepgate_upstream_address_failures", help, None, MetricType::Counter)?;
        for one in &addresses {
            failed.encode_family(&labels(one))?.encode_counter::<NoLabelSet, _, u64>(&one.failures, None)?;
        }
        let help = "Times that an upstream's address was left out for such failures";
        let mut ejected =
            out.encode_descriptor("stepgate_upstream_address_ejections", help, None, MetricType::Counter)?;
        for one in &addresses {
            ejected.encode_family(&labels(one))?.encode_counter::<NoLabelSet, _, u64>(&one.ejections, None)?;
        }
        let help = "Health checks of an upstream's address, by their result";
        let mut checks = out.encode_descriptor("stepgate_upstream_health_checks", help, None, MetricType::Counter)?;
        for one in &addresses {
            let Some((passed, failed)) = one.checks else { continue };
            for (result, count) in [("ok", passed), ("failed", failed)] {
                let [upstream, address] = labels(one);
                let labels = [upstream, address, ("result", result.into())];
                checks.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn logs(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let sources = self.0.sources();
        let audit = sources.audit.as_ref().map(|audit| audit()).unwrap_or_default();
        counter(out, "stepgate_audit_lines", "Audit lines written", audit.written)?;
        counter(out, "stepgate_audit_dropped", "Audit lines lost", audit.dropped)?;
        counter(out, "stepgate_audit_write_errors", "Failed writes of the audit log", audit.errors)?;
        gauge(
            out,
            "stepgate_audit_waiting_lines",
            "Audit lines not written yet",
            i64::try_from(audit.waiting_lines).ok(),
        )?;
        gauge(out, "stepgate_audit_waiting_bytes", "Their bytes", i64::try_from(audit.waiting_bytes).ok())?;
        let at = audit.last_error.map(seconds);
        gauge(out, "stepgate_audit_last_error_timestamp_seconds", "When the audit log failed last", at)?;
        let dropped = sources.logs_dropped.as_ref().map_or(0, |dropped| dropped());
        counter(out, "stepgate_log_dropped", "Log lines lost", dropped)
    }

    fn reloads(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let sources = self.0.sources();
        let Some(reloads) = &sources.reloads else { return Ok(()) };
        let help = "Looks at a changed policy folder, by what came of them";
        let mut ended = out.encode_descriptor("stepgate_policy_reloads", help, None, MetricType::Counter)?;
        for outcome in Outcome::ALL {
            let labels = [("outcome", outcome.name())];
            ended.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&reloads.ended(outcome), None)?;
        }
        let state = reloads.state();
        let help = "Whether the newest content of the policy folder is in force (1), or was refused (0)";
        out.encode_descriptor("stepgate_policy_current", help, None, MetricType::Gauge)?
            .encode_gauge(&i64::from(state.refused.is_none()))?;
        let help = "When the policy folder was last found to hold a good policy";
        let seconds = state.succeeded.micros().div_euclid(1_000_000);
        out.encode_descriptor("stepgate_policy_success_timestamp_seconds", help, None, MetricType::Gauge)?
            .encode_gauge(&seconds)?;
        let files = reloads.files();
        let help = "Whether certificates and keys are in use as their files are now (1), or the ones before (0)";
        let mut current = out.encode_descriptor("stepgate_tls_files_current", help, None, MetricType::Gauge)?;
        for each in &files {
            current.encode_family(&[("of", &*each.of)])?.encode_gauge(&i64::from(each.refused.is_none()))?;
        }
        let (name, help) =
            ("stepgate_tls_not_after_timestamp_seconds", "When the first of the certificates in use ends");
        let mut ends = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for each in &files {
            if let Some(at) = each.not_after {
                ends.encode_family(&[("of", &*each.of)])?.encode_gauge(&at.seconds())?;
            }
        }
        Ok(())
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
        let help = "Whether the last fetch of the issuer's keys failed (1) or not (0)";
        let mut failing = out.encode_descriptor("stepgate_issuer_fetch_failing", help, None, MetricType::Gauge)?;
        for issuer in &issuers {
            let failed = i64::from(issuer.error.is_some());
            failing.encode_family(&[("issuer", &*issuer.name)])?.encode_gauge(&failed)?;
        }
        let (name, help) = ("stepgate_issuer_keys_fetched_timestamp_seconds", "When the keys were last fetched");
        let mut fetched = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for issuer in &issuers {
            if let Some(at) = issuer.fetched_at {
                fetched.encode_family(&[("issuer", &*issuer.name)])?.encode_gauge(&seconds(at))?;
            }
        }
        let help = "Time until the issuer's keys are fetched next";
        let mut next = out.encode_descriptor("stepgate_issuer_next_fetch_seconds", help, None, MetricType::Gauge)?;
        for issuer in &issuers {
            let left = issuer.next_fetch_in.as_secs_f64();
            next.encode_family(&[("issuer", &*issuer.name)])?.encode_gauge(&left)?;
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
        gauge(out, "stepgate_token_cache_bytes", "Bytes held there", i64::try_from(cache.bytes).ok())?;
        gauge(out, "stepgate_token_cache_entries", "Tokens held there", i64::try_from(cache.entries).ok())
    }
}

fn durations(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    upstreams: &[(Box<str>, Totals)],
    read: fn(&Totals) -> &Read,
) -> fmt::Result {
    let mut family = out.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (upstream, totals) in upstreams {
        let (sum, buckets) = read(totals);
        let count = buckets.iter().map(|(_, count)| *count).sum();
        let labels = [("upstream", &**upstream)];
        family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)?;
    }
    Ok(())
}

fn process(out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Process { start, cpu, resident, open_files, max_files } = Process::read();
    if let Some(cpu) = cpu {
        let help = "User and system time spent";
        out.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&cpu, None)?;
    }
    gauge(out, "process_start_time_seconds", "When the process started", start)?;
    gauge(out, "process_resident_memory_bytes", "Memory in use", resident)?;
    gauge(out, "process_open_fds", "Open file descriptors", open_files)?;
    gauge(out, "process_max_fds", "The most that may be open", max_files)
}

/// A gauge; without a value, nothing.
fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: Option<impl EncodeGaugeValue>) -> fmt::Result {
    let Some(value) = value else { return Ok(()) };
    out.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

fn seconds(at: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "microseconds stay exact until the year 2255")]
    let micros = at.micros() as f64;
    micros / 1e6
}

fn counter(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, count: u64) -> fmt::Result {
    out.encode_descriptor(name, help, None, MetricType::Counter)?.encode_counter::<NoLabelSet, _, u64>(&count, None)
}

fn info(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, labels: &impl EncodeLabelSet) -> fmt::Result {
    out.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(labels)
}
