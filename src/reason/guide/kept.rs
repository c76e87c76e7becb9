//! Hints for kept cookies that are not believed: what the general ones say is about tokens and the keys of issuers.

use crate::reason::Reason;

const HINTS: &[(&[Reason], &str)] = &[
    (
        &[Reason::SignatureInvalid],
        "The kept cookie does not open. From all at once: its key left `seal.keys`, or another replica has other keys. \
         From one client: it was altered, cut short, or moved from another host.",
    ),
    (
        &[Reason::TokenMalformed],
        "What came under the name of the kept cookie was not sealed by a gate: made up, or set by something else at this host \
         under the same name.",
    ),
    (
        &[Reason::Expired],
        "The time of `keep: { for }` has passed since the sign-in. Once for each user and sign-in that is normal.",
    ),
    (
        &[Reason::IssuerUnknown],
        "The sign-in was kept under an issuer that the policy no longer has by that name and `iss`. After such a change that is \
         normal, once for each user.",
    ),
    (
        &[Reason::AudienceWrong, Reason::TokenKindWrong],
        "The sign-in was kept while the policy took such tokens, and now it doesn't: look at `access` and `id` of the issuer. \
         After such a change that is normal, once for each user.",
    ),
    (
        &[Reason::Revoked],
        "The sign-in ended, by a path of `ends_on`, and a copy of its cookie came after that. Seldom: a page that was still \
         open. Often, or from other addresses: somebody has copies.",
    ),
];

impl Reason {
    /// What the operator should look at where a kept cookie was refused for this; `None` where the general hint says it.
    #[must_use]
    pub fn hint_of_kept(self) -> Option<&'static str> {
        HINTS.iter().find(|(reasons, _)| reasons.contains(&self)).map(|(_, hint)| *hint)
    }
}
