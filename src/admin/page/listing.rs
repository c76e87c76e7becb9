//! `/routes`: what each floor and each route asks, a page at a time, and which exceptions hold there.

use axum::response::Response;
use maud::{Markup, html};

use crate::admin::page::sheet::{MOST, count, moment, names, sheet, until};
use crate::admin::readiness::holding;
use crate::policy::{Condition, Demand, Exception, Floor, Mode, Policy, Requirement, Route};
use crate::telemetry::timestamp::Rfc3339;
use crate::token::Timestamp;

/// How many routes and floors a page shows: so few that a page of the longest policy is made in a moment.
pub(super) const EACH: usize = 100;

/// The number of the last page.
pub(super) fn last_page(policy: &Policy) -> usize {
    policy.floors().len().saturating_add(policy.routes().len()).div_ceil(EACH).max(1)
}

/// A page, counted from 1; `None`: there is none of this number.
pub(super) fn page(policy: &Policy, now: Timestamp, number: usize) -> Option<Response> {
    let last = last_page(policy);
    let before = number.checked_sub(1).filter(|before| *before < last)?.checked_mul(EACH)?;
    let exceptions: Vec<&Exception> = holding(policy, now).collect();
    let (floors, routes) = (policy.floors(), policy.routes());
    let here = floors.iter().skip(before).take(EACH);
    let room = EACH.saturating_sub(here.len());
    let then = routes.iter().enumerate().skip(before.saturating_sub(floors.len())).take(room);
    let (floors_here, routes_here) = (here.len(), then.len());
    let body = html! {
        header {
            h1 { "What each route asks" }
            p.dim {
                (count(routes.len(), "route")) ", " (count(floors.len(), "floor")) ", as of " (moment(Rfc3339(now)))
                ", policy " code { (policy.hash()) }
            }
            p { a href="." { "How the gate is doing" } }
            (turning(number, last))
        }
        main {
            @if routes.is_empty() { p { "There is no route: every request is refused." } }
            @if floors_here > 0 {
                section {
                    h2 { "Floors" }
                    p.dim { "They hold on top of every route that they touch." }
                    @for floor in here { (floor_asks(policy, floor)) }
                }
            }
            @if routes_here > 0 {
                section {
                    h2 { "Routes" }
                    p.dim { "The most specific that matches is taken; what none matches is refused." }
                    @for (place, route) in then {
                        (route_asks(policy, route, exceptions.iter().filter(|one| one.routes.contains(&place)), now))
                    }
                }
            }
        }
        footer { (turning(number, last)) }
    };
    Some(sheet("what each route asks", &body))
}

/// The way to the other pages.
fn turning(number: usize, last: usize) -> Markup {
    let link = |to: usize, name: &str| html! { a href={ "routes?page=" (to) } { (name) } " " };
    html! {
        @if last > 1 {
            nav {
                "Page " (number) " of " (last) ": "
                @if number > 1 { (link(1, "first")) (link(number.saturating_sub(1), "before")) }
                @if number < last { (link(number.saturating_add(1), "next")) (link(last, "last")) }
            }
        }
    }
}

fn floor_asks(policy: &Policy, floor: &Floor) -> Markup {
    html! {
        h3 { (floor.name) }
        p { (floor.matches.text(MOST)) }
        @match &floor.demand {
            None => p { (ANY) },
            Some(demand) => (demanded(policy, demand)),
        }
        @if floor.cors { p.dim { (PREFLIGHTS) } }
    }
}

fn route_asks<'e>(
    policy: &Policy,
    route: &Route,
    exceptions: impl Iterator<Item = &'e &'e Exception>,
    now: Timestamp,
) -> Markup {
    let floors: Vec<&str> =
        route.floors.iter().filter_map(|place| policy.floors().get(*place)).map(|f| &*f.name).collect();
    let exceptions: Vec<&Exception> = exceptions.copied().collect();
    let more = exceptions.len().saturating_sub(MOST);
    html! {
        h3 { (route.name) }
        p { (route.matches.text(MOST)) }
        @if let Some(lets_through) = lets_through(route.mode) {
            p { strong.warn { "mode " (route.mode.name()) } ": " (lets_through) }
        }
        @for one in exceptions.iter().take(MOST) {
            div.loud {
                p { "The exception " strong { (one.name) } " holds here " (until(Rfc3339(one.until), now)) }
                p { "Whom it names is asked, in the place of level, evidence and age:" }
                @match &one.instead {
                    None => p { (ANY) },
                    Some(instead) => (demanded(policy, instead)),
                }
            }
        }
        @if more > 0 { p { strong { "And " (count(more, "more exception")) } ": they are in the policy." } }
        @match &route.require {
            Requirement::Public => p { strong { "public" } ": no token is needed" },
            Requirement::Authenticated => p { (ANY) },
            Requirement::Demands(demand) => (demanded(policy, demand)),
        }
        @if !floors.is_empty() { p { "On floors, where they meet: " (names(floors.into_iter())) } }
        @if route.cors { p.dim { (PREFLIGHTS) } }
    }
}

/// What a route that only observes does with what it would refuse.
const fn lets_through(mode: Mode) -> Option<&'static str> {
    match mode {
        Mode::Enforce => None,
        Mode::Observe => Some("what lacks in level, evidence, age, scope, claims or caller is let through"),
        Mode::ObserveAll => {
            Some("what lacks in anything is let through, and what brings no token that could be believed too")
        }
    }
}

/// All of it must hold.
fn demanded(policy: &Policy, demand: &Demand) -> Markup {
    html! {
        ul {
            @for condition in &demand.conditions { li { (condition.text(policy)) (parts(policy, condition)) } }
            @if !demand.ignore_amr.is_empty() {
                li { "these amr values count for nothing: " (names(demand.ignore_amr.iter().map(|value| &**value))) }
            }
        }
    }
}

fn parts(policy: &Policy, condition: &Condition) -> Markup {
    html! {
        @if let Condition::All(parts) | Condition::Any(parts) = condition {
            ol { @for part in parts { li { (demanded(policy, part)) } } }
        }
    }
}

const ANY: &str = "any valid token";
const PREFLIGHTS: &str = "Browsers' preflights pass without a token.";
