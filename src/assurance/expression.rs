//! Evidence expressions: the one language of `proves` and of a route's own demands.

use smallvec::SmallVec;

use crate::assurance::claims::{ClaimFacts, ClaimSlot};
use crate::assurance::evidence::{Evidence, Fact, Method};
use crate::assurance::methods::Classes;
use crate::assurance::truth::Truth;
use crate::token::Json;

/// A statement about a sign-in. Built by `config` alone, so that lists in it are never empty.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// All of them.
    All(Box<[Expression]>),
    /// At least one of them.
    Any(Box<[Expression]>),
    /// The opposite; of what is unknown, unknown.
    Not(Box<Expression>),
    /// `acr` has one of these values, byte for byte.
    Acr(Box<[Box<str>]>),
    /// `acr` is a decimal number of ASCII digits and at least this.
    AcrAtLeast(u64),
    /// `amr` has at least one of these that counts.
    AmrAny(Box<[Box<str>]>),
    /// `amr` has each of these, and each counts.
    AmrAll(Box<[Box<str>]>),
    /// `amr`, before anything is ignored, has none of these.
    AmrNone(Box<[Box<str>]>),
    /// `amr`, before anything is ignored, has nothing but these.
    AmrOnly(Box<[Box<str>]>),
    /// `amr`, before anything is ignored, has at least so many different values.
    AmrCount(usize),
    /// So many distinct factor classes, 1 to 3.
    Factors(u32),
    /// One of the methods that count is phishing-resistant.
    PhishingResistant,
    /// One of the methods that count keeps its key in hardware.
    Hardware,
    /// A claim has one of these values (same JSON type); an array contains one.
    Claim(ClaimSlot, Box<[Json]>),
    /// A claim is there. An absent one is unknown here too, so that `not` of this lets nobody in.
    Present(ClaimSlot),
}

/// The claims that carry evidence of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// `acr`.
    Acr,
    /// `amr`.
    Amr,
}

/// What an expression is evaluated against: one token's evidence and claims, less what this place ignores.
#[derive(Clone, Copy, Debug)]
pub struct View<'t> {
    /// The evidence.
    pub evidence: &'t Evidence,
    /// The claims that the policy reads.
    pub claims: &'t ClaimFacts,
    /// What the place that asks ignores, over the issuer's own `ignore_amr`.
    pub ignored: Option<&'t Ignored<'t>>,
}

/// The `ignore_amr` of a demand and of those around it.
#[derive(Clone, Copy, Debug)]
pub struct Ignored<'t> {
    /// The demand's own.
    pub values: &'t [Box<str>],
    /// Those around it.
    pub outer: Option<&'t Ignored<'t>>,
}

impl Ignored<'_> {
    fn is_empty(&self) -> bool {
        self.values.is_empty() && self.outer.is_none_or(Self::is_empty)
    }

    fn has(&self, value: &str) -> bool {
        self.values.iter().any(|ignored| **ignored == *value) || self.outer.is_some_and(|outer| outer.has(value))
    }
}

/// The value that asserts several factors without naming them (RFC 8176 section 2).
const MFA: &str = "mfa";

impl<'t> View<'t> {
    fn is_ignored(&self, method: &Method) -> bool {
        method.ignored || self.ignored.is_some_and(|ignored| ignored.has(&method.value))
    }

