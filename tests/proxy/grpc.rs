//! gRPC calls that are refused, and those that no upstream answers: what their clients read, and what is recorded.

use std::time::Duration;

use bytes::Bytes;
use stepgate::Reason;
use stepgate::config::settings as config;

use super::client::Response;
use super::gate::{Running1, Setup, gate};
use super::h2_client::{H2, request};
use super::served::{Http2, Served};
use super::upstream::Upstream;

const KIND: (&str, &str) = ("content-type", "application/grpc");

/// A call with this token, its one message sent.
fn call(gate: &Running1, path: &str, token: Option<&str>) -> Response {
    let bearer = token.map(|token| format!("Bearer {token}")).unwrap_or_default();
    let fields = [KIND, ("te", "trailers"), ("authorization", bearer.as_str())];
    let mut client = H2::to(gate.address);
    let asked = request("POST", path, &fields[..if token.is_some() { 3 } else { 2 }]);
    let mut asked = client.begin(asked, false).unwrap();
    asked.body.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), true).unwrap();
    client.wait(asked).unwrap()
}

/// Asserts that an answer is of gRPC alone: one block of fields, nothing behind it.
#[track_caller]
fn assert_trailers_only(response: &Response, status: &str, message: &str) {
    assert_eq!((response.status, response.field("content-type")), (200, Some("application/grpc")), "{response:?}");
    assert_eq!((response.field("grpc-status"), response.field("grpc-message")), (Some(status), Some(message)));
    assert_eq!((response.body.as_str(), response.trailers.as_str()), ("", ""));
    let known = [
        "content-type",
        "content-length",
        "grpc-status",
        "grpc-message",
        "grpc-retry-pushback-ms",
        "www-authenticate",
        "retry-after",
        "cache-control",
        "x-request-id",
        "date",
    ];
    for (name, _) in &response.fields {
        assert!(known.contains(&name.as_str()), "{name} left with a refusal");
    }
    assert!(response.field("x-request-id").is_some() && response.field("cache-control") == Some("no-store"));
}

#[test]
fn a_refused_call_reads_its_status_and_the_challenge_and_the_record_has_what_any_other_would_get() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let step_up = "Bearer realm=\"api.example\", error=\"insufficient_user_authentication\", acr_values=\"urn:high\", \
                   max_age=\"300\", scope=\"pay\"";
    let missing = format!("token_missing: {}", Reason::TokenMissing.meaning());
    let scope = format!("scope_missing: {}", Reason::ScopeMissing.meaning());
    for (path, token, status, message, challenge, reason, recorded) in [
        ("/pay/S/M", None, "16", &*missing, Some("Bearer realm=\"api.example\""), Reason::TokenMissing, 401),
        ("/pay/S/M", Some("low"), "16", "insufficient_user_authentication", Some(step_up), Reason::LevelTooLow, 401),
        (
            "/pay/S/M",
            Some("bad.expired"),
            "16",
            "invalid_token",
            Some("Bearer realm=\"api.example\", error=\"invalid_token\""),
            Reason::Expired,
            401,
        ),
        (
            "/pay/S/M",
            Some("high"),
            "7",
            &*scope,
            Some("Bearer realm=\"api.example\", error=\"insufficient_scope\", scope=\"pay\""),
            Reason::ScopeMissing,
            403,
        ),
        ("/admin/S/M", Some("hopeless"), "7", "Forbidden", None, Reason::LevelTooLow, 403),
        ("/nowhere/S/M", Some("high"), "7", "Forbidden", None, Reason::RouteNone, 403),
    ] {
        let response = call(&gate, path, token);
        assert_trailers_only(&response, status, message);
        assert_eq!(response.field("www-authenticate"), challenge, "{reason}");
        assert_eq!((response.field("retry-after"), response.field("grpc-retry-pushback-ms")), (None, None));
        let noted = gate.decided().pop().unwrap();
        assert_eq!((noted.reason, noted.status), (Some(reason), Some(recorded)));
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn when_to_come_again_is_said_as_grpc_obeys_it() {
    let upstream = Upstream::plain();
    let response = call(&gate(&upstream), "/accounts/S/M", Some("bad.keys_unavailable"));
    assert_trailers_only(&response, "14", "Service Unavailable");
    assert_eq!(response.field("retry-after"), Some("30"));
    assert_eq!(response.field("grpc-retry-pushback-ms"), Some("30000"));
}

#[test]
fn a_call_that_the_request_itself_spoils_is_no_fault_of_the_server() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let ambiguous = format!("path_ambiguous: {}", Reason::PathAmbiguous.meaning());
    assert_trailers_only(&call(&gate, "/accounts/a%2fb", Some("high")), "3", &ambiguous);
    let limits = config::Limits { body: Some(3), ..config::Limits::default() };
    let small = Setup { limits, ..Setup::default() }.start(upstream.address);
    let mut client = H2::to(small.address);
    let fields = [KIND, ("content-length", "7"), ("authorization", "Bearer high")];
    let mut asked = client.begin(request("POST", "/accounts/S/M", &fields), false).unwrap();
    asked.body.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), true).unwrap();
    let large = format!("body_too_large: {}", Reason::BodyTooLarge.meaning());
    assert_trailers_only(&client.wait(asked).unwrap(), "8", &large);
}

