//! Secrets that the settings name by their place: read once, at the start.

use std::fs;
use std::path::PathBuf;

use crate::admin::{Credential, NoCredential};
use crate::config::settings::SecretSource;

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    /// The variable is not set, or not text.
    #[error("`{key}`: the environment variable `{name}` is not set")]
    NoVariable {
        /// The settings' key.
        key: &'static str,
        /// The variable.
        name: String,
    },
    /// The file cannot be read.
    #[error("`{key}`: failed to read `{path}`: {error}")]
    File {
        /// The settings' key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// There is nothing in it.
    #[error("`{key}`: {place} is empty")]
    Empty {
        /// The settings' key.
        key: &'static str,
        /// Where it was looked for.
        place: String,
    },
    /// It will not do.
    #[error("`{key}`: what is in {place} is no credential: {error}")]
    NoCredential {
        /// The settings' key.
        key: &'static str,
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
    Credential::new(&secret).map_err(|error| SecretError::NoCredential { key, place, error })
}

/// A secret, and how its place is called.
fn resolve(source: &SecretSource, key: &'static str) -> Result<(String, String), SecretError> {
    let (secret, place) = match source {
        SecretSource::Env(name) => {
            #[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
            let secret = std::env::var(name).map_err(|_none| SecretError::NoVariable { key, name: name.clone() })?;
            (secret, format!("the environment variable `{name}`"))
        }
        SecretSource::File(path) => {
            let secret =
                fs::read_to_string(path).map_err(|error| SecretError::File { key, path: path.clone(), error })?;
            (secret.trim().to_owned(), format!("`{}`", path.display()))
        }
    };
    if secret.is_empty() { Err(SecretError::Empty { key, place }) } else { Ok((secret, place)) }
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
