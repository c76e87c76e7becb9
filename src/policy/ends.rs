//! The routes of one path: which of them takes a method.

use crate::policy::pattern::Methods;

/// Routes with one path, told apart by method: those that name theirs before the one for any.
#[derive(Clone, Debug, Default)]
pub(in crate::policy) struct Ends {
    named: Vec<(Methods, usize)>,
    any: Option<usize>,
}

impl Ends {
    pub(in crate::policy) fn insert(&mut self, methods: &Methods, place: usize) {
        match methods {
            // A second one is a tie, to be found: so it must not take the place of the first.
            Methods::Any if self.any.is_none() => self.any = Some(place),
            Methods::Any | Methods::Named(_) => self.named.push((methods.clone(), place)),
        }
    }

    pub(in crate::policy) fn places(&self) -> impl Iterator<Item = usize> {
        self.named.iter().map(|(_, place)| *place).chain(self.any)
    }

    pub(in crate::policy) fn find(&self, method: &str) -> Option<usize> {
        self.named.iter().find(|(methods, _)| methods.matches(method)).map(|(_, place)| *place).or(self.any)
    }
}
