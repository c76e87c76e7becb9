//! Where an issuer's keys come from: plain data, built by `config`, acted on by `jwks`.

use std::path::PathBuf;

/// Where an issuer's keys come from. Two that compare equal need no new fetch when a policy is reloaded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeySource {
    /// The place.
    pub place: KeyPlace,
    /// A file of PEM certificates: the only authorities believed for this issuer's servers. `None`: the usual ones.
    pub ca: Option<PathBuf>,
}

/// The place that keys are read from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyPlace {
    /// The `jwks_uri` of the issuer's discovery document (OpenID Connect Discovery 1.0, RFC 8414).
    Discovery,
    /// This URL.
    JwksUrl(Box<str>),
    /// This file.
    JwksFile(PathBuf),
}

impl KeySource {
    /// Discovery with the usual authorities: what a policy that says nothing means.
    #[must_use]
    pub const fn discovery() -> Self {
        Self { place: KeyPlace::Discovery, ca: None }
    }
}
