//! The keys of every issuer of the policy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::jwks::issuer_keys::IssuerKeys;
use crate::jwks::pace::KeySettings;
use crate::jwks::refresher;
use crate::telemetry::IssuerHealth;
use crate::token::KeySource;

/// One issuer whose keys are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerKeysConfig {
    /// The policy's name for it.
    pub name: Box<str>,
    /// Its `iss`.
    pub issuer: Box<str>,
    /// Where its keys come from.
    pub source: KeySource,
}

/// The keys of every issuer of the policy.
#[derive(Debug)]
pub struct KeyStore {
    settings: Arc<KeySettings>,
    runtime: Handle,
    issuers: ArcSwap<HashMap<Box<str>, Arc<IssuerKeys>>>,
    /// The task of each issuer; also makes `apply` one at a time.
    tasks: Mutex<HashMap<Box<str>, AbortHandle>>,
}

impl KeyStore {
    /// A store without issuers; fetches will run on `runtime` (the control runtime, never a worker's).
    #[must_use]
    pub fn new(settings: KeySettings, runtime: Handle) -> Self {
        Self { settings: Arc::new(settings), runtime, issuers: ArcSwap::default(), tasks: Mutex::default() }
    }

    /// Takes over the issuers of a policy, and returns at once. New and changed issuers start to fetch in the background,
    /// unchanged ones keep their keys and their pace, removed ones stop and are believed no more.
    ///
    /// Call it right before the policy comes into force.
    pub fn apply(&self, configs: &[IssuerKeysConfig]) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.issuers.load_full();
        let mut new = HashMap::new();
        for config in configs {
            let keys = match old.get(&config.name) {
                Some(keys) if keys.config() == config => Arc::clone(keys),
                Some(_) | None => {
                    let keys = Arc::new(IssuerKeys::new(config.clone(), Arc::clone(&self.settings)));
                    let task = self.runtime.spawn(refresher::run(Arc::clone(&keys), Arc::clone(&self.settings)));
                    if let Some(replaced) = tasks.insert(config.name.clone(), task.abort_handle()) {
                        replaced.abort();
                    }
                    keys
                }
            };
            new.insert(config.name.clone(), keys);
        }
        tasks.retain(|name, task| {
            let stays = new.contains_key(name);
            if !stays {
                task.abort();
            }
            stays
        });
        let new = Arc::new(new);
        self.issuers.store(Arc::clone(&new));
        for (name, keys) in old.iter() {
            if !new.get(name).is_some_and(|kept| Arc::ptr_eq(kept, keys)) {
                keys.retire();
            }
        }
    }

    /// The keys of the issuer with this name. Worth keeping: they stay current by themselves, and are empty for ever once
    /// the issuer left the policy or its source changed.
    #[must_use]
    pub fn get(&self, issuer: &str) -> Option<Arc<IssuerKeys>> {
        self.issuers.load().get(issuer).map(Arc::clone)
    }

    /// How the keys of every issuer are doing, by name.
    #[must_use]
    pub fn status(&self) -> Vec<IssuerHealth> {
        let mut all: Vec<_> = self.issuers.load().values().map(|keys| keys.status()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

/// A store that goes takes its tasks along.
impl Drop for KeyStore {
    fn drop(&mut self) {
        for task in self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner).values() {
            task.abort();
        }
    }
}
