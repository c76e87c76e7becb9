//! The keys of all assertions: one signs, all are published, and one that went is published until nothing that it signed
//! counts any more.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::assertion::key::SigningKey;
use crate::clock;
use crate::config::settings::Assertion;
use crate::live::watch::Nudge;
use crate::telemetry::FilesHealth;
use crate::tls::reload::Reloaded;
use crate::token::Timestamp;

/// How long a key is published after the last of its assertions ended: as long as somebody's clock may be wrong.
const RETIRED: i64 = 600;

/// What is signed with, and for how long it counts. Follows the files.
#[derive(Debug)]
pub struct Keyring {
    keys: Arc<Reloaded<KeysInForce>>,
    issuer: Box<str>,
    seconds: i64,
}

/// The keys that the files last made sense as.
#[derive(Debug)]
pub struct KeysInForce {
    signing: SigningKey,
    published: Vec<Published>,
}

#[derive(Clone, Debug)]
struct Published {
    kid: Box<str>,
    jwk: Value,
    /// Until when; `None`: it stands in a file.
    until: Option<Timestamp>,
}

impl Keyring {
    /// Reads the files. Call it where blocking is allowed. `public_url` names who asserts; without it, that is `stepgate`.
    ///
    /// # Errors
    /// A sentence that names the file that cannot be used.
    pub fn load(assertion: &Assertion, public_url: Option<&str>) -> Result<Self, String> {
        let seconds = i64::try_from(assertion.lifetime.as_secs()).unwrap_or(i64::MAX);
        let (files, keep) = (assertion.keys.clone(), seconds.saturating_add(RETIRED));
        let seen: Mutex<Vec<Published>> = Mutex::default();
        let make = move || read(&files, &seen, keep);
        let keys = Reloaded::load("the keys of `identity.assertion`", assertion.keys.clone(), make)
            .map_err(|detail| format!("`identity.assertion`: {detail}"))?;
        Ok(Self { keys, issuer: public_url.unwrap_or("stepgate").into(), seconds })
    }

    /// `iss` of every assertion.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// For how many seconds an assertion counts at the most.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.seconds
    }

    /// The keys now.
    #[must_use]
    pub fn current(&self) -> Arc<KeysInForce> {
        self.keys.current()
    }

    /// The public halves of all keys that may have signed something that still counts, as a key set (RFC 7517 section 5).
    #[must_use]
    pub fn jwks(&self) -> String {
        let now = clock::now();
        let keys = self.current();
        let counts = |key: &&Published| key.until.is_none_or(|until| until > now);
        let keys: Vec<&Value> = keys.published.iter().filter(counts).map(|key| &key.jwk).collect();
        json!({ "keys": keys }).to_string()
    }

    /// How the files stand.
    #[must_use]
    pub fn health(&self) -> FilesHealth {
        self.keys.health()
    }

    /// Takes up changed files for ever, and at once when nudged.
    pub fn watch(&self, nudge: Nudge) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.keys).watch(nudge)
    }
}

impl KeysInForce {
    /// A JWT of these claims. `None` if it can't be signed.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> Option<String> {
        self.signing.sign(claims)
    }
}

/// Reads all keys, and remembers in `seen` those that were published before and are in no file any more.
fn read(files: &[PathBuf], seen: &Mutex<Vec<Published>>, keep: i64) -> Result<KeysInForce, String> {
    let keys = files.iter().map(|path| SigningKey::read(path)).collect::<Result<Vec<_>, _>>()?;
    let now = clock::now();
    let mut published: Vec<Published> = Vec::new();
    for key in &keys {
        if !published.iter().any(|known| *known.kid == *key.kid()) {
            published.push(Published { kid: key.kid().into(), jwk: key.jwk().clone(), until: None });
        }
    }
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    for before in seen.iter().filter(|before| !keys.iter().any(|key| *before.kid == *key.kid())) {
        let until = before.until.unwrap_or(now.plus_seconds(keep));
        if until > now {
            published.push(Published { until: Some(until), ..before.clone() });
        }
    }
    seen.clone_from(&published);
    let signing = keys.into_iter().next().ok_or("no key is named")?;
    Ok(KeysInForce { signing, published })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use tokio::sync::watch::channel;

    use super::*;

    fn write(path: &Path) {
        fs::write(path, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    }

    fn kids(keyring: &Keyring) -> Vec<String> {
        let set: Value = serde_json::from_str(&keyring.jwks()).unwrap();
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_key_that_is_replaced_signs_no_more_and_stays_published_and_nonsense_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (first, next) = (folder.path().join("first"), folder.path().join("next"));
        write(&first);
        write(&next);
        let named = Assertion { keys: [first.clone(), next.clone()].into(), lifetime: Assertion::LIFETIME };
        let keyring = Keyring::load(&named, None).unwrap();
        assert_eq!((keyring.issuer(), keyring.seconds()), ("stepgate", 60));
        let before = kids(&keyring);
        assert_eq!(before.len(), 2, "the next one is published before it signs");
        let signer = |keyring: &Keyring| keyring.current().signing.kid().to_owned();
        assert_eq!(signer(&keyring), before[0], "the first signs");

        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (nudges, nudge) = channel(());
            let watching = tokio::spawn(keyring.watch(nudge));
            let until = async |holds: &dyn Fn() -> bool| {
                for _ in 0..500 {
                    if holds() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                panic!("not in time");
            };
            fs::copy(&next, &first).unwrap();
            nudges.send_replace(());
            until(&|| signer(&keyring) == before[1]).await;
            assert_eq!(kids(&keyring), [before[1].clone(), before[0].clone()], "what it signed still counts");
            fs::write(&first, "nonsense").unwrap();
            nudges.send_replace(());
            until(&|| keyring.health().refused.is_some()).await;
            assert_eq!((signer(&keyring), kids(&keyring).len()), (before[1].clone(), 2));
            watching.abort();
        });
    }

    #[test]
    fn a_key_that_went_is_published_for_as_long_as_it_counts_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let (files, seen) = ([path.clone()], Mutex::default());
        write(&path);
        let old = read(&files, &seen, 60).unwrap().signing.kid().to_owned();
        write(&path);
        let both = read(&files, &seen, 60).unwrap();
        let left = both.published[1].until.unwrap().seconds() - clock::now().seconds();
        assert!(*both.published[1].kid == *old && (58..=60).contains(&left), "{left}");
        // Its time runs from when it went, however often the files are read.
        seen.lock().unwrap()[1].until = Some(clock::now().plus_seconds(-1));
        assert_eq!(read(&files, &seen, 60).unwrap().published.len(), 1);
        assert!(Keyring::load(&Assertion { keys: Box::default(), lifetime: Assertion::LIFETIME }, None).is_err());
    }
}
