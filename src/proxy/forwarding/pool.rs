//! Connections to one upstream, kept by one worker.
//!
//! An HTTP/1.1 connection comes back when a response was read to its end and the request was sent to its end, never
//! earlier; the one that came back last goes out first, so that a burst's extra connections grow old and go. A response
//! dropped half-way closes its connection. Requests with a body go over those that hyper speaks on, others over those of `bodiless`; where
//! the one kind is used up, an unused one of the other goes over to it, before a new one is made. HTTP/2 connections are shared instead, and never leave `multiplexed`.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body::Body as _;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use crate::config::settings::{Limits, Upstream};
use crate::proxy::forwarding::bodiless::Line;
use crate::proxy::forwarding::body::{End, Ending, RequestBody};
use crate::proxy::forwarding::multiplexed::{Connections, Slot};
use crate::proxy::forwarding::reach::{ConnectError, Reached, reach, reach_http1};
use crate::proxy::forwarding::received::Received;
use crate::proxy::forwarding::several::{Busy, Several};
use crate::proxy::forwarding::standing::Standing;
use crate::proxy::tunnel::switch::Over;
use crate::telemetry::UpstreamMeter;
use crate::tls::UpstreamTls;

/// How long a connection may lie unused. Shorter than most applications' own limit, so that we close first.
pub(in crate::proxy) const IDLE: Duration = Duration::from_secs(30);
/// How long a connection may be used at all, so that changed addresses are noticed.
pub(in crate::proxy) const AGE: Duration = Duration::from_secs(600);
/// The most unused connections that are kept of each kind.
const KEPT: usize = 256;
/// The most bytes of a response's head, and of what is read of its body at once.
pub(in crate::proxy) const READ: usize = 64 << 10;

/// The connections to one upstream, or to one place of it where it has several.
pub(in crate::proxy) struct Pool {
    upstream: Upstream,
    tls: Option<Arc<UpstreamTls>>,
    connect: Duration,
    idle: Shelf<Spoken>,
    /// Those for requests without a body.
    lines: Shelf<Line>,
    meter: Rc<UpstreamMeter>,
    /// Those that speak HTTP/2.
    shared: Rc<Connections>,
    /// Where the upstream is in several places: each with connections of its own, and none are kept here.
    several: Option<Box<Several>>,
}

/// A connection that hyper speaks on.
#[derive(Debug)]
struct Spoken {
    sender: SendRequest<RequestBody>,
    /// What is left of it when nothing more is to be sent, where that may be used otherwise.
    leaves: Option<oneshot::Receiver<Reached>>,
}

/// Connections that nobody uses, the one that came back last on top.
#[derive(Debug)]
struct Shelf<T>(RefCell<Vec<Idle<T>>>);

