//! Secrets that the settings name by their place: read once, at the start.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::admin::{Credential, NoCredential};
use crate::config::settings::SecretSource;
use crate::seal::{BadKey, Keyring, SealKey};

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    /// The variable is not set, or not text.
    #[error("`{key}`: the environment variable `{name}` is not set")]
    NoVariable {
        /// The settings' key.
        key: String,
        /// The variable.
        name: String,
    },
    /// The file cannot be read.
    #[error("`{key}`: failed to read `{path}`: {error}")]
    File {
        /// The settings' key.
        key: String,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// There is nothing in it.
    #[error("`{key}`: {place} is empty")]
    Empty {
        /// The settings' key.
        key: String,
        /// Where it was looked for.
        place: String,
    },
    /// It is no key.
    #[error("`{key}`: what is in {place} is no key: {error}")]
    NoKey {
        /// The settings' key.
        key: String,
        /// Where it is.
        place: String,
        /// Why not.
        error: BadKey,
    },
    /// Two places hold one key.
    #[error("`{key}`: what is in {place} is the same as an earlier one of `seal.keys`")]
    SameKey {
        /// The settings' key.
        key: String,
        /// Where it is.
        place: String,
    },
    /// The library refuses them, or none could be drawn.
    #[error("`seal.keys`: there is no randomness for a key, or the keys cannot be used")]
    Unusable,
    /// It will not do.
    #[error("`{key}`: what is in {place} is no credential: {error}")]
    NoCredential {
        /// The settings' key.
        key: String,
        /// Where it is.
        place: String,
        /// Why not.
        error: NoCredential,
    },
}

/// What the settings ask the admin listener's users to show.
///
/// # Errors
/// When it is not there, empty or no credential.
pub(super) fn admin_credential(source: &SecretSource) -> Result<Credential, SecretError> {
    let key = "admin.credential";
    let (secret, place) = resolve(source, key)?;
    Credential::new(&secret).map_err(|error| SecretError::NoCredential { key: key.into(), place, error })
}

/// The same as it is shown to a gate.
///
/// # Errors
/// When it is not there, empty or no credential.
pub(super) fn to_show(source: &SecretSource, key: &str) -> Result<String, SecretError> {
    let (secret, place) = resolve(source, key)?;
    match Credential::new(&secret) {
        Ok(_) => Ok(secret),
        Err(error) => Err(SecretError::NoCredential { key: key.into(), place, error }),
    }
}

/// What kept cookies are sealed and opened with; `None`: the settings name no keys.
///
/// # Errors
/// For the first key that is not there or is none.
pub(super) fn seal_keys(sources: &[SecretSource]) -> Result<Option<Keyring>, SecretError> {
    let mut keys: Vec<SealKey> = Vec::with_capacity(sources.len());
    for (number, source) in sources.iter().enumerate() {
        let name = format!("seal.keys[{number}]");
        let (secret, place) = resolve(source, &name)?;
        let key = SealKey::parse(&secret).map_err(|error| SecretError::NoKey {
            key: name.clone(),
            place: place.clone(),
            error,
        })?;
        if keys.contains(&key) {
            return Err(SecretError::SameKey { key: name, place });
        }
        keys.push(key);
    }
    if keys.is_empty() { Ok(None) } else { Keyring::new(&keys).map(Some).ok_or(SecretError::Unusable) }
}

/// A secret, and how its place is called.
fn resolve(source: &SecretSource, key: &str) -> Result<(String, String), SecretError> {
    let (secret, place) = match source {
        SecretSource::Env(name) => {
            #[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
            let secret =
                std::env::var(name).map_err(|_none| SecretError::NoVariable { key: key.into(), name: name.clone() })?;
            (secret, format!("the environment variable `{name}`"))
        }
        SecretSource::File(path) => {
            let secret = fs::read_to_string(path).map_err(|error| SecretError::File {
                key: key.into(),
                path: path.clone(),
                error,
            })?;
            (secret.trim().to_owned(), format!("`{}`", path.display()))
        }
        SecretSource::Drawn => {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(|_none| SecretError::Unusable)?;
            (URL_SAFE_NO_PAD.encode(bytes), "what was drawn for it".to_owned())
        }
    };
    if secret.is_empty() { Err(SecretError::Empty { key: key.into(), place }) } else { Ok((secret, place)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> Result<Credential, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credential");
        fs::write(&path, content).unwrap();
        admin_credential(&SecretSource::File(path)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_in_a_file_is_taken_without_the_white_space_around_it() {
        assert!(file("0123456789abcdef\n").unwrap().is(b"0123456789abcdef"));
    }

    #[test]
    fn a_secret_in_the_environment_is_taken_as_it_stands() {
        // A variable that every test process has, whatever is in it.
        #[expect(clippy::disallowed_methods, reason = "a test may look")]
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        let (secret, place) = resolve(&SecretSource::Env("CARGO_MANIFEST_DIR".into()), "k").unwrap();
        assert_eq!((secret, &*place), (folder, "the environment variable `CARGO_MANIFEST_DIR`"));
    }

    fn key_file(folder: &tempfile::TempDir, name: &str, content: &str) -> SecretSource {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        SecretSource::File(path)
    }

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn keys_to_seal_with_are_32_bytes_each_another_and_none_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let good = key_file(&folder, "good", &format!("{KEY}\n"));
        let other = key_file(&folder, "other", &KEY.replace("AAEC", "BBBB"));
        assert!(seal_keys(&[]).unwrap().is_none());
        assert!(seal_keys(&[good.clone(), other]).unwrap().is_some());
        assert!(seal_keys(&[SecretSource::Drawn, SecretSource::Drawn]).unwrap().is_some(), "two that differ");
        let said = |name: &str, content: &str| {
            seal_keys(&[good.clone(), key_file(&folder, name, content)]).unwrap_err().to_string()
        };
        let short = said("short", "c2hvcnQ=");
        assert!(short.starts_with("`seal.keys[1]`: what is in `/") && short.contains("base64 of 5 bytes"), "{short}");
        assert!(!short.contains("c2hvcnQ"), "{short}");
        let none = said("none", "hunter2 hunter2");
        assert!(none.contains("is no key: it is not base64") && !none.contains("hunter2"), "{none}");
        assert!(said("again", KEY).ends_with("again` is the same as an earlier one of `seal.keys`"));
        let unset = seal_keys(&[SecretSource::Env("STEPGATE_NO_SUCH".into())]).unwrap_err().to_string();
        assert_eq!(unset, "`seal.keys[0]`: the environment variable `STEPGATE_NO_SUCH` is not set");
    }

    #[test]
    fn what_is_missing_empty_or_too_short_is_said_with_its_key_and_place_and_never_shown() {
        let error = admin_credential(&SecretSource::Env("STEPGATE_NO_SUCH".into())).unwrap_err().to_string();
        assert_eq!(error, "`admin.credential`: the environment variable `STEPGATE_NO_SUCH` is not set");
        let error = admin_credential(&SecretSource::File("/nowhere/secret".into())).unwrap_err().to_string();
        assert!(error.starts_with("`admin.credential`: failed to read `/nowhere/secret`: "), "{error}");
        let error = file(" \n").unwrap_err();
        assert!(error.ends_with("credential` is empty"), "{error}");
        let error = file("hunter2").unwrap_err();
        assert!(error.contains("shorter than 16 bytes") && !error.contains("hunter2"), "{error}");
    }
}
