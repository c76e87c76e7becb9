//! Tells the operator that the audit log fails, or works again: not ten times a second, and never only half of it.

use std::io;
use std::time::Duration;

use crate::telemetry::Occasionally;

/// Says each turn for the worse once in a while, and the turn for the better after each that was said.
#[derive(Debug)]
pub(super) struct Voice {
    failures: Occasionally,
    said: bool,
}

impl Default for Voice {
    fn default() -> Self {
        Self { failures: Occasionally::new(Duration::from_secs(10)), said: false }
    }
}

impl Voice {
    /// The log fails with this error or, with `None`, works again.
    pub(super) fn say(&mut self, error: Option<&io::Error>) {
        match error {
            Some(error) => {
                if let Some(more) = self.failures.due() {
                    self.said = true;
                    tracing::error!(%error, more, "the audit log cannot be written; it is tried again until it can");
                }
            }
            None if std::mem::take(&mut self.said) => tracing::warn!("the audit log can be written again"),
            None => {}
        }
    }
}
