//! What hyper alone costs: a pass-through with nothing in it that is ours, and no more sense than a measurement needs.
//!
//!     hyper-floor PORT UPSTREAM-PORT WORKERS
//!
//! Built as Stepgate's data path is built (a current-thread runtime for each worker, `SO_REUSEPORT`, connections to the
//! upstream kept by each thread), but without a limit, a timeout, a check, a header that is looked at, or a count. What a
//! public route costs more than this is ours to answer for. Not for use: it trusts whatever it is sent.

use std::cell::RefCell;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

type Failure = Box<dyn Error + Send + Sync>;

/// One worker's connections to the upstream that nobody uses.
struct Pool {
    upstream: SocketAddr,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
}

impl Pool {
    async fn sender(&self) -> Result<SendRequest<Incoming>, Failure> {
        loop {
            let Some(mut sender) = self.idle.borrow_mut().pop() else { break };
            if sender.is_ready() || sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }
}

/// A response on its way down. The connection it came on is kept when it is through.
struct Passed {
    inner: Incoming,
    lease: Option<(SendRequest<Incoming>, Rc<Pool>)>,
}

impl Body for Passed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        if self.inner.is_end_stream()
            && let Some((sender, pool)) = self.lease.take()
        {
            pool.idle.borrow_mut().push(sender);
        }
    }
}

async fn forward(request: Request<Incoming>, pool: Rc<Pool>) -> Result<Response<Passed>, Failure> {
    let mut sender = pool.sender().await?;
    let response = sender.send_request(request).await?;
    Ok(response.map(|inner| Passed { inner, lease: Some((sender, pool)) }))
}

fn listen(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

async fn work(listener: std::net::TcpListener, upstream: SocketAddr) -> Result<(), Failure> {
    let listener = TcpListener::from_std(listener)?;
    let pool = Rc::new(Pool { upstream, idle: RefCell::default() });
    loop {
        let (stream, _peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let pool = Rc::clone(&pool);
        drop(tokio::task::spawn_local(async move {
            let service = service_fn(|request| forward(request, Rc::clone(&pool)));
            // A client that went away; there is nobody to tell.
            let _ended = Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }));
    }
}

fn main() -> Result<(), Failure> {
    let numbers: Vec<u16> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [port, upstream, workers] = numbers[..] else {
        return Err("usage: hyper-floor PORT UPSTREAM-PORT WORKERS".into());
    };
    let [address, upstream] = [port, upstream].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut threads = Vec::new();
    for number in 0..workers {
        let listener = listen(address)?;
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
            runtime.block_on(work(listener, upstream))
        };
        threads.push(std::thread::Builder::new().name(format!("worker-{number}")).spawn(work)?);
    }
    for thread in threads {
        thread.join().map_err(|_panic| "a worker panicked")??;
    }
    Ok(())
}
