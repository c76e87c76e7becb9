//! What one upstream is asked and how it answers. Each worker counts for itself; a scrape adds up.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::reason::Reason;
use crate::telemetry::histogram::{Histogram, Read};

/// One worker's counters of one upstream.
#[derive(Clone, Debug, Default)]
pub struct UpstreamMeter(pub(super) Arc<UpstreamCounters>);

#[derive(Debug, Default)]
pub(super) struct UpstreamCounters {
    pub(super) connections: AtomicU64,
    pub(super) in_flight: AtomicI64,
    /// By the hundreds of the status, from 1xx on.
    pub(super) responses: [AtomicU64; CLASSES.len()],
    pub(super) unreachable: AtomicU64,
    pub(super) timeout: AtomicU64,
    pub(super) abandoned: AtomicU64,
    /// Until the head of its answer.
    pub(super) answer: Histogram,
    /// From the request's head to the end of the answer.
    pub(super) whole: Histogram,
}

/// The classes of a status.
pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl UpstreamMeter {
    /// Counts a connection to it that was opened.
    pub fn connected(&self) {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections to it that were opened.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.0.connections.load(Ordering::Relaxed)
    }
}

/// What all workers counted of one upstream.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) connections: u64,
    pub(super) in_flight: i64,
    pub(super) responses: [u64; CLASSES.len()],
    pub(super) unreachable: u64,
    pub(super) timeout: u64,
    pub(super) abandoned: u64,
    pub(super) answer: Read,
    pub(super) whole: Read,
}

impl Totals {
    pub(super) fn of(meters: &[UpstreamMeter]) -> Self {
        let counters = || meters.iter().map(|meter| &*meter.0);
        let sum = |read: fn(&UpstreamCounters) -> &AtomicU64| {
            counters().map(|counters| read(counters).load(Ordering::Relaxed)).sum()
        };
        let mut responses = [0_u64; CLASSES.len()];
        for each in counters() {
            for (total, count) in responses.iter_mut().zip(&each.responses) {
                *total = total.saturating_add(count.load(Ordering::Relaxed));
            }
        }
        Self {
            connections: sum(|counters| &counters.connections),
            in_flight: counters().map(|counters| counters.in_flight.load(Ordering::Relaxed)).sum(),
            responses,
            unreachable: sum(|counters| &counters.unreachable),
            timeout: sum(|counters| &counters.timeout),
            abandoned: sum(|counters| &counters.abandoned),
            answer: Histogram::read(counters().map(|counters| &counters.answer)),
            whole: Histogram::read(counters().map(|counters| &counters.whole)),
        }
    }
}

/// A request that is with an upstream: from before it is sent until its answer is passed on, or dropped.
#[derive(Debug)]
pub struct Forwarding {
    meter: Rc<UpstreamMeter>,
    /// When the request's head was read.
    began: Instant,
    sent: Instant,
    settled: Settled,
}

#[derive(Debug, PartialEq, Eq)]
enum Settled {
    /// Nothing was heard yet.
    Not,
    Answered,
    /// Nothing more is to be counted when it goes.
    Done,
}

impl Forwarding {
    /// A request whose head was read at `began` goes to the upstream now.
    #[must_use]
    pub fn begin(meter: &Rc<UpstreamMeter>, began: Instant) -> Self {
        meter.0.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { meter: Rc::clone(meter), began, sent: Instant::now(), settled: Settled::Not }
    }

    /// When it went.
    #[must_use]
    pub fn sent(&self) -> Instant {
        self.sent
    }

    /// The head of the answer is there.
    pub fn answered(&mut self, status: u16) {
        self.settled = Settled::Answered;
        let counters = &self.meter.0;
        if let Some(class) = counters.responses.get(usize::from((status / 100).saturating_sub(1))) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        counters.answer.observe(micros(self.sent.elapsed()));
    }

    /// The answer was passed on whole. Untold, it ends when this is dropped.
    pub fn passed(&mut self, now: Instant) {
        if self.settled == Settled::Answered {
            self.settled = Settled::Done;
            self.meter.0.whole.observe(micros(now.saturating_duration_since(self.began)));
        }
    }

    /// There will be no answer, by the upstream's doing.
    pub fn failed(&mut self, reason: Reason) {
        self.settled = Settled::Done;
        let counters = &self.meter.0;
        let counter = if reason == Reason::UpstreamTimeout { &counters.timeout } else { &counters.unreachable };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        let counters = &self.meter.0;
        counters.in_flight.fetch_sub(1, Ordering::Relaxed);
        match self.settled {
            Settled::Answered => counters.whole.observe(micros(self.began.elapsed())),
            Settled::Not => {
                counters.abandoned.fetch_add(1, Ordering::Relaxed);
            }
            Settled::Done => {}
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
