//! Where a request stands when its route's own demand is set aside: on its floors alone.

use crate::assurance::Rungs;
use crate::policy::Policy;
use crate::policy::evaluate::{Case, Tokens};
use crate::policy::pattern::Target;
use crate::policy::route::Route;
use crate::token::{Timestamp, TokenKind};

/// What a token whose evidence is enough for every floor proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Footing {
    /// The rungs that it reached, under all that the route and its floors ignore.
    pub(in crate::policy) levels: Rungs,
    /// Its kind.
    pub(in crate::policy) by: TokenKind,
    /// The `amr` values that count for nothing.
    pub(in crate::policy) ignored: Vec<Box<str>>,
}

/// The token with which every floor under this request holds; of two the one that comes further on the route itself.
/// `None`: there is no such token.
pub(in crate::policy) fn footing(
    policy: &Policy,
    route: &Route,
    target: &Target<'_>,
    tokens: Tokens<'_>,
    now: Timestamp,
) -> Option<Footing> {
    let (main, second) = match tokens {
        Tokens::One(token) => (token, None),
        Tokens::Pair { access, id } => (access, Some(id)),
    };
    let issuer = policy.issuer(main.issuer)?;
    if second.is_some_and(|second| second.issuer != main.issuer) {
        return None;
    }
    let case = |witness| Case { policy, route, target, issuer, main, witness, now };
    let cases = [Some(case(main)), second.map(case)];
    let standing = cases.iter().flatten().filter(|case| case.stands());
    let further = |best, next| if rank(next) > rank(best) { next } else { best };
    let case = standing.reduce(further)?;
    let ignored = case.ignored();
    Some(Footing { levels: case.levels_under(&ignored), by: case.witness.kind, ignored })
}

/// How far a token comes on the route itself.
fn rank<'c>(case: &'c Case<'c>) -> impl PartialOrd + use<> {
    let short = case.shortfall();
    case.rank(&short)
}

impl Case<'_> {
    /// Whether all floors hold by this one token.
    fn stands(&self) -> bool {
        self.floors().all(|(demand, place)| self.demand_holds(demand, place))
    }
}
