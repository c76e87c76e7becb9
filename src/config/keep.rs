//! `keep` of a route, `kept` under `take`, and `seal` of `stepgate.yaml`: what was proved at sign-in, for later requests.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::admin;
use crate::config::matches::is_token;
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::routes::Spans;
use crate::config::section::{Paths, duration_within};
use crate::config::settings::SecretSource;
use crate::config::source::{Purpose, Span};
use crate::config::yaml::{Kind, Node};
use crate::policy::{HostPattern, Keep, Match, Methods, PathPattern, Place, Requirement, Route};
use crate::seal::MOST_KEYS;

pub(super) const KEEP: Keys = Keys { what: "`keep`", known: &["cookie", "for", "ends_on"], later: &[] };
pub(super) const SEAL: Keys = Keys { what: "`seal`", known: &["keys"], later: &[] };

/// A browser holds a cookie to these rules for its name alone: `Secure`, the whole host and no other, the whole of its paths.
const PREFIX: &str = "__Host-";
/// A sign-in from a month ago says little of who sits there now.
const FOR: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);

/// Where the parts of `keep` stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepSpans {
    cookie: Span,
    lasts: Span,
    ends_on: Vec<(Span, Box<str>)>,
}

/// Reads `keep`.
pub(super) fn keep(node: &Node, out: &mut Report) -> Option<(Keep, KeepSpans)> {
    let fields = Fields::of(node, KEEP, out)?;
    let cookie_node = fields.required("cookie", out);
    let name = cookie_node.and_then(|node| cookie(node, out));
    let lasts_node = fields.required("for", out);
    let lasts = lasts_node.and_then(|node| duration_within(node, FOR, out));
    let mut ends_on = Vec::new();
    let mut at = Vec::new();
    let mut complete = true;
    if let Some(node) = fields.get("ends_on", out) {
        for item in reader::list(node, "a list of paths", out)? {
            match reader::text(item, "a path", out).and_then(|written| pattern(item, written, out)) {
                Some((path, written)) if ends_on.contains(&path) => {
                    let message = format!("`{written}` stands twice in this list");
                    out.add(Problem::error("duplicate_value", item.span, message));
                }
                Some((path, written)) => {
                    ends_on.push(path);
                    at.push((item.span, written));
                }
                None => complete = false,
            }
        }
    }
    let spans = KeepSpans { cookie: cookie_node?.span, lasts: lasts_node?.span, ends_on: at };
    let seconds = u32::try_from(lasts?.as_secs()).ok()?;
    complete.then_some(())?;
    Some((Keep { cookie: name?, seconds, ends_on: ends_on.into() }, spans))
}

fn pattern(node: &Node, written: &str, out: &mut Report) -> Option<(PathPattern, Box<str>)> {
    match PathPattern::parse(written) {
        Ok(path) => Some((path, written.into())),
        Err(mistake) => {
            out.add(Problem::error("bad_pattern", node.span, format!("`{written}` is no path pattern: {mistake}")));
            None
        }
    }
}

/// The name of a cookie that is kept.
pub(super) fn cookie(node: &Node, out: &mut Report) -> Option<Box<str>> {
    let name = reader::text(node, "a cookie's name", out)?;
    let rest = name.strip_prefix(PREFIX);
    let problem = match rest {
        _ if !is_token(name) => Problem::error("bad_cookie", node.span, format!("`{name}` is no cookie's name")),
        Some("") => {
            let message = format!("`{name}` is no name yet, only how one begins");
            Problem::error("bad_cookie", node.span, message).help(format!("write `{PREFIX}stepgate`"))
        }
        None => {
            let message = format!("`{name}` does not begin with `{PREFIX}`, so other hosts could set it too");
            Problem::error("bad_cookie", node.span, message)
                .help(format!("write `{PREFIX}{}`", name.strip_prefix("__Secure-").unwrap_or(name)))
        }
        Some(_) => return Some(name.into()),
    };
    out.add(problem);
    None
}

/// A route that keeps, with where that stands.
struct Keeper<'p> {
    route: &'p Route,
    keep: &'p Keep,
    spans: &'p KeepSpans,
}

