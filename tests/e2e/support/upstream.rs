//! The service behind the gate: it answers 200 to everything and remembers what it saw.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::http::split_field;

/// One request as it reached the upstream.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    /// The value of a header field that may be there once at most.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(one, _)| one == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "`{name}` reached the upstream more than once");
        value
    }
}

pub(crate) struct Upstream {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let record = Arc::clone(&record);
                thread::spawn(move || serve(stream, &record));
            }
        });
        Self { port, seen }
    }

    /// Everything seen so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("the upstream saw nothing")
    }

    pub(crate) fn count(&self) -> usize {
        self.seen().len()
    }
}

/// Serves one connection until the gate closes it; the gate may keep it for more requests.
fn serve(stream: TcpStream, record: &Mutex<Vec<Seen>>) {
    let mut answers = stream.try_clone().unwrap();
    let mut requests = BufReader::new(stream);
    while let Some(seen) = read(&mut requests) {
        record.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        if answers.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Upstream: yes\r\n\r\nok").is_err() {
            return;
        }
    }
}

fn read(requests: &mut impl BufRead) -> Option<Seen> {
    let line = read_line(requests)?;
    let mut headers = Vec::new();
    loop {
        let field = read_line(requests)?;
        if field.is_empty() {
            break;
        }
        headers.push(split_field(&field));
    }
    let named = |name: &str| headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.clone());
    let body = match (named("content-length"), named("transfer-encoding")) {
        (Some(length), None) => read_exactly(requests, length.parse().ok()?)?,
        (None, Some(_)) => read_chunks(requests)?,
        (None, None) => String::new(),
        (Some(_), Some(_)) => panic!("a request with two lengths reached the upstream: {headers:?}"),
    };
    Some(Seen { line, headers, body })
}

fn read_line(requests: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let read = requests.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

fn read_exactly(requests: &mut impl BufRead, length: u64) -> Option<String> {
    let mut body = String::new();
    requests.take(length).read_to_string(&mut body).ok()?;
    Some(body)
}

fn read_chunks(requests: &mut impl BufRead) -> Option<String> {
    let mut body = String::new();
    loop {
        let size = u64::from_str_radix(&read_line(requests)?, 16).ok()?;
        body.push_str(&read_exactly(requests, size)?);
        read_line(requests)?;
        if size == 0 {
            return Some(body);
        }
    }
}
