//! What is known of one HTTP/2 connection and of each of its streams: who waits for whom, since when, and how often a
//! client gave up what it asked for.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use crate::config::settings::Limits;
use crate::proxy::downstream::frames::Frames;
use crate::proxy::downstream::timing::{Deadline, Ticker};

/// How many requests a client may give up before their answers begin, beyond those that it waits for. Each costs a
/// decision and perhaps an upstream's connection, and none counts against the limit on streams (CVE-2023-44487).
const GIVEN_UP: u32 = 200;

/// One connection.
#[derive(Debug)]
pub(in crate::proxy) struct Streams {
    frames: Cell<Frames>,
    /// Streams under way.
    open: Cell<u32>,
    /// Whether anything was ever asked.
    asked: Cell<bool>,
    awaited: Cell<Awaited>,
    /// How many more requests may be given up.
    patience: Cell<u32>,
    ticker: Rc<Ticker>,
    pub(in crate::proxy) read_by: Deadline,
    pub(in crate::proxy) write_by: Deadline,
    pub(in crate::proxy) idle: Duration,
    head_read: Duration,
    /// The stream whose task runs just now, for the request that begins in it.
    running: RefCell<Option<Rc<Stream>>>,
}

/// What the connection as a whole waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Awaited {
    /// The rest of something that was begun.
    Head,
    /// A request, or the end.
    Request,
    /// Nothing: each stream has its own limits.
    Streams,
}

impl Streams {
    pub(in crate::proxy) fn new(ticker: &Rc<Ticker>, limits: &Limits) -> Rc<Self> {
        let read_by = ticker.deadline();
        read_by.set(limits.head_read);
        Rc::new(Self {
            frames: Cell::new(Frames::START),
            open: Cell::new(0),
            asked: Cell::new(false),
            awaited: Cell::new(Awaited::Head),
            patience: Cell::new(GIVEN_UP),
            ticker: Rc::clone(ticker),
            read_by,
            write_by: ticker.deadline(),
            idle: limits.idle,
            head_read: limits.head_read,
            running: RefCell::default(),
        })
    }

    /// These bytes came.
    pub(in crate::proxy) fn follow(&self, bytes: &[u8]) {
        let mut frames = self.frames.get();
        let ended = frames.follow(bytes);
        self.frames.set(frames);
        if ended && frames.is_amid() {
            // What is begun now is another thing than what was begun before.
            self.awaited.set(Awaited::Streams);
        }
        self.look();
    }

    /// Starts the limit for what is awaited now, unless that has been awaited before.
    fn look(&self) {
        let now = match (self.frames.get().is_amid(), self.open.get()) {
            (true, _) => Awaited::Head,
            (false, 0) => Awaited::Request,
            (false, _) => Awaited::Streams,
        };
        if self.awaited.replace(now) == now {
            return;
        }
        match now {
            Awaited::Head => self.read_by.set(self.head_read),
            Awaited::Request => self.read_by.set(self.idle),
            Awaited::Streams => self.read_by.clear(),
        }
    }

    /// What the client has left us waiting for past its limit.
    pub(in crate::proxy) fn late(&self) -> Option<Awaited> {
        self.read_by.has_passed().then(|| self.awaited.get())
    }

    /// Whether the client has given up more requests than anyone does who wants answers.
    pub(in crate::proxy) fn is_abused(&self) -> bool {
        self.patience.get() == 0
    }

    /// Whether no stream is under way.
    pub(in crate::proxy) fn is_idle(&self) -> bool {
        self.open.get() == 0
    }

    /// Whether anything was ever asked.
    pub(in crate::proxy) fn was_asked(&self) -> bool {
        self.asked.get()
    }

