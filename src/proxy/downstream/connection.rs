//! One client's connection, until it idles, breaks or the gate drains: which protocol it speaks, and HTTP/1.1 itself.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use http::{Request, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::settings::Limits;
use crate::proxy::downstream::clerk;
use crate::proxy::downstream::first::{self, First};
use crate::proxy::downstream::http2;
use crate::proxy::downstream::lane::{Exchange, Lane};
use crate::proxy::downstream::proxy_protocol;
use crate::proxy::downstream::unreadable;
use crate::proxy::downstream::wire::{Framing, Watch, Wire, linger};
use crate::proxy::downstream::worker::Worker;
use crate::proxy::edge::approach::Edge;
use crate::proxy::verify::Verify;
use crate::telemetry::Protocol;
use crate::tls::server::HTTP2;

/// How long a client may take to read an answer after which the connection is closed on it.
pub(in crate::proxy) const LINGER: Duration = Duration::from_secs(2);
/// What hyper keeps of what it reads and writes, at the most, when the limit for heads is smaller.
const BUFFER: usize = 64 << 10;
/// How many fields hyper has room for without asking for memory.
const FIELDS: usize = 100;

/// What requests on one connection share.
pub(in crate::proxy) struct Connection<V> {
    pub(in crate::proxy) worker: Rc<Worker<V>>,
    pub(in crate::proxy) peer: SocketAddr,
    pub(in crate::proxy) edge: Edge,
    /// Whether it is in TLS.
    pub(in crate::proxy) secure: bool,
}

/// Serves a connection to its end.
pub(in crate::proxy) async fn serve<V: Verify>(
    mut stream: TcpStream,
    peer: SocketAddr,
    listener: usize,
    worker: &Rc<Worker<V>>,
) {
    let Some((peer, local)) = proxy_protocol::ends(&mut stream, peer, listener, worker).await else { return };
    let tls = worker.gate.tls.get(listener).and_then(Option::as_ref);
    let connection = Rc::new(Connection {
        worker: Rc::clone(worker),
        peer,
        edge: Edge::new(peer, local, worker.gate.listeners.get(listener)),
        secure: tls.is_some(),
    });
    // Boxed, so that what only some connections need is no part of all of them.
    if let Some(tls) = tls {
        return Box::pin(serve_tls(stream, tls.current(), connection)).await;
    }
    let watch = Watch::new(&worker.ticker, &worker.gate.limits);
    let Some(first) = begin(&mut stream, &watch, worker).await else { return };
    if first.http2 {
        return Box::pin(http2::serve(stream, first.bytes, connection)).await;
    }
    serve_http1(stream, first.bytes, watch, &connection).await;
}

/// Waits for what comes first.
async fn begin<V>(io: &mut (impl AsyncRead + Unpin), watch: &Watch, worker: &Worker<V>) -> Option<First> {
    let first = first::read(io, &worker.scratch, &watch.read_by, &worker.ticker, &worker.gate.limits).await?;
    if first.in_parts {
        watch.begin();
    } else {
        watch.read_by.clear();
    }
    Some(first)
}

/// Shakes hands, within the time for a head, and serves what the client chose.
async fn serve_tls<V: Verify>(stream: TcpStream, config: Arc<ServerConfig>, connection: Rc<Connection<V>>) {
    let worker = &connection.worker;
    let Some(mut stream) = shake_hands(stream, config, &connection).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(HTTP2) {
        return http2::serve(stream, BytesMut::new(), connection).await;
    }
    let watch = Watch::new(&worker.ticker, &worker.gate.limits);
    // A preface here is one of a client that said otherwise by ALPN, and no request.
    let Some(first) = begin(&mut stream, &watch, worker).await else { return };
    serve_http1(stream, first.bytes, watch, &connection).await;
}

async fn shake_hands<V: Verify>(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    connection: &Connection<V>,
) -> Option<TlsStream<TcpStream>> {
    let worker = &connection.worker;
    let failed = |detail: &str| worker.gate.recorder.handshake_failed(connection.peer.ip(), detail);
    let by = worker.ticker.deadline();
    by.set(worker.gate.limits.head_read);
    match by.bound(pin!(TlsAcceptor::from(config).accept(stream).into_fallible())).await {
        Ok(Ok(stream)) => Some(stream),
        // Whoever only looks whether the port is open has not failed at anything.
        Ok(Err((error, _))) if error.kind() == std::io::ErrorKind::UnexpectedEof => None,
        Ok(Err((error, stream))) => {
            failed(&error.to_string());
            // The alert says what was wrong; it has to arrive.
            linger(stream, LINGER).await;
            None
        }
        Err(_late) => {
            failed("the handshake took longer than `limits.head_read`");
            None
        }
    }
}

