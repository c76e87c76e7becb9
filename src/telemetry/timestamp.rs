//! Moments as RFC 3339 writes them, in UTC with microseconds: `2026-01-01T12:00:00.123456Z`.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::token::Timestamp;

/// Writes a moment. Times before 1970 and after 9999 are written as the nearest moment within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rfc3339(pub Timestamp);

/// The last microsecond of the year 9999.
const LAST: i64 = 253_402_300_799_999_999;

impl Rfc3339 {
    /// Adds it to a text.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "the input is clamped to 1970..=9999 first, so nothing overflows"
    )]
    pub fn append_to(self, out: &mut String) {
        let micros = self.0.micros().clamp(0, LAST).unsigned_abs();
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // The Gregorian calendar in years that begin on 1 March, so that the leap day is the last of its year.
        let day = days + 719_468;
        let (era, day_of_era) = (day / 146_097, day % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        let digit = |number: u64| b'0' | u8::try_from(number % 10).unwrap_or(0);
        let two = |number: u64| [digit(number / 10), digit(number)];
        let ([c1, c2], [y1, y2], [m1, m2], [d1, d2]) = (two(year / 100), two(year), two(month), two(day_of_month));
        let ([h1, h2], [n1, n2], [s1, s2]) = (two(hour), two(minute), two(second));
        let ([f1, f2], [f3, f4], [f5, f6]) = (two(fraction / 10_000), two(fraction / 100), two(fraction));
        // One piece, since formatting its numbers would take most of the time of a line.
        let text: [u8; LENGTH] = [
            c1, c2, y1, y2, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2, b'.', f1, f2, f3, f4,
            f5, f6, b'Z',
        ];
        out.push_str(str::from_utf8(&text).unwrap_or_default());
    }
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(LENGTH);
        self.append_to(&mut text);
        f.write_str(&text)
    }
}

/// How long every one of them is.
const LENGTH: usize = 27;

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_rfc_3339_says() {
        let write = |micros: i64| Rfc3339(Timestamp::from_micros(micros)).to_string();
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1970-01-01T00:00:00.000000Z"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (951_868_800_000_000, "2000-03-01T00:00:00.000000Z"),
            (1_709_164_800_000_001, "2024-02-29T00:00:00.000001Z"),
            (1_767_268_800_123_456, "2026-01-01T12:00:00.123456Z"),
            (1_798_761_599_000_000, "2026-12-31T23:59:59.000000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (LAST, "9999-12-31T23:59:59.999999Z"),
            (i64::MAX, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(write(micros), text);
        }
    }
}
