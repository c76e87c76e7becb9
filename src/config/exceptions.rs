//! `exceptions`: a named person's or client's way around a route's level, for a few days.
//!
//! It can say nothing of tokens, scopes, audience, caller or binding: there are no keys for that, and what the route asks of
//! them holds on. The core sees to it that an exception holds for at most [`LONGEST`] before its end; here, where somebody has
//! a clock, one that would begin later is refused, so that nobody relies on it.

use crate::assurance::IssuerId;
use crate::config::moment;
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::requirement::Requirements;
use crate::config::routes::Spans;
use crate::config::source::Span;
use crate::config::unique::unique_names;
use crate::config::yaml::Node;
use crate::policy::exception::LONGEST;
use crate::policy::{Demand, Exception, Route, Standing, Who};
use crate::token::Timestamp;

const EXCEPTION: Keys =
    Keys { what: "an exception", known: &["name", "who", "routes", "instead", "until", "because"], later: &[] };
const WHO: Keys = Keys { what: "`who`", known: &["issuer", "subjects", "clients"], later: &[] };
const INSTEAD: Keys = Keys {
    what: "`instead`",
    known: &["level", "max_age", "acr", "amr", "factors", "phishing_resistant", "hardware"],
    later: &[],
};

/// Where the parts of an exception stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionSpans {
    /// Its name.
    pub name: Span,
    /// What it asks instead.
    pub instead: Span,
    /// Each of its routes, in the order in which it names them.
    pub routes: Vec<Span>,
}

/// What an exception is held against.
#[derive(Clone, Debug)]
pub(super) struct Around<'a> {
    /// The names of the routes, in their order.
    routes: Vec<&'a str>,
    /// Whether these are all: with a route unread nobody knows what its name is.
    all: bool,
    /// The time, where somebody has a clock.
    now: Option<Timestamp>,
}

impl<'a> Around<'a> {
    /// `written`: how many routes there are, whether or not they could be read.
    pub(super) fn of(routes: &'a [(Route, Spans)], written: usize, now: Option<Timestamp>) -> Self {
        let all = routes.len() == written;
        Self { routes: routes.iter().map(|(route, _)| &*route.name).collect(), all, now }
    }
}

/// Reads all exceptions.
pub(super) fn read_all(
    nodes: &[&Node],
    around: &Around<'_>,
    needs: &mut Requirements<'_>,
) -> (Vec<Exception>, Vec<ExceptionSpans>) {
    let (exceptions, spans): (Vec<Exception>, Vec<ExceptionSpans>) =
        nodes.iter().filter_map(|node| read(node, around, needs)).unzip();
    let names = exceptions.iter().map(|one| &one.name).zip(spans.iter().map(|one| one.name));
    unique_names(names, "exception", needs.out);
    (exceptions, spans)
}

fn read(node: &Node, around: &Around<'_>, needs: &mut Requirements<'_>) -> Option<(Exception, ExceptionSpans)> {
    let fields = Fields::of(node, EXCEPTION, needs.out)?;
    let mut named = |key, what| {
        let node = fields.required(key, needs.out)?;
        reader::text(node, what, needs.out).map(|text| (Box::<str>::from(text), node.span))
    };
    let (name, because) = (named("name", "an exception's name"), named("because", "a reason"));
    let who = fields.required("who", needs.out).and_then(|node| who(node, needs));
    let routes = fields.required("routes", needs.out).and_then(|node| routes(node, around, needs.out));
    let instead_node = fields.required("instead", needs.out);
    let instead = instead_node.and_then(|node| instead(node, who.as_ref(), needs));
    let until_node = fields.required("until", needs.out);
    let until = until_node.and_then(|node| moment::read(node, needs.out));
    let ((name, name_span), (because, _), (routes, route_spans)) = (name?, because?, routes?);
    let until_written = until_node.and_then(reader::word_or_text)?.into();
    let exception =
        Exception { name, who: who?, routes: routes.into(), instead: instead?, until: until?, until_written, because };
    if let Some(now) = around.now {
        is_on(&exception, until_node?.span, now, needs.out);
    }
    Some((exception, ExceptionSpans { name: name_span, instead: instead_node?.span, routes: route_spans }))
}

