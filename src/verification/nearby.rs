//! The entries that this thread found in the cache, by their digests. A look into the cache itself reads ten lines of memory, one
//! after another, and writes a log that all threads write; a look here reads the line of the set and those of the entry, and writes
//! the entry's own counts alone.
//!
//! The cache alone decides what is kept: a place only points to an entry, and what the cache let go is gone here too, as soon as no
//! thread has it at hand. Whoever finds an entry checks it as any other.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use crate::verification::cache::Entry;
use crate::verification::digest::Digest;

/// One look of 2 to the power of so many goes to the cache, which else would think its entries out of use.
const LOOKS: u32 = 4;
/// Where the table is as large as it may be, one offer of so many takes a place: in a circle of more tokens than there are places, most
/// of what has one is still there when it comes again.
const OFFERS: u8 = 8;
/// The sets of a thread that begins, and the most it may have: those take 256 KiB, and what is left of entries that are no more, until
/// others take their places, at most 1.3 MiB.
const FEWEST: usize = 1 << 6;
const MOST: usize = 1 << 12;

struct Place<T> {
    /// Half of the entry's digest.
    tag: u64,
    entry: Weak<T>,
}

/// As much as the processor reads at once.
#[repr(align(64))]
struct Set<T>([Place<T>; 4]);

/// A table in which a tag belongs to the set that its lowest bits say.
struct Sets<T> {
    sets: Vec<Set<T>>,
    /// Numbers without a pattern, so that each entry's turn comes.
    looks: u64,
    offers: u8,
}

thread_local! {
    static SETS_HERE: RefCell<Sets<Entry>> = const { RefCell::new(Sets::new()) };
}

/// What this thread found under a digest, unless the cache is to be asked again.
pub(super) fn find(digest: Digest) -> Option<Arc<Entry>> {
    let entry = SETS_HERE.with_borrow_mut(|here| here.find(digest.tag()))?;
    (entry.digest() == digest && !entry.is_gone()).then_some(entry)
}

/// Takes note of what the cache gave.
pub(super) fn remember(entry: &Arc<Entry>) {
    SETS_HERE.with_borrow_mut(|here| here.offer(entry.digest().tag(), Arc::downgrade(entry)));
}

impl<T> Sets<T> {
    const fn new() -> Self {
        Self { sets: Vec::new(), looks: 0, offers: 0 }
    }

    fn find(&mut self, tag: u64) -> Option<Arc<T>> {
        let place = self.set(tag)?.0.iter().find(|place| place.tag == tag)?;
        let entry = place.entry.upgrade()?;
        // Knuth's generator for MMIX, of which the highest bits are the ones to use.
        self.looks = self.looks.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.looks >> (u64::BITS - LOOKS) != 0).then_some(entry)
    }

    fn offer(&mut self, tag: u64, entry: Weak<T>) {
        if self.sets.is_empty() {
            self.sets.resize_with(FEWEST, Set::default);
        }
        while self.sets.len() < MOST {
            let Some(set) = self.set(tag) else { return };
            if let Some(way) = set.of(tag).or_else(|| set.free()) {
                return set.put(way, tag, entry);
            }
            self.grow();
        }
        // Whether an entry is no more is read where it lies, which is not worth it each time.
        self.offers = self.offers.wrapping_add(1);
        let (is_turn, next) = (self.offers.is_multiple_of(OFFERS), usize::from(self.offers / OFFERS) % 4);
        let Some(set) = self.set(tag) else { return };
        match set.of(tag) {
            Some(way) => set.put(way, tag, entry),
            None if is_turn => set.put(set.free().unwrap_or(next), tag, entry),
            None => {}
        }
    }

    /// Twice as many sets: what was in one is in two.
    fn grow(&mut self) {
        let twice = self.sets.len().saturating_mul(2);
        let before = std::mem::take(&mut self.sets);
        self.sets.resize_with(twice, Set::default);
        let held = before.into_iter().flat_map(|set| set.0).filter(|place| place.entry.strong_count() > 0);
        for Place { tag, entry } in held {
            if let Some(set) = self.set(tag)
                && let Some(way) = set.free()
            {
                set.put(way, tag, entry);
            }
        }
    }

    fn set(&mut self, tag: u64) -> Option<&mut Set<T>> {
        let last = u64::try_from(self.sets.len().checked_sub(1)?).ok()?;
        self.sets.get_mut(usize::try_from(tag & last).ok()?)
    }
}

impl<T> Set<T> {
    /// Where this tag is.
    fn of(&self, tag: u64) -> Option<usize> {
        self.0.iter().position(|place| place.tag == tag)
    }

