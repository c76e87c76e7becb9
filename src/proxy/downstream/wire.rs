//! A client's connection as hyper reads and writes it in HTTP/1.1: one head at a time, within the time limits.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use crate::config::settings::Limits;
use crate::proxy::downstream::framing::{Chunked, Expect, Found, Head};
use crate::proxy::downstream::timing::{Deadline, Ticker};
use crate::proxy::tunnel::Tunnel;

/// What is known of the bytes on one connection; shared by its [`Wire`] and the requests served on it.
#[derive(Debug)]
pub(in crate::proxy) struct Watch {
    expect: Cell<Expect>,
    /// Heads that were followed to their end and not yet served: one at the most.
    heads: Cell<u8>,
    /// Whether the last such head has a `#` in its request line.
    fragment: Cell<bool>,
    /// Bytes that were received and not yet handed to hyper.
    surplus: Cell<usize>,
    /// A request is being answered.
    busy: Cell<bool>,
    /// A request was answered, and not all of the answer has left yet.
    leaving: Cell<bool>,
    /// Who reads, while there is something to read that must wait for an answer to leave.
    held_back: RefCell<Option<Waker>>,
    /// What hyper would have answered to a head that can't be read.
    unreadable: Cell<Option<StatusCode>>,
    /// A refusal left a body unread, so the client may still be sending.
    linger: Cell<bool>,
    /// The time for the first head runs already.
    begun: Cell<bool>,
    /// What begins when the answer has left: from then on the connection is none of HTTP's.
    tunnel: RefCell<Option<Box<Tunnel>>>,
    /// Whether that is so, or will be: HTTP reads nothing any more.
    leaves_http: Cell<bool>,
    pub(in crate::proxy) read_by: Deadline,
    write_by: Deadline,
    idle: Duration,
    head_read: Duration,
}

/// The body that follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Framing {
    /// None.
    Empty,
    /// So many bytes.
    Sized(u64),
    /// Chunks.
    Chunked,
}

/// What the bytes of a head had in them that hyper does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Seen {
    /// Nothing of note.
    Plain,
    /// A `#` in the request line.
    Fragment,
    /// hyper found a head where we did not: the bytes were read in two ways.
    Disagreement,
}

impl Watch {
    pub(in crate::proxy) fn new(ticker: &Rc<Ticker>, limits: &Limits) -> Rc<Self> {
        Rc::new(Self {
            expect: Cell::new(Expect::Head(Head::default())),
            heads: Cell::new(0),
            fragment: Cell::new(false),
            surplus: Cell::new(0),
            busy: Cell::new(false),
            leaving: Cell::new(false),
            held_back: RefCell::default(),
            unreadable: Cell::new(None),
            linger: Cell::new(false),
            begun: Cell::new(false),
            tunnel: RefCell::default(),
            leaves_http: Cell::new(false),
            read_by: ticker.deadline(),
            write_by: ticker.deadline(),
            idle: limits.idle,
            head_read: limits.head_read,
        })
    }

    /// hyper has read a head with this framing. To be called at once, before hyper reads on.
    pub(in crate::proxy) fn head_read(&self, framing: Framing) -> Seen {
        self.busy.set(true);
        self.read_by.clear();
        if self.heads.get() != 1 || self.expect.get() != Expect::Framing {
            self.expect.set(Expect::Rest);
            return Seen::Disagreement;
        }
        self.heads.set(0);
        self.expect.set(match framing {
            Framing::Empty => Expect::Head(Head::default()),
            Framing::Sized(size) => Expect::Sized(size),
            Framing::Chunked => Expect::Chunked(Chunked::START),
        });
        if self.fragment.get() { Seen::Fragment } else { Seen::Plain }
    }

    /// The time for the first head has been running since its first byte was awaited for the rest.
    pub(in crate::proxy) fn begin(&self) {
        self.begun.set(true);
    }

    /// The connection goes on as this, once the answer that says so has left. What the client said behind its request is kept
    /// for it.
    pub(in crate::proxy) fn leave_http(&self, tunnel: Box<Tunnel>) {
        self.leaves_http.set(true);
        *self.tunnel.borrow_mut() = Some(tunnel);
    }

    /// What the connection goes on as.
    pub(in crate::proxy) fn tunnel(&self) -> Option<Box<Tunnel>> {
        self.tunnel.take()
    }

    /// Whether nothing is under way: no request is being answered, none has begun to come.
    pub(in crate::proxy) fn is_idle(&self) -> bool {
        !self.busy.get()
            && self.surplus.get() == 0
            && matches!(self.expect.get(), Expect::Head(head) if !head.has_begun())
    }

