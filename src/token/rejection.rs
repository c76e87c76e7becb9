//! Why a token was not believed.

use std::borrow::Cow;
use std::fmt;

use crate::Reason;

/// Why a token was not believed: the stable reason, and a sentence for the operator's log.
///
/// Of what the sender chose the sentence holds names only (a claim, an algorithm, a `typ`, an issuer, an audience), cut
/// short and escaped; never another claim's value. It is not for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Rejection {
    /// The reason.
    pub reason: Reason,
    /// What exactly was wrong.
    pub detail: Cow<'static, str>,
}

impl Rejection {
    /// A rejection with its explanation.
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

/// A name chosen by the sender, in back-ticks, fit for a log: escaped and cut after 64 characters.
pub(crate) fn quoted(name: &str) -> String {
    let mut out = String::from("`");
    out.extend(name.chars().take(QUOTED_CHARS).flat_map(char::escape_debug));
    if name.chars().nth(QUOTED_CHARS).is_some() {
        out.push('…');
    }
    out.push('`');
    out
}

const QUOTED_CHARS: usize = 64;

/// Several such names, the first few of them; empty if there are none.
pub(in crate::token) fn all_quoted<'n>(names: impl Iterator<Item = &'n str>) -> String {
    const NAMED: usize = 4;
    let mut names = names.map(quoted);
    let mut out = names.by_ref().take(NAMED).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 => {}
        more => out.push_str(&format!(" and {more} more")),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_name_cannot_forge_a_log_line_or_flood_it() {
        assert_eq!(quoted("none"), "`none`");
        assert_eq!(quoted("a\nb\u{1b}[31m"), "`a\\nb\\u{1b}[31m`");
        assert_eq!(quoted(&"x".repeat(10_000)).chars().count(), 67);
    }
}
