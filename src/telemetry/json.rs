//! JSON written straight into a text: for lines and answers that are written for every request.
//!
//! serde writes a structure piece by piece, each through a writer; that is most of what a line costs. Here a member's name and
//! what stands around it is one constant, and most values are copied whole.

use std::fmt::{self, Write as _};

/// Adds a text, with its quotes.
pub fn text(out: &mut String, text: &str) {
    out.push('"');
    escaped(out, text);
    out.push('"');
}

/// Adds a text, or `null`.
pub fn optional(out: &mut String, value: Option<&str>) {
    match value {
        Some(value) => text(out, value),
        None => out.push_str("null"),
    }
}

/// Adds a list of texts.
pub fn texts<'t>(out: &mut String, values: impl IntoIterator<Item = &'t str>) {
    out.push('[');
    for (place, value) in values.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        text(out, value);
    }
    out.push(']');
}

/// Adds a whole number.
pub fn number(out: &mut String, number: u64) {
    let mut digits = [0; 20];
    let (mut rest, mut begin) = (number, digits.len());
    for digit in digits.iter_mut().rev() {
        *digit = b'0' | u8::try_from(rest % 10).unwrap_or(0);
        (rest, begin) = (rest / 10, begin.saturating_sub(1));
        if rest == 0 {
            break;
        }
    }
    out.push_str(str::from_utf8(digits.get(begin..).unwrap_or_default()).unwrap_or_default());
}

/// Adds a whole number with its sign.
pub fn signed(out: &mut String, value: i64) {
    out.push_str(if value < 0 { "-" } else { "" });
    number(out, value.unsigned_abs());
}

/// Adds what stands between the quotes of a text.
pub fn escaped(out: &mut String, text: &str) {
    if is_plain(text.as_bytes()) {
        out.push_str(text);
        return;
    }
    for piece in text.split_inclusive(|c: char| c < ' ' || c == '"' || c == '\\') {
        let mut chars = piece.chars();
        match chars.next_back() {
            Some(mark @ ('"' | '\\')) => {
                out.push_str(chars.as_str());
                out.extend(['\\', mark]);
            }
            Some(control) if control < ' ' => {
                out.push_str(chars.as_str());
                let short = match control {
                    '\u{8}' => "\\b",
                    '\t' => "\\t",
                    '\n' => "\\n",
                    '\u{c}' => "\\f",
                    '\r' => "\\r",
                    _ => {
                        let _infallible = write!(out, "\\u{:04x}", u32::from(control));
                        continue;
                    }
                };
                out.push_str(short);
            }
            Some(_) | None => out.push_str(piece),
        }
    }
}

/// Whether nothing in a text is written otherwise in JSON. Eight bytes are looked at in one go: nearly every text is plain.
fn is_plain(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks();
    let mut last = [b' '; 8];
    last.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
    words.iter().chain([&last]).fold(0, |marked, word| marked | marks(u64::from_ne_bytes(*word))) == 0
}

/// Not 0 if one of eight bytes is a control character, a quote or a backslash: a byte below 0x20, or one that is 0 once what is
/// looked for is taken out of it, borrows from its highest bit.
const fn marks(word: u64) -> u64 {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = u64::from_ne_bytes([0x80; 8]);
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
    const SPACES: u64 = u64::from_ne_bytes([b' '; 8]);
    let (quote, backslash) = (word ^ QUOTES, word ^ BACKSLASHES);
    let control = word.wrapping_sub(SPACES) & !word;
    (control | quote.wrapping_sub(EACH) & !quote | backslash.wrapping_sub(EACH) & !backslash) & HIGHEST
}

/// Takes what formats itself, as what stands between the quotes of a text.
pub struct Escaped<'o>(pub &'o mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        escaped(self.0, piece);
        Ok(())
    }
}

impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Escaped")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    proptest! {
        #[test]
        fn a_text_is_written_as_serde_writes_it(value in any::<String>(), controls in "[\\x00-\\x7f\"\\\\é]{0,40}", size in any::<u64>()) {
            for one in [&value, &controls] {
                prop_assert_eq!(written(|out| text(out, one)), serde_json::to_string(one).unwrap());
                let by_pieces = written(|out| write!(Escaped(out), "{one}{one}").unwrap());
                let twice = serde_json::to_string(&format!("{one}{one}")).unwrap();
                prop_assert_eq!(format!("\"{by_pieces}\""), twice);
            }
            prop_assert_eq!(written(|out| texts(out, [&*value, &*controls])), serde_json::to_string(&[&value, &controls]).unwrap());
            prop_assert_eq!(written(|out| number(out, size)), size.to_string());
            prop_assert_eq!(written(|out| signed(out, size.cast_signed())), size.cast_signed().to_string());
        }
    }

    #[test]
    fn each_byte_is_seen_wherever_it_stands() {
        for byte in 0..=0x7f_u8 {
            for (before, after) in (0..20).flat_map(|before| [0, 1, 9].map(|after| (before, after))) {
                for around in ["x", "\u{7f}", "é"] {
                    let value = around.repeat(before) + &char::from(byte).to_string() + &around.repeat(after);
                    assert_eq!(written(|out| text(out, &value)), serde_json::to_string(&value).unwrap());
                }
            }
        }
    }

    #[test]
    fn numbers_at_their_ends_and_nothing_at_all() {
        for size in [0, 9, 10, 99, 100, u64::MAX] {
            assert_eq!(written(|out| number(out, size)), size.to_string());
        }
        assert_eq!(written(|out| optional(out, None)), "null");
        assert_eq!(written(|out| texts(out, [])), "[]");
    }
}