/// Holds what routes keep against what they take, and against each other.
pub(super) fn check(routes: &[(Route, Spans)], out: &mut Report) {
    let keepers: Vec<Keeper<'_>> = routes
        .iter()
        .filter_map(|(route, spans)| Some(Keeper { route, keep: route.keep.as_deref()?, spans: spans.keep.as_ref()? }))
        .collect();
    let mut first: HashMap<&str, &Keeper<'_>> = HashMap::new();
    for keeper in &keepers {
        sign_in_is_seen(keeper, out);
        ends_somewhere(keeper, routes, out);
        let known = first.entry(&keeper.keep.cookie).or_insert(keeper);
        if known.keep.seconds != keeper.keep.seconds {
            let message = format!(
                "`{}` is kept for another time here than on the route `{}`",
                keeper.keep.cookie, known.route.name
            );
            let help =
                "that of the sign-in that came last counts; say the same in both, or call the cookies by two names";
            let problem = Problem::lint("kept_for_two_times", keeper.spans.lasts, message).help(help);
            out.add(problem.related(known.spans.lasts, "the other time"));
        }
    }
    takes_what_is_kept(routes, &first, out);
    is_taken(&keepers, &first, routes, out);
}

/// What no route takes is kept for nothing, and so is what is taken at other hosts alone: there the cookie never comes.
fn is_taken(keepers: &[Keeper<'_>], first: &HashMap<&str, &Keeper<'_>>, routes: &[(Route, Spans)], out: &mut Report) {
    let mut names: Vec<_> = first.iter().collect();
    names.sort_unstable_by_key(|(_, keeper)| keeper.spans.cookie);
    for (name, keeper) in names {
        let takes = |route: &Route| {
            route.take.iter().any(|source| matches!(&source.place, Place::Kept(kept, _) if **kept == **name))
        };
        let takers: Vec<&Route> = routes.iter().map(|(route, _)| route).filter(|route| takes(route)).collect();
        let keeps = |keeper: &&Keeper<'_>| *keeper.keep.cookie == **name;
        let (message, help) = if takers.is_empty() {
            let message = format!("`{name}` is kept, and no route takes it");
            (message, format!("add `take: [ {{ kept: {name} }} ]` to the routes that it is for"))
        } else if keepers
            .iter()
            .filter(keeps)
            .any(|keeper| takers.iter().any(|taker| share_a_host(keeper.route, taker)))
        {
            continue;
        } else {
            let message = format!("`{name}` is kept, and no route at its host takes it");
            (message, "a browser sends it to the host of the sign-in and to no other".to_owned())
        };
        out.add(Problem::lint("kept_not_taken", keeper.spans.cookie, message).help(help));
    }
}

/// Whether one host can be meant by both, whatever their paths and methods.
fn share_a_host(one: &Route, other: &Route) -> bool {
    let moved = Match { hosts: one.matches.hosts.clone(), ..other.matches.clone() };
    moved.overlaps(&other.matches)
}

/// What is kept is what a token proved: where none can come, or only what was kept before, nothing would ever be.
fn sign_in_is_seen(keeper: &Keeper<'_>, out: &mut Report) {
    let Keeper { route, spans, .. } = keeper;
    let message = if route.require == Requirement::Public {
        "a public route proves nothing that could be kept"
    } else if route.take.iter().all(|source| matches!(source.place, Place::Kept(..))) {
        "the route takes nothing but what was kept before, which is never kept anew"
    } else {
        return;
    };
    let help = "put `keep` on the route where the token of the sign-in comes";
    out.add(Problem::error("nothing_to_keep", spans.cookie, message).help(help));
}

/// A logout that no request can reach ends nothing: most often its path is misspelt.
fn ends_somewhere(keeper: &Keeper<'_>, routes: &[(Route, Spans)], out: &mut Report) {
    let Keeper { route, keep, spans } = keeper;
    for (path, (span, written)) in keep.ends_on.iter().zip(&spans.ends_on) {
        let hosts: Box<[HostPattern]> = route.matches.hosts.clone();
        let logout = Match {
            hosts,
            path: path.clone(),
            path_written: written.clone(),
            methods: Methods::Any,
            ..route.matches.clone()
        };
        if routes.iter().any(|(route, _)| route.matches.overlaps(&logout)) {
            continue;
        }
        let message =
            format!("no route takes `{written}` at a host where `{}` is kept, so the logout ends nothing", keep.cookie);
        let help = "correct the path, or add a route for it; it may be public";
        out.add(Problem::error("ends_nowhere", *span, message).help(help));
    }
}

fn takes_what_is_kept(routes: &[(Route, Spans)], kept: &HashMap<&str, &Keeper<'_>>, out: &mut Report) {
    // Each name is said once: a `take` for the whole policy stands under every route.
    let mut seen: Vec<&str> = Vec::new();
    for (route, spans) in routes {
        for source in &route.take {
            let (name, is_kept) = match &source.place {
                Place::Kept(name, _) => (name, true),
                Place::Cookie(name, _) => (name, false),
                Place::Authorization | Place::Header(_) | Place::Form { .. } => continue,
            };
            let at = spans.take;
            if is_kept == kept.contains_key(&**name) || seen.contains(&&**name) {
                continue;
            }
            seen.push(name);
            let problem = if is_kept {
                let names = kept.keys().copied();
                let mut known: Vec<&str> = names.collect();
                known.sort_unstable();
                let help = if known.is_empty() {
                    format!(
                        "add `keep: {{ cookie: {name}, for: 8h }}` to the route where the token of the sign-in comes"
                    )
                } else {
                    reader::suggest(name, known.iter().copied())
                };
                Problem::error("kept_by_none", at, format!("no route keeps `{name}`")).help(help)
            } else {
                let message = format!("the cookie `{name}` is one that a route keeps, and holds no token");
                Problem::error("kept_is_no_token", at, message).help(format!("write `{{ kept: {name} }}`"))
            };
            out.add(problem);
        }
    }
}

/// `seal`: where the keys are, none without it.
pub(super) fn seal(fields: &Fields<'_>, paths: &mut Paths<'_>, out: &mut Report) -> Option<Vec<SecretSource>> {
    let Some(node) = fields.get("seal", out) else {
        return if fields.has("seal") { None } else { Some(Vec::new()) };
    };
    let own = Fields::of(node, SEAL, out)?;
    let list = own.required("keys", out)?;
    let Kind::List(items) = &list.kind else {
        // Whatever stands here may be the key.
        out.add(admin::in_clear(list.span, "`seal.keys` is a list of places where keys are, and this is none"));
        return None;
    };
    if items.is_empty() || items.len() > MOST_KEYS {
        let message = format!("`seal.keys` has {} keys; it can have 1 to {MOST_KEYS}", items.len());
        out.add(Problem::error("out_of_range", list.span, message));
        return None;
    }
    let mut keys: Vec<SecretSource> = Vec::new();
    let mut complete = true;
    for item in items {
        match admin::secret(item, "a key of `seal.keys`", Purpose::SealKey, paths, out) {
            Some(key) if keys.contains(&key) => {
                let message = "this key stands twice in `seal.keys`";
                out.add(
                    Problem::error("duplicate_value", item.span, message).help("to rotate, put a new one before it"),
                );
            }
            Some(key) => keys.push(key),
            None => complete = false,
        }
    }
    complete.then_some(keys)
}

/// A policy that keeps needs keys to seal with.
pub(super) fn check_against(routes: &[Route], spans: &[Spans], keys: &[SecretSource], out: &mut Report) {
    if !keys.is_empty() {
        return;
    }
    for (route, spans) in routes.iter().zip(spans) {
        if let Some((keep, at)) = route.keep.as_deref().zip(spans.keep.as_ref()) {
            let message = format!("`{}` is kept, and stepgate.yaml has no `seal.keys` to seal it with", keep.cookie);
            let help = "add `seal: { keys: [ { env: STEPGATE_SEAL } ] }` there, and set the variable to what `openssl rand -base64 32` says";
            out.add(Problem::error("no_seal", at.cookie, message).help(help));
        }
    }
}
