//! The text of a token before anything is known of it.

use std::fmt;
use std::sync::Arc;

use crate::Reason;
use crate::token::rejection::Rejection;

/// An unverified token. Cheap to clone; never printed.
///
/// ```compile_fail
/// let token = stepgate::token::Credential::new("a.b.c", 100).unwrap();
/// println!("{token}"); // has no Display
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(Arc<str>);

impl Credential {
    /// Takes a token of at most `limit` bytes.
    ///
    /// # Errors
    /// `token_too_large`.
    pub fn new(text: &str, limit: usize) -> Result<Self, Rejection> {
        if text.len() > limit {
            return Err(Rejection::new(
                Reason::TokenTooLarge,
                format!("the token has {} bytes, the limit is {limit}", text.len()),
            ));
        }
        Ok(Self(text.into()))
    }

    /// The token itself. Whoever asks must not print, log or store it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_bounded_and_unprintable() {
        let token = Credential::new("secret", 6).unwrap();
        assert_eq!(token.expose(), "secret");
        assert_eq!(format!("{token:?}"), "[redacted]");
        assert_eq!(Credential::new("secret", 5).unwrap_err().reason, Reason::TokenTooLarge);
    }
}
