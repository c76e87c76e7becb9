//! The recorder of a running gate: the audit line, then the counters, then the log line.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::audit::record::{FailureLine, Line};
use crate::audit::stream::StreamLine;
use crate::audit::writer::Auditor;
use crate::clock;
use crate::policy::{Denial, Excepted, Grounds};
use crate::reason::Reason;
use crate::telemetry::{
    Blocked, Decision, KeptEvent, Metrics, Occasionally, Protocol, Recorder, StreamEnded, UpstreamFailure,
    UpstreamMeter, Verdict,
};

/// Records to the audit log, the metrics and the logs.
#[derive(Debug)]
pub struct Observer {
    audit: Arc<Auditor>,
    metrics: Arc<Metrics>,
    /// What may happen thousands of times a second is logged once in a while.
    blocked: Occasionally,
    refused: Occasionally,
    unreadable: Occasionally,
    unproxied: Occasionally,
    handshakes: Occasionally,
    not_accepted: Occasionally,
    /// For each reason, in their order: what would have been refused for it.
    observed: Box<[Occasionally]>,
    kept: [Occasionally; KeptEvent::ALL.len()],
    /// For each upstream and way of failing. Looked at when one fails, never else.
    failures: Mutex<BTreeMap<(Box<str>, &'static str), Occasionally>>,
}

impl Observer {
    /// Records from now on.
    #[must_use]
    pub fn new(audit: Arc<Auditor>, metrics: Arc<Metrics>) -> Self {
        let [blocked, refused, unreadable, unproxied, handshakes, not_accepted] = [QUIET; 6].map(Occasionally::new);
        let kept = KeptEvent::ALL.map(|_| Occasionally::new(QUIET));
        let failures = Mutex::default();
        let observed = Reason::ALL.iter().map(|_| Occasionally::new(QUIET)).collect();
        Self {
            observed,
            audit,
            metrics,
            blocked,
            refused,
            unreadable,
            unproxied,
            handshakes,
            not_accepted,
            kept,
            failures,
        }
    }

    /// Speaks of what a route lets through only because it observes; once in a while for each reason.
    fn would_deny(&self, decision: &Decision<'_>, denial: &Denial) {
        let Some(more) = self.observed.get(denial.reason as usize).and_then(Occasionally::due) else { return };
        let Decision { id, method, host, path, peer, route, policy, detail, .. } = *decision;
        let issuer = decision.issuer().and_then(|id| policy.issuer(id)).map(|issuer| &*issuer.name);
        let hint = decision.hint();
        let (reason, route) = (denial.reason.code(), route.map(|route| &*route.name));
        tracing::info!(reason, method, host, path, route, issuer, %peer, id, detail, hint, more, "would be denied");
    }

    /// Counts and speaks of what an exception lets in: each time, as of what is denied.
    fn excepted(&self, decision: &Decision<'_>, by: &Excepted) {
        self.metrics.excepted(&by.name);
        let Decision { id, method, host, path, peer, route, policy, .. } = *decision;
        let issuer = decision.issuer().and_then(|id| policy.issuer(id)).map(|issuer| &*issuer.name);
        let (exception, route) = (&*by.name, route.map(|route| &*route.name));
        let (reason, detail) = (by.refusal.reason.code(), &*by.refusal.detail);
        tracing::info!(exception, reason, method, host, path, route, issuer, %peer, id, detail, "let in by an exception");
    }

    /// Whether to speak of a failure now: one upstream's trouble does not hide another's.
    fn upstream_due(&self, upstream: &str, reason: Reason) -> Option<u64> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.entry((upstream.into(), reason.code())).or_insert_with(|| Occasionally::new(QUIET)).due()
    }
}

const QUIET: Duration = Duration::from_secs(10);

/// The way in that this is: the reverse proxy.
const VIA: &str = "proxy";

