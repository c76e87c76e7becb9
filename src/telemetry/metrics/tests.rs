use std::time::Duration;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Instant;

use super::*;
use crate::audit::tests::{some_policy, with_exception};
use crate::telemetry::FilesHealth;
use crate::telemetry::health::{AddressHealth, AddressState, CacheUse, IssuerHealth, KeyState};
use crate::telemetry::upstream::Forwarding;
use crate::token::Timestamp;

pub(crate) struct OneIssuer(pub(crate) KeyState);

impl Health for OneIssuer {
    fn issuers(&self) -> Vec<IssuerHealth> {
        vec![IssuerHealth {
            name: "bank".into(),
            state: self.0,
            keys: 2,
            fetched_at: Some(Timestamp::from_seconds(1_767_268_800)),
            error: (self.0 != KeyState::Ready).then(|| "timed out".into()),
            next_fetch_in: Duration::from_secs(60),
            fetched: 3,
            failed: 1,
        }]
    }

    fn cache(&self) -> CacheUse {
        CacheUse { hits: 7, misses: 2, bytes: 4_096, entries: 3 }
    }
}

fn with_files() -> Reloads {
    let reloads = Reloads::new();
    reloads.observe_files(|| {
        vec![FilesHealth {
            of: "listener 0.0.0.0:8443".into(),
            not_after: Some(Timestamp::from_seconds(1_936_742_400)),
            refused: Some("no key".into()),
        }]
    });
    reloads
}

/// Metrics in which every family has a sample.
pub(crate) fn busy() -> Arc<Metrics> {
    let metrics = Arc::new(Metrics::default());
    let policy = with_exception(some_policy());
    metrics.install(&policy);
    metrics.excepted("outage");
    metrics.observe(Sources {
        health: Some(Arc::new(OneIssuer(KeyState::Stale))),
        audit: Some(Arc::new(|| AuditUse {
            written: 5,
            dropped: 1,
            errors: 2,
            waiting_lines: 6,
            waiting_bytes: 700,
            last_error: Some(Timestamp::from_micros(1_767_268_800_500_000)),
        })),
        logs_dropped: Some(Arc::new(|| 4)),
        reloads: Some(Arc::new(with_files())),
        upstreams: Some(Arc::new(|| {
            vec![AddressHealth {
                upstream: "app".into(),
                address: "10.0.0.7:8443".into(),
                state: AddressState::Ejected,
                out_for: Duration::from_secs(3),
                failures: 6,
                ejections: 2,
                checks: Some((9, 1)),
                error: None,
            }]
        })),
    });
    let route = policy.routes().first();
    metrics.decided(&policy, route, Verdict::Allow, 12);
    metrics.decided(&policy, route, Verdict::Deny(Reason::LevelTooLow), 40);
    metrics.decided(&policy, None, Verdict::Deny(Reason::RouteNone), 9_000_000);
    metrics.connection_opened();
    metrics.connection_refused();
    metrics.tunnel_opened();
    metrics.tunnel_opened();
    metrics.tunnel_closed();
    metrics.connection_speaks(Protocol::Http1, false);
    metrics.connection_speaks(Protocol::Http2, true);
    metrics.accept_failed();
    metrics.kept(KeptEvent::Set);
    metrics.kept(KeptEvent::Opened);
    metrics.kept(KeptEvent::Opened);
    let (one, other) = (Rc::new(metrics.upstream("app")), Rc::new(metrics.upstream("app")));
    one.connected();
    for status in [200, 204, 503] {
        let mut forwarding = Forwarding::begin(&one, Instant::now());
        forwarding.answered(status);
        // Counted once, by this or by being dropped.
        forwarding.passed(Instant::now());
    }
    Forwarding::begin(&other, Instant::now()).passed(Instant::now());
    Forwarding::begin(&other, Instant::now()).answered(200);
    Forwarding::begin(&other, Instant::now()).failed(Reason::UpstreamTimeout);
    std::mem::forget(Forwarding::begin(&other, Instant::now()));
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
        r#"stepgate_exceptions_used_total{exception="outage"} 1"#,
        r#"stepgate_exception_until_timestamp_seconds{exception="outage"} 1767300000"#,
        r"stepgate_connections_open 1",
        r"stepgate_tunnels_open 1",
        r"stepgate_connections_refused_total 1",
        r"stepgate_connections_accepted_total 1",
        r"stepgate_accept_errors_total 1",
        r#"stepgate_kept_total{event="set"} 1"#,
        r#"stepgate_kept_total{event="opened"} 2"#,
        r#"stepgate_kept_total{event="full"} 0"#,
        r#"stepgate_connections_total{protocol="h1",tls="no"} 1"#,
        r#"stepgate_connections_total{protocol="h2",tls="yes"} 1"#,
        r#"stepgate_upstream_failures_total{upstream="app",reason="upstream_timeout"} 1"#,
        r#"stepgate_upstream_connections_total{upstream="app"} 1"#,
        r#"stepgate_upstream_requests_in_flight{upstream="app"} 1"#,
        r#"stepgate_upstream_responses_total{upstream="app",status="2xx"} 3"#,
        r#"stepgate_upstream_responses_total{upstream="app",status="5xx"} 1"#,
        r#"stepgate_upstream_abandoned_total{upstream="app"} 1"#,
        r#"stepgate_upstream_answer_seconds_count{upstream="app"} 4"#,
        r#"stepgate_request_seconds_count{upstream="app"} 4"#,
        r"stepgate_audit_waiting_lines 6",
        r"stepgate_audit_waiting_bytes 700",
        r"stepgate_audit_last_error_timestamp_seconds 1767268800.5",
        r#"stepgate_issuer_keys_fetched_timestamp_seconds{issuer="bank"} 1767268800.0"#,
        r#"stepgate_issuer_next_fetch_seconds{issuer="bank"} 60.0"#,
        r#"stepgate_issuer_fetch_failing{issuer="bank"} 1"#,
        r"stepgate_token_cache_entries 3",
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
        r#"stepgate_policy_reloads_total{outcome="refused"} 0"#,
        r"stepgate_policy_current 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
    }
}

