//! Why a path has no single reading, and what of that a route may allow.

/// Why a path has no single reading. For the operator's log; clients are told `path_ambiguous`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguity {
    /// It does not start with `/`.
    #[error("the path does not start with `/`")]
    NotAbsolute,
    /// A `%` without two hex digits.
    #[error("the path has a `%` that no two hex digits follow")]
    BadEscape,
    /// `%25` before two hex digits.
    #[error("the path has an escaped escape, which some applications decode twice")]
    DoubleEscape,
    /// `%2F`.
    #[error("the path has an escaped slash")]
    EncodedSlash,
    /// `\` or `%5C`.
    #[error("the path has a backslash")]
    Backslash,
    /// A NUL or control character, raw or escaped.
    #[error("the path has a control character")]
    Control,
    /// A raw `#` or `?`, which would end the path.
    #[error("the path has a `#`")]
    Fragment,
    /// Its bytes, unescaped, are not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
    /// `..` above the top.
    #[error("the path leads above the root")]
    AboveRoot,
    /// `..;x` or the like.
    #[error("the path has a dot segment with `;` parameters")]
    DotParameters,
    /// `//`, or a segment of nothing but parameters, which some servers take for one.
    #[error("the path has an empty segment, or one of parameters alone")]
    EmptySegment,
}

/// What some servers mean and others read otherwise: a path has it or not, a route allows it or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Allowances {
    /// `//`.
    pub empty_segments: bool,
    /// `%2F`.
    pub encoded_slash: bool,
}

impl Allowances {
    /// Why a path that needs these is refused where only those are allowed.
    #[must_use]
    pub fn beyond(self, allowed: Self) -> Option<Ambiguity> {
        if self.encoded_slash && !allowed.encoded_slash {
            return Some(Ambiguity::EncodedSlash);
        }
        (self.empty_segments && !allowed.empty_segments).then_some(Ambiguity::EmptySegment)
    }
}
