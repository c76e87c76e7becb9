//! Counters that threads do not share: each counts in a shard of its own, and whoever reads adds up.
//!
//! A number that two cores write in turn moves from one's cache to the other's each time, which costs more than most of
//! what is counted. No instruction count shows it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads beyond these share a shard, which is slower and no less right.
pub(super) const SHARDS: usize = 8;

/// The place of the thread's shard.
pub(super) fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static HERE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    HERE.with(|here| *here)
}

/// One value for each shard, on cache lines of its own (two: processors fetch them in pairs).
#[derive(Debug, Default)]
pub(crate) struct Sharded<T>([Apart<T>; SHARDS]);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

impl<T> Sharded<T> {
    /// The one of this thread.
    pub(crate) fn here(&self) -> Option<&T> {
        self.0.get(shard()).map(|apart| &apart.0)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|apart| &apart.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn threads_count_apart_and_nothing_is_lost() {
        let counter = Sharded::<AtomicU64>::default();
        std::thread::scope(|threads| {
            for _ in 0..SHARDS * 2 {
                threads.spawn(|| {
                    for _ in 0..100 {
                        counter.here().unwrap().fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let counts: Vec<u64> = counter.all().map(|count| count.load(Ordering::Relaxed)).collect();
        assert_eq!(counts.iter().sum::<u64>(), 1600);
        assert!(counts.iter().filter(|count| **count > 0).count() > 1, "{counts:?}");
    }
}
