//! Where heads and bodies begin and end in the bytes that a client sends.
//!
//! hyper parses requests, and two things it hides from us: it cuts `#…` off a request target in silence (checklist T4), and
//! it has one time limit for idling and for sending a head. So the bytes are followed on their way to it, one head at a
//! time, just far enough to tell where a head ends. Where our reading and hyper's could differ, or that of whoever stands before
//! us, [`Expect::Rest`] says so, and nothing further is served on that connection: a disagreement can end a connection, never
//! smuggle a request.

use memchr::memchr;

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Expect {
    /// A head, or the rest of one.
    Head(Head),
    /// Nothing: a head is complete, and what follows it is not known before hyper has read it.
    Framing,
    /// So many bytes of a body.
    Sized(u64),
    /// A chunked body.
    Chunked(Chunked),
    /// Bytes that nobody reads any more; the connection ends with the present request.
    Rest,
}

/// How far a head has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) enum Head {
    /// Nothing but empty lines, which servers skip (RFC 9112 section 2.2).
    #[default]
    Nothing,
    /// In the request line; whether the last byte was a CR.
    Target { odd: Odd, cr: bool },
    /// At the start of a line of fields.
    LineStart { odd: Odd },
    /// After a CR at the start of a line.
    LineStartCr { odd: Odd },
    /// Within a line of fields; whether the last byte was a CR.
    Line { odd: Odd, cr: bool },
}

/// What a head has in it that hyper takes without a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Odd {
    /// A `#` in the request line.
    pub(in crate::proxy) fragment: bool,
    /// A line that ends with LF alone (RFC 9112 section 2.2 lets us take it). Whoever stands before us and does not may have
    /// seen one field where we see two, a length or a coding the second.
    pub(in crate::proxy) bare_lf: bool,
}

/// What was found in a run of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Found {
    /// The head or body goes on.
    More,
    /// It ends after so many of the bytes.
    End(usize),
}

impl Head {
    /// Whether any byte of it has come.
    pub(in crate::proxy) fn has_begun(self) -> bool {
        self != Self::Nothing
    }

    /// What it has in it.
    pub(in crate::proxy) fn odd(self) -> Odd {
        match self {
            Self::Nothing => Odd::default(),
            Self::Target { odd, .. } | Self::LineStart { odd } | Self::LineStartCr { odd } | Self::Line { odd, .. } => {
                odd
            }
        }
    }

    /// Reads on. A head ends with the first empty line after its request line; a bare LF ends a line as CRLF does.
    pub(in crate::proxy) fn follow(&mut self, bytes: &[u8]) -> Found {
        let mut at = 0usize;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let first = rest.first().copied().unwrap_or_default();
            let odd = self.odd();
            match *self {
                Self::Nothing => {
                    let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                    at = at.saturating_add(empty);
                    if empty < rest.len() {
                        *self = Self::Target { odd, cr: false };
                    }
                }
                Self::Target { cr, .. } => {
                    let end = memchr(b'\n', rest);
                    let line = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
                    let cr = line.last().map_or(cr, |last| *last == b'\r');
                    let fragment = odd.fragment || memchr(b'#', line).is_some();
                    *self = if end.is_some() {
                        Self::LineStart { odd: Odd { fragment, bare_lf: !cr } }
                    } else {
                        Self::Target { odd: Odd { fragment, ..odd }, cr }
                    };
                    at = at.saturating_add(end.map_or(rest.len(), |end| end.saturating_add(1)));
                }
                Self::LineStart { .. } if first == b'\n' => {
                    *self = Self::LineStart { odd: Odd { bare_lf: true, ..odd } };
                    return Found::End(at.saturating_add(1));
                }
                Self::LineStartCr { .. } if first == b'\n' => return Found::End(at.saturating_add(1)),
                Self::LineStart { .. } if first == b'\r' => {
                    *self = Self::LineStartCr { odd };
                    at = at.saturating_add(1);
                }
                Self::Line { cr, .. } => return self.follow_lines(rest, odd, cr, at),
                Self::LineStart { .. } | Self::LineStartCr { .. } => return self.follow_lines(rest, odd, false, at),
            }
        }
        Found::More
    }

    /// Lines of fields that are here as a whole, without a step for each. `lines` begins at `at`, and with no empty line; `cr`
    /// says whether a CR came right before.
    fn follow_lines(&mut self, mut lines: &[u8], mut odd: Odd, mut cr: bool, at: usize) -> Found {
        let all = lines.len();
        let end_at = |left: &[u8]| Found::End(at.saturating_add(all).saturating_sub(left.len()));
        loop {
            let Some(end) = memchr(b'\n', lines) else {
                *self = Self::Line { odd, cr: lines.last().map_or(cr, |last| *last == b'\r') };
                return Found::More;
            };
            let (line, rest) = lines.split_at_checked(end).unwrap_or((lines, &[]));
            odd.bare_lf |= line.last().map_or(!cr, |last| *last != b'\r');
            cr = false;
            lines = rest.split_first().map_or(&[], |(_, rest)| rest);
            match lines {
                [b'\n', left @ ..] => {
                    *self = Self::LineStart { odd: Odd { bare_lf: true, ..odd } };
                    return end_at(left);
                }
                [b'\r', b'\n', left @ ..] => {
                    *self = Self::LineStart { odd };
                    return end_at(left);
                }
                [] => *self = Self::LineStart { odd },
                [b'\r'] => *self = Self::LineStartCr { odd },
                [_, ..] => continue,
            }
            return Found::More;
        }
    }
}