#[test]
fn an_upstream_that_is_gone_or_late_is_told_in_grpc_too() {
    let gone = config::Upstream { http2: true, ..config::Upstream::plain("app".into(), "127.0.0.1".into(), 1) };
    let gate = Setup::default().start_with(gone);
    let unreachable = format!("upstream_unreachable: {}", Reason::UpstreamUnreachable.meaning());
    assert_trailers_only(&call(&gate, "/accounts/S/M", Some("low")), "14", &unreachable);
    assert_eq!(gate.notes.failed.lock().unwrap().pop().unwrap().2, 502);

    let served = Served::h2c(Http2::new(|call| async move {
        tokio::time::sleep(Duration::from_secs(20)).await;
        drop(call);
    }));
    let late = config::Upstream { timeout: Some(Duration::from_millis(300)), ..served.upstream(true, None) };
    let gate = Setup::default().start_with(late);
    let timeout = format!("upstream_timeout: {}", Reason::UpstreamTimeout.meaning());
    assert_trailers_only(&call(&gate, "/accounts/S/M", Some("low")), "4", &timeout);
    assert_eq!(gate.notes.failed.lock().unwrap().pop().unwrap().2, 504);
}

#[test]
fn a_refused_call_that_goes_on_sending_gets_its_answer_and_its_connection_lives() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = H2::to(gate.address);
    for _ in 0..3 {
        let mut asked = client.begin(request("POST", "/pay/S/M", &[KIND]), false).unwrap();
        drop(asked.body.send_data(Bytes::from(vec![0; 8 << 10]), false));
        let response = client.wait(asked).unwrap();
        assert_eq!((response.status, response.field("grpc-status")), (200, Some("16")));
    }
}

#[test]
fn what_is_no_grpc_call_gets_a_problem_document() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = H2::to(gate.address);
    let put = request("PUT", "/pay/S/M", &[KIND]);
    let web = request("POST", "/pay/S/M", &[("content-type", "application/grpc-web+proto")]);
    let twice = request("POST", "/pay/S/M", &[KIND, ("content-type", "application/json")]);
    for other in [put, web, twice] {
        let response = client.ask(other);
        assert_eq!((response.status, response.field("grpc-status")), (401, None));
        assert_eq!(response.field("content-type"), Some("application/problem+json"));
    }
    let line =
        "POST /pay/S/M HTTP/1.1\r\nHost: api.example\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
    let response = gate.refused(line, Reason::TokenMissing, 401, &upstream);
    assert_eq!(response.field("grpc-status"), None, "there is no gRPC in HTTP/1.1");
}
