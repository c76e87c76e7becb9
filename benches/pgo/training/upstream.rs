//! The application behind the gate: answers at once, in the forms that applications answer in.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, ETAG, LOCATION, SEC_WEBSOCKET_ACCEPT, SET_COOKIE, UPGRADE, VARY,
};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::tunnels::ACCEPT;
use super::{Failure, tunnels};

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upstream {
    pub(crate) http1: SocketAddr,
    pub(crate) http2: SocketAddr,
}

impl Upstream {
    /// Serves as long as the runtime lives.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let (first, second) = (listen().await?, listen().await?);
        let (http1, http2) = (first.local_addr()?, second.local_addr()?);
        // A connection that breaks is seen by the client: its answer is missing.
        drop(tokio::spawn(async move {
            while let Ok((stream, _)) = first.accept().await {
                let _slow = stream.set_nodelay(true);
                let serve = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
                drop(tokio::spawn(serve.with_upgrades()));
            }
        }));
        drop(tokio::spawn(async move {
            while let Ok((stream, _)) = second.accept().await {
                let _slow = stream.set_nodelay(true);
                let builder = http2::Builder::new(TokioExecutor::new());
                drop(tokio::spawn(builder.serve_connection(TokioIo::new(stream), service_fn(answer))));
            }
        }));
        Ok(Self { http1, http2 })
    }
}

async fn listen() -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

/// A body with its length, or in pieces of a length that nobody says before.
struct Answer {
    left: usize,
    piece: usize,
    counted: bool,
}

impl Answer {
    const fn whole(length: usize) -> Self {
        Self { left: length, piece: 16 << 10, counted: true }
    }

    const fn pieces(length: usize) -> Self {
        Self { left: length, piece: 512, counted: false }
    }
}

/// What all bodies consist of.
static TEXT: [u8; 16 << 10] = [b'a'; 16 << 10];

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = TEXT.get(..self.left.min(self.piece)).unwrap_or(&TEXT);
        self.left = self.left.saturating_sub(piece.len());
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(Bytes::from_static(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.counted { SizeHint::with_exact(self.left as u64) } else { SizeHint::new() }
    }
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Answer>, Failure> {
    if request.headers().contains_key(UPGRADE) {
        let upgraded = hyper::upgrade::on(&mut request);
        drop(tokio::spawn(async move { Ok::<_, Failure>(echo(TokioIo::new(upgraded.await?)).await?) }));
        let agreed = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).header(CONNECTION, "Upgrade");
        let agreed = agreed.header(UPGRADE, tunnels::PROTOCOL).header(SEC_WEBSOCKET_ACCEPT, ACCEPT);
        return Ok(agreed.body(Answer::whole(0))?);
    }
    let (head, body) = request.into_parts();
    let sent = body.collect().await?.to_bytes().len();
    let response = Response::builder().header(CONTENT_TYPE, "application/json");
    let response = match (head.method, head.uri.path()) {
        (Method::POST, _) => {
            response.status(StatusCode::CREATED).header(LOCATION, "/transfers/7").body(Answer::whole(sent))
        }
        (Method::DELETE, _) => response.status(StatusCode::NO_CONTENT).body(Answer::whole(0)),
        (_, path) if path.contains("/gone/") => response.status(StatusCode::NOT_FOUND).body(Answer::whole(120)),
        (_, path) if path.contains("/broken/") => {
            response.status(StatusCode::INTERNAL_SERVER_ERROR).body(Answer::whole(120))
        }
        (_, path) if path.contains("/stream/") => response.body(Answer::pieces(4 << 10)),
        (_, path) if path.contains("/large/") => response.body(Answer::whole(64 << 10)),
        (_, path) if path.starts_with("/portal/") => response
            .header(SET_COOKIE, "theme=dark; Path=/; Secure; HttpOnly; SameSite=Lax")
            .header(CACHE_CONTROL, "private, no-cache")
            .header(ETAG, "\"33a64df551425fcc55e4d42a148795d9f25f89d4\"")
            .header(VARY, "accept, cookie")
            .body(Answer::whole(8 << 10)),
        _ => response.header(CACHE_CONTROL, "no-store").body(Answer::whole(1 << 10)),
    };
    Ok(response?)
}

/// Gives back what comes until the other side ends.
async fn echo(mut stream: TokioIo<Upgraded>) -> std::io::Result<()> {
    let mut piece = [0; 1 << 10];
    loop {
        let read = stream.read(&mut piece).await?;
        match piece.get(..read) {
            Some(came) if !came.is_empty() => stream.write_all(came).await?,
            _ => return stream.shutdown().await,
        }
    }
}
