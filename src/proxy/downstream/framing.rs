//! Where heads and bodies begin and end in the bytes that a client sends.
//!
//! hyper parses requests, and two things it hides from us: it cuts `#…` off a request target in silence (checklist T4), and
//! it has one time limit for idling and for sending a head. So the bytes are followed on their way to it, one head at a
//! time, just far enough to tell where a head ends. Where our reading and hyper's could differ, [`Expect::Rest`] says
//! that the bytes are no longer understood, and nothing further is served on that connection: a disagreement can end a
//! connection, never smuggle a request.

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
    /// Bytes that are no longer understood; the connection ends with the present request.
    Rest,
}

/// How far a head has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) enum Head {
    /// Nothing but empty lines, which servers skip (RFC 9112 section 2.2).
    #[default]
    Nothing,
    /// In the request line; whether a `#` was seen in it.
    Target { fragment: bool },
    /// At the start of a line of fields.
    LineStart { fragment: bool },
    /// After a CR at the start of a line.
    LineStartCr { fragment: bool },
    /// Within a line of fields.
    Line { fragment: bool },
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

    /// Whether its request line has a `#`.
    pub(in crate::proxy) fn has_fragment(self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Target { fragment }
            | Self::LineStart { fragment }
            | Self::LineStartCr { fragment }
            | Self::Line { fragment } => fragment,
        }
    }

    /// Reads on. A head ends with the first empty line after its request line; a bare LF ends a line as CRLF does.
    pub(in crate::proxy) fn follow(&mut self, bytes: &[u8]) -> Found {
        let mut at = 0usize;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let first = rest.first().copied().unwrap_or_default();
            let fragment = self.has_fragment();
            match self {
                Self::Nothing => {
                    let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                    at = at.saturating_add(empty);
                    if empty < rest.len() {
                        *self = Self::Target { fragment: false };
                    }
                }
                Self::Target { .. } => {
                    let end = memchr(b'\n', rest);
                    let line = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
                    let fragment = fragment || memchr(b'#', line).is_some();
                    *self = if end.is_some() { Self::LineStart { fragment } } else { Self::Target { fragment } };
                    at = at.saturating_add(end.map_or(rest.len(), |end| end.saturating_add(1)));
                }
                Self::LineStart { .. } | Self::LineStartCr { .. } if first == b'\n' => {
                    return Found::End(at.saturating_add(1));
                }
                Self::LineStart { .. } if first == b'\r' => {
                    *self = Self::LineStartCr { fragment };
                    at = at.saturating_add(1);
                }
                Self::LineStart { .. } | Self::LineStartCr { .. } | Self::Line { .. } => {
                    return self.follow_lines(rest, fragment, at);
                }
            }
        }
        Found::More
    }

    /// Lines of fields that are here as a whole, without a step for each. `lines` begins at `at`, and with no empty line.
    fn follow_lines(&mut self, mut lines: &[u8], fragment: bool, at: usize) -> Found {
        let all = lines.len();
        let end_at = |left: &[u8]| Found::End(at.saturating_add(all).saturating_sub(left.len()));
        loop {
            let Some(end) = memchr(b'\n', lines) else {
                *self = Self::Line { fragment };
                return Found::More;
            };
            lines = lines.get(end..).and_then(<[u8]>::split_first).map_or(&[], |(_, rest)| rest);
            match lines {
                [b'\n', left @ ..] | [b'\r', b'\n', left @ ..] => return end_at(left),
                [] => *self = Self::LineStart { fragment },
                [b'\r'] => *self = Self::LineStartCr { fragment },
                [_, ..] => continue,
            }
            return Found::More;
        }
    }
}

/// How far a chunked body has come (RFC 9112 section 7.1). Only the plain form is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Chunked {
    /// In a chunk's size.
    Size { size: u64, digits: u8 },
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
    /// After a CR at the start of a trailer line.
    TrailerCr,
}

/// The bytes are not in the plain form of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Lost;

impl Chunked {
    pub(in crate::proxy) const START: Self = Self::Size { size: 0, digits: 0 };

    /// Reads on.
    pub(in crate::proxy) fn follow(&mut self, bytes: &[u8]) -> Result<Found, Lost> {
        let mut at = 0usize;
        while let Some(&byte) = bytes.get(at) {
            let mut taken = 1usize;
            *self = match (*self, byte) {
                (Self::Size { size, digits: digits @ 0..15 }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                    let digit = char::from(byte).to_digit(16).ok_or(Lost)?;
                    Self::Size { size: size << 4 | u64::from(digit), digits: digits.saturating_add(1) }
                }
                (Self::Size { size, digits: 1.. }, b'\r') => Self::SizeLf { size },
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
                (Self::Trailer { .. }, b'\n') => Self::Trailer { line_start: true },
                (Self::Trailer { line_start: false }, _) => Self::Trailer { line_start: false },
                (Self::Trailer { line_start: true }, 0x21..) => Self::Trailer { line_start: false },
                (
                    Self::Size { .. }
                    | Self::SizeLf { .. }
                    | Self::DataCr
                    | Self::DataLf
                    | Self::TrailerCr
                    | Self::Trailer { line_start: true },
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
        assert!(head(b"GET /public#/admin HTTP/1.1\r\nHost: a\r\n\r\n").0.has_fragment());
        assert!(head(b"GET /a?b=c#d HTTP/1.1\r\nHost: a\r\n\r\n").0.has_fragment());
        assert!(!head(b"GET /a HTTP/1.1\r\nX: #1\r\n\r\n").0.has_fragment());
    }

    #[test]
    fn a_plain_chunked_body_is_followed_to_its_end() {
        let text = b"4;\r\n";
        assert_eq!(Chunked::START.clone().follow(text), Err(Lost), "extensions are not followed");
        let text = b"4\r\nwiki\r\n00A\r\n0123456789\r\n0\r\nTrail: x\r\n\r\nGET";
        assert_eq!(Chunked::START.clone().follow(text), Ok(Found::End(text.len() - 3)));
        for lost in
            [&b"\r\n"[..], b"4\nwiki", b"4\r\nwikiX", b"g\r\n", b"1111111111111111\r\n", b" 4\r\n", b"0\r\n folded\r\n"]
        {
            assert_eq!(Chunked::START.clone().follow(lost), Err(Lost), "{}", String::from_utf8_lossy(lost));
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
                prop_assert_eq!(parts.has_fragment(), whole.has_fragment());
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
                let joined = match parts.follow(&bytes[..cut]).unwrap() {
                    Found::End(end) => end,
                    Found::More => match parts.follow(&bytes[cut..]).unwrap() {
                        Found::End(end) => cut + end,
                        Found::More => 0,
                    },
                };
                prop_assert_eq!(joined, end);
            }
        }
    }
}
