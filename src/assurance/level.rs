//! Ladders and their rungs: the operator's names for how strong a sign-in is.

/// One rung of one ladder. Only the ladders that made it can name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rung {
    ladder: u8,
    rank: u8,
}

impl Rung {
    /// Which ladder it stands on: the position in [`Ladders::all`].
    #[must_use]
    pub fn ladder(self) -> usize {
        usize::from(self.ladder)
    }

    /// How many rungs of its ladder are below it.
    #[must_use]
    pub fn rank(self) -> usize {
        usize::from(self.rank)
    }

    /// Whether having reached this rung is enough where `needed` is asked: same ladder, at least as high.
    #[must_use]
    pub fn reaches(self, needed: Self) -> bool {
        self.ladder == needed.ladder && self.rank >= needed.rank
    }
}

/// Rungs, one of each ladder at the most; of as many ladders as policies mostly have they are held without asking for memory.
pub type Rungs = smallvec::SmallVec<[Rung; 4]>;

/// A ladder: rung names from the weakest to the strongest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// `level` for the main one, else the operator's name for the axis.
    pub name: Box<str>,
    /// Never empty.
    pub rungs: Box<[Box<str>]>,
}

/// All ladders of a policy; the main one comes first. Rung names are unique across all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladders(Box<[Ladder]>);

impl Ladders {
    /// The default ladder's rungs, weakest first. Profiles are written in these names.
    pub const DEFAULT: [&str; 4] = ["single-factor", "multi-factor", "phishing-resistant", "hardware-protected"];

    /// The most ladders, and the most rungs of one, that a policy may have.
    pub const MAX: usize = 64;

    /// Takes ladders whose rung names were found unique; `None` if they are not, or are more than [`Self::MAX`].
    #[must_use]
    pub fn new(ladders: Vec<Ladder>) -> Option<Self> {
        let mut names: Vec<&str> = ladders.iter().flat_map(|ladder| ladder.rungs.iter().map(|rung| &**rung)).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        let fits = !ladders.is_empty()
            && ladders.len() <= Self::MAX
            && ladders.iter().all(|ladder| !ladder.rungs.is_empty() && ladder.rungs.len() <= Self::MAX);
        (fits && names.len() == count).then(|| Self(ladders.into()))
    }

    /// The ladders.
    #[must_use]
    pub fn all(&self) -> &[Ladder] {
        &self.0
    }

    /// The rung with this name.
    #[must_use]
    pub fn rung(&self, name: &str) -> Option<Rung> {
        self.rungs().find(|rung| self.name(*rung) == name)
    }

    /// Every rung, ladder by ladder, weakest first.
    pub fn rungs(&self) -> impl Iterator<Item = Rung> {
        self.0.iter().zip(0u8..).flat_map(|(ladder, number)| {
            ladder.rungs.iter().zip(0u8..).map(move |(_, rank)| Rung { ladder: number, rank })
        })
    }

    /// The rung's name.
    #[must_use]
    pub fn name(&self, rung: Rung) -> &str {
        self.0.get(rung.ladder()).and_then(|ladder| ladder.rungs.get(rung.rank())).map_or("", |name| name)
    }
}

impl Default for Ladders {
    fn default() -> Self {
        let rungs = Self::DEFAULT.map(Box::from).into();
        Self(Box::new([Ladder { name: "level".into(), rungs }]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_of_different_ladders_never_stand_for_each_other() {
        let ladder = |name: &str, rungs: &[&str]| Ladder {
            name: name.into(),
            rungs: rungs.iter().map(|rung| (*rung).into()).collect(),
        };
        let ladders = Ladders::new(vec![ladder("level", &["low", "high"]), ladder("identity", &["P1", "P2"])]).unwrap();
        let rung = |name: &str| ladders.rung(name).unwrap();
        assert!(rung("high").reaches(rung("low")));
        assert!(rung("low").reaches(rung("low")));
        assert!(!rung("low").reaches(rung("high")));
        assert!(!rung("P2").reaches(rung("low")));
        assert_eq!(ladders.rungs().map(|rung| ladders.name(rung)).collect::<Vec<_>>(), ["low", "high", "P1", "P2"]);
        assert!(Ladders::new(vec![ladder("a", &["x"]), ladder("b", &["x"])]).is_none());
    }
}
