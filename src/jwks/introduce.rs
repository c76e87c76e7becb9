//! A first look at an issuer that no policy names yet.

use std::path::Path;

use crate::jwks::client::Client;
use crate::jwks::discovery::discover;
use crate::jwks::pace::KeySettings;

/// The `acr` values that an issuer says it supports; `None`: it does not say.
///
/// # Errors
/// A sentence that says why its discovery document cannot be had.
pub async fn acr_values_supported(
    issuer: &str,
    ca: Option<&Path>,
    settings: &KeySettings,
) -> Result<Option<Box<[Box<str>]>>, String> {
    let client = Client::new(ca, settings)?;
    let discovered = discover(&client, issuer, settings.allow_http).await?;
    Ok(discovered.acr_values_supported)
}
