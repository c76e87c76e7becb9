//! What a gate's settings have a say in.

use std::path::Path;

use crate::cli::output::Failure;
use crate::cli::secret::seal_keys;
use crate::config::Settings;
use crate::config::settings::{Limits, SecretSource};
use crate::proxy::{Sealing, Site};

/// What of the settings a request is judged by.
#[derive(Debug, Default)]
pub(super) struct Setting {
    pub(super) public_url: Option<String>,
    pub(super) limits: Limits,
    pub(super) seal: Seal,
}

/// What kept cookies are opened with.
#[derive(Debug, Default)]
pub(super) enum Seal {
    /// The gate has no keys for them.
    #[default]
    None,
    /// With these, which are the gate's as far as anybody here knows; and where they are from.
    With(Sealing, String),
    /// The gate's keys are not known here, and why. With another key claims can be explained all the same.
    Unknown(Sealing, String),
}

impl Setting {
    /// As the data path takes them.
    pub(super) fn site(&self) -> Site<'_> {
        let sealing = match &self.seal {
            Seal::None => None,
            Seal::With(sealing, _) | Seal::Unknown(sealing, _) => Some(sealing),
        };
        Site { public_url: self.public_url.as_deref(), limits: &self.limits, sealing }
    }
}

/// The keys that are `named` on the command line, else those of the settings, else none that is known: for this reason.
pub(super) fn seal(named: &[SecretSource], settings: Option<(&Path, &Settings)>, why: &str) -> Result<Seal, Failure> {
    if let Some(keys) = seal_keys(named).map_err(Failure::could_not_run)? {
        return Ok(Seal::With(Sealing::new(keys), "the keys that the command line names".to_owned()));
    }
    let why = match settings.map(|(file, settings)| (file, seal_keys(&settings.seal))) {
        None => why.to_owned(),
        Some((_, Ok(None))) => return Ok(Seal::None),
        Some((file, Ok(Some(keys)))) => {
            return Ok(Seal::With(Sealing::new(keys), format!("`seal.keys` of {}", file.display())));
        }
        Some((_, Err(error))) => error.to_string(),
    };
    let drawn = seal_keys(&[SecretSource::Drawn]).map_err(Failure::could_not_run)?;
    let drawn = drawn.ok_or_else(|| Failure::could_not_run("there is no randomness for a key"))?;
    Ok(Seal::Unknown(Sealing::new(drawn), why))
}
