//! A scripted application: notes every request byte for byte, answers as its script says.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// A request as the upstream saw it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The head, with its empty line.
    pub head: String,
    /// The body, unchunked, with trailers as they came.
    pub body: Vec<u8>,
    pub trailers: String,
    /// On which connection, counted from 0.
    pub connection: usize,
    notes: Weak<Mutex<Vec<Seen>>>,
    place: usize,
}

impl Seen {
    /// Notes what was read so far; to be called before it is answered, or a test could look too early.
    fn note(&self) {
        if let Some(notes) = self.notes.upgrade() {
            notes.lock().unwrap()[self.place] = self.clone();
        }
    }

    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    /// All values of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} stands twice: {all:?}");
        all.first().copied()
    }
}

/// What the script may do with one request whose head was read: read the body or not, answer or not. False: close.
pub type Script = dyn Fn(&mut Seen, &mut BufReader<TcpStream>) -> bool + Send + Sync;

pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    closed: Arc<Mutex<usize>>,
}

impl Upstream {
    /// Reads whole requests and answers 200 with `ok`.
    pub fn plain() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    }

    /// Reads whole requests and answers with this; `connection: close` in it closes.
    pub fn answering(answer: &str) -> Self {
        let answer = answer.to_owned();
        Self::scripted(move |seen, stream| {
            read_body(seen, stream);
            stream.get_mut().write_all(answer.as_bytes()).is_ok() && !answer.contains("connection: close")
        })
    }

    pub fn scripted(script: impl Fn(&mut Seen, &mut BufReader<TcpStream>) -> bool + Send + Sync + 'static) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), script)
    }

    /// The same in a place where nobody is yet.
    pub fn at(
        address: SocketAddr,
        script: impl Fn(&mut Seen, &mut BufReader<TcpStream>) -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, closed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let script: Arc<Script> = Arc::new(script);
        let (notes, ends) = (Arc::clone(&seen), Arc::clone(&closed));
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (script, notes, ends) = (Arc::clone(&script), Arc::clone(&notes), Arc::clone(&ends));
                thread::spawn(move || {
                    converse(stream.unwrap(), connection, &*script, &notes);
                    *ends.lock().unwrap() += 1;
                });
            }
        });
        Self { address, seen, closed }
    }

    /// Everything that was seen so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request that was seen.
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }

    /// Waits until so many connections have ended.
    pub fn wait_closed(&self, count: usize) {
        eventually(|| *self.closed.lock().unwrap() >= count);
    }
}

fn converse(stream: TcpStream, connection: usize, script: &Script, notes: &Arc<Mutex<Vec<Seen>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut seen = Seen { connection, notes: Arc::downgrade(notes), ..Seen::default() };
        while !seen.head.ends_with("\r\n\r\n") {
            let mut line = Vec::new();
            if stream.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
                return;
            }
            seen.head.push_str(&String::from_utf8_lossy(&line));
        }
        {
            let mut notes = notes.lock().unwrap();
            seen.place = notes.len();
            notes.push(seen.clone());
        }
        let goes_on = script(&mut seen, &mut stream);
        seen.note();
        if !goes_on {
            return;
        }
    }
}

/// Reads the body that the head announces.
pub fn read_body(seen: &mut Seen, stream: &mut impl BufRead) {
    if seen.field("transfer-encoding").is_some() {
        while let Some(chunk) = read_chunk(stream) {
            seen.body.extend(chunk);
        }
        let mut line = String::new();
        while stream.read_line(&mut line).unwrap_or(0) > 2 {
            seen.trailers.push_str(&line);
            line.clear();
        }
    } else if let Some(length) = seen.field("content-length") {
        let mut body = vec![0; length.parse().unwrap()];
        if stream.read_exact(&mut body).is_ok() {
            seen.body = body;
        }
    }
    seen.note();
}

/// One chunk; `None` at the last one or when the other side is gone.
pub fn read_chunk(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut size = String::new();
    stream.read_line(&mut size).ok()?;
    let size = usize::from_str_radix(size.trim(), 16).ok().filter(|size| *size > 0)?;
    let mut chunk = vec![0; size + 2];
    stream.read_exact(&mut chunk).ok()?;
    chunk.truncate(size);
    Some(chunk)
}

/// Waits for what must become true soon.
pub fn eventually(holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(10), "it never came true");
        thread::sleep(Duration::from_millis(5));
    }
}
