//! The one reader of wall time. Everything else is handed `now`.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::token::Timestamp;

/// The wall clock's time. A clock before 1970 or past the year 294,000 reads as the nearest time that can be told.
#[must_use]
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
    let now = SystemTime::now();
    let micros = match now.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, i64::wrapping_neg),
    };
    Timestamp::from_micros(micros)
}
