//! Looks a whole policy over.

use crate::config::exceptions::ExceptionSpans;
use crate::config::layers::Written;
use crate::config::lints::overlap::Overlap;
use crate::config::lints::{asks, evidence, exceptions, issuers, levels, proofs, routes, shadows, weaker};
use crate::config::on_deny;
use crate::config::problem::Report;
use crate::config::routes::Spans;
use crate::config::source::{FileId, Span};
use crate::config::yaml::{Key, Kind, Node};
use crate::policy::Policy;

/// Where the parts of a policy stand.
#[derive(Clone, Copy, Debug)]
pub struct Places<'p> {
    /// Where routes are listed, or would be.
    pub routes_key: Option<Span>,
    /// Its routes, in their order.
    pub routes: &'p [Spans],
    /// Its floors, in their order.
    pub floors: &'p [Spans],
    /// Its exceptions, in their order.
    pub exceptions: &'p [ExceptionSpans],
    /// The rungs that the policy itself names.
    pub rungs: &'p [(Box<str>, Span)],
    /// Its issuers and local profiles, with all that is under them.
    pub written: &'p [Written],
    /// The policy's own files; what stands elsewhere is a shipped profile's.
    pub own: &'p [FileId],
}

/// Looks a whole policy over.
pub fn check(policy: &Policy, places: &Places<'_>, out: &mut Report) {
    routes::no_routes(policy, places.routes_key, out);
    routes::idle_floors(policy, places.floors, out);
    routes::idle_allowances(policy, places.routes, out);
    routes::observing(policy, places.routes, out);
    issuers::idle_rungs(policy, places.rungs, out);
    issuers::tokens_not_taken(policy, places, out);
    issuers::unnamed(policy, places, out);
    issuers::unclassed(policy, places, out);
    proofs::check(policy, places, out);
    evidence::uncapped(policy, places, out);
    evidence::beside_ignored(policy, places, out);
    levels::without_age(policy, places, out);
    levels::unchallengeable(policy, places, out);
    let (overlap, floors) = (Overlap::of(policy.routes()), asks::of_floors(policy));
    let (asks, spans, floor_spans) = (asks::of_routes(policy, &floors), places.routes, places.floors);
    let weaker = weaker::Weaker { policy, overlap: &overlap, asks: &asks, spans, floors: &floors, floor_spans };
    weaker.methods(out);
    weaker.writes(out);
    weaker.hosts(out);
    weaker.case(out);
    weaker.rewrites(out);
    weaker.encoded_slashes(out);
    weaker.callbacks(out);
    shadows::shadowed(&overlap, places.routes, out);
    shadows::siblings(&overlap, places.routes, out);
    on_deny::circles(policy, places.routes, out);
    exceptions::check(policy, places, out);
}

impl<'p> Places<'p> {
    /// What an issuer's entry comes to.
    pub(super) fn issuer(&self, name: &str) -> Option<&'p Node> {
        self.written.iter().find(|one| one.section == "issuers" && *one.name == *name).map(|one| &one.node)
    }

    /// Where a key of an entry stands, and its value, if the policy wrote it itself.
    pub(super) fn own_key(&self, node: &'p Node, name: &str) -> Option<(Span, &'p Node)> {
        let pairs = pairs(Some(node));
        let (key, node) = pairs.iter().find(|(key, _)| *key.text == *name)?;
        self.own.contains(&key.span.file).then_some((key.span, node))
    }
}

/// The keys of a mapping, if there is one.
pub(super) fn pairs(node: Option<&Node>) -> &[(Key, Node)] {
    match node.map(|node| &node.kind) {
        Some(Kind::Map(pairs)) => pairs,
        Some(Kind::Null | Kind::Scalar { .. } | Kind::List(_)) | None => &[],
    }
}