    /// A stream begins.
    pub(in crate::proxy) fn open(self: &Rc<Self>) -> Rc<Stream> {
        self.open.set(self.open.get().saturating_add(1));
        self.asked.set(true);
        self.look();
        Rc::new(Stream {
            streams: Rc::clone(self),
            client_by: self.ticker.deadline(),
            body_awaited: Cell::new(false),
            offered: Cell::new(false),
            begun: Cell::new(false),
            answered: Cell::new(false),
            body_waits: RefCell::default(),
        })
    }

    /// A stream's task is over.
    pub(in crate::proxy) fn closed(&self, stream: &Stream) {
        stream.answered.set(true);
        if let Some(waker) = stream.body_waits.take() {
            waker.wake();
        }
        let patience = self.patience.get();
        self.patience.set(if stream.begun.get() {
            patience.saturating_add(1).min(GIVEN_UP)
        } else {
            patience.saturating_sub(1)
        });
        self.left();
    }

    /// A stream goes on in another task than the one of its request.
    pub(in crate::proxy) fn go_on(&self, stream: Rc<Stream>) -> Rc<Stream> {
        self.open.set(self.open.get().saturating_add(1));
        stream
    }

    /// A task is over that a stream had.
    pub(in crate::proxy) fn left(&self) {
        self.open.set(self.open.get().saturating_sub(1));
        self.look();
    }

    /// Runs a stream's task one step.
    pub(in crate::proxy) fn run<T>(&self, stream: &Rc<Stream>, step: impl FnOnce() -> T) -> T {
        let before = self.running.replace(Some(Rc::clone(stream)));
        let outcome = step();
        self.running.replace(before);
        outcome
    }

    /// The stream whose task runs now.
    pub(in crate::proxy) fn running(self: &Rc<Self>) -> Rc<Stream> {
        // hyper runs a request in the task of its stream. If that changed, the request would have limits all the same.
        self.under_way().unwrap_or_else(|| self.open())
    }

    /// The same, if one runs.
    pub(in crate::proxy) fn under_way(&self) -> Option<Rc<Stream>> {
        self.running.borrow().clone()
    }
}

/// One stream: one request and its response.
#[derive(Debug)]
pub(in crate::proxy) struct Stream {
    streams: Rc<Streams>,
    /// By when the client must have done something, where something is awaited of it.
    pub(in crate::proxy) client_by: Deadline,
    /// More of the request's body is awaited.
    body_awaited: Cell<bool>,
    /// A piece of the response waits until the client makes room for it.
    offered: Cell<bool>,
    /// The response has begun.
    begun: Cell<bool>,
    /// The response has gone. From then on nobody but the request's body looks after the limit.
    answered: Cell<bool>,
    /// Who waits for more of the request's body.
    body_waits: RefCell<Option<Waker>>,
}

/// The client sends no more of a body whose request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Stalled;

impl Stream {
    /// There is a response.
    pub(in crate::proxy) fn begin(&self) {
        self.begun.set(true);
    }

    /// The request's body has nothing more for now.
    pub(in crate::proxy) fn await_body(&self, cx: &Context<'_>) -> Result<(), Stalled> {
        if !self.body_awaited.replace(true) {
            self.client_by.set(self.streams.idle);
        }
        if !self.answered.get() {
            *self.body_waits.borrow_mut() = Some(cx.waker().clone());
        } else if self.client_by.has_passed() {
            return Err(Stalled);
        } else {
            self.client_by.wake(cx);
        }
        Ok(())
    }

    /// More of the request's body came, or its end.
    pub(in crate::proxy) fn body_came(&self) {
        self.body_awaited.set(false);
        self.look();
    }

    /// A piece of the response is ready for the client.
    pub(in crate::proxy) fn offer(&self) {
        self.offered.set(true);
        self.look();
    }

    /// The client took it.
    pub(in crate::proxy) fn taken(&self) {
        if self.offered.replace(false) {
            self.look();
        }
    }

    /// Something moved: the limit begins anew, where the client owes something.
    fn look(&self) {
        if self.body_awaited.get() || self.offered.get() {
            self.client_by.set(self.streams.idle);
        } else {
            self.client_by.clear();
        }
    }
}
