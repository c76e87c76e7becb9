//! What the admin listener answers.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::admin::actions::{self, Actions};
use crate::admin::inside::{self, Inside};
use crate::admin::page;
use crate::admin::readiness::Readiness;
use crate::telemetry::Metrics;

/// Who knows the keys of assertions, as a key set.
pub type Jwks = Arc<dyn Fn() -> String + Send + Sync>;

/// The routes. `jwks`: where callers are asserted to upstreams.
pub fn router(
    readiness: Readiness,
    metrics: Arc<Metrics>,
    actions: Actions,
    inside: Inside,
    jwks: Option<Jwks>,
) -> Router {
    let inside = Arc::new(inside);
    let page = page::routes(readiness.clone(), Arc::clone(&inside));
    let published = jwks.map(|jwks| Router::new().route("/assertion/jwks.json", get(keys).with_state(jwks)));
    published
        .unwrap_or_default()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/readyz/{issuer}", get(issuer_ready))
        .with_state(readiness)
        .route("/metrics", get(scrape).with_state(metrics))
        .merge(actions::routes(actions))
        .merge(inside::routes(inside))
        .merge(page)
        .layer(middleware::from_fn(only_for_this_machine))
        .layer(middleware::map_response(plainly))
}

fn status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn ready(State(readiness): State<Readiness>, RawQuery(query): RawQuery) -> Response {
    let is_verbose = |pair: &str| pair == "verbose" || pair.starts_with("verbose=");
    let report = readiness.report(query.is_some_and(|query| query.split('&').any(is_verbose)));
    (status(report.ready), Json(report)).into_response()
}

async fn issuer_ready(State(readiness): State<Readiness>, Path(issuer): Path<String>) -> Response {
    match readiness.issuer(&issuer) {
        Some(report) => (status(report.ready), Json(report)).into_response(),
        None => (StatusCode::NOT_FOUND, "the policy has no issuer of this name\n").into_response(),
    }
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> Response {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.scrape()).into_response()
}

/// Public by nature, so nothing is asked for.
async fn keys(State(jwks): State<Jwks>) -> Response {
    ([(header::CONTENT_TYPE, "application/jwk-set+json")], jwks()).into_response()
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A web page elsewhere can point a name of its own at 127.0.0.1 and read what it likes through a visitor's browser (DNS
/// rebinding). Its requests then carry that name, which nobody on this machine uses.
async fn only_for_this_machine(request: Request, next: Next) -> Response {
    if is_ours(request.headers()) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "ask for this listener by its address or as `localhost`\n").into_response()
}

