//! Evidence: what a verified token says of the sign-in, after mapping.

use crate::assurance::list::List;
use crate::assurance::methods::MethodClass;
use crate::token::Timestamp;

/// A piece of evidence: known, absent, or there but unreadable. The three are never mixed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact<T> {
    /// The issuer says it.
    Known(T),
    /// No source has it, or the policy does not trust it.
    Absent,
    /// A source has it with the wrong JSON type. Nothing stands in for it.
    Malformed,
}

impl<T> Fact<T> {
    /// The value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Malformed => None,
        }
    }

    /// The same of what is made of the value, if it is known.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Known(value) => Fact::Known(make(value)),
            Self::Absent => Fact::Absent,
            Self::Malformed => Fact::Malformed,
        }
    }

    /// Whether nothing says it.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Whether it is there and unreadable.
    pub fn is_malformed(&self) -> bool {
        matches!(self, Self::Malformed)
    }
}

/// One `amr` value of a token, with what it is worth at its issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// The value after renaming.
    pub value: Box<str>,
    /// What it is worth; nothing for a value without a class.
    pub class: MethodClass,
    /// Whether the issuer's `ignore_amr` lists it, so that it counts for nothing anywhere.
    pub ignored: bool,
}

/// What a verified token says of the sign-in, after mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// `acr`: a set, usually of one.
    pub acr: Fact<List<Box<str>>>,
    /// `amr`, as the issuer sent it (ignored values are marked, not removed).
    pub amr: Fact<List<Method>>,
    /// When the user signed in.
    pub auth_time: Fact<Timestamp>,
    /// How `mfa` and `may` count at this issuer.
    pub reading: Reading,
}

/// How an issuer's `amr` is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// `user_verification: trusted`: the `may` classes count.
    pub user_verification_trusted: bool,
    /// `mfa: derived`: an `mfa` that the other values don't bear out counts for nothing.
    pub mfa_derived: bool,
}
