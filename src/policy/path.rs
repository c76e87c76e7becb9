//! The canonical path: the one form that is matched, judged and forwarded.
//!
//! Two readings of one path are how gates are walked around (checklist T1 to T5, T9, T11), so a path either has one
//! reading or is refused: what is equivalent by RFC 3986 section 6.2.2 is brought to one form, and what an application
//! might read otherwise than we do is `path_ambiguous`. The query is not part of it and never judged.

use std::fmt;

pub use crate::policy::ambiguity::{Allowances, Ambiguity};

/// A path in canonical form: starts with `/`, no dot segments, upper-case escapes, none of an unreserved character. An empty
/// segment (never the first) and `%2F` are in it only where it says so in [`Self::needs`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalPath {
    text: Box<str>,
    needs: Allowances,
}

impl CanonicalPath {
    /// Brings a path (without the query) to its one form, where it has one for whoever reads it.
    ///
    /// # Errors
    /// When an application might read the path in another way than this gate does.
    pub fn parse(raw: &str) -> Result<Self, Ambiguity> {
        let path = Self::of_request(raw)?;
        path.needs.beyond(Allowances::default()).map_or(Ok(path), Err)
    }

    /// The same for a request, whose route may allow what else would be refused: [`crate::policy::Policy::route_at`] sees to
    /// that.
    ///
    /// # Errors
    /// When an application might read the path in another way than this gate does, and no route can allow it.
    pub fn of_request(raw: &str) -> Result<Self, Ambiguity> {
        if is_plain(raw) {
            return Ok(Self { text: raw.into(), needs: Allowances::default() });
        }
        let (normal, needs) = normalise(raw)?;
        // Nothing is left that a second pass would change; what would be is refused, whatever let it through.
        if normalise(&normal)?.0 != normal {
            return Err(Ambiguity::DoubleEscape);
        }
        Ok(Self { text: normal.into_boxed_str(), needs })
    }

    /// The path, to be forwarded as it stands.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What its route has to allow.
    #[must_use]
    pub fn needs(&self) -> Allowances {
        self.needs
    }

    /// Its segments, without the empty one after a final slash; `/` has none.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        let inner = self.text.strip_prefix('/').unwrap_or(&self.text);
        let is_root = inner.is_empty();
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        inner.split('/').filter(move |_| !is_root)
    }
}

impl fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl CanonicalPath {
    /// The path as a server reads it that takes `;…` for parameters of a segment and drops them; `None` if there are none.
    #[must_use]
    pub fn without_parameters(&self) -> Option<Self> {
        if !self.text.contains(';') && !self.text.contains("%3B") {
            return None;
        }
        let mut text = String::with_capacity(self.text.len());
        for segment in self.segments() {
            let end = [segment.find(';'), segment.find("%3B")].into_iter().flatten().min().unwrap_or(segment.len());
            let (name, _) = segment.split_at_checked(end).unwrap_or((segment, ""));
            text.push('/');
            text.push_str(name);
        }
        // What is dropped may have held a slash.
        let encoded_slash = text.contains("%2F");
        Some(Self { text: text.into_boxed_str(), needs: Allowances { encoded_slash, ..self.needs } })
    }
}

/// A segment with its escapes undone, as a claim would write it.
#[must_use]
pub fn unescape(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { escaped(&mut rest).unwrap_or(byte) } else { byte });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a text is one segment of a canonical path at first sight, and nothing needs be done to make it one.
pub(in crate::policy) fn is_plain_segment(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|first| first != b'.' && first != b';') && text.bytes().all(is_pchar)
}

/// Whether a path is canonical at first sight, as nearly all are: nothing escaped, no parameters, no segment that is empty or
/// begins with a dot. Of others nothing is said.
fn is_plain(raw: &str) -> bool {
    let mut before = None;
    for byte in raw.bytes() {
        let fits = match before {
            None => byte == b'/',
            Some(b'/') => byte != b'/' && byte != b'.' && byte != b';' && is_pchar(byte),
            Some(_) => byte == b'/' || is_pchar(byte),
        };
        if !fits {
            return false;
        }
        before = Some(byte);
    }
    before.is_some()
}

