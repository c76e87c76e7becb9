//! A request without a body, on an HTTP/1.1 connection that the request's own task writes and reads.
//!
//! hyper's client gives each connection a task of its own, so that a body can go up while an answer comes down; a request is
//! handed to it, and its answer back, over channels. Most requests have no body: nothing can go on beside their answer, and
//! nobody else need be woken for it. `docs/performance.md` says what that is worth. Requests with a body, and such as ask for
//! another protocol, are hyper's; connections go over from one to the other as they are needed (`pool`).
//!
//! `head` reads the head of an answer, `body` what follows it, `line` is the connection. Where hyper and this could differ, this
//! is the stricter, and a connection on which anything was out of order is never used again.

mod body;
mod head;
mod line;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::{Method, Response};
use tokio::io::ReadBuf;

pub(in crate::proxy) use body::Body;
pub(in crate::proxy) use line::Line;

use crate::proxy::forwarding::body::RequestBody;
use crate::proxy::forwarding::exchange::{Failure, Head, Undone, unconnected};
use crate::proxy::forwarding::pool::{Lease, Pool, READ};
use crate::proxy::forwarding::received::Received;
use crate::proxy::spare;

/// What is read at once while a head is awaited: it, and most answers.
const AT_ONCE: usize = 16 << 10;
/// As hyper says it.
const TOO_LARGE: &str = "message head is too large";
/// The most memory that a thread holds on to for the heads it writes.
const KEPT_HEAD: usize = 64 << 10;

thread_local! {
    /// Where heads are written, and read into before it is known how much of it to keep.
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static READ_HERE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Why there is no answer.
#[derive(Debug)]
struct Broken {
    cause: String,
    /// The upstream cannot have seen the request whole.
    is_unsent: bool,
    /// What it said is no answer in HTTP/1.1. Whoever said it has had the request.
    is_parse: bool,
}

impl Broken {
    fn by(error: &io::Error, is_unsent: bool) -> Self {
        Self { cause: format!("connection error: {error}"), is_unsent, is_parse: false }
    }

    fn parse(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), is_unsent: false, is_parse: true }
    }

    fn failure(&self) -> Failure {
        Failure::unreachable(format!("the connection broke before a response head: {}", self.cause))
    }
}

/// Whether a request is like that.
pub(in crate::proxy) fn is(head: &Head<'_>, body: &RequestBody) -> bool {
    body.again().is_some() && *head.method != Method::CONNECT && head.uri.authority().is_none()
}

/// Sends such a request and waits for the head of its answer: on the connection that was used before, if there is one, and on
/// a new one where that came to nothing and sending it once more does no harm.
pub(in crate::proxy) async fn exchange(
    pool: &Rc<Pool>,
    head: &Head<'_>,
    used: Option<(Line, Instant)>,
) -> Result<(Response<Received>, Lease), Undone> {
    if let Some((line, born)) = used {
        match ask(line, head).await {
            Ok(answer) => return Ok(answer.received(pool, born)),
            Err(broken) if broken.is_unsent || (head.is_safe() && !broken.is_parse) => {}
            Err(broken) => return Err(broken.failure().into()),
        }
    }
    // Rare enough to be boxed, and too large to be part of every request.
    Box::pin(connected(pool, head)).await
}

/// The same on a new connection.
async fn connected(pool: &Rc<Pool>, head: &Head<'_>) -> Result<(Response<Received>, Lease), Undone> {
    let none = || RequestBody::read(Bytes::new());
    let line = pool.connect_line().await.map_err(|error| unconnected(pool, error, none()))?;
    let born = Instant::now();
    match ask(line, head).await {
        Ok(answer) => Ok(answer.received(pool, born)),
        Err(broken) => {
            let again = (head.is_safe() && !broken.is_parse).then(none);
            Err(Undone { failure: broken.failure(), again, is_unsent: false })
        }
    }
}

/// An answer whose head has come, with the connection and what was read behind the head.
#[derive(Debug)]
struct Answer {
    line: Line,
    head: head::Answered,
    rest: Bytes,
}

impl Answer {
    fn received(self, pool: &Rc<Pool>, born: Instant) -> (Response<Received>, Lease) {
        let Self { line, head: head::Answered { response, framing, keeps }, rest } = self;
        let body = Body::new(line, framing, rest, keeps.then(|| (Rc::clone(pool), born)));
        (response.map(|()| Received::Bodiless(Box::new(body))), Lease::Held)
    }
}

/// Sends the head of a request, and reads that of its answer.
async fn ask(line: Line, head: &Head<'_>) -> Result<Answer, Broken> {
    let is_head = *head.method == Method::HEAD;
    let mut asking = Asking {
        line,
        unsent: None,
        is_seen: false,
        cut_off: None,
        came: BytesMut::new(),
        searched: 0,
        read: 0,
        is_head,
    };
    let mut begun = false;
    let answered = std::future::poll_fn(|cx| {
        if !std::mem::replace(&mut begun, true) {
            asking.begin(head, cx);
        }
        asking.poll(cx)
    });
    let (head, rest) = answered.await?;
    let Asking { line, unsent, cut_off, .. } = asking;
    // What answers before it has the whole head may still be at reading it.
    let keeps = head.keeps && unsent.is_none() && cut_off.is_none();
    Ok(Answer { line, head: head::Answered { keeps, ..head }, rest })
}

