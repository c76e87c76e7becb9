//! What the gate holds in memory, however large bodies are, however many clients idle, and however slow both sides are; and
//! that nobody else waits for them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{Request as Http, Response};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::slow_heads::{FLOOR, TRIES, p99, print};
use crate::support::{Front, Gate, Request, Unusual, Wire, alone, eventually, said_by};

const GIBIBYTE: u64 = 1 << 30;
/// What is sent at once; its content is its place, so that none is lost, doubled or misplaced unseen.
const PIECE: usize = 64 << 10;

/// The bytes of the large body from this place on.
fn fill(piece: &mut [u8], from: u64) {
    for (at, eight) in piece.chunks_exact_mut(8).enumerate() {
        eight.copy_from_slice(&(from / 8 + at as u64).to_be_bytes());
    }
}

/// A large body as it comes, however it is cut.
#[derive(Default)]
struct Sum {
    got: u64,
    half: Vec<u8>,
}

impl Sum {
    /// Each eight bytes say their place.
    fn add(&mut self, mut bytes: &[u8]) {
        if !self.half.is_empty() {
            let more = bytes.len().min(8 - self.half.len());
            self.half.extend(&bytes[..more]);
            bytes = &bytes[more..];
            if self.half.len() < 8 {
                return;
            }
            let eight = std::mem::take(&mut self.half);
            self.check(&eight);
        }
        let whole = bytes.chunks_exact(8);
        self.half.extend(whole.remainder());
        whole.for_each(|eight| self.check(eight));
    }

    fn check(&mut self, eight: &[u8]) {
        assert_eq!(u64::from_be_bytes(eight.try_into().unwrap()), self.got / 8, "damaged at {}", self.got);
        self.got += 8;
    }
}

/// An application in HTTP/1.1 that makes and takes bodies without storing them: `/public/large`, and `/public/drip`, which
/// sends a byte now and then and never ends.
struct Large {
    port: u16,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Bytes of bodies that came whole.
    taken: AtomicU64,
    /// Bytes of large bodies that were sent.
    sent: AtomicU64,
    ends: AtomicBool,
}

impl Large {
    fn http1() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let large = Self { port, counts: Arc::default() };
        let counts = Arc::clone(&large.counts);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let counts = Arc::clone(&counts);
                // A gate that goes away in the midst of it is no failure.
                thread::spawn(move || drop(converse(stream.unwrap(), &counts)));
            }
        });
        large
    }

    /// The same in HTTP/2, without drips.
    fn http2() -> (Self, tokio::runtime::Runtime) {
        let runtime = runtime();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let large = Self { port, counts: Arc::default() };
        let counts = Arc::clone(&large.counts);
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let counts = Arc::clone(&counts);
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(socket).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(answer(request, respond, Arc::clone(&counts)));
                    }
                });
            }
        });
        (large, runtime)
    }
}

impl Large {
    /// Waits until no more is sent, since nobody takes it.
    fn settles(&self) {
        let mut before = u64::MAX;
        eventually("it settles", Duration::from_secs(60), || {
            thread::sleep(Duration::from_millis(300));
            let sent = self.counts.sent.load(Ordering::Relaxed);
            std::mem::replace(&mut before, sent) == sent
        });
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        self.counts.ends.store(true, Ordering::Relaxed);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn answer(request: Http<h2::RecvStream>, mut respond: SendResponse<Bytes>, counts: Arc<Counts>) {
    if request.method() == http::Method::PUT {
        let (mut body, mut sum) = (request.into_body(), Sum::default());
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            sum.add(&data);
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        counts.taken.fetch_add(sum.got, Ordering::Relaxed);
        respond.send_response(Response::new(()), true).unwrap();
        return;
    }
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    let (mut sent, mut piece) = (0, vec![0; PIECE]);
    while sent < GIBIBYTE {
        fill(&mut piece, sent);
        stream.reserve_capacity(PIECE);
        let mut left = Bytes::copy_from_slice(&piece);
        while !left.is_empty() {
            let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { return };
            let part = left.split_to(room.min(left.len()));
            stream.send_data(part, false).unwrap();
        }
        sent += PIECE as u64;
    }
    stream.send_data(Bytes::new(), true).unwrap();
}

fn converse(stream: TcpStream, counts: &Counts) -> std::io::Result<()> {
    let (mut out, mut stream) = (stream.try_clone()?, BufReader::with_capacity(PIECE, stream));
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let mut piece = vec![0; PIECE];
        if head.starts_with("PUT ") {
            assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
            let mut sum = Sum::default();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line)?;
                let size = usize::from_str_radix(line.trim_end(), 16).expect("the upload broke off");
                piece.resize(size + 2, 0);
                stream.read_exact(&mut piece)?;
                if size == 0 {
                    break;
                }
                sum.add(&piece[..size]);
            }
            counts.taken.fetch_add(sum.got, Ordering::Relaxed);
        } else if head.contains("/large ") {
            write!(out, "HTTP/1.1 200 OK\r\ncontent-length: {GIBIBYTE}\r\n\r\n")?;
            for place in (0..GIBIBYTE).step_by(PIECE) {
                fill(&mut piece, place);
                out.write_all(&piece)?;
                counts.sent.fetch_add(PIECE as u64, Ordering::Relaxed);
            }
            continue;
        } else if head.contains("/drip ") {
            write!(out, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            while !counts.ends.load(Ordering::Relaxed) {
                out.write_all(b"1\r\nx\r\n")?;
                thread::sleep(Duration::from_millis(500));
            }
            return Ok(());
        }
        out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
    }
}

