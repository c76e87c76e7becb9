//! Deadlines without timers: one tick per worker looks after all of them.
//!
//! A timer per request costs the hot path a wheel entry and often a wake-up of the driver; a limit of ten seconds does not
//! need the precision. A deadline is never early and at the most two ticks late.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How often a worker looks at its deadlines.
pub(in crate::proxy) const TICK: Duration = Duration::from_millis(200);

/// A worker's coarse clock, with everything that waits on it.
#[derive(Debug)]
pub(in crate::proxy) struct Ticker {
    started: Instant,
    /// Milliseconds since the start, as of the last tick.
    now: Cell<u64>,
    waiting: RefCell<Vec<Rc<Waiting>>>,
    draining: Cell<bool>,
}

#[derive(Debug)]
struct Waiting {
    /// When it passes, on the ticker's clock; [`NEVER`] while nothing is awaited.
    at: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

const NEVER: u64 = u64::MAX;

/// A moment by which something must have happened; set and cleared as often as needed.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Deadline {
    ticker: Rc<Ticker>,
    waiting: Rc<Waiting>,
}

/// What was awaited did not happen in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Passed;

impl Ticker {
    pub(in crate::proxy) fn new() -> Rc<Self> {
        Rc::new(Self {
            started: Instant::now(),
            now: Cell::new(0),
            waiting: RefCell::default(),
            draining: Cell::new(false),
        })
    }

    /// A deadline on this clock, not set.
    pub(in crate::proxy) fn deadline(self: &Rc<Self>) -> Deadline {
        let waiting = Rc::new(Waiting { at: Cell::new(NEVER), waker: RefCell::default() });
        self.waiting.borrow_mut().push(Rc::clone(&waiting));
        Deadline { ticker: Rc::clone(self), waiting }
    }

    /// Moves the clock on, wakes whatever is late and forgets deadlines that nobody holds any more.
    pub(in crate::proxy) fn tick(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(NEVER);
        self.now.set(now);
        let mut late = Vec::new();
        self.waiting.borrow_mut().retain(|waiting| {
            if waiting.at.get() <= now {
                late.extend(waiting.waker.borrow_mut().take());
            }
            Rc::strong_count(waiting) > 1
        });
        late.into_iter().for_each(Waker::wake);
    }

    /// Milliseconds since the start, as of the last tick.
    pub(in crate::proxy) fn now(&self) -> u64 {
        self.now.get()
    }

    /// From now on connections are to end with the request that they are at.
    pub(in crate::proxy) fn drain(&self) {
        self.draining.set(true);
        let wakers: Vec<Waker> =
            self.waiting.borrow().iter().filter_map(|waiting| waiting.waker.borrow().clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether connections are to end.
    pub(in crate::proxy) fn is_draining(&self) -> bool {
        self.draining.get()
    }
}

impl Deadline {
    /// Sets it to so long from now.
    pub(in crate::proxy) fn set(&self, limit: Duration) {
        let limit = limit.saturating_add(TICK).as_millis();
        self.waiting.at.set(self.ticker.now.get().saturating_add(u64::try_from(limit).unwrap_or(NEVER)));
    }

    /// Sets it, unless it is set already.
    pub(in crate::proxy) fn start(&self, limit: Duration) {
        if self.waiting.at.get() == NEVER {
            self.set(limit);
        }
    }

    /// Nothing is awaited any more.
    pub(in crate::proxy) fn clear(&self) {
        self.waiting.at.set(NEVER);
    }

    /// Whether it has passed.
    pub(in crate::proxy) fn has_passed(&self) -> bool {
        self.waiting.at.get() <= self.ticker.now.get()
    }

    /// The task to wake when it passes.
    pub(in crate::proxy) fn wake(&self, cx: &Context<'_>) {
        let mut waker = self.waiting.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Waits for `future`, but not past this deadline, which others may move meanwhile. It is pinned where the caller has it:
    /// taken by value, its state would be moved, and held twice.
    pub(in crate::proxy) async fn bound<F: Future + Unpin>(&self, mut future: F) -> Result<F::Output, Passed> {
        let outcome = std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = Pin::new(&mut future).poll(cx) {
                return Poll::Ready(Ok(output));
            }
            if self.has_passed() {
                return Poll::Ready(Err(Passed));
            }
            self.wake(cx);
            Poll::Pending
        });
        let outcome = outcome.await;
        self.clear();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_after_its_limit_and_not_before_and_not_when_cleared() {
        let ticker = Ticker::new();
        let deadline = ticker.deadline();
        assert!(!deadline.has_passed(), "not set");
        deadline.set(Duration::ZERO);
        ticker.tick();
        assert!(!deadline.has_passed(), "the clock is coarse, and never early");
        std::thread::sleep(TICK + Duration::from_millis(20));
        ticker.tick();
        assert!(deadline.has_passed());
        deadline.clear();
        assert!(!deadline.has_passed());
    }

    #[test]
    fn deadlines_that_nobody_holds_are_forgotten() {
        let ticker = Ticker::new();
        let kept = ticker.deadline();
        drop(ticker.deadline());
        ticker.tick();
        assert_eq!(ticker.waiting.borrow().len(), 1);
        drop(kept);
        ticker.tick();
        assert_eq!(ticker.waiting.borrow().len(), 0);
    }
}
