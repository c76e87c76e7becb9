//! Points in time as tokens state them (`NumericDate`, RFC 7519 section 2) and as the clock hands them in.

use crate::token::json::Tree;

/// Microseconds since 1970-01-01T00:00:00Z. Never read from a clock in the core: `now` is always an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The last second that a `NumericDate` may name: the end of the year 9999.
const MAX_SECONDS: i64 = 253_402_300_799;
const MICROS: i64 = 1_000_000;

impl Timestamp {
    /// From microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since the epoch.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(MICROS))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS)
    }

    /// This moment and so many seconds (negative: before).
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(MICROS)))
    }

    /// Reads a `NumericDate`: a JSON number from 0 to the end of the year 9999, with or without a fraction.
    ///
    /// `None` for anything else: a string, a negative number, `1e300`. A date that cannot be read is malformed, never
    /// absent (checklist T18).
    #[must_use]
    pub fn from_claim(claim: &Tree<'_>) -> Option<Self> {
        let Tree::Number(number) = claim else { return None };
        if let Some(seconds) = number.as_i64() {
            return (0..=MAX_SECONDS).contains(&seconds).then(|| Self::from_seconds(seconds));
        }
        let seconds = number.as_f64()?;
        #[expect(clippy::cast_precision_loss, reason = "the bound is far below 2^53")]
        let in_range = seconds >= 0.0 && seconds <= MAX_SECONDS as f64;
        #[expect(clippy::cast_possible_truncation, reason = "in range, so the product fits an i64")]
        in_range.then_some(Self((seconds * 1e6) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t18_a_numeric_date_is_a_number_within_reason() {
        let read = |text: &str| Timestamp::from_claim(&Tree::read(text).unwrap());
        assert_eq!(read("1767268740"), Some(Timestamp::from_seconds(1_767_268_740)));
        assert_eq!(read("1767268740.5"), Some(Timestamp::from_micros(1_767_268_740_500_000)));
        assert_eq!(read("0"), Some(Timestamp::from_seconds(0)));
        for bad in [
            "\"1767268740\"",
            "-1",
            "-0.5",
            "1e300",
            "253402300800",
            "null",
            "[1]",
            "{}",
            "true",
            "18446744073709551615",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
