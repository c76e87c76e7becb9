//! curl in every protocol: bodies of size both ways, refusals, HEAD, and client certificates.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::{Answer, Authority, Front, HOST, Said, Unusual, Upstream, run};

/// More than any buffer on the way.
const LARGE: usize = 20 << 20;

/// The ways to the gate: whether in TLS, what to tell curl, and the version that it must then speak.
const WAYS: [(bool, &[&str], &str); 8] = [
    (false, &["--http1.1"], "1.1"),
    (false, &["--http1.0"], "1"),
    (false, &["--http2-prior-knowledge"], "2"),
    // An `Upgrade: h2c` is not obeyed.
    (false, &["--http2"], "1.1"),
    (true, &["--http1.1", "--tls-max", "1.2"], "1.1"),
    (true, &["--no-alpn", "--tlsv1.3"], "1.1"),
    (true, &["--http2", "--tls-max", "1.2"], "2"),
    (true, &["--http2", "--tlsv1.3"], "2"),
];

struct Curl<'f> {
    front: &'f Front,
    folder: TempDir,
}

impl<'f> Curl<'f> {
    fn of(front: &'f Front) -> Self {
        Self { front, folder: TempDir::new().unwrap() }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Asks; what comes is in the file `got`, and what is said is the version and the status.
    fn ask(&self, tls: bool, path: &str, arguments: &[&str]) -> Said {
        let Front { gate, tls: port, .. } = self.front;
        let url = if tls { self.front.secure(path) } else { self.front.clear(path) };
        let resolved = [gate.port, *port].map(|port| format!("{HOST}:{port}:127.0.0.1"));
        let (ca, got) = (self.front.ca(), self.file("got"));
        drop(fs::remove_file(&got));
        let mut all = vec!["-sS", "--max-time", "30", "-o", &got, "-w", "%{http_version} %{http_code}"];
        all.extend(["--resolve", &resolved[0], "--resolve", &resolved[1], "--cacert", ca.to_str().unwrap()]);
        all.extend(arguments);
        all.push(&url);
        run("curl", &all)
    }

    fn got(&self) -> Vec<u8> {
        fs::read(self.file("got")).unwrap_or_default()
    }
}

#[track_caller]
fn assert_said(said: &Said, version: &str, status: u16, way: impl std::fmt::Debug) {
    assert_eq!((said.code, said.out.as_str()), (Some(0), &*format!("{version} {status}")), "{way:?}: {said:?}");
}

#[test]
fn every_protocol_on_its_port_and_tls_in_both_versions() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream);
    let (curl, authorization) = (Curl::of(&front), front.authorization());
    for (tls, arguments, version) in WAYS {
        let said = curl.ask(tls, "/any/1", &[arguments, &["-H", &authorization]].concat());
        assert_said(&said, version, 200, arguments);
        assert_eq!(curl.got(), b"ok");
        let scheme = if tls { "https" } else { "http" };
        assert_eq!(upstream.last().header("x-forwarded-proto"), Some(scheme));
        assert_eq!(upstream.last().header("x-stepgate-subject"), Some("ada"));
        let said = curl.ask(tls, "/any/1", arguments);
        assert_said(&said, version, 401, arguments);
    }
    assert_eq!(upstream.count(), WAYS.len());
}

