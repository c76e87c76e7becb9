//! A raw client: writes bytes as they stand, reads responses as they come.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::upstream::read_chunk;

pub struct Client<S: Read = TcpStream>(pub BufReader<S>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: String,
    pub trailers: String,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Client {
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }
}

impl<S: Read + Write> Client<S> {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Reads a status line and fields.
    pub fn head(&mut self) -> Response {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no status in {line:?}")).parse().unwrap();
        let mut response = Response { status, ..Response::default() };
        loop {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                Some((name, value)) => response.fields.push((name.to_ascii_lowercase(), value.to_owned())),
                None => return response,
            }
        }
    }

    /// Reads a whole response to anything but a HEAD.
    pub fn response(&mut self) -> Response {
        let mut response = self.head();
        if response.field("transfer-encoding").is_some() {
            while let Some(chunk) = read_chunk(&mut self.0) {
                response.body.push_str(std::str::from_utf8(&chunk).unwrap());
            }
            let mut line = String::new();
            while self.0.read_line(&mut line).unwrap() > 2 {
                response.trailers.push_str(&line);
                line.clear();
            }
        } else if let Some(length) = response.field("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            self.0.read_exact(&mut body).unwrap();
            response.body = String::from_utf8(body).unwrap();
        }
        response
    }

    /// Sends and reads a whole response.
    pub fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Response {
        self.send(bytes).response()
    }

    /// Whether the other side has nothing more to say and closes.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0) | Err(_))
    }

    /// Whatever comes until the other side closes.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// A request without a body.
pub fn get(path: &str, token: Option<&str>) -> String {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nHost: api.example\r\n{token}\r\n")
}