    /// The request that was begun is answered; from now on the connection idles, unless the next head has begun.
    pub(in crate::proxy) fn answered(&self) {
        self.busy.set(false);
        self.leaving.set(true);
        match self.expect.get() {
            Expect::Head(head) if head.has_begun() => self.read_by.start(self.head_read),
            Expect::Head(_) | Expect::Framing | Expect::Sized(_) | Expect::Chunked(_) | Expect::Rest => {
                self.read_by.set(self.idle);
            }
        }
    }

    /// Whether the whole body is here already, and small, so that it can be skipped and the connection kept.
    pub(in crate::proxy) fn body_is_at_hand(&self) -> bool {
        const SMALL: u64 = 4 << 10;
        match self.expect.get() {
            Expect::Head(_) | Expect::Framing => true,
            Expect::Sized(left) => {
                left <= SMALL && u64::try_from(self.surplus.get()).is_ok_and(|surplus| surplus >= left)
            }
            Expect::Chunked(_) | Expect::Rest => false,
        }
    }

    /// The client is to be given time to read the answer before the socket is closed on what it still sends.
    pub(in crate::proxy) fn linger(&self) {
        self.linger.set(true);
    }

    pub(in crate::proxy) fn lingers(&self) -> bool {
        self.linger.get()
    }

    /// The status for a head that was given to hyper and that it, or we, could not read. No request came of it, all answers
    /// to earlier ones have left, and hyper's own answer was kept back: whoever asks is to answer.
    pub(in crate::proxy) fn unreadable(&self) -> Option<StatusCode> {
        self.unreadable.get()
    }

    /// Whether the next head must wait: one request at a time, so that what hyper writes without one is about this head.
    fn holds_back(&self) -> bool {
        (self.busy.get() || self.leaving.get() || self.leaves_http.get())
            && matches!(self.expect.get(), Expect::Head(_))
    }

    fn wait(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        *self.held_back.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Everything that hyper had to say has left.
    fn said(&self) {
        if !self.busy.get()
            && !self.leaves_http.get()
            && self.leaving.take()
            && let Some(waker) = self.held_back.take()
        {
            waker.wake();
        }
    }

    /// Whether these bytes are hyper's own answer to a head that it could not read (a bare status), or the rest of it.
    fn keeps_back(&self, bytes: &[u8]) -> bool {
        if self.unreadable.get().is_none() && !self.busy.get() && !self.leaving.get() {
            let code = bytes.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
            let status = code.and_then(|code| StatusCode::from_bytes(code).ok());
            self.unreadable.set(status.filter(StatusCode::is_client_error));
        }
        self.unreadable.get().is_some()
    }

    /// How long the client may take until it sends something; `None`: for as long as it likes.
    fn patience(&self) -> Option<Duration> {
        match self.expect.get() {
            Expect::Head(head) if head.has_begun() => Some(self.head_read),
            Expect::Head(_) | Expect::Framing | Expect::Rest if self.busy.get() => None,
            Expect::Head(_) | Expect::Framing | Expect::Rest | Expect::Sized(_) | Expect::Chunked(_) => Some(self.idle),
        }
    }

    /// How many of the bytes hyper may have now; what comes after them waits until hyper has understood these.
    fn follow(&self, bytes: &[u8]) -> usize {
        let (after, taken) = match self.expect.get() {
            Expect::Head(mut head) => match head.follow(bytes) {
                Found::More => (Expect::Head(head), bytes.len()),
                Found::End(end) => {
                    self.heads.set(self.heads.get().saturating_add(1));
                    self.fragment.set(head.has_fragment());
                    (Expect::Framing, end)
                }
            },
            Expect::Sized(left) => {
                let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                match left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX)) {
                    0 => (Expect::Head(Head::default()), taken),
                    left => (Expect::Sized(left), taken),
                }
            }
            Expect::Chunked(mut body) => match body.follow(bytes) {
                Ok(Found::More) => (Expect::Chunked(body), bytes.len()),
                Ok(Found::End(end)) => (Expect::Head(Head::default()), end),
                Err(_lost) => (Expect::Rest, bytes.len()),
            },
            Expect::Framing => (Expect::Framing, 0),
            Expect::Rest => (Expect::Rest, bytes.len()),
        };
        self.expect.set(after);
        taken
    }
}

/// The connection: a socket, or TLS on one.
#[derive(Debug)]
pub(in crate::proxy) struct Wire<I> {
    io: I,
    watch: Rc<Watch>,
    /// What was received beyond the end of a head or body.
    surplus: BytesMut,
}

impl<I> Wire<I> {
    /// `first` holds what was read of it already.
    pub(in crate::proxy) fn new(io: I, watch: Rc<Watch>, first: BytesMut) -> Self {
        watch.surplus.set(first.len());
        Self { io, watch, surplus: first }
    }

    /// What is below.
    pub(in crate::proxy) fn into_io(self) -> I {
        self.io
    }

