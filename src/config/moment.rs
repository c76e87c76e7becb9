//! Moments as tests write them: `2026-01-01T12:00:00Z`.

use crate::config::problem::{Problem, Report};
use crate::config::reader;
use crate::config::yaml::Node;
use crate::token::Timestamp;

/// Reads a moment.
pub fn read(node: &Node, out: &mut Report) -> Option<Timestamp> {
    let text = reader::text(node, "a moment", out)?;
    let moment = parse(text);
    if moment.is_none() {
        let help = "write it in UTC, such as `2026-01-01T12:00:00Z`";
        out.add(Problem::error("bad_moment", node.span, format!("`{text}` is no moment")).help(help));
    }
    moment
}

/// `2026-01-01T12:00:00Z`: RFC 3339 in UTC and whole seconds.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, separator: char, widths: [usize; 3]| -> Option<[i64; 3]> {
        let parts: Vec<&str> = text.split(separator).collect();
        let [one, two, three] = <[&str; 3]>::try_from(parts).ok()?;
        let number = |part: &str, width: usize| {
            (part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok()).flatten()
        };
        let [a, b, c] = widths;
        Some([number(one, a)?, number(two, b)?, number(three, c)?])
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month.checked_sub(1)?).ok()?;
    let length = *lengths.get(before)?;
    if !(1970..=9999).contains(&year) || !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Leap days since the year 1 and before this one; 477 of them before 1970.
    let last = year.checked_sub(1)?;
    let leaps = (last / 4).checked_sub(last / 100)?.checked_add(last / 400)?.checked_sub(477)?;
    let years = year.checked_sub(1970)?.checked_mul(365)?.checked_add(leaps)?;
    let months: i64 = lengths.iter().take(before).sum();
    let days = years.checked_add(months)?.checked_add(day)?.checked_sub(1)?;
    let clock = hour.checked_mul(3600)?.checked_add(minute.checked_mul(60)?)?.checked_add(second)?;
    Some(Timestamp::from_seconds(days.checked_mul(86_400)?.checked_add(clock)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_utc_and_exist() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-01-01T12:00:00Z", 1_767_268_800),
            ("2024-02-29T23:59:59Z", 1_709_251_199),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(parse(text), Some(Timestamp::from_seconds(seconds)), "{text}");
        }
        for bad in [
            "",
            "now",
            "2026-01-01",
            "2026-01-01T12:00:00",
            "2026-01-01T12:00:00+01:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-1-1T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
