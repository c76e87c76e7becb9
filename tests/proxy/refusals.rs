//! Every reason that the data path itself produces, produced through the running gate; the upstream sees none of it.

use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use stepgate::Reason;
use stepgate::config::settings::Limits;

use super::gate::{Setup, assert_only_known_fields, gate};
use super::upgrades::handshake;
use super::upstream::{Upstream, eventually};

fn ask(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: api.example\r\n{fields}\r\n")
}

#[test]
fn no_token_is_401_with_a_bare_challenge() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let response =
        gate.refused(ask("GET /accounts/7", "X-Request-Id: mine-1\r\n"), Reason::TokenMissing, 401, &upstream);
    assert_eq!(response.field("www-authenticate"), Some("Bearer realm=\"api.example\""));
    assert_eq!(response.field("x-request-id"), Some("mine-1"));
    assert_eq!(response.json()["request_id"], "mine-1");
    assert_eq!(response.json()["reason"], "token_missing");
    for fields in ["Authorization: Basic dTpw\r\n", "X-Token: user\r\n", "Cookie: session=user\r\n"] {
        gate.refused(ask("GET /accounts/7", fields), Reason::TokenMissing, 401, &upstream);
    }
    gate.refused(ask("GET /accounts/7?access_token=user", ""), Reason::TokenMissing, 401, &upstream);
}

#[test]
fn t10_what_no_route_names_is_403_without_a_challenge() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let response =
        gate.refused(ask("GET /nowhere", "Authorization: Bearer high\r\n"), Reason::RouteNone, 403, &upstream);
    assert_eq!(response.field("www-authenticate"), None);
    assert_eq!(response.json().get("reason"), None, "a stranger learns nothing of the routes");
    gate.refused(ask("DELETE /read", "Authorization: Bearer high\r\n"), Reason::RouteNone, 403, &upstream);
    gate.refused(ask("OPTIONS /read", ""), Reason::RouteNone, 403, &upstream);
}

#[test]
fn a_weak_or_old_sign_in_is_challenged_with_what_would_be_enough() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let response =
        gate.refused(ask("POST /pay/1", "Authorization: Bearer low\r\n"), Reason::LevelTooLow, 401, &upstream);
    assert_eq!(
        response.field("www-authenticate").unwrap(),
        "Bearer realm=\"api.example\", error=\"insufficient_user_authentication\", acr_values=\"urn:high\", \
         max_age=\"300\", scope=\"pay\""
    );
    let response = gate.refused(
        ask("POST /pay/1", "Authorization: Bearer high.old.scoped\r\n"),
        Reason::AuthTooOld,
        401,
        &upstream,
    );
    assert_eq!(
        response.field("www-authenticate").unwrap(),
        "Bearer realm=\"api.example\", error=\"insufficient_user_authentication\", acr_values=\"urn:high\", max_age=\"300\""
    );
}

#[test]
fn a_missing_scope_is_403_and_says_which() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let response =
        gate.refused(ask("POST /pay/1", "Authorization: Bearer high\r\n"), Reason::ScopeMissing, 403, &upstream);
    assert_eq!(
        response.field("www-authenticate").unwrap(),
        "Bearer realm=\"api.example\", error=\"insufficient_scope\", scope=\"pay\""
    );
}

#[test]
fn a_level_that_the_issuer_can_never_prove_is_403_without_a_challenge() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let response =
        gate.refused(ask("GET /admin", "Authorization: Bearer hopeless\r\n"), Reason::LevelTooLow, 403, &upstream);
    assert_eq!(response.field("www-authenticate"), None);
    gate.refused(ask("GET /admin", "Authorization: Bearer high.client\r\n"), Reason::CallerWrong, 403, &upstream);
}

#[test]
fn t26_a_token_that_is_not_believed_is_401_invalid_token_whatever_is_wrong_with_it() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut told = Vec::new();
    for reason in
        [Reason::SignatureInvalid, Reason::Expired, Reason::IssuerUnknown, Reason::KeyUnknown, Reason::TokenEncrypted]
    {
        let fields = format!("Authorization: Bearer bad.{reason}\r\nX-Request-Id: same\r\n");
        let response = gate.refused(ask("GET /accounts/7", &fields), reason, 401, &upstream);
        told.push((response.field("www-authenticate").unwrap().to_owned(), response.body));
    }
    assert_eq!(told[0].0, "Bearer realm=\"api.example\", error=\"invalid_token\"");
    assert!(told.iter().all(|one| *one == told[0]));
}