    /// The methods that are left when ignored values are taken away; `mfa` is still among them.
    fn left(&self, methods: &'t [Method]) -> impl Iterator<Item = &'t Method> {
        let view = *self;
        methods.iter().filter(move |method| !view.is_ignored(method))
    }

    /// The distinct classes that certainly, and that possibly, took part.
    pub(in crate::assurance) fn classes(&self, methods: &'t [Method]) -> (Classes, Classes) {
        let trusted = self.evidence.reading.user_verification_trusted;
        self.left(methods).fold((Classes::NONE, Classes::NONE), |(certain, possible), method| {
            let both = method.class.is.and(method.class.may);
            (certain.and(if trusted { both } else { method.class.is }), possible.and(both))
        })
    }

    /// Whether a value counts here. `mfa` beside an ignored value, and any `mfa` of an issuer with `mfa: derived`, counts
    /// only if the other values bear it out.
    fn counts(&self, methods: &'t [Method], value: &str) -> bool {
        // Mostly nothing is ignored here but what the issuer ignores: asked once, and not of each value of a long list.
        if self.ignored.is_none_or(Ignored::is_empty) {
            self.counts_beside(methods, value, |method| method.ignored)
        } else {
            self.counts_beside(methods, value, |method| self.is_ignored(method))
        }
    }

    fn counts_beside(&self, methods: &'t [Method], value: &str, is_ignored: impl Fn(&Method) -> bool) -> bool {
        if !methods.iter().any(|method| *method.value == *value && !is_ignored(method)) {
            return false;
        }
        if value != MFA {
            return true;
        }
        let doubted = self.evidence.reading.mfa_derived || methods.iter().any(is_ignored);
        !doubted || self.classes(methods).0.count() >= 2
    }

    fn acr(&self, holds: impl Fn(&str) -> bool) -> Truth {
        match &self.evidence.acr {
            Fact::Known(values) => values.iter().any(|value| holds(value)).into(),
            Fact::Absent | Fact::Malformed => Truth::Unknown,
        }
    }

    fn amr(&self, holds: impl Fn(&'t [Method]) -> Truth) -> Truth {
        match &self.evidence.amr {
            Fact::Known(methods) => holds(methods),
            Fact::Absent | Fact::Malformed => Truth::Unknown,
        }
    }

    fn factors(&self, methods: &'t [Method], needed: u32) -> Truth {
        let (certain, possible) = self.classes(methods);
        if certain.count() >= needed {
            Truth::True
        } else if possible.count() >= needed {
            Truth::Unknown
        } else {
            Truth::False
        }
    }

    /// Whether a method that counts has a trait; unknown while one may have it.
    fn some(&self, methods: &'t [Method], has: impl Fn(&Method) -> Option<bool>) -> Truth {
        Truth::any(self.left(methods).map(|method| has(method).map_or(Truth::Unknown, Truth::from)))
    }
}

impl Expression {
    /// Whether this holds of a token's evidence and claims.
    #[must_use]
    pub fn evaluate(&self, view: &View<'_>) -> Truth {
        match self {
            Self::All(parts) => Truth::all(parts.iter().map(|part| part.evaluate(view))),
            Self::Any(parts) => Truth::any(parts.iter().map(|part| part.evaluate(view))),
            Self::Not(part) => !part.evaluate(view),
            Self::Acr(values) => view.acr(|acr| values.iter().any(|value| **value == *acr)),
            Self::AcrAtLeast(least) => view.acr(|acr| number(acr).is_some_and(|number| number >= *least)),
            Self::AmrAny(values) => view.amr(|methods| values.iter().any(|value| view.counts(methods, value)).into()),
            Self::AmrAll(values) => view.amr(|methods| values.iter().all(|value| view.counts(methods, value)).into()),
            Self::AmrNone(values) => view.amr(|methods| (!methods.iter().any(|m| values.contains(&m.value))).into()),
            Self::AmrOnly(values) => view.amr(|methods| methods.iter().all(|m| values.contains(&m.value)).into()),
            Self::AmrCount(least) => view.amr(|methods| (distinct(methods) >= *least).into()),
            Self::Factors(needed) => view.amr(|methods| view.factors(methods, *needed)),
            Self::PhishingResistant => view.amr(|methods| view.some(methods, |m| m.class.phishing_resistant)),
            Self::Hardware => view.amr(|methods| view.some(methods, |m| m.class.hardware)),
            Self::Claim(slot, wanted) => view.claims.get(*slot).map_or(Truth::Unknown, |claim| {
                let is_wanted = |value: &Json| wanted.iter().any(|wanted| wanted.same(value));
                match claim.as_array() {
                    Some(items) => items.iter().any(is_wanted).into(),
                    None => is_wanted(claim).into(),
                }
            }),
            Self::Present(slot) => view.claims.get(*slot).map_or(Truth::Unknown, |_| Truth::True),
        }
    }

    /// Calls `visit` for this and every expression inside it, in the order in which they were written.
    pub fn walk<'e>(&'e self, visit: &mut dyn FnMut(&'e Self)) {
        visit(self);
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.walk(visit)),
            Self::Not(part) => part.walk(visit),
            Self::Acr(_)
            | Self::AcrAtLeast(_)
            | Self::AmrAny(_)
            | Self::AmrAll(_)
            | Self::AmrNone(_)
            | Self::AmrOnly(_)
            | Self::AmrCount(_)
            | Self::Factors(_)
            | Self::PhishingResistant
            | Self::Hardware
            | Self::Claim(..)
            | Self::Present(_) => {}
        }
    }

    /// The evidence claim that this very node reads.
    #[must_use]
    pub fn source(&self) -> Option<Source> {
        match self {
            Self::Acr(_) | Self::AcrAtLeast(_) => Some(Source::Acr),
            Self::AmrAny(_)
            | Self::AmrAll(_)
            | Self::AmrNone(_)
            | Self::AmrOnly(_)
            | Self::AmrCount(_)
            | Self::Factors(_)
            | Self::PhishingResistant
            | Self::Hardware => Some(Source::Amr),
            Self::All(_) | Self::Any(_) | Self::Not(_) | Self::Claim(..) | Self::Present(_) => None,
        }
    }

    /// The evidence claims that it depends on, in the order in which it names them, each once.
    #[must_use]
    pub fn consults(&self) -> SmallVec<[Source; 2]> {
        let mut sources = SmallVec::new();
        self.walk(&mut |part| {
            if let Some(source) = part.source().filter(|source| !sources.contains(source)) {
                sources.push(source);
            }
        });
        sources
    }

    /// The `acr` values that it names as good, in the order in which it names them; what stands under `not` is left out.
    #[must_use]
    pub fn acr_values(&self) -> Vec<Box<str>> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::acr_values).collect(),
            Self::Acr(values) => values.to_vec(),
            Self::AcrAtLeast(least) => vec![least.to_string().into()],
            Self::Not(_)
            | Self::AmrAny(_)
            | Self::AmrAll(_)
            | Self::AmrNone(_)
            | Self::AmrOnly(_)
            | Self::AmrCount(_)
            | Self::Factors(_)
            | Self::PhishingResistant
            | Self::Hardware
            | Self::Claim(..)
            | Self::Present(_) => Vec::new(),
        }
    }
}

/// A decimal number of ASCII digits and nothing else: no sign, no space, no fraction. What is past a `u64` counts as the
/// largest, so that any number at all is at least what it is at least.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn distinct(methods: &[Method]) -> usize {
    let mut values: Vec<&str> = methods.iter().map(|method| &*method.value).collect();
    values.sort_unstable();
    values.dedup();
    values.len()
}
