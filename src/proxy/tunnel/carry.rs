//! A tunnel: bytes both ways between a client and an upstream that have left HTTP.
//!
//! It runs where the request ran, with what the request had: its place on the connection and its turn (`limits.requests`).
//! Silence has no limit, since such connections are made to wait: the system's keepalive finds out whether a machine is
//! gone. Whoever takes nothing of what waits for it, and whoever goes on alone after the other side ended, has `limits.idle`.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::proxy::downstream::connection::LINGER;
use crate::proxy::downstream::scratch::Scratch;
use crate::proxy::downstream::timing::{Deadline, Ticker};
use crate::proxy::downstream::turn::Turn;
use crate::proxy::forwarding::multiplexed::Slot;
use crate::proxy::forwarding::several::Busy;
use crate::proxy::tunnel::end::{End, Ending, Io};
use crate::proxy::tunnel::flow::Flow;
use crate::telemetry::{Forwarding, Recorder};

/// What is spoken in a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Kind {
    /// WebSocket: both sides can be told goodbye, between two frames.
    WebSocket,
    /// Something of which the gate knows nothing.
    Other,
}

/// A tunnel whose upstream has gone over, and that waits for its client.
pub(in crate::proxy) struct Tunnel {
    pub(in crate::proxy) kind: Kind,
    pub(in crate::proxy) upstream: Box<dyn Io>,
    /// What the upstream said right behind its agreement.
    pub(in crate::proxy) early: Bytes,
    /// Says when the tunnel must end, and why; `None`: when a side ends it.
    pub(in crate::proxy) ending: Option<Ending>,
    pub(in crate::proxy) ticker: Rc<Ticker>,
    pub(in crate::proxy) scratch: Scratch,
    /// `limits.idle`.
    pub(in crate::proxy) idle: Duration,
    pub(in crate::proxy) share: Share,
}

/// What a tunnel has of others while it is open.
pub(in crate::proxy) struct Share {
    pub(in crate::proxy) _turn: Option<Turn>,
    pub(in crate::proxy) _forwarding: Forwarding,
    /// Its place on a connection that the upstream's other requests use too.
    pub(in crate::proxy) _slot: Option<Slot>,
    pub(in crate::proxy) _busy: Option<Busy>,
    pub(in crate::proxy) _counted: Counted,
}

/// Counts a tunnel among the open ones until it is dropped.
pub(in crate::proxy) struct Counted(Arc<dyn Recorder>);

impl Counted {
    pub(in crate::proxy) fn begin(recorder: &Arc<dyn Recorder>) -> Self {
        recorder.tunnel_opened();
        Self(Arc::clone(recorder))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tunnel_closed();
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Tunnel {
    /// Carries it out, to its end. `early`: what the client said before it was told that the upstream agreed, and that nobody
    /// has been told so far.
    pub(in crate::proxy) async fn carry(self: Box<Self>, client: Box<dyn Io>, early: Bytes) {
        let tunnel = *self;
        let is_websocket = tunnel.kind == Kind::WebSocket;
        let (Ok(up), Ok(down)) = (Flow::new(is_websocket, &early), Flow::new(is_websocket, &tunnel.early)) else {
            return;
        };
        let mut open = Open {
            kind: tunnel.kind,
            client,
            upstream: tunnel.upstream,
            up: Watched { flow: up, by: tunnel.ticker.deadline(), passed: 0 },
            down: Watched { flow: down, by: tunnel.ticker.deadline(), passed: 0 },
            ending: tunnel.ending,
            ended: false,
            ticker: tunnel.ticker,
            scratch: tunnel.scratch,
            idle: tunnel.idle,
            _share: tunnel.share,
        };
        std::future::poll_fn(|cx| open.poll(cx)).await;
    }
}

/// A tunnel that is being carried out.
struct Open {
    kind: Kind,
    client: Box<dyn Io>,
    upstream: Box<dyn Io>,
    up: Watched,
    down: Watched,
    ending: Option<Ending>,
    /// Both sides are told to end.
    ended: bool,
    ticker: Rc<Ticker>,
    scratch: Scratch,
    idle: Duration,
    _share: Share,
}

/// A direction, and by when something must move in it.
struct Watched {
    flow: Flow,
    by: Deadline,
    /// How much had moved at the last look.
    passed: u64,
}

impl Watched {
    /// Whether whoever is waited for took too long. `alone`: the other direction is over.
    fn is_late(&mut self, alone: bool, limit: Duration) -> bool {
        let passed = self.flow.passed();
        if std::mem::replace(&mut self.passed, passed) != passed || !(alone || self.flow.is_held_up()) {
            self.by.clear();
        }
        if alone || self.flow.is_held_up() {
            self.by.start(limit);
        }
        self.by.has_passed()
    }
}

impl Open {
    /// Ready when the tunnel is over, however it went: nobody is left who could be told.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(end) = self.must_end(cx)
            && self.end(end, cx).is_err()
        {
            return Poll::Ready(());
        }
        let scratch = Rc::clone(&self.scratch);
        let scratch = &mut *scratch.borrow_mut();
        let (client, upstream) = (&mut *self.client, &mut *self.upstream);
        let broke = matches!(self.up.flow.poll(client, upstream, scratch, cx), Poll::Ready(Err(_)))
            || matches!(self.down.flow.poll(upstream, client, scratch, cx), Poll::Ready(Err(_)));
        let (up_is_over, down_is_over) = (self.up.flow.is_over(), self.down.flow.is_over());
        let late = if self.ended {
            self.up.by.has_passed()
        } else {
            !up_is_over && self.up.is_late(down_is_over, self.idle)
                || !down_is_over && self.down.is_late(up_is_over, self.idle)
        };
        if broke || late || up_is_over && down_is_over {
            return Poll::Ready(());
        }
        // Of the drain they call too.
        self.up.by.wake(cx);
        self.down.by.wake(cx);
        Poll::Pending
    }

    /// Why it must end now, told once.
    fn must_end(&mut self, cx: &mut Context<'_>) -> Option<End> {
        if self.ended {
            return None;
        }
        if let Some(ending) = &mut self.ending
            && let Poll::Ready(end) = ending.as_mut().poll(cx)
        {
            return Some(end);
        }
        // What is not known cannot be told goodbye: it has until `limits.drain`, as a request that is under way.
        (self.kind == Kind::WebSocket && self.ticker.is_draining()).then_some(End::DRAINS)
    }

    /// Tells both sides, or breaks off.
    fn end(&mut self, end: End, cx: &mut Context<'_>) -> io::Result<()> {
        self.ended = true;
        self.ending = None;
        if self.kind == Kind::Other {
            let _done = Pin::new(&mut *self.upstream).poll_shutdown(cx);
            let _done = Pin::new(&mut *self.client).poll_shutdown(cx);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let mut mask = [0; 4];
        getrandom::fill(&mut mask).map_err(io::Error::other)?;
        self.up.flow.stop(end.frame(Some(mask)));
        self.down.flow.stop(end.frame(None));
        self.up.by.set(LINGER);
        Ok(())
    }
}
