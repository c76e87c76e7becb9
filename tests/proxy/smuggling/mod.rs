//! Request smuggling: messages whose end two readers could see in two places, each with what the upstream saw of it.
//!
//! The cases are in the text files beside this; `cases` says how they are written. Each is sent twice, in one piece and in
//! many, with an honest request right behind it, which is answered as itself or not at all. Then somebody else asks, over
//! the same connection to the upstream where that was kept, and must get the answer to his own request.

mod cases;
mod downgraded;
mod raw;
mod responses;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use self::cases::{Case, Wanted, read};
use self::raw::{Raw, Seen};
use super::gate::{Running1, Setup};
use super::upstream::eventually;

/// What came back: its status, its body.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Everything that comes until the gate closes, or until so many answers are there.
fn answers(stream: &mut TcpStream, methods: &[&str], most: usize) -> (Vec<Answer>, bool) {
    let (mut bytes, mut found) = (Vec::new(), Vec::new());
    loop {
        while let Some((answer, length)) = first_answer(&bytes, methods.get(found.len()).copied().unwrap_or("GET")) {
            bytes.drain(..length);
            // Whether a client is told to continue depends on how fast its body follows; see `tests/proxy/streaming.rs`.
            if answer.status == 100 {
                continue;
            }
            found.push(answer);
            if found.len() == most {
                assert!(bytes.is_empty(), "more than was asked for: {:?}", String::from_utf8_lossy(&bytes));
                return (found, false);
            }
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => bytes.extend(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}, after {found:?} and {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    // An answer without a length ends with its connection.
    if !bytes.is_empty() {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("half an answer: {text:?}"));
        assert!(!head.to_lowercase().contains("content-length: "), "an answer broke off: {text:?}");
        let status = head[9..12].parse().unwrap();
        found.push(Answer { status, head: head.to_owned(), body: body.to_owned() });
    }
    (found, true)
}

fn first_answer(bytes: &[u8], method: &str) -> Option<(Answer, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status: u16 = head[9..12].parse().unwrap();
    let lower = head.to_lowercase();
    let field = |name: &str| lower.split_once(name).map(|(_, rest)| rest.lines().next().unwrap().to_owned());
    let bodiless = method == "HEAD" || status < 200 || matches!(status, 204 | 304);
    let (body, length) = if bodiless {
        (Vec::new(), 0)
    } else if let Some(length) = field("content-length: ") {
        let length: usize = length.parse().unwrap();
        (bytes.get(end..end + length)?.to_vec(), length)
    } else if field("transfer-encoding: ").is_some() {
        chunks(&bytes[end..])?
    } else {
        return None;
    };
    Some((Answer { status, head, body: String::from_utf8_lossy(&body).into_owned() }, end + length))
}

/// The data of a whole chunked body, and how many bytes it takes.
fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = at + bytes.get(at..)?.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[at..line]).unwrap(), 16).unwrap();
        at = line + 2;
        if size == 0 {
            let end = bytes.get(at - 2..)?.windows(4).position(|four| four == b"\r\n\r\n")?;
            return Some((body, at - 2 + end + 4));
        }
        body.extend(bytes.get(at..at + size)?);
        at += size + 2;
    }
}

/// A target that nobody asked for before.
fn honest() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("/public/honest/{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn ask(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: honest.example\r\n\r\n")
}