fn is_ours(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((address, _port)) => address,
        None => host.split_once(':').map_or(host, |(name, _port)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Nothing here is to be kept, guessed at or shown in a frame; what is no page may load nothing either.
async fn plainly(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in page::CARRIED_BY_ALL {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(NOTHING));
    response
}

const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::admin::trial::{GUARDED, HOST, Known, SECRET, ask, send, serve, serve_with, with_secret};
    use crate::telemetry::{KeyState, Reloads};

    #[test]
    fn nothing_is_changed_and_no_policy_told_without_the_credential() {
        let (address, _, reloads) = serve_with(KeyState::Ready, false, Some(SECRET));
        let wrong = |value: &str| format!("{HOST}Authorization: {value}\r\n");
        let twice = format!("{}Authorization: Bearer {SECRET}\r\n", with_secret());
        for fields in [
            HOST.to_owned(),
            wrong("Bearer 0123456789abcdeg"),
            wrong("Bearer 0123456789abcde"),
            wrong("Bearer "),
            wrong("Bearer"),
            wrong(SECRET),
            wrong(&format!("Basic {SECRET}")),
            twice,
        ] {
            for change in GUARDED {
                let answer = send(address, change, &fields, "debug");
                assert!(answer.starts_with("HTTP/1.1 401"), "{change} {fields}: {answer}");
                assert!(answer.contains("www-authenticate: Bearer "), "{answer}");
            }
        }
        assert_eq!(reloads.load(Ordering::Relaxed), 0);
        assert!(ask(address, "/log", "localhost").contains(r#"{"filter":"warn","configured":"warn","until":null}"#));
        let foreign = with_secret().replace("127.0.0.1", "evil.example");
        for change in GUARDED {
            assert!(send(address, change, &foreign, "debug").starts_with("HTTP/1.1 403"));
            let preflight = send(address, &change.replace("PUT", "OPTIONS").replace("POST", "OPTIONS"), HOST, "");
            assert!(!preflight.to_lowercase().contains("access-control"), "a browser is told nothing: {preflight}");
        }
    }

    #[test]
    fn keys_of_assertions_are_public_where_there_are_any_and_nothing_of_them_is_kept() {
        let (address, _) = serve(KeyState::Ready, false);
        let answer = ask(address, "/assertion/jwks.json", "localhost");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"keys\":[]}"), "{answer}");
        assert!(answer.contains("content-type: application/jwk-set+json\r\n"), "{answer}");
        assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
        assert!(ask(address, "/assertion/jwks.json", "evil.example").starts_with("HTTP/1.1 403"));
        let (without, _) = serve(KeyState::Waiting, false);
        assert!(ask(without, "/assertion/jwks.json", "localhost").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn where_no_credential_is_configured_nothing_can_be_changed_or_looked_at_and_the_way_out_is_said() {
        let (address, _, reloads) = serve_with(KeyState::Ready, false, None);
        for change in GUARDED {
            let answer = send(address, change, &with_secret(), "debug");
            assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("without `admin.credential`"), "{answer}");
        }
        assert_eq!(reloads.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_log_filter_is_changed_told_and_restored() {
        let (address, ..) = serve_with(KeyState::Ready, false, Some(SECRET));
        let answer = send(address, "PUT /log", &with_secret(), "info,stepgate=debug\n");
        assert!(answer.contains(r#"{"filter":"info,stepgate=debug","configured":"warn","until":null}"#), "{answer}");
        assert!(ask(address, "/log", "127.0.0.1").contains(r#""filter":"info,stepgate=debug""#));
        for (what, body, why) in [
            ("PUT /log", "loud", "`loud` is no level"),
            ("PUT /log", "", "a level is missing"),
            ("PUT /log?for=10", "debug", "a duration needs a unit"),
            ("PUT /log?fro=10m", "debug", "`?for=10m`"),
        ] {
            let answer = send(address, what, &with_secret(), body);
            assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(why), "{what} {body}: {answer}");
        }
        assert!(send(address, "PUT /log", &with_secret(), &"a".repeat(5 << 10)).starts_with("HTTP/1.1 413"));
        let answer = send(address, "DELETE /log", &with_secret(), "");
        assert!(answer.contains(r#"{"filter":"warn","#), "{answer}");
    }

    #[test]
    fn a_log_filter_that_is_set_for_a_while_is_taken_back_by_itself() {
        let (address, ..) = serve_with(KeyState::Ready, false, Some(SECRET));
        let answer = send(address, "PUT /log?for=200ms", &with_secret(), "debug");
        assert!(answer.contains(r#""until":"2"#), "{answer}");
        let restored =
            || ask(address, "/log", "127.0.0.1").contains(r#"{"filter":"warn","configured":"warn","until":null}"#);
        assert!((0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            restored()
        }));
    }

    #[test]
    fn who_shows_the_credential_is_told_the_policy_in_force_and_the_keys_of_its_issuers() {
        let (address, ..) = serve_with(KeyState::Stale, false, Some(SECRET));
        let told = |what: &str| -> Value {
            let answer = send(address, what, &with_secret(), "");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(answer.contains("cache-control: no-store"), "{answer}");
            serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
        };
        let policy = told("GET /policy");
        assert_eq!((&policy["v"], &policy["policy"]), (&json!(1), &json!("sha256:00")));
        assert_eq!(
            policy["files"],
            json!([{ "name": "policies/a.yaml", "folder": "policies", "text": "version: 1\n" }])
        );
        assert_eq!(policy["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(
            policy["limits"],
            json!({ "token": 16 << 10, "jwks": 1 << 20, "jwks_keys": 100, "form": 64 << 10, "body": null })
        );
        let keys = told("GET /keys");
        assert_eq!((&keys["v"], &keys["policy"]), (&json!(1), &json!("sha256:00")));
        let bank = &keys["issuers"][0];
        assert_eq!((&bank["name"], &bank["issuer"]), (&json!("bank"), &json!("https://bank.example")));
        assert_eq!((&bank["state"], &bank["acr_values_supported"]), (&json!("stale"), &json!(["gold"])));
        assert_eq!(bank["jwks"], json!({ "keys": [{ "kty": "EC" }] }));
        let (address, ..) = serve_with(KeyState::Waiting, false, Some(SECRET));
        let waiting = send(address, "GET /keys", &with_secret(), "");
        assert!(waiting.contains(r#""state":"waiting""#) && waiting.contains(r#""jwks":null"#), "{waiting}");
    }

    #[test]
    fn a_reload_is_asked_for() {
        let (address, _, reloads) = serve_with(KeyState::Ready, false, Some(SECRET));
        assert!(send(address, "POST /reload", &with_secret(), "").starts_with("HTTP/1.1 202"));
        assert_eq!(reloads.load(Ordering::Relaxed), 1);
        assert!(ask(address, "/reload", "127.0.0.1").starts_with("HTTP/1.1 405"));
    }

    #[test]
    fn a_gate_whose_issuers_have_keys_is_ready_even_with_stale_ones() {
        for state in [KeyState::Ready, KeyState::Stale] {
            let (address, readiness) = serve(state, false);
            let answer = ask(address, "/readyz", "127.0.0.1");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(answer.contains(r#""policy":"sha256:00""#), "{answer}");
            readiness.drain();
            let answer = ask(address, "/readyz", "localhost:9901");
            assert!(answer.starts_with("HTTP/1.1 503"), "a gate about to end is not ready: {answer}");
            assert!(ask(address, "/livez", "[::1]:9901").starts_with("HTTP/1.1 200"));
        }
    }

    #[test]
    fn a_refused_policy_is_told_to_whoever_asks_for_more_and_the_gate_stays_ready() {
        let reloads = Arc::new(Reloads::new());
        let (address, ..) = Known { told: Arc::clone(&reloads), ..Known::default() }.serve();
        let more = ask(address, "/readyz?verbose", "127.0.0.1");
        assert!(more.contains(r#""in_force":{"policy":"sha256:00","since":"2"#), "{more}");
        assert!(more.contains(r#""current":true,"refused":null"#), "{more}");
        reloads.refused("error[unknown_level]: it is broken\n");
        for path in ["/readyz?verbose", "/readyz?verbose=1", "/readyz?a=b&verbose"] {
            let more = ask(address, path, "127.0.0.1");
            assert!(more.starts_with("HTTP/1.1 200"), "{more}");
            assert!(more.contains(r#""current":false,"refused":{"at":"2"#), "{more}");
            assert!(more.contains(r#""diagnostics":"error[unknown_level]: it is broken\n"#), "{more}");
        }
        for path in ["/readyz", "/readyz?verbosely"] {
            let short = ask(address, path, "127.0.0.1");
            assert!(short.starts_with("HTTP/1.1 200") && !short.contains("broken"), "{short}");
        }
    }

    #[test]
    fn an_issuer_without_keys_is_named_with_its_trouble() {
        let (address, _) = serve(KeyState::Waiting, false);
        let answer = ask(address, "/readyz", "127.0.0.1");
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains(r#""name":"bank","ready":false,"state":"waiting""#), "{answer}");
        assert!(answer.contains(r#""error":"timed out""#), "{answer}");
        assert!(ask(address, "/readyz/bank", "127.0.0.1").starts_with("HTTP/1.1 503"));
        assert!(ask(address, "/readyz/nobody", "127.0.0.1").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn an_audit_log_that_blocks_makes_the_gate_unready() {
        let (address, _) = serve(KeyState::Ready, true);
        let answer = ask(address, "/readyz", "127.0.0.1");
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains(r#""audit":"blocked""#), "{answer}");
    }

    #[test]
    fn metrics_are_served_and_a_foreign_name_is_not() {
        let (address, _) = serve(KeyState::Ready, false);
        let answer = ask(address, "/metrics", "127.0.0.1:9901");
        assert!(answer.contains("stepgate_requests_total{") && answer.ends_with("# EOF\n"), "{answer}");
        assert!(answer.to_lowercase().contains("content-type: application/openmetrics-text"), "{answer}");
        assert!(ask(address, "/metrics", "evil.example").starts_with("HTTP/1.1 403"));
    }
}
