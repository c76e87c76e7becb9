//! Lints of rungs and issuers: what nobody can prove or bring, and whose tokens reach further than was thought.

use crate::assurance::{Expression, Issuer, IssuerId, Rung};
use crate::config::lints::look::{Places, pairs};
use crate::config::lints::walk::{self, Around};
use crate::config::problem::{Problem, Report};
use crate::config::source::Span;
use crate::config::yaml::{Kind, Node};
use crate::policy::{Condition, Demand, Policy, Requirement, Route};
use crate::token::TokenKind;

/// A rung of the operator's own that no issuer can prove and no route asks for is there for nothing.
pub(super) fn idle_rungs(policy: &Policy, scale: &[(Box<str>, Span)], out: &mut Report) {
    let routes = policy.routes().iter().filter_map(|route| route.require.demand());
    let asked: Vec<Rung> = routes
        .chain(policy.floors().iter().filter_map(|floor| floor.demand.as_ref()))
        .chain(policy.exceptions().iter().filter_map(|exception| exception.instead.as_ref()))
        .flat_map(Demand::rungs)
        .collect();
    for rung in policy.ladders().rungs() {
        let name = policy.ladders().name(rung);
        let Some((_, span)) = scale.iter().find(|(known, _)| **known == *name) else { continue };
        // A rung below one that is asked for has its use: it says how far a sign-in came.
        let used = asked.iter().any(|asked| asked.reaches(rung));
        if !used && !policy.issuers().iter().any(|issuer| issuer.can_prove(rung)) {
            let message = format!("no issuer can prove `{name}`, and nothing asks for it");
            let help = "take it out, or say under an issuer's `proves` what proves it";
            out.add(Problem::lint("idle_level", *span, message).help(help));
        }
    }
}

/// An issuer of whose tokens no route takes any kind: most often its users bring `id_token`s, and no `take` says where.
pub(super) fn tokens_not_taken(policy: &Policy, places: &Places<'_>, out: &mut Report) {
    let looking: Vec<&Route> = policy.routes().iter().filter(|route| route.require != Requirement::Public).collect();
    // Where nothing is looked for, nothing is missed.
    if looking.is_empty() {
        return;
    }
    for issuer in policy.issuers() {
        let (access, id) = (&issuer.expectation.access, &issuer.expectation.id);
        let (kind, key) = match (access, id) {
            (Some(_), None) => (TokenKind::Access, "access"),
            (None, Some(_)) => (TokenKind::Id, "id"),
            (Some(_), Some(_)) | (None, None) => continue,
        };
        if looking.iter().any(|route| route.take.iter().any(|source| source.kinds.takes(kind))) {
            continue;
        }
        let Some(node) = places.issuer(&issuer.name).and_then(|entry| entry.member(key)) else { continue };
        let (what, help) = match kind {
            TokenKind::Id => (
                "id_tokens",
                "say where they come: `take: [ { header: x-id-token, kind: id } ]`, for the whole policy or in a route; without `take` only access tokens are looked for",
            ),
            TokenKind::Access => ("access tokens", "add `authorization` to `take`"),
        };
        let message = format!("`{}` has only {what}, and no route takes any: all its users are refused", issuer.name);
        out.add(Problem::lint("tokens_not_taken", node.span, message).help(help));
    }
}

/// An issuer that is trusted less than others, whose tokens are enough where any valid token is.
pub(super) fn unnamed(policy: &Policy, places: &Places<'_>, out: &mut Report) {
    // The only issuer needs no name.
    if policy.issuers().len() < 2 {
        return;
    }
    let open = |route: &&Route| match &route.require {
        Requirement::Public => false,
        Requirement::Authenticated => route.floors.is_empty(),
        Requirement::Demands(demand) => route.floors.is_empty() && asks_nobody(demand),
    };
    let reached: Vec<&Route> = policy.routes().iter().filter(open).collect();
    let Some(first) = reached.first() else { return };
    for issuer in policy.issuers() {
        let Some(entry) = places.issuer(&issuer.name) else { continue };
        let Some((key, trust)) = places.own_key(entry, "trust") else { continue };
        let Some(how) = less_trusted(policy, issuer, trust) else { continue };
        let more = match reached.len() {
            0 | 1 => ", which asks for no level".to_owned(),
            2 => " and one more route, which ask for no level".to_owned(),
            more => format!(" and {} more routes, which ask for no level", more.saturating_sub(1)),
        };
        let message = format!("`{}` {how}, and its tokens are taken by `{}`{more}", issuer.name, first.name);
        let help = "name the issuers that are meant there: `issuers: [..]`, or ask for a `level`";
        let problem = Problem::lint("issuer_unnamed", key, message).help(help);
        let at = policy.routes().iter().zip(places.routes).find(|(route, _)| route.name == first.name);
        out.add(match at {
            Some((_, spans)) => problem.related(spans.require, "any issuer's token is enough here"),
            None => problem,
        });
    }
}

/// Whether a demand asks neither how the user signed in nor who issued the token, nor for some clients alone.
fn asks_nobody(demand: &Demand) -> bool {
    demand.conditions.iter().all(|condition| match condition {
        Condition::Issuers(_)
        | Condition::Clients(_)
        | Condition::Level(_)
        | Condition::Evidence(_)
        | Condition::MaxAge(_)
        | Condition::Any(_) => false,
        Condition::Audience(_) | Condition::Caller(_) | Condition::Scopes { .. } | Condition::Bind { .. } => true,
        Condition::All(parts) => parts.iter().all(asks_nobody),
    })
}