#[derive(Debug)]
struct Idle<T> {
    connection: T,
    born: Instant,
    since: Instant,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Shelf<T> {
    /// The one on top that is not too old, and since when there is it.
    fn take(&self, now: Instant) -> Option<(T, Instant)> {
        loop {
            let Idle { connection, born, since } = self.0.borrow_mut().pop()?;
            if !is_past(since, IDLE, now) && !is_past(born, AGE, now) {
                return Some((connection, born));
            }
        }
    }

    fn put(&self, connection: T, born: Instant, since: Instant) {
        let mut idle = self.0.borrow_mut();
        if idle.len() < KEPT {
            idle.push(Idle { connection, born, since });
        }
    }

    /// Closes what has lain unused for too long, or is no good any more.
    fn sweep(&self, mut is_good: impl FnMut(&mut T) -> bool) {
        self.0.borrow_mut().retain_mut(|idle| idle.since.elapsed() <= IDLE && is_good(&mut idle.connection));
    }
}

/// What a request under way has of an upstream's connections.
#[derive(Debug)]
pub(in crate::proxy) enum Lease {
    /// A connection for itself. Dropped without [`Lease::give_back`], it is closed.
    Whole(Whole),
    /// A connection that goes with the response's body, which gives it back.
    Held,
    /// A place on one that others use too; given up when dropped.
    Slot(Slot, Ending),
    /// One of these at one of several places.
    Counted(Box<(Lease, Busy)>),
    /// A connection, or a place on one, that has left HTTP.
    Over(Box<Over>),
}

/// A connection in use, for one request at a time.
#[derive(Debug)]
pub(in crate::proxy) struct Whole {
    spoken: Spoken,
    born: Instant,
    pool: Rc<Pool>,
    /// How the body of the request that is sent on it ends.
    request: Option<Ending>,
}

impl Pool {
    pub(in crate::proxy) fn new(
        upstream: &Upstream,
        tls: Option<&Arc<UpstreamTls>>,
        limits: &Limits,
        meter: UpstreamMeter,
        standings: &[Arc<Standing>],
    ) -> Rc<Self> {
        let meter = Rc::new(meter);
        let to = |upstream: Upstream, tls: Option<Arc<UpstreamTls>>, several| Self {
            upstream,
            tls,
            connect: limits.connect,
            idle: Shelf::default(),
            lines: Shelf::default(),
            meter: Rc::clone(&meter),
            shared: Rc::default(),
            several,
        };
        let several = (!upstream.others.is_empty()).then(|| {
            let places = upstream.endpoints().zip(standings).enumerate();
            Box::new(Several::new(places.map(|(number, (endpoint, standing))| {
                let place = Upstream { endpoint: endpoint.clone(), others: Box::default(), ..upstream.clone() };
                let tls = tls.and_then(|tls| tls.at(number));
                (Rc::new(to(place, tls, None)), Arc::clone(standing))
            })))
        });
        Rc::new(to(upstream.clone(), tls.cloned(), several))
    }

    /// Its places, where the upstream has several.
    pub(in crate::proxy) fn several(&self) -> Option<&Several> {
        self.several.as_deref()
    }

    /// The connections to one place: of several that to which a request would go now.
    fn nearest(self: &Rc<Self>) -> &Rc<Self> {
        self.several().and_then(Several::nearest).unwrap_or(self)
    }

    /// Who counts what is asked of this upstream.
    pub(in crate::proxy) fn meter(&self) -> &Rc<UpstreamMeter> {
        &self.meter
    }

    pub(in crate::proxy) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// An HTTP/1.1 connection for any request that was used before, where one is left that still lives.
    pub(in crate::proxy) async fn reuse(self: &Rc<Self>, now: Instant) -> Option<Whole> {
        let whole = |spoken, born| Whole { spoken, born, pool: Rc::clone(self), request: None };
        while let Some((mut spoken, born)) = self.idle.take(now) {
            let sender = &mut spoken.sender;
            if !sender.is_closed() && (sender.is_ready() || sender.ready().await.is_ok()) {
                return Some(whole(spoken, born));
            }
        }
        while let Some((line, born)) = self.reuse_line(now) {
            if let Some(reached) = line.into_io()
                && let Ok(spoken) = Box::pin(adopt(reached)).await
            {
                return Some(whole(spoken, born));
            }
        }
        None
    }

    /// The same of a connection that hyper has and nobody uses: hyper leaves it.
    pub(in crate::proxy) async fn reclaim(&self, now: Instant) -> Option<(Line, Instant)> {
        loop {
            if self.idle.0.borrow().last().is_none_or(|idle| idle.connection.leaves.is_none()) {
                return None;
            }
            let (Spoken { sender, leaves }, born) = self.idle.take(now)?;
            let Some(leaves) = leaves else { continue };
            // Else some of the last request may still lie here, for as long as the upstream does not take it.
            let is_at_rest = sender.is_ready();
            drop(sender);
            if is_at_rest && let Ok(reached) = leaves.await {
                let mut line = Line::new(reached);
                if line.is_quiet() {
                    return Some((line, born));
                }
            }
        }
    }

    /// Whether hyper has a connection that nobody uses.
    pub(in crate::proxy) fn has_unused(&self) -> bool {
        !self.idle.0.borrow().is_empty()
    }

