//! How much a lint may do: load and reload wait for it.

use std::cell::Cell;

/// What is left of it, in steps.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Budget {
    pub(super) const fn of(steps: usize) -> Self {
        Self(Cell::new(steps))
    }

    /// Takes so many steps; `false`: there were not so many left, and there are none now.
    pub(super) fn take(&self, steps: usize) -> bool {
        let left = self.0.get().checked_sub(steps);
        self.0.set(left.unwrap_or_default());
        left.is_some()
    }

    /// How many steps are left.
    pub(super) const fn left(&self) -> usize {
        self.0.get()
    }
}
