//! A client's connection in HTTP/2: many requests at once, each in a task of its own, within limits that are all stated.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use http::Request;
use hyper::body::Incoming;
use hyper::rt::{Executor, Read, ReadBufCursor, Write};
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::config::settings::Limits;
use crate::proxy::downstream::clerk;
use crate::proxy::downstream::connection::Connection;
use crate::proxy::downstream::first::GRACE;
use crate::proxy::downstream::lane::{Exchange, Lane};
use crate::proxy::downstream::scratch::Scratch;
use crate::proxy::downstream::streams::{Awaited, Stream, Streams};
use crate::proxy::downstream::wire::{Seen, in_time};
use crate::proxy::verify::Verify;
use crate::telemetry::Protocol;

/// Of each stream's body, and of all of a connection's, what may wait here to be forwarded. HTTP/1.1 holds as much.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 128 << 10;
/// Of each stream's response, what may wait here for the client.
const SEND_BUFFER: usize = 16 << 10;
/// The least that the protocol allows, and what everyone uses.
const FRAME: u32 = 16 << 10;
/// What each side remembers of fields to write them shorter: the protocol's own default.
const HEADER_TABLE: u32 = 4 << 10;
/// How long a client that was told to go may take to take the last of its answers and say that it knows.
const FAREWELL: Duration = Duration::from_secs(3);
/// Streams that were reset before we saw their requests. One read may hold a few; a flood holds nothing else.
const RESET_UNSEEN: usize = 20;
/// Streams that we had to reset, for what the client sent in them was malformed (CVE-2025-8671).
const RESET_BY_US: usize = 100;

fn builder(limits: &Limits, streams: &Rc<Streams>) -> Builder<PerStream> {
    let mut builder = Builder::new(PerStream(Rc::clone(streams)));
    builder
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(RESET_UNSEEN)
        .max_local_error_reset_streams(RESET_BY_US)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .header_table_size(HEADER_TABLE)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_frame_size(FRAME)
        // Extended CONNECT (RFC 8441), which is how a WebSocket begins here.
        .enable_connect_protocol();
    builder
}

/// Serves a connection to its end. `first` holds what was read of it already.
pub(in crate::proxy) async fn serve<V, I>(io: I, first: BytesMut, connection: Rc<Connection<V>>)
where
    V: Verify,
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let worker = Rc::clone(&connection.worker);
    let limits = &worker.gate.limits;
    worker.gate.recorder.connection_speaks(Protocol::Http2, connection.secure);
    let streams = Streams::new(&worker.ticker, limits);
    let service = service_fn(|request: Request<Incoming>| {
        let (connection, streams) = (Rc::clone(&connection), Rc::clone(&streams));
        async move {
            let stream = streams.running();
            let lane = Lane::Stream(Rc::clone(&stream));
            let exchange = Exchange { lane, seen: Seen::Plain, answer_by: connection.worker.ticker.deadline() };
            let response = clerk::handle(&connection, request, exchange).await;
            stream.begin();
            response
        }
    });
    let wire = Wire { io, streams: Rc::clone(&streams), scratch: Rc::clone(&worker.scratch), first };
    let mut http = pin!(builder(limits, &streams).serve_connection(wire, service));
    let (closed_by, grace) = (worker.ticker.deadline(), worker.ticker.deadline());
    let mut told = false;
    let outcome = poll_fn(|cx| {
        loop {
            if let Poll::Ready(outcome) = http.as_mut().poll(cx) {
                return Poll::Ready(Ended::by(outcome));
            }
            let late = streams.late();
            if streams.is_abused() {
                return Poll::Ready(Ended::Unreadable("more requests were given up than awaited".into()));
            }
            if late == Some(Awaited::Head) || closed_by.has_passed() {
                return Poll::Ready(Ended::Quietly);
            }
            let idles = late == Some(Awaited::Request);
            if worker.ticker.is_draining() && !streams.was_asked() {
                // Its request may be on the way: it was accepted before.
                grace.start(GRACE);
            }
            let drains = worker.ticker.is_draining() && (streams.was_asked() || grace.has_passed());
            if told && streams.is_idle() {
                closed_by.start(FAREWELL);
            } else {
                closed_by.clear();
            }
            if told || !(idles || drains) {
                streams.read_by.wake(cx);
                closed_by.wake(cx);
                return Poll::Pending;
            }
            // GOAWAY: what was sent before it arrives is answered still.
            told = true;
            streams.read_by.clear();
            http.as_mut().graceful_shutdown();
        }
    });
    match outcome.await {
        Ended::Unreadable(detail) => worker.gate.recorder.request_unreadable(connection.peer.ip(), &detail),
        // A client that went away, or was too slow. Nobody is left to tell.
        Ended::Quietly => {}
    }
}

