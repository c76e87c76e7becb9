//! "How strongly was this person authenticated?" A verified token in, [`Assurance`] out.
//!
//! Everything here is per issuer: which claims carry evidence, what values mean, what proves a level. Called by `policy`
//! and `verification`. Never knows HTTP, routes or the clock.

pub mod claims;
mod common;
pub mod dialect;
pub mod evidence;
pub mod expression;
pub mod issuer;
pub mod level;
pub mod list;
pub mod mapping;
pub mod methods;
pub mod pair;
mod provable;
pub mod retrace;
pub mod truth;

pub use claims::{ClaimFacts, ClaimSlot, ClaimTable};
pub use dialect::Dialect;
pub use evidence::{Evidence, Fact, Method, Reading};
pub use expression::{Expression, Source, View};
pub use issuer::{Assurance, Caller, Challenge, Issuer, IssuerId, ListedChallenge, Pair, Proof};
pub use level::{Ladder, Ladders, Rung, Rungs};
pub use list::List;
pub use methods::{Classes, FactorClass, MethodClass, MethodTable};
pub use retrace::{Looked, Retraced, classes_counted};
pub use truth::Truth;