#[test]
fn what_threads_counted_apart_is_scraped_together() {
    let (metrics, policy) = (Arc::new(Metrics::default()), some_policy());
    metrics.install(&policy);
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                metrics.decided(&policy, policy.routes().first(), Verdict::Allow, 12);
                metrics.decided(&policy, policy.routes().first(), Verdict::Deny(Reason::LevelTooLow), 12);
            });
        }
    });
    let text = metrics.scrape();
    for line in [
        r#"stepgate_requests_total{route="all",decision="allow",reason="-"} 3"#,
        r#"stepgate_requests_total{route="all",decision="deny",reason="level_too_low"} 3"#,
        "stepgate_decision_seconds_count 6",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_refused_reload_shows_until_it_is_mended() {
    let metrics = busy();
    let reloads = metrics.sources().reloads.clone().unwrap();
    reloads.refused("broken");
    let text = metrics.scrape();
    assert!(text.contains("stepgate_policy_current 0"), "{text}");
    assert!(text.contains(r#"stepgate_policy_reloads_total{outcome="refused"} 1"#), "{text}");
    reloads.taken();
    let text = metrics.scrape();
    assert!(text.contains("stepgate_policy_current 1"), "{text}");
    assert!(text.contains(r#"stepgate_policy_reloads_total{outcome="taken"} 1"#), "{text}");
    let succeeded = text.lines().find_map(|line| line.strip_prefix("stepgate_policy_success_timestamp_seconds "));
    assert!(succeeded.unwrap().parse::<f64>().unwrap() > 1.7e9, "{text}");
}

#[test]
fn counts_go_on_over_a_reload_and_from_an_older_policy() {
    let (metrics, policy) = (busy(), some_policy());
    metrics.install(&policy);
    let other = some_policy();
    metrics.decided(&other, other.routes().first(), Verdict::Allow, 1);
    let stray = other.routes().first().cloned();
    metrics.decided(&other, stray.as_ref(), Verdict::Allow, 1);
    assert!(metrics.scrape().contains(r#"{route="all",decision="allow",reason="-"} 3"#), "{}", metrics.scrape());
}

#[test]
fn an_exception_keeps_its_count_over_a_reload_and_one_that_is_gone_shows_no_more() {
    let metrics = busy();
    metrics.excepted("nobody");
    metrics.install(&with_exception(some_policy()));
    metrics.excepted("outage");
    let text = metrics.scrape();
    assert!(text.contains("stepgate_exceptions_used_total{exception=\"outage\"} 2\n"), "{text}");
    assert_eq!(text.matches("stepgate_exceptions_used_total{").count(), 1, "{text}");
    metrics.install(&some_policy());
    assert!(!metrics.scrape().contains("outage"), "{}", metrics.scrape());
}

/// Each family's name as samples bear it, with the names of its labels.
fn families(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut families: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let suffix = if kind == "counter" {
                "_total"
            } else if kind == "info" {
                "_info"
            } else {
                ""
            };
            current = format!("{name}{suffix}");
            assert!(families.insert(current.clone(), BTreeSet::new()).is_none(), "{name} stands there once");
        } else if let Some((labels, _)) = line.split_once('{').and_then(|(_, rest)| rest.split_once('}')) {
            let names = labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned());
            families.get_mut(&current).unwrap().extend(names.filter(|name| name != "le"));
        }
    }
    families
}

#[test]
fn the_documentation_lists_every_metric_with_its_labels_and_no_other() {
    let have = families(&busy().scrape());
    let documentation = include_str!("../../../docs/metrics.md");
    let said = documentation.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let said: BTreeMap<String, BTreeSet<String>> = said
        .map(|(name, _)| {
            let (name, labels) = name.trim_end_matches('}').split_once('{').unwrap_or((name, ""));
            (name.to_owned(), labels.split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect())
        })
        .collect();
    assert_eq!(have, said);
}

#[test]
fn what_is_scraped_is_well_formed_and_no_series_comes_twice() {
    let text = busy().scrape();
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
    let (mut family, mut seen) = (String::new(), BTreeSet::new());
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# ") {
            let (what, rest) = rest.split_once(' ').unwrap();
            let (name, rest) = rest.split_once(' ').unwrap();
            assert!(matches!(what, "HELP" | "TYPE") && !rest.is_empty(), "{line}");
            family = name.to_owned();
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(series.starts_with(&family), "{line} is not of {family}");
        assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        assert!(seen.insert(series.to_owned()), "{series} comes twice");
    }
}

#[test]
fn counters_of_several_workers_are_one_series_and_none_of_another_upstream() {
    let metrics = busy();
    metrics.upstream("ledger").connected();
    let text = metrics.scrape();
    assert!(text.contains("stepgate_upstream_connections_total{upstream=\"ledger\"} 1\n"), "{text}");
    assert_eq!(text.matches("stepgate_upstream_connections_total{").count(), 2, "{text}");
}
