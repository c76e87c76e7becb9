//! What is made of files, and made anew when they change.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::UnixTime;

use crate::clock;
use crate::live::watch::{Nudge, watch};
use crate::tls::pem;

/// Something made of files. Whoever asks gets what the files last made sense as; files that make none leave it as it is.
pub struct Reloaded<T> {
    current: ArcSwap<T>,
    /// What it is, for logs: `the TLS of upstream `ledger``.
    what: String,
    files: Box<[PathBuf]>,
    /// What the files held just before they were read for the first time.
    first: Marks,
    make: Box<Make<T>>,
}

type Make<T> = dyn Fn() -> Result<T, String> + Send + Sync;

/// What files hold, as hashes: no private key is kept only to see that it changed.
type Marks = Vec<Result<blake3::Hash, ErrorKind>>;

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Makes it for the first time. `make` reads `files`: call this where blocking is allowed.
    ///
    /// # Errors
    /// What `make` says.
    pub fn load(
        what: impl Into<String>,
        files: impl Into<Box<[PathBuf]>>,
        make: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, String> {
        let files = files.into();
        // Looked at first: a change while they are read is then found by the first look.
        let first = marks(&files);
        let current = ArcSwap::from_pointee(make()?);
        Ok(Arc::new(Self { current, what: what.into(), files, first, make: Box::new(make) }))
    }

    /// What holds now.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Looks at the files for ever, and at once when nudged. Ends with its runtime.
    pub async fn watch(self: Arc<Self>, nudge: Nudge) {
        if self.files.is_empty() {
            return;
        }
        let files = self.files.clone();
        let take = |_: &Marks, _| self.remake();
        watch(self.first.clone(), move || marks(&files), nudge, take).await;
    }

    fn remake(&self) {
        match (self.make)() {
            Ok(made) => {
                self.current.store(Arc::new(made));
                tracing::info!(what = self.what, "files were read anew; new connections use them");
                for detail in out_of_date(&self.files) {
                    tracing::warn!(what = self.what, detail, "a certificate that was read cannot be used today");
                }
            }
            Err(detail) => {
                tracing::error!(what = self.what, detail, "changed files cannot be used; the old ones stay in use");
            }
        }
    }
}

impl<T> std::fmt::Debug for Reloaded<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloaded").field("what", &self.what).field("files", &self.files).finish_non_exhaustive()
    }
}

/// What the dates of certificates in these files say against using them now. At the start `run` says the same as a lint.
fn out_of_date(files: &[PathBuf]) -> Vec<String> {
    let seconds = u64::try_from(clock::now().seconds()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let doubt = |path: &PathBuf| {
        let first = pem::certificates(path).ok()?.into_iter().next()?;
        Some(format!("`{}`: {}", path.display(), pem::out_of_date(&first, now)?))
    };
    files.iter().filter_map(doubt).collect()
}

fn marks(files: &[PathBuf]) -> Marks {
    files
        .iter()
        .map(|path| std::fs::read(path).map(|bytes| blake3::hash(&bytes)).map_err(|error| error.kind()))
        .collect()
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch::channel;

    use super::*;

    #[test]
    fn of_the_files_the_certificate_that_has_expired_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (old, good, key) = (folder.path().join("old"), folder.path().join("good"), folder.path().join("key"));
        let pair = rcgen::KeyPair::generate().unwrap();
        let mut wanted = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&good, wanted.self_signed(&pair).unwrap().pem()).unwrap();
        wanted.not_after = rcgen::date_time_ymd(2020, 2, 1);
        std::fs::write(&old, wanted.self_signed(&pair).unwrap().pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        let said = out_of_date(&[good, old, key]);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said.iter().all(|said| said.contains("old`: it expired ")), "{said:?}");
    }

    #[test]
    fn what_the_files_make_sense_as_is_taken_and_nonsense_leaves_the_last_sense() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        let read = {
            let path = path.clone();
            move || std::fs::read_to_string(&path).unwrap_or_default().parse::<u32>().map_err(|error| error.to_string())
        };
        assert!(
            Reloaded::load("it", [path.clone()], read.clone()).is_err(),
            "at first there is nothing to fall back on"
        );
        std::fs::write(&path, "1").unwrap();
        let reloaded = Reloaded::load("it", [path.clone()], read).unwrap();
        assert_eq!(*reloaded.current(), 1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (sender, nudge) = channel(());
            let watching = tokio::spawn(Arc::clone(&reloaded).watch(nudge));
            let becomes = async |number| {
                for _ in 0..500 {
                    if *reloaded.current() == number {
                        return true;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                false
            };
            std::fs::write(&path, "2").unwrap();
            assert!(becomes(2).await, "by looking");
            std::fs::write(&path, "nonsense").unwrap();
            sender.send_replace(());
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(*reloaded.current(), 2);
            std::fs::write(&path, "3").unwrap();
            sender.send_replace(());
            assert!(becomes(3).await, "when nudged");
            watching.abort();
        });
    }
}
