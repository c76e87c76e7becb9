//! What a client can and cannot tell the upstream through the gate's mouth (checklist T12 to T17).

use super::gate::gate;
use super::upstream::{Upstream, eventually};

#[test]
fn t12_t13_forged_identity_and_overrides_never_arrive_on_public_routes_either() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let forged = "X-Stepgate-Subject: root\r\nx_stepgate_level: top\r\nX.Stepgate.Acr: top\r\nX-StepGate: forged\r\n\
        X-Stepgate-Unheard-Of: forged\r\nX-HTTP-Method-Override: forged\r\nX_Original_URL: /forged\r\nX-Rewrite-URL: /forged\r\n\
        X-Forwarded-User: forged\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: forged\r\nX-Forwarded-Prefix: /forged\r\n\
        Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Innocent: kept\r\n";
    for (line, token) in [("GET /public", ""), ("GET /accounts", "Authorization: Bearer low\r\n")] {
        gate.ask(format!("{line} HTTP/1.1\r\nHost: API.example:81\r\n{forged}{token}\r\n"));
        let seen = upstream.seen().pop().unwrap();
        let head = seen.head.to_lowercase();
        for word in ["forged", "6.6.6.6", "root", "top", "x_", "x."] {
            assert!(!head.contains(word), "{word} arrived: {head}");
        }
        assert_eq!(seen.field("x-innocent"), Some("kept"));
        assert_eq!(seen.field("host"), Some("API.example:81"), "as the client sent it");
        assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
        assert_eq!(seen.field("x-forwarded-host"), Some("API.example:81"));
        assert_eq!(seen.field("x-forwarded-port"), Some(gate.address.port().to_string().as_str()));
        assert_eq!(seen.field("forwarded"), Some("for=127.0.0.1;proto=http"));
        assert_eq!(seen.field("x-stepgate-subject").is_some(), !token.is_empty(), "a public route sets none");
    }
}

#[test]
fn t12_t13_what_an_upstream_could_take_for_another_field_or_for_a_fact_of_the_connection_never_arrives() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let fields = "X-Override-URL: /forged\r\nX-HTTP-Path-Override: /forged\r\nTrue-Client-IP: forged\r\nClient-Cert: :forged:\r\n\
        X-SSL-Client-S-DN: forged\r\nContent_Length: 7777\r\nTransfer.Encoding: forged\r\nX_Request_Id: forged\r\n\
        X_Id_Token: forged\r\nX-Id-Token: low.id.s1\r\nX-Innocent: kept\r\n";
    let request = format!("GET /pair HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer high.s1\r\n{fields}\r\n");
    assert_eq!(gate.ask(request).status, 200);
    let seen = upstream.only();
    for word in ["forged", "7777"] {
        assert!(!seen.head.contains(word), "{word} arrived: {}", seen.head);
    }
    assert_eq!((seen.field("x-innocent"), seen.field("x-id-token")), (Some("kept"), Some("low.id.s1")));
}

#[test]
fn t17_a_body_arrives_whatever_the_method_and_its_framing() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "POST"] {
        let upstream = Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let gate = gate(&upstream);
        let mut client = gate.client();
        for (framing, body) in [
            ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
            ("Transfer-Encoding: chunked", "0\r\n\r\n"),
            ("Content-Length: 5", "hello"),
        ] {
            client.send(format!("{method} /public HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{body}"));
            let response = if method == "HEAD" { client.head() } else { client.response() };
            assert_eq!(response.status, 200, "{method} {framing}");
            let sent = if body.contains("hello") { &b"hello"[..] } else { b"" };
            let seen = upstream.seen().pop().unwrap();
            assert_eq!(seen.body, sent, "{method} {framing}");
            let (name, value) = framing.split_once(": ").unwrap();
            assert_eq!(seen.field(name), Some(value), "{method} {framing}");
        }
        assert_eq!(upstream.seen().len(), 3);
    }
}

