//! Whether an issuer can prove a rung at all: some proof of it, or of a stronger one, must be able to hold.

use crate::assurance::expression::{Expression, Source};
use crate::assurance::issuer::Issuer;
use crate::assurance::level::Rung;
use crate::assurance::mapping::ValueMapping;

impl Issuer {
    /// Whether some token of this issuer could reach the rung.
    #[must_use]
    pub fn can_prove(&self, rung: Rung) -> bool {
        self.proofs_of(rung).any(|proof| can_be(&proof.evidence, true, self))
    }
}

/// Whether an expression could certainly hold, or (`holds` false) certainly fail, for some token of the issuer. Never
/// says no where a token exists.
fn can_be(expression: &Expression, holds: bool, issuer: &Issuer) -> bool {
    let ignored = |value: &str| issuer.ignore_amr.iter().any(|one| **one == *value);
    let known = expression.source().is_none_or(|source| is_known(issuer, source));
    known
        && match (expression, holds) {
            (Expression::All(parts), true) | (Expression::Any(parts), false) => {
                parts.iter().all(|part| can_be(part, holds, issuer))
            }
            (Expression::All(parts), false) | (Expression::Any(parts), true) => {
                parts.iter().any(|part| can_be(part, holds, issuer))
            }
            (Expression::Not(part), _) => can_be(part, !holds, issuer),
            (Expression::AmrAny(values), true) => !values.iter().all(|value| ignored(value)),
            (Expression::AmrAll(values), true) => !values.iter().any(|value| ignored(value)),
            (
                Expression::Acr(_)
                | Expression::AcrAtLeast(_)
                | Expression::AmrAny(_)
                | Expression::AmrAll(_)
                | Expression::AmrNone(_)
                | Expression::AmrOnly(_)
                | Expression::AmrCount(_)
                | Expression::Factors(_)
                | Expression::PhishingResistant
                | Expression::Hardware
                | Expression::Claim(..)
                | Expression::Present(_),
                _,
            ) => true,
        }
}

/// Whether the issuer is believed about an evidence claim and it can come from anywhere.
fn is_known(issuer: &Issuer, source: Source) -> bool {
    let speaks = |mapping: &ValueMapping| mapping.trusted && (!mapping.from.is_empty() || mapping.absent.is_some());
    match source {
        Source::Acr => speaks(&issuer.mapping.acr),
        Source::Amr => speaks(&issuer.mapping.amr),
    }
}
