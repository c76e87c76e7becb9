//! `routes` and `floors`: one entry of each, compiled.

use crate::config::keep::{self, KeepSpans};
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::requirement::Requirements;
use crate::config::source::Span;
use crate::config::yaml::{Kind, Node};
use crate::config::{matches, take};
use crate::policy::{Demand, Floor, Requirement, Route, TokenSource};

const ROUTE: Keys = Keys {
    what: "a route",
    known: &["name", "match", "take", "require", "upstream", "keep"],
    later: &[
        "mode",
        "streams",
        "on_deny",
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spans {
    /// Its name.
    pub name: Span,
    /// The path that it matches.
    pub path: Span,
    /// What it asks.
    pub require: Span,
    /// Its upstream, where it names one.
    pub upstream: Option<Span>,
    /// Where it says where it looks for tokens; where it does not, its name.
    pub take: Span,
    /// What it keeps, where it does.
    pub keep: Option<KeepSpans>,
}

/// Reads one route. `taken`: what is taken where the route says nothing.
pub fn route(node: &Node, taken: &[TokenSource], needs: &mut Requirements<'_>) -> Option<(Route, Spans)> {
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
    let kept = match fields.get("keep", needs.out) {
        Some(node) => Some(keep::keep(node, needs.out)?),
        None => None,
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
        (None, Requirement::Authenticated | Requirement::Demands(_)) => taken.into(),
    };
    let (keep, keep_spans) = kept.map(|(keep, spans)| (Box::new(keep), spans)).unzip();
    let spans = Spans {
        name: name_span,
        path: path_span(&fields),
        require: require_node?.span,
        upstream: fields.get("upstream", needs.out).map(|node| node.span),
        take: fields.get("take", needs.out).map_or(name_span, |node| node.span),
        keep: keep_spans,
    };
    let (floors, ends) = (Box::default(), Box::default());
    Some((Route { name, matches: matches?, take, require, upstream, floors, keep, ends }, spans))
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
    let spans = Spans {
        name: name_span,
        path: path_span(&fields),
        require: require_node.span,
        upstream: None,
        take: name_span,
        keep: None,
    };
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