/// How far a chunked body has come (RFC 9112 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Chunked {
    /// In a chunk's size.
    Size { size: u64, digits: u8 },
    /// In what stands behind a chunk's size: blanks, extensions.
    Behind { size: u64 },
    /// After the CR of a size line.
    SizeLf { size: u64 },
    /// So many bytes of data.
    Data(u64),
    /// Before the CR, or the LF, that ends data.
    DataCr,
    /// Before the LF that ends data.
    DataLf,
    /// In the trailers, at the start of a line or within one.
    Trailer { line_start: bool },
    /// After a CR within a trailer line.
    TrailerLf,
    /// After a CR at the start of a trailer line.
    TrailerCr,
}

/// The bytes are no chunked body, or one that others may read otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Lost;

impl Chunked {
    pub(in crate::proxy) const START: Self = Self::Size { size: 0, digits: 0 };

    /// Reads on. `is_plain` is cleared where something stands behind a size, which readers have disagreed about.
    pub(in crate::proxy) fn follow(&mut self, bytes: &[u8], is_plain: &mut bool) -> Result<Found, Lost> {
        let mut at = 0usize;
        while let Some(&byte) = bytes.get(at) {
            let mut taken = 1usize;
            *self = match (*self, byte) {
                (Self::Size { size, digits: digits @ 0..15 }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                    let digit = char::from(byte).to_digit(16).ok_or(Lost)?;
                    Self::Size { size: size << 4 | u64::from(digit), digits: digits.saturating_add(1) }
                }
                (Self::Size { size, digits: 1.. }, b'\r') => Self::SizeLf { size },
                (Self::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => {
                    *is_plain = false;
                    Self::Behind { size }
                }
                (Self::Behind { size }, b'\r') => Self::SizeLf { size },
                (Self::Behind { size }, 0x20.. | b'\t') => Self::Behind { size },
                (Self::SizeLf { size: 0 }, b'\n') => Self::Trailer { line_start: true },
                (Self::SizeLf { size }, b'\n') => Self::Data(size),
                (Self::Data(left), _) => {
                    let here = bytes.len().saturating_sub(at);
                    taken = usize::try_from(left).map_or(here, |left| left.min(here));
                    match left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX)) {
                        0 => Self::DataCr,
                        left => Self::Data(left),
                    }
                }
                (Self::DataCr, b'\r') => Self::DataLf,
                (Self::DataLf, b'\n') => Self::START,
                (Self::Trailer { line_start: true }, b'\r') => Self::TrailerCr,
                (Self::TrailerCr, b'\n') => return Ok(Found::End(at.saturating_add(1))),
                (Self::TrailerLf, b'\n') => Self::Trailer { line_start: true },
                (Self::Trailer { line_start: false }, b'\r') => Self::TrailerLf,
                (Self::Trailer { line_start: false }, 0x20.. | b'\t') => Self::Trailer { line_start: false },
                (Self::Trailer { line_start: true }, 0x21..) => Self::Trailer { line_start: false },
                (
                    Self::Size { .. }
                    | Self::Behind { .. }
                    | Self::SizeLf { .. }
                    | Self::DataCr
                    | Self::DataLf
                    | Self::TrailerLf
                    | Self::TrailerCr
                    | Self::Trailer { .. },
                    _,
                ) => return Err(Lost),
            };
            at = at.saturating_add(taken);
        }
        Ok(Found::More)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(text: &[u8]) -> (Head, Found) {
        let mut head = Head::default();
        let found = head.follow(text);
        (head, found)
    }

