//! The recorder of a running gate: the audit line, then the counters, then the log line.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::record::{Line, Outcome};
use crate::audit::writer::Auditor;
use crate::clock;
use crate::reason::Reason;
use crate::telemetry::{Blocked, Decision, Metrics, Occasionally, Recorder};

/// Records to the audit log, the metrics and the logs.
#[derive(Debug)]
pub struct Observer {
    audit: Arc<Auditor>,
    metrics: Arc<Metrics>,
    /// The name of the only upstream, which routes need not name.
    upstream: Box<str>,
    blocked: Occasionally,
}

impl Observer {
    /// Records from now on. `upstream` is the one of routes that name none.
    #[must_use]
    pub fn new(audit: Arc<Auditor>, metrics: Arc<Metrics>, upstream: &str) -> Self {
        Self { audit, metrics, upstream: upstream.into(), blocked: Occasionally::new(Duration::from_secs(10)) }
    }
}

/// The way in that this is: the reverse proxy.
const VIA: &str = "proxy";

fn line<'a>(decision: &Decision<'a>, outcome: Outcome<'a>) -> Line<'a> {
    let Decision { id, trace, method, host, path, route, assurance, status, micros, policy, .. } = *decision;
    Line {
        at: clock::now(),
        id,
        trace,
        via: VIA,
        method,
        host,
        path,
        policy,
        route,
        assurance,
        outcome,
        status,
        micros,
    }
}

impl Recorder for Observer {
    fn decided(&self, decision: &Decision<'_>) -> Result<(), Blocked> {
        let Decision { id, route, outcome, policy, micros, .. } = *decision;
        let outcome = outcome.map_or_else(Outcome::Denied, Outcome::Allowed);
        let recorded = self.audit.write(&line(decision, outcome));
        let reason = if recorded.is_ok() { outcome.reason() } else { Some(Reason::Overloaded) };
        self.metrics.decided(policy, route, reason, micros);
        let name = route.map(|route| &*route.name);
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
            (Ok(()), Outcome::Denied(denial)) => {
                let issuer = decision.assurance.map(|assurance| assurance.issuer).or(denial.issuer);
                let issuer = issuer.and_then(|id| policy.issuer(id)).map(|issuer| &*issuer.name);
                let detail = decision.detail;
                tracing::info!(reason = denial.reason.code(), route = name, issuer, id, detail, "denied");
            }
            (Ok(()), Outcome::Allowed(_) | Outcome::Failed(..)) => tracing::debug!(route = name, id, "allowed"),
        }
        recorded
    }

    fn upstream_failed(&self, decision: &Decision<'_>, reason: Reason) {
        let route = decision.route;
        let upstream = route.and_then(|route| route.upstream.as_deref()).unwrap_or(&self.upstream);
        self.metrics.upstream_failed(upstream, reason);
        if let Ok(permit) = decision.outcome {
            // The decision has been recorded and carried out; a log that is blocked by now can refuse nothing more.
            if let Err(Blocked) = self.audit.write(&line(decision, Outcome::Failed(permit, reason)))
                && let Some(more) = self.blocked.due()
            {
                tracing::error!(id = decision.id, more, "the audit log is blocked; a failed upstream goes unrecorded");
            }
        }
        let (id, detail, name) = (decision.id, decision.detail, route.map(|route| &*route.name));
        tracing::warn!(reason = reason.code(), upstream, route = name, id, detail, "the upstream failed a request");
    }

    fn connection_opened(&self) {
        self.metrics.connection_opened();
    }

    fn connection_closed(&self) {
        self.metrics.connection_closed();
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
    use crate::policy::{Denial, Permit, Policy};

    fn observer(path: &Path) -> Observer {
        let settings = Audit { to: AuditTarget::File(path.into()), when_blocked: WhenBlocked::Refuse };
        let (audit, metrics) = (Arc::new(Auditor::open(&settings).unwrap()), Arc::new(Metrics::default()));
        metrics.install(&some_policy());
        Observer::new(audit, metrics, "app")
    }

    fn decision<'a>(policy: &'a Policy, outcome: Result<&'a Permit, &'a Denial>) -> Decision<'a> {
        Decision {
            id: "r-1",
            trace: None,
            method: "GET",
            host: "h",
            path: "/x",
            route: policy.routes().first(),
            assurance: None,
            outcome,
            status: None,
            detail: "",
            micros: 5,
            policy,
        }
    }

    #[test]
    fn an_upstream_that_fails_leaves_a_second_line_with_the_same_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (observer, policy, permit) = (observer(&path), some_policy(), some_permit());
        let allowed = decision(&policy, Ok(&permit));
        observer.decided(&allowed).unwrap();
        observer.upstream_failed(&Decision { status: Some(504), ..allowed }, Reason::UpstreamTimeout);
        observer.audit.close(Duration::from_secs(5));
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told = |line: &serde_json::Value| ["id", "decision", "reason", "status"].map(|name| line[name].to_string());
        assert_eq!(told(&lines[0]), [r#""r-1""#, r#""allow""#, "null", "null"]);
        assert_eq!(told(&lines[1]), [r#""r-1""#, r#""allow""#, r#""upstream_timeout""#, "504"]);
        let scraped = observer.metrics.scrape();
        assert!(scraped.contains(r#"failures_total{upstream="app",reason="upstream_timeout"} 1"#), "{scraped}");
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
