//! One segment of a path pattern: what it means, and which of two means more.

use crate::policy::path::{Allowances, CanonicalPath, is_plain_segment, unescape};
use crate::policy::pattern::PatternError;

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// This text, in canonical form.
    Literal(Box<str>),
    /// This text in whatever case its letters are; they stand in lower case here. It has one at least, so that what has
    /// none is a literal to whoever compares.
    Folded(Box<str>),
    /// Any one segment, under a name.
    Parameter(Box<str>),
}

impl Segment {
    /// Reads one piece between slashes.
    pub(in crate::policy) fn parse(piece: &str, allowed: Allowances) -> Result<Self, PatternError> {
        if let Some(name) = piece.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
            let legal =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
            return if legal { Ok(Self::Parameter(name.into())) } else { Err(PatternError::Parameter) };
        }
        match piece {
            "**" => Err(PatternError::RestNotLast),
            _ if piece.contains('*') => Err(PatternError::Star),
            _ if piece.contains(['{', '}']) => Err(PatternError::Parameter),
            _ if is_plain_segment(piece) => Ok(Self::Literal(piece.into())),
            _ => {
                let path = CanonicalPath::of_request(&format!("/{piece}"))?;
                if let Some(ambiguity) = path.needs().beyond(allowed) {
                    return Err(ambiguity.into());
                }
                let mut segments = path.segments();
                match (segments.next(), segments.next()) {
                    (Some(only), None) => Ok(Self::Literal(only.into())),
                    _ => Err(PatternError::Ambiguous(crate::policy::path::Ambiguity::EmptySegment)),
                }
            }
        }
    }

    /// The same in whatever case.
    pub(in crate::policy) fn ignoring_case(self) -> Result<Self, PatternError> {
        let Self::Literal(text) = &self else { return Ok(self) };
        let (mut has_letter, mut bytes) = (false, text.bytes());
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                has_letter |= byte.is_ascii_alphabetic();
                continue;
            }
            // The two digits of an escape are no letters of the path; what they stand for is none of a to z, or it would
            // not be escaped.
            let first = bytes.next();
            bytes.next();
            if first.is_some_and(|digit| digit >= b'8') {
                return Err(PatternError::CaseOfOthers(text.clone()));
            }
        }
        Ok(if has_letter { Self::Folded(text.to_ascii_lowercase().into()) } else { self })
    }

    /// Whether a path's segment is meant.
    pub(in crate::policy) fn matches(&self, piece: &str) -> bool {
        match self {
            Self::Literal(text) => **text == *piece,
            Self::Folded(text) => text.eq_ignore_ascii_case(piece),
            Self::Parameter(_) => true,
        }
    }

    /// Whether a path's segment is meant where the server ignores case.
    pub(in crate::policy) fn matches_in_any_case(&self, piece: &str) -> bool {
        match self {
            Self::Literal(text) | Self::Folded(text) => text.eq_ignore_ascii_case(piece) || is_alike(text, piece),
            Self::Parameter(_) => true,
        }
    }

    /// Whether all that the other means is meant by this one too.
    pub(in crate::policy) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Parameter(_), _) => true,
            (Self::Literal(mine), Self::Literal(theirs)) => mine == theirs,
            (Self::Folded(mine), Self::Literal(theirs) | Self::Folded(theirs)) => mine.eq_ignore_ascii_case(theirs),
            (Self::Literal(_) | Self::Folded(_), _) => false,
        }
    }

    /// Whether something is meant by both.
    pub(in crate::policy) fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// What it means as text, where it is no parameter.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Literal(text) | Self::Folded(text) => Some(text),
            Self::Parameter(_) => None,
        }
    }
}

/// Whether a literal with letters beyond a to z is this segment to a server that ignores the case of these too.
fn is_alike(literal: &str, piece: &str) -> bool {
    let folded = |text: &str| unescape(text).to_uppercase().to_lowercase();
    literal.contains('%') && folded(literal) == folded(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_segments_the_one_in_whatever_case_is_the_wider() {
        let exact = |text: &str| Segment::parse(text, Allowances::default()).unwrap();
        let folded = |text: &str| exact(text).ignoring_case().unwrap();
        let parameter = exact("{x}");
        for (one, other, covers, covered) in [
            (folded("Admin"), exact("ADMIN"), true, false),
            (folded("admin"), folded("ADMIN"), true, true),
            (exact("admin"), exact("ADMIN"), false, false),
            (folded("admin"), exact("admins"), false, false),
            (folded("7-8"), exact("7-8"), true, true),
            (folded("%3a"), exact("%3A"), true, true),
            (folded("x%3a"), exact("X%3A"), true, false),
            (parameter.clone(), folded("admin"), true, false),
        ] {
            assert_eq!(one.covers(&other), covers, "{one:?} covers {other:?}");
            assert_eq!(other.covers(&one), covered, "{other:?} covers {one:?}");
            assert_eq!(one.overlaps(&other), covers || covered);
            assert_eq!(other.overlaps(&one), covers || covered);
        }
        assert_eq!(folded("7"), exact("7"), "what has no letters is the same in whatever case");
        assert_eq!(parameter.clone().ignoring_case().unwrap(), parameter);
        assert!(exact("caf%C3%A9").ignoring_case().is_err(), "there are more letters than a to z");
    }
}