/// The path in its one form, and what it has that a route must allow.
pub(in crate::policy) fn normalise(raw: &str) -> Result<(String, Allowances), Ambiguity> {
    let inner = raw.strip_prefix('/').ok_or(Ambiguity::NotAbsolute)?;
    let mut out: Vec<String> = Vec::new();
    let mut pieces = inner.split('/').peekable();
    let (mut final_slash, mut needs) = (false, Allowances::default());
    while let Some(piece) = pieces.next() {
        let last = pieces.peek().is_none();
        let segment = canonical_segment(piece, &mut needs)?;
        match segment.as_str() {
            // What follows a first `//` many servers take for a host, so that no route can allow it.
            "" if !last && out.is_empty() => return Err(Ambiguity::EmptySegment),
            "" if !last => out.push(segment),
            "" => final_slash = true,
            "." => final_slash = last,
            ".." => {
                // Whoever merges slashes first goes one segment further up.
                if out.pop().ok_or(Ambiguity::AboveRoot)?.is_empty() {
                    return Err(Ambiguity::EmptySegment);
                }
                final_slash = last;
            }
            only if only.starts_with(';') || only.starts_with("%3B") => return Err(Ambiguity::EmptySegment),
            dots if has_parameters_on_dots(dots) => return Err(Ambiguity::DotParameters),
            _ => out.push(segment),
        }
    }
    let mut path = String::with_capacity(raw.len());
    for segment in &out {
        path.push('/');
        path.push_str(segment);
    }
    if final_slash || out.is_empty() {
        path.push('/');
    }
    needs.empty_segments = out.iter().any(String::is_empty);
    Ok((path, needs))
}

/// `..;x`, `.;`, `..%3Bx`: some servers take the dots for themselves and the rest for parameters.
fn has_parameters_on_dots(segment: &str) -> bool {
    let after = segment.trim_start_matches('.');
    after.len() < segment.len()
        && segment.len().saturating_sub(after.len()) <= 2
        && (after.starts_with(';') || after.starts_with("%3B"))
}

fn canonical_segment(raw: &str, needs: &mut Allowances) -> Result<String, Ambiguity> {
    let mut out = String::with_capacity(raw.len());
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let value = escaped(&mut bytes).ok_or(Ambiguity::BadEscape)?;
                let mut ahead = bytes.clone();
                if value == b'%' && escaped(&mut ahead).is_some() {
                    return Err(Ambiguity::DoubleEscape);
                }
                needs.encoded_slash |= value == b'/';
                check(value)?;
                push(&mut out, value, is_unreserved(value));
                value
            }
            b'#' | b'?' => return Err(Ambiguity::Fragment),
            _ => {
                check(byte)?;
                push(&mut out, byte, is_pchar(byte));
                byte
            }
        };
        decoded.push(byte);
    }
    std::str::from_utf8(&decoded).map_err(|_not_utf8| Ambiguity::NotUtf8)?;
    Ok(out)
}

fn check(byte: u8) -> Result<(), Ambiguity> {
    match byte {
        b'\\' => Err(Ambiguity::Backslash),
        0..0x20 | 0x7f => Err(Ambiguity::Control),
        _ => Ok(()),
    }
}

/// Takes two hex digits and gives their value; takes nothing it can promise to give back, so clone before a look ahead.
fn escaped(bytes: &mut std::str::Bytes<'_>) -> Option<u8> {
    let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
    let (high, low) = (digit()?, digit()?);
    u8::try_from(high << 4 | low).ok()
}

