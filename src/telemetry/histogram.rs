//! A histogram of plain atomics: no lock on the request's way.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts durations.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

/// Upper bounds in microseconds. A decision takes tens of them; an upstream that answers slowly takes seconds.
const BOUNDS: [(u64, f64); 16] = [
    (10, 0.000_01),
    (25, 0.000_025),
    (50, 0.000_05),
    (100, 0.000_1),
    (250, 0.000_25),
    (500, 0.000_5),
    (1_000, 0.001),
    (2_500, 0.002_5),
    (5_000, 0.005),
    (10_000, 0.01),
    (25_000, 0.025),
    (100_000, 0.1),
    (250_000, 0.25),
    (1_000_000, 1.0),
    (5_000_000, 5.0),
    (30_000_000, 30.0),
];

/// A sum in seconds, and how many fell into each bucket, with its upper bound in seconds.
pub(super) type Read = (f64, Vec<(f64, u64)>);

impl Histogram {
    pub(super) fn observe(&self, micros: u64) {
        let place = BOUNDS.iter().position(|(bound, _)| micros <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What several counted, together.
    pub(super) fn read<'a>(all: impl IntoIterator<Item = &'a Self>) -> Read {
        let bounds = BOUNDS.iter().map(|(_, seconds)| *seconds).chain([f64::INFINITY]);
        let mut buckets: Vec<(f64, u64)> = bounds.map(|bound| (bound, 0)).collect();
        let mut micros = 0_u64;
        for one in all {
            micros = micros.saturating_add(one.sum_micros.load(Ordering::Relaxed));
            for ((_, sum), count) in buckets.iter_mut().zip(&one.counts) {
                *sum = sum.saturating_add(count.load(Ordering::Relaxed));
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "285 years stay exact")]
        let sum = micros as f64 / 1e6;
        (sum, buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_counted_is_read_together() {
        let (one, other) = (Histogram::default(), Histogram::default());
        one.observe(10);
        other.observe(11);
        other.observe(1_000_000_000);
        let (sum, buckets) = Histogram::read([&one, &other]);
        assert!((sum - 1_000.000_021).abs() < 1e-9, "{sum}");
        assert_eq!(buckets[..2], [(0.000_01, 1), (0.000_025, 1)]);
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, 1)));
    }
}
