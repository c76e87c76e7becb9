//! The claims, besides the evidence, that a policy reads: found once when a token is mapped, looked up by slot after.

use crate::token::{ClaimPath, Json, Tree};

/// The number of a claim in a policy's [`ClaimTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimSlot(u16);

/// Every claim that a policy's `claims` and `bind` read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimTable(Vec<ClaimPath>);

impl ClaimTable {
    /// The slot of a claim, new or known. `None` past 65,535 claims.
    pub fn slot(&mut self, path: ClaimPath) -> Option<ClaimSlot> {
        let place = self.0.iter().position(|known| *known == path).unwrap_or_else(|| {
            self.0.push(path);
            self.0.len().saturating_sub(1)
        });
        u16::try_from(place).ok().map(ClaimSlot)
    }

    /// The claim's name as the policy wrote it.
    #[must_use]
    pub fn name(&self, slot: ClaimSlot) -> &str {
        self.0.get(usize::from(slot.0)).map_or("", ClaimPath::as_written)
    }

    /// Which claim it is.
    pub(crate) fn path(&self, slot: ClaimSlot) -> Option<&ClaimPath> {
        self.0.get(usize::from(slot.0))
    }

    /// All claims that it names.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &ClaimPath> {
        self.0.iter()
    }

    /// Picks out of a token's claims those that the policy reads. Absent ones (`null`, an empty list) are left out.
    #[must_use]
    pub fn pick(&self, claims: &Tree<'_>) -> ClaimFacts {
        let found = self.0.iter().zip(0u16..).filter_map(|(path, number)| {
            path.find(claims).filter(|value| !value.is_absent()).map(|value| (ClaimSlot(number), value.to_json()))
        });
        ClaimFacts(found.collect())
    }
}

/// The claims of one token that the policy reads, in the order of their slots.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimFacts(Box<[(ClaimSlot, Json)]>);

impl ClaimFacts {
    /// The claim's value; `None` if the token has none.
    #[must_use]
    pub fn get(&self, slot: ClaimSlot) -> Option<&Json> {
        let place = self.0.binary_search_by_key(&slot, |(slot, _)| *slot).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (ClaimSlot, &Json)> {
        self.0.iter().map(|(slot, value)| (*slot, value))
    }
}
