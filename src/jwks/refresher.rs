//! One issuer's task: fetch, publish, wait, again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use crate::jwks::client::client;
use crate::jwks::discovery::{Discovered, discover};
use crate::jwks::fetch::document;
use crate::jwks::issuer_keys::IssuerKeys;
use crate::jwks::origin::{fetchable, told};
use crate::jwks::pace::{KeySettings, Pace};
use crate::token::KeySet;
use crate::token::key_source::KeyPlace;
use crate::token::keys::MAX_BYTES;

/// What a good fetch brought.
pub(super) struct Fetched {
    pub(super) set: KeySet,
    /// How long the set may be used without asking again.
    pub(super) lifetime: Duration,
    /// What discovery said, where it was asked.
    pub(super) acr_values_supported: Option<Box<[Box<str>]>>,
}

/// Why a fetch is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Schedule,
    /// A token names a key that the set lacks.
    Asked,
}

/// Keeps an issuer's keys fresh until it is aborted.
pub(super) async fn run(keys: Arc<IssuerKeys>, settings: KeySettings) {
    let mut source = Source { keys: Arc::clone(&keys), settings, client: None, discovered: None };
    let mut cause = Cause::Schedule;
    loop {
        keys.begin();
        let pause = keys.settle(source.fetch(cause).await);
        cause = tokio::select! {
            () = tokio::time::sleep(pause) => Cause::Schedule,
            () = keys.asked() => Cause::Asked,
        };
    }
}

struct Source {
    keys: Arc<IssuerKeys>,
    settings: KeySettings,
    client: Option<reqwest::Client>,
    discovered: Option<Discovered>,
}

impl Source {
    async fn fetch(&mut self, cause: Cause) -> Result<Fetched, String> {
        let keys = Arc::clone(&self.keys);
        let fetched = match &keys.config().source.place {
            KeyPlace::JwksFile(path) => read_file(path, &self.settings.pace).await,
            KeyPlace::JwksUrl(url) => match fetchable(url, self.settings.allow_http) {
                Ok(url) => self.by_url(url, None).await,
                Err(why) => Err(format!("`jwks_url` cannot be used: {why}")),
            },
            KeyPlace::Discovery => self.by_discovery(cause).await,
        };
        if fetched.is_err() {
            // The next try reads the `ca` file anew and opens a new connection.
            self.client = None;
        }
        fetched
    }

    async fn by_discovery(&mut self, cause: Cause) -> Result<Fetched, String> {
        let found = match (&self.discovered, cause) {
            // Someone waits for this answer: the place is known, so one request will do.
            (Some(found), Cause::Asked) => found.clone(),
            (Some(_) | None, _) => {
                let client = self.client().await?;
                discover(&client, &self.keys.config().issuer, self.settings.allow_http).await?
            }
        };
        self.discovered = Some(found.clone());
        self.by_url(found.jwks_uri, found.acr_values_supported).await
    }

    async fn by_url(&mut self, url: reqwest::Url, acr: Option<Box<[Box<str>]>>) -> Result<Fetched, String> {
        let client = self.client().await?;
        let at = told(&url);
        let document = document(&client, url).await.map_err(|error| format!("keys: {at}: {}", error.text()))?;
        let set = KeySet::parse(&document.body).map_err(|error| format!("keys: {at}: {error}"))?;
        Ok(Fetched { set, lifetime: self.settings.pace.bounded(document.lifetime), acr_values_supported: acr })
    }

    async fn client(&mut self) -> Result<reqwest::Client, String> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let (ca, pace) = (self.keys.config().source.ca.clone(), self.settings.pace);
        let made = tokio::task::spawn_blocking(move || client(ca.as_deref(), &pace)).await;
        let made = made.map_err(|error| format!("the HTTP client cannot be set up: {error}"))??;
        self.client = Some(made.clone());
        Ok(made)
    }
}

async fn read_file(path: &Path, pace: &Pace) -> Result<Fetched, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("failed to read `{}`: {error}", path.display());
    let file = tokio::fs::File::open(path).await.map_err(|error| unreadable(&error))?;
    let mut body = Vec::new();
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut body).await.map_err(|error| unreadable(&error))?;
    let set = KeySet::parse(&body).map_err(|error| unreadable(&error))?;
    Ok(Fetched { set, lifetime: pace.lifetime, acr_values_supported: None })
}
