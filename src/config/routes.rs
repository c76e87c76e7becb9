//! `routes` and `floors`: one entry of each, compiled.

use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::requirement::Requirements;
use crate::config::source::Span;
use crate::config::yaml::{Kind, Node};
use crate::config::{matches, on_deny, take};
use crate::policy::{Demand, Floor, Requirement, Route, TokenSource};

const ROUTE: Keys = Keys {
    what: "a route",
    known: &["name", "match", "take", "require", "upstream", "on_deny"],
    later: &[
        "mode",
        "keep",
        "streams",
        "cors",
        "upgrades",
        "rewrite",
        "timeout",
        "max_body",
        "empty_segments",
        "encoded_slash",
    ],
};
const FLOOR: Keys = Keys { what: "a floor", known: &["name", "match", "require"], later: &["mode"] };

/// Where the parts of a route stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spans {
    /// Its name.
    pub name: Span,
    /// The path that it matches.
    pub path: Span,
    /// What it asks.
    pub require: Span,
    /// Its upstream, where it names one.
    pub upstream: Option<Span>,
    /// The redirect that holds for it, its own or the default.
    pub redirect: Option<Span>,
}

/// What holds for a route that says nothing of its own.
#[derive(Clone, Debug)]
pub struct Inherited {
    /// Where tokens are looked for.
    pub take: Box<[TokenSource]>,
    /// `on_deny` under `defaults`.
    pub on_deny: on_deny::Written,
}

/// Reads one route.
pub fn route(node: &Node, inherited: &Inherited, needs: &mut Requirements<'_>) -> Option<(Route, Spans)> {
    let fields = Fields::of(node, ROUTE, needs.out)?;
    let name = name(&fields, "a route's name", needs.out);
    let matches = fields.required("match", needs.out).and_then(|node| matches::read(node, needs.out));
    let require_node = require_node(&fields, needs.out);
    let require = require_node.and_then(|node| needs.read(node, matches.as_ref().map(|matches| &matches.path)));
    let own_take = fields.get("take", needs.out).map(|node| take::read(node, needs.out));
    let upstream = match fields.get("upstream", needs.out) {
        Some(node) => Some(reader::text(node, "an upstream's name", needs.out)?.into()),
        None => None,
    };
    let own_on_deny = match fields.get("on_deny", needs.out) {
        Some(node) => on_deny::read(node, needs.out),
        None => Some(on_deny::Written::default()),
    };
    let ((name, name_span), require) = (name?, require?);
    let take = match (own_take, &require) {
        (Some(_), Requirement::Public) => {
            let message = "a public route looks at no token, so it takes none";
            let span = fields.key_span("take").unwrap_or(node.span);
            needs.out.add(Problem::error("public_takes", span, message).help("take `take` out, or ask for something"));
            return None;
        }
        (None, Requirement::Public) => Box::default(),
        (Some(own), Requirement::Authenticated | Requirement::Demands(_)) => own?,
        (None, Requirement::Authenticated | Requirement::Demands(_)) => inherited.take.clone(),
    };
    if let (Some(span), Requirement::Public) = (fields.key_span("on_deny"), &require) {
        let message = "a public route asks nobody to sign in, so there is nothing to say of it";
        needs.out.add(Problem::error("public_on_deny", span, message).help("take `on_deny` out, or ask for something"));
        return None;
    }
    let (on_deny, redirect) = match &require {
        Requirement::Public => (None, None),
        Requirement::Authenticated | Requirement::Demands(_) => on_deny::of_route(&own_on_deny?, &inherited.on_deny),
    };
    let spans = Spans {
        name: name_span,
        path: path_span(&fields),
        require: require_node?.span,
        redirect,
        upstream: fields.get("upstream", needs.out).map(|node| node.span),
    };
    Some((Route { name, matches: matches?, take, require, upstream, floors: Box::default(), on_deny }, spans))
}

/// Reads one floor.
pub fn floor(node: &Node, needs: &mut Requirements<'_>) -> Option<(Floor, Spans)> {
    let fields = Fields::of(node, FLOOR, needs.out)?;
    let name = name(&fields, "a floor's name", needs.out);
    let matches = fields.required("match", needs.out).and_then(|node| matches::read(node, needs.out));
    let require_node = require_node(&fields, needs.out)?;
    let require = needs.read(require_node, matches.as_ref().map(|matches| &matches.path))?;
    let demand: Option<Demand> = match require {
        Requirement::Public => {
            let message = "a floor that asks for nothing holds nothing up";
            needs.out.add(Problem::error("empty_requirement", require_node.span, message));
            return None;
        }
        Requirement::Authenticated => None,
        Requirement::Demands(demand) => Some(demand),
    };
    let (name, name_span) = name?;
    let spans =
        Spans { name: name_span, path: path_span(&fields), require: require_node.span, upstream: None, redirect: None };
    Some((Floor { name, matches: matches?, demand }, spans))
}

/// Where the path of its `match` stands.
fn path_span(fields: &Fields<'_>) -> Span {
    let pairs = match fields.get_nullable("match").map(|node| &node.kind) {
        Some(Kind::Map(pairs)) => pairs.as_slice(),
        Some(Kind::Null | Kind::Scalar { .. } | Kind::List(_)) | None => &[],
    };
    pairs.iter().find(|(key, _)| *key.text == *"path").map_or(fields.span, |(_, node)| node.span)
}

fn name(fields: &Fields<'_>, what: &str, out: &mut Report) -> Option<(Box<str>, Span)> {
    let node = fields.required("name", out)?;
    reader::text(node, what, out).map(|name| (name.into(), node.span))
}

fn require_node<'n>(fields: &Fields<'n>, out: &mut Report) -> Option<&'n Node> {
    if !fields.has("require") {
        let help = "write `require: public` if no token is needed, `require: authenticated` if any valid one is enough";
        out.add(
            Problem::error("missing_key", fields.span, "it does not say what it asks for: `require` is missing")
                .help(help),
        );
        return None;
    }
    fields.get("require", out)
}