#[test]
fn keys_that_cannot_be_had_are_503_with_retry_after() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let fields = "Authorization: Bearer bad.keys_unavailable\r\n";
    let response = gate.refused(ask("GET /accounts/7", fields), Reason::KeysUnavailable, 503, &upstream);
    assert_eq!(response.field("retry-after"), Some("30"));
}

#[test]
fn t24_two_tokens_in_one_place_are_400() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for fields in [
        "Authorization: Bearer high\r\nAuthorization: Bearer high\r\n",
        "Authorization: Basic dTpw\r\nauthorization: Bearer high\r\n",
    ] {
        let response = gate.refused(ask("GET /accounts/7", fields), Reason::TokenDuplicate, 400, &upstream);
        assert_eq!(response.field("www-authenticate"), Some("Bearer realm=\"api.example\", error=\"invalid_request\""));
        let cookie = format!("{fields}Cookie: session=user\r\n");
        for fields in [fields, &cookie] {
            gate.refused(ask("GET /app/x", fields), Reason::TokenDuplicate, 400, &upstream);
        }
    }
}

#[test]
fn a_token_that_is_too_long_or_no_token_at_all_is_told_apart() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let long = format!("Authorization: Bearer {}\r\n", "a".repeat((16 << 10) + 1));
    gate.refused(ask("GET /accounts/7", &long), Reason::TokenTooLarge, 400, &upstream);
    for value in ["Bearer", "Bearer a b", "Bearer a,b", "bearer \"a\""] {
        let fields = format!("Authorization: {value}\r\n");
        gate.refused(ask("GET /accounts/7", &fields), Reason::TokenMalformed, 401, &upstream);
    }
}

#[test]
fn a_cookie_is_taken_from_its_own_origin_only() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let cookie = "Cookie: session=user\r\n";
    assert_eq!(gate.ask(ask("GET /app/x", cookie)).status, 200);
    assert_eq!(gate.ask(ask("POST /app/x", &format!("{cookie}Origin: http://api.example\r\n"))).status, 200);
    for origin in ["", "Origin: null\r\n", "Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        gate.refused(ask("POST /app/x", &format!("{cookie}{origin}")), Reason::OriginRefused, 403, &upstream);
    }
    for upgrade in
        [ask("GET /app/x", &format!("{cookie}Connection: upgrade\r\nUpgrade: h2c\r\n")), handshake("/app/x", cookie)]
    {
        gate.refused(upgrade, Reason::OriginRefused, 403, &upstream);
    }
}

#[test]
fn t6_t11_a_request_that_breaks_http_is_400() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for request in [
        "GET /public HTTP/1.1\r\n\r\n",
        "GET /public HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
        "GET /public HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET /public HTTP/1.1\r\nHost:\r\n\r\n",
        "GET http://b.example/public HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "TRACE /public HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
        "get /public HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET /public HTTP/1.0\r\n\r\n",
        "POST /public HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ] {
        let response = gate.refused(request, Reason::RequestMalformed, 400, &upstream);
        assert_eq!(response.json()["reason"], "request_malformed", "{request}");
    }
}

#[test]
fn t1_t2_t4_t5_a_path_with_two_readings_is_400() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for path in [
        "/public/..%2fadmin",
        "/public%5c..%5cadmin",
        "/public//admin",
        "/public/%252e%252e/admin",
        "/public/..;/admin",
        "/public/%00",
        "/public/%zz",
        "/..",
        "*",
        "/public#/../admin",
        "/public?x=1#y",
        "/public/a#",
        "http://api.example/public#x",
    ] {
        gate.refused(ask(&format!("GET {path}"), ""), Reason::PathAmbiguous, 400, &upstream);
    }
}

#[test]
fn t1_what_was_judged_is_what_is_forwarded() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    gate.refused(ask("GET /public/../admin/x", ""), Reason::TokenMissing, 401, &upstream);
    gate.refused(ask("GET /public/%2e%2e/admin/x", ""), Reason::TokenMissing, 401, &upstream);
    assert_eq!(gate.ask(ask("GET /admin/../public/%7Ex/?q=%2e%2E/#".trim_end_matches('#'), "")).status, 200);
    assert_eq!(upstream.only().line(), "GET /public/~x/?q=%2e%2E/ HTTP/1.1");
}

#[test]
fn t16_no_field_opens_a_way_around_the_token() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for fields in [
        "User-Agent: kube-probe/1.30\r\n",
        "X-Original-URL: /public\r\n",
        "X-Forwarded-Uri: /public\r\n",
        "X-HTTP-Method-Override: OPTIONS\r\n",
        "X-Stepgate-Level: hardware-protected\r\n",
    ] {
        gate.refused(ask("GET /admin", fields), Reason::TokenMissing, 401, &upstream);
    }
}

