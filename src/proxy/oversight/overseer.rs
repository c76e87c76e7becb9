//! Looks after all streams of one worker: with each tick at those whose moment has come.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::clock;
use crate::live::held::InForce;
use crate::proxy::downstream::timing::Ticker;
use crate::proxy::downstream::worker::Worker;
use crate::proxy::oversight::renewals::Renewals;
use crate::proxy::oversight::standing::{Case, Standing};
use crate::proxy::oversight::watch::{UNKNOWN, Watched, Watching};
use crate::proxy::verify::Verify;
use crate::telemetry::StreamEnded;
use crate::token::Timestamp;

/// Who looks after the streams of one worker.
#[derive(Debug)]
pub(in crate::proxy) struct Overseer {
    ticker: Rc<Ticker>,
    renewals: Arc<Renewals>,
    /// Those that are looked at: whatever had to wait, or was there at a later tick than it began in.
    armed: RefCell<Vec<Rc<Watched>>>,
    /// Those that are over, to be used again.
    spare: RefCell<Vec<Rc<Watched>>>,
    /// What was in force at the last tick.
    seen: RefCell<Option<Rc<InForce>>>,
}

/// How many that are over are kept.
const SPARE: usize = 64;

impl Overseer {
    pub(in crate::proxy) fn new(ticker: &Rc<Ticker>, renewals: &Arc<Renewals>) -> Rc<Self> {
        Rc::new(Self {
            ticker: Rc::clone(ticker),
            renewals: Arc::clone(renewals),
            armed: RefCell::default(),
            spare: RefCell::default(),
            seen: RefCell::default(),
        })
    }

    /// A stream begins that was let in.
    pub(in crate::proxy) fn watch(self: &Rc<Self>, case: Case<'_>) -> Watching {
        let watched = self.spare.borrow_mut().pop().unwrap_or_default();
        watched.next.set(UNKNOWN);
        watched.born.set(self.ticker.now());
        watched.holders.set(1);
        let room = watched.room.take();
        *watched.standing.borrow_mut() = Some(Standing::of(case, room));
        Watching { watched, overseer: Rc::clone(self) }
    }

    /// The tick that it is.
    pub(super) fn now(&self) -> u64 {
        self.ticker.now()
    }

    /// From now on this stream is looked at.
    pub(super) fn arm(&self, watched: &Rc<Watched>) {
        let mut armed = self.armed.borrow_mut();
        watched.place.set(Some(armed.len()));
        armed.push(Rc::clone(watched));
        let session = watched.standing.borrow().as_ref().and_then(|standing| standing.session(&self.renewals));
        watched.session.set(session.filter(|session| self.renewals.await_later(*session)));
    }

    /// Nobody holds this stream any more.
    pub(super) fn release(&self, watched: &Rc<Watched>) {
        self.disarm(watched);
        // One that is looked at just now goes with the look.
        if !watched.looked_at.get() && self.spare.borrow().len() < SPARE {
            watched.clear();
            self.spare.borrow_mut().push(Rc::clone(watched));
        }
    }

    fn disarm(&self, watched: &Watched) {
        let Some(place) = watched.place.take() else { return };
        let mut armed = self.armed.borrow_mut();
        if place < armed.len() {
            armed.swap_remove(place);
        }
        if let Some(moved) = armed.get(place) {
            moved.place.set(Some(place));
        }
        if let Some(session) = watched.session.take() {
            self.renewals.await_no_more(session);
        }
    }

    /// Looks at the streams whose moment has come, and at all where another policy was put in force.
    pub(in crate::proxy) fn tick<V: Verify>(worker: &Rc<Worker<V>>) {
        let (this, live) = (&worker.overseer, worker.live());
        let changed = this.seen.replace(Some(Rc::clone(&live))).is_none_or(|seen| !Rc::ptr_eq(&seen, &live));
        if this.armed.borrow().is_empty() {
            return;
        }
        let (now, wall) = (this.ticker.now(), clock::now());
        let is_due = |watched: &&Rc<Watched>| {
            if watched.next.get() == UNKNOWN {
                let standing = watched.standing.borrow();
                let Some(standing) = standing.as_ref() else { return false };
                if !standing.is_by(&live) {
                    return true;
                }
                watched.next.set(this.tick_of(standing.next_look(wall), wall));
            }
            changed || watched.next.get() <= now
        };
        let due: Vec<Rc<Watched>> = this.armed.borrow().iter().filter(is_due).map(Rc::clone).collect();
        for watched in due {
            if !watched.looked_at.replace(true) {
                drop(tokio::task::spawn_local(look(Rc::clone(worker), watched)));
            }
        }
    }

    /// When a moment has come, on the ticker's clock.
    fn tick_of(&self, at: Timestamp, now: Timestamp) -> u64 {
        let left = at.micros().saturating_sub(now.micros()).max(0);
        let left = u64::try_from(left).unwrap_or_default().div_ceil(1000);
        self.ticker.now().saturating_add(left)
    }
}

/// Has one stream judged anew, and ends it where that refuses.
async fn look<V: Verify>(worker: Rc<Worker<V>>, watched: Rc<Watched>) {
    let Some(mut standing) = watched.standing.take() else { return watched.looked_at.set(false) };
    let outcome = standing.look(&worker).await;
    watched.looked_at.set(false);
    if watched.holders.get() == 0 {
        return;
    }
    match outcome {
        Ok(()) => {
            let now = clock::now();
            // What was put in force meanwhile is looked at with the next tick.
            let next = if standing.is_by(&worker.live()) { standing.next_look(now) } else { now };
            watched.next.set(worker.overseer.tick_of(next, now));
            *watched.standing.borrow_mut() = Some(standing);
        }
        Err(why) => {
            worker.overseer.disarm(&watched);
            // Not in the list any more, and never to be in it again.
            watched.place.set(Some(usize::MAX));
            worker.gate.recorder.stream_ended(&StreamEnded {
                at: clock::now(),
                id: standing.id(),
                route: standing.route_name(),
                why,
                lasted: standing.lasted(),
            });
            watched.end(why);
            standing.hurry();
        }
    }
}