    /// One for a request without a body that was used before and lives, and since when there is it.
    pub(in crate::proxy) fn reuse_line(&self, now: Instant) -> Option<(Line, Instant)> {
        loop {
            let (mut line, born) = self.lines.take(now)?;
            if line.is_quiet() {
                return Some((line, born));
            }
        }
    }

    /// Keeps a connection whose last answer has come whole.
    pub(in crate::proxy) fn keep_line(&self, line: Line, born: Instant, now: Instant) {
        self.lines.put(line, born, now);
    }

    /// A new one of these.
    pub(in crate::proxy) async fn connect_line(&self) -> Result<Line, ConnectError> {
        let reached = reach(&self.upstream, self.tls.as_ref(), self.connect).await?;
        self.meter.connected();
        Ok(Line::new(reached))
    }

    /// A new HTTP/1.1 connection.
    pub(in crate::proxy) async fn connect(self: &Rc<Self>) -> Result<Whole, ConnectError> {
        let place = self.nearest();
        // Rare enough to be boxed, and too large to be part of every request.
        let reached = Box::pin(reach(&place.upstream, place.tls.as_ref(), place.connect)).await?;
        let spoken = adopt(reached).await?;
        place.meter.connected();
        Ok(Whole { spoken, born: Instant::now(), pool: Rc::clone(place), request: None })
    }

    /// A new connection for something that only HTTP/1.1 can begin, whatever is spoken to this upstream otherwise.
    pub(in crate::proxy) async fn reach_http1(&self) -> Result<Reached, ConnectError> {
        reach_http1(&self.upstream, self.tls.as_ref(), self.connect).await
    }

    /// A place on an HTTP/2 connection: on one that has room, else on a new one. Waits for room where there are enough
    /// connections.
    pub(in crate::proxy) async fn slot(self: &Rc<Self>) -> Result<Slot, ConnectError> {
        let place = self.nearest();
        loop {
            if let Some(slot) = place.shared.slot() {
                return Ok(slot);
            }
            let pool = Rc::clone(place);
            match place.shared.opening(|connections| async move { pool.open(&connections).await }) {
                Some(mut opening) => {
                    let outcome = opening.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
                    outcome.unwrap_or_else(|| Err(ConnectError::Failed("the attempt was given up".into())))?;
                }
                None => place.shared.wait().await,
            }
        }
    }

    async fn open(&self, connections: &Connections) -> Result<(), ConnectError> {
        let begun = async {
            match reach(&self.upstream, self.tls.as_ref(), self.connect).await? {
                Reached::Tcp(socket) => connections.take_up(TokioIo::new(socket)).await,
                Reached::Tls(stream) => connections.take_up(TokioIo::new(*stream)).await.map_err(|error| match error {
                    // In TLS 1.3 whoever does not like our certificate says so after the handshake, if at all.
                    ConnectError::Failed(cause) => ConnectError::Failed(format!(
                        "{cause} (right after the TLS handshake: it may want a certificate that it was not shown)"
                    )),
                    ConnectError::Late => ConnectError::Late,
                }),
                Reached::Unix(socket) => connections.take_up(TokioIo::new(socket)).await,
            }
        };
        // The first words of HTTP/2 count as part of connecting.
        tokio::time::timeout(self.connect, begun).await.unwrap_or(Err(ConnectError::Late))?;
        self.meter.connected();
        Ok(())
    }

    /// No request was answered in time since then; what was silent all the while is trusted no more.
    pub(in crate::proxy) fn doubt(&self, since: Instant) {
        self.shared.doubt(since);
    }

