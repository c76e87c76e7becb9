//! Connections to one upstream, kept by one worker.
//!
//! A connection comes back when a response was read to its end and the request was sent to its end, never earlier; the
//! one that came back last goes out first, so that a burst's extra connections grow old and go. A response dropped
//! half-way closes its connection.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config::settings::{Endpoint, Limits, Upstream};
use crate::proxy::body::{End, RequestBody};
use crate::telemetry::{Forwarding, UpstreamMeter};

/// How long a connection may lie unused. Shorter than most applications' own limit, so that we close first.
const IDLE: Duration = Duration::from_secs(30);
/// How long a connection may be used at all, so that changed addresses are noticed.
const AGE: Duration = Duration::from_secs(600);
/// The most unused connections that are kept.
const KEPT: usize = 256;
/// The most bytes of a response's head, and of what is read of its body at once.
const READ: usize = 64 << 10;

/// The connections to one upstream.
#[derive(Debug)]
pub(super) struct Pool {
    upstream: Upstream,
    connect: Duration,
    idle: RefCell<Vec<Idle>>,
    meter: Rc<UpstreamMeter>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    born: Instant,
    since: Instant,
}

/// A connection in use. Dropped without [`Lease::give_back`], it is closed.
#[derive(Debug)]
pub(super) struct Lease {
    sender: SendRequest<RequestBody>,
    born: Instant,
    pool: Rc<Pool>,
    /// How the body of the request that is sent on it ends.
    request: Option<Rc<Cell<End>>>,
    /// Counts the request until its answer is through, or dropped.
    pub(super) forwarding: Option<Forwarding>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// It took too long.
    Late,
    /// It was refused, or the name has no address.
    Failed(String),
}

impl Pool {
    pub(super) fn new(upstream: &Upstream, limits: &Limits, meter: UpstreamMeter) -> Rc<Self> {
        let (upstream, connect, meter) = (upstream.clone(), limits.connect, Rc::new(meter));
        Rc::new(Self { upstream, connect, idle: RefCell::default(), meter })
    }

    /// Who counts what is asked of this upstream.
    pub(super) fn meter(&self) -> &Rc<UpstreamMeter> {
        &self.meter
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// A connection that was used before, where one is left that still lives.
    pub(super) async fn reuse(self: &Rc<Self>) -> Option<Lease> {
        loop {
            let Idle { mut sender, born, since } = self.idle.borrow_mut().pop()?;
            if sender.is_closed() || since.elapsed() > IDLE || born.elapsed() > AGE {
                continue;
            }
            if sender.is_ready() || sender.ready().await.is_ok() {
                return Some(Lease { sender, born, pool: Rc::clone(self), request: None, forwarding: None });
            }
        }
    }

    /// A new connection.
    pub(super) async fn connect(self: &Rc<Self>) -> Result<Lease, ConnectError> {
        let socket = tokio::time::timeout(self.connect, self.reach()).await;
        let socket =
            socket.map_err(|_late| ConnectError::Late)?.map_err(|error| ConnectError::Failed(error.to_string()))?;
        let _no_delay = socket.set_nodelay(true);
        let (sender, connection) = Builder::new()
            .max_buf_size(READ)
            .handshake(TokioIo::new(socket))
            .await
            .map_err(|error| ConnectError::Failed(error.to_string()))?;
        self.meter.connected();
        // Its errors reach whoever waits for a response; without one waiting there is nobody to tell.
        tokio::task::spawn_local(async move {
            let _told = connection.await;
        });
        Ok(Lease { sender, born: Instant::now(), pool: Rc::clone(self), request: None, forwarding: None })
    }

    async fn reach(&self) -> std::io::Result<TcpStream> {
        match &self.upstream.endpoint {
            Endpoint::Tcp(host, port) => match host.parse() {
                Ok(address) => TcpStream::connect(SocketAddr::new(address, *port)).await,
                Err(_name) => TcpStream::connect((host.as_str(), *port)).await,
            },
            Endpoint::Unix(_) => Err(std::io::ErrorKind::Unsupported.into()),
        }
    }

    /// Closes what has lain unused for too long.
    pub(super) fn sweep(&self) {
        self.idle.borrow_mut().retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() <= IDLE);
    }
}

impl Lease {
    /// Notes the request that is to be sent on it, and gives the way to send it.
    pub(super) fn sender(&mut self, body: &RequestBody) -> &mut SendRequest<RequestBody> {
        self.request = Some(body.end());
        &mut self.sender
    }

    /// The response was read to its end.
    pub(super) fn give_back(self) {
        let Self { sender, born, pool, request, forwarding: _done } = self;
        let sent = request.is_none_or(|end| end.get() == End::Whole);
        let mut idle = pool.idle.borrow_mut();
        if sent && !sender.is_closed() && idle.len() < KEPT {
            idle.push(Idle { sender, born, since: Instant::now() });
        }
    }
}
