//! Which sign-in would have been let in: not guessed from the policy, but tried on the decision itself.
//!
//! Never on the way of a request: it may take a few thousand decisions to find one, or to find none.

use crate::assurance::expression::Expression;
use crate::assurance::{Assurance, Challenge, Evidence, Issuer};
use crate::policy::Policy;
use crate::policy::decision::Denial;
use crate::policy::evaluate::shortfall::by_sign_in;
use crate::policy::evaluate::{Tokens, decide};
use crate::policy::exception::{self, except};
use crate::policy::pattern::Target;
use crate::policy::requirement::{Condition, Demand};
use crate::policy::route::Route;
use crate::token::{ClaimPath, Json, Timestamp};

/// A new sign-in of the same user that would be let in, made now: like the one that was refused in all that is not named here.
#[derive(Clone, Debug, PartialEq)]
pub struct Mend {
    /// The `acr` that it would have; `None`: what it had.
    pub acr: Option<Box<str>>,
    /// The `amr` values; `None`: what it had.
    pub amr: Option<Vec<Box<str>>>,
    /// The scopes that its token would need too, where some lack.
    pub scopes: Vec<Box<str>>,
    /// The claims in which this issuer would say so, the time of the sign-in among them where it is read.
    pub claims: Vec<(ClaimPath, Json)>,
}

/// The most decisions that are tried.
const MOST: usize = 4_000;
/// The most `acr` values, and kinds of methods, that are combined.
const MOST_ACR: usize = 16;
const MOST_METHODS: usize = 14;

/// A sign-in that would mend a refusal; `None` where the decision does not ask for one, or none was found. The arguments are
/// those of [`decide`].
#[must_use]
pub fn mend(policy: &Policy, route: &Route, target: &Target<'_>, tokens: Tokens<'_>, now: Timestamp) -> Option<Mend> {
    let denial = decide(policy, route, target, Some(tokens), now).err()?;
    denial.step_up.as_ref().filter(|_| by_sign_in(denial.reason))?;
    let (Tokens::One(main) | Tokens::Pair { access: main, .. }) = tokens;
    let issuer = policy.issuer(main.issuer)?;
    let search = Search { policy, route, target, tokens, now, issuer, scopes: &denial.scope };
    let acr = search.acr_values(&denial);
    let amr = search.amr_lists();
    let none: Option<&[&str]> = None;
    // What changes least comes first: age alone, `acr`, `amr`, both.
    let by_acr = acr.iter().map(|acr| (Some(&**acr), none));
    let by_amr = amr.iter().map(|amr| (None, Some(amr.as_slice())));
    let both = acr.iter().flat_map(|acr| amr.iter().map(move |amr| (Some(&**acr), Some(amr.as_slice()))));
    let tries = std::iter::once((None, none)).chain(by_acr).chain(by_amr).chain(both);
    tries.take(MOST).find_map(|(acr, amr)| search.tried(acr, amr))
}

struct Search<'s> {
    policy: &'s Policy,
    route: &'s Route,
    target: &'s Target<'s>,
    tokens: Tokens<'s>,
    now: Timestamp,
    issuer: &'s Issuer,
    scopes: &'s [Box<str>],
}

impl<'s> Search<'s> {
    fn tokens(&self) -> impl Iterator<Item = &'s Assurance> + use<'s> {
        let (one, other) = match self.tokens {
            Tokens::One(one) => (one, None),
            Tokens::Pair { access, id } => (access, Some(id)),
        };
        std::iter::once(one).chain(other)
    }

    /// This sign-in, if it is let in.
    fn tried(&self, acr: Option<&str>, amr: Option<&[&str]>) -> Option<Mend> {
        let mut claims: Vec<(ClaimPath, Json)> = Vec::new();
        if let Some(acr) = acr {
            let (path, value) = self.issuer.mapping.acr.written(&[acr])?;
            claims.push((path.clone(), value));
        }
        if let Some(amr) = amr {
            let (path, value) = self.issuer.mapping.amr.written(amr)?;
            claims.push((path.clone(), value));
        }
        if let Some(path) = self.issuer.auth_time_claim() {
            claims.push((path.clone(), Json::Number(self.now.seconds().into())));
        }
        let made: Vec<Assurance> = self.tokens().map(|token| self.signed_in(token, &claims, acr, amr)).collect();
        let tokens = match made.as_slice() {
            [one] => Tokens::One(one),
            [access, id] => Tokens::Pair { access, id },
            _ => return None,
        };
        let Self { policy, route, target, now, .. } = *self;
        let decided = decide(policy, route, target, Some(tokens), now);
        decided.or_else(|refusal| except(policy, route, target, Some(tokens), now, refusal)).ok()?;
        let own = |values: &[&str]| values.iter().map(|value| Box::from(*value)).collect();
        Some(Mend { acr: acr.map(Box::from), amr: amr.map(own), scopes: self.scopes.to_vec(), claims })
    }