#[test]
fn versions_of_tls_that_are_too_old_and_certificates_of_strangers_are_no_way_in() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream);
    let curl = Curl::of(&front);
    // The client is willing to go that low, so that it is the gate that refuses.
    let said = curl.ask(true, "/public/1", &["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "ALL@SECLEVEL=0"]);
    assert_eq!(said.code, Some(35), "{said:?}");
    assert!(said.err.contains("alert"), "{said:?}");
    let stranger = Authority::new("Stranger");
    let said = curl.ask(true, "/public/1", &["--cacert", stranger.ca().to_str().unwrap()]);
    assert_eq!(said.code, Some(60), "{said:?}");
    let said = curl.ask(true, "/public/1", &["--cacert", front.ca().to_str().unwrap()]);
    assert_said(&said, "2", 200, "as it should be");
    assert_eq!(upstream.count(), 1);
}

#[test]
fn client_certificates_are_required_or_optional_and_strangers_never_pass() {
    for required in [true, false] {
        let (upstream, clients, stranger) = (Upstream::start(), Authority::new("Clients"), Authority::new("Stranger"));
        let tls = format!("    client_auth: {{ ca: {}, required: {required} }}", clients.ca().display());
        let front = Front::unusual(&upstream, Unusual { tls, ..Unusual::default() });
        let curl = Curl::of(&front);
        let shown = |(cert, key): (std::path::PathBuf, std::path::PathBuf)| {
            ["--cert".to_owned(), text(&cert), "--key".to_owned(), text(&key)]
        };
        let (good, bad) = (shown(clients.client("good")), shown(stranger.client("bad")));
        for version in ["--http1.1", "--http2"] {
            for tls in ["1.2", "1.3"] {
                let ask = |certificate: &[String]| {
                    let mut arguments = vec![version, "--tls-max", tls];
                    arguments.extend(certificate.iter().map(String::as_str));
                    let before = upstream.count();
                    let said = curl.ask(true, "/public/1", &arguments);
                    let passed = said.code == Some(0) && said.out.ends_with(" 200");
                    assert_eq!(upstream.count() - before, usize::from(passed), "{said:?}");
                    // 35 and 98: the handshake failed. 56: in TLS 1.3 the client is told after its own part of it was done.
                    let refused = matches!(said.code, Some(35 | 56 | 98)) && said.err.contains("alert");
                    assert!(passed || refused, "required: {required}, {version}, TLS {tls}: {said:?}");
                    passed
                };
                let passed = [ask(&good), ask(&[]), ask(&bad)];
                assert_eq!(passed, [true, !required, false], "required: {required}, {version}, TLS {tls}");
            }
        }
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Lines that are all different, so that one that is lost, doubled or misplaced is seen.
fn large() -> String {
    let mut text: String = (0..LARGE / 16).map(|number| format!("line {number:010}\n")).collect();
    text.truncate(LARGE);
    text
}

#[test]
fn large_bodies_pass_both_ways_byte_for_byte() {
    let body = large();
    let answer = Answer::status(200, "", &body);
    let upstream = Upstream::that(move |seen| if seen.body.is_empty() { answer.clone() } else { Answer::ok() });
    let front = Front::before(&upstream);
    let curl = Curl::of(&front);
    let file = curl.file("sent");
    fs::write(&file, &body).unwrap();
    for (tls, arguments, version) in [WAYS[0], WAYS[2], WAYS[5], WAYS[7]] {
        let said = curl.ask(tls, "/public/1", &[arguments, &["-T", &file]].concat());
        assert_said(&said, version, 200, arguments);
        // Not by `assert_eq`, which would print both.
        assert!(upstream.last().body == body, "the upload is damaged: {arguments:?}");
        let said = curl.ask(tls, "/public/1", arguments);
        assert_said(&said, version, 200, arguments);
        assert!(curl.got() == body.as_bytes(), "the download is damaged: {arguments:?}");
    }
}

#[test]
fn a_refusal_arrives_although_the_client_has_much_to_send() {
    let (upstream, body) = (Upstream::start(), large());
    let front = Front::before(&upstream);
    let curl = Curl::of(&front);
    let file = curl.file("sent");
    fs::write(&file, &body).unwrap();
    for (tls, arguments, version) in WAYS {
        // With `Expect: 100-continue`, as curl does it by itself, and without.
        for expect in [&[][..], &["-H", "Expect:"]] {
            let said = curl.ask(tls, "/any/1", &[arguments, &["-T", &file], expect].concat());
            assert_said(&said, version, 401, (arguments, expect));
            assert!(String::from_utf8_lossy(&curl.got()).contains("token_missing"), "{arguments:?}");
        }
    }
    assert_eq!(upstream.begun(), 0);
}

#[test]
fn head_gets_the_length_and_no_body() {
    let upstream = Upstream::that(|seen| {
        let head = seen.line.starts_with("HEAD ");
        Answer::raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", if head { "" } else { "hello" }))
    });
    let front = Front::before(&upstream);
    let curl = Curl::of(&front);
    for (tls, arguments, version) in WAYS {
        // `-I` writes the head where the body would be.
        let said = curl.ask(tls, "/public/1", &[arguments, &["-I"]].concat());
        assert_said(&said, version, 200, arguments);
        let head = String::from_utf8(curl.got()).unwrap().to_lowercase();
        assert!(head.contains("content-length: 5\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        let said = curl.ask(tls, "/any/1", &[arguments, &["-I"]].concat());
        assert_said(&said, version, 401, arguments);
        let said = curl.ask(tls, "/public/1", arguments);
        assert_said(&said, version, 200, arguments);
        assert_eq!(curl.got(), b"hello");
    }
}
