//! An application that keeps every byte it is sent, and reads HTTP/1.1 by the letter: what could be read in two ways is not
//! read at all, and noted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Method and target.
    pub line: String,
    pub head: String,
    /// `none`, `length`, `chunked`.
    pub framing: String,
    /// The body as it stood on the wire, chunks and trailers and all.
    pub body: Vec<u8>,
    pub connection: usize,
    /// What is wrong with it.
    pub broken: Option<String>,
}

impl Seen {
    /// The values of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

/// How it answers: the request, and whether its connection goes on.
type Script = dyn Fn(&Seen, &mut TcpStream) -> bool + Send + Sync;

pub struct Raw {
    pub address: SocketAddr,
    notes: Arc<Mutex<Vec<Seen>>>,
}

impl Raw {
    /// Answers each request with what it was.
    pub fn echoing() -> Self {
        Self::scripted(echo)
    }

    pub fn scripted(script: impl Fn(&Seen, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let notes = Arc::new(Mutex::new(Vec::new()));
        let (script, noted): (Arc<Script>, _) = (Arc::new(script), notes.clone());
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (script, notes) = (script.clone(), noted.clone());
                thread::spawn(move || converse(stream.unwrap(), connection, &*script, &notes));
            }
        });
        Self { address, notes }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.notes.lock().unwrap().clone()
    }

    /// Puts those that have a place behind the others, in the order of their places.
    pub fn put_last(&self, place: impl Fn(&Seen) -> Option<usize>) {
        self.notes.lock().unwrap().sort_by_key(place);
    }

    pub fn forget(&self) {
        self.notes.lock().unwrap().clear();
    }
}

/// Says what was asked for.
pub fn echo(seen: &Seen, stream: &mut TcpStream) -> bool {
    let text = if seen.line.starts_with("HEAD ") { "" } else { &seen.line };
    // In one piece, or the system would wait for more.
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", seen.line.len());
    stream.write_all(answer.as_bytes()).is_ok()
}

fn converse(mut stream: TcpStream, connection: usize, script: &Script, notes: &Mutex<Vec<Seen>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut seen = Seen { connection, ..Seen::default() };
        match take(&mut reader, &mut seen) {
            Ok(false) => return,
            Ok(true) => {}
            Err(why) => seen.broken = Some(why),
        }
        notes.lock().unwrap().push(seen.clone());
        if seen.broken.is_some() || !script(&seen, &mut stream) {
            return;
        }
    }
}

/// Reads one request; false where the connection ended before it. An error says why it is none.
fn take(stream: &mut impl BufRead, seen: &mut Seen) -> Result<bool, String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
            return if head.is_empty() { Ok(false) } else { Err("the head broke off".into()) };
        }
        head.extend(line);
    }
    seen.head = String::from_utf8_lossy(&head).into_owned();
    check(&head, seen)?;
    let mut body = Kept { stream, kept: &mut seen.body };
    match seen.framing.as_str() {
        "length" => {
            let length: usize = seen
                .head
                .to_lowercase()
                .split_once("content-length: ")
                .unwrap()
                .1
                .lines()
                .next()
                .unwrap()
                .parse()
                .unwrap();
            body.exactly(length)?;
        }
        "chunked" => loop {
            let line = body.line()?;
            let size = line.strip_suffix("\r\n").filter(|size| size.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let size =
                size.and_then(|size| usize::from_str_radix(size, 16).ok()).ok_or(format!("a chunk of {line:?}"))?;
            if size == 0 {
                while body.line()? != "\r\n" {}
                break;
            }
            if !body.exactly(size + 2)?.ends_with(b"\r\n") {
                return Err("a chunk without an end".into());
            }
        },
        _ => {}
    }
    Ok(true)
}

struct Kept<'k, S> {
    stream: &'k mut S,
    kept: &'k mut Vec<u8>,
}

impl<S: BufRead> Kept<'_, S> {
    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let _ = self.stream.take(length as u64).read_to_end(&mut bytes);
        self.kept.extend(&bytes);
        if bytes.len() == length { Ok(bytes) } else { Err("the body broke off".into()) }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut bytes = Vec::new();
        let _ = self.stream.read_until(b'\n', &mut bytes);
        self.kept.extend(&bytes);
        let line = String::from_utf8_lossy(&bytes).into_owned();
        if line.ends_with("\r\n") { Ok(line) } else { Err(format!("the body broke off in {line:?}")) }
    }
}

/// Nobody can read this head in two ways.
fn check(head: &[u8], seen: &mut Seen) -> Result<(), String> {
    let text = head.strip_suffix(b"\r\n\r\n").unwrap();
    let lines: Vec<&[u8]> =
        text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    let bare = head.iter().enumerate().any(|(at, byte)| match byte {
        b'\n' => at == 0 || head[at - 1] != b'\r',
        b'\r' => head.get(at + 1) != Some(&b'\n'),
        0..=8 | 0x0b..=0x1f | 0x7f => true,
        _ => false,
    });
    if bare {
        return Err("a control character in the head".into());
    }
    let first = String::from_utf8_lossy(lines[0]).into_owned();
    let words: Vec<&str> = first.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else { return Err(format!("a request line {first:?}")) };
    seen.line = format!("{method} {target}");
    let mut framing = Vec::new();
    let mut hosts = 0;
    for line in &lines[1..] {
        let line = String::from_utf8_lossy(line).into_owned();
        let (name, value) = line.split_once(':').ok_or(format!("a line without a colon: {line:?}"))?;
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("a name that is none: {line:?}"));
        }
        match (name.to_ascii_lowercase().as_str(), value.trim_matches([' ', '\t'])) {
            ("host", _) => hosts += 1,
            ("content-length", value) => {
                if value.is_empty()
                    || !value.bytes().all(|byte| byte.is_ascii_digit())
                    || value.len() > 1 && value.starts_with('0')
                {
                    return Err(format!("a length of {value:?}"));
                }
                framing.push("length");
            }
            ("transfer-encoding", "chunked") => framing.push("chunked"),
            ("transfer-encoding", value) => return Err(format!("a coding {value:?}")),
            ("upgrade" | "http2-settings", _) => return Err("a wish to upgrade".into()),
            _ => {}
        }
    }
    if hosts != 1 {
        return Err(format!("{hosts} hosts"));
    }
    seen.framing = match framing[..] {
        [] => "none".into(),
        [one] => one.into(),
        _ => return Err(format!("framed by {framing:?}")),
    };
    Ok(())
}
