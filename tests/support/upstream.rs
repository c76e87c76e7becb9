//! The service behind the gate: it remembers what it saw, byte for byte, and answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::http::split_field;

/// One request as it reached the upstream.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// The trailer fields of a chunked body.
    pub(crate) trailers: Vec<(String, String)>,
    /// Which connection it came over, counted from 1.
    pub(crate) connection: usize,
}

impl Seen {
    /// The value of a header field that may be there once at most.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(one, _)| one == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "`{name}` reached the upstream more than once");
        value
    }

    /// The values of a header field that may be there several times, in their order.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(one, _)| one == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The names of all header and trailer fields, in lower case.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.headers.iter().chain(&self.trailers).map(|(name, _)| name.as_str()).collect()
    }

    pub(crate) fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// How the upstream answers one request.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// How long it thinks.
    pub(crate) after: Duration,
    /// What it sends, all of it: empty for nothing.
    pub(crate) bytes: Vec<u8>,
    /// Whether it closes the connection behind it.
    pub(crate) close: bool,
}

impl Answer {
    pub(crate) fn ok() -> Self {
        Self::raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Upstream: yes\r\n\r\nok")
    }

    pub(crate) fn raw(bytes: &str) -> Self {
        Self { after: Duration::ZERO, bytes: bytes.as_bytes().to_vec(), close: false }
    }

    pub(crate) fn status(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::raw(&format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{headers}\r\n{body}"))
    }

    pub(crate) fn nothing() -> Self {
        Self { close: true, ..Self::raw("") }
    }

    pub(crate) fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    pub(crate) fn closing(self) -> Self {
        Self { close: true, ..self }
    }
}

type Behaviour = dyn Fn(&Seen) -> Answer + Send + Sync;

#[derive(Default)]
struct Record {
    seen: Mutex<Vec<Seen>>,
    begun: AtomicUsize,
    connections: AtomicUsize,
}

pub(crate) struct Upstream {
    pub(crate) port: u16,
    record: Arc<Record>,
}

impl Upstream {
    /// One that answers 200 to everything.
    pub(crate) fn start() -> Self {
        Self::that(|_| Answer::ok())
    }

    /// One that answers as it is told.
    pub(crate) fn that(answers: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::on(0, answers)
    }

    /// One on this port.
    pub(crate) fn on(port: u16, answers: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (record, behaviour): (_, Arc<Behaviour>) = (Arc::new(Record::default()), Arc::new(answers));
        let shared = Arc::clone(&record);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
                let (record, behaviour) = (Arc::clone(&shared), Arc::clone(&behaviour));
                thread::spawn(move || serve(stream, connection, &record, &*behaviour));
            }
        });
        Self { port, record }
    }

    /// Everything seen so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.record.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("the upstream saw nothing")
    }

    /// How many whole requests came.
    pub(crate) fn count(&self) -> usize {
        self.seen().len()
    }

    /// How many requests began: their first line came, and maybe no more.
    pub(crate) fn begun(&self) -> usize {
        self.record.begun.load(Ordering::SeqCst)
    }
}

/// Serves one connection until the gate closes it; the gate may keep it for more requests.
fn serve(stream: TcpStream, connection: usize, record: &Record, behaviour: &Behaviour) {
    let mut answers = stream.try_clone().unwrap();
    let mut requests = BufReader::new(stream);
    while let Some(seen) = read(&mut requests, connection, record) {
        record.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
        let answer = behaviour(&seen);
        thread::sleep(answer.after);
        if answers.write_all(&answer.bytes).is_err() || answer.close {
            drop(answers.shutdown(std::net::Shutdown::Both));
            return;
        }
    }
}

fn read(requests: &mut impl BufRead, connection: usize, record: &Record) -> Option<Seen> {
    let line = read_line(requests)?;
    record.begun.fetch_add(1, Ordering::SeqCst);
    let headers = read_fields(requests)?;
    let named = |name: &str| headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.clone());
    let (body, trailers) = match (named("content-length"), named("transfer-encoding")) {
        (Some(length), None) => (read_exactly(requests, length.parse().ok()?)?, Vec::new()),
        (None, Some(_)) => (read_chunks(requests)?, read_fields(requests)?),
        (None, None) => (String::new(), Vec::new()),
        (Some(_), Some(_)) => panic!("a request with two lengths reached the upstream: {headers:?}"),
    };
    Some(Seen { line, headers, body, trailers, connection })
}

fn read_fields(requests: &mut impl BufRead) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let field = read_line(requests)?;
        if field.is_empty() {
            return Some(fields);
        }
        fields.push(split_field(&field));
    }
}

fn read_line(requests: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    let read = requests.read_until(b'\n', &mut line).ok()?;
    (read > 0).then(|| String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn read_exactly(requests: &mut impl BufRead, length: u64) -> Option<String> {
    let mut body = Vec::new();
    requests.take(length).read_to_end(&mut body).ok()?;
    (u64::try_from(body.len()).unwrap() == length).then(|| String::from_utf8_lossy(&body).into_owned())
}

/// A chunked body up to and with its last chunk; the trailers are left.
fn read_chunks(requests: &mut impl BufRead) -> Option<String> {
    let mut body = String::new();
    loop {
        let size = u64::from_str_radix(&read_line(requests)?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(&read_exactly(requests, size)?);
        read_line(requests)?;
    }
}
