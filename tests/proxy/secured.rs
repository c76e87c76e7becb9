//! Upstreams in TLS and over Unix sockets: who they must be, what they are shown, and that nothing falls back to less.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::date_time_ymd;
use stepgate::Reason;
use stepgate::config::settings::{ClientTls, Limits, Upstream as Settings};
use tokio::sync::watch::channel;

use super::gate::{Running1, Setup};
use super::pki::Authority;
use super::served::{Http2, Served};
use super::upstream::eventually;

fn trusting(authority: &Authority, name: Option<&str>) -> ClientTls {
    ClientTls { ca: Some(authority.ca()), server_name: name.map(str::to_owned), ..ClientTls::default() }
}

fn gate(upstream: Settings) -> Running1 {
    Setup::default().start_with(upstream)
}

/// Asks, and gives why the upstream could not be asked: nothing of the request may have reached it.
#[track_caller]
fn refused(served: &Served, upstream: Settings) -> String {
    let gate = gate(upstream);
    let response = gate.get("/public", None);
    assert_eq!((response.status, response.json()["reason"].as_str()), (502, Some("upstream_unreachable")));
    assert!(!response.body.contains("certificate"), "the client is not told why");
    assert_eq!(*gate.notes.failed.lock().unwrap(), [("app".to_owned(), Reason::UpstreamUnreachable, 502)]);
    let notes = served.notes.lock().unwrap();
    assert!(notes.texts.is_empty() && notes.heads.is_empty(), "a request went out");
    assert_eq!(gate.notes.connections(), 0);
    gate.notes.causes.lock().unwrap().pop().unwrap()
}

#[test]
fn an_upstream_whose_certificate_its_own_authority_signed_is_asked_in_tls() {
    let authority = Authority::new();
    for (protocols, alpn) in [(&["http/1.1", "h2"][..], Some("http/1.1")), (&[], None)] {
        let served = Served::tls(authority.server("ledger.example", protocols), None);
        let gate = gate(served.upstream(false, Some(trusting(&authority, Some("ledger.example")))));
        for _ in 0..3 {
            assert_eq!(gate.get("/public/x?y", None).body, "ok");
        }
        let notes = served.notes.lock().unwrap();
        assert_eq!(notes.sessions, [(Some("ledger.example".to_owned()), alpn.map(str::to_owned))], "one connection");
        assert!(notes.texts[0].starts_with("GET /public/x?y HTTP/1.1\r\n"), "{}", notes.texts[0]);
        assert!(notes.texts[0].contains("host: api.example\r\n"));
        assert_eq!(gate.notes.connections(), 1);
    }
}

#[test]
fn an_address_is_a_name_too_and_is_not_said_by_sni() {
    let authority = Authority::new();
    let served = Served::tls(authority.server("127.0.0.1", &[]), None);
    let gate = gate(served.upstream(false, Some(trusting(&authority, None))));
    assert_eq!(gate.get("/public", None).body, "ok");
    assert_eq!(served.notes.lock().unwrap().sessions, [(None, None)]);
}

#[test]
fn a_certificate_that_does_not_verify_is_never_accepted_and_the_log_says_why() {
    let authority = Authority::new();
    let name = Some("ledger.example");
    let of = |authority: &Authority| Some(trusting(authority, name));

    let served = Served::tls(authority.server("ledger.example", &[]), None);
    let stranger = refused(&served, served.upstream(false, of(&Authority::new())));
    assert!(stranger.contains("signed by none of the roots"), "{stranger}");
    let by_the_system = ClientTls { server_name: name.map(str::to_owned), ..ClientTls::default() };
    let stranger = refused(&served, served.upstream(false, Some(by_the_system)));
    assert!(stranger.contains("signed by none of the roots"), "{stranger}");

    let other = refused(&served, served.upstream(false, Some(trusting(&authority, Some("other.example")))));
    assert!(other.contains("another name") && other.contains("other.example"), "{other}");
    let address = refused(&served, served.upstream(false, Some(trusting(&authority, None))));
    assert!(address.contains("another name") && address.contains("127.0.0.1"), "{address}");

    let past = authority.server_with("ledger.example", &[], None, |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let served = Served::tls(past, None);
    let expired = refused(&served, served.upstream(false, of(&authority)));
    assert!(expired.contains("has expired"), "{expired}");
    let future = authority.server_with("ledger.example", &[], None, |params| {
        params.not_before = date_time_ymd(2090, 1, 1);
        params.not_after = date_time_ymd(2091, 1, 1);
    });
    let served = Served::tls(future, None);
    let early = refused(&served, served.upstream(false, of(&authority)));
    assert!(early.contains("not valid yet"), "{early}");
}

#[test]
fn an_upstream_that_does_not_speak_tls_gets_nothing_in_the_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let authority = Authority::new();
    let tls = Some(trusting(&authority, None));
    let gate = gate(Settings { tls, ..Settings::plain("app".into(), "127.0.0.1".into(), port) });
    let asking = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut came = vec![0; 4096];
        let count = stream.read(&mut came).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
        let mut rest = came[..count].to_vec();
        let _ = stream.read_to_end(&mut rest);
        rest
    });
    assert_eq!(gate.get("/public/secret", None).status, 502);
    let cause = gate.notes.causes.lock().unwrap()[0].clone();
    assert!(cause.contains("the TLS handshake failed"), "{cause}");
    assert!(!String::from_utf8_lossy(&asking.join().unwrap()).contains("secret"));
}

