//! What lasts, between clients and servers that others wrote (Google's gRPC, Python's `websockets`), ends with its token, and
//! each of them is told in its own words.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Alg, Front, Key, PYTHON, Request, Token, Unusual, Upstream, eventually, jwks, now};

const ROUTES: &str = r#"
  - { name: calls, match: { path: "/peer.Streams/{method}", methods: [POST] }, require: authenticated, upstream: grpc }
  - { name: socket, match: { path: /socket }, require: authenticated, upstream: socket }
"#;
/// For how many seconds a token is still believed that expired before, by the leeway that clocks have. Whole ones, as tokens
/// count, so up to one less.
const LEFT: i64 = 6;

fn script(name: &str) -> String {
    format!("{}/tests/peers/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The server of `streams_server.py`.
struct Server {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Server {
    fn start() -> (Self, String, String) {
        let mut process = Command::new(PYTHON)
            .arg(script("streams_server.py"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`make tools` installs Python's peers");
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut ports = String::new();
        lines.read_line(&mut ports).unwrap();
        let (grpc, socket) = ports.trim().split_once(' ').expect("the server did not start");
        let (grpc, socket) = (grpc.to_owned(), socket.to_owned());
        (Self { process, lines }, grpc, socket)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What was said of a stream.
#[track_caller]
fn of<'l>(lines: &'l [Value], stream: &str) -> &'l Value {
    lines.iter().find(|line| line["stream"] == stream).unwrap_or_else(|| panic!("nothing of {stream} in {lines:?}"))
}

/// A gate before those servers.
fn front(grpc: &str, socket: &str) -> Front {
    let upstreams =
        format!("{{ grpc: {{ url: \"h2c://127.0.0.1:{grpc}\" }}, socket: {{ url: \"http://127.0.0.1:{socket}\" }} }}");
    let nowhere = Upstream::start();
    Front::unusual(&nowhere, Unusual { routes: ROUTES.to_owned(), upstreams: Some(upstreams), ..Unusual::default() })
}

/// The clients, until what they have begun was ended.
struct Clients(Child);

impl Clients {
    fn start(front: &Front, token: &str) -> Self {
        let mut command = Command::new("timeout");
        command.args(["60", PYTHON, &script("streams_client.py"), &format!("127.0.0.1:{}", front.gate.port)]);
        Self(command.env("TOKEN", token).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// What they say of how it ended.
    #[track_caller]
    fn said(self) -> Vec<Value> {
        let output = self.0.wait_with_output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// That each client was told, in the words of its protocol.
#[track_caller]
fn told(said: &[Value], why: &str) {
    let (chat, collect, socket) = (of(said, "chat"), of(said, "collect"), of(said, "websocket"));
    assert_eq!((&chat["code"], &chat["details"]), (&"UNAUTHENTICATED".into(), &why.into()), "{chat}");
    assert_eq!(collect["code"], "UNAUTHENTICATED", "{collect}");
    assert_eq!((&socket["code"], &socket["reason"]), (&1008.into(), &why.into()), "{socket}");
    assert!(chat["answers"].as_u64() > Some(0) && socket["echoes"].as_u64() > Some(0), "{said:?}");
}

#[test]
fn what_lasts_ends_with_its_token_in_the_words_of_its_protocol() {
    let (mut server, grpc, socket) = Server::start();
    let front = front(&grpc, &socket);
    let token = Token::access().claim("exp", now() - 30 + LEFT).sign(&front.bank);
    let said = Clients::start(&front, &token).said();
    told(&said, "token expired");
    for stream in &said {
        let after = stream["after"].as_f64().unwrap();
        assert!((1.0..15.0).contains(&after), "{stream}");
    }
    let mut ended = Vec::new();
    for _ in 0..3 {
        let mut line = String::new();
        server.lines.read_line(&mut line).unwrap();
        ended.push(serde_json::from_str::<Value>(&line).unwrap());
    }
    assert_eq!(of(&ended, "chat")["whole"], false, "{ended:?}");
    assert_eq!(of(&ended, "collect")["whole"], false, "{ended:?}");
    assert_eq!(of(&ended, "websocket")["code"], 1008, "{ended:?}");
    for route in ["calls", "socket"] {
        let line =
            front.gate.audited("the end of a stream", |line| line["ended"] == "expired" && line["route"] == route);
        assert!(line["seconds"].as_f64().unwrap() > 1.0, "{line}");
        let id = line["id"].clone();
        let decision = front.gate.audited("its decision", |line| line["id"] == id && line["decision"] == "allow");
        assert_eq!(decision["route"], route);
    }
    assert!(front.gate.metric("stepgate_streams_ended_total{reason=\"expired\"}") > 2.9);
}

#[test]
fn a_key_that_is_believed_no_more_ends_what_stands_on_it_when_another_policy_comes_at_the_latest() {
    let (_server, grpc, socket) = Server::start();
    let front = front(&grpc, &socket);
    let token = Token::access().sign(&front.bank);
    let clients = Clients::start(&front, &token);
    let both = || front.gate.audit().iter().filter(|line| line["decision"] == "allow").count() == 3;
    eventually("all three are open", Duration::from_secs(10), both);
    std::thread::sleep(Duration::from_secs(1));
    std::fs::write(front.gate.path("bank.json"), jwks(&[&Key::new(Alg::Es256, "key-2")])).unwrap();
    let refused = || front.gate.send(&Request::get("/socket").bearer(&token)).status == 401;
    eventually("the key is not believed any more", Duration::from_secs(10), refused);
    front.gate.reload(&format!("{}# the same in other words\n", Front::policy(ROUTES)));
    told(&clients.said(), "no longer allowed");
    let line = front.gate.audited("the end of a stream", |line| line["ended"] == "key_unknown");
    assert!(line["seconds"].as_f64().unwrap() > 1.0, "{line}");
}
