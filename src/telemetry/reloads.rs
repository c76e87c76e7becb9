//! How loading policies went: what `/readyz?verbose` and `/metrics` say of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::clock;
use crate::token::Timestamp;

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Another policy came into force.
    Taken,
    /// The folder holds the policy that is in force.
    Unchanged,
    /// What the folder holds cannot be taken; the policy in force stays.
    Refused,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Taken, Self::Unchanged, Self::Refused];

    /// Its name, as a label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// The reloads of the process.
pub struct Reloads {
    counts: [AtomicU64; Outcome::ALL.len()],
    state: Mutex<State>,
    files: OnceLock<Box<Files>>,
}

type Files = dyn Fn() -> Vec<FilesHealth> + Send + Sync;

/// How certificates and keys stand that are taken up anew when their files change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesHealth {
    /// What they are for: `listener 0.0.0.0:8443`, ``upstream `ledger` ``.
    pub of: Box<str>,
    /// When the first of the certificates in use ends.
    pub not_after: Option<Timestamp>,
    /// Why the files as they are now are not in use; `None`: they are.
    pub refused: Option<Arc<str>>,
}

/// How things stand.
#[derive(Clone, Debug)]
pub struct State {
    /// Since when the policy in force is.
    pub since: Timestamp,
    /// When the folder was last found to hold a good policy.
    pub succeeded: Timestamp,
    /// What is wrong with the folder's newest content, if it was refused.
    pub refused: Option<Refused>,
}

/// Content that was refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// When it was refused first.
    pub at: Timestamp,
    /// Everything that is wrong with it, as `stepgate check` shows it.
    pub diagnostics: Arc<str>,
}

impl Reloads {
    /// A policy is in force from now on; none was reloaded yet.
    #[must_use]
    pub fn new() -> Self {
        let now = clock::now();
        let state = State { since: now, succeeded: now, refused: None };
        Self { counts: Default::default(), state: Mutex::new(state), files: OnceLock::new() }
    }

    /// Says, once, who knows how certificates and keys stand.
    pub fn observe_files(&self, files: impl Fn() -> Vec<FilesHealth> + Send + Sync + 'static) {
        let _only_the_first = self.files.set(Box::new(files));
    }

    /// How certificates and keys stand.
    #[must_use]
    pub fn files(&self) -> Vec<FilesHealth> {
        self.files.get().map_or_else(Vec::new, |files| files())
    }

    /// Another policy came into force now.
    pub fn taken(&self) {
        let now = clock::now();
        *self.lock() = State { since: now, succeeded: now, refused: None };
        self.count(Outcome::Taken);
    }

    /// The folder holds the policy in force.
    pub fn unchanged(&self) {
        let mut state = self.lock();
        (state.succeeded, state.refused) = (clock::now(), None);
        drop(state);
        self.count(Outcome::Unchanged);
    }

    /// What the folder holds was refused. Says whether that is news: not what was wrong with it before.
    pub fn refused(&self, diagnostics: &str) -> bool {
        let mut state = self.lock();
        let is_news = state.refused.as_ref().is_none_or(|refused| *refused.diagnostics != *diagnostics);
        if is_news {
            state.refused = Some(Refused { at: clock::now(), diagnostics: diagnostics.into() });
        }
        drop(state);
        self.count(Outcome::Refused);
        is_news
    }

    /// How things stand.
    #[must_use]
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// How many reloads ended so.
    #[must_use]
    pub fn ended(&self, outcome: Outcome) -> u64 {
        self.counts.get(outcome as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn count(&self, outcome: Outcome) {
        if let Some(count) = self.counts.get(outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Reloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloads").field("counts", &self.counts).field("state", &self.state).finish_non_exhaustive()
    }
}

impl Default for Reloads {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_news_once_and_forgotten_when_it_is_mended() {
        let reloads = Reloads::new();
        assert!(reloads.refused("one"));
        let first = reloads.state().refused.unwrap();
        assert!(!reloads.refused("one"));
        assert_eq!(reloads.state().refused.unwrap().at, first.at);
        assert!(reloads.refused("another"));
        assert!(reloads.refused("one"), "what is wrong again is news");
        let since = reloads.state().since;
        reloads.unchanged();
        assert!(reloads.state().refused.is_none());
        assert_eq!(reloads.state().since, since, "the policy in force is the one it was");
        assert!(reloads.refused("one"));
        reloads.taken();
        assert!(reloads.state().refused.is_none() && reloads.state().since >= since);
        assert_eq!(Outcome::ALL.map(|outcome| reloads.ended(outcome)), [1, 1, 5]);
    }
}