/// How a connection ended.
enum Ended {
    Quietly,
    /// By something that no client sends that means well.
    Unreadable(String),
}

impl Ended {
    fn by(outcome: Result<(), hyper::Error>) -> Self {
        let Err(error) = outcome else { return Self::Quietly };
        let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<h2::Error>());
        match cause {
            Some(cause) if cause.is_go_away() && cause.is_library() => Self::Unreadable(cause.to_string()),
            Some(_) | None => Self::Quietly,
        }
    }
}

/// Runs each stream in a task, which ends when the client leaves it waiting for too long.
#[derive(Clone)]
struct PerStream(Rc<Streams>);

impl<F: Future<Output = ()> + 'static> Executor<F> for PerStream {
    fn execute(&self, future: F) {
        let (streams, future) = (Rc::clone(&self.0), Box::pin(future));
        let (stream, goes_on) = match streams.under_way() {
            // What a request leaves behind that its stream goes on with.
            Some(stream) => (streams.go_on(stream), true),
            None => (streams.open(), false),
        };
        drop(tokio::task::spawn_local(Task { streams, stream, goes_on, future }));
    }
}

struct Task<F> {
    streams: Rc<Streams>,
    stream: Rc<Stream>,
    /// It goes on with a stream whose request was another task.
    goes_on: bool,
    future: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { streams, stream, future, .. } = &mut *self;
        if streams.run(stream, || future.as_mut().poll(cx)).is_ready() || stream.client_by.has_passed() {
            // Dropped with this task, a stream that is not over is reset.
            return Poll::Ready(());
        }
        stream.client_by.wake(cx);
        Poll::Pending
    }
}

impl<F> Drop for Task<F> {
    fn drop(&mut self) {
        if self.goes_on {
            self.streams.left();
        } else {
            self.streams.closed(&self.stream);
        }
    }
}

/// A connection as the h2 library reads and writes it, within the time limits.
struct Wire<I> {
    io: I,
    streams: Rc<Streams>,
    scratch: Scratch,
    /// What was read before the protocol was known.
    first: BytesMut,
}

impl<I: AsyncRead + Unpin> Read for Wire<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if cursor.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if !this.first.is_empty() {
            let most = this.first.len().min(cursor.remaining());
            let bytes = this.first.get(..most).unwrap_or_default();
            this.streams.follow(bytes);
            cursor.put_slice(bytes);
            this.first.advance(most);
            return Poll::Ready(Ok(()));
        }
        let scratch = Rc::clone(&this.scratch);
        let mut scratch = scratch.borrow_mut();
        let most = scratch.len().min(cursor.remaining());
        let Some(room) = scratch.get_mut(..most) else { return Poll::Ready(Err(io::ErrorKind::Other.into())) };
        let mut buffer = ReadBuf::new(room);
        let outcome = Pin::new(&mut this.io).poll_read(cx, &mut buffer);
        match &outcome {
            Poll::Ready(_) => {
                this.streams.follow(buffer.filled());
                cursor.put_slice(buffer.filled());
            }
            Poll::Pending => {}
        }
        outcome
    }
}

impl<I: AsyncWrite + Unpin> Wire<I> {
    fn in_time<T>(&self, cx: &Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        in_time(&self.streams.write_by, self.streams.idle, cx, outcome)
    }
}

impl<I: AsyncWrite + Unpin> Write for Wire<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.in_time(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.in_time(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        self.in_time(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
        self.in_time(cx, outcome)
    }
}