fn connect(gate: &Running1) -> TcpStream {
    let stream = TcpStream::connect(gate.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends in one piece or in many. The gate may have ended the connection by then, so an error says nothing.
fn send(stream: &mut TcpStream, bytes: &[u8], in_pieces: bool) {
    if !in_pieces {
        drop(stream.write_all(bytes));
        return;
    }
    for piece in bytes.chunks((bytes.len() / 16).max(3)) {
        if stream.write_all(piece).is_err() {
            return;
        }
        thread::sleep(Duration::from_micros(700));
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// A chunked body whose chunks are joined: how bytes come makes chunks, not what they say.
fn joined(body: &[u8]) -> Vec<u8> {
    let (data, length) = chunks(body).unwrap();
    let trailers = body.windows(5).position(|five| five == b"\r\n0\r\n").map_or(3, |at| at + 5);
    [&data[..], b" | ", &body[trailers.min(length)..]].concat()
}

/// Holds what the upstream saw against what it was to see: byte for byte, or but for the sizes of chunks.
fn compare(case: &Case, upstream: &Raw, behind: &[String], what: &str, exactly: bool) {
    let whole = |seen: &Seen| seen.broken.is_none();
    let wanted: Vec<Wanted> = case
        .upstream
        .iter()
        .cloned()
        .chain(behind.iter().map(|target| Wanted {
            line: format!("GET {target}"),
            framing: "none".into(),
            body: Vec::new(),
        }))
        .collect();
    eventually(|| upstream.seen().iter().filter(|seen| whole(seen)).count() >= wanted.len());
    let seen = upstream.seen();
    let got: Vec<Wanted> = seen
        .iter()
        .filter(|seen| whole(seen))
        .map(|seen| Wanted { line: seen.line.clone(), framing: seen.framing.clone(), body: seen.body.clone() })
        .collect();
    let alike = |list: Vec<Wanted>| {
        let body =
            |one: &Wanted| if exactly || one.framing != "chunked" { one.body.clone() } else { joined(&one.body) };
        list.iter().map(|one| (one.line.clone(), one.framing.clone(), shown(&body(one)))).collect::<Vec<_>>()
    };
    assert_eq!(alike(got), alike(wanted), "{what}");
    for broken in seen.iter().filter(|seen| !whole(seen)) {
        let why = broken.broken.as_deref().unwrap();
        assert!(why.contains("broke off") && case.cut.as_ref() == Some(&broken.line), "{what}: {broken:?}");
    }
    let own = &seen[..seen.len().min(case.upstream.len())];
    for name in &case.not {
        assert!(own.iter().all(|seen| seen.all(name).is_empty()), "{what}: {name} arrived: {own:#?}");
    }
    for (name, value) in &case.has {
        assert_eq!(own.last().unwrap().all(name), [value], "{what}");
    }
}

/// Runs one case of HTTP/1.1.
fn run(case: &Case, gate: &Running1, upstream: &Raw, in_pieces: bool) {
    let what = format!("{}, in pieces: {in_pieces}", case.name);
    let statuses: Vec<u16> = case.outcome.iter().filter_map(|word| word.parse().ok()).collect();
    let ends = case.outcome.iter().any(|word| word == "ends");
    let mut behind = Vec::new();
    upstream.forget();
    let mut client = connect(gate);
    let (mine, mut bytes) = (honest(), case.bytes());
    if !ends {
        bytes.extend(ask(&mine).bytes());
    }
    send(&mut client, &bytes, in_pieces);
    if ends {
        drop(client.shutdown(Shutdown::Write));
    }
    let method = String::from_utf8_lossy(&bytes[..4]).into_owned();
    let methods: Vec<&str> = statuses.iter().map(|_| if method == "HEAD" { "HEAD" } else { "GET" }).collect();
    let most = if case.may_go_on() { statuses.len() + 1 } else { usize::MAX };
    let (mut got, closed) = answers(&mut client, &methods, most);
    let goes_on = case.must_go_on() || !closed;
    if goes_on {
        let last = got.pop().unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!((last.status, last.body), (200, format!("GET {mine}")), "{what}");
        behind.push(mine);
    }
    assert_eq!((got.iter().map(|one| one.status).collect::<Vec<_>>(), closed), (statuses, !goes_on), "{what}: {got:?}");
    // What the gate refuses it says itself, and says that it ends.
    for refused in got.iter().filter(|one| one.status == 400) {
        let said: serde_json::Value = serde_json::from_str(&refused.body).unwrap_or_default();
        assert!(
            !method.starts_with("HEAD") && said["reason"].is_string() || method.starts_with("HEAD"),
            "{what}: {refused:?}"
        );
    }
    // Somebody else, over the same connection to the upstream where it was kept.
    let theirs = honest();
    let mut other = connect(gate);
    send(&mut other, ask(&theirs).as_bytes(), false);
    let (got, _) = answers(&mut other, &["GET"], 1);
    assert_eq!((got[0].status, &got[0].body), (200, &format!("GET {theirs}")), "{what}");
    behind.push(theirs);
    compare(case, upstream, &behind, &what, !in_pieces);
    if case.cut.is_none() {
        let seen = upstream.seen();
        assert!(
            seen.iter().all(|one| one.connection == seen[0].connection),
            "{what}: the upstream's connection was given up"
        );
    }
}

/// Runs each case of a file. Says all that went wrong, not only the first.
fn run_all(file: &str, least: usize, run: impl Fn(&Case)) {
    let cases = read(file);
    assert!(cases.len() >= least, "{} cases in {file}", cases.len());
    let broken: Vec<&str> = cases
        .iter()
        .filter(|case| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(case))).is_err())
        .map(|case| case.name.as_str())
        .collect();
    assert!(broken.is_empty(), "{} of {}: {broken:#?}", broken.len(), cases.len());
}

/// Runs a case where others ran before it: whatever they left behind would be found. What one leaves behind that breaks a
/// request off is noted late, so it is given an upstream of its own.
fn among_others(case: &Case, shared: &Gate, run: impl Fn(&Gate)) {
    if case.cut.is_some() {
        run(&gate());
    } else {
        run(shared);
    }
}

/// An upstream, and a gate before it.
type Gate = (Raw, Running1);

fn gate() -> Gate {
    let upstream = Raw::echoing();
    let gate = Setup::default().start(upstream.address);
    (upstream, gate)
}

fn requests(file: &str, least: usize) {
    let shared = gate();
    run_all(file, least, |case| {
        for in_pieces in [false, true] {
            among_others(case, &shared, |(upstream, gate)| run(case, gate, upstream, in_pieces));
        }
    });
}

#[test]
fn t17_lengths_and_codings_mean_one_thing_to_the_gate_and_to_the_upstream() {
    requests("framing.txt", 80);
}

#[test]
fn t17_chunks_and_trailers_end_where_the_upstream_sees_them_end() {
    requests("chunks.txt", 40);
}

#[test]
fn t17_request_lines_and_hosts_mean_one_thing_to_the_gate_and_to_the_upstream() {
    requests("lines.txt", 80);
}

#[test]
fn t17_what_a_client_says_of_its_connection_changes_no_request() {
    requests("connection.txt", 30);
}