    #[test]
    fn a_head_ends_with_its_first_empty_line() {
        for (text, end) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET"[..], Found::End(27)),
            (b"GET / HTTP/1.1\nHost: a\n\nGET", Found::End(24)),
            (b"GET / HTTP/1.1\r\n\r\n", Found::End(18)),
            (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", Found::End(22)),
            (b"GET / HTTP/1.1\r\nHost: a\r\n", Found::More),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r", Found::More),
            (b"\r\n\r\n", Found::More),
            (b"", Found::More),
        ] {
            assert_eq!(head(text).1, end, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn t4_a_fragment_is_seen_in_the_request_line_and_nowhere_else() {
        assert!(head(b"GET /public#/admin HTTP/1.1\r\nHost: a\r\n\r\n").0.odd().fragment);
        assert!(head(b"GET /a?b=c#d HTTP/1.1\r\nHost: a\r\n\r\n").0.odd().fragment);
        assert!(!head(b"GET /a HTTP/1.1\r\nX: #1\r\n\r\n").0.odd().fragment);
    }

    #[test]
    fn t17_a_line_that_ends_with_lf_alone_is_seen_wherever_it_is() {
        for (text, bare_lf) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n"[..], false),
            (b"\r\nGET / HTTP/1.1\r\n\r\n", false),
            (b"GET / HTTP/1.1\nHost: a\r\n\r\n", true),
            (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", true),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\n\r\n", true),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\n", true),
            (b"GET / HTTP/1.1\r\n\n", true),
        ] {
            assert_eq!(head(text).0.odd().bare_lf, bare_lf, "{}", String::from_utf8_lossy(text));
            let mut slowly = Head::default();
            assert!(text.iter().any(|byte| slowly.follow(&[*byte]) != Found::More));
            assert_eq!(slowly.odd().bare_lf, bare_lf, "byte by byte: {}", String::from_utf8_lossy(text));
        }
    }

    /// What is found, and whether it was plain.
    fn chunks(text: &[u8]) -> (Result<Found, Lost>, bool) {
        let mut is_plain = true;
        (Chunked::START.clone().follow(text, &mut is_plain), is_plain)
    }

    #[test]
    fn a_chunked_body_is_followed_to_its_end() {
        let text = b"4\r\nwiki\r\n00A\r\n0123456789\r\n0\r\nTrail: x\r\n\r\nGET";
        assert_eq!(chunks(text), (Ok(Found::End(text.len() - 3)), true));
        for text in [&b"4;a=b\r\nwiki\r\n0\r\n\r\n"[..], b"4 \r\nwiki\r\n0\r\n\r\n", b"4\r\nwiki\r\n0\t;x\r\n\r\n"] {
            assert_eq!(chunks(text), (Ok(Found::End(text.len())), false), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn t17_what_others_may_read_otherwise_is_no_chunked_body() {
        for lost in [
            &b"\r\n"[..],
            b"4\nwiki",
            b"4\r\nwikiX",
            b"4\r\nwiki\n",
            b"g\r\n",
            b"1111111111111111\r\n",
            b" 4\r\n",
            b";a\r\n",
            b"4;a\nb",
            b"4;a\rb",
            b"4;\0\r\n",
            b"0\r\n\n",
            b"0\r\n folded\r\n",
            b"0\r\nX: a\nY: b\r\n\r\n",
            b"0\r\nX: a\n\r\n",
            b"0\r\nX: a\rb\r\n\r\n",
            b"0\r\nX: \0\r\n\r\n",
        ] {
            assert_eq!(chunks(lost).0, Err(Lost), "{}", String::from_utf8_lossy(lost));
        }
    }

    #[expect(clippy::arithmetic_side_effects, reason = "lengths of test input")]
    mod cut {
        use super::*;

        proptest! {
            #[test]
            fn how_bytes_are_cut_into_reads_makes_no_difference(
                text in "(\r\n){0,2}[A-Z#]{1,5} /[a#]{0,5}(\r?\n[a-c:#]{0,5}){0,4}\r?\n\r?\n[a-z]{0,3}",
                cut in 0usize..40,
            ) {
                let (bytes, mut parts) = (text.as_bytes(), Head::default());
                let (whole, found) = head(bytes);
                let cut = cut.min(bytes.len());
                let joined = match parts.follow(&bytes[..cut]) {
                    Found::End(end) => Found::End(end),
                    Found::More => match parts.follow(&bytes[cut..]) {
                        Found::End(end) => Found::End(cut + end),
                        Found::More => Found::More,
                    },
                };
                prop_assert_eq!(joined, found);
                prop_assert_eq!(parts.odd(), whole.odd());
            }

            #[test]
            fn how_chunks_are_cut_into_reads_makes_no_difference(sizes in prop::collection::vec(1usize..40, 0..5), cut in 0usize..200) {
                let mut bytes = Vec::new();
                for size in sizes {
                    bytes.extend(format!("{size:x}\r\n{}\r\n", "x".repeat(size)).bytes());
                }
                bytes.extend(b"0\r\n\r\n");
                let end = bytes.len();
                bytes.extend(b"next");
                let cut = cut.min(bytes.len());
                let mut parts = Chunked::START;
                let joined = match parts.follow(&bytes[..cut], &mut true).unwrap() {
                    Found::End(end) => end,
                    Found::More => match parts.follow(&bytes[cut..], &mut true).unwrap() {
                        Found::End(end) => cut + end,
                        Found::More => 0,
                    },
                };
                prop_assert_eq!(joined, end);
            }
        }
    }
}
