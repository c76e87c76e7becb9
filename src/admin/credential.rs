//! What whoever changes something on the admin listener must show.

use std::fmt;

/// The credential. Cannot be printed; compared in a time that tells nothing of it.
pub struct Credential(blake3::Hash);

/// Why a text is no credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCredential {
    /// It could be guessed.
    #[error("it is shorter than {SHORTEST} bytes; make one with `openssl rand -base64 24`")]
    TooShort,
    /// It cannot stand in a header field.
    #[error("it has white space, or characters outside ASCII, in it, which a header cannot carry")]
    Unspeakable,
}

const SHORTEST: usize = 16;

impl Credential {
    /// Takes a text as the credential.
    ///
    /// # Errors
    /// When it is too short, or could never be shown.
    pub fn new(secret: &str) -> Result<Self, NoCredential> {
        if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NoCredential::Unspeakable);
        }
        if secret.len() < SHORTEST {
            return Err(NoCredential::TooShort);
        }
        Ok(Self(blake3::hash(secret.as_bytes())))
    }

    /// Whether this is it. Hashes are compared, byte by byte to the end, so that neither a prefix nor the length is told.
    #[must_use]
    pub fn is(&self, shown: &[u8]) -> bool {
        // blake3's comparison of two hashes takes the same time whatever they are.
        self.0 == blake3::hash(shown)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_credential_is_it_and_it_cannot_be_printed() {
        let credential = Credential::new("0123456789abcdef").unwrap();
        assert!(credential.is(b"0123456789abcdef"));
        for other in [&b""[..], b"0123456789abcde", b"0123456789abcdeg", b"0123456789abcdef0", b" 0123456789abcdef"] {
            assert!(!credential.is(other));
        }
        assert_eq!(format!("{credential:?}"), "Credential([redacted])");
    }

    #[test]
    fn what_can_be_guessed_or_never_shown_is_none() {
        assert_eq!(Credential::new("0123456789abcde").unwrap_err(), NoCredential::TooShort);
        assert_eq!(Credential::new("").unwrap_err(), NoCredential::TooShort);
        for text in ["0123456789 abcdef", "0123456789abcdef\n", "0123456789äbcdef"] {
            assert_eq!(Credential::new(text).unwrap_err(), NoCredential::Unspeakable);
        }
    }
}
