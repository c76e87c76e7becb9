//! WebSocket between clients and servers that others wrote: the libraries `websockets`, `h2` with `wsproto`, and Hypercorn.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Authority, Front, HOST, PYTHON, Request, alone, eventually, free_port, run, terminate};

fn peer(name: &str) -> String {
    format!("{}/tests/peers/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A program that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The server of `websocket_server.py`.
struct Server {
    _process: Ended,
    port: u16,
    lines: BufReader<std::process::ChildStdout>,
}

impl Server {
    fn start(arguments: &[String]) -> Self {
        let mut process = Command::new(PYTHON)
            .arg(peer("websocket_server.py"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("`make tools` installs Python's peers");
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut port = String::new();
        lines.read_line(&mut port).unwrap();
        Self { _process: Ended(process), port: port.trim().parse().unwrap(), lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

fn bearer(front: &Front) -> String {
    front.authorization().trim_start_matches("Authorization: ").to_owned()
}

/// Runs a client to its end, which must be a good one.
fn client(name: &str, front: &Front, port: u16, ca: Option<&str>) {
    let (port, bearer) = (port.to_string(), bearer(front));
    let script = peer(name);
    let mut arguments = vec![script.as_str(), HOST, &port, &bearer];
    arguments.extend(ca);
    let said = run(PYTHON, &arguments);
    assert_eq!((said.code, said.out.trim()), (Some(0), "all of it"), "{said:?}\n{}", front.gate.log());
}

/// The most memory that the gate ever held, in KiB.
fn peak(front: &Front) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", front.gate.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn whatever_websocket_has_goes_both_ways_in_the_clear_and_in_tls() {
    let mut server = Server::start(&[]);
    let front = Front::to(&format!("{{ app: {{ url: \"http://127.0.0.1:{}\" }} }}", server.port));
    let before = front.gate.memory();
    client("websocket_client.py", &front, front.gate.port, None);
    let more = peak(&front).saturating_sub(before);
    assert!(more < 12 << 10, "{more} KiB more for messages of 16 MiB");
    for _ in 0..2 {
        assert_eq!(server.line(), "closed 4242 that is all");
    }
    client("websocket_client.py", &front, front.tls, front.ca().to_str());
    let authority = Authority::new("Servers");
    let (cert, key) = authority.server("chat");
    let server = Server::start(&[cert.display().to_string(), key.display().to_string()]);
    let (port, ca) = (server.port, authority.ca());
    let front =
        Front::to(&format!("{{ app: {{ url: \"https://localhost:{port}\", tls: {{ ca: {} }} }} }}", ca.display()));
    client("websocket_client.py", &front, front.tls, front.ca().to_str());
}

#[test]
fn a_websocket_comes_over_http_2_too() {
    let mut server = Server::start(&[]);
    let front = Front::to(&format!("{{ app: {{ url: \"http://127.0.0.1:{}\" }} }}", server.port));
    client("websocket_http2_client.py", &front, front.tls, front.ca().to_str());
    assert_eq!(server.line(), "closed 4242 that is all");
    let line = front.gate.audited("the decision is in the audit log", |line| line["decision"] == "allow");
    assert_eq!((&line["method"], &line["path"], &line["route"]), (&"GET".into(), &"/any/chat".into(), &"any".into()));
}

#[test]
fn an_upstream_that_speaks_http_2_gets_its_websockets_there() {
    let (authority, port) = (Authority::new("Servers"), free_port());
    let (cert, key) = authority.server("chat");
    let [cert, key] = [cert, key].map(|file| file.display().to_string());
    let hypercorn = Command::new(PYTHON).args([&peer("websocket_asgi.py"), &port.to_string(), &cert, &key]).spawn();
    let _hypercorn = Ended(hypercorn.expect("`make tools` installs Python's peers"));
    let ca = authority.ca();
    let upstream =
        format!("{{ app: {{ url: \"https://localhost:{port}\", tls: {{ ca: {} }}, http2: true }} }}", ca.display());
    let front = Front::to(&upstream);
    eventually("hypercorn answers", Duration::from_secs(20), || {
        front.gate.send(&Request::get("/public/1")).body == "HTTP/2"
    });
    client("websocket_http2_client.py", &front, front.tls, front.ca().to_str());
    let made = front.gate.metric("stepgate_upstream_connections_total{upstream=\"app\"}");
    assert!(made < 2.5, "on the connections that there were: {made}");
}

/// The client of `websocket_many.py`, with all its connections open.
struct Many(Child, BufReader<std::process::ChildStdout>);

impl Many {
    fn open(port: u16, count: usize, what: &str) -> Self {
        let mut process = Command::new("timeout")
            .args(["120", PYTHON, &peer("websocket_many.py"), &port.to_string(), &count.to_string(), what])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "open");
        Self(process, lines)
    }

    /// Has it go on, and gives what it says to its end.
    fn go_on(mut self) -> String {
        self.0.stdin.take().unwrap().write_all(b"\n").unwrap();
        let mut said = String::new();
        self.1.read_to_string(&mut said).unwrap();
        assert!(self.0.wait().unwrap().success(), "{said}");
        said
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a figure that people want to see")]
fn five_hundred_open_websockets_cost_little_each_and_nothing_once_they_are_gone() {
    const COUNT: usize = 500;
    let _alone = alone();
    let server = Server::start(&[]);
    let front = Front::to(&format!("{{ app: {{ url: \"http://127.0.0.1:{}\" }} }}", server.port));
    let open = || front.gate.metric("stepgate_tunnels_open");
    // What the first ones have the process ask for it keeps.
    assert_eq!(Many::open(front.gate.port, 50, "talk").go_on().trim(), "heard");
    eventually("the first ones are gone", Duration::from_secs(5), || open() == 0.0);
    let before = front.gate.memory();
    let many = Many::open(front.gate.port, COUNT, "talk");
    assert!((open() - 500.0).abs() < 0.1);
    let silent = front.gate.memory();
    assert_eq!(many.go_on().trim(), "heard");
    let spoken = front.gate.memory();
    eventually("all are gone", Duration::from_secs(10), || open() == 0.0);
    let each = |memory: u64| memory.saturating_sub(before) * 1024 / 500;
    eprintln!(
        "{COUNT} WebSockets: {before} KiB before, {silent} KiB open ({} B each), {spoken} KiB after talking",
        each(silent)
    );
    assert!(each(silent) < 32 << 10, "{} bytes each", each(silent));
    assert!(each(spoken) < 32 << 10, "{} bytes each", each(spoken));
}

#[test]
fn at_sigterm_every_websocket_is_told_1001_and_the_process_ends() {
    const COUNT: usize = 50;
    let mut server = Server::start(&[]);
    let mut front = Front::to(&format!("{{ app: {{ url: \"http://127.0.0.1:{}\" }} }}", server.port));
    let many = Many::open(front.gate.port, COUNT, "end");
    terminate(&front.gate);
    let started = Instant::now();
    let told = thread::spawn(move || many.go_on());
    assert!(front.gate.ends(Duration::from_secs(10)).success());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let told = told.join().unwrap();
    assert_eq!(told.lines().filter(|line| *line == "1001").count(), COUNT, "{told}");
    for _ in 0..COUNT {
        assert_eq!(server.line(), "closed 1001 going away");
    }
}
