//! HTTP/2 connections to one upstream, kept by one worker: many requests at once on each, and few of them.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper::rt::{Executor, Read, ReadBufCursor, Write};
use hyper_util::rt::TokioTimer;
use tokio::sync::{Notify, watch};

use crate::proxy::forwarding::body::RequestBody;
use crate::proxy::forwarding::pool::{AGE, IDLE, READ};
use crate::proxy::forwarding::reach::ConnectError;

/// The most streams on one connection, whatever the upstream allows.
const STREAMS: usize = 100;
/// The most connections that take requests. What does not fit on them waits.
const CONNECTIONS: usize = 32;
/// What an upstream may send on one stream before the client has taken it.
const STREAM_WINDOW: u32 = 128 << 10;
/// The same for a connection: no less than all its streams together, or a few clients that do not read could hold up
/// everybody else's.
const CONNECTION_WINDOW: u32 = 100 * STREAM_WINDOW;
const _: () = assert!(CONNECTION_WINDOW as u64 == STREAMS as u64 * STREAM_WINDOW as u64);
/// What is held of one request's body while the upstream takes no more of it.
const SEND_BUFFER: usize = 64 << 10;
/// How often an upstream is asked on a silent connection with open streams whether it still lives. gRPC servers count it as
/// abuse when they are asked more often than every five minutes; that the machine is gone the system notices much earlier.
const PING: Duration = Duration::from_secs(310);
const PONG: Duration = Duration::from_secs(20);

/// The connections to one upstream.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Connections {
    open: RefCell<Vec<Rc<Shared>>>,
    /// The connection that is being made, for all who wait for it.
    opening: RefCell<Option<Opening>>,
    room: Rc<Notify>,
}

/// A connection that is being made; its outcome is there once it is.
pub(in crate::proxy) type Opening = watch::Receiver<Option<Result<(), ConnectError>>>;

/// One connection.
struct Shared {
    sender: SendRequest<RequestBody>,
    state: Rc<RefCell<dyn Limit>>,
    /// Fewer streams than the upstream says, after it refused some.
    most: Cell<usize>,
    streams: Cell<usize>,
    born: Instant,
    idle_since: Cell<Instant>,
    /// When a response's head last came; `None`: never yet.
    heard: Cell<Option<Instant>>,
    /// Whether it takes no more requests.
    leaving: Cell<bool>,
    room: Rc<Notify>,
}

/// A place for one request on a connection. Given up when dropped.
#[derive(Debug)]
pub(in crate::proxy) struct Slot(Rc<Shared>);

/// How many streams the upstream allows on a connection.
trait Limit {
    fn limit(&self) -> usize;
    /// Whether it takes extended CONNECT (RFC 8441).
    fn takes_connect(&self) -> bool;
}

/// A connection while it lives; it is let go of when it has ended, so that what was not sent is given back.
struct Life<C>(Option<C>);

impl<T> Limit for Life<Connection<T, RequestBody, Here>>
where
    T: Read + Write + Unpin + 'static,
{
    fn limit(&self) -> usize {
        self.0.as_ref().map_or(0, Connection::current_max_send_streams)
    }

    fn takes_connect(&self) -> bool {
        self.0.as_ref().is_some_and(Connection::is_extended_connect_protocol_enabled)
    }
}

impl Connections {
    /// A place that is free now.
    pub(in crate::proxy) fn slot(&self) -> Option<Slot> {
        let mut open = self.open.borrow_mut();
        open.retain(|one| !one.is_leaving());
        open.iter().find(|one| one.has_room()).map(Slot::take)
    }

    /// The outcome of the connection that is being made, to be waited for. `None`: none is, and none may be, because there
    /// are enough; a place will become free.
    pub(in crate::proxy) fn opening<F>(self: &Rc<Self>, open: impl FnOnce(Rc<Self>) -> F) -> Option<Opening>
    where
        F: Future<Output = Result<(), ConnectError>> + 'static,
    {
        let mut opening = self.opening.borrow_mut();
        if let Some(under_way) = &*opening {
            return Some(under_way.clone());
        }
        if self.open.borrow().len() >= CONNECTIONS {
            return None;
        }
        let (tell, told) = watch::channel(None);
        *opening = Some(told.clone());
        let (connections, made) = (Rc::clone(self), open(Rc::clone(self)));
        // A task of its own: the client that asked first may go away while others wait.
        drop(tokio::task::spawn_local(async move {
            let outcome = made.await;
            *connections.opening.borrow_mut() = None;
            tell.send_replace(Some(outcome));
        }));
        Some(told)
    }

    /// Waits until a place may have become free.
    pub(in crate::proxy) async fn wait(&self) {
        self.room.notified().await;
    }

