//! What this thread made last: most tokens say what others said, and what is there already need not be made again.
//!
//! Called by `token` and `assurance` where they copy lists out of a token that is believed. Equal is equal: nothing is judged
//! by where a list came from.

use std::cell::RefCell;
use std::sync::Arc;
use std::thread::LocalKey;

/// The values of one sort that were made last.
pub(crate) struct Lately<T> {
    made: Vec<T>,
    next: usize,
}

/// How many are kept of each sort.
const KEPT: usize = 8;
/// The most values of a list that is kept, and the most bytes of one: no sender has a thread hold much.
const MOST: usize = 16;
const LONGEST: usize = 64;

impl<T: Clone> Lately<T> {
    pub(crate) const fn new() -> Self {
        Self { made: Vec::new(), next: 0 }
    }

    /// One that was made lately and is the `same`, else a new one.
    pub(crate) fn get(&mut self, same: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> T {
        if let Some(known) = self.made.iter().find(|known| same(known)) {
            return known.clone();
        }
        let new = make();
        match self.made.get_mut(self.next) {
            Some(place) => *place = new.clone(),
            None => self.made.push(new.clone()),
        }
        self.next = self.next.saturating_add(1).checked_rem(KEPT).unwrap_or_default();
        new
    }
}

/// Texts that tokens may share.
pub(crate) type Texts = Arc<[Box<str>]>;

/// A list of these texts.
pub(crate) fn texts<S: AsRef<str>>(lately: &'static LocalKey<RefCell<Lately<Texts>>>, texts: &[S]) -> Texts {
    let make = || texts.iter().map(|text| Box::from(text.as_ref())).collect();
    if texts.is_empty() {
        return Arc::default();
    }
    if !is_little(texts) {
        return make();
    }
    let same = |known: &Texts| known.iter().map(|known| &**known).eq(texts.iter().map(AsRef::as_ref));
    lately.with_borrow_mut(|lately| lately.get(same, make))
}

/// Whether a list of these texts may be kept.
pub(crate) fn is_little<S: AsRef<str>>(texts: &[S]) -> bool {
    texts.len() <= MOST && texts.iter().all(|text| text.as_ref().len() <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static HERE: RefCell<Lately<Texts>> = const { RefCell::new(Lately::new()) };
    }

    #[test]
    fn equal_lists_are_one_and_others_are_what_they_say() {
        let made = |list: &[&str]| {
            let made = texts(&HERE, list);
            assert!(made.iter().map(|text| &**text).eq(list.iter().copied()), "{list:?} is not {made:?}");
            made
        };
        let first = made(&["a", "b"]);
        for other in [&["a"][..], &["a", "b", "c"], &["b", "a"], &["ab"], &["a", ""], &[]] {
            assert!(!Arc::ptr_eq(&first, &made(other)), "{other:?}");
        }
        assert!(Arc::ptr_eq(&first, &made(&["a", "b"])));
    }

    #[test]
    fn few_lists_are_kept_and_none_that_is_long() {
        let long = "x".repeat(LONGEST + 1);
        for list in [vec![&*long], vec!["x"; MOST + 1]] {
            assert!(!Arc::ptr_eq(&texts(&HERE, &list), &texts(&HERE, &list)));
        }
        for number in 0..100 {
            assert_eq!(*texts(&HERE, &[number.to_string()]), [number.to_string().into()]);
        }
        HERE.with_borrow(|lately| assert_eq!(lately.made.len(), KEPT));
    }
}
