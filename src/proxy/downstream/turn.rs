//! How many requests are under way, over all workers.
//!
//! The limit is dealt out among the workers, so that a request's way touches no number that another core writes too. Only
//! who has none left looks for one with the others: a request is refused when all of them are given out. Not before, but in the
//! moment in which the last ones change hands behind the look.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The turns that one worker has left to give, on cache lines of its own (two: processors fetch them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Share(AtomicUsize);

impl Share {
    fn take(&self) -> bool {
        self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

/// All turns that there are.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Turns(Arc<[Share]>);

impl Turns {
    /// So many, dealt out among so many workers.
    pub(in crate::proxy) fn new(most: usize, workers: usize) -> Self {
        let workers = workers.max(1);
        let share = |number| {
            let more = usize::from(number < most.checked_rem(workers).unwrap_or_default());
            Share(AtomicUsize::new(most.checked_div(workers).unwrap_or_default().saturating_add(more)))
        };
        Self((0..workers).map(share).collect())
    }
}

/// One worker's view of the requests under way.
#[derive(Debug)]
pub(in crate::proxy) struct Requests {
    turns: Turns,
    worker: usize,
}

/// A request's right to be under way. Given up when dropped, with its response.
#[derive(Debug)]
pub(in crate::proxy) struct Turn(Rc<Requests>);

impl Requests {
    pub(in crate::proxy) fn new(turns: Turns, worker: usize) -> Rc<Self> {
        Rc::new(Self { turns, worker })
    }

    /// A turn; `None` when as many as may be are under way.
    pub(in crate::proxy) fn turn(self: &Rc<Self>) -> Option<Turn> {
        let Turns(shares) = &self.turns;
        let taken = self.share().is_some_and(Share::take) || shares.iter().any(Share::take);
        taken.then(|| Turn(Rc::clone(self)))
    }

    fn share(&self) -> Option<&Share> {
        self.turns.0.get(self.worker)
    }
}

impl Drop for Turn {
    /// It stays where it was used last: a busy worker needs it again.
    fn drop(&mut self) {
        if let Some(share) = self.0.share() {
            share.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(most: usize) -> (Rc<Requests>, Rc<Requests>) {
        let turns = Turns::new(most, 2);
        (Requests::new(turns.clone(), 0), Requests::new(turns, 1))
    }

    #[test]
    fn no_more_than_the_limit_are_under_way_over_all_workers() {
        let (here, there) = workers(2);
        let (one, two) = (here.turn().unwrap(), there.turn().unwrap());
        assert!(here.turn().is_none() && there.turn().is_none());
        drop(one);
        let three = there.turn().unwrap();
        assert!(here.turn().is_none());
        drop((two, three));
    }

    #[test]
    fn one_busy_worker_may_use_the_whole_limit_and_gives_it_back() {
        for most in [1, 2, 5] {
            let (here, there) = workers(most);
            for worker in [&here, &there, &here] {
                let turns: Vec<Turn> = std::iter::from_fn(|| worker.turn()).take(100).collect();
                assert_eq!(turns.len(), most, "no fewer than the limit, and no more");
            }
        }
    }

    #[test]
    fn turns_are_neither_made_nor_lost_when_workers_race_for_them() {
        let (turns, under_way) = (Turns::new(3, 4), AtomicUsize::new(0));
        std::thread::scope(|threads| {
            for worker in 0..4 {
                let (turns, under_way) = (turns.clone(), &under_way);
                threads.spawn(move || {
                    let requests = Requests::new(turns, worker);
                    for _ in 0..5000 {
                        let Some(turn) = requests.turn() else { continue };
                        assert!(under_way.fetch_add(1, Ordering::SeqCst) < 3);
                        under_way.fetch_sub(1, Ordering::SeqCst);
                        drop(turn);
                    }
                });
            }
        });
        let left: usize = turns.0.iter().map(|share| share.0.load(Ordering::SeqCst)).sum();
        assert_eq!(left, 3);
    }
}
