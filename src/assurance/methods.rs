//! `amr` values and what each of them is worth: factor class, phishing resistance, hardware.
//!
//! A value's worth belongs to the issuer that says it (`swk`, `rsa`, `sms`, `pop` and `fed` mean different things at
//! different vendors), so a [`MethodTable`] is per issuer: the operator's entries over the profile's over RFC 8176's.

use std::collections::BTreeMap;

/// One of the three factor classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactorClass {
    /// Something the user knows.
    Knowledge,
    /// Something the user has.
    Possession,
    /// Something the user is.
    Inherence,
}

impl FactorClass {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Knowledge, Self::Possession, Self::Inherence];

    /// Its name, as policies write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Knowledge => "knowledge",
            Self::Possession => "possession",
            Self::Inherence => "inherence",
        }
    }

    /// The class with this name, as policies write it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "knowledge" => Some(Self::Knowledge),
            "possession" => Some(Self::Possession),
            "inherence" => Some(Self::Inherence),
            _ => None,
        }
    }
}

/// A set of factor classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Classes(u8);

impl Classes {
    /// No class: a signal, or a fact about the ceremony.
    pub const NONE: Self = Self(0);

    /// With this class too.
    #[must_use]
    pub const fn with(self, class: FactorClass) -> Self {
        Self(self.0 | 1 << class as u8)
    }

    /// All of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether this class is one of them.
    #[must_use]
    pub const fn has(self, class: FactorClass) -> bool {
        self.0 & 1 << class as u8 != 0
    }

    /// The names of its classes.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        FactorClass::ALL.into_iter().filter(move |class| self.has(*class)).map(FactorClass::name)
    }

    /// How many distinct classes: 0 to 3.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }
}

impl FromIterator<FactorClass> for Classes {
    fn from_iter<I: IntoIterator<Item = FactorClass>>(classes: I) -> Self {
        classes.into_iter().fold(Self::NONE, Self::with)
    }
}

/// What one `amr` value is worth at one issuer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MethodClass {
    /// The classes that the value proves by itself.
    pub is: Classes,
    /// Further classes that it may involve, counted where the issuer is trusted to verify the user.
    pub may: Classes,
    /// Whether the value proves phishing resistance; `None`: it may or may not.
    pub phishing_resistant: Option<bool>,
    /// Whether the value proves a key bound to hardware; `None`: it may or may not.
    pub hardware: Option<bool>,
}

/// What each `amr` value of one issuer is worth. A value that is not in it is worth nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MethodTable(BTreeMap<Box<str>, MethodClass>);

impl MethodTable {
    /// RFC 8176 section 2 and the registered addition `pop` (OpenID EAP ACR Values). `geo`, `rba` and `wia` are signals;
    /// `mca`, `mfa` and `user` are facts about the ceremony: none of these is a factor.
    #[must_use]
    pub fn rfc8176() -> Self {
        use FactorClass::{Inherence, Knowledge, Possession};
        const NO: Option<bool> = Some(false);
        // Value, class, phishing-resistant, bound to hardware.
        type Row = (&'static str, Option<FactorClass>, Option<bool>, Option<bool>);
        let rows: [Row; 21] = [
            ("face", Some(Inherence), NO, None),
            ("fpt", Some(Inherence), NO, None),
            ("geo", None, NO, NO),
            ("hwk", Some(Possession), None, Some(true)),
            ("iris", Some(Inherence), NO, None),
            ("kba", Some(Knowledge), NO, NO),
            ("mca", None, NO, NO),
            ("mfa", None, None, None),
            ("otp", Some(Possession), NO, None),
            ("pin", Some(Knowledge), NO, None),
            ("pop", Some(Possession), None, None),
            ("pwd", Some(Knowledge), NO, NO),
            ("rba", None, NO, NO),
            ("retina", Some(Inherence), NO, None),
            ("sc", Some(Possession), None, Some(true)),
            ("sms", Some(Possession), NO, NO),
            ("swk", Some(Possession), None, NO),
            ("tel", Some(Possession), NO, NO),
            ("user", None, NO, NO),
            ("vbm", Some(Inherence), NO, NO),
            ("wia", None, None, NO),
        ];
        let class = |(value, is, phishing_resistant, hardware): Row| {
            let is = is.into_iter().collect();
            (value.into(), MethodClass { is, may: Classes::NONE, phishing_resistant, hardware })
        };
        Self(rows.into_iter().map(class).collect())
    }

    /// Every value that it knows, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, MethodClass)> {
        self.0.iter().map(|(value, class)| (&**value, *class))
    }

    /// Sets what a value is worth, over what the table said before.
    pub fn set(&mut self, value: &str, class: MethodClass) {
        self.0.insert(value.into(), class);
    }

    /// What a value is worth; `None`: the table does not know it.
    #[must_use]
    pub fn get(&self, value: &str) -> Option<MethodClass> {
        self.0.get(value).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_table_holds_rfc_8176_and_pop_and_nothing_else() {
        let table = MethodTable::rfc8176();
        assert_eq!(table.0.len(), 21);
        assert_eq!(table.get("otp").unwrap().is, Classes::NONE.with(FactorClass::Possession));
        assert_eq!(table.get("mfa").unwrap().is, Classes::NONE, "an assertion, not a factor");
        assert_eq!(table.get("email"), None);
        assert_eq!(table.get("OTP"), None, "values are case-sensitive");
    }
}