/// A head on its way up, and the answer's on its way down.
struct Asking {
    line: Line,
    /// What the socket had no room for.
    unsent: Option<Vec<u8>>,
    /// Whether the upstream can have seen any of it.
    is_seen: bool,
    /// Why no more of it could be sent. The answer may say the reason, so it is read all the same.
    cut_off: Option<io::Error>,
    /// What has come of the answer.
    came: BytesMut,
    /// How much of that is known to hold no end of a head.
    searched: usize,
    /// How much of it was read as a head, and was none yet.
    read: usize,
    is_head: bool,
}

impl Asking {
    /// Writes the head, and sends what the socket has room for.
    fn begin(&mut self, head: &Head<'_>, cx: &mut Context<'_>) {
        WRITTEN.with_borrow_mut(|text| {
            text.clear();
            write(head, text);
            let sent = match self.line.poll_send(text, cx) {
                Poll::Ready(Ok(sent)) => {
                    self.is_seen = true;
                    sent
                }
                Poll::Ready(Err(error)) => {
                    self.cut_off = Some(error);
                    0
                }
                Poll::Pending => 0,
            };
            self.unsent = text.get(sent..).filter(|rest| !rest.is_empty()).map(<[u8]>::to_vec);
            if text.capacity() > KEPT_HEAD {
                *text = Vec::new();
            }
        });
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(head::Answered, Bytes), Broken>> {
        self.send(cx);
        loop {
            let came = READ_HERE.with_borrow_mut(|memory| {
                memory.resize(AT_ONCE, 0);
                let mut into = ReadBuf::new(memory);
                ready!(self.line.poll_read(&mut into, cx))?;
                self.came.extend_from_slice(into.filled());
                Poll::Ready(Ok(into.filled().len()))
            });
            match ready!(came).map_err(|error| Broken::by(&error, self.is_unsent()))? {
                0 => return Poll::Ready(Err(self.ended())),
                _some => {}
            }
            if let Some(answered) = self.answered()? {
                return Poll::Ready(Ok(answered));
            }
        }
    }

    /// The head of the answer, and what came behind it, when it has all come.
    fn answered(&mut self) -> Result<Option<(head::Answered, Bytes)>, Broken> {
        while self.is_worth_a_look() {
            let mut came = std::mem::take(&mut self.came).freeze();
            let found = head::read(&came, self.is_head).map_err(Broken::parse)?;
            let length = found.as_ref().map_or(0, |(_, length)| *length);
            if length > READ {
                return Err(Broken::parse(TOO_LARGE));
            }
            let rest = came.split_off(length);
            match found {
                Some((answered, _)) if answered.is_final() => return Ok(Some((answered, rest))),
                // RFC 9110 section 15.2: any number of these may come before.
                Some((answered, _)) => {
                    spare::give(answered.response.into_parts().0.headers);
                    (self.searched, self.read) = (0, 0);
                }
                None => {
                    self.read = rest.len();
                    self.came = rest.into();
                    break;
                }
            }
            drop(came);
            self.came = rest.into();
        }
        self.searched = self.came.len();
        if self.searched > READ { Err(Broken::parse(TOO_LARGE)) } else { Ok(None) }
    }

    /// Whether a head might end in what was not looked at yet; or there is so much that is new that it should be seen whether
    /// it is one at all. Not after each byte, for each look begins at the beginning.
    fn is_worth_a_look(&self) -> bool {
        if self.came.len() >= self.read.saturating_mul(2) {
            return !self.came.is_empty();
        }
        // The last three bytes before may be the beginning of an end.
        let new = self.came.get(self.searched.saturating_sub(3)..).unwrap_or_default();
        memchr::memmem::find(new, b"\n\r\n").is_some() || memchr::memmem::find(new, b"\n\n").is_some()
    }

    /// Sends what is left of the head.
    fn send(&mut self, cx: &mut Context<'_>) {
        while let Some(rest) = self.unsent.as_mut().filter(|_| self.cut_off.is_none()) {
            match self.line.poll_send(rest, cx) {
                Poll::Ready(Ok(0)) => self.cut_off = Some(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(sent)) => {
                    self.is_seen = true;
                    drop(rest.drain(..sent.min(rest.len())));
                    if rest.is_empty() {
                        self.unsent = None;
                    }
                }
                Poll::Ready(Err(error)) => self.cut_off = Some(error),
                Poll::Pending => return,
            }
        }
    }

    /// Whether it is certain that the upstream has not seen the request whole.
    fn is_unsent(&self) -> bool {
        self.cut_off.is_some() && !self.is_seen
    }

    /// The upstream has nothing more to say.
    fn ended(&self) -> Broken {
        if let Err(odd) = head::read(&Bytes::copy_from_slice(&self.came), self.is_head) {
            return Broken::parse(odd);
        }
        self.cut_off.as_ref().map_or_else(
            || Broken { cause: "connection closed before message completed".into(), is_unsent: false, is_parse: false },
            |error| Broken::by(error, self.is_unsent()),
        )
    }
}

/// Writes a head as it goes over the line (RFC 9112 section 3). The path is the one that was judged: of a target that has
/// none, as `?x`, that is `/`.
fn write(head: &Head<'_>, text: &mut Vec<u8>) {
    for part in [head.method.as_str(), " ", head.uri.path()] {
        text.extend_from_slice(part.as_bytes());
    }
    if let Some(query) = head.uri.query() {
        text.push(b'?');
        text.extend_from_slice(query.as_bytes());
    }
    text.extend_from_slice(b" HTTP/1.1\r\n");
    head.fields.write_lines(text);
    text.extend_from_slice(b"\r\n");
}
