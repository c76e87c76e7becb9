//! What is in force: one immutable [`Snapshot`], swapped whole. A request takes it once and keeps it to its end.

pub mod changes;
pub mod folder;
pub mod snapshot;
pub mod watch;

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::policy::Policy;

/// A policy with what the process knows of it.
#[derive(Debug)]
pub struct Snapshot {
    /// The policy.
    pub policy: Policy,
    /// For each of the policy's routes, in its order: the place of its upstream in the settings.
    pub upstream_of_route: Vec<usize>,
}

/// The snapshot in force.
#[derive(Debug)]
pub struct Live(ArcSwap<Snapshot>);

impl Live {
    /// Begins with this one.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self(ArcSwap::from_pointee(snapshot))
    }

    /// The one in force now. Requests under way keep the one that they began with.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Puts another in force, and hands back the one that was.
    pub fn swap(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        self.0.swap(Arc::new(snapshot))
    }
}
