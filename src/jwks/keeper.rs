//! Keeps the copy of one issuer's keys on disk. Nothing that the disk does holds up a fetch or a request.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::jwks::cache_dir::CacheDir;
use crate::jwks::copy::{self, Copy, Original};
use crate::jwks::pace::KeySettings;
use crate::jwks::store::IssuerKeysConfig;
use crate::telemetry::Occasionally;
use crate::token::key_source::KeyPlace;

/// The keeper of one issuer's copy; of nothing where no folder is set, or the keys are in a file anyway.
pub(super) struct Keeper(Option<Arc<Kept>>);

struct Kept {
    dir: CacheDir,
    path: PathBuf,
    config: IssuerKeysConfig,
    settings: Arc<KeySettings>,
    /// One write at a time.
    pen: Arc<Semaphore>,
    complain: Occasionally,
}

/// How often a copy that cannot be written is warned about.
const COMPLAIN_EVERY: Duration = Duration::from_secs(15 * 60);

impl Keeper {
    pub(super) fn new(config: &IssuerKeysConfig, settings: &Arc<KeySettings>) -> Self {
        let dir = match (&settings.cache_dir, &config.source.place) {
            (None, _) | (Some(_), KeyPlace::JwksFile(_)) => return Self(None),
            (Some(dir), KeyPlace::Discovery | KeyPlace::JwksUrl(_)) => dir.clone(),
        };
        Self(Some(Arc::new(Kept {
            path: dir.file_of(&config.issuer),
            dir,
            config: config.clone(),
            settings: Arc::clone(settings),
            pen: Arc::new(Semaphore::new(1)),
            complain: Occasionally::new(COMPLAIN_EVERY),
        })))
    }

    /// The copy, if there is one that may be used. What is wrong with one that may not is logged.
    pub(super) async fn read(&self) -> Option<Copy> {
        let kept = Arc::clone(self.0.as_ref()?);
        spawn_blocking(move || kept.read()).await.ok()?
    }

    /// Writes a copy in the background; not while an earlier one is still being written.
    pub(super) fn write(&self, original: Original) {
        let Some(kept) = &self.0 else { return };
        let Ok(pen) = Arc::clone(&kept.pen).try_acquire_owned() else {
            kept.complain("the last one is still being written");
            return;
        };
        let kept = Arc::clone(kept);
        spawn_blocking(move || {
            let text = copy::encode(&original, &kept.config, &kept.settings);
            if let Err(error) = text.and_then(|text| kept.dir.write(&kept.path, &text).map_err(|e| e.to_string())) {
                kept.complain(&error);
            }
            drop(pen);
        });
    }
}

impl Kept {
    fn read(&self) -> Option<Copy> {
        let text = CacheDir::read(&self.path, copy::longest(&self.settings));
        let copy = text.and_then(|text| {
            let Some(text) = text else { return Ok(None) };
            copy::decode(&text, &self.config, &self.settings, crate::clock::now()).map(Some)
        });
        copy.unwrap_or_else(|why| {
            let (issuer, file) = (&self.config.name, self.path.display());
            tracing::warn!(%issuer, %file, why, "the copy of the issuer's keys on disk is not used");
            None
        })
    }

    fn complain(&self, error: &str) {
        if let Some(held_back) = self.complain.due() {
            let (issuer, file) = (&self.config.name, self.path.display());
            tracing::warn!(
                %issuer, %file, error, held_back,
                "the copy of the issuer's keys cannot be written; a start without the issuer would find an older one, or none"
            );
        }
    }
}
