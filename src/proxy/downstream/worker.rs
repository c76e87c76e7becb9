//! The worker threads: each with a runtime of its own, its own listening sockets and its own upstream connections.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::assertion::Keyring;
use crate::config::settings::{Identity, Limits, Listener, Upstream};
use crate::live::Live;
use crate::live::held::{Held, InForce};
use crate::proxy::downstream::clerk::Clerks;
use crate::proxy::downstream::connection;
use crate::proxy::downstream::listener::{self, Bound};
use crate::proxy::downstream::scratch::{self, Scratch};
use crate::proxy::downstream::timing::{TICK, Ticker};
use crate::proxy::downstream::turn::{Requests, Turns};
use crate::proxy::forwarding::pool::Pool;
use crate::proxy::forwarding::standing::Standings;
use crate::proxy::kept::Sealing;
use crate::proxy::oversight::{Overseer, Renewals};
use crate::proxy::repeats::Repeats;
use crate::proxy::request_id::RequestIds;
use crate::proxy::verify::Verify;
use crate::proxy::via::{Pseudonym, Via};
use crate::telemetry::Recorder;
use crate::tls::{ListenerTls, UpstreamTls};

/// Everything that the workers share. Nothing in it waits for a lock on a request's way.
pub struct Gate<V> {
    /// The policy in force.
    pub live: Arc<Live>,
    /// Who verifies tokens.
    pub verifier: V,
    /// Who is told of every decision.
    pub recorder: Arc<dyn Recorder>,
    /// Where requests are taken, in the order in which they were bound.
    pub listeners: Vec<Listener>,
    /// How each of them speaks TLS; `None`: it does not.
    pub tls: Vec<Option<ListenerTls>>,
    /// Where requests are forwarded, in the order to which [`crate::live::Snapshot::upstream_of_route`] refers.
    pub upstreams: Vec<Upstream>,
    /// How they are spoken to in TLS, in the same order.
    pub upstream_tls: Vec<Option<Arc<UpstreamTls>>>,
    /// How the places stand that they are in.
    pub standings: Standings,
    /// What upstreams are told of the caller.
    pub identity: Identity,
    /// What signs what they are told in the place of fields and token; `None`: nothing does.
    pub assertion: Option<Arc<Keyring>>,
    /// What clients call us, if it is configured: the own origin of cookies.
    pub public_url: Option<String>,
    /// What kept cookies are sealed with, and which were ended; `None`: no keys are configured.
    pub sealing: Option<Sealing>,
    /// Limits and timeouts.
    pub limits: Limits,
}

impl<V> std::fmt::Debug for Gate<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("upstreams", &self.upstreams).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The workers, at work.
#[derive(Debug)]
pub struct Running(Vec<JoinHandle<()>>);

impl Running {
    /// Waits until every worker has ended: after a shutdown, when the last request is answered or cut off.
    ///
    /// # Errors
    /// How many workers ended by a panic.
    pub fn join(self) -> Result<(), usize> {
        let lost = self.0.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        if lost == 0 { Ok(()) } else { Err(lost) }
    }
}

/// Starts the workers. When `shutdown` turns true (or its sender is gone) they accept no more, finish the requests under
/// way, and end at the latest after [`Limits::drain`].
///
/// # Errors
/// A thread or a runtime that could not be had.
pub fn serve<V: Verify>(bound: Bound, gate: &Arc<Gate<V>>, shutdown: &watch::Receiver<bool>) -> io::Result<Running> {
    let open = Arc::new(AtomicUsize::new(0));
    let turns = Turns::new(gate.limits.requests, bound.workers.len());
    let repeats = Arc::new(Repeats::new().map_err(io::Error::other)?);
    let renewals = Arc::new(Renewals::new());
    let pseudonym = Pseudonym::new().map_err(io::Error::other)?;
    let mut threads = Vec::new();
    for (number, sockets) in bound.workers.into_iter().enumerate() {
        let (gate, open, shutdown) = (Arc::clone(gate), Arc::clone(&open), shutdown.clone());
        let (repeats, renewals) = (Arc::clone(&repeats), Arc::clone(&renewals));
        let shared = Shared { turns: turns.clone(), repeats, renewals, pseudonym: pseudonym.clone() };
        // Made here, so that a failure is told; a local runtime can't be sent to its thread.
        let builder = std::thread::Builder::new().name(format!("worker-{number}"));
        let (told, tells) = std::sync::mpsc::sync_channel(1);
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(told.send(Err(error))),
            };
            let _started = told.send(Ok(()));
            runtime.block_on(work(sockets, gate, open, number, shared, shutdown));
        };
        threads.push(builder.spawn(work)?);
        tells.recv().unwrap_or_else(|_gone| Err(io::Error::other("the worker thread ended at once")))?;
    }
    Ok(Running(threads))
}