    /// The same, with what was received and not read.
    pub(in crate::proxy) fn into_parts(self) -> (I, BytesMut) {
        (self.io, self.surplus)
    }

    fn late(&self) -> Option<io::Result<()>> {
        if !self.watch.read_by.has_passed() {
            return None;
        }
        // Idling is ended like a client's own end; what was begun and not finished is an error.
        match self.watch.expect.get() {
            Expect::Head(head) if !head.has_begun() => Some(Ok(())),
            Expect::Head(_) | Expect::Framing | Expect::Sized(_) | Expect::Chunked(_) | Expect::Rest => {
                Some(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Follows what `bytes` holds. Returns how many of them hyper may have.
    fn follow(&self, bytes: &[u8]) -> usize {
        let was = self.watch.expect.get();
        let taken = self.watch.follow(bytes);
        // The limit for a head runs from its first byte, that for a body starts anew with each read.
        let goes_on =
            matches!((was, self.watch.expect.get()), (Expect::Head(head), Expect::Head(_)) if head.has_begun());
        if !goes_on && !self.watch.begun.take() {
            self.watch.read_by.clear();
        }
        taken
    }

    /// Keeps what has to wait until hyper has understood what came before it.
    fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.surplus.extend_from_slice(bytes);
            self.watch.surplus.set(self.surplus.len());
        }
    }

    /// Gives hyper of what was kept as much as it may have now.
    fn give_kept(&mut self, buffer: &mut ReadBuf<'_>) {
        let most = self.surplus.len().min(buffer.remaining());
        let taken = self.follow(self.surplus.get(..most).unwrap_or_default());
        buffer.put_slice(self.surplus.get(..taken).unwrap_or_default());
        self.surplus.advance(taken);
        if self.surplus.is_empty() {
            self.surplus = BytesMut::new();
        }
        self.watch.surplus.set(self.surplus.len());
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Wire<I> {
    /// Straight into hyper's own memory; what it may not have yet is taken out of that again.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.watch.expect.get() == Expect::Framing {
            // hyper wants more of a head that ended: it reads these bytes otherwise than we do.
            this.watch.unreadable.set(Some(StatusCode::BAD_REQUEST));
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let holds_back = this.watch.holds_back();
        if !this.surplus.is_empty() {
            if holds_back {
                return this.watch.wait(cx);
            }
            this.give_kept(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                let came = buffer.filled().get(before..).unwrap_or_default();
                if holds_back && !came.is_empty() {
                    this.keep(came);
                    buffer.set_filled(before);
                    return this.watch.wait(cx);
                }
                let taken = this.follow(came);
                this.keep(came.get(taken..).unwrap_or_default());
                buffer.set_filled(before.saturating_add(taken));
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if let Some(late) = this.late() {
                    return Poll::Ready(late);
                }
                match this.watch.patience() {
                    Some(limit) => this.watch.read_by.start(limit),
                    None => this.watch.read_by.clear(),
                }
                this.watch.read_by.wake(cx);
                Poll::Pending
            }
        }
    }
}

/// What a write came to, unless the client has been taking nothing for too long.
pub(in crate::proxy) fn in_time<T>(
    by: &Deadline,
    limit: Duration,
    cx: &Context<'_>,
    outcome: Poll<io::Result<T>>,
) -> Poll<io::Result<T>> {
    if outcome.is_ready() {
        by.clear();
    } else if by.has_passed() {
        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
    } else {
        by.start(limit);
        by.wake(cx);
    }
    outcome
}

impl<I> Wire<I> {
    fn in_time<T>(&self, cx: &Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        in_time(&self.watch.write_by, self.watch.idle, cx, outcome)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Wire<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.watch.keeps_back(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.in_time(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.watch.keeps_back(bytes.first().map(|first| &**first).unwrap_or_default()) {
            return Poll::Ready(Ok(bytes.iter().map(|slice| slice.len()).sum()));
        }
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.in_time(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS holds back what the socket has no room for.
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        ready!(self.in_time(cx, outcome))?;
        self.watch.said();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.watch.unreadable().is_some() {
            return Poll::Ready(Ok(())); // Something is still to be said.
        }
        let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
        self.in_time(cx, outcome)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Wire<I> {
    /// Says a last thing to the client, past hyper, and lets it read that.
    pub(in crate::proxy) async fn conclude(mut self, answer: &[u8], most: Duration) {
        let say = async {
            self.io.write_all(answer).await?;
            self.io.shutdown().await
        };
        if let Ok(Ok(())) = tokio::time::timeout(most, say).await {
            linger(self.io, most).await;
        }
    }
}

/// Takes and drops what the client still sends, for so long at the most, so that closing does not destroy the answer on its
/// way: a socket closed with unread bytes resets the connection (RFC 9112 section 9.6). Of much, no more is taken after a
/// while: then the client can't send, finds the answer, and the rest of the time is its own.
pub(in crate::proxy) async fn linger(mut io: impl AsyncRead + Unpin, most: Duration) {
    const MOST_BYTES: usize = 1 << 20;
    let drain = async {
        let mut left = MOST_BYTES;
        // On the heap: in the future it would be part of every connection, several times.
        let mut sink = vec![0u8; 4096];
        while let Ok(count @ 1..) = tokio::io::AsyncReadExt::read(&mut io, &mut sink).await {
            left = match left.checked_sub(count) {
                Some(left) => left,
                None => return std::future::pending().await,
            };
        }
    };
    let _late = tokio::time::timeout(most, drain).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_head_waits_until_the_answer_before_it_has_left_and_only_then_is_what_hyper_says_about_that_head() {
        const BARE: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        let watch = Watch::new(&Ticker::new(), &Limits::default());
        assert_eq!(watch.follow(b"GET / HTTP/1.1\r\n\r\n"), 18);
        assert_eq!(watch.head_read(Framing::Empty), Seen::Plain);
        assert!(watch.holds_back() && !watch.keeps_back(BARE), "being answered");
        watch.answered();
        assert!(watch.holds_back() && !watch.keeps_back(BARE), "answered, and the answer still here");
        watch.said();
        assert!(!watch.holds_back() && !watch.keeps_back(b"HTTP/1.1 200 OK\r\n\r\n"));
        assert!(watch.keeps_back(BARE) && watch.keeps_back(b"the rest of it"));
        assert_eq!(watch.unreadable(), Some(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn a_connection_that_leaves_http_gives_http_nothing_more() {
        let watch = Watch::new(&Ticker::new(), &Limits::default());
        assert_eq!(watch.follow(b"GET / HTTP/1.1\r\n\r\n"), 18);
        assert_eq!(watch.head_read(Framing::Empty), Seen::Plain);
        watch.leaves_http.set(true);
        watch.answered();
        watch.said();
        let mut wire = Wire::new(&b"GET /smuggled HTTP/1.1\r\n\r\n"[..], Rc::clone(&watch), BytesMut::new());
        let mut memory = [0u8; 100];
        let mut into = ReadBuf::new(&mut memory);
        assert!(read(&mut wire, &mut into).is_pending() && into.filled().is_empty());
        assert_eq!(&*wire.into_parts().1, b"GET /smuggled HTTP/1.1\r\n\r\n", "it is the tunnel's");
    }

    fn read(wire: &mut Wire<&[u8]>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(wire).poll_read(&mut Context::from_waker(Waker::noop()), into)
    }

    #[test]
    fn what_may_not_be_read_yet_is_taken_out_of_the_readers_memory_and_given_later() {
        const TWO: &[u8] = b"GET /a HTTP/1.1\r\n\r\nGET /b#c HTTP/1.1\r\n\r\n";
        let watch = Watch::new(&Ticker::new(), &Limits::default());
        let mut wire = Wire::new(TWO, Rc::clone(&watch), BytesMut::new());
        let mut memory = [0u8; 100];
        let mut into = ReadBuf::new(&mut memory);
        into.put_slice(b"before");
        assert!(read(&mut wire, &mut into).is_ready());
        assert_eq!(into.filled(), b"beforeGET /a HTTP/1.1\r\n\r\n");
        assert_eq!(watch.head_read(Framing::Empty), Seen::Plain);
        into.clear();
        assert!(read(&mut wire, &mut into).is_pending() && into.filled().is_empty(), "the first is being answered");
        watch.answered();
        watch.said();
        assert!(read(&mut wire, &mut into).is_ready());
        assert_eq!(into.filled(), b"GET /b#c HTTP/1.1\r\n\r\n");
        assert_eq!(watch.head_read(Framing::Empty), Seen::Fragment);
    }

    #[test]
    fn what_comes_while_an_answer_is_on_its_way_is_kept_from_the_reader() {
        let watch = Watch::new(&Ticker::new(), &Limits::default());
        let mut wire = Wire::new(&b"GET /b HTTP/1.1\r\n\r\n"[..], Rc::clone(&watch), BytesMut::new());
        assert_eq!(watch.follow(b"GET /a HTTP/1.1\r\n\r\n"), 19);
        assert_eq!(watch.head_read(Framing::Empty), Seen::Plain);
        let mut memory = [0u8; 100];
        let mut into = ReadBuf::new(&mut memory);
        assert!(read(&mut wire, &mut into).is_pending() && into.filled().is_empty());
        assert_eq!(watch.surplus.get(), 19);
    }

    #[test]
    fn what_few_connections_need_is_no_part_of_all_of_them() {
        assert!(size_of_val(&linger(tokio::io::empty(), Duration::ZERO)) < 1024);
    }
}
