//! gRPC by Google's own library on both sides: calls of all four kinds, what they carry, and how they are refused.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::{Authority, Front, PYTHON, Said, Token, Unusual, free_port};

const ROUTES: &str = r#"
  - { name: call, match: { path: "/peer.Peer/{method}", methods: [POST] }, require: authenticated, upstream: app }
  - name: pay
    match: { path: /peer.Peer/Pay, methods: [POST] }
    require: { level: multi-factor, max_age: 5m }
    upstream: app
  - { name: pay-chat, match: { path: /peer.Peer/PayChat, methods: [POST] }, require: { level: multi-factor }, upstream: app }
  - { name: gone, match: { path: "/peer.Gone/**" }, require: authenticated, upstream: gone }
"#;

/// A script among the peers.
fn script(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "peers", name].iter().collect()
}

/// A server, and the port that it chose.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(arguments: &[PathBuf]) -> Self {
        let mut process = Command::new(PYTHON)
            .arg(script("grpc_server.py"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python did not start; `make tools` installs it");
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { port: line.trim().parse().unwrap(), process }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A gate before an upstream of this URL and these keys, and one that is not there.
fn front(url: &str, keys: &str) -> Front {
    let gone = free_port();
    let upstreams = format!("{{ app: {{ url: \"{url}\"{keys} }}, gone: {{ url: \"h2c://127.0.0.1:{gone}\" }} }}");
    let nowhere = crate::support::Upstream::start();
    Front::unusual(&nowhere, Unusual { routes: ROUTES.to_owned(), upstreams: Some(upstreams), ..Unusual::default() })
}

/// Has a client make every call; panics with what it found.
#[track_caller]
fn call(front: &Front, address: &str, ca: Option<PathBuf>) {
    let output = Command::new("timeout")
        .args(["90", PYTHON])
        .arg(script("grpc_client.py"))
        .arg(address)
        .args(ca)
        .env("WEAK", Token::access().weak().sign(&front.bank))
        .env("STRONG", Token::access().sign(&front.bank))
        .output()
        .unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    let said = Said { code: output.status.code(), out, err };
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
    assert_eq!(said.out.lines().count(), 13, "{}", said.out);
}

#[test]
fn calls_of_all_kinds_pass_in_the_clear_and_are_refused_in_grpcs_own_words() {
    let server = Server::start(&[]);
    let front = front(&format!("h2c://127.0.0.1:{}", server.port), "");
    call(&front, &format!("127.0.0.1:{}", front.gate.port), None);
    // What is recorded is what any other client would have got.
    let refused =
        front.gate.audited("the refused payment", |line| line["route"] == "pay" && line["decision"] == "deny");
    assert_eq!((&refused["status"], &refused["reason"]), (&401.into(), &"level_too_low".into()));
    let gone = front.gate.audited("the failure", |line| line["upstream"] == "gone");
    assert_eq!(gone["status"], 502);
}

#[test]
fn calls_of_all_kinds_pass_in_tls_on_both_sides() {
    let authority = Authority::new("Upstream");
    let (cert, key) = authority.server("grpc");
    let server = Server::start(&[cert, key]);
    let keys = format!(", http2: true, tls: {{ ca: {} }}", authority.ca().display());
    let front = front(&format!("https://127.0.0.1:{}", server.port), &keys);
    call(&front, &format!("127.0.0.1:{}", front.tls), Some(front.ca()));
}
