//! What a logout ended before its time, until it would have ended by itself.
//!
//! Shared by all workers, and the same under every policy. Nothing is forgotten to make room: when there is none, whoever
//! asks is told so.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::seal::kept::SessionId;
use crate::token::Timestamp;

/// How many parts there are, each under a lock of its own: two requests seldom want the same.
const PARTS: usize = 16;
/// A part that holds fewer is not looked over for what is past.
const FEW: usize = 256;

/// The ids that were ended. An id takes some fifty bytes.
#[derive(Debug)]
pub struct Ended {
    parts: [Mutex<Part>; PARTS],
    /// How many each part holds at the most.
    most: usize,
    /// How many there are: while there are none, nobody has to look.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Part {
    ids: HashMap<SessionId, Timestamp>,
    /// It is looked over for what is past when it has grown to this.
    sweep_at: usize,
}

/// There is no room to remember one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no more ended sessions can be remembered")]
pub struct Full;

impl Ended {
    /// Room for about so many, at least one.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let parts = std::array::from_fn(|_| Mutex::default());
        Self { parts, most: most.div_ceil(PARTS).max(1), count: AtomicUsize::new(0) }
    }

    /// Whether this one was ended.
    #[must_use]
    pub fn has(&self, id: &SessionId) -> bool {
        // Whoever was told that it is ended asks after that was counted.
        self.count.load(Ordering::Acquire) > 0 && self.part(id).ids.contains_key(id)
    }

    /// Ends one. `until`: when it would end by itself. True if it had not been ended before.
    ///
    /// # Errors
    /// [`Full`]: it is not ended.
    pub fn end(&self, id: SessionId, until: Timestamp, now: Timestamp) -> Result<bool, Full> {
        let mut part = self.part(&id);
        if part.ids.contains_key(&id) {
            return Ok(false);
        }
        if !self.make_room(&mut part, now) {
            return Err(Full);
        }
        part.ids.insert(id, until);
        self.count.fetch_add(1, Ordering::Release);
        Ok(true)
    }

    /// Whether this one could be ended now. What could not is better not begun.
    #[must_use]
    pub fn has_room_for(&self, id: &SessionId, now: Timestamp) -> bool {
        self.make_room(&mut self.part(id), now)
    }

    /// Forgets what is past, once in a while and when there is no room else. Whether there is room.
    fn make_room(&self, part: &mut Part, now: Timestamp) -> bool {
        let before = part.ids.len();
        if before >= self.most || before >= part.sweep_at.max(FEW) {
            part.ids.retain(|_, until| *until > now);
            let after = part.ids.len();
            part.sweep_at = after.saturating_mul(2);
            self.count.fetch_sub(before.saturating_sub(after), Ordering::Release);
        }
        part.ids.len() < self.most
    }

    fn part(&self, id: &SessionId) -> MutexGuard<'_, Part> {
        let [first, ..] = &self.parts;
        let part = self.parts.get(id.spread() % PARTS).unwrap_or(first);
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> SessionId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        SessionId(bytes)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn what_was_ended_stays_ended_and_nothing_else_is() {
        let ended = Ended::new(100);
        assert!(!ended.has(&id(1)));
        assert_eq!(ended.end(id(1), at(100), at(0)), Ok(true));
        assert_eq!(ended.end(id(1), at(100), at(0)), Ok(false), "the second logout ends nothing");
        assert!(ended.has(&id(1)) && !ended.has(&id(2)) && !ended.has(&id(17)));
    }

    #[test]
    fn nothing_is_forgotten_to_make_room_before_its_time() {
        // One a part: 16 and 32 fall into the part of 0.
        let ended = Ended::new(PARTS);
        assert_eq!(ended.end(id(0), at(100), at(0)), Ok(true));
        assert!(!ended.has_room_for(&id(16), at(99)));
        assert_eq!(ended.end(id(16), at(200), at(99)), Err(Full));
        assert!(ended.has(&id(0)) && !ended.has(&id(16)));
        assert!(ended.has_room_for(&id(1), at(99)), "other parts have room");
        assert!(ended.has_room_for(&id(16), at(100)));
        assert_eq!(ended.end(id(16), at(200), at(100)), Ok(true), "what is past is no loss");
        assert!(ended.has(&id(16)) && !ended.has(&id(0)));
    }

    #[test]
    fn what_is_past_does_not_pile_up() {
        let ended = Ended::new(1 << 20);
        for number in 0..200_000 {
            let now = i64::from(number);
            ended.end(id(number), at(now + 10), at(now)).unwrap();
        }
        let held: usize = ended.parts.iter().map(|part| part.lock().unwrap().ids.len()).sum();
        assert!(held <= PARTS * (FEW + 1), "{held}");
        assert_eq!(held, ended.count.load(Ordering::Relaxed));
    }

    #[test]
    fn all_threads_see_what_one_ended() {
        let ended = Ended::new(10_000);
        std::thread::scope(|threads| {
            for thread in 0..4 {
                let ended = &ended;
                threads.spawn(move || {
                    for number in 0..1_000 {
                        ended.end(id(thread * 1_000 + number), at(100), at(0)).unwrap();
                    }
                });
            }
        });
        assert!((0..4_000).all(|number| ended.has(&id(number))));
    }
}