/// curl sends the large body, or takes it.
fn transfer(port: u16, protocol: &str, upload: bool) -> Duration {
    let url = format!("http://127.0.0.1:{port}/public/large");
    let started = Instant::now();
    // Patient, since a build without optimisation is in no hurry.
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "600", "--fail", protocol, &url]);
    if upload {
        command.args(["-T", "-"]);
    }
    let input = if upload { Stdio::piped() } else { Stdio::null() };
    let mut client =
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("`curl` did not start");
    let mut piece = vec![0; PIECE];
    if upload {
        let mut input = client.stdin.take().unwrap();
        for place in (0..GIBIBYTE).step_by(PIECE) {
            fill(&mut piece, place);
            input.write_all(&piece).unwrap();
        }
        drop(input);
    } else {
        let (mut output, mut sum) = (client.stdout.take().unwrap(), Sum::default());
        while let count @ 1.. = output.read(&mut piece).unwrap() {
            sum.add(&piece[..count]);
        }
        assert_eq!(sum.got, GIBIBYTE, "the download is not whole");
    }
    let took = started.elapsed();
    let said = said_by(client);
    assert_eq!(said.code, Some(0), "{said:?}");
    took
}

/// In KiB: what the gate may come to with bodies of any size. Idle it holds about a third of it.
const BODIES: u64 = 64 << 10;

#[test]
fn a_gibibyte_passes_up_and_down_in_little_memory() {
    let _alone = alone();
    let one = Large::http1();
    let (two, _runtime) = Large::http2();
    for (upstream, scheme, protocol) in [(&one, "http", "--http1.1"), (&two, "h2c", "--http2-prior-knowledge")] {
        let front = Front::to(&format!("{{ app: {{ url: \"{scheme}://127.0.0.1:{}\" }} }}", upstream.port));
        let before = peak(&front.gate);
        let [down, up] = [false, true].map(|upload| transfer(front.gate.port, protocol, upload));
        assert_eq!(upstream.counts.taken.load(Ordering::Relaxed), GIBIBYTE, "the upload is not whole");
        let peak = peak(&front.gate);
        print(&format!(
            "1 GiB in {protocol}, upstream {scheme}: down in {down:.1?}, up in {up:.1?}; peak memory {peak} KiB, before {before} KiB"
        ));
        assert!(peak < BODIES, "{protocol}: {peak} KiB");
    }
}

/// The most memory that a gate ever held, in KiB.
fn peak(gate: &Gate) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gate.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

const IDLE: u32 = 5000;
/// In KiB: what an idle connection may cost, all that the gate has of it.
const EACH: u64 = 24;

/// So many more descriptors than are needed otherwise, for this process and those that it starts.
fn allow_descriptors(more: u32) {
    let (limit, needed) = (getrlimit(Resource::Nofile), u64::from(more) + 2000);
    if limit.current.is_some_and(|current| current < needed) {
        assert!(limit.maximum.is_none_or(|most| most >= needed), "`ulimit -Hn` must be {needed} or more");
        setrlimit(Resource::Nofile, rustix::process::Rlimit { current: Some(needed), ..limit }).unwrap();
    }
}