#[test]
fn a_body_over_the_limit_is_413_announced_or_not() {
    let upstream = Upstream::plain();
    let limits = Limits { body: Some(10), ..Limits::default() };
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    gate.refused(ask("POST /public", "Content-Length: 11\r\n"), Reason::BodyTooLarge, 413, &upstream);
    assert_eq!(gate.ask(ask("POST /public", "Content-Length: 10\r\n") + "0123456789").status, 200);
    let chunked = ask("POST /public", "Transfer-Encoding: chunked\r\n") + "8\r\n01234567\r\n8\r\n01234567\r\n0\r\n\r\n";
    let response = gate.ask(chunked);
    assert_eq!((response.status, response.json()["reason"].as_str()), (413, Some("body_too_large")));
    assert!(gate.notes.failed.lock().unwrap().is_empty(), "that was not the upstream's doing");
}

#[test]
fn an_announced_body_over_the_limit_takes_its_place_in_the_order_of_the_reasons() {
    let upstream = Upstream::plain();
    let limits = Limits { body: Some(10), ..Limits::default() };
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    let long = "a".repeat((16 << 10) + 1);
    let cookie = "Cookie: session=user\r\nOrigin: http://evil.example\r\n";
    for (line, fields, reason, status) in [
        ("POST /accounts", String::new(), Reason::TokenMissing, 401),
        ("POST /accounts", "Authorization: Bearer a\r\n".repeat(2), Reason::TokenDuplicate, 400),
        ("POST /accounts", format!("Authorization: Bearer {long}\r\n"), Reason::TokenTooLarge, 400),
        ("POST /app/x", cookie.to_owned(), Reason::BodyTooLarge, 413),
        ("POST /accounts", "Authorization: Bearer a b\r\n".to_owned(), Reason::BodyTooLarge, 413),
        ("POST /accounts", "Authorization: Bearer bad.expired\r\n".to_owned(), Reason::BodyTooLarge, 413),
        ("POST /accounts", "Authorization: Bearer low\r\n".to_owned(), Reason::BodyTooLarge, 413),
    ] {
        gate.refused(ask(line, &format!("{fields}Content-Length: 11\r\n")), reason, status, &upstream);
    }
}

#[test]
fn a_client_that_sends_all_it_can_before_it_reads_still_gets_its_refusal() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for fields in ["Content-Length: 1000000000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut client = gate.client();
        client.send(ask("PUT /admin", fields) + "3b9aca00\r\n");
        let stream = client.0.get_mut();
        stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        // Much more than the gate takes: what both sockets hold comes on top.
        let stopped =
            (0..1000).find_map(|_| stream.write_all(&[b'a'; 1 << 16]).err()).expect("the gate takes no end of it");
        assert_eq!(stopped.kind(), ErrorKind::WouldBlock, "{fields}");
        let response = client.response();
        assert_eq!((response.status, response.json()["reason"].as_str()), (401, Some("token_missing")), "{fields}");
        assert!(client.is_closed());
    }
}

#[test]
fn what_was_asked_is_on_record_even_where_it_has_no_canonical_form() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let long = format!("/{}", "ä%252f".repeat(200));
    for (request, reason, host, path) in [
        (ask("GET /public/..%252fadmin?t=secret", ""), Reason::PathAmbiguous, "api.example", "/public/..%252fadmin"),
        // Some route could allow it, so it has one.
        (ask("GET /public/..%2fadmin?t=secret", ""), Reason::PathAmbiguous, "api.example", "/public/..%2Fadmin"),
        ("GET /a?t=secret HTTP/1.1\r\nHost: a b\r\n\r\n".into(), Reason::RequestMalformed, "a b", "/a"),
        ("GET /a HTTP/1.1\r\nHost: u:secret@a\r\n\r\n".into(), Reason::RequestMalformed, "a", "/a"),
        ("GET /a HTTP/1.1\r\n\r\n".into(), Reason::RequestMalformed, "", "/a"),
        ("GET http://u:secret@b/a HTTP/1.1\r\nHost: b\r\n\r\n".into(), Reason::RequestMalformed, "b", "/a"),
        (ask("TRACE /x?t=secret", ""), Reason::RequestMalformed, "api.example", "/x"),
        (ask("GET /public?a#b", ""), Reason::PathAmbiguous, "api.example", "/public"),
        (ask(&format!("GET {long}"), ""), Reason::PathAmbiguous, "api.example", &long),
    ] {
        gate.refused(&request, reason, 400, &upstream);
        let noted = gate.decided().pop().unwrap();
        assert_eq!(noted.host, host, "{request}");
        if path.len() < 500 {
            assert_eq!(noted.path, path, "{request}");
        } else {
            assert!(noted.path.len() <= 512 && noted.path.len() > 500 && long.starts_with(&noted.path), "{request}");
        }
    }
}

