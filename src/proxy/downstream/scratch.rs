//! Where a worker's reads land whose size nobody knows yet; one for all its connections, so that those that have said
//! nothing hold no memory for it.

use std::cell::RefCell;
use std::rc::Rc;

/// The most bytes taken from a socket at once.
const READ: usize = 64 << 10;

pub(in crate::proxy) type Scratch = Rc<RefCell<Box<[u8]>>>;

pub(in crate::proxy) fn scratch() -> Scratch {
    Rc::new(RefCell::new(vec![0; READ].into_boxed_slice()))
}