    /// Closes what has lain unused for too long.
    pub(in crate::proxy) fn sweep(&self) {
        self.several().into_iter().flat_map(Several::pools).for_each(|pool| pool.sweep());
        self.idle.sweep(|spoken| !spoken.sender.is_closed());
        self.lines.sweep(Line::is_quiet);
        self.shared.sweep();
    }
}

/// Whether more time than this has passed.
fn is_past(since: Instant, limit: Duration, now: Instant) -> bool {
    now.saturating_duration_since(since) > limit
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

/// Has hyper speak HTTP/1.1 on a connection.
async fn adopt(reached: Reached) -> Result<Spoken, ConnectError> {
    match reached {
        Reached::Tcp(socket) => begin(socket, Reached::Tcp).await,
        Reached::Unix(socket) => begin(socket, Reached::Unix).await,
        Reached::Tls(stream) => begin(*stream, |stream| Reached::Tls(Box::new(stream))).await,
    }
}

/// Begins HTTP/1.1 on a socket.
async fn begin<T>(io: T, left: impl FnOnce(T) -> Reached + 'static) -> Result<Spoken, ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, mut connection) = Builder::new()
        .max_buf_size(READ)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|error| ConnectError::Failed(error.to_string()))?;
    let (tell, leaves) = oneshot::channel();
    tokio::task::spawn_local(async move {
        // Its errors reach whoever waits for a response; without one waiting there is nobody to tell.
        let ended = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
        let parts = connection.into_parts();
        let mut line = Line::new(left(parts.io.into_inner()));
        if ended.is_ok()
            && parts.read_buf.is_empty()
            && line.is_quiet()
            && let Some(reached) = line.into_io()
            && let Err(reached) = tell.send(reached)
        {
            // Closed as any other.
            drop(Line::new(reached));
        }
    });
    Ok(Spoken { sender, leaves: Some(leaves) })
}

impl Whole {
    /// A connection that was made a moment ago.
    pub(in crate::proxy) fn new(sender: SendRequest<RequestBody>, pool: &Rc<Pool>) -> Self {
        Self { spoken: Spoken { sender, leaves: None }, born: Instant::now(), pool: Rc::clone(pool), request: None }
    }

    /// Notes the request that is to be sent on it, and gives the way to send it.
    pub(in crate::proxy) fn sender(&mut self, body: &RequestBody) -> &mut SendRequest<RequestBody> {
        self.request = Some(body.end());
        if body.again().is_some() {
            // hyper tells of a body when it has left, and of a head by itself does not.
            self.spoken.leaves = None;
        }
        &mut self.spoken.sender
    }

    fn give_back(self, now: Instant) {
        let Self { spoken, born, pool, request } = self;
        let sent = request.is_none_or(|end| end.get() == End::Whole);
        if sent && !spoken.sender.is_closed() {
            pool.idle.put(spoken, born, now);
        }
    }
}

impl Lease {
    /// The same at one of several places, where it counts as under way for as long as it lasts.
    pub(in crate::proxy) fn counted(self, busy: Busy) -> Self {
        match self {
            Self::Over(over) => Self::Over(Box::new(over.counted(busy))),
            lease @ (Self::Whole(_) | Self::Held | Self::Slot(..) | Self::Counted(_)) => {
                Self::Counted(Box::new((lease, busy)))
            }
        }
    }

    /// The response was read to its end.
    pub(in crate::proxy) fn give_back(self, now: Instant) {
        match self {
            Self::Whole(whole) => whole.give_back(now),
            Self::Held => {}
            Self::Slot(slot, _) => drop(slot),
            Self::Counted(counted) => {
                let (lease, busy) = *counted;
                lease.give_back(now);
                drop(busy);
            }
            Self::Over(over) => drop(over),
        }
    }

    /// Whether a response whose body has nothing more was cut short by the upstream. In HTTP/1.1 whoever reads it tells. In HTTP/2 it
    /// takes a stream that is reset without an error for one that ended, for so the upstream may refuse the rest of a request
    /// after a whole response (RFC 9113 section 8.1): what says nothing of its length is believed to be one only then.
    pub(in crate::proxy) fn has_cut(&self, body: &Received) -> bool {
        match self {
            Self::Whole(_) | Self::Held | Self::Over(_) => false,
            Self::Counted(counted) => counted.0.has_cut(body),
            Self::Slot(_, request) => {
                !body.is_end_stream()
                    && body.size_hint().exact().map_or_else(|| request.get() != End::Open, |left| left > 0)
            }
        }
    }
}
