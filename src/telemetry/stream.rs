//! A stream that the gate ended, as it is told.

use std::time::Duration;

use crate::reason::Reason;
use crate::token::Timestamp;

/// Why a stream that had been let in was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The same request would be refused now, for this.
    Refused(Reason),
    /// Another policy came into force, and its route ends its streams then.
    PolicyChanged,
}

/// The code of [`StreamEnd::PolicyChanged`], which is no reason to refuse anything.
const POLICY_CHANGED: &str = "policy_changed";

impl StreamEnd {
    /// How many there are.
    pub const COUNT: usize = Reason::ALL.len() + 1;

    /// All of them, in their order.
    pub fn all() -> impl Iterator<Item = Self> {
        Reason::ALL.iter().map(|reason| Self::Refused(*reason)).chain([Self::PolicyChanged])
    }

    /// Its place among them.
    #[must_use]
    pub const fn place(self) -> usize {
        match self {
            Self::Refused(reason) => reason as usize,
            Self::PolicyChanged => Reason::ALL.len(),
        }
    }

    /// Its name in the audit log and in metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Refused(reason) => reason.code(),
            Self::PolicyChanged => POLICY_CHANGED,
        }
    }

    /// What the client is told, where its protocol has words for it. Of the policy it learns nothing.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Refused(Reason::Expired) => "token expired",
            Self::Refused(Reason::AuthTooOld) => "sign-in too old",
            Self::PolicyChanged => "policy changed",
            Self::Refused(_) => "no longer allowed",
        }
    }
}

impl From<Reason> for StreamEnd {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

/// A stream that the gate ended.
#[derive(Clone, Copy, Debug)]
pub struct StreamEnded<'a> {
    /// When.
    pub at: Timestamp,
    /// The request's id.
    pub id: &'a str,
    /// The name of the route on which it stood.
    pub route: &'a str,
    /// Why.
    pub why: StreamEnd,
    /// How long it lasted, from its request's head on.
    pub lasted: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_end_has_a_place_and_a_code_of_its_own() {
        let all: Vec<StreamEnd> = StreamEnd::all().collect();
        assert_eq!(all.len(), StreamEnd::COUNT);
        assert!(all.iter().enumerate().all(|(place, end)| end.place() == place));
        let mut codes: Vec<&str> = all.iter().map(|end| end.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), StreamEnd::COUNT);
    }

    #[test]
    fn a_client_is_told_of_its_own_token_and_of_nothing_else() {
        let told: Vec<&str> =
            StreamEnd::all().map(StreamEnd::text).filter(|text| *text != "no longer allowed").collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(StreamEnd::all().all(|end| end.text().len() <= 123), "a close frame has room for no more");
    }
}
