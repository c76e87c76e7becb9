//! [`AtHand`]: the few things that one thread meets again and again, each in the one place that its mark says.
//!
//! A look touches nothing that another thread writes. Where many things come in a circle each would throw another out and be
//! thrown out before it comes again: to put it there would only cost. So what has a place keeps it until another came there
//! twice with none in between, which a thing that is met often soon does; or until so many came that it is not met any more.
//!
//! Used by outer rooms. A mark is only where to look: whoever finds something holds it against all that it was made of.

/// Things by their marks.
#[derive(Debug)]
pub(crate) struct AtHand<T> {
    places: Vec<Place<T>>,
    most: usize,
}

#[derive(Debug)]
struct Place<T> {
    held: Option<(Mark, T)>,
    /// Whose thing was offered last, since what is held was found.
    offered: Option<Mark>,
    /// How many others were offered since then.
    others: u8,
}

/// Some bits by which a thing is told from others. Two things may have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Mark {
    /// A token's: made of its last bytes, which are the most random ones of a signature, but for the very last character of
    /// one, which holds few bits. What is no token, or so long that it is better not kept, has none.
    pub(crate) fn of_token(text: &[u8]) -> Option<Self> {
        let [bytes @ .., _last] = text.last_chunk::<9>()?;
        (text.len() <= LONGEST).then(|| Self(u64::from_le_bytes(*bytes).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

/// So many others in a row, and what is held is let go: it would stay for ever where none of them comes twice.
const PATIENCE: u8 = 16;
/// The longest token that has a mark, in bytes.
const LONGEST: usize = 4 << 10;

impl<T> AtHand<T> {
    /// A table that is to have so many places. It takes no memory before the first thing is offered.
    pub(crate) const fn new(most: usize) -> Self {
        Self { places: Vec::new(), most }
    }

    /// What is held under this mark.
    pub(crate) fn find(&mut self, mark: Mark) -> Option<&mut T> {
        let place = self.place(mark)?;
        match &mut place.held {
            Some((held, thing)) if *held == mark => {
                (place.offered, place.others) = (None, 0);
                Some(thing)
            }
            Some(_) | None => None,
        }
    }

    /// Offers a thing that was not found, or not as it should be. It is made only where it is taken: in the place of one with
    /// the same mark, or when the last that was offered there had this mark too.
    pub(crate) fn offer(&mut self, mark: Mark, make: impl FnOnce() -> T) {
        if self.places.is_empty() {
            self.places.resize_with(self.most, || Place { held: None, offered: None, others: 0 });
        }
        let Some(place) = self.place(mark) else { return };
        let again = place.offered.replace(mark) == Some(mark);
        if again || place.held.as_ref().is_some_and(|(held, _)| *held == mark) {
            place.held = Some((mark, make()));
            place.others = 0;
            return;
        }
        place.others = place.others.saturating_add(1);
        if place.others >= PATIENCE {
            place.held = None;
        }
    }

    fn place(&mut self, mark: Mark) -> Option<&mut Place<T>> {
        let number = usize::try_from(mark.0 >> 32).ok()?.checked_rem(self.places.len())?;
        self.places.get_mut(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Marks that all have the same place.
    fn marks() -> [Mark; 3] {
        [Mark(1), Mark(2), Mark(3)]
    }

    #[test]
    fn what_comes_twice_in_a_row_is_at_hand_and_what_comes_once_is_not() {
        let [one, other, third] = marks();
        let mut all = AtHand::new(8);
        assert_eq!(all.find(one), None);
        all.offer(one, || "one");
        assert_eq!(all.find(one), None);
        all.offer(one, || "one");
        assert_eq!(all.find(one), Some(&mut "one"));
        for _ in 0..7 {
            all.offer(other, || "other");
            all.offer(third, || "third");
        }
        assert_eq!(all.find(one), Some(&mut "one"), "a circle throws nothing out");
        for _ in 0..40 {
            all.offer(other, || "other");
            assert_eq!(all.find(one), Some(&mut "one"), "nor does one that comes between");
        }
        assert_eq!(all.places.len(), 8);
        all.offer(third, || "third");
        all.offer(third, || "third");
        assert_eq!(all.find(third), Some(&mut "third"));
        assert_eq!(all.find(one), None);
        assert_eq!(all.find(other), None);
    }

    #[test]
    fn what_is_not_found_any_more_is_let_go() {
        let [one, other, third] = marks();
        let mut all = AtHand::new(8);
        let thing = std::rc::Rc::new(());
        all.offer(one, || std::rc::Rc::clone(&thing));
        all.offer(one, || std::rc::Rc::clone(&thing));
        assert_eq!(std::rc::Rc::strong_count(&thing), 2);
        for _ in 0..PATIENCE {
            all.offer(other, std::rc::Rc::default);
            all.offer(third, std::rc::Rc::default);
        }
        assert_eq!(std::rc::Rc::strong_count(&thing), 1);
        assert_eq!(all.find(one), None);
    }

    #[test]
    fn what_is_held_is_renewed_at_once() {
        let [one, other, _] = marks();
        let mut all = AtHand::new(8);
        all.offer(one, || "old");
        all.offer(one, || "old");
        all.offer(other, || "other");
        all.offer(one, || "new");
        assert_eq!(all.find(one), Some(&mut "new"));
    }

    #[test]
    fn a_thing_that_is_not_taken_is_not_made() {
        let [one, other, _] = marks();
        let mut all: AtHand<()> = AtHand::new(8);
        for mark in [one, other, one] {
            all.offer(mark, || panic!("{mark:?}"));
        }
        AtHand::new(0).offer(one, || ());
    }

    #[test]
    fn a_tokens_mark_is_made_of_its_end_but_not_of_the_last_character() {
        let mark = |text: &str| Mark::of_token(text.as_bytes());
        assert_eq!(mark("a.b.12345678X"), mark("c.d.12345678Y"));
        assert_ne!(mark("a.b.12345678X"), mark("a.b.12345679X"));
        assert_ne!(mark("a.b.12345678X"), mark("a.b.22345678X"));
        assert_eq!(mark("12345678"), None);
        assert!(mark(&"a".repeat(LONGEST)).is_some() && mark(&"a".repeat(LONGEST + 1)).is_none());
    }
}
