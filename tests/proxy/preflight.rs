//! `cors: preflight`: a real preflight reaches the application without a token, and nothing else does.

use stepgate::Reason;

use super::gate::gate;
use super::h2_client::{H2, request};
use super::upstream::Upstream;

const ORIGIN: &str = "Origin: https://app.example\r\n";
const ASKS: &str = "Access-Control-Request-Method: POST\r\n";

fn options(path: &str, fields: &[&str]) -> String {
    format!("OPTIONS {path} HTTP/1.1\r\nHost: api.example\r\n{}\r\n", fields.concat())
}

#[test]
fn a_preflight_reaches_the_application_under_the_route_of_the_request_to_come() {
    let answer = "HTTP/1.1 204 No Content\r\naccess-control-allow-origin: https://app.example\r\n\r\n";
    let upstream = Upstream::answering(answer);
    let gate = gate(&upstream);
    let asks = "Access-Control-Request-Headers: authorization, content-type\r\n";
    let response = gate.ask(options("/spa/a?b=c", &[ORIGIN, ASKS, asks]));
    assert_eq!(response.status, 204);
    assert_eq!(response.field("access-control-allow-origin"), Some("https://app.example"));
    let seen = upstream.only();
    assert_eq!(seen.line(), "OPTIONS /spa/a?b=c HTTP/1.1");
    assert_eq!(seen.field("access-control-request-method"), Some("POST"));
    assert_eq!(seen.field("access-control-request-headers"), Some("authorization, content-type"));
    assert!(!seen.head.to_ascii_lowercase().contains("x-stepgate"), "nobody called");
    let noted = gate.decided().pop().unwrap();
    assert_eq!((noted.route.as_deref(), noted.reason, noted.subject), (Some("spa"), None, None));
}

#[test]
fn over_http_2_it_is_the_same() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = H2::to(gate.address);
    let fields = [("origin", "https://app.example"), ("access-control-request-method", "POST")];
    assert_eq!(client.ask(request("OPTIONS", "/spa/a", &fields)).status, 200);
    assert_eq!(client.ask(request("OPTIONS", "/spa/a", &fields[..1])).status, 403);
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn whatever_else_comes_with_options_is_judged_as_ever() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let refused = |fields: &[&str]| {
        gate.refused(options("/spa/a", fields), Reason::RouteNone, 403, &upstream);
    };
    refused(&[]);
    refused(&[ORIGIN]);
    refused(&[ASKS]);
    refused(&[ORIGIN, ORIGIN, ASKS]);
    refused(&[ORIGIN, ASKS, ASKS]);
    refused(&[ORIGIN, "Access-Control-Request-Method: DELETE\r\n"]);
    refused(&[ORIGIN, "Access-Control-Request-Method: post\r\n"]);
    refused(&[ORIGIN, "Access-Control-Request-Method: OPTIONS\r\n"]);
    refused(&[ORIGIN, "Access-Control-Request-Method: CONNECT\r\n"]);
    refused(&[ORIGIN, ASKS, "Authorization: Bearer high\r\n"]);
    refused(&[ORIGIN, ASKS, "Cookie: a=b\r\n"]);
    refused(&[ORIGIN, ASKS, "X-Token: high\r\n"]);
    refused(&[ORIGIN, ASKS, "Content-Length: 2\r\n\r\nhi"]);
    refused(&[ORIGIN, ASKS, "Transfer-Encoding: chunked\r\n\r\n0\r\n"]);
    // The request that follows, and one that only has the fields of a preflight, need a token as before.
    for method in ["GET", "POST", "HEAD"] {
        let asks = options("/spa/a", &[ORIGIN, ASKS, "Content-Length: 0\r\n"]).replacen("OPTIONS", method, 1);
        let before = upstream.seen().len();
        let mut client = gate.client();
        assert_eq!(client.send(asks).head().status, 401, "{method}");
        assert_eq!(upstream.seen().len(), before);
    }
}

#[test]
fn where_no_route_says_so_a_preflight_needs_a_token_like_any_request() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    // A route for any method: the preflight is a request like others there.
    gate.refused(options("/accounts/a", &[ORIGIN, ASKS]), Reason::TokenMissing, 401, &upstream);
    // One for GET alone.
    gate.refused(options("/read", &[ORIGIN, ASKS]), Reason::RouteNone, 403, &upstream);
    assert_eq!(gate.ask(options("/public/a", &[ORIGIN, ASKS])).status, 200, "a public route is public");
}