impl Recorder for Observer {
    fn decided(&self, decision: &Decision<'_>) -> Result<(), Blocked> {
        let Decision { id, route, outcome, policy, micros, detail, .. } = *decision;
        let recorded = self.audit.write(&Line { via: VIA, decision: *decision });
        let verdict = match (recorded, outcome) {
            (Err(Blocked), _) => Verdict::Deny(Reason::Overloaded),
            (Ok(()), Err(denial)) => Verdict::Deny(denial.reason),
            (Ok(()), Ok(permit)) => {
                permit.would_deny().map_or(Verdict::Allow, |denial| Verdict::WouldDeny(denial.reason))
            }
        };
        self.metrics.decided(policy, route, verdict, micros);
        let route = route.map(|route| &*route.name);
        match (recorded, outcome) {
            (Err(Blocked), _) => {
                if let Some(more) = self.blocked.due() {
                    tracing::error!(
                        id,
                        more,
                        "the audit log is blocked, so requests are refused; free its disk or reader"
                    );
                }
            }
            (Ok(()), Err(denial)) => {
                let issuer = decision.issuer().and_then(|id| policy.issuer(id)).map(|issuer| &*issuer.name);
                let hint = decision.hint();
                let (reason, Decision { method, host, path, peer, .. }) = (denial.reason.code(), *decision);
                tracing::info!(reason, method, host, path, route, issuer, %peer, id, detail, hint, "denied");
            }
            (Ok(()), Ok(permit)) => match permit.grounds() {
                Grounds::Observed(denial) => self.would_deny(decision, denial),
                Grounds::Excepted(by) => self.excepted(decision, by),
                Grounds::Met | Grounds::ErrorResponse | Grounds::Preflight => tracing::debug!(route, id, "allowed"),
            },
        }
        recorded
    }

    fn upstream_failed(&self, failure: &UpstreamFailure<'_>) {
        let UpstreamFailure { id, route, upstream, mode, would_deny, reason, status, detail } = *failure;
        if let Some(more) = self.upstream_due(upstream, reason) {
            let (reason, hint) = (reason.code(), reason.hint());
            tracing::warn!(reason, upstream, route, id, detail, hint, more, "the upstream failed a request");
        }
        let line = FailureLine { at: clock::now(), id, via: VIA, route, mode, would_deny, upstream, reason, status };
        // The request was decided, recorded and carried out; a log that is blocked by now has nothing left to refuse.
        if let Err(Blocked) = self.audit.write_late(&line)
            && let Some(more) = self.blocked.due()
        {
            tracing::error!(id, more, "the audit log is blocked; the failure of an upstream goes unrecorded");
        }
    }

    fn stream_ended(&self, ended: &StreamEnded<'_>) {
        self.metrics.stream_ended(ended.why);
        let StreamEnded { id, route, why, lasted, .. } = *ended;
        let seconds = lasted.as_secs();
        tracing::info!(reason = why.code(), route, id, seconds, "a stream was ended");
        if let Err(Blocked) = self.audit.write_late(&StreamLine { via: VIA, ended: *ended })
            && let Some(more) = self.blocked.due()
        {
            tracing::error!(id, more, "the audit log is blocked; the end of a stream goes unrecorded");
        }
    }

    fn upstream(&self, name: &str) -> UpstreamMeter {
        self.metrics.upstream(name)
    }

    fn accept_failed(&self, error: &io::Error) {
        self.metrics.accept_failed();
        if let Some(more) = self.not_accepted.due() {
            tracing::error!(%error, more, "a connection could not be accepted; raise the limit that it names");
        }
    }

    fn connection_speaks(&self, protocol: Protocol, tls: bool) {
        self.metrics.connection_speaks(protocol, tls);
    }

    fn connection_opened(&self) {
        self.metrics.connection_opened();
    }

    fn connection_closed(&self) {
        self.metrics.connection_closed();
    }

    fn tunnel_opened(&self) {
        self.metrics.tunnel_opened();
    }

    fn tunnel_closed(&self) {
        self.metrics.tunnel_closed();
    }

    fn connections_cut(&self, connections: usize) {
        tracing::warn!(connections, "`limits.drain` has passed: connections that were still open are cut off");
    }

    fn connection_refused(&self, peer: IpAddr) {
        self.metrics.connection_refused();
        if let Some(more) = self.refused.due() {
            tracing::warn!(%peer, more, "a connection was turned away: `limits.connections` is reached");
        }
    }

    fn proxy_header_refused(&self, peer: IpAddr, detail: &str) {
        self.metrics.proxy_header_refused();
        if let Some(more) = self.unproxied.due() {
            tracing::warn!(%peer, detail, more, "a connection was closed: `proxy_protocol` is on and no header of it came");
        }
    }

    fn handshake_failed(&self, peer: IpAddr, detail: &str) {
        self.metrics.request_unreadable();
        if let Some(more) = self.handshakes.due() {
            tracing::info!(%peer, detail, more, "a TLS handshake failed");
        }
    }

