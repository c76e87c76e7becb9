//! Maps of header fields that were used and can be used again: each is two pieces of memory, which every request would ask for
//! and give back. Kept by each thread for itself.

use std::cell::RefCell;

use http::HeaderMap;

/// How many are kept.
const MOST: usize = 64;
/// The most fields that one which is kept has room for. What a large head needed is not held on to.
const LARGEST: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty map, with room if one is spare.
pub(super) fn take() -> HeaderMap {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Takes a map that nobody needs any more.
pub(super) fn give(mut fields: HeaderMap) {
    if fields.capacity() > LARGEST {
        return;
    }
    fields.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < MOST {
            spare.push(fields);
        }
    });
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_used_again_holds_nothing_of_before_and_is_neither_large_nor_many() {
        let mut fields = HeaderMap::with_capacity(20);
        let room = fields.capacity();
        fields.append("x-secret", HeaderValue::from_static("1"));
        fields.append("x-secret", HeaderValue::from_static("2"));
        give(fields);
        let again = take();
        assert_eq!((again.len(), again.get("x-secret"), again.capacity()), (0, None, room));
        give(HeaderMap::with_capacity(1000));
        assert_eq!(take().capacity(), 0);
        (0..2 * MOST).for_each(|_| give(HeaderMap::with_capacity(1)));
        let kept = std::iter::repeat_with(take).take_while(|fields| fields.capacity() > 0).count();
        assert_eq!(kept, MOST);
    }
}
