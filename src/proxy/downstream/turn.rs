//! How many requests are under way, over all workers: the one number that they share on a request's way, by an atomic.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One worker's view of the requests under way.
#[derive(Debug)]
pub(in crate::proxy) struct Requests {
    under_way: Arc<AtomicUsize>,
    most: usize,
}

/// A request's right to be under way. Given up when dropped, with its response.
#[derive(Debug)]
pub(in crate::proxy) struct Turn(Rc<Requests>);

impl Requests {
    pub(in crate::proxy) fn new(under_way: Arc<AtomicUsize>, most: usize) -> Rc<Self> {
        Rc::new(Self { under_way, most })
    }

    /// A turn; `None` when as many as may be are under way.
    pub(in crate::proxy) fn turn(self: &Rc<Self>) -> Option<Turn> {
        if self.under_way.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Turn(Rc::clone(self)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_are_under_way_over_all_workers() {
        let all = Arc::new(AtomicUsize::new(0));
        let (here, there) = (Requests::new(Arc::clone(&all), 2), Requests::new(Arc::clone(&all), 2));
        let (one, two) = (here.turn().unwrap(), there.turn().unwrap());
        assert!(here.turn().is_none() && there.turn().is_none());
        drop(one);
        let three = there.turn().unwrap();
        assert!(here.turn().is_none());
        drop((two, three));
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
