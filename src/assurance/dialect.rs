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

    /// Whether a challenge in this dialect can ask for this `acr` value. Entra is asked for authentication contexts, `c1` to
    /// `c99`, and for nothing else. Elsewhere a space would make two of one (RFC 6750 section 3), a quote end the list.
    #[must_use]
    pub fn can_name(self, value: &str) -> bool {
        match self {
            Self::Entra => {
                let number = value.strip_prefix('c').unwrap_or_default();
                let digits = number.bytes().all(|byte| byte.is_ascii_digit());
                matches!(number.len(), 1 | 2) && digits && !number.starts_with('0')
            }
            Self::Rfc9470 | Self::Okta => {
                let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
                !value.is_empty() && value.bytes().all(fits)
            }
        }
    }
}
