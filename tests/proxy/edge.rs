//! Whom the gate believes about where a request comes from: `trusted_peers`, the forwarding fields, the PROXY protocol.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use stepgate::config::settings::Limits;

use super::client::get;
use super::gate::{Running1, Setup};
use super::upstream::{Upstream, eventually};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn behind(trusted: &[&'static str], upstream: &Upstream) -> Running1 {
    Setup { trusted: trusted.to_vec(), ..Setup::default() }.start(upstream.address)
}

/// A gate that wants the PROXY protocol, from loopback unless told otherwise.
fn proxied(trusted: &[&'static str], upstream: &Upstream) -> Running1 {
    let limits = Limits { head_read: Duration::from_millis(600), drain: Duration::from_secs(3), ..Limits::default() };
    Setup { trusted: trusted.to_vec(), proxy_protocol: true, limits, ..Setup::default() }.start(upstream.address)
}

const LINE: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 40000 8443\r\n";

fn version2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, rest].concat()
}

fn ask_with(fields: &str) -> String {
    format!("GET /accounts HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer low\r\n{fields}\r\n")
}

#[test]
fn t16_a_stranger_is_believed_nothing_about_where_it_comes_from() {
    for trusted in [&[][..], &["10.0.0.0/8", "::1/128"]] {
        let upstream = Upstream::plain();
        let gate = behind(trusted, &upstream);
        let forged = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: forged\r\nX-Forwarded-Port: 1\r\n\
            Forwarded: for=6.6.6.6;proto=https\r\nX-Real-IP: 6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6\r\n";
        assert_eq!(gate.ask(ask_with(forged)).status, 200);
        let seen = upstream.only();
        assert!(!seen.head.contains("6.6.6.6") && !seen.head.contains("forged"), "{}", seen.head);
        assert_eq!((seen.field("x-forwarded-for"), seen.field("x-real-ip")), (Some("127.0.0.1"), Some("127.0.0.1")));
        assert_eq!(
            (seen.field("x-forwarded-proto"), seen.field("forwarded")),
            (Some("http"), Some("for=127.0.0.1;proto=http"))
        );
        assert_eq!(gate.decided()[0].peer, ip("127.0.0.1"));
        assert_eq!(*gate.notes.asked_for.lock().unwrap(), [ip("127.0.0.1")]);
    }
}

#[test]
fn a_named_peer_is_believed_and_what_is_believed_is_told_and_recorded() {
    let upstream = Upstream::plain();
    let gate = behind(&["127.0.0.0/8", "10.0.0.0/8"], &upstream);
    let fields = "X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\nX-Forwarded-For: [2001:db8::1]:99, 10.1.1.1\r\nX-Forwarded-Proto: https\r\n\
        X-Forwarded-Host: shop.example\r\nForwarded: for=7.7.7.7;host=forged\r\nX-Real-IP: 8.8.8.8\r\nCF-Connecting-IP: 9.9.9.9\r\n\
        X-Forwarded-User: root\r\nX-Forwarded-Client-Cert: forged\r\nX_Forwarded_For: 8.8.8.8\r\n";
    assert_eq!(gate.ask(ask_with(fields)).status, 200);
    let seen = upstream.only();
    for (name, value) in [
        ("x-forwarded-for", "6.6.6.6, 192.0.2.7, [2001:db8::1]:99, 10.1.1.1, 127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-port", "443"),
        ("x-real-ip", "2001:db8::1"),
        ("forwarded", "for=\"[2001:db8::1]\";proto=https, for=127.0.0.1;proto=http"),
        ("host", "api.example"),
    ] {
        assert_eq!(seen.field(name), Some(value), "{name}");
    }
    for never in ["7.7.7.7", "8.8.8.8", "9.9.9.9", "root", "forged"] {
        assert!(!seen.head.contains(never), "{never} arrived: {}", seen.head);
    }
    let noted = gate.decided().pop().unwrap();
    assert_eq!((noted.peer, noted.host.as_str()), (ip("2001:db8::1"), "api.example"));
    assert_eq!(*gate.notes.asked_for.lock().unwrap(), [ip("2001:db8::1")]);
}

#[test]
fn requests_of_different_clients_on_one_connection_are_told_apart() {
    let upstream = Upstream::plain();
    let gate = behind(&["127.0.0.1/32"], &upstream);
    let mut edge = gate.client();
    for client in ["192.0.2.1", "192.0.2.2"] {
        assert_eq!(edge.ask(ask_with(&format!("X-Forwarded-For: {client}\r\n"))).status, 200);
        assert_eq!(upstream.seen().pop().unwrap().field("x-real-ip"), Some(client));
    }
    assert_eq!(edge.ask(ask_with("")).status, 200);
    assert_eq!(upstream.seen().pop().unwrap().field("x-real-ip"), Some("127.0.0.1"), "nothing is left of the last one");
    let peers: Vec<IpAddr> = gate.decided().iter().map(|noted| noted.peer).collect();
    assert_eq!(peers, [ip("192.0.2.1"), ip("192.0.2.2"), ip("127.0.0.1")]);
}

