//! HTTP/1.1 by hand, so that a test sees what is on the wire: one request and its answer, or a connection to send any
//! bytes over.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// How long a test waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct Request {
    method: String,
    target: String,
    host: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: String,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            host: None,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: &str, body: &str) -> Self {
        let mut request = Self::new("POST", target);
        body.clone_into(&mut request.body);
        request
    }

    /// The same request with another method, and without a body.
    pub(crate) fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self.body.clear();
        self
    }

    /// The same request with another method, body and all.
    pub(crate) fn with_method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        self.raw_header(name, value.as_bytes())
    }

    /// A field whose value need not be text.
    pub(crate) fn raw_header(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// The bytes on the wire.
    pub(crate) fn bytes(&self, port: u16) -> Vec<u8> {
        let host = self.host.clone().unwrap_or_else(|| format!("127.0.0.1:{port}"));
        let mut bytes = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(name.bytes().chain(*b": ").chain(value.iter().copied()).chain(*b"\r\n"));
        }
        if !self.body.is_empty() {
            bytes.extend(format!("Content-Length: {}\r\n", self.body.len()).bytes());
        }
        bytes.extend(*b"\r\n");
        bytes.extend(self.body.bytes());
        bytes
    }

    /// Sends the request to a port of loopback, over a connection of its own, and reads the whole answer.
    pub(crate) fn send(&self, port: u16) -> Response {
        let mut wire = Wire::open(port);
        wire.send(&self.clone().header("Connection", "close").bytes(port));
        wire.response_to(&self.method)
    }
}

/// One connection to a port of loopback.
pub(crate) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    pub(crate) fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("nothing listens there");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, unread: Vec::new() }
    }

    /// Sends these bytes. An answer may have ended the connection already, so an error says nothing.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes));
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&self) {
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// The next answer: to a request with this method.
    pub(crate) fn response_to(&mut self, method: &str) -> Response {
        self.try_response_to(method).expect("the connection ended without an answer")
    }

    /// The next answer, or none when the connection ends first.
    pub(crate) fn try_response_to(&mut self, method: &str) -> Option<Response> {
        let (head, status) = loop {
            let end = loop {
                match find(&self.unread, b"\r\n\r\n") {
                    Some(end) => break end,
                    None if self.read_more() => {}
                    None if self.unread.is_empty() => return None,
                    None => panic!("half an answer: {:?}", String::from_utf8_lossy(&self.unread)),
                }
            };
            let head = String::from_utf8_lossy(&self.unread[..end]).into_owned();
            self.unread.drain(..end + 4);
            let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("no status");
            if status >= 200 || status == 101 {
                break (head, status);
            }
        };
        let headers: Vec<_> = head.split("\r\n").skip(1).map(split_field).collect();
        let named = |name: &str| headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str());
        let body = if method == "HEAD" || matches!(status, 101 | 204 | 304) {
            Vec::new()
        } else if named("transfer-encoding") == Some("chunked") {
            self.chunked_body()
        } else if let Some(length) = named("content-length") {
            self.take(length.parse().unwrap())
        } else {
            while self.read_more() {}
            std::mem::take(&mut self.unread)
        };
        Some(Response { status, head, body: String::from_utf8_lossy(&body).into_owned(), headers })
    }

    /// The first line of the next head, an interim one too. Of its fields nothing is kept, and its body is what comes next.
    pub(crate) fn head_line(&mut self) -> String {
        let first = self.line();
        while !self.line().is_empty() {}
        first
    }

    /// Everything that comes until the connection ends, or until nothing came for a while.
    pub(crate) fn rest(&mut self, quiet: Duration) -> Vec<u8> {
        self.stream.set_read_timeout(Some(quiet)).unwrap();
        while self.read_more() {}
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        std::mem::take(&mut self.unread)
    }

    fn chunked_body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.line();
            let size = usize::from_str_radix(line.split(';').next().unwrap(), 16).expect("no chunk size");
            if size == 0 {
                while !self.line().is_empty() {}
                return body;
            }
            body.extend(self.take(size));
            assert_eq!(self.line(), "", "no end of a chunk");
        }
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n") {
                let line = self.unread.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).unwrap();
            }
            assert!(self.read_more(), "the connection ended within an answer");
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length {
            assert!(self.read_more(), "the connection ended within an answer");
        }
        self.unread.drain(..length).collect()
    }

    /// Whether more came. Ends of any kind are one to a test: a refusal may come before the whole request was read, and
    /// the connection end with a reset behind it.
    fn read_more(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(read) => {
                self.unread.extend(&buffer[..read]);
                read > 0
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => self.read_more(),
            Err(_) => false,
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The head as it came, without the empty line.
    pub(crate) head: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    /// The value of a header field that may be there once at most.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(one, _)| one == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "`{name}` is there more than once");
        value
    }

    pub(crate) fn challenge(&self) -> Challenge {
        let field = self.header("www-authenticate").unwrap_or_else(|| panic!("no challenge: {self:?}"));
        Challenge::parse(field)
    }
}

/// What `WWW-Authenticate` asks for (RFC 6750, RFC 9470).
#[derive(Debug)]
pub(crate) struct Challenge {
    pub(crate) parameters: Vec<(String, String)>,
}

impl Challenge {
    fn parse(field: &str) -> Self {
        let rest = field.strip_prefix("Bearer").unwrap_or_else(|| panic!("not a Bearer challenge: {field}"));
        let mut parameters = Vec::new();
        let mut rest = rest.trim_start();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=').unwrap_or_else(|| panic!("not a parameter: {rest}"));
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or_else(|| panic!("no closing quote: {field}")),
                None => after.split_at(after.find(',').unwrap_or(after.len())),
            };
            parameters.push((name.to_owned(), value.to_owned()));
            rest = after.trim_start_matches([',', ' ']);
        }
        Self { parameters }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }
}

pub(super) fn split_field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a header field: {line}"));
    (name.to_ascii_lowercase(), value.trim().to_owned())
}