fn http1(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder.max_header_size(limits.head).max_buf_size(BUFFER.max(limits.head));
    if limits.headers > FIELDS {
        // Costs memory for each request; a smaller limit is looked after by `handler`.
        builder.max_headers(limits.headers);
    }
    builder
}

async fn serve_http1<V, I>(io: I, first: BytesMut, watch: Rc<Watch>, connection: &Rc<Connection<V>>)
where
    V: Verify,
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let worker = &connection.worker;
    let answer_by = worker.ticker.deadline();
    let service = service_fn(|request: Request<Incoming>| {
        let seen = watch.head_read(framing(request.body()));
        let exchange = Exchange { lane: Lane::Alone(Rc::clone(&watch)), seen, answer_by: answer_by.clone() };
        clerk::handle(connection, request, exchange)
    });
    worker.gate.recorder.connection_speaks(Protocol::Http1, connection.secure);
    let wire = Wire::new(io, Rc::clone(&watch), first);
    let mut http = http1(&worker.gate.limits).serve_connection(TokioIo::new(wire), service);
    let mut drains = 0u8;
    let ended = poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = Pin::new(&mut http).poll(cx) {
                return Poll::Ready(ended);
            }
            // What idles is closed at the second look: what has arrived by the first is a request that was taken.
            let told = drains == 2;
            if told || !worker.ticker.is_draining() {
                return Poll::Pending;
            }
            drains = if drains == 0 && watch.is_idle() { 1 } else { 2 };
            if drains == 1 {
                return Poll::Pending;
            }
            Pin::new(&mut http).graceful_shutdown();
        }
    });
    let ended = ended.await;
    if let (Some(tunnel), true) = (watch.tunnel(), ended.is_ok()) {
        let parts = http.into_parts();
        let (io, surplus) = parts.io.into_inner().into_parts();
        let mut early = BytesMut::from(parts.read_buf);
        early.extend_from_slice(&surplus);
        return tunnel.carry(Box::new(io), early.freeze()).await;
    }
    match ended {
        Ok(()) if watch.lingers() => linger(http.into_parts().io.into_inner().into_io(), LINGER).await,
        Ok(()) => {}
        Err(error) if watch.unreadable().is_some() => {
            let status = watch.unreadable().unwrap_or(StatusCode::BAD_REQUEST);
            let answer = unreadable::answer(connection, status, &error.to_string());
            http.into_parts().io.into_inner().conclude(&answer, LINGER).await;
        }
        Err(error) if error.is_parse() => {
            worker.gate.recorder.request_unreadable(connection.peer.ip(), &error.to_string());
            linger(http.into_parts().io.into_inner().into_io(), LINGER).await;
        }
        // A client that went away, or was too slow. Nothing was refused, and nobody is left to tell.
        Err(_broken) => {}
    }
}

fn framing(body: &Incoming) -> Framing {
    if body.is_end_stream() {
        return Framing::Empty;
    }
    body.size_hint().exact().map_or(Framing::Chunked, Framing::Sized)
}

/// Answers a connection that there is no room for, without reading what it asks.
pub(in crate::proxy) async fn turn_away(mut stream: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
        content-type: application/problem+json\r\n\
        cache-control: no-store\r\n\
        retry-after: 1\r\n\
        connection: close\r\n\
        content-length: 108\r\n\r\n\
        {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"reason\":\"overloaded\",\"request_id\":\"none\"}\n";
    let answer = async {
        if stream.write_all(ANSWER).await.is_ok() && stream.shutdown().await.is_ok() {
            let mut sink = [0u8; 1024];
            let mut left = 64u32;
            while left > 0 && matches!(tokio::io::AsyncReadExt::read(&mut stream, &mut sink).await, Ok(1..)) {
                left = left.saturating_sub(1);
            }
        }
    };
    let _late = tokio::time::timeout(LINGER, answer).await;
}