/// What all workers look at now and then, and no request has to.
struct Shared {
    turns: Turns,
    repeats: Arc<Repeats>,
    renewals: Arc<Renewals>,
    pseudonym: Pseudonym,
}

/// What one worker's connections share.
pub(in crate::proxy) struct Worker<V> {
    pub(in crate::proxy) gate: Arc<Gate<V>>,
    pub(in crate::proxy) pools: Vec<Rc<Pool>>,
    pub(in crate::proxy) ticker: Rc<Ticker>,
    pub(in crate::proxy) ids: RequestIds,
    pub(in crate::proxy) via: Via,
    pub(in crate::proxy) scratch: Scratch,
    pub(in crate::proxy) requests: Rc<Requests>,
    pub(in crate::proxy) repeats: Arc<Repeats>,
    pub(in crate::proxy) renewals: Arc<Renewals>,
    pub(in crate::proxy) overseer: Rc<Overseer>,
    pub(in crate::proxy) clerks: Clerks<V>,
    live: Held,
    /// Connections to clients, of this worker and of all.
    here: Cell<usize>,
    open: Arc<AtomicUsize>,
    /// Connections that were turned away and are not closed yet.
    turned_away: Cell<usize>,
}

impl<V> Worker<V> {
    /// What is in force now.
    pub(in crate::proxy) fn live(&self) -> Rc<InForce> {
        self.live.current()
    }
}

async fn work<V: Verify>(
    sockets: Vec<TcpListener>,
    gate: Arc<Gate<V>>,
    open: Arc<AtomicUsize>,
    number: usize,
    Shared { turns, repeats, renewals, pseudonym }: Shared,
    mut shutdown: watch::Receiver<bool>,
) {
    let ticker = Ticker::new();
    let worker = Rc::new(Worker {
        pools: pools(&gate),
        overseer: Overseer::new(&ticker, &renewals),
        ticker,
        ids: RequestIds::new(),
        // Of its own, so that no counter is shared.
        via: Via::new(pseudonym),
        scratch: scratch::scratch(),
        requests: Requests::new(turns, number),
        repeats,
        renewals,
        clerks: Clerks::default(),
        live: Held::new(Arc::clone(&gate.live)),
        here: Cell::new(0),
        open,
        turned_away: Cell::new(0),
        gate,
    });
    let accepting: Vec<_> = sockets
        .into_iter()
        .enumerate()
        .map(|(listener, socket)| {
            tokio::task::spawn_local(accept(socket, listener, Rc::clone(&worker), shutdown.clone()))
        })
        .collect();
    let ticking = tokio::task::spawn_local(tick(Rc::clone(&worker)));
    let _gone = shutdown.wait_for(|stop| *stop).await;
    for task in accepting {
        let _ended = task.await;
    }
    worker.ticker.drain();
    let drained = async {
        // Often while most connections end; then as seldom as any limit is looked after, or those that are left, each woken
        // a hundred times a second, would take the processor from their own requests.
        for look in 0u32.. {
            if worker.here.get() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            if look < 100 || look.is_multiple_of(20) {
                worker.ticker.drain();
            }
        }
    };
    if tokio::time::timeout(worker.gate.limits.drain, drained).await.is_err() {
        worker.gate.recorder.connections_cut(worker.here.get());
    }
    ticking.abort();
    // Whatever is left ends with the runtime.
}

fn pools<V>(gate: &Gate<V>) -> Vec<Rc<Pool>> {
    let tls = |place| gate.upstream_tls.get(place).and_then(Option::as_ref);
    let upstreams = gate.upstreams.iter().enumerate();
    let meter = |upstream: &Upstream| gate.recorder.upstream(&upstream.name);
    let pool = |(place, upstream): (usize, &Upstream)| {
        Pool::new(upstream, tls(place), &gate.limits, meter(upstream), gate.standings.places(place))
    };
    upstreams.map(pool).collect()
}

