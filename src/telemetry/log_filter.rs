//! Which log lines are written, changed while running: for a while, or until the process ends.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::Registry;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::reload::{Handle, Layer};

use crate::clock;
use crate::config::log_filter;
use crate::token::Timestamp;

/// The filter in force, and the configured one.
#[derive(Clone)]
pub struct LogFilter {
    handle: Handle<EnvFilter, Registry>,
    state: Arc<Mutex<InForce>>,
}

/// What is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The filter.
    pub filter: String,
    /// The one that `stepgate.yaml` asks for.
    pub configured: String,
    /// When the configured one comes back by itself.
    pub until: Option<Timestamp>,
    /// Counts changes, so that one that lasts for a while does not take back a later one.
    change: u64,
}

/// A change, to be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a change that is to last for a while is taken back with this"]
pub struct Change(u64);

/// Why a filter is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// It is no filter.
    #[error("{0}; {help}", help = log_filter::HELP)]
    NoFilter(String),
    /// The logs are gone.
    #[error("the logs have ended")]
    Ended,
}

impl LogFilter {
    /// The configured filter, with the layer that obeys it.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn new(configured: &str) -> Result<(Self, Layer<EnvFilter, Registry>), ParseError> {
        let (layer, handle) = Layer::new(EnvFilter::try_new(configured)?);
        let configured = configured.to_owned();
        let state = InForce { filter: configured.clone(), configured, until: None, change: 0 };
        Ok((Self { handle, state: Arc::new(Mutex::new(state)) }, layer))
    }

    /// What is in force.
    #[must_use]
    pub fn current(&self) -> InForce {
        self.lock().clone()
    }

    /// Puts a filter in force; says how it is taken back. With `lasting` it says until when, and whoever called sees to it.
    ///
    /// # Errors
    /// When it is none.
    pub fn set(&self, filter: &str, lasting: Option<Duration>) -> Result<Change, NotTaken> {
        log_filter::check(filter).map_err(NotTaken::NoFilter)?;
        let mut state = self.lock();
        self.put(&mut state, filter, lasting)?;
        Ok(Change(state.change))
    }

    /// Puts the configured filter in force again.
    ///
    /// # Errors
    /// When the logs are gone.
    pub fn restore(&self) -> Result<(), NotTaken> {
        let mut state = self.lock();
        let configured = state.configured.clone();
        self.put(&mut state, &configured, None)
    }

    /// Takes a change back, unless there was another since.
    pub fn take_back(&self, Change(change): Change) {
        let mut state = self.lock();
        if state.change == change {
            let configured = state.configured.clone();
            // Logs that are gone have no filter to take back.
            let _taken = self.put(&mut state, &configured, None);
        }
    }

    fn put(&self, state: &mut InForce, filter: &str, lasting: Option<Duration>) -> Result<(), NotTaken> {
        let parsed = EnvFilter::try_new(filter).map_err(|error| NotTaken::NoFilter(error.to_string()))?;
        let seconds = lasting.map(|lasting| lasting.as_secs_f64());
        let tell =
            || tracing::warn!(from = state.filter, to = filter, lasting_seconds = seconds, "the log filter is changed");
        // Whichever of the two filters lets it through.
        let told = tracing::enabled!(tracing::Level::WARN);
        if told {
            tell();
        }
        self.handle.reload(parsed).map_err(|_gone| NotTaken::Ended)?;
        if !told {
            tell();
        }
        filter.clone_into(&mut state.filter);
        state.until = lasting.map(|lasting| {
            let micros = i64::try_from(lasting.as_micros()).unwrap_or(i64::MAX);
            Timestamp::from_micros(clock::now().micros().saturating_add(micros))
        });
        state.change = state.change.wrapping_add(1);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, InForce> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogFilter").field(&self.current().filter).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// A filter that is in force for as long as the subscriber lives.
    pub(crate) fn some_filter(configured: &str) -> (LogFilter, impl tracing::Subscriber + Send + Sync) {
        let (filter, layer) = LogFilter::new(configured).unwrap();
        (filter, tracing_subscriber::registry().with(layer))
    }

    #[test]
    fn a_filter_is_changed_while_running_and_taken_back() {
        let (filter, subscriber) = some_filter("warn");
        tracing::subscriber::with_default(subscriber, || {
            let debugs = || tracing::enabled!(tracing::Level::DEBUG);
            assert!(!debugs());
            let first = filter.set("debug", Some(Duration::from_secs(60))).unwrap();
            assert!(debugs());
            let told = filter.current();
            assert_eq!((&*told.filter, &*told.configured), ("debug", "warn"));
            assert!(told.until.is_some_and(|until| until > clock::now()));
            let second = filter.set("info,stepgate=debug", None).unwrap();
            filter.take_back(first);
            assert!(debugs() && filter.current().filter == "info,stepgate=debug", "a later change stays");
            filter.take_back(second);
            assert!(!debugs() && filter.current().filter == "warn");
            let error = filter.set("loud", None).unwrap_err().to_string();
            assert!(error.contains("`loud` is no level; write `off`, "), "{error}");
            assert_eq!(filter.current().filter, "warn");
            let _kept = filter.set("off", None).unwrap();
            filter.restore().unwrap();
            assert!(tracing::enabled!(tracing::Level::WARN) && !debugs());
        });
    }
}