#[test]
fn t14_connection_cannot_take_away_what_we_say() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    gate.ask(
        "GET /accounts HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer low\r\nX-Mine: 1\r\nKeep-Alive: timeout=9\r\n\
         Proxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\n\
         Connection: x-stepgate-subject, X-Forwarded-For, x-mine, host, upgrade\r\n\r\n",
    );
    let seen = upstream.only();
    assert_eq!(seen.field("x-stepgate-subject"), Some("zo%C3%AB"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("host"), Some("api.example"));
    for gone in ["x-mine", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
    assert_eq!((seen.field("te"), seen.field("connection")), (Some("trailers"), Some("te")), "in our own words");
}

#[test]
fn t17_a_length_beside_a_coding_is_normalised_and_nothing_after_it_is_a_request() {
    for fields in
        ["Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"]
    {
        let upstream = Upstream::plain();
        let gate = gate(&upstream);
        let mut client = gate.client();
        let response = client.ask(format!(
            "POST /public HTTP/1.1\r\nHost: api.example\r\n{fields}\r\n0\r\n\r\nGET /public/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        assert_eq!((response.status, response.field("connection")), (200, Some("close")));
        assert!(client.is_closed());
        let seen = upstream.only();
        assert_eq!((seen.field("content-length"), seen.field("transfer-encoding")), (None, Some("chunked")));
    }
}

#[test]
fn t17_contradictions_and_bad_framing_never_reach_the_upstream() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for fields in [
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: 4, 5\r\n",
        "Content-Length: +4\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X: a\r\n folded: b\r\n",
    ] {
        let mut client = gate.client();
        client.send(format!("POST /public HTTP/1.1\r\nHost: api.example\r\n{fields}\r\nabcdefgh"));
        let answer = client.rest();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{fields}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), usize::from(!answer.is_empty()));
    }
    let mut client = gate.client();
    client.send("POST /public HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert!(!client.rest().contains(" 200 "));
    assert!(upstream.seen().is_empty());
    eventually(|| *gate.notes.unreadable.lock().unwrap() == 7);
}

#[test]
fn t17_a_chunk_that_is_none_ends_the_request_and_the_connection() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = gate.client();
    client.send("POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET /public/smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.rest();
    assert!(!answer.contains(" 200 "), "{answer}");
    assert!(!upstream.seen().iter().any(|seen| seen.head.contains("smuggled")));
}

#[test]
fn t17_bytes_after_an_upgrade_that_is_not_carried_are_the_next_request_and_no_tunnel() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = gate.client();
    client.send("GET /public HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 401, "judged like any other");
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn t4_a_fragment_is_found_behind_a_body_and_in_a_pipeline_too() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let hidden = "GET /public#/admin HTTP/1.1\r\nHost: a\r\n\r\n";
    for before in [
        "GET /public HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab#cd".to_owned(),
        "POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na#b\r\n0\r\nX: #\r\n\r\n"
            .to_owned(),
    ] {
        let mut client = gate.client();
        client.send(format!("{before}{hidden}"));
        assert_eq!(client.response().status, 200, "{before}");
        assert_eq!(client.response().status, 400, "{before}");
        assert_eq!(
            client.ask("GET /public?x HTTP/1.1\r\nHost: a\r\nX: #\r\n\r\n").status,
            200,
            "the connection goes on"
        );
    }
    assert_eq!(upstream.seen().len(), 6);
}

#[test]
fn t15_bytes_that_are_no_text_pass_or_are_refused_but_never_open_anything() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut request = b"GET /accounts HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\xfe\r\n\r\n".to_vec();
    assert_eq!(gate.ask(&request).status, 401);
    request = b"GET /accounts HTTP/1.1\r\nHost: \xff\r\nAuthorization: Bearer low\r\n\r\n".to_vec();
    assert_eq!(gate.ask(&request).status, 400);
    assert!(upstream.seen().is_empty());
    request = b"GET /accounts HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer low\r\nX-Name: \xff\r\n\r\n".to_vec();
    assert_eq!(gate.ask(&request).status, 200);
}

#[test]
fn request_ids_and_traces_are_kept_or_made() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    gate.ask(format!("GET /public HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\nTraceparent: {trace}\r\n\r\n"));
    gate.ask("GET /public HTTP/1.1\r\nHost: a\r\nX-Request-Id: <not mine>\r\n\r\n");
    let (seen, noted) = (upstream.seen(), gate.decided());
    assert_eq!((seen[0].field("x-request-id"), seen[0].field("traceparent")), (Some("mine"), Some(trace)));
    assert_eq!((noted[0].id.as_str(), noted[0].trace.as_deref()), ("mine", Some("4bf92f3577b34da6a3ce929d0e0e4736")));
    assert_eq!(seen[1].field("x-request-id"), Some(noted[1].id.as_str()));
    assert_eq!(noted[1].id.len(), 32);
}