#[test]
fn forwarded_alone_is_believed_from_a_named_peer() {
    let upstream = Upstream::plain();
    let gate = behind(&["127.0.0.1/32"], &upstream);
    gate.ask(ask_with("Forwarded: for=6.6.6.6, for=\"[2001:db8::7]:5\";proto=https;host=\"shop.example:8443\"\r\n"));
    let seen = upstream.only();
    assert_eq!(seen.field("x-forwarded-for"), Some("2001:db8::7, 127.0.0.1"));
    assert_eq!((seen.field("x-forwarded-proto"), seen.field("x-forwarded-port")), (Some("https"), Some("8443")));
    assert_eq!(seen.field("x-forwarded-host"), Some("shop.example:8443"));
    assert!(seen.field("forwarded").unwrap().ends_with("host=\"shop.example:8443\", for=127.0.0.1;proto=http"));
    assert_eq!(gate.decided()[0].peer, ip("2001:db8::7"));
}

#[test]
fn connection_cannot_take_away_what_the_edge_said() {
    let upstream = Upstream::plain();
    let gate = behind(&["127.0.0.1/32"], &upstream);
    gate.ask(ask_with(
        "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=6.6.6.6\r\nConnection: x-forwarded-for, x-real-ip\r\n",
    ));
    let seen = upstream.only();
    assert_eq!(
        (seen.field("x-real-ip"), seen.field("x-forwarded-for")),
        (Some("192.0.2.1"), Some("192.0.2.1, 127.0.0.1"))
    );
}

#[test]
fn the_host_that_is_routed_by_is_never_the_one_that_was_forwarded() {
    let upstream = Upstream::plain();
    let gate = behind(&["127.0.0.1/32"], &upstream);
    assert_eq!(
        gate.ask("GET /public HTTP/1.1\r\nX-Forwarded-Host: api.example\r\n\r\n").status,
        400,
        "there is no `Host`"
    );
    assert_eq!(gate.ask("GET /public HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: b\r\n\r\n").status, 200);
    assert_eq!(gate.decided()[1].host, "a");
}

#[test]
fn the_scheme_that_is_believed_is_the_one_of_the_own_origin() {
    let upstream = Upstream::plain();
    let ask = |origin: &str| {
        format!(
            "POST /app HTTP/1.1\r\nHost: app.example\r\nCookie: session=low\r\nOrigin: {origin}\r\nX-Forwarded-Proto: https\r\n\
             Content-Length: 0\r\n\r\n"
        )
    };
    let (trusting, wary) = (behind(&["127.0.0.1/32"], &upstream), behind(&[], &upstream));
    for (gate, origin, status) in [
        (&trusting, "https://app.example", 200),
        (&trusting, "http://app.example", 403),
        (&wary, "https://app.example", 403),
        (&wary, "http://app.example", 200),
    ] {
        assert_eq!(gate.ask(ask(origin)).status, status, "{origin}");
    }
}

#[test]
fn a_proxy_header_tells_both_ends_and_the_request_follows_at_once() {
    let tcp6: Vec<u8> = [[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], [0x30; 16]].concat();
    for (header, client, port) in [
        (LINE.as_bytes().to_vec(), "192.0.2.7", "8443"),
        (b"PROXY TCP6 2001:db8::9 2001:db8::1 1 443\r\n".to_vec(), "2001:db8::9", "443"),
        (version2(0x21, 0x11, &[192, 0, 2, 8, 198, 51, 100, 1, 0x9c, 0x40, 1, 0xbb]), "192.0.2.8", "443"),
        (version2(0x21, 0x21, &[&tcp6[..], &[0, 1, 0, 2, 4, 0, 1, 0]].concat()), "2001:db8::9", "2"),
    ] {
        let upstream = Upstream::plain();
        let gate = proxied(&["127.0.0.1/32"], &upstream);
        let forged = ask_with("X-Forwarded-For: 6.6.6.6\r\n");
        let mut client_ = gate.client();
        // In one segment, then again on the same connection: the header holds for all of it.
        assert_eq!(client_.ask([&header[..], forged.as_bytes()].concat()).status, 200);
        assert_eq!(client_.ask(&forged).status, 200);
        for seen in upstream.seen() {
            assert_eq!((seen.field("x-forwarded-for"), seen.field("x-real-ip")), (Some(client), Some(client)));
            assert_eq!(seen.field("x-forwarded-port"), Some(port));
        }
        assert_eq!(upstream.seen().len(), 2);
        assert!(gate.decided().iter().all(|noted| noted.peer == ip(client)));
        assert_eq!(*gate.notes.asked_for.lock().unwrap(), [ip(client); 2]);
    }
}

