//! Lints of the levels that routes ask for: the highest without an age, and one that no refused client can be told about.

use crate::assurance::{IssuerId, Rung};
use crate::config::lints::look::Places;
use crate::config::lints::walk::{self, Around};
use crate::config::problem::{Problem, Report};
use crate::config::source::Span;
use crate::policy::{Condition, Demand, Floor, Policy, Route};

/// The highest level, asked for without saying how old the sign-in may be: whoever reached it once has it as long as the
/// session lasts.
pub(super) fn without_age(policy: &Policy, places: &Places<'_>, out: &mut Report) {
    let mut main = policy.ladders().rungs().filter(|rung| rung.ladder() == 0);
    let (Some(_), Some(top)) = (main.next(), main.last()) else { return };
    let under = |route: &Route| -> Vec<&Floor> {
        route.floors.iter().filter_map(|place| policy.floors().get(*place)).collect()
    };
    let mut say = |span: Span, name: &str| {
        let message =
            format!("`{name}` asks for `{}`, the highest level, of a sign-in however old", policy.ladders().name(top));
        let help = "say how old it may be: `max_age: 15m`";
        out.add(Problem::lint("max_age_missing", span, message).help(help));
    };
    for (route, spans) in policy.routes().iter().zip(places.routes) {
        let Some(demand) = route.require.demand().filter(|demand| asks_for(demand, top)) else { continue };
        let floors = under(route);
        if !has_age(demand) && !floors.iter().any(|floor| floor.demand.as_ref().is_some_and(has_age)) {
            say(spans.require, &route.name);
        }
    }
    for (place, (floor, spans)) in policy.floors().iter().zip(places.floors).enumerate() {
        let Some(demand) = floor.demand.as_ref().filter(|demand| asks_for(demand, top) && !has_age(demand)) else {
            continue;
        };
        let mut on_it = policy.routes().iter().filter(|route| route.floors.contains(&place));
        let aged = |route: &Route| {
            let floors = under(route);
            route
                .require
                .demand()
                .into_iter()
                .chain(floors.iter().filter_map(|floor| floor.demand.as_ref()))
                .any(has_age)
                || route.require.demand().is_some_and(|own| asks_for(own, top))
        };
        if on_it.any(|route| !aged(route)) && !demand.conditions.is_empty() {
            say(spans.require, &floor.name);
        }
    }
}

fn asks_for(demand: &Demand, top: Rung) -> bool {
    demand.rungs().contains(&top)
}

fn has_age(demand: &Demand) -> bool {
    let mut has = false;
    demand.walk(&mut |condition| has |= matches!(condition, Condition::MaxAge(_)));
    has
}

/// A level that is asked for, and where it first is.
struct Asked<'p> {
    rung: Rung,
    /// The issuers that are admitted there; `None`: all.
    issuers: Option<Vec<IssuerId>>,
    /// The routes and floors that ask for it.
    names: Vec<&'p str>,
    span: Span,
}

impl Asked<'_> {
    fn admits(&self, issuer: IssuerId) -> bool {
        self.issuers.as_ref().is_none_or(|issuers| issuers.contains(&issuer))
    }
}

/// A level of which no issuer that can prove it has an `acr` value to ask for: a client that is refused learns that more
/// is needed, and not how to ask for it. Said once for each level and set of issuers; for all levels at once where those issuers
/// name no `acr` at all.
pub(super) fn unchallengeable(policy: &Policy, places: &Places<'_>, out: &mut Report) {
    let mut asked: Vec<Asked<'_>> = Vec::new();
    for (route, spans) in policy.routes().iter().zip(places.routes) {
        route.require.demand().into_iter().for_each(|demand| gather(&route.name, demand, spans.require, &mut asked));
    }
    for (floor, spans) in policy.floors().iter().zip(places.floors) {
        floor.demand.iter().for_each(|demand| gather(&floor.name, demand, spans.require, &mut asked));
    }
    let mut said: Vec<Unnamed<'_>> = Vec::new();
    for asked in asked {
        let provers = || policy.issuers().iter().filter(|one| asked.admits(one.id) && one.can_prove(asked.rung));
        let Some(first) = provers().next() else { continue };
        if provers().any(|issuer| issuer.challenge(asked.rung).is_some()) {
            continue;
        }
        // Who names no `acr` at all proves by `amr` alone: that is one thing to mend, whatever level is asked for.
        let names_none = provers().all(|issuer| policy.ladders().rungs().all(|rung| issuer.challenge(rung).is_none()));
        let same = |known: &&mut Unnamed<'_>| known.names_none && names_none && known.asked.issuers == asked.issuers;
        match said.iter_mut().find(same) {
            Some(known) => {
                known.rungs.push(asked.rung);
                known.asked.names.extend(
                    asked.names.iter().filter(|name| !known.asked.names.contains(*name)).copied().collect::<Vec<_>>(),
                );
            }
            None => said.push(Unnamed { rungs: vec![asked.rung], names_none, first: &first.name, asked }),
        }
    }
    for Unnamed { asked, mut rungs, first, .. } in said {
        rungs.sort_by_key(|rung| rung.rank());
        let levels: Vec<String> = rungs.iter().map(|rung| format!("`{}`", policy.ladders().name(*rung))).collect();
        let more = match asked.names.len() {
            0 | 1 => String::new(),
            2 => " and one more".to_owned(),
            count => format!(" and {} more", count.saturating_sub(1)),
        };
        let name = asked.names.first().copied().unwrap_or_default();
        let message = format!(
            "whoever `{name}`{more} refuses can't be told what to ask for: nobody has an `acr` value for {}",
            levels.join(" or ")
        );
        let level = rungs.first().map(|rung| policy.ladders().name(*rung)).unwrap_or_default();
        let help = format!("under `{first}`, name what its sign-in is asked with: `challenge: {{ {level}: [..] }}`");
        out.add(Problem::lint("route_unchallengeable", asked.span, message).help(help));
    }
}

/// Levels without a name to ask for them by, as they are said together.
struct Unnamed<'p> {
    asked: Asked<'p>,
    rungs: Vec<Rung>,
    /// Nobody who can prove them names an `acr` for any level.
    names_none: bool,
    /// The first who can prove one.
    first: &'p str,
}

fn gather<'p>(name: &'p str, demand: &Demand, span: Span, asked: &mut Vec<Asked<'p>>) {
    let mut here: Vec<(Rung, Option<Vec<IssuerId>>)> = Vec::new();
    walk::parts(demand, &Around::default(), &mut |part, around| {
        let names_acr =
            |condition: &Condition| matches!(condition, Condition::Evidence(own) if !own.acr_values().is_empty());
        if part.conditions.iter().any(names_acr) {
            return;
        }
        for condition in &part.conditions {
            // What another axis says of a user, a new sign-in seldom changes.
            if let Condition::Level(rung) = condition
                && rung.ladder() == 0
                && !here.iter().any(|(known, issuers)| known == rung && *issuers == around.issuers)
            {
                here.push((*rung, around.issuers.clone()));
            }
        }
    });
    for (rung, issuers) in here {
        match asked.iter_mut().find(|known| known.rung == rung && known.issuers == issuers) {
            Some(known) => known.names.push(name),
            None => asked.push(Asked { rung, issuers, names: vec![name], span }),
        }
    }
}