fn is_on(exception: &Exception, span: Span, now: Timestamp, out: &mut Report) {
    let Exception { name, until_written, .. } = exception;
    match exception.standing(now) {
        Standing::InForce => {}
        Standing::Over => {
            let message = format!("the exception `{name}` ended at {until_written}, and does nothing any more");
            out.add(Problem::lint("exception_over", span, message).help("take it out"));
        }
        Standing::Ahead => {
            let days = LONGEST / 86_400;
            let message = format!("`{until_written}` is more than {days} days ahead, and an exception is for days");
            let help = "let it end within them, and renew it where that is not enough; what is to stay belongs into the route's `require`";
            out.add(Problem::error("exception_too_long", span, message).help(help));
        }
    }
}

fn who(node: &Node, needs: &mut Requirements<'_>) -> Option<Who> {
    let fields = Fields::of(node, WHO, needs.out)?;
    let issuer = fields.required("issuer", needs.out).and_then(|node| issuer(node, needs));
    if !fields.has("subjects") && !fields.has("clients") {
        let message = "`who` names nobody, and an exception is never for everybody";
        let help = "add `subjects: [..]` for persons, `clients: [..]` for clients that act for themselves";
        needs.out.add(Problem::error("exception_for_all", node.span, message).help(help));
        return None;
    }
    let mut names = |key, what| match fields.has(key) {
        true => reader::texts(fields.get(key, needs.out)?, what, needs.out),
        false => Some(Box::default()),
    };
    let (subjects, clients) = (names("subjects", "a list of subjects"), names("clients", "a list of client ids"));
    Some(Who { issuer: issuer?, subjects: subjects?, clients: clients? })
}

fn issuer(node: &Node, needs: &mut Requirements<'_>) -> Option<IssuerId> {
    let name = reader::text(node, "an issuer's name", needs.out)?;
    let known = needs.names.iter().find(|(known, _)| **known == *name).map(|(_, id)| *id);
    if known.is_none() {
        let help = reader::suggest(name, needs.names.iter().map(|(name, _)| &**name));
        needs.out.add(Problem::error("unknown_issuer", node.span, format!("unknown issuer `{name}`")).help(help));
    }
    known
}

/// The places of the routes that are named, and where each name stands.
fn routes(node: &Node, around: &Around<'_>, out: &mut Report) -> Option<(Vec<usize>, Vec<Span>)> {
    let (mut places, mut spans, mut complete) = (Vec::new(), Vec::new(), true);
    for item in reader::list(node, "a list of routes' names", out)? {
        let Some(name) = reader::text(item, "a route's name", out) else {
            complete = false;
            continue;
        };
        match around.routes.iter().position(|known| **known == *name) {
            Some(place) if places.contains(&place) => {
                let message = format!("`{name}` stands twice in this list");
                out.add(Problem::error("duplicate_value", item.span, message));
            }
            Some(place) => {
                places.push(place);
                spans.push(item.span);
            }
            None => {
                complete = false;
                if around.all {
                    let help = reader::suggest(name, around.routes.iter().copied());
                    out.add(Problem::error("unknown_route", item.span, format!("unknown route `{name}`")).help(help));
                }
            }
        }
    }
    complete.then_some((places, spans))
}

/// What is asked instead; `Some(None)`: any valid token.
#[expect(
    clippy::option_option,
    reason = "what can't be read is not the same as what asks for nothing more than a token"
)]
fn instead(node: &Node, who: Option<&Who>, needs: &mut Requirements<'_>) -> Option<Option<Demand>> {
    let refused = |problem: Problem, needs: &mut Requirements<'_>| {
        needs.out.add(problem);
        None
    };
    match reader::word(node) {
        Some("authenticated") => return Some(None),
        Some("public") => {
            let message = "`public` would do without the token that tells who they are";
            let help = "write `authenticated` where any valid token of theirs is to be enough";
            return refused(Problem::error("exception_without_token", node.span, message).help(help), needs);
        }
        Some(word) => {
            let message = format!("expected what is asked instead, found `{word}`");
            let help = "write a mapping such as `{ level: single-factor, max_age: 8h }`, or `authenticated`";
            return refused(Problem::error("wrong_type", node.span, message).help(help), needs);
        }
        None => {}
    }
    let fields = Fields::of(node, INSTEAD, needs.out)?;
    if fields.is_empty() {
        let message = "an `instead` that asks for nothing";
        let help = "write `authenticated` where any valid token of theirs is to be enough";
        return refused(Problem::error("empty_requirement", node.span, message).help(help), needs);
    }
    let who = who?;
    if who.subjects.is_empty() {
        let message =
            "only clients are named, and a client never has what is asked of a sign-in, so this can never hold";
        let help = "write `instead: authenticated`: the scopes and all else that the route asks hold on";
        return refused(Problem::error("never_holds", node.span, message).help(help), needs);
    }
    needs.instead(node, who.issuer).map(Some)
}