#[test]
fn a_proxy_header_without_addresses_leaves_the_connection_its_own() {
    for header in
        [b"PROXY UNKNOWN\r\n".to_vec(), version2(0x20, 0, &[]), version2(0x21, 0, &[]), version2(0x21, 0x31, &[0; 216])]
    {
        let upstream = Upstream::plain();
        let gate = proxied(&["127.0.0.1/32"], &upstream);
        assert_eq!(gate.ask([&header[..], ask_with("").as_bytes()].concat()).status, 200);
        assert_eq!(upstream.only().field("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(upstream.only().field("x-forwarded-port"), Some(gate.address.port().to_string().as_str()));
    }
}

#[test]
fn behind_a_proxy_header_the_fields_are_believed_if_its_source_is_named_too() {
    let upstream = Upstream::plain();
    let gate = proxied(&["127.0.0.1/32", "192.0.2.0/24"], &upstream);
    assert_eq!(gate.ask(format!("{LINE}{}", ask_with("X-Forwarded-For: 203.0.113.1\r\n"))).status, 200);
    let seen = upstream.only();
    assert_eq!(
        (seen.field("x-real-ip"), seen.field("x-forwarded-for")),
        (Some("203.0.113.1"), Some("203.0.113.1, 192.0.2.7"))
    );
}

#[test]
fn a_proxy_header_may_come_a_byte_at_a_time() {
    let header2 = version2(0x21, 0x11, &[192, 0, 2, 7, 198, 51, 100, 1, 0x9c, 0x40, 0x20, 0xfb]);
    for header in [LINE.as_bytes(), &header2[..]] {
        let upstream = Upstream::plain();
        let gate = proxied(&["127.0.0.1/32"], &upstream);
        let mut client = gate.client();
        for byte in header {
            client.send([*byte]);
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(client.ask(get("/public", None)).status, 200);
        assert_eq!(upstream.only().field("x-forwarded-for"), Some("192.0.2.7"));
    }
}

#[test]
fn a_connection_without_a_proper_proxy_header_is_closed_without_a_word() {
    let upstream = Upstream::plain();
    let gate = proxied(&["127.0.0.1/32"], &upstream);
    let address = [192, 0, 2, 7, 198, 51, 100, 1, 0x9c, 0x40, 1, 0xbb];
    let bad = [
        b"".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 0443\r\n".to_vec(),
        format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).into_bytes(),
        version2(0x31, 0x11, &address),
        version2(0x22, 0x11, &address),
        version2(0x21, 0x12, &address),
        version2(0x21, 0x11, &address[..8]),
        version2(0x20, 0x00, &[0; 4097]),
    ];
    for (number, header) in bad.iter().enumerate() {
        let answer = gate.client().send([&header[..], get("/public", None).as_bytes()].concat()).rest();
        assert_eq!(answer, "", "{header:?}");
        eventually(|| gate.notes.unproxied.lock().unwrap().len() == number + 1);
    }
    assert!(gate.notes.unproxied.lock().unwrap().iter().all(|(peer, why)| *peer == ip("127.0.0.1") && !why.is_empty()));
    assert!(upstream.seen().is_empty() && gate.decided().is_empty());
}

#[test]
fn a_proxy_header_from_a_stranger_is_not_read() {
    let upstream = Upstream::plain();
    let gate = proxied(&["10.0.0.0/8"], &upstream);
    assert_eq!(gate.client().send(format!("{LINE}{}", get("/public", None))).rest(), "");
    eventually(|| gate.notes.unproxied.lock().unwrap().len() == 1);
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_proxy_header_that_does_not_come_in_time_is_not_waited_for_and_one_that_was_never_meant_is_no_trouble() {
    let upstream = Upstream::plain();
    let gate = proxied(&["127.0.0.1/32"], &upstream);
    drop(gate.client());
    let started = Instant::now();
    let mut slow = gate.client();
    slow.send(&LINE[..20]);
    assert!(slow.is_closed());
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(600) && took < Duration::from_millis(1500), "{took:?}");
    let unproxied = gate.notes.unproxied.lock().unwrap().clone();
    assert_eq!(unproxied.len(), 1, "whoever looks whether the port is open is not counted: {unproxied:?}");
}

#[test]
fn a_drain_does_not_wait_for_a_proxy_header() {
    let upstream = Upstream::plain();
    let limits = Limits { drain: Duration::from_secs(8), ..Limits::default() };
    let setup = Setup { trusted: vec!["127.0.0.1/32"], proxy_protocol: true, limits, ..Setup::default() };
    let gate = setup.start(upstream.address);
    let mut silent = gate.client();
    eventually(|| *gate.notes.open.lock().unwrap() == 1);
    thread::sleep(Duration::from_millis(50));
    let started = Instant::now();
    gate.join();
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(silent.is_closed());
}
