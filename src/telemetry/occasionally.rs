//! Says when something that may happen thousands of times a second should be logged again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets one in an interval through and counts the others.
#[derive(Debug)]
pub struct Occasionally {
    every: Duration,
    last: Mutex<Option<Instant>>,
    held_back: AtomicU64,
}

impl Occasionally {
    /// At most once in each interval.
    #[must_use]
    pub const fn new(every: Duration) -> Self {
        Self { every, last: Mutex::new(None), held_back: AtomicU64::new(0) }
    }

    /// Whether to speak now: how many times it was held back since it last spoke. `None`: not now.
    pub fn due(&self) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < self.every) {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *last = Some(Instant::now());
        Some(self.held_back.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_speaks_and_says_how_many_did_not() {
        let occasionally = Occasionally::new(Duration::from_millis(200));
        assert_eq!(occasionally.due(), Some(0));
        assert_eq!(occasionally.due(), None);
        assert_eq!(occasionally.due(), None);
        std::thread::sleep(Duration::from_millis(220));
        assert_eq!(occasionally.due(), Some(2));
    }
}
