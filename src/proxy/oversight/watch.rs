//! One stream under watch, as its bodies hold it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::proxy::oversight::overseer::Overseer;
use crate::proxy::oversight::renewals::Session;
use crate::proxy::oversight::standing::Standing;
use crate::proxy::tunnel::end::{End, Ending};
use crate::telemetry::StreamEnd;

/// A stream that may have to end before its end. Used again and again, so that a response that is there at once asks for no
/// memory.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// What let it in; nothing while it is looked at, and in one that is spare.
    pub(super) standing: RefCell<Option<Standing>>,
    /// Memory for the next stream's.
    pub(super) room: RefCell<String>,
    /// When to look at it next, on the ticker's clock; [`UNKNOWN`] until that was reckoned.
    pub(super) next: Cell<u64>,
    /// Its place in the overseer's list, once it is in it.
    pub(super) place: Cell<Option<usize>>,
    /// In which tick it began.
    pub(super) born: Cell<u64>,
    /// Who holds it: the response, the request's body, whoever waits for the answer.
    pub(super) holders: Cell<u32>,
    /// A look at it is under way.
    pub(super) looked_at: Cell<bool>,
    pub(super) ended: Cell<Option<StreamEnd>>,
    /// The session by which it may be renewed.
    pub(super) session: Cell<Option<Session>>,
    waiting: [RefCell<Option<Waker>>; 2],
}

/// In the place of a moment that was not reckoned yet.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// Who waits for something of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Side {
    /// Whoever passes the answer on, or waits for it.
    Answer,
    /// Whoever passes the request's body on.
    Request,
}

impl Watched {
    /// It is over, and everybody who waits for more of it is told.
    pub(super) fn end(&self, why: StreamEnd) {
        self.ended.set(Some(why));
        self.waiting.iter().filter_map(RefCell::take).for_each(Waker::wake);
    }

    /// Forgets everything, to be used again.
    pub(super) fn clear(&self) {
        let mut standing = self.standing.borrow_mut();
        if let Some(standing) = standing.as_mut() {
            self.room.replace(standing.room());
        }
        *standing = None;
        self.waiting.iter().for_each(|waiting| drop(waiting.take()));
        self.next.set(UNKNOWN);
        self.place.set(None);
        self.ended.set(None);
        self.session.set(None);
        self.looked_at.set(false);
    }

    fn wait(&self, side: Side, cx: &Context<'_>) {
        let Some(waiting) = self.waiting.get(side as usize) else { return };
        let mut waiting = waiting.borrow_mut();
        if !waiting.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waiting = Some(cx.waker().clone());
        }
    }
}

/// A hold on a stream under watch. When the last one is given up, nobody looks after it any more.
#[derive(Debug)]
pub(in crate::proxy) struct Watching {
    pub(super) watched: Rc<Watched>,
    pub(super) overseer: Rc<Overseer>,
}

impl Watching {
    /// Why it is over, once it is.
    pub(in crate::proxy) fn ended(&self) -> Option<StreamEnd> {
        self.watched.ended.get()
    }

    /// Something of it was passed on: one that goes on for long is to be looked at, even if it never has to wait.
    pub(in crate::proxy) fn goes_on(&self) {
        if self.watched.place.get().is_none() && self.watched.born.get() != self.overseer.now() {
            self.overseer.arm(&self.watched);
        }
    }

    /// It has to wait for more: from now on it is looked at, and whoever waits is told when it is over.
    pub(in crate::proxy) fn waits(&self, side: Side, cx: &Context<'_>) {
        if self.watched.place.get().is_none() {
            self.overseer.arm(&self.watched);
        }
        self.watched.wait(side, cx);
    }
}

impl Watching {
    /// The same for a tunnel, which has words of its own for it.
    pub(in crate::proxy) fn into_ending(self) -> Ending {
        /// What it carries is against the policy (RFC 6455 section 7.4.1).
        const POLICY_VIOLATION: u16 = 1008;
        Box::pin(poll_fn(move |cx| {
            if let Some(why) = self.ended() {
                return Poll::Ready(End { code: POLICY_VIOLATION, text: why.text() });
            }
            self.waits(Side::Answer, cx);
            Poll::Pending
        }))
    }
}

impl Clone for Watching {
    fn clone(&self) -> Self {
        self.watched.holders.set(self.watched.holders.get().saturating_add(1));
        Self { watched: Rc::clone(&self.watched), overseer: Rc::clone(&self.overseer) }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let left = self.watched.holders.get().saturating_sub(1);
        self.watched.holders.set(left);
        if left == 0 {
            self.overseer.release(&self.watched);
        }
    }
}

/// Waits for `future`, unless the stream that it is part of is over before.
pub(in crate::proxy) async fn unless_ended<F: Future + Unpin>(
    watching: Option<&Watching>,
    mut future: F,
) -> Result<F::Output, StreamEnd> {
    poll_fn(|cx| {
        let Some(watching) = watching else { return Pin::new(&mut future).poll(cx).map(Ok) };
        if let Some(why) = watching.ended() {
            return Poll::Ready(Err(why));
        }
        let polled = Pin::new(&mut future).poll(cx);
        if polled.is_pending() {
            watching.waits(Side::Answer, cx);
        }
        polled.map(Ok)
    })
    .await
}
