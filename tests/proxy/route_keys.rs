//! What a route says of the way on: `timeout`, `max_body` and `rewrite`.

use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use stepgate::Reason;
use stepgate::config::settings::Limits;
use stepgate::config::{SourceFile, load_policy};
use stepgate::live::Snapshot;

use super::client::get;
use super::gate::{Running1, Setup};
use super::h2_client::{H2, get as get2};
use super::upstream::{Upstream, read_body};

/// A gate under the policy with these lines.
fn under(setup: Setup, upstream: &Upstream, lines: &str) -> Running1 {
    let gate = setup.start(upstream.address);
    let text = format!("version: 1\n{lines}");
    let policy = load_policy(vec![SourceFile { name: "p.yaml".into(), folder: ".".into(), text }]).unwrap().policy;
    let upstream_of_route = vec![0; policy.routes().len()];
    gate.live.swap(Snapshot { policy, upstream_of_route, metadata: None, files: Arc::default() });
    gate
}

fn post(path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length))
}

fn chunked(path: &str, length: usize) -> String {
    let body = "x".repeat(length);
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n")
}

#[test]
fn a_routes_timeout_goes_over_that_of_its_upstream() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        thread::sleep(Duration::from_millis(1200));
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let setup = Setup { timeout: Some(Duration::from_millis(100)), ..Setup::default() };
    let gate = under(
        setup,
        &upstream,
        "defaults: { timeout: 5s }
routes:
  - { name: short, match: { path: /short }, require: public, timeout: 200ms }
  - { name: long, match: { path: /long }, require: public }
",
    );
    let began = Instant::now();
    assert_eq!(gate.get("/short", None).status, 504);
    assert!(began.elapsed() < Duration::from_millis(1000));
    assert_eq!(gate.get("/long", None).status, 200, "the default goes over the upstream's too");
}

#[test]
fn a_routes_max_body_goes_over_the_limit_of_the_process_both_ways() {
    let upstream = Upstream::plain();
    let limits = Limits { body: Some(100), ..Limits::default() };
    let gate = under(
        Setup { limits, ..Setup::default() },
        &upstream,
        "defaults: { max_body: 50B }
routes:
  - { name: less, match: { path: /less }, require: public, max_body: 10B }
  - { name: more, match: { path: /more }, require: public, max_body: 1KiB }
  - { name: any, match: { path: /any }, require: public, max_body: none }
  - { name: default, match: { path: /default }, require: public }
",
    );
    for (path, fits, exceeds) in [("/less", 10, 11), ("/more", 1024, 1025), ("/default", 50, 51)] {
        for body in [post, chunked] {
            assert_eq!(gate.ask(body(path, fits)).status, 200, "{path} {fits}");
            assert_eq!(gate.ask(body(path, exceeds)).status, 413, "{path} {exceeds}");
        }
        // What says how long it is does not get as far as the upstream.
        gate.refused(post(path, exceeds), Reason::BodyTooLarge, 413, &upstream);
        assert!(gate.decided().pop().unwrap().detail.contains("max_body"));
    }
    assert_eq!(gate.ask(post("/any", 5000)).status, 200);
    assert_eq!(gate.ask(chunked("/any", 5000)).status, 200);
}

#[test]
fn a_form_is_as_long_as_the_route_allows() {
    let upstream = Upstream::plain();
    let limits = Limits { body: Some(1 << 20), ..Limits::default() };
    let gate = under(
        Setup { limits, ..Setup::default() },
        &upstream,
        "issuers:
  bank: { issuer: https://bank.example, id: { audiences: [app] }, proves: { single-factor: { factors: 1 } } }
routes:
  - name: callback
    match: { path: /callback, methods: [POST] }
    take: [ { form: id_token, kind: id } ]
    require: authenticated
    max_body: 100B
",
    );
    let form = |length: usize| {
        let body = "a=".to_owned() + &"x".repeat(length - 2);
        format!(
            "POST /callback HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    };
    gate.refused(form(101), Reason::BodyTooLarge, 413, &upstream);
    gate.refused(form(100), Reason::TokenMissing, 401, &upstream);
}

#[test]
fn a_path_is_rewritten_after_it_was_judged_and_the_record_tells_it_as_it_came() {
    let upstream = Upstream::answering("HTTP/1.1 302 Found\r\nlocation: /v1/7\r\ncontent-length: 0\r\n\r\n");
    let gate = under(
        Setup::default(),
        &upstream,
        "routes:
  - { name: accounts, match: { path: \"/accounts/**\" }, require: public, rewrite: { prefix: /v1 } }
  - { name: bare, match: { path: \"/bare/{id}\" }, require: public, rewrite: { prefix: / } }
  - { name: rest, match: { path: \"/**\" }, require: public, rewrite: { prefix: /deep/er } }
  - { name: plain, match: { path: /plain }, require: public }
",
    );
    for (asked, forwarded, prefix) in [
        ("/accounts/7?a=%2F..%2f&b", "/v1/7?a=%2F..%2f&b", Some("/accounts")),
        ("/accounts", "/v1", Some("/accounts")),
        ("/accounts/", "/v1/", Some("/accounts")),
        ("/x/../accounts/%61?", "/v1/a?", Some("/accounts")),
        ("/bare/7", "/7", Some("/bare")),
        ("/other/7", "/deep/er/other/7", None),
        ("/", "/deep/er/", None),
        ("/plain", "/plain", None),
    ] {
        let before = upstream.seen().len();
        let client = format!("GET {asked} HTTP/1.1\r\nHost: a\r\nX-Forwarded-Prefix: /forged\r\n\r\n");
        let answer = gate.ask(client);
        assert_eq!((answer.status, answer.field("location")), (302, Some("/v1/7")), "what comes back is left alone");
        let seen = upstream.seen()[before].clone();
        assert_eq!(seen.line(), format!("GET {forwarded} HTTP/1.1"));
        assert_eq!(seen.field("x-forwarded-prefix"), prefix, "{asked}");
    }
    let paths: Vec<String> = gate.decided().into_iter().map(|noted| noted.path).collect();
    assert_eq!(paths[..4], ["/accounts/7", "/accounts", "/accounts/", "/accounts/a"]);
    let mut client = H2::to(gate.address);
    assert_eq!(client.ask(get2("/accounts/9", None)).status, 302);
    assert_eq!(upstream.seen().pop().unwrap().line(), "GET /v1/9 HTTP/1.1");
    assert_eq!(gate.ask(get("/accounts//7", None)).status, 400, "what has two readings is refused as ever");
}