    fn kept(&self, event: KeptEvent, id: &str, detail: &str) {
        self.metrics.kept(event);
        if event.is_trouble()
            && let Some(more) = self.kept.get(event as usize).and_then(Occasionally::due)
        {
            let what = event.name();
            tracing::error!(what, id, detail, more, "what was proved at sign-in could not be kept, or not be ended");
        }
    }

    fn request_unreadable(&self, peer: IpAddr, detail: &str) {
        self.metrics.request_unreadable();
        if let Some(more) = self.unreadable.due() {
            tracing::info!(%peer, detail, more, "what came on a connection was no HTTP request");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::thread;

    use super::*;
    use crate::audit::tests::{some_denial, some_permit, some_policy};
    use crate::config::settings::{Audit, AuditTarget, WhenBlocked};
    use crate::policy::{Mode, Permit, Policy};
    use crate::token::Timestamp;

    fn observer(path: &Path) -> Observer {
        let settings = Audit::new(AuditTarget::File(path.into()), WhenBlocked::Refuse);
        let (audit, metrics) = (Arc::new(Auditor::open(&settings).unwrap()), Arc::new(Metrics::default()));
        metrics.install(&some_policy());
        Observer::new(audit, metrics)
    }

    fn decision<'a>(policy: &'a Policy, outcome: Result<&'a Permit, &'a Denial>) -> Decision<'a> {
        Decision {
            id: "r-1",
            trace: None,
            at: Timestamp::from_seconds(1_767_268_800),
            peer: IpAddr::from([127, 0, 0, 1]),
            method: "GET",
            host: "h",
            path: "/x",
            route: policy.routes().first(),
            assurance: None,
            kept: false,
            outcome,
            status: None,
            detail: "",
            micros: 5,
            policy,
        }
    }

    #[test]
    fn a_stream_that_is_ended_leaves_a_line_with_the_id_of_its_request_and_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (observer, policy, permit) = (observer(&path), some_policy(), some_permit());
        observer.decided(&decision(&policy, Ok(&permit))).unwrap();
        let (at, lasted) = (Timestamp::from_seconds(1_767_268_800), Duration::from_millis(61_250));
        let why = Reason::Expired.into();
        observer.stream_ended(&StreamEnded { at, id: "r-1", route: "all", why, lasted });
        observer.audit.close(Duration::from_secs(5));
        let text = fs::read_to_string(&path).unwrap();
        let last = text.lines().nth(1).unwrap();
        let expected = r#"{"v":1,"ts":"2026-01-01T12:00:00.000000Z","id":"r-1","via":"proxy","route":"all","ended":"expired","seconds":61.25}"#;
        assert_eq!(last, expected);
        assert!(observer.metrics.scrape().contains("stepgate_streams_ended_total{reason=\"expired\"} 1\n"));
    }

    #[test]
    fn an_upstream_that_fails_leaves_a_second_line_with_the_same_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (observer, policy, permit) = (observer(&path), some_policy(), some_permit());
        let allowed = decision(&policy, Ok(&permit));
        observer.decided(&allowed).unwrap();
        let reason = Reason::UpstreamTimeout;
        let failure = UpstreamFailure {
            id: "r-1",
            route: "all",
            upstream: "app",
            mode: Mode::Enforce,
            would_deny: false,
            reason,
            status: 504,
            detail: "",
        };
        observer.upstream_failed(&failure);
        observer.audit.close(Duration::from_secs(5));
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told = |line: &serde_json::Value| ["id", "decision", "reason", "status"].map(|name| line[name].to_string());
        assert_eq!(told(&lines[0]), [r#""r-1""#, r#""allow""#, "null", "null"]);
        assert_eq!(told(&lines[1]), [r#""r-1""#, r#""allow""#, r#""upstream_timeout""#, "504"]);
    }

    #[test]
    fn a_decision_that_cannot_be_recorded_is_counted_as_overloaded() {
        let (observer, policy, permit) = (observer(Path::new("/dev/full")), some_policy(), some_permit());
        let denial = some_denial();
        observer.decided(&decision(&policy, Err(&denial))).unwrap();
        while !observer.audit.is_failing() {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(observer.decided(&decision(&policy, Ok(&permit))), Err(Blocked));
        let scraped = observer.metrics.scrape();
        assert!(scraped.contains(r#"{route="all",decision="deny",reason="overloaded"} 1"#), "{scraped}");
        assert!(!scraped.contains(r#"decision="allow""#), "{scraped}");
    }
}