#[test]
fn nothing_is_forwarded_without_a_record() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    *gate.notes.blocked.lock().unwrap() = true;
    let response = gate.get("/public", None);
    assert_eq!((response.status, response.json()["reason"].as_str()), (503, Some("overloaded")));
    assert!(response.field("retry-after").is_some());
    assert!(upstream.seen().is_empty());
}

#[test]
fn connections_over_the_limit_are_turned_away_and_those_under_it_served() {
    let upstream = Upstream::plain();
    let limits = Limits { connections: 2, ..Limits::default() };
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    let (mut first, mut second) = (gate.client(), gate.client());
    assert_eq!(first.ask(super::client::get("/public", None)).status, 200);
    assert_eq!(second.ask(super::client::get("/public", None)).status, 200);
    let mut third = gate.client();
    let response = third.ask(super::client::get("/public", None));
    assert_eq!((response.status, response.json()["reason"].as_str()), (503, Some("overloaded")));
    assert_only_known_fields(&response);
    assert!(third.is_closed());
    assert_eq!(*gate.notes.refused.lock().unwrap(), 1);
    assert_eq!(upstream.seen().len(), 2);
    drop(first);
    eventually(|| *gate.notes.open.lock().unwrap() == 1);
    assert_eq!(gate.get("/public", None).status, 200);
    assert_eq!(second.ask(super::client::get("/public", None)).status, 200);
}

#[test]
fn an_upstream_that_is_not_there_is_502() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = Setup::default().start(address);
    let response = gate.get("/public", None);
    assert_eq!((response.status, response.json()["reason"].as_str()), (502, Some("upstream_unreachable")));
    assert_only_known_fields(&response);
    assert_eq!(*gate.notes.failed.lock().unwrap(), [("app".to_owned(), Reason::UpstreamUnreachable, 502)]);
}

#[test]
fn an_upstream_that_breaks_off_or_answers_nonsense_is_502() {
    for answer in [
        "connection: close",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ] {
        let upstream = Upstream::answering(answer);
        let response = gate(&upstream).get("/public", None);
        assert_eq!(
            (response.status, response.json()["reason"].as_str()),
            (502, Some("upstream_unreachable")),
            "{answer}"
        );
    }
}

#[test]
fn t17_a_response_with_a_length_beside_a_coding_is_502_and_its_connection_is_let_go() {
    for fields in
        ["content-length: 3\r\ntransfer-encoding: chunked\r\n", "transfer-encoding: chunked\r\ncontent-length: 3\r\n"]
    {
        let upstream = Upstream::answering(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n5\r\nhello\r\n0\r\n\r\n"));
        let gate = gate(&upstream);
        for _ in 0..2 {
            let response = gate.get("/public", None);
            assert_eq!(
                (response.status, response.json()["reason"].as_str()),
                (502, Some("upstream_unreachable")),
                "{fields}"
            );
        }
        let connections: Vec<usize> = upstream.seen().iter().map(|seen| seen.connection).collect();
        assert_eq!(connections, [0, 1], "what such a connection brings next can't be trusted");
    }
}

#[test]
fn an_upstream_that_does_not_answer_is_504_and_let_go() {
    let upstream = Upstream::scripted(|_, stream| {
        // Says nothing until the gate hangs up.
        let _ = std::io::Read::read(stream, &mut [0]);
        false
    });
    let gate = Setup { timeout: Some(Duration::from_millis(300)), ..Setup::default() }.start(upstream.address);
    let response = gate.get("/public", None);
    assert_eq!((response.status, response.json()["reason"].as_str()), (504, Some("upstream_timeout")));
    assert_eq!(*gate.notes.failed.lock().unwrap(), [("app".to_owned(), Reason::UpstreamTimeout, 504)]);
    upstream.wait_closed(1);
}

#[test]
fn the_answer_to_a_refused_head_request_has_its_fields_and_no_body() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = gate.client();
    let head = client.send(ask("HEAD /accounts/7", "")).head();
    assert_eq!(head.status, 401);
    assert_only_known_fields(&head);
    assert!(head.field("content-length").unwrap().parse::<usize>().unwrap() > 50);
    assert_eq!(client.ask(super::client::get("/public", None)).status, 200, "the connection goes on at once");
}
