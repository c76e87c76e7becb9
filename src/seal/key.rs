//! A key of `seal.keys`.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};

/// How many bytes a key has: AES-256.
const BYTES: usize = 32;

/// A key, 32 bytes. Never printed.
///
/// ```compile_fail
/// let key = stepgate::seal::SealKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
/// println!("{key}"); // has no Display
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey([u8; BYTES]);

/// Why a text is no key. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It is no base64.
    #[error(
        "it is not base64 of one alphabet (standard or url-safe), in one line: `openssl rand -base64 32` makes a key"
    )]
    NotBase64,
    /// It is, of something else than 32 bytes.
    #[error("it is base64 of {0} bytes, and a key has 32: `openssl rand -base64 32` makes one")]
    Length(usize),
    /// Somebody forgot to put the key in.
    #[error("all its bytes are the same: `openssl rand -base64 32` makes a key")]
    Constant,
}

impl SealKey {
    /// Reads a key: 32 bytes in base64, standard or url-safe, with its padding or without. Stray bits and white space make
    /// it none.
    ///
    /// # Errors
    /// What else it is.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let either = STANDARD.decode(text).or_else(|_other| URL_SAFE.decode(text));
        let bytes = either.map_err(|_neither| BadKey::NotBase64)?;
        let key: [u8; BYTES] = bytes.as_slice().try_into().map_err(|_length| BadKey::Length(bytes.len()))?;
        let [first, ..] = key;
        if key.iter().all(|byte| *byte == first) { Err(BadKey::Constant) } else { Ok(Self(key)) }
    }

    pub(in crate::seal) fn expose(&self) -> &[u8; BYTES] {
        &self.0
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

const STRICT: GeneralPurposeConfig = general_purpose::NO_PAD
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(false);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, STRICT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, STRICT);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_bytes_in_either_alphabet_with_padding_or_without() {
        let bytes: Vec<u8> = (0..32u8).map(|n| n.wrapping_mul(37) ^ 0xFB).collect();
        let standard = general_purpose::STANDARD.encode(&bytes);
        let url = general_purpose::URL_SAFE.encode(&bytes);
        assert_ne!(standard, url, "the bytes tell the alphabets apart");
        for text in [&*standard, &*url, standard.trim_end_matches('='), url.trim_end_matches('=')] {
            assert_eq!(SealKey::parse(text).unwrap().expose(), bytes.as_slice(), "{text}");
        }
    }

    #[test]
    fn whatever_else_is_no_key_and_is_not_shown() {
        let of = |length: u8| general_purpose::STANDARD.encode((0..length).collect::<Vec<u8>>());
        for (text, why) in [
            (of(16), BadKey::Length(16)),
            (of(31), BadKey::Length(31)),
            (of(33), BadKey::Length(33)),
            (of(64), BadKey::Length(64)),
            (String::new(), BadKey::Length(0)),
            ("correct horse battery staple".into(), BadKey::NotBase64),
            (format!("{}\n", of(32)), BadKey::NotBase64),
            (format!("{}=", of(32)), BadKey::NotBase64),
            // 43 characters hold two stray bits.
            (format!("{}9", of(32).trim_end_matches('=').split_at(42).0), BadKey::NotBase64),
            (general_purpose::STANDARD.encode([0; 32]), BadKey::Constant),
            (general_purpose::STANDARD.encode([0x41; 32]), BadKey::Constant),
        ] {
            assert_eq!(SealKey::parse(&text).unwrap_err(), why, "{text}");
        }
        let key = SealKey::parse(&of(32)).unwrap();
        assert_eq!(format!("{key:?}"), "[redacted]");
    }
}