    /// Begins HTTP/2 on a socket and takes it up, once the upstream has said how many streams it allows.
    pub(in crate::proxy) async fn take_up<T>(&self, io: T) -> Result<(), ConnectError>
    where
        T: Read + Write + Unpin + 'static,
    {
        let io = Noted { io, failure: Rc::default() };
        let failure = Rc::clone(&io.failure);
        let failed = |error: &hyper::Error| {
            // hyper keeps to itself why a connection broke.
            let cause = failure.borrow_mut().take().unwrap_or_else(|| chain(error));
            ConnectError::Failed(format!("HTTP/2 failed: {cause}"))
        };
        let here = Here::default();
        let (sender, mut connection) = Builder::new(here.clone())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(u32::try_from(READ).unwrap_or(u32::MAX))
            // None until the upstream has said how many: too many at first would be refused.
            .initial_max_send_streams(0)
            .handshake(io)
            .await
            .map_err(|error| failed(&error))?;
        let begun = poll_fn(|cx| {
            here.call_me(cx);
            match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(failed(&error))),
                Poll::Ready(Ok(())) => Poll::Ready(Err(ConnectError::Failed("it closed the connection".into()))),
                Poll::Pending if connection.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            }
        });
        begun.await?;
        here.hang_up();
        let life = Rc::new(RefCell::new(Life(Some(connection))));
        let driven = Rc::clone(&life);
        drop(tokio::task::spawn_local(poll_fn(move |cx| driven.borrow_mut().poll(cx))));
        let now = Instant::now();
        self.open.borrow_mut().push(Rc::new(Shared {
            sender,
            state: life,
            most: Cell::new(STREAMS),
            streams: Cell::new(0),
            born: now,
            idle_since: Cell::new(now),
            heard: Cell::new(None),
            leaving: Cell::new(false),
            room: Rc::clone(&self.room),
        }));
        self.room.notify_waiters();
        Ok(())
    }

    /// No request was answered in time since then: connections on which nothing was heard since take no more.
    pub(in crate::proxy) fn doubt(&self, since: Instant) {
        let silent = |one: &&Rc<Shared>| one.heard.get().is_none_or(|heard| heard < since);
        self.open.borrow().iter().filter(silent).for_each(|one| one.leaving.set(true));
    }

    /// Closes what has lain unused for too long.
    pub(in crate::proxy) fn sweep(&self) {
        let unused = |one: &Rc<Shared>| one.streams.get() == 0 && one.idle_since.get().elapsed() > IDLE;
        self.open.borrow_mut().retain(|one| !one.is_leaving() && !unused(one));
    }
}

impl<T> Life<Connection<T, RequestBody, Here>>
where
    T: Read + Write + Unpin + 'static,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(connection) = &mut self.0 else { return Poll::Ready(()) };
        // Its errors reach whoever waits for a response; without one waiting there is nobody to tell.
        let ended = Pin::new(connection).poll(cx).map(drop);
        if ended.is_ready() {
            self.0 = None;
        }
        ended
    }
}

impl Shared {
    fn is_leaving(&self) -> bool {
        self.leaving.get() || self.sender.is_closed() || self.born.elapsed() > AGE
    }

    fn has_room(&self) -> bool {
        self.streams.get() < self.most.get().min(self.state.borrow().limit())
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("streams", &self.streams).field("leaving", &self.leaving).finish_non_exhaustive()
    }
}

impl Slot {
    fn take(on: &Rc<Shared>) -> Self {
        on.streams.set(on.streams.get().saturating_add(1));
        Self(Rc::clone(on))
    }

    /// The way to send a request in this place.
    pub(in crate::proxy) fn sender(&self) -> SendRequest<RequestBody> {
        self.0.sender.clone()
    }

    /// A response's head came.
    pub(in crate::proxy) fn heard(&self) {
        self.0.heard.set(Some(Instant::now()));
    }

    /// The upstream takes no more requests on this connection.
    pub(in crate::proxy) fn leave(&self) {
        self.0.leaving.set(true);
    }

    /// The upstream refused this stream: it takes no more than the others at once.
    pub(in crate::proxy) fn refused(&self) {
        let others = self.0.streams.get().saturating_sub(1);
        self.0.most.set(self.0.most.get().min(others).max(1));
    }

    /// Whether the upstream said that it takes extended CONNECT on this connection.
    pub(in crate::proxy) fn takes_connect(&self) -> bool {
        self.0.state.borrow().takes_connect()
    }

    /// Whether nothing was ever answered on this connection.
    pub(in crate::proxy) fn is_fresh(&self) -> bool {
        self.0.heard.get().is_none()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let left = self.0.streams.get().saturating_sub(1);
        self.0.streams.set(left);
        if left == 0 {
            self.0.idle_since.set(Instant::now());
        }
        self.0.room.notify_one();
    }
}

/// A socket that remembers why it failed.
struct Noted<T> {
    io: T,
    failure: Rc<RefCell<Option<String>>>,
}

impl<T> Noted<T> {
    fn note<O>(&self, outcome: Poll<io::Result<O>>) -> Poll<io::Result<O>> {
        if let Poll::Ready(Err(error)) = &outcome {
            self.failure.borrow_mut().get_or_insert_with(|| error.to_string());
        }
        outcome
    }
}

impl<T: Read + Unpin> Read for Noted<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_read(cx, buf);
        self.note(outcome)
    }
}

impl<T: Write + Unpin> Write for Noted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, buf);
        self.note(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        self.note(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.note(outcome)
    }
}

/// Runs hyper's tasks on this worker, and calls whoever waits for what they do.
#[derive(Clone, Debug, Default)]
pub(in crate::proxy) struct Here(Rc<RefCell<Option<Waker>>>);

impl Here {
    fn call_me(&self, cx: &Context<'_>) {
        *self.0.borrow_mut() = Some(cx.waker().clone());
    }

    fn hang_up(&self) {
        *self.0.borrow_mut() = None;
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Here {
    fn execute(&self, future: F) {
        let waiting = Rc::clone(&self.0);
        drop(tokio::task::spawn_local(async move {
            let mut future = std::pin::pin!(future);
            poll_fn(|cx| {
                let polled = future.as_mut().poll(cx);
                if let Some(waker) = &*waiting.borrow() {
                    waker.wake_by_ref();
                }
                polled
            })
            .await;
        }));
    }
}

/// An error with its causes.
pub(in crate::proxy) fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
