//! `routes` and `floors`: one entry of each, compiled.

use crate::config::keep::{self, KeepSpans};
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::requirement::Requirements;
use crate::config::source::Span;
use crate::config::yaml::{Kind, Node};
use crate::config::{matches, on_deny, streams, take, upgrades};
use crate::policy::{Demand, Floor, Match, Methods, Mode, Place, Requirement, Route, TokenSource};

const ROUTE: Keys = Keys {
    what: "a route",
    known: &["name", "match", "take", "require", "mode", "upstream", "on_deny", "keep", "upgrades", "streams"],
    later: &["cors", "rewrite", "timeout", "max_body", "empty_segments", "encoded_slash"],
};
const FLOOR: Keys = Keys { what: "a floor", known: &["name", "match", "require"], later: &[] };

/// Where the parts of a route stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spans {
    /// Its name.
    pub name: Span,
    /// The path that it matches.
    pub path: Span,
    /// Where it says where it looks for tokens; where it does not, its name.
    pub take: Span,
    /// What it asks.
    pub require: Span,
    /// Its upstream, where it names one.
    pub upstream: Option<Span>,
    /// The redirect that holds for it, its own or the default.
    pub redirect: Option<Span>,
    /// What it keeps, where it does.
    pub keep: Option<KeepSpans>,
}

/// What holds for a route that says nothing of its own.
#[derive(Clone, Debug)]
pub struct Inherited {
    /// Where tokens are looked for.
    pub take: Box<[TokenSource]>,
    /// `on_deny` under `defaults`.
    pub on_deny: on_deny::Written,
    /// `streams` under `defaults`.
    pub streams: streams::Written,
}

/// Reads one route.
pub fn route(node: &Node, inherited: &Inherited, needs: &mut Requirements<'_>) -> Option<(Route, Spans)> {
    let fields = Fields::of(node, ROUTE, needs.out)?;
    let name = name(&fields, "a route's name", needs.out);
    let matches = fields.required("match", needs.out).and_then(|node| matches::read(node, needs.out));
    let require_node = require_node(&fields, needs.out);
    let require = require_node.and_then(|node| needs.read(node, matches.as_ref().map(|matches| &matches.path)));
    let own_take = fields.get("take", needs.out).map(|node| take::read(node, needs.out));
    let modes = [Mode::Enforce, Mode::Observe, Mode::ObserveAll].map(|mode| (mode.name(), mode));
    let mode = match fields.get("mode", needs.out) {
        Some(node) => reader::choice(node, &modes, needs.out)?,
        None => Mode::Enforce,
    };
    let upstream = match fields.get("upstream", needs.out) {
        Some(node) => Some(reader::text(node, "an upstream's name", needs.out)?.into()),
        None => None,
    };
    let own_on_deny = fields.get("on_deny", needs.out);
    let own_on_deny = own_on_deny.map_or_else(|| Some(Default::default()), |node| on_deny::read(node, needs.out));
    let kept = match fields.get("keep", needs.out) {
        Some(node) => Some(keep::keep(node, needs.out)?),
        None => None,
    };
    let upgrades = upgrades::of_route(&fields, needs.out)?;
    let own_streams = streams::own(&fields, needs.out);
    let ((name, name_span), require) = (name?, require?);
    if let (Some(span), Requirement::Public) = (fields.key_span("mode"), &require) {
        let message = "a public route refuses nobody, so there is nothing to observe";
        needs.out.add(Problem::error("public_mode", span, message).help("take `mode` out, or ask for something"));
        return None;
    }
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
    let streams = streams::of_route(own_streams?, inherited.streams, &fields, &require, needs.out)?;
    let (matches, span) = (matches?, fields.key_span("take").unwrap_or(node.span));
    form_is_posted(&take, &matches, span, needs.out)?;
    let (keep, keep_spans) = kept.map(|(keep, spans)| (Box::new(keep), spans)).unzip();
    let spans = Spans {
        name: name_span,
        path: path_span(&fields),
        take: fields.get("take", needs.out).map_or(name_span, |node| node.span),
        require: require_node?.span,
        redirect,
        upstream: fields.get("upstream", needs.out).map(|node| node.span),
        keep: keep_spans,
    };
    let (floors, ends) = (Box::default(), Box::default());
    let route = Route {
        name,
        matches,
        take,
        reads_form: false,
        require,
        mode,
        upstream,
        floors,
        on_deny,
        keep,
        ends,
        upgrades,
        streams,
    };
    Some((route, spans))
}

/// A form comes with POST and with no other method.
fn form_is_posted(take: &[TokenSource], matches: &Match, span: Span, out: &mut Report) -> Option<()> {
    let takes_post = match &matches.methods {
        Methods::Any => true,
        Methods::Named(methods) => methods.iter().any(|method| **method == *"POST"),
    };
    if takes_post || !take.iter().any(|source| matches!(source.place, Place::Form { .. })) {
        return Some(());
    }
    let message = "a form is posted, and this route does not take POST";
    out.add(Problem::error("form_without_post", span, message).help("add POST to `match.methods`"));
    None
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
    let (path, require) = (path_span(&fields), require_node.span);
    let spans = Spans { name: name_span, path, take: fields.span, require, upstream: None, redirect: None, keep: None };
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

/// What lets requests through without a token may not stand on a floor: any floor asks for one at the least.
pub fn tokenless_over_floor(routes: &[(Route, Spans)], floors: &[(Floor, Spans)], out: &mut Report) {
    let forwards = |source: &TokenSource| matches!(source.place, Place::Form { forwards_errors: true, .. });
    for (route, spans) in routes {
        let (code, span, what, help) = if route.require == Requirement::Public {
            let help = "narrow one of them, or let the route ask for what the floor asks";
            ("public_under_floor", spans.require, "the public route", help)
        } else if route.take.iter().any(forwards) {
            let help = "narrow the floor, or take `on_error` out";
            ("errors_under_floor", spans.take, "with `on_error: forward` the route", help)
        } else {
            continue;
        };
        for (floor, floor_spans) in floors.iter().filter(|(floor, _)| floor.matches.overlaps(&route.matches)) {
            let lets = if code == "public_under_floor" { "" } else { " lets errors through without a token, and" };
            let message =
                format!("{what} `{}`{lets} stands on the floor `{}`, which asks for a token", route.name, floor.name);
            let problem = Problem::error(code, span, message).help(help);
            out.add(problem.related(floor_spans.name, "the floor"));
        }
    }
}
