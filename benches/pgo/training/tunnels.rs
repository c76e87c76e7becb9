//! WebSockets: a frame there and back, again and again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Failure;
use super::client::NAME;

pub(crate) const PROTOCOL: &str = "websocket";
/// The example of RFC 6455 section 1.3, and what belongs to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// How many frames a tunnel carries in each direction.
const FRAMES: usize = 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens so many, one after another.
pub(crate) fn send(gate: SocketAddr, token: &str, tunnels: usize) -> Result<(), Failure> {
    (0..tunnels).try_for_each(|_| tunnel(gate, token))
}

fn tunnel(gate: SocketAddr, token: &str) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(gate)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "GET /live/7 HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\nUpgrade: {PROTOCOL}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    answers.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 101 ") {
        return Err(format!("a WebSocket was answered with {line:?}").into());
    }
    while !line.trim().is_empty() {
        line.clear();
        answers.read_line(&mut line)?;
    }
    // Text, in one frame, masked with zeros, which leave it as it is.
    let frame = [[0x81, 0x80 | 26, 0, 0, 0, 0].as_slice(), b"abcdefghijklmnopqrstuvwxyz"].concat();
    let mut back = vec![0; frame.len()];
    for _ in 0..FRAMES {
        stream.write_all(&frame)?;
        answers.read_exact(&mut back)?;
        if back != frame {
            return Err("a tunnel carried other bytes than were sent".into());
        }
    }
    Ok(())
}
