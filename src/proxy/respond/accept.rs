//! `Accept` (RFC 9110 section 12.5.1): how much a media type is wanted.

use http::HeaderMap;
use http::header::{self, HeaderValue};

/// A weight in thousandths.
pub(super) type Weight = u16;

/// The weight of whatever is not spoken of less.
const FULL: Weight = 1000;

/// How much a request wants each of these media types, written as `type/subtype` in lower case. What can't be read asks for
/// nothing.
pub(super) fn weights<const N: usize>(fields: &HeaderMap, types: [&str; N]) -> [Weight; N] {
    let mut lines = fields.get_all(header::ACCEPT).iter();
    let Some(first) = lines.next() else { return [FULL; N] };
    // For each type the most specific range so far, and its weight.
    let mut found: [(u8, Weight); N] = [(0, 0); N];
    for line in std::iter::once(first).chain(lines) {
        for range in ranges(line) {
            for (kind, best) in types.iter().zip(&mut found) {
                if let Some(fit) = range.fits(kind) {
                    *best = (*best).max((fit, range.weight));
                }
            }
        }
    }
    found.map(|(_, weight)| weight)
}

/// One range of the list.
struct Range<'v> {
    name: &'v str,
    weight: Weight,
    /// Whether it has parameters besides its weight, so that it is about no type as such.
    narrowed: bool,
}

impl Range<'_> {
    /// How closely it names a media type; `None`: it does not.
    fn fits(&self, kind: &str) -> Option<u8> {
        let (main, _) = kind.split_once('/')?;
        if self.narrowed {
            return None;
        }
        if self.name.eq_ignore_ascii_case(kind) {
            return Some(3);
        }
        let (of, all) = self.name.split_once('/')?;
        match (of, all) {
            ("*", "*") => Some(1),
            (of, "*") if of.eq_ignore_ascii_case(main) => Some(2),
            (_, _) => None,
        }
    }
}

fn ranges(line: &HeaderValue) -> impl Iterator<Item = Range<'_>> {
    let text = line.to_str().unwrap_or_default();
    outside_quotes(text, ',').filter_map(|range| {
        let mut parts = outside_quotes(range, ';').map(|part| part.trim_matches([' ', '\t']));
        let name = parts.next().filter(|name| name.contains('/'))?;
        let (mut weight, mut narrowed) = (FULL, false);
        for part in parts.filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=')?;
            if key.eq_ignore_ascii_case("q") {
                weight = thousandths(value)?;
                // What follows the weight is about no media type (RFC 7231 section 5.3.2 still had it).
                break;
            }
            // We write UTF-8, so who names it means what we have.
            narrowed |= !(key.eq_ignore_ascii_case("charset") && value.trim_matches('"').eq_ignore_ascii_case("utf-8"));
        }
        Some(Range { name, weight, narrowed })
    })
}

/// The parts of a text between separators that stand in no quotes.
fn outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let is_end = c == separator && !quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        is_end
    })
}

/// RFC 9110 section 12.4.2: `0` to `1`, with up to three digits behind the point.
fn thousandths(text: &str) -> Option<Weight> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    let behind =
        digits.fold(0_u16, |sum, digit| sum.saturating_mul(10).saturating_add(digit.saturating_sub(b'0').into()));
    match (whole, behind) {
        ("0", behind) => Some(behind),
        ("1", 0) => Some(FULL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights_of(lines: &[&str]) -> [Weight; 2] {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append("accept", HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        weights(&fields, ["text/html", "application/json"])
    }

    #[test]
    fn the_most_specific_range_counts_with_its_weight() {
        for (line, is) in [
            ("*/*", [1000, 1000]),
            ("text/html", [1000, 0]),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", [1000, 800]),
            ("application/json, text/html;q=0.9", [900, 1000]),
            ("text/*;q=0.3, text/html;q=0.7, */*;q=0.5", [700, 500]),
            ("TEXT/HTML; Q=0.125 , Application/*;q=1.000", [125, 1000]),
            ("text/html;q=0, */*", [0, 1000]),
            ("text/html;q=0.1, text/html;q=0.4", [400, 0]),
            ("text/html;charset=UTF-8;q=0.5", [500, 0]),
            ("text/html;level=1", [0, 0]),
            ("text/html;q=0.5;level=1", [500, 0]),
            ("text/x;a=\",text/html,\", application/json", [0, 1000]),
            ("text/x;a=\"\\\",text/html\", application/json", [0, 1000]),
            ("", [0, 0]),
            ("html, */html, text", [0, 0]),
        ] {
            assert_eq!(weights_of(&[line]), is, "{line}");
        }
        assert_eq!(weights_of(&[]), [1000, 1000], "without the field anything will do");
        assert_eq!(weights_of(&["text/html;q=0.2", "application/json"]), [200, 1000], "two fields are one list");
    }

    #[test]
    fn a_weight_that_cannot_be_read_asks_for_nothing() {
        for weight in ["2", "1.001", "1.", "0.1234", "-1", "x", "", ".5", "0.1x", "0,5", "1e0", "01"] {
            let read = weights_of(&[&format!("text/html;q={weight}")]);
            assert_eq!(read, if weight == "1." { [1000, 0] } else { [0, 0] }, "{weight}");
        }
        assert_eq!(weights_of(&["text/html;q"]), [0, 0]);
        assert_eq!(weights_of(&["text/html\u{e9}"]), [0, 0]);
    }
}
