//! What one thread holds of the snapshot in force.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use crate::live::{Live, Snapshot};

/// The snapshot that was in force when it was taken.
#[derive(Debug)]
pub struct InForce(Arc<Snapshot>);

impl Deref for InForce {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

/// A thread's own hold on the snapshot in force: taking it for a request writes no number that other threads write.
#[derive(Debug)]
pub struct Held {
    live: Arc<Live>,
    current: RefCell<Rc<InForce>>,
    /// How often another was put in force before `current` was taken.
    swaps: Cell<u64>,
}

impl Held {
    /// Takes the one in force.
    #[must_use]
    pub fn new(live: Arc<Live>) -> Self {
        // The number first: a swap between the two is then noticed once more, and never missed.
        let swaps = Cell::new(live.swaps());
        let current = RefCell::new(Rc::new(InForce(live.current())));
        Self { live, current, swaps }
    }

    /// The one in force now, as [`Live::current`] gives it. The one before is let go of by this, so a thread that may have
    /// nothing to do calls it now and then all the same.
    #[must_use]
    pub fn current(&self) -> Rc<InForce> {
        let swaps = self.live.swaps();
        if swaps != self.swaps.get() {
            self.swaps.set(swaps);
            *self.current.borrow_mut() = Rc::new(InForce(self.live.current()));
        }
        Rc::clone(&self.current.borrow())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::some_policy;

    #[test]
    fn a_swap_is_seen_at_once_and_what_was_before_is_let_go_of() {
        let snapshot =
            || Snapshot { policy: some_policy(), upstream_of_route: Vec::new(), metadata: None, files: Arc::default() };
        let live = Arc::new(Live::new(snapshot()));
        let held = Held::new(Arc::clone(&live));
        let under_way = held.current();
        assert!(Arc::ptr_eq(&under_way.0, &live.current()));
        let before = live.swap(snapshot());
        assert!(Arc::ptr_eq(&under_way.0, &before), "a request keeps what it began with");
        assert!(Arc::ptr_eq(&held.current().0, &live.current()));
        drop(under_way);
        assert_eq!(Arc::strong_count(&before), 1);
    }
}