async fn tick<V: Verify>(worker: Rc<Worker<V>>) {
    const SWEEP: u32 = 10;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for number in (0..SWEEP).cycle() {
        ticks.tick().await;
        worker.ticker.tick();
        // A worker that is asked nothing is not to keep an old policy either.
        Overseer::tick(&worker);
        if number == 0 {
            worker.pools.iter().for_each(|pool| pool.sweep());
        }
    }
}

/// Accepts until the gate drains, and then what was made before: a client whose connection the system took has been
/// promised an answer, and closing the socket would break it off.
async fn accept<V: Verify>(
    socket: TcpListener,
    listener: usize,
    worker: Rc<Worker<V>>,
    mut shutdown: watch::Receiver<bool>,
) {
    let Ok(socket) = tokio::net::TcpListener::from_std(socket) else { return };
    let mut stop = std::pin::pin!(shutdown.wait_for(|stop| *stop));
    let mut trouble = Duration::ZERO;
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _told = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                trouble = Duration::ZERO;
                take(stream, peer, listener, &worker);
            }
            Err(error) if is_clients_doing(&error) => {}
            // Out of descriptors or memory: asking again at once would only burn the processor.
            Err(exhausted) => {
                worker.gate.recorder.accept_failed(&exhausted);
                trouble = trouble.saturating_mul(2).clamp(Duration::from_millis(20), Duration::from_secs(1));
                tokio::select! {
                    () = tokio::time::sleep(trouble) => {}
                    _told = &mut stop => break,
                }
            }
        }
    }
    let Ok(socket) = socket.into_std() else { return };
    listener::take_no_more(&socket);
    for _ in 0..listener::MOST_WAITING {
        match socket.accept() {
            Ok((stream, peer)) => {
                if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                    take(stream, peer, listener, &worker);
                }
            }
            Err(error) if is_clients_doing(&error) => {}
            Err(_none_left) => break,
        }
    }
}

/// Whether a connection could not be accepted for its client left before.
fn is_clients_doing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

fn take<V: Verify>(stream: TcpStream, peer: SocketAddr, listener: usize, worker: &Rc<Worker<V>>) {
    let _no_delay = stream.set_nodelay(true);
    match Seat::take(worker) {
        Some(seat) => {
            let worker = Rc::clone(worker);
            drop(tokio::task::spawn_local(async move {
                connection::serve(stream, peer, listener, &worker).await;
                drop(seat);
            }));
        }
        None => turn_away(stream, peer, listener, worker),
    }
}

/// One of the connections that may be open. Given up when dropped, even by a panic.
struct Seat<V>(Rc<Worker<V>>);

impl<V> Seat<V> {
    fn take(worker: &Rc<Worker<V>>) -> Option<Self> {
        if worker.open.fetch_add(1, Ordering::Relaxed) >= worker.gate.limits.connections {
            worker.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        worker.here.set(worker.here.get().saturating_add(1));
        worker.gate.recorder.connection_opened();
        Some(Self(Rc::clone(worker)))
    }
}

impl<V> Drop for Seat<V> {
    fn drop(&mut self) {
        self.0.here.set(self.0.here.get().saturating_sub(1));
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.gate.recorder.connection_closed();
    }
}

/// Tells a client that there is no room, where that can be done without making room for it.
fn turn_away<V: Verify>(stream: TcpStream, peer: SocketAddr, listener: usize, worker: &Rc<Worker<V>>) {
    const AT_ONCE: usize = 64;
    worker.gate.recorder.connection_refused(peer.ip());
    // In TLS there would have to be a handshake first, which is what there is no room for.
    let secure = worker.gate.tls.get(listener).is_some_and(Option::is_some);
    if secure || worker.turned_away.get() >= AT_ONCE {
        return;
    }
    worker.turned_away.set(worker.turned_away.get().saturating_add(1));
    let worker = Rc::clone(worker);
    drop(tokio::task::spawn_local(async move {
        connection::turn_away(stream).await;
        worker.turned_away.set(worker.turned_away.get().saturating_sub(1));
    }));
}
