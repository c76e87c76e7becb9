//! Whether an `id_token` beside an access token speaks of the same sign-in.
//!
//! Without this the evidence of one sign-in could be glued to the scopes of another.

use crate::assurance::{Assurance, Issuer, Pair};
use crate::token::at_hash_fits;

/// Whether what two tokens proved belongs together, as [`belong`] says, or [`kept_beside`] where one of them was `kept`.
#[must_use]
pub fn together(issuer: &Issuer, access: (&Assurance, &str), id: &Assurance, kept: bool) -> bool {
    let (access, access_text) = access;
    if kept { kept_beside(access, id) } else { belong(issuer, access, access_text, id) }
}

/// Whether two verified tokens of one issuer belong together, as that issuer's `pair` says.
///
/// `access_text` is the access token as it was sent. What is absent ties nothing together.
#[must_use]
pub fn belong(issuer: &Issuer, access: &Assurance, access_text: &str, id: &Assurance) -> bool {
    access.issuer == issuer.id && id.issuer == issuer.id && tied(issuer.pair, access, access_text, id)
}

/// Whether a token and what was kept of an earlier sign-in are of one user, whatever that issuer's `pair` says: what was kept
/// has no hash of an access token that came later, and a session may have another name by then.
#[must_use]
pub fn kept_beside(one: &Assurance, other: &Assurance) -> bool {
    let differ = |one: Option<&str>, other: Option<&str>| one.is_some() && other.is_some() && one != other;
    one.issuer == other.issuer
        && both(one.subject.as_deref(), other.subject.as_deref())
        && !differ(one.client.as_deref(), other.client.as_deref())
}

fn tied(pair: Pair, access: &Assurance, access_text: &str, id: &Assurance) -> bool {
    match pair {
        // After a refresh the `at_hash` is that of an earlier access token; the session is then what ties them.
        Pair::Bound => {
            id.at_hash.as_deref().is_some_and(|at_hash| at_hash_fits(at_hash, access_text))
                || both(access.session.as_deref(), id.session.as_deref())
        }
        Pair::Subject => {
            both(access.subject.as_deref(), id.subject.as_deref())
                && both(access.client.as_deref(), id.client.as_deref())
        }
    }
}

fn both(one: Option<&str>, other: Option<&str>) -> bool {
    one.is_some_and(|one| !one.is_empty()) && one == other
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::assurance::IssuerId;
    use crate::token::TokenKind;

    fn hashed(algorithm: &'static digest::Algorithm, text: &str) -> Box<str> {
        let whole = digest::digest(algorithm, text.as_bytes());
        URL_SAFE_NO_PAD.encode(&whole.as_ref()[..whole.as_ref().len() / 2]).into()
    }

    #[test]
    fn at_hash_ties_an_id_token_to_the_very_access_token_under_each_hash() {
        let access = Assurance::bare(TokenKind::Access);
        for algorithm in [&digest::SHA256, &digest::SHA384, &digest::SHA512] {
            let id =
                Assurance { at_hash: Some(hashed(algorithm, "the.access.token")), ..Assurance::bare(TokenKind::Id) };
            assert!(tied(Pair::Bound, &access, "the.access.token", &id), "{algorithm:?}");
            assert!(!tied(Pair::Bound, &access, "the.other.token", &id), "{algorithm:?}");
        }
    }

    #[test]
    fn an_equal_session_ties_even_after_a_refresh_but_an_absent_one_never_does() {
        let session = |name: Option<&str>| name.map(Box::from);
        let access = Assurance { session: session(Some("s1")), ..Assurance::bare(TokenKind::Access) };
        let id = |name, at_hash| Assurance { session: session(name), at_hash, ..Assurance::bare(TokenKind::Id) };
        assert!(tied(Pair::Bound, &access, "t", &id(Some("s1"), None)));
        assert!(!tied(Pair::Bound, &access, "t", &id(Some("s2"), None)));
        assert!(!tied(Pair::Bound, &access, "t", &id(None, None)));
        assert!(!tied(Pair::Bound, &Assurance::bare(TokenKind::Access), "t", &id(None, None)), "absent is not equal");
        let nameless = Assurance { session: session(Some("")), ..Assurance::bare(TokenKind::Access) };
        assert!(!tied(Pair::Bound, &nameless, "t", &id(Some(""), None)), "an empty name is none");
        let stale = Some(hashed(&digest::SHA256, "the token before the refresh"));
        assert!(tied(Pair::Bound, &access, "t", &id(Some("s1"), stale.clone())));
        assert!(!tied(Pair::Bound, &access, "t", &id(Some("s2"), stale)));
    }

    #[test]
    fn what_was_kept_belongs_to_a_token_of_the_same_user_and_no_other_client() {
        let with = |subject: Option<&str>, client: Option<&str>| Assurance {
            subject: subject.map(Box::from),
            client: client.map(Into::into),
            ..Assurance::bare(TokenKind::Access)
        };
        let of = |issuer| Assurance { issuer: IssuerId(issuer), ..with(Some("u"), None) };
        assert!(kept_beside(&with(Some("u"), Some("c")), &with(Some("u"), Some("c"))));
        assert!(kept_beside(&with(Some("u"), Some("c")), &with(Some("u"), None)), "an id_token needs no `azp`");
        assert!(!kept_beside(&with(Some("u"), Some("c")), &with(Some("u"), Some("d"))));
        assert!(!kept_beside(&with(Some("u"), None), &with(Some("v"), None)));
        assert!(!kept_beside(&with(None, Some("c")), &with(None, Some("c"))), "absent is not equal");
        assert!(!kept_beside(&with(Some(""), None), &with(Some(""), None)));
        assert!(!kept_beside(&of(0), &of(1)));
        let session = |name: &str, subject| Assurance { session: Some(name.into()), ..with(Some(subject), None) };
        assert!(!kept_beside(&session("s", "u"), &session("s", "v")), "one session of two users is none");
    }

    #[test]
    fn a_subject_pair_needs_subject_and_client_both_there_and_equal() {
        let with = |subject: Option<&str>, client: Option<&str>| Assurance {
            subject: subject.map(Box::from),
            client: client.map(Into::into),
            ..Assurance::bare(TokenKind::Access)
        };
        let tied = |a: &Assurance, b: &Assurance| tied(Pair::Subject, a, "t", b);
        assert!(tied(&with(Some("u"), Some("c")), &with(Some("u"), Some("c"))));
        assert!(!tied(&with(Some("u"), Some("c")), &with(Some("v"), Some("c"))));
        assert!(!tied(&with(Some("u"), Some("c")), &with(Some("u"), Some("d"))));
        assert!(!tied(&with(Some("u"), None), &with(Some("u"), None)));
        assert!(!tied(&with(None, Some("c")), &with(None, Some("c"))));
    }
}