/// In which way an issuer's `trust` says that it is trusted less.
fn less_trusted(policy: &Policy, issuer: &Issuer, trust: &Node) -> Option<&'static str> {
    let (acr, amr) = (issuer.mapping.acr.trusted, issuer.mapping.amr.trusted);
    if is_capped(policy, trust) {
        return Some("is trusted up to a level");
    }
    (!acr || !amr).then_some("is not believed about how users signed in")
}

/// Whether `trust.max_level` names a rung below the highest of its ladder.
pub(super) fn is_capped(policy: &Policy, trust: &Node) -> bool {
    let mut caps = Vec::new();
    trust.member("max_level").into_iter().for_each(|node| texts(node, &mut caps));
    let rungs = || policy.ladders().rungs();
    let below_another = |cap: Rung| rungs().any(|rung| rung.ladder() == cap.ladder() && rung.rank() > cap.rank());
    caps.iter().filter_map(|(name, _)| policy.ladders().rung(name)).any(below_another)
}

/// An `amr` value without a class is misspelt, or counts for less than was meant.
pub(super) fn unclassed(policy: &Policy, places: &Places<'_>, out: &mut Report) {
    for issuer in policy.issuers() {
        let Some(entry) = places.issuer(&issuer.name) else { continue };
        let mut named: Vec<(&str, Span)> = Vec::new();
        pairs(Some(entry)).iter().for_each(|(key, node)| match &*key.text {
            "ignore_amr" => texts(node, &mut named),
            "proves" => of_evidence(node, &mut named),
            "mapping" => {
                let amr = node.member("amr");
                pairs(amr.and_then(|amr| amr.member("rename"))).iter().for_each(|(_, to)| texts(to, &mut named));
                amr.and_then(|amr| amr.member("absent")).iter().for_each(|absent| {
                    if let Kind::List(_) = &absent.kind {
                        texts(absent, &mut named);
                    }
                });
            }
            _ => {}
        });
        for (value, span) in named.into_iter().filter(|(_, span)| places.own.contains(&span.file)) {
            if issuer.methods.get(value).is_none() {
                out.add(unknown(value, span, issuer.methods.iter().map(|(value, _)| value)));
            }
        }
    }
    for (route, spans) in policy.routes().iter().zip(places.routes) {
        route.require.demand().into_iter().for_each(|demand| in_demand(policy, demand, spans.require, out));
    }
    for (floor, spans) in policy.floors().iter().zip(places.floors) {
        floor.demand.iter().for_each(|demand| in_demand(policy, demand, spans.require, out));
    }
}

fn unknown<'v>(value: &str, span: Span, known: impl Iterator<Item = &'v str>) -> Problem {
    let lower = value.to_ascii_lowercase();
    let near = known.filter(|known| strsim::damerau_levenshtein(&lower, &known.to_ascii_lowercase()) <= 1).min();
    let help = match near {
        Some(near) => format!("did you mean `{near}`? if not, give it a class under `factor_classes`; `none` is one"),
        None => "give it a class under the issuer's `factor_classes`; `none` is one".to_owned(),
    };
    Problem::lint("amr_unclassed", span, format!("the `amr` value `{value}` has no class")).help(help)
}

/// The values that a route or floor names itself, and that no issuer that is admitted there knows.
fn in_demand(policy: &Policy, demand: &Demand, span: Span, out: &mut Report) {
    walk::parts(demand, &Around::default(), &mut |part, around| {
        let mut named: Vec<&str> = part.ignore_amr.iter().map(|value| &**value).collect();
        for condition in &part.conditions {
            let Condition::Evidence(evidence) = condition else { continue };
            evidence.walk(&mut |leaf| {
                if let Expression::AmrAny(values)
                | Expression::AmrAll(values)
                | Expression::AmrNone(values)
                | Expression::AmrOnly(values) = leaf
                {
                    named.extend(values.iter().map(|value| &**value));
                }
            });
        }
        let admitted = |id: &IssuerId| around.admits(*id);
        for value in named {
            let mut left = policy.issuers().iter().filter(|issuer| admitted(&issuer.id)).peekable();
            if left.peek().is_some() && left.all(|issuer| issuer.methods.get(value).is_none()) {
                let known = policy.issuers().iter().filter(|issuer| admitted(&issuer.id));
                out.add(unknown(value, span, known.flat_map(|issuer| issuer.methods.iter().map(|(value, _)| value))));
            }
        }
    });
}

/// Every text in a node.
pub(super) fn texts<'n>(node: &'n Node, found: &mut Vec<(&'n str, Span)>) {
    match &node.kind {
        Kind::Scalar { text, .. } => found.push((text, node.span)),
        Kind::List(items) => items.iter().for_each(|item| texts(item, found)),
        Kind::Null | Kind::Map(_) => {}
    }
}

/// The texts that stand under `amr` in expressions.
fn of_evidence<'n>(node: &'n Node, found: &mut Vec<(&'n str, Span)>) {
    match &node.kind {
        Kind::Map(pairs) => {
            for (key, node) in pairs {
                match &*key.text {
                    "amr" => self::pairs(Some(node))
                        .iter()
                        .filter(|(key, _)| *key.text != *"count")
                        .for_each(|(_, list)| texts(list, found)),
                    "acr" | "claims" => {}
                    _ => of_evidence(node, found),
                }
            }
        }
        Kind::List(items) => items.iter().for_each(|item| of_evidence(item, found)),
        Kind::Null | Kind::Scalar { .. } => {}
    }
}
