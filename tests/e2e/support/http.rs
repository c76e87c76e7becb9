//! One request, one connection, one answer: HTTP/1.1 by hand, so that a test sees what is on the wire.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub(crate) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: String::new() }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: &str, body: &str) -> Self {
        let mut request = Self::new("POST", target);
        body.clone_into(&mut request.body);
        request
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Sends the request to a port of loopback and reads the whole answer.
    pub(crate) fn send(&self, port: u16) -> Response {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("nothing listens there");
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut text = format!("{} {} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        text.push_str("Connection: close\r\n\r\n");
        text.push_str(&self.body);
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answer) {
            // A refusal may come before the whole request was read, and the connection end with a reset behind it.
            assert!(!answer.is_empty(), "no answer: {error}");
        }
        Response::parse(&answer)
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    fn parse(answer: &[u8]) -> Self {
        let text = String::from_utf8_lossy(answer);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("not an HTTP answer: {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = lines.map(split_field).collect();
        let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        Self { status, headers, body: if chunked { unchunk(body) } else { body.to_owned() } }
    }

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
    parameters: Vec<(String, String)>,
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

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.split(';').next().unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        let (chunk, rest) = rest.split_at(size);
        whole.push_str(chunk);
        body = rest.strip_prefix("\r\n").unwrap_or(rest);
    }
    whole
}