fn push(out: &mut String, byte: u8, plain: bool) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or('0');
    if plain {
        out.push(char::from(byte));
    } else {
        out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
    }
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 section 3.3: what may stand in a segment unescaped.
const fn is_pchar(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(raw: &str) -> Result<String, Ambiguity> {
        CanonicalPath::parse(raw).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn t1_dot_segments_are_resolved_before_anything_is_matched() {
        for (raw, is) in [
            ("/public/../admin", "/admin"),
            ("/public/%2e%2e/admin", "/admin"),
            ("/public/%2E./admin", "/admin"),
            ("/a/./b", "/a/b"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/...", "/..."),
            ("/", "/"),
            ("/.", "/"),
        ] {
            assert_eq!(canonical(raw).as_deref(), Ok(is), "{raw}");
        }
        assert_eq!(canonical("/.."), Err(Ambiguity::AboveRoot));
        assert_eq!(canonical("/a/../../b"), Err(Ambiguity::AboveRoot));
        assert_eq!(canonical("/public/..%2fadmin"), Err(Ambiguity::EncodedSlash));
    }

    #[test]
    fn t2_slashes_and_backslashes_in_disguise_are_refused() {
        for (raw, why) in [
            ("/a%2Fb", Ambiguity::EncodedSlash),
            ("/a%2fb", Ambiguity::EncodedSlash),
            ("/a%5Cb", Ambiguity::Backslash),
            ("/a\\b", Ambiguity::Backslash),
            ("//a", Ambiguity::EmptySegment),
            ("/a//b", Ambiguity::EmptySegment),
            ("/a//", Ambiguity::EmptySegment),
            ("/a/.//b", Ambiguity::EmptySegment),
        ] {
            assert_eq!(canonical(raw), Err(why), "{raw}");
        }
    }

    #[test]
    fn t3_an_escape_of_an_escape_is_refused() {
        for raw in ["/%252e%252e/admin", "/a%2541", "/%25%32%65", "/%2525"] {
            assert!(canonical(raw).is_err(), "{raw}");
        }
        assert_eq!(canonical("/100%25").as_deref(), Ok("/100%25"), "a lone percent sign has one reading");
        assert_eq!(canonical("/100%25/x").as_deref(), Ok("/100%25/x"));
    }

    #[test]
    fn t4_t11_what_is_not_a_path_is_refused() {
        for (raw, why) in [
            ("", Ambiguity::NotAbsolute),
            ("admin", Ambiguity::NotAbsolute),
            ("*", Ambiguity::NotAbsolute),
            ("/a#/b", Ambiguity::Fragment),
            ("/a%", Ambiguity::BadEscape),
            ("/a%4", Ambiguity::BadEscape),
            ("/a%zz", Ambiguity::BadEscape),
            ("/a%00", Ambiguity::Control),
            ("/a%0d%0a", Ambiguity::Control),
            ("/a\u{1}", Ambiguity::Control),
            ("/a%7F", Ambiguity::Control),
            ("/%C0%AE", Ambiguity::NotUtf8),
            ("/%ff", Ambiguity::NotUtf8),
        ] {
            assert_eq!(canonical(raw), Err(why), "{raw}");
        }
    }

    #[test]
    fn t5_dots_with_parameters_are_refused_and_other_parameters_kept() {
        for raw in ["/a/..;/b", "/a/..;x=1/b", "/.;/a", "/a/%2e%2e;/b", "/a/..%3b/b"] {
            assert_eq!(canonical(raw), Err(Ambiguity::DotParameters), "{raw}");
        }
        assert_eq!(canonical("/a;v=1/b").as_deref(), Ok("/a;v=1/b"));
        assert_eq!(canonical("/...;x").as_deref(), Ok("/...;x"));
        let stripped = |raw: &str| CanonicalPath::parse(raw).unwrap().without_parameters().map(|path| path.to_string());
        assert_eq!(stripped("/a;v=1/b%3bx/c").as_deref(), Some("/a/b/c"));
        assert_eq!(stripped("/x/a;").as_deref(), Some("/x/a"));
        for raw in ["/;x/a", "/a/;", "/a/%3bx/b"] {
            assert_eq!(
                canonical(raw),
                Err(Ambiguity::EmptySegment),
                "a segment that some servers take for none: {raw}"
            );
        }
        assert_eq!(stripped("/a/b"), None);
    }

    #[test]
    fn equivalent_spellings_come_to_one_form() {
        for (raw, is) in [
            ("/%61%2D%7e", "/a-~"),
            ("/%c3%a9", "/%C3%A9"),
            ("/é", "/%C3%A9"),
            ("/a b\"<>^`{|}", "/a%20b%22%3C%3E%5E%60%7B%7C%7D"),
            ("/a%3Ab:c", "/a%3Ab:c"),
            ("/a/", "/a/"),
        ] {
            assert_eq!(canonical(raw).as_deref(), Ok(is), "{raw}");
        }
        assert_eq!(unescape("%C3%A9%20x"), "é x");
        assert_eq!(CanonicalPath::parse("/a/b/").unwrap().segments().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(CanonicalPath::parse("/").unwrap().segments().count(), 0);
    }

    proptest! {
        #[test]
        fn what_is_plain_at_first_sight_is_its_own_canonical_form(raw in "(/[a-z.;%2F!=~@-]{0,4}){0,4}") {
            if is_plain(&raw) {
                prop_assert_eq!(normalise(&raw), Ok((raw, Allowances::default())));
            }
        }

        #[test]
        fn t9_any_path_of_legal_characters_has_one_stable_form(raw in "(/[-A-Za-z0-9._~!$&'()*+,;=:@%25\\\\]{0,8}){1,6}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                prop_assert_eq!(CanonicalPath::parse(path.as_str()), Ok(path.clone()));
                prop_assert!(path.as_str().starts_with('/'));
                prop_assert!(path.segments().all(|segment| segment != "." && segment != ".." && !segment.is_empty()));
            }
        }

        #[test]
        fn nothing_makes_it_panic(raw in "\\PC{0,40}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                prop_assert!(path.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
