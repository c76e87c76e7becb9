//! How often each exception of the policy let somebody in. Rare, so that all threads share a counter, found by name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::policy::Policy;
use crate::token::Timestamp;

/// The exceptions of one policy, in its order.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct Exceptions(Box<[Use]>);

/// One exception, and how often it was used.
#[derive(Debug)]
pub(in crate::telemetry) struct Use {
    pub(in crate::telemetry) name: Box<str>,
    pub(in crate::telemetry) until: Timestamp,
    used: Arc<AtomicU64>,
}

impl Exceptions {
    /// Those of a policy; one that goes on under its name keeps its count.
    pub(super) fn of(policy: &Policy, before: &Self) -> Self {
        let used = |name: &str| before.find(name).map(|known| Arc::clone(&known.used)).unwrap_or_default();
        let of = policy.exceptions().iter();
        Self(of.map(|one| Use { name: one.name.clone(), until: one.until, used: used(&one.name) }).collect())
    }

    /// Counts a use.
    pub(super) fn count(&self, name: &str) {
        if let Some(known) = self.find(name) {
            known.used.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(in crate::telemetry) fn all(&self) -> &[Use] {
        &self.0
    }

    fn find(&self, name: &str) -> Option<&Use> {
        self.0.iter().find(|one| *one.name == *name)
    }
}

impl Use {
    pub(in crate::telemetry) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}
