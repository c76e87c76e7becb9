//! `routes` and `floors`: one entry of each, compiled.

use crate::config::keep::{self, KeepSpans};
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::requirement::Requirements;
use crate::config::source::Span;
use crate::config::yaml::{Kind, Node};
use crate::config::{matches, on_deny, onward, streams, take, upgrades};
use crate::policy::{Demand, Floor, Match, Methods, Mode, Place, Requirement, Route, TokenSource, holds_up_preflights};

const ROUTE: Keys = Keys {
    what: "a route",
    known: &[
        "name", "match", "take", "require", "mode", "upstream", "on_deny", "keep", "upgrades", "streams", "timeout",
        "max_body", "rewrite", "cors",
    ],
    later: &[],
};
const FLOOR: Keys = Keys { what: "a floor", known: &["name", "match", "require", "cors"], later: &[] };

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
    /// What becomes of its path, where it says so.
    pub rewrite: Option<Span>,
    /// The redirect that holds for it, its own or the default.
    pub redirect: Option<Span>,
    /// What it keeps, where it does.
    pub keep: Option<KeepSpans>,
    /// Where it says that preflights pass.
    pub cors: Option<Span>,
}

/// What holds for a route that says nothing of its own.
#[derive(Clone, Debug)]
pub struct Inherited {
    /// Where tokens are looked for.
    pub take: Box<[TokenSource]>,
    /// `on_deny` under `defaults`.
    pub on_deny: on_deny::Written,
    /// `timeout` and `max_body` under `defaults`.
    pub onward: onward::Written,
    /// `streams` under `defaults`.
    pub streams: streams::Written,
}

/// Reads one route.
pub fn route(node: &Node, inherited: &Inherited, needs: &mut Requirements<'_>) -> Option<(Route, Spans)> {
    let fields = Fields::of(node, ROUTE, needs.out)?;
    let name = name(&fields, "a route's name", needs.out);
    let matches = fields.required("match", needs.out).and_then(|node| matches::of_route(node, needs.out));
    let require_node = require_node(&fields, needs.out);
    let require = require_node.and_then(|node| needs.read(node, matches.as_ref().map(|matches| &matches.path)));
    let own_take = fields.get("take", needs.out).map(|node| take::read(node, needs.out));
    let mode = mode(&fields, needs.out)?;
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
    let onward = onward::Written::read(&fields, needs.out);
    let rewrite = onward::rewrite(&fields, matches.as_ref().map(|matches| &matches.path), needs.out);
    let own_streams = streams::own(&fields, needs.out);
    let upgrades = upgrades::of_route(&fields, needs.out)?;
    let cors = cors(&fields, needs.out);
    let ((name, name_span), require) = (name?, require?);
    if require == Requirement::Public {
        nothing_to_say_of(&fields, needs.out)?;
    }
    let take_span = fields.key_span("take").unwrap_or(node.span);
    let take = sources(own_take, &require, inherited, take_span, needs.out)?;
    let (on_deny, redirect) = match &require {
        Requirement::Public => (None, None),
        Requirement::Authenticated | Requirement::Demands(_) => on_deny::of_route(&own_on_deny?, &inherited.on_deny),
    };
    let streams = streams::of_route(own_streams?, inherited.streams, &fields, &require, needs.out)?;
    let matches = matches?;
    form_is_posted(&take, &matches, take_span, needs.out)?;
    let (keep, keep_spans) = kept.map(|(keep, spans)| (Box::new(keep), spans)).unzip();
    let spans = Spans {
        name: name_span,
        path: path_span(&fields),
        take: fields.get("take", needs.out).map_or(name_span, |node| node.span),
        require: require_node?.span,
        redirect,
        upstream: fields.get("upstream", needs.out).map(|node| node.span),
        rewrite: fields.key_span("rewrite"),
        keep: keep_spans,
        cors: fields.key_span("cors"),
    };
    let (floors, ends) = (Box::default(), Box::default());
    let onward::Written { timeout, max_body } = onward?.over(inherited.onward);
    let cors = cors?;
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
        timeout,
        max_body,
        rewrite: rewrite?,
        upgrades,
        streams,
        cors,
    };
    Some((route, spans))
}

/// What makes no sense on a public route.
fn nothing_to_say_of(fields: &Fields<'_>, out: &mut Report) -> Option<()> {
    let idle = [
        ("mode", "public_mode", "a public route refuses nobody, so there is nothing to observe"),
        ("on_deny", "public_on_deny", "a public route asks nobody to sign in, so there is nothing to say of it"),
    ];
    for (key, code, message) in idle {
        if let Some(span) = fields.key_span(key) {
            let help = format!("take `{key}` out, or ask for something");
            out.add(Problem::error(code, span, message).help(help));
            return None;
        }
    }
    Some(())
}

fn mode(fields: &Fields<'_>, out: &mut Report) -> Option<Mode> {
    let modes = [Mode::Enforce, Mode::Observe, Mode::ObserveAll].map(|mode| (mode.name(), mode));
    match fields.get("mode", out) {
        Some(node) => reader::choice(node, &modes, out),
        None => Some(Mode::Enforce),
    }
}

/// Whether preflights pass.
fn cors(fields: &Fields<'_>, out: &mut Report) -> Option<bool> {
    fields.get("cors", out).map_or(Some(false), |node| reader::choice(node, &[("preflight", true)], out))
}

/// Where it looks for tokens. `own`: what its own `take` says, if it has one and that can be read.
fn sources(
    own: Option<Option<Box<[TokenSource]>>>,
    require: &Requirement,
    inherited: &Inherited,
    span: Span,
    out: &mut Report,
) -> Option<Box<[TokenSource]>> {
    match (own, require) {
        (Some(_), Requirement::Public) => {
            let message = "a public route looks at no token, so it takes none";
            out.add(Problem::error("public_takes", span, message).help("take `take` out, or ask for something"));
            None
        }
        (None, Requirement::Public) => Some(Box::default()),
        (Some(own), Requirement::Authenticated | Requirement::Demands(_)) => own,
        (None, Requirement::Authenticated | Requirement::Demands(_)) => Some(inherited.take.clone()),
    }
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
    let matches = fields.required("match", needs.out).and_then(|node| matches::of_floor(node, needs.out));
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
    let cors = cors(&fields, needs.out)?;
    let (name, name_span) = name?;
    let (path, require) = (path_span(&fields), require_node.span);
    let (upstream, rewrite, redirect, keep) = (None, None, None, None);
    let take = fields.span;
    let spans = Spans { name: name_span, path, take, require, upstream, rewrite, redirect, keep, cors: None };
    Some((Floor { name, matches: matches?, demand, cors }, spans))
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
        if let Some(span) = spans.cors {
            for (floor, floor_spans) in floors.iter().filter(|(floor, _)| holds_up_preflights(floor, route)) {
                let message = format!(
                    "preflights of the route `{}` come without a token, and stand on the floor `{}`, which asks for one",
                    route.name, floor.name
                );
                let help = "write `cors: preflight` on the floor too, if whoever answers for it agrees: it still holds for every other request";
                let problem = Problem::error("preflight_under_floor", span, message).help(help);
                out.add(problem.related(floor_spans.name, "the floor"));
            }
        }
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
