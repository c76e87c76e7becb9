//! What is in force: one immutable [`Snapshot`], swapped whole. A request takes it once and keeps it to its end.

pub mod changes;
pub mod folder;
pub mod held;
pub mod snapshot;
pub mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::config::SourceFile;
use crate::policy::{Policy, ResourceMetadata};

/// A policy with what the process knows of it.
#[derive(Debug)]
pub struct Snapshot {
    /// The policy.
    pub policy: Policy,
    /// For each of the policy's routes, in its order: the place of its upstream in the settings.
    pub upstream_of_route: Vec<usize>,
    /// What clients may find out about us by themselves, where they know us by a URL.
    pub metadata: Option<ResourceMetadata>,
    /// The texts that the policy was made from.
    pub files: Arc<[SourceFile]>,
}

/// The snapshot in force.
#[derive(Debug)]
pub struct Live {
    current: ArcSwap<Snapshot>,
    swaps: AtomicU64,
}

impl Live {
    /// Begins with this one.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self { current: ArcSwap::from_pointee(snapshot), swaps: AtomicU64::new(0) }
    }

    /// The one in force now. Requests under way keep the one that they began with.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts another in force, and hands back the one that was.
    pub fn swap(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        let before = self.current.swap(Arc::new(snapshot));
        // After the swap: whoever sees the number finds the snapshot.
        self.swaps.fetch_add(1, Ordering::Release);
        before
    }

    /// How often another was put in force.
    fn swaps(&self) -> u64 {
        self.swaps.load(Ordering::Acquire)
    }
}
