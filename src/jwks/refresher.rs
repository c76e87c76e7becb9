//! One issuer's task: fetch, publish, wait, again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::io::AsyncReadExt;

use crate::jwks::client::Client;
use crate::jwks::copy::{self, Original};
use crate::jwks::discovery::{Discovered, discover};
use crate::jwks::fetch::document;
use crate::jwks::issuer_keys::IssuerKeys;
use crate::jwks::keeper::Keeper;
use crate::jwks::origin::{fetchable, told};
use crate::jwks::pace::KeySettings;
use crate::token::key_source::KeyPlace;
use crate::token::{KeyLimits, KeySet, KeySetError};

/// What a good fetch brought.
pub(super) struct Fetched {
    pub(super) set: KeySet,
    /// The keys of the set, as a document.
    pub(super) jwks: Arc<str>,
    /// How long the set may be used without asking again.
    pub(super) lifetime: Duration,
    /// What discovery said, where it was asked.
    pub(super) acr_values_supported: Option<Box<[Box<str>]>>,
    /// What is kept of it on disk; `None`: nothing, it came from a file.
    pub(super) original: Option<Original>,
}

/// Why a fetch is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Schedule,
    /// A token names a key that the set lacks.
    Asked,
}

/// Keeps an issuer's keys fresh until it is aborted.
pub(super) async fn run(keys: Arc<IssuerKeys>, settings: Arc<KeySettings>) {
    let keeper = Keeper::new(keys.config(), &settings);
    let copy = async {
        if let Some(copy) = keeper.read().await {
            keys.take_copy(copy);
        }
    };
    // A disk that does not answer holds nothing up.
    tokio::join!(refresh(&keys, &settings, &keeper), keys.let_go_in_time(), copy);
}

async fn refresh(keys: &Arc<IssuerKeys>, settings: &Arc<KeySettings>, keeper: &Keeper) {
    let (keys, settings) = (Arc::clone(keys), Arc::clone(settings));
    let mut source = Source { keys: Arc::clone(&keys), settings, client: None, discovered: None };
    let mut cause = Cause::Schedule;
    loop {
        keys.begin();
        let mut outcome = source.fetch(cause).await;
        let original = outcome.as_mut().ok().and_then(|fetched| fetched.original.take());
        let pause = keys.settle(outcome);
        if let Some(original) = original {
            keeper.write(original);
        }
        cause = tokio::select! {
            () = tokio::time::sleep(pause) => Cause::Schedule,
            () = keys.asked() => Cause::Asked,
        };
    }
}

struct Source {
    keys: Arc<IssuerKeys>,
    settings: Arc<KeySettings>,
    client: Option<Client>,
    discovered: Option<Discovered>,
}

impl Source {
    async fn fetch(&mut self, cause: Cause) -> Result<Fetched, String> {
        let keys = Arc::clone(&self.keys);
        if cause == Cause::Schedule {
            // The authorities are read anew, so that one that left the `ca` file is soon believed no more.
            self.client = None;
        }
        let fetched = match &keys.config().source.place {
            KeyPlace::JwksFile(path) => read_file(path, &self.settings).await,
            KeyPlace::JwksUrl(url) => match fetchable(url, self.settings.allow_http) {
                Ok(url) => self.by_url(url, None).await,
                Err(why) => Err(format!("`jwks_url` cannot be used: {why}")),
            },
            KeyPlace::Discovery => self.by_discovery(cause).await,
        };
        if fetched.is_err() {
            // The next try opens a new connection, whatever causes it.
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
        self.by_url(found.jwks_uri.clone(), Some(found)).await
    }

    async fn by_url(&mut self, url: Url, found: Option<Discovered>) -> Result<Fetched, String> {
        let client = self.client().await?;
        let at = told(&url);
        let document = document(&client, url).await.map_err(|error| format!("keys: {at}: {}", error.text()))?;
        let (set, jwks) =
            keys_of(&document.body, self.settings.limits).map_err(|error| format!("keys: {at}: {error}"))?;
        let lifetime = self.settings.pace.bounded(document.lifetime);
        let (jwks_uri, acr_values_supported) =
            found.map_or((None, None), |found| (Some(found.jwks_uri), found.acr_values_supported));
        let original = Original {
            jwks: document.body,
            jwks_uri,
            acr_values_supported: acr_values_supported.clone(),
            fetched_at: crate::clock::now(),
            lifetime,
        };
        Ok(Fetched { set, jwks, lifetime, acr_values_supported, original: Some(original) })
    }

    async fn client(&mut self) -> Result<Client, String> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let (ca, settings) = (self.keys.config().source.ca.clone(), Arc::clone(&self.settings));
        let made = tokio::task::spawn_blocking(move || Client::new(ca.as_deref(), &settings)).await;
        let made = made.map_err(|error| format!("the HTTP client cannot be set up: {error}"))??;
        self.client = Some(made.clone());
        Ok(made)
    }
}

async fn read_file(path: &Path, settings: &KeySettings) -> Result<Fetched, String> {
    let KeyLimits { bytes: most, .. } = settings.limits;
    let unreadable = |error: &dyn std::fmt::Display| format!("failed to read `{}`: {error}", path.display());
    let file = tokio::fs::File::open(path).await.map_err(|error| unreadable(&error))?;
    let mut body = Vec::new();
    file.take(u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1))
        .read_to_end(&mut body)
        .await
        .map_err(|error| unreadable(&error))?;
    let (set, jwks) = keys_of(&body, settings.limits).map_err(|error| unreadable(&error))?;
    Ok(Fetched { set, jwks, lifetime: settings.pace.lifetime, acr_values_supported: None, original: None })
}

/// The keys of a document, and the document without what is none of them.
fn keys_of(body: &[u8], limits: KeyLimits) -> Result<(KeySet, Arc<str>), KeySetError> {
    let set = KeySet::parse(body, limits)?;
    Ok((set, copy::document(&KeySet::usable(body, limits)?)))
}
