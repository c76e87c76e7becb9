//! What becomes of a response or an upload that is still under way when what let it in holds no more.

/// What ends a long-lived stream of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    /// Whether it ends when a token that it stands on expires.
    pub closes_at_exp: bool,
    /// Whether it ends when the sign-in is older than the route allows.
    pub closes_at_max_age: bool,
    /// What another policy means for it.
    pub at_policy: AtPolicy,
    /// Whether a later token of the same session takes the place of the one that it began with.
    pub renews_by_sid: bool,
}

/// What another policy means for a stream, and keys that are believed no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtPolicy {
    /// It ends where the policy in force would refuse it.
    #[default]
    Judge,
    /// It ends with the policy that let it in.
    Close,
    /// Nothing.
    Keep,
}

impl Default for Streams {
    /// What holds where a policy says nothing.
    fn default() -> Self {
        Self { closes_at_exp: true, closes_at_max_age: false, at_policy: AtPolicy::Judge, renews_by_sid: false }
    }
}

impl Streams {
    /// Those of a route that asks for nothing: nothing ends them.
    pub const UNWATCHED: Self =
        Self { closes_at_exp: false, closes_at_max_age: false, at_policy: AtPolicy::Keep, renews_by_sid: false };

    /// Whether anything can end one.
    #[must_use]
    pub fn are_watched(self) -> bool {
        self.closes_at_exp || self.closes_at_max_age || self.at_policy != AtPolicy::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_that_can_end_a_stream_is_enough_for_it_to_be_watched() {
        let none = Streams::UNWATCHED;
        assert!(!none.are_watched() && Streams::default().are_watched());
        for one in [
            Streams { closes_at_exp: true, ..none },
            Streams { closes_at_max_age: true, ..none },
            Streams { at_policy: AtPolicy::Judge, ..none },
            Streams { at_policy: AtPolicy::Close, ..none },
        ] {
            assert!(one.are_watched(), "{one:?}");
        }
    }
}