    /// Where an entry is no more.
    fn free(&self) -> Option<usize> {
        self.0.iter().position(|place| place.entry.strong_count() == 0)
    }

    fn put(&mut self, way: usize, tag: u64, entry: Weak<T>) {
        if let Some(place) = self.0.get_mut(way) {
            *place = Place { tag, entry };
        }
    }
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self([const { Place { tag: 0, entry: Weak::new() } }; 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many things, each with a tag of its own.
    fn things(count: u64) -> Vec<(u64, Arc<u64>)> {
        (1..=count).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15), Arc::new(n))).collect()
    }

    fn offer(sets: &mut Sets<u64>, (tag, thing): &(u64, Arc<u64>)) {
        sets.offer(*tag, Arc::downgrade(thing));
    }

    /// Whether it is found by one of a few looks.
    fn found(sets: &mut Sets<u64>, (tag, thing): &(u64, Arc<u64>)) -> bool {
        (0..10).find_map(|_| sets.find(*tag)).is_some_and(|found| Arc::ptr_eq(&found, thing))
    }

    #[test]
    fn what_was_offered_is_found_as_long_as_somebody_else_holds_it() {
        let mut sets = Sets::new();
        let mut all = things(300);
        assert!(!found(&mut sets, &all[0]));
        for thing in &all {
            offer(&mut sets, thing);
        }
        assert!(all.iter().all(|thing| found(&mut sets, thing)));
        assert!(all.iter().all(|(_, thing)| Arc::strong_count(thing) == 1), "nothing is held here");
        let (tag, _) = all.swap_remove(7);
        assert_eq!(sets.find(tag), None);
        assert!(all.iter().all(|thing| found(&mut sets, thing)));
    }

    #[test]
    fn what_comes_anew_under_a_tag_takes_the_place_of_what_was_there() {
        let mut sets = Sets::new();
        let (old, new) = ((9, Arc::new(1)), (9, Arc::new(2)));
        offer(&mut sets, &old);
        offer(&mut sets, &new);
        assert!(found(&mut sets, &new) && !found(&mut sets, &old));
    }

    #[test]
    fn the_cache_is_asked_now_and_then_for_each_of_a_circle() {
        let mut sets = Sets::new();
        let all = things(1 << LOOKS);
        all.iter().for_each(|thing| offer(&mut sets, thing));
        let mut asked = vec![0; all.len()];
        for _ in 0..1000 {
            for (number, (tag, _)) in all.iter().enumerate() {
                asked[number] += usize::from(sets.find(*tag).is_none());
            }
        }
        assert!(asked.iter().all(|asked| (30..100).contains(asked)), "{asked:?}");
    }

    #[test]
    fn a_set_is_read_at_once_and_a_table_is_no_larger_than_what_is_found() {
        assert_eq!((size_of::<Set<Entry>>(), size_of::<Entry>()), (64, 48));
        let mut sets = Sets::new();
        for round in 0..100 {
            // Other ones each time, and none of them held any longer.
            things(50 * (round + 1))
                .iter()
                .skip(usize::try_from(50 * round).unwrap())
                .for_each(|thing| offer(&mut sets, thing));
        }
        assert_eq!(sets.sets.len(), FEWEST, "what is no more makes room");
        let all = things(100_000);
        all.iter().for_each(|thing| offer(&mut sets, thing));
        assert_eq!(sets.sets.len(), MOST);
    }

    #[test]
    fn of_a_circle_that_is_larger_than_the_table_most_of_what_has_room_is_found() {
        let mut sets = Sets::new();
        let all = things(u64::try_from(MOST * 5).unwrap());
        let mut round = || {
            all.iter()
                .filter(|thing| {
                    found(&mut sets, thing) || {
                        offer(&mut sets, thing);
                        false
                    }
                })
                .count()
        };
        assert_eq!(round(), 0);
        let later: Vec<usize> = (0..20).map(|_| round()).collect();
        assert!(later[10..].iter().all(|found| *found > MOST * 3), "{later:?}");
    }

    #[test]
    fn what_comes_again_and_again_takes_a_place_in_a_full_set() {
        let mut sets = Sets::new();
        let all = things(100_000);
        all.iter().for_each(|thing| offer(&mut sets, thing));
        let new = (77, Arc::new(0));
        let tries = (0..100)
            .take_while(|_| {
                offer(&mut sets, &new);
                !found(&mut sets, &new)
            })
            .count();
        assert!(tries < 2 * usize::from(OFFERS), "{tries}");
    }
}
