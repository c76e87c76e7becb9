//! Lints of exceptions: those that lift nothing, and those that lift all that is asked of a sign-in.

use crate::config::lints::asks::Asks;
use crate::config::lints::look::Places;
use crate::config::problem::{Problem, Report};
use crate::policy::{Condition, Exception, Policy, Requirement, Route};

pub(super) fn check(policy: &Policy, places: &Places<'_>, out: &mut Report) {
    for (exception, spans) in policy.exceptions().iter().zip(places.exceptions) {
        for (place, span) in exception.routes.iter().zip(&spans.routes) {
            let Some(route) = policy.routes().get(*place) else { continue };
            if let Some((why, help)) = idle(policy, exception, route) {
                let message = format!("the exception `{}` changes nothing here: {why}", exception.name);
                out.add(Problem::lint("exception_idle", *span, message).help(help));
            }
        }
        if exception.instead.is_none() && !exception.who.subjects.is_empty() {
            let message = format!("the exception `{}` asks nothing of how its persons signed in", exception.name);
            let help = "ask for what they can still prove: `instead: { level: single-factor, max_age: 8h }`";
            out.add(Problem::lint("exception_any_token", spans.instead, message).help(help));
        }
    }
}

/// Why an exception certainly lets nobody in on a route whom the route refuses, and what to do.
fn idle(policy: &Policy, exception: &Exception, route: &Route) -> Option<(String, &'static str)> {
    let name = &route.name;
    if !exception.sets_aside(&route.require) {
        let why = format!("the route `{name}` asks nothing of how users sign in");
        return Some((
            why,
            "take the route out; an exception is a way around level, evidence and age, and around nothing else",
        ));
    }
    let conditions = route.require.demand().map(|demand| &*demand.conditions).unwrap_or_default();
    let refuses =
        |condition: &Condition| matches!(condition, Condition::Issuers(ids) if !ids.contains(&exception.who.issuer));
    if conditions.iter().any(refuses) {
        let issuer = policy.issuer(exception.who.issuer).map_or("", |issuer| &issuer.name);
        let why = format!("the route `{name}` takes no token of `{issuer}`");
        return Some((why, "take the route out, or name an issuer that it takes"));
    }
    let instead = exception.instead.clone().map(Requirement::Demands)?;
    let why = || format!("what it asks instead is no less than what the route `{name}` asks");
    let as_strong = Asks::of(&instead).is_as_strong_as(&Asks::of(&route.require));
    as_strong.then(|| (why(), "ask for less, or take the route out"))
}