    /// A token as it would be after this sign-in, as its issuer's mapping reads it.
    fn signed_in(
        &self,
        token: &Assurance,
        claims: &[(ClaimPath, Json)],
        acr: Option<&str>,
        amr: Option<&[&str]>,
    ) -> Assurance {
        let said = claims.iter().fold(Json::object([]), |said, (path, value)| path.put(said, value.clone()));
        let read = self.issuer.evidence(&said, true);
        let before = token.evidence.clone();
        let evidence = Evidence {
            acr: if acr.is_some() { read.acr } else { before.acr },
            amr: if amr.is_some() { read.amr } else { before.amr },
            auth_time: if self.issuer.auth_time_claim().is_some() { read.auth_time } else { before.auth_time },
            reading: before.reading,
        };
        let scopes = token.scopes.iter().chain(self.scopes).cloned().collect();
        Assurance { evidence, scopes, ..token.clone() }
    }

    /// The `acr` values worth trying, those first that the client is asked to get.
    fn acr_values(&self, denial: &Denial) -> Vec<Box<str>> {
        let mut values: Vec<Box<str>> = Vec::new();
        let asked = denial.step_up.as_ref().and_then(|step_up| step_up.acr_values.as_ref());
        if let Some(Challenge::Listed(theirs) | Challenge::Derived(theirs)) = asked {
            values.extend(theirs.iter().map(|value| Box::from(self.issuer.mapping.acr.renamed(value))));
        }
        self.expressions(&mut |expression| {
            if let Expression::Acr(named) = expression {
                values.extend(named.iter().cloned());
            } else if let Expression::AcrAtLeast(least) = expression {
                values.push(least.to_string().into());
            }
        });
        unique(values, MOST_ACR)
    }

    /// The lists of methods worth trying: those named, and those that stand for each kind of method there is.
    fn amr_lists(&self) -> Vec<Vec<&'s str>> {
        let had: Vec<&str> = self
            .tokens()
            .filter_map(|token| token.evidence.amr.known())
            .flat_map(|methods| methods.iter().map(|method| &*method.value))
            .collect();
        let mut named: Vec<&str> = Vec::new();
        let mut lists: Vec<Vec<&str>> = Vec::new();
        self.expressions(&mut |expression| {
            if let Expression::AmrAll(values) | Expression::AmrOnly(values) = expression {
                lists.push(values.iter().map(|value| &**value).collect());
            }
            if let Expression::AmrAll(values) | Expression::AmrOnly(values) | Expression::AmrAny(values) = expression {
                named.extend(values.iter().map(|value| &**value));
            }
        });
        // One of each kind is as good as another of it, but what the user did already comes first, then what is named.
        let mut kinds = Vec::new();
        let known = self.issuer.methods.iter().map(|(value, _)| value);
        let mut methods: Vec<&str> = Vec::new();
        for value in had.iter().copied().chain(named.iter().copied()).chain(known) {
            let kind = self.issuer.methods.get(value).unwrap_or_default();
            let is_new = named.contains(&value) || !kinds.contains(&kind);
            if is_new && !methods.contains(&value) && self.counts(value) {
                kinds.push(kind);
                methods.push(value);
            }
        }
        methods.truncate(MOST_METHODS);
        lists.extend(methods.iter().map(|value| had.iter().copied().chain([*value]).collect()));
        lists.extend(methods.iter().map(|value| vec![*value]));
        for (place, one) in methods.iter().enumerate() {
            let after = methods.iter().enumerate().skip(place.saturating_add(1));
            lists.extend(after.clone().map(|(_, other)| vec![*one, *other]));
            for (second, other) in after {
                lists.extend(methods.iter().skip(second.saturating_add(1)).map(|third| vec![*one, *other, *third]));
            }
        }
        lists
    }

    /// Whether a value can count for anything at this issuer.
    fn counts(&self, value: &str) -> bool {
        !self.issuer.ignore_amr.iter().any(|ignored| **ignored == *value)
    }

    /// Every expression that has a say in it.
    fn expressions(&self, visit: &mut dyn FnMut(&'s Expression)) {
        self.issuer.proofs.iter().for_each(|proof| proof.evidence.walk(visit));
        let floors = self.policy.floors_under(self.route, self.target).filter_map(|floor| floor.demand.as_ref());
        let instead = exception::on(self.policy, self.route).filter_map(|exception| exception.instead.as_ref());
        let demands: Vec<&'s Demand> = self.route.require.demand().into_iter().chain(floors).chain(instead).collect();
        for demand in demands {
            demand.walk(&mut |condition| {
                if let Condition::Evidence(expression) = condition {
                    expression.walk(visit);
                }
            });
        }
    }
}

fn unique(values: Vec<Box<str>>, most: usize) -> Vec<Box<str>> {
    let mut once: Vec<Box<str>> = Vec::new();
    for value in values {
        if !once.contains(&value) && once.len() < most {
            once.push(value);
        }
    }
    once
}