#[test]
fn the_time_to_connect_is_for_the_handshake_too() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = Authority::new();
    for http2 in [false, true] {
        let limits = Limits { connect: Duration::from_millis(200), drain: Duration::from_secs(3), ..Limits::default() };
        let settings = Settings {
            http2,
            tls: Some(trusting(&authority, None)),
            ..Settings::plain("app".into(), "127.0.0.1".into(), silent.local_addr().unwrap().port())
        };
        let gate = Setup { limits, ..Setup::default() }.start_with(settings);
        let started = Instant::now();
        assert_eq!(gate.get("/public", None).status, 504);
        assert!(started.elapsed() < Duration::from_secs(5));
        assert!(gate.notes.causes.lock().unwrap()[0].contains("no connection to 127.0.0.1"));
    }
}

#[test]
fn our_own_certificate_is_shown_where_one_is_wanted() {
    let (servers, clients) = (Authority::new(), Authority::new());
    for protocols in [&["http/1.1"][..], &["h2"]] {
        let http2 = protocols[0] == "h2";
        let config = servers.server_with("127.0.0.1", protocols, Some(&clients), |_| {});
        let served = Served::tls(config, Some(Http2::new(|call| call.agree())));
        let identity = Some(clients.client("gate", "gate.example"));
        let known = ClientTls { identity, ..trusting(&servers, None) };
        assert_eq!(gate(served.upstream(http2, Some(known))).get("/public", None).body, "ok");
        assert!(served.notes.lock().unwrap().shown.is_some());
        let before = served.requests();

        let stranger = Authority::new();
        for identity in [None, Some(stranger.client("gate", "gate.example"))] {
            let gate = gate(served.upstream(http2, Some(ClientTls { identity, ..trusting(&servers, None) })));
            assert_eq!(gate.get("/public", None).status, 502);
            let cause = gate.notes.causes.lock().unwrap()[0].clone();
            assert!(cause.contains(if http2 { "may want a certificate" } else { "the connection broke" }), "{cause}");
            assert_eq!(served.requests(), before);
        }
    }
}

#[test]
fn a_new_certificate_of_ours_is_shown_on_new_connections_and_a_broken_one_never() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let served = Served::tls(servers.server_with("127.0.0.1", &[], Some(&clients), |_| {}), None);
    let (cert, key) = clients.client("gate", "gate.example");
    let tls = ClientTls { identity: Some((cert.clone(), key)), ..trusting(&servers, None) };
    let gate = gate(served.upstream(false, Some(tls)));
    let files = gate.upstream_tls.clone().unwrap().reloaded();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (nudging, nudge) = channel(());
    runtime.spawn(files.clone().watch(nudge));
    // Each on a connection of its own.
    let shown = || {
        assert_eq!(gate.get("/public/close", None).body, "ok");
        served.notes.lock().unwrap().shown.clone().unwrap()
    };
    let first = shown();
    let config = files.current();
    clients.client("gate", "gate.example");
    nudging.send_replace(());
    eventually(|| !Arc::ptr_eq(&config, &files.current()));
    let second = shown();
    assert_ne!(first, second);
    let config = files.current();
    std::fs::write(&cert, "no certificate").unwrap();
    nudging.send_replace(());
    std::thread::sleep(Duration::from_millis(200));
    assert!(Arc::ptr_eq(&config, &files.current()));
    assert_eq!(shown(), second);
}

#[test]
fn the_protocol_is_the_configured_one_or_none() {
    let authority = Authority::new();
    let tls = || Some(trusting(&authority, None));
    for (protocols, http2) in [(&["http/1.1"][..], true), (&[], true), (&["h2"], false)] {
        let served = Served::tls(authority.server("127.0.0.1", protocols), Some(Http2::new(|call| call.agree())));
        let cause = refused(&served, served.upstream(http2, tls()));
        assert!(cause.contains("ALPN"), "{protocols:?}: {cause}");
    }
    let served = Served::tls(authority.server("127.0.0.1", &["http/1.1", "h2"]), Some(Http2::new(|call| call.agree())));
    assert_eq!(gate(served.upstream(true, tls())).get("/public", None).body, "ok");
    let head = served.last();
    assert_eq!(head.uri.to_string(), "https://api.example/public");
    assert_eq!(served.notes.lock().unwrap().sessions, [(None, Some("h2".to_owned()))]);
}

#[test]
fn an_upstream_behind_a_unix_socket_is_asked_for_the_clients_host() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::unix(&folder.path().join("app.sock"), None);
    let one = gate(served.upstream(false, None));
    for _ in 0..3 {
        assert_eq!(one.get("/public/x", None).body, "ok");
    }
    assert_eq!(served.connections(), 1);
    let text = served.notes.lock().unwrap().texts[0].clone();
    assert!(text.starts_with("GET /public/x HTTP/1.1\r\n") && text.contains("host: api.example\r\n"), "{text}");

    let served = Served::unix(&folder.path().join("h2.sock"), Some(Http2::new(|call| call.agree())));
    assert_eq!(gate(served.upstream(true, None)).get("/public/x", None).body, "ok");
    assert_eq!(served.last().uri.to_string(), "http://api.example/public/x");

    let nowhere = Settings {
        endpoint: stepgate::config::settings::Endpoint::Unix(folder.path().join("none")),
        ..served.upstream(false, None)
    };
    let gate = gate(nowhere);
    assert_eq!(gate.get("/public", None).status, 502);
    assert!(gate.notes.causes.lock().unwrap()[0].contains("none: No such file"), "{:?}", gate.notes.causes);
}
