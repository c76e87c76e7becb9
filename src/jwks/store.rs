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

/// The keys of every issuer of the policies that requests are judged by: of the one in force, and for a moment after a
/// reload of the one before.
#[derive(Debug)]
pub struct KeyStore {
    settings: Arc<KeySettings>,
    runtime: Handle,
    /// The newest last.
    policies: ArcSwap<Vec<Arc<OfPolicy>>>,
    /// The task of each issuer; also makes changes one at a time.
    tasks: Mutex<Vec<(Arc<IssuerKeys>, AbortHandle)>>,
}

/// The keys of one policy's issuers.
#[derive(Debug)]
struct OfPolicy {
    hash: Box<str>,
    issuers: HashMap<Box<str>, Arc<IssuerKeys>>,
}

impl KeyStore {
    /// A store without issuers; fetches will run on `runtime` (the control runtime, never a worker's).
    #[must_use]
    pub fn new(settings: KeySettings, runtime: Handle) -> Self {
        Self { settings: Arc::new(settings), runtime, policies: ArcSwap::default(), tasks: Mutex::default() }
    }

    /// Takes up the issuers of the policy with this hash, and returns at once. New and changed issuers start to fetch in the
    /// background; unchanged ones share their keys, and their pace, with the policies taken up before, for which nothing
    /// changes.
    ///
    /// Call it before the policy comes into force, and [`Self::let_go`] when nobody is judged by the one before any more.
    pub fn take_up(&self, policy: &str, configs: &[IssuerKeysConfig]) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.policies.load_full();
        let mut issuers = HashMap::new();
        for config in configs {
            let known = old.iter().rev().filter_map(|known| known.issuers.get(&config.name));
            let keys = match known.into_iter().find(|keys| keys.config() == config) {
                Some(keys) => Arc::clone(keys),
                None => {
                    let keys = Arc::new(IssuerKeys::new(config.clone(), Arc::clone(&self.settings)));
                    let task = self.runtime.spawn(refresher::run(Arc::clone(&keys), Arc::clone(&self.settings)));
                    tasks.push((Arc::clone(&keys), task.abort_handle()));
                    keys
                }
            };
            issuers.insert(config.name.clone(), keys);
        }
        let mut policies: Vec<_> = old.iter().filter(|known| *known.hash != *policy).cloned().collect();
        policies.push(Arc::new(OfPolicy { hash: policy.into(), issuers }));
        self.policies.store(Arc::new(policies));
    }

    /// Forgets all policies but these and the newest one. Issuers that only forgotten ones have stop fetching, and nothing
    /// is believed on their keys any more.
    pub fn let_go(&self, but: &[&str]) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut policies = Vec::clone(&self.policies.load());
        let newest = policies.pop();
        policies.retain(|known| but.contains(&&*known.hash));
        policies.extend(newest);
        let used = |keys: &Arc<IssuerKeys>| {
            policies.iter().any(|known| known.issuers.values().any(|used| Arc::ptr_eq(used, keys)))
        };
        let (stay, go): (Vec<_>, Vec<_>) = std::mem::take(&mut *tasks).into_iter().partition(|(keys, _)| used(keys));
        *tasks = stay;
        self.policies.store(Arc::new(policies));
        for (keys, task) in go {
            task.abort();
            keys.retire();
        }
    }

    /// Both at once, as a start does: for tests that know of one policy alone.
    #[cfg(test)]
    pub(crate) fn apply(&self, configs: &[IssuerKeysConfig]) {
        self.take_up("sha256:test", configs);
        self.let_go(&[]);
    }

    /// The keys of the issuer that has this name in the policy with this hash. Never those of another that has the name in
    /// another policy. Worth keeping: they stay current by themselves, and are empty for ever once they were let go.
    #[must_use]
    pub fn of(&self, policy: &str, issuer: &str) -> Option<Arc<IssuerKeys>> {
        let policies = self.policies.load();
        let known = policies.iter().rev().find(|known| *known.hash == *policy)?;
        known.issuers.get(issuer).map(Arc::clone)
    }

    /// The keys of every issuer of the policy with this hash, by name.
    #[must_use]
    pub fn all(&self, policy: &str) -> Vec<Arc<IssuerKeys>> {
        let policies = self.policies.load();
        let known = policies.iter().rev().find(|known| *known.hash == *policy);
        let mut all: Vec<_> = known.into_iter().flat_map(|known| known.issuers.values()).map(Arc::clone).collect();
        all.sort_by(|a, b| a.config().name.cmp(&b.config().name));
        all
    }

    /// The keys of the issuer that has this name in the newest policy.
    #[cfg(test)]
    pub(crate) fn get(&self, issuer: &str) -> Option<Arc<IssuerKeys>> {
        self.policies.load().last()?.issuers.get(issuer).map(Arc::clone)
    }

    /// How the keys of every issuer of the newest policy are doing, by name.
    #[must_use]
    pub fn status(&self) -> Vec<IssuerHealth> {
        let policies = self.policies.load();
        let newest = policies.last().into_iter().flat_map(|newest| newest.issuers.values());
        let mut all: Vec<_> = newest.map(|keys| keys.status()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

/// A store that goes takes its tasks along.
impl Drop for KeyStore {
    fn drop(&mut self) {
        for (_, task) in self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}
