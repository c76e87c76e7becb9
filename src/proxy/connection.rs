//! One client's connection: HTTP/1.1 on one socket, until it idles, breaks or the gate drains.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::proxy::edge::Edge;
use crate::proxy::handler;
use crate::proxy::proxy_protocol;
use crate::proxy::timing::Deadline;
use crate::proxy::unreadable;
use crate::proxy::verify::Verify;
use crate::proxy::wire::{Framing, Watch, Wire};
use crate::proxy::worker::Worker;
use crate::telemetry::Protocol;

/// How long a client may take to read an answer after which the connection is closed on it.
const LINGER: Duration = Duration::from_secs(2);
/// What hyper keeps of what it reads and writes, at the most, when the limit for heads is smaller.
const BUFFER: usize = 64 << 10;

/// What requests on one connection share.
pub(super) struct Connection<V> {
    pub(super) worker: Rc<Worker<V>>,
    pub(super) peer: SocketAddr,
    /// The place of its listener in [`Gate::listeners`](crate::proxy::Gate::listeners).
    pub(super) listener: usize,
    pub(super) edge: Edge,
    pub(super) watch: Rc<Watch>,
    /// By when the upstream must have answered the request under way.
    pub(super) answer_by: Deadline,
}

/// Serves a connection to its end.
pub(super) async fn serve<V: Verify>(mut stream: TcpStream, peer: SocketAddr, listener: usize, worker: &Rc<Worker<V>>) {
    let Some((peer, local)) = proxy_protocol::ends(&mut stream, peer, listener, worker).await else { return };
    let limits = &worker.gate.limits;
    let watch = Watch::new(&worker.ticker, limits);
    let connection = Rc::new(Connection {
        worker: Rc::clone(worker),
        peer,
        listener,
        edge: Edge::new(peer, local, worker.gate.listeners.get(listener)),
        watch: Rc::clone(&watch),
        answer_by: worker.ticker.deadline(),
    });
    let service = service_fn(|request: Request<Incoming>| {
        let seen = connection.watch.head_read(framing(request.body()));
        let connection = Rc::clone(&connection);
        async move { Ok::<_, Infallible>(handler::handle(&connection, request, seen).await) }
    });
    worker.gate.recorder.connection_speaks(Protocol::Http1, false);
    let wire = Wire::new(stream, Rc::clone(&watch), Rc::clone(&worker.scratch));
    let mut http = Builder::new()
        .max_header_size(limits.head)
        .max_buf_size(BUFFER.max(limits.head))
        .serve_connection(wire, service);
    let mut told = false;
    let ended = poll_fn(|cx| {
        if worker.ticker.is_draining() && !told {
            told = true;
            Pin::new(&mut http).graceful_shutdown();
        }
        Pin::new(&mut http).poll(cx)
    });
    match ended.await {
        Ok(()) if watch.lingers() => http.into_parts().io.linger(LINGER).await,
        Ok(()) => {}
        Err(error) if watch.unreadable().is_some() => {
            let status = watch.unreadable().unwrap_or(StatusCode::BAD_REQUEST);
            let answer = unreadable::answer(&connection, status, &error.to_string());
            http.into_parts().io.conclude(&answer, LINGER).await;
        }
        Err(error) if error.is_parse() => {
            worker.gate.recorder.request_unreadable(peer.ip(), &error.to_string());
            http.into_parts().io.linger(LINGER).await;
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
pub(super) async fn turn_away(mut stream: TcpStream) {
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
