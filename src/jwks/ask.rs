//! Asks an issuer once for what its task would ask it for, on behalf of whoever checks a policy before it runs.

use std::sync::Arc;

use crate::jwks::client::Client;
use crate::jwks::discovery::{NotHad, discover};
use crate::jwks::fetch::document;
use crate::jwks::origin::{fetchable, told};
use crate::jwks::pace::KeySettings;
use crate::jwks::store::IssuerKeysConfig;
use crate::token::KeySet;
use crate::token::key_source::KeyPlace;

/// What an issuer answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its keys.
    pub keys: Arc<KeySet>,
    /// What its discovery document says of `acr`, where that is asked and says.
    pub acr_values_supported: Option<Box<[Box<str>]>>,
}

/// Why an issuer's keys cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// It cannot be asked from here, or is in trouble: elsewhere or later it may answer.
    Unreachable(String),
    /// It answered, and a gate cannot use what it said.
    Unusable(String),
}

impl From<NotHad> for NoAnswer {
    fn from(NotHad { text, answered }: NotHad) -> Self {
        if answered { Self::Unusable(text) } else { Self::Unreachable(text) }
    }
}

/// Asks it. `None`: its keys are in a file, and nobody is asked.
///
/// # Errors
/// Why its keys cannot be had.
pub async fn ask(config: &IssuerKeysConfig, settings: &Arc<KeySettings>) -> Result<Option<Answer>, NoAnswer> {
    let client = async || {
        let (ca, settings) = (config.source.ca.clone(), Arc::clone(settings));
        let made = tokio::task::spawn_blocking(move || Client::new(ca.as_deref(), &settings)).await;
        let impossible = |error: &dyn std::fmt::Display| NoAnswer::Unreachable(error.to_string());
        made.map_err(|error| impossible(&error))?.map_err(|error| impossible(&error))
    };
    let (client, url, acr_values_supported) = match &config.source.place {
        KeyPlace::JwksFile(_) => return Ok(None),
        KeyPlace::JwksUrl(url) => {
            let unusable = |why| NoAnswer::Unusable(format!("`jwks_url` cannot be used: {why}"));
            (client().await?, fetchable(url, settings.allow_http).map_err(unusable)?, None)
        }
        KeyPlace::Discovery => {
            let client = client().await?;
            let found = discover(&client, &config.issuer, settings.allow_http).await?;
            (client, found.jwks_uri, found.acr_values_supported)
        }
    };
    let at = told(&url);
    let fetched = document(&client, url).await.map_err(|error| NotHad::fetching(format!("keys: {at}: "), &error))?;
    let keys = KeySet::parse(&fetched.body, settings.limits)
        .map_err(|error| NoAnswer::Unusable(format!("keys: {at}: {error}")))?;
    Ok(Some(Answer { keys: Arc::new(keys), acr_values_supported }))
}