#[test]
fn five_thousand_idle_connections_cost_little_and_nobody_else() {
    let _alone = alone();
    allow_descriptors(IDLE);
    let upstream = Large::http1();
    let front = Front::to(&format!("{{ app: {{ url: \"http://127.0.0.1:{}\" }} }}", upstream.port));
    let port = front.gate.port;
    let mut measured = Vec::new();
    for _ in 0..TRIES {
        let (before, memory) = (p99(port), front.gate.memory());
        // Each has asked once, so that all that a request leaves behind is there.
        let idle: Vec<Wire> = (0..IDLE)
            .map(|_| {
                let mut wire = Wire::open(port);
                wire.send(&Request::get("/public/1").bytes(port));
                assert_eq!(wire.response_to("GET").status, 200);
                wire
            })
            .collect();
        let during = p99(port);
        assert!(front.gate.metric("stepgate_connections_open") >= f64::from(IDLE), "they were there all the time");
        let peak = peak(&front.gate);
        let each = peak.saturating_sub(memory) / u64::from(IDLE);
        assert!(each < EACH, "{each} KiB for each: {memory} KiB before, {peak} KiB at the most");
        drop(idle);
        measured.push((before, during));
        if during <= (before * 2).max(FLOOR) {
            print(&format!(
                "{IDLE} idle connections: peak memory {peak} KiB, before {memory} KiB; p99 without and with them {measured:?}"
            ));
            return;
        }
        eventually("they are gone", Duration::from_secs(10), || front.gate.metric("stepgate_connections_open") < 100.0);
    }
    panic!("p99 before and during, each time: {measured:?}");
}

const SLOW_CLIENTS: u32 = 300;
const SLOW_STREAMS: u32 = 100;
const SLOW_ANSWERS: u32 = 300;
/// In KiB: what a slow client may make the gate hold, the windows of the kernel aside.
const HELD: u64 = 512;

#[test]
fn slow_clients_and_slow_upstreams_cost_little_and_nobody_else() {
    let _alone = alone();
    allow_descriptors(SLOW_CLIENTS + SLOW_ANSWERS);
    let upstream = Large::http1();
    let other = Large::http1();
    let routes = "  - { name: slow, match: { path: \"/public/slow/**\" }, require: public, upstream: slow }\n  \
                  - { name: public, match: { path: \"/public/**\" }, require: public, upstream: app }";
    let upstreams = format!(
        "{{ app: {{ url: \"http://127.0.0.1:{}\" }}, slow: {{ url: \"http://127.0.0.1:{}\" }} }}",
        other.port, upstream.port
    );
    let unusual = Unusual { routes: routes.to_owned(), upstreams: Some(upstreams), ..Unusual::default() };
    let front = Front::to_unusual(&unusual);
    let port = front.gate.port;
    let mut measured = Vec::new();
    for _ in 0..TRIES {
        let before = p99(port);
        let memory = front.gate.memory();
        let ask = |path: &str| {
            let mut wire = Wire::open(port);
            wire.send(&Request::get(path).bytes(port));
            wire
        };
        // Clients that read nothing of much, in both protocols, and such as wait for an upstream that drips.
        let slow: Vec<Wire> = (0..SLOW_CLIENTS).map(|_| ask("/public/slow/large")).collect();
        let drips: Vec<Wire> = (0..SLOW_ANSWERS).map(|_| ask("/public/slow/drip")).collect();
        let streams = slow_streams(port);
        let under_way = f64::from(SLOW_CLIENTS + SLOW_ANSWERS);
        eventually("all are under way", Duration::from_secs(20), || {
            front.gate.metric("stepgate_connections_open") >= under_way
        });
        upstream.settles();
        let during = p99(port);
        let peak = peak(&front.gate);
        let each = peak.saturating_sub(memory) / u64::from(SLOW_CLIENTS + SLOW_STREAMS + SLOW_ANSWERS);
        assert!(each < HELD, "{each} KiB for each: {memory} KiB before, {peak} KiB at the most");
        drop((slow, drips, streams));
        measured.push((before, during));
        if during <= (before * 2).max(FLOOR) {
            print(&format!(
                "{SLOW_CLIENTS} slow clients, {SLOW_STREAMS} slow streams, {SLOW_ANSWERS} slow answers: peak memory {peak} KiB, \
                 before {memory} KiB; p99 without and with them {measured:?}"
            ));
            return;
        }
        eventually("they are gone", Duration::from_secs(10), || front.gate.metric("stepgate_connections_open") < 50.0);
    }
    panic!("p99 before and during, each time: {measured:?}");
}

/// Streams of one connection whose client makes no room for what it asked for.
fn slow_streams(port: u16) -> (tokio::runtime::Runtime, Vec<h2::client::ResponseFuture>) {
    let runtime = runtime();
    let asked = runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        let mut asked = Vec::new();
        for _ in 0..SLOW_STREAMS {
            sender = sender.ready().await.unwrap();
            let request = Http::get("http://gate.example/public/slow/large").body(()).unwrap();
            asked.push(sender.send_request(request, true).unwrap().0);
        }
        asked
    });
    (runtime, asked)
}
