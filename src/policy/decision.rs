//! The outcome: a [`Permit`] that only the decision can make, or a [`Denial`] with all that a challenge and an operator need.

use crate::assurance::{Challenge, Dialect, IssuerId, Rung, Rungs};
use crate::reason::Reason;
use crate::token::{Timestamp, TokenKind};

/// Proof that a request may be forwarded. Nothing outside the policy room can make one.
///
/// ```compile_fail
/// use stepgate::policy::{Grounds, Permit};
/// let forged = Permit { levels: Default::default(), by: None, ignored: Vec::new(), grounds: Grounds::Met };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    pub(in crate::policy) levels: Rungs,
    pub(in crate::policy) by: Option<TokenKind>,
    pub(in crate::policy) ignored: Vec<Box<str>>,
    pub(in crate::policy) grounds: Grounds,
}

/// Why a request may be forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// All that is asked for is met.
    Met,
    /// It brings no token but an identity provider's word that there is none, and the route has such words forwarded
    /// (`on_error: forward`).
    ErrorResponse,
    /// It is a browser's question whether a page of another origin may make a request of this route, which lets such questions
    /// pass (`cors: preflight`).
    Preflight,
    /// It would be refused for this, and the route only observes (`mode`).
    Observed(Box<Denial>),
    /// The route refuses it, and an exception that is named lets it in.
    Excepted(Box<Excepted>),
}

/// By which exception a request is let in that its route refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excepted {
    /// The exception's name.
    pub name: Box<str>,
    /// When it ends.
    pub until: Timestamp,
    /// Why the route itself refuses.
    pub refusal: Denial,
}

impl Permit {
    /// The rungs that the sign-in reached on this route, under all that the route and its floors ignore; one of each ladder at
    /// the most.
    #[must_use]
    pub fn levels(&self) -> &[Rung] {
        &self.levels
    }

    /// Whether this `amr` value counted for nothing here, by the route's or a floor's `ignore_amr`.
    #[must_use]
    pub fn ignores(&self, value: &str) -> bool {
        self.ignored.iter().any(|ignored| **ignored == *value)
    }

    /// The kind of the token whose evidence spoke; `None`: no token was believed, on a public route none is even looked at.
    #[must_use]
    pub fn by(&self) -> Option<TokenKind> {
        self.by
    }

    /// Why it may be forwarded.
    #[must_use]
    pub fn grounds(&self) -> &Grounds {
        &self.grounds
    }

    /// The exception by which it is let in, where the route itself refuses it.
    #[must_use]
    pub fn excepted(&self) -> Option<&Excepted> {
        match &self.grounds {
            Grounds::Excepted(excepted) => Some(excepted),
            Grounds::Met | Grounds::ErrorResponse | Grounds::Preflight | Grounds::Observed(_) => None,
        }
    }

    /// What it would be refused for, did the route enforce what it asks.
    #[must_use]
    pub fn would_deny(&self) -> Option<&Denial> {
        match &self.grounds {
            Grounds::Observed(denial) => Some(denial),
            Grounds::Met | Grounds::ErrorResponse | Grounds::Preflight | Grounds::Excepted(_) => None,
        }
    }
}

/// Why a request is refused, and what would have been enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The first reason, in order of precedence.
    pub reason: Reason,
    /// What exactly lacks, for the operator alone; may be empty. Holds names and evidence, never a token.
    pub detail: String,
    /// What a new sign-in would have to be; `None`: no sign-in would mend it, or there was no token to go by.
    pub step_up: Option<StepUp>,
    /// The scopes that the route asks for, when one of them lacks. Empty otherwise.
    pub scope: Vec<Box<str>>,
    /// The rungs that the token reached.
    pub levels: Vec<Rung>,
    /// The issuer of the token, as far as one is known.
    pub issuer: Option<IssuerId>,
    /// In whose words the client is told of `step_up`.
    pub dialect: Dialect,
}

impl Denial {
    /// A denial for a reason that no requirement was needed to find.
    #[must_use]
    pub fn because(reason: Reason) -> Self {
        let (detail, scope, levels) = (String::new(), Vec::new(), Vec::new());
        Self { reason, detail, step_up: None, scope, levels, issuer: None, dialect: Dialect::default() }
    }
}

/// What a new sign-in would have to be (RFC 9470 section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepUp {
    /// The `acr_values` to ask for, any one of which is enough, in order of preference; `None`: none can be named.
    pub acr_values: Option<Challenge>,
    /// The most seconds since the sign-in that the route allows.
    pub max_age: Option<u32>,
}
