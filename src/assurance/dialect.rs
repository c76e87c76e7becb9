//! [`Dialect`]: in whose words a client is told to bring a better sign-in of an issuer.

/// How a step-up challenge is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 9470: `insufficient_user_authentication`, `acr_values`, `max_age`.
    #[default]
    Rfc9470,
    /// Microsoft Entra's claims challenge: `insufficient_claims`, and an authentication context asked for in `claims`.
    Entra,
    /// Okta's own APIs: 403 with `insufficient_authentication_context`, `acr_values`, and `max_age` as a bare number.
    Okta,
}

impl Dialect {
    /// All of them, as the policy calls them.
    pub const NAMED: [(&'static str, Self); 3] =
        [("rfc9470", Self::Rfc9470), ("entra", Self::Entra), ("okta", Self::Okta)];
}
