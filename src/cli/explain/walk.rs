//! The way of a request, without sockets, with each step kept.

use crate::assurance::{IssuerId, classes_counted, pair};
use crate::cli::explain::beside::Beside;
use crate::cli::explain::client::client;
use crate::cli::explain::kept;
use crate::cli::explain::setting::Setting;
use crate::cli::explain::tokens::{self, Believed};
use crate::cli::explain::told::{Explained, GateTold, Given, Keys, Named, Operator, ReckonedTold};
use crate::policy::{
    CanonicalPath, Denial, Elsewhere, Kinds, Mend, Permit, Place, Policy, Requirement, ResourceMetadata, Route, Step,
    Target, TokenSource, Tokens, canonical_host, ground, judge, judge_preflight, mend, outline, overlook, reckon,
    retell,
};
use crate::proxy::{Brought, Rehearsal, Taken, preview};
use crate::reason::Reason;
use crate::token::{Timestamp, TokenKind};

/// One request, and all that it is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'q> {
    pub(super) policy: &'q Policy,
    /// The keys of each issuer, in the policy's order.
    pub(super) keys: &'q [Keys],
    /// As it was written.
    pub(super) request: &'q str,
    pub(super) method: &'q str,
    pub(super) authority: &'q str,
    pub(super) path: &'q str,
    pub(super) given: &'q [Given],
    /// What it brings besides.
    pub(super) beside: &'q Beside,
    /// What the gate's settings say.
    pub(super) setting: &'q Setting,
    /// What the gate itself answers, if the settings say what clients call it.
    pub(super) metadata: Option<&'q ResourceMetadata>,
    pub(super) how: How<'q>,
    /// What each issuer says that it supports of `acr`, in the policy's order, where that is known.
    pub(super) supported: &'q [Option<Box<[Box<str>]>>],
    /// The running gate that policy and keys are of.
    pub(super) gate: Option<&'q GateTold>,
    pub(super) now: Timestamp,
}

/// What a request is besides its method and its URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum How<'q> {
    /// Nothing.
    #[default]
    Plain,
    /// A gRPC call.
    Grpc,
    /// A preflight for a request with this method.
    Preflight(&'q str),
}

/// Takes a request its way.
pub(super) fn explain(question: &Question<'_>) -> Explained {
    let Question { policy, request, now, .. } = *question;
    let mut told = Explained {
        request: request.to_owned(),
        now,
        gate: question.gate.cloned(),
        policy: policy.hash().into(),
        canonical: None,
        route: None,
        passed_over: Vec::new(),
        nearly: Vec::new(),
        floors: Vec::new(),
        takes: Vec::new(),
        form: None,
        unread: Vec::new(),
        tokens: Vec::new(),
        pair: None,
        reckoned: Vec::new(),
        asks: Vec::new(),
        denial: None,
        would_deny: None,
        exceptions: Vec::new(),
        exception: None,
        keeps: None,
        deletes: Vec::new(),
        decided: String::new(),
        levels: Vec::new(),
        response: None,
        client: None,
        operator: None,
    };
    let (outcome, mended) = walk(question, &mut told);
    told.decided = Step::Decided(outcome.clone()).text(policy);
    let reached = outcome.as_ref().map_or_else(|denial| denial.levels.as_slice(), Permit::levels);
    told.levels = reached.iter().map(|rung| policy.ladders().name(*rung).to_owned()).collect();
    told.would_deny = outcome.as_ref().ok().and_then(Permit::would_deny).cloned();
    told.exception = outcome.as_ref().ok().and_then(Permit::excepted).map(|by| by.name.to_string());
    // Where a kept cookie was not believed, no token of an issuer was at fault.
    let is_spent = outcome.is_err() && !told.deletes.is_empty();
    let of_cookie = is_spent && told.reckoned.is_empty();
    let operator = |denial: &Denial| {
        let guide = denial.reason.guide();
        let hint = of_cookie.then(|| denial.reason.hint_of_kept()).flatten();
        let hint = hint.unwrap_or_else(|| policy.hint(denial.reason, denial.issuer)).to_owned();
        Operator { hint, remedy: guide.remedy, sources: guide.sources }
    };
    told.operator = told.would_deny.as_ref().map(operator);
    if let Err(denial) = outcome {
        let realm = told.canonical.as_ref().map_or("", |(host, _)| host);
        let of = |issuer: IssuerId| question.supported.get(usize::try_from(issuer.0).ok()?)?.as_deref();
        let supported = denial.issuer.and_then(of);
        let metadata = question.metadata.map(|metadata| &*metadata.url);
        told.response = Some(preview(&denial, realm, metadata, supported, question.how == How::Grpc));
        told.client = Some(client(&denial, mended, is_spent));
        told.operator = Some(operator(&denial));
        told.denial = Some(denial);
    }
    told
}

fn refused(reason: Reason, detail: impl Into<String>) -> Denial {
    Denial { detail: detail.into(), ..Denial::because(reason) }
}

type Outcome = Result<Permit, Denial>;

fn walk(question: &Question<'_>, told: &mut Explained) -> (Outcome, Option<Mend>) {
    let Question { policy, method, authority, now, .. } = *question;
    if matches!(method, "CONNECT" | "TRACE") {
        return (Err(refused(Reason::RequestMalformed, format!("{method} is never forwarded"))), None);
    }
    let Some(host) = canonical_host(authority) else {
        return (Err(refused(Reason::RequestMalformed, format!("`{authority}` is no host"))), None);
    };
    let path = match CanonicalPath::of_request(question.path) {
        Ok(path) => path,
        Err(ambiguity) => return (Err(refused(Reason::PathAmbiguous, ambiguity.to_string())), None),
    };
    told.canonical = Some((host.clone().into_owned(), path.to_string()));
    let target = Target { method, host: &host, path: &path };
    told.nearly = policy.nearly(&target).iter().map(named).collect();
    let own = question.metadata.filter(|metadata| metadata.answers(policy, &target));
    if let (How::Preflight(asked), None) = (question.how, own)
        && let Some((_, route, permit)) = judge_preflight(policy, &target, asked)
    {
        retell_ground(policy, route, &target, told);
        return (Ok(permit), None);
    }
    let route = match (own, policy.route_at(&target)) {
        (Some(metadata), _) => &metadata.route,
        (None, Ok((place, route))) => {
            told.passed_over = policy.passed_over(&target, place).iter().map(named).collect();
            route
        }
        (None, Err(denial)) => return (Err(denial), None),
    };
    retell_ground(policy, route, &target, told);
    // A sign-in that was kept comes as the cookie that it was kept in.
    let made = match question.beside.kept.as_ref().map(|claims| kept::cookie(claims, question, &host)).transpose() {
        Ok(made) => made,
        Err(nothing) => {
            told.tokens.push(*nothing);
            None
        }
    };
    let brought = brought(question, made.as_deref());
    let Some(mut rehearsal) = Rehearsal::of(brought, question.setting.site(), &host, now) else {
        return (Err(refused(Reason::RequestMalformed, "no head of a request can say that")), None);
    };
    if route.require == Requirement::Public {
        let outcome = rehearsal.fits(route).and_then(|()| decided(policy, route, &target, None, now));
        settle(question, &rehearsal, route, (&host, &path), &outcome, &[], told);
        return (outcome, None);
    }
    told.takes = route.take.iter().map(source).collect();
    told.asks = outline(policy, route, &target);
    let (outcome, mended, believed) = judged(question, &mut rehearsal, route, &target, told);
    settle(question, &rehearsal, route, (&host, &path), &outcome, &believed, told);
    (outcome, mended)
}

/// The request, as far as tokens are looked for in it.
fn brought<'q>(question: &Question<'q>, made: Option<&'q str>) -> Brought<'q> {
    let Question { request, method, authority, beside, .. } = *question;
    Brought {
        method,
        authority,
        is_https: request.split_once(' ').is_some_and(|(_, url)| url.starts_with("https://")),
        query: request.split_once('?').map(|(_, query)| query),
        cookies: made.or(beside.cookies.as_ref().map(|(_, cookies)| &**cookies)),
        origin: beside.origin.as_deref(),
        form: beside.form.as_ref().map(|(_, form)| form),
    }
}

/// Takes the tokens, believes them or not, and judges by them.
fn judged(
    question: &Question<'_>,
    rehearsal: &mut Rehearsal<'_>,
    route: &Route,
    target: &Target<'_>,
    told: &mut Explained,
) -> (Outcome, Option<Mend>, Vec<Believed>) {
    let Question { policy, now, .. } = *question;
    let (given, nowhere) = tokens::given(question, route);
    let origins = tokens::origins(question, route, &given);
    let taken = rehearsal.take(policy, route, target, (!given.is_empty()).then_some(&*origins));
    told.form = kept::form(question, route, rehearsal);
    let (pieces, taken) = match taken {
        Taken::Pieces(pieces) => (pieces, Ok(())),
        Taken::ErrorResponse(permit) => {
            told.unread = nowhere;
            return (Ok(permit), None, Vec::new());
        }
        Taken::Refused(denial) => (Vec::new(), Err(denial)),
    };
    if taken.is_ok() || given.is_empty() {
        told.unread = kept::unread(question, route, &pieces, rehearsal);
    }
    told.unread.extend(nowhere);
    let (looked, believed) = tokens::look(question, route, given, &pieces, rehearsal);
    told.tokens.extend(looked);
    // What is wrong with the request is said before anybody looks at its tokens. A route that only observes may let through
    // what brings no token that could be believed.
    let believed = match taken.and(believed) {
        Ok(believed) => believed,
        Err(denial) => return (overlook(policy, route, target, denial), None, Vec::new()),
    };
    let tokens = match paired(policy, &believed, told) {
        Ok(tokens) => tokens,
        Err(denial) => return (overlook(policy, route, target, denial), None, Vec::new()),
    };
    let Some(tokens) = tokens else { return (decided(policy, route, target, None, now), None, Vec::new()) };
    told.reckoned = reckoned(policy, route, target, tokens, now);
    told.asks.clear();
    let steps = retell(policy, route, target, Some(tokens), now);
    let excepting = steps.iter().filter_map(|step| {
        let Step::Exception(exception, _) = step else { return None };
        Some(Named { name: exception.name.to_string(), text: step.text(policy) })
    });
    told.exceptions = excepting.collect();
    let outcome = last(steps).unwrap_or_else(|| judge(policy, route, target, Some(tokens), now));
    let mended = outcome.is_err().then(|| mend(policy, route, target, tokens, now)).flatten();
    let main = believed.first().map(|token| token.assurance.issuer);
    let outcome = outcome.map_err(|denial| Denial { issuer: denial.issuer.or(main), ..denial });
    (outcome, mended, believed)
}

/// What becomes of kept cookies: those that the answer deletes, and the one that it sets.
fn settle(
    question: &Question<'_>,
    rehearsal: &Rehearsal<'_>,
    route: &Route,
    (host, path): (&str, &CanonicalPath),
    outcome: &Outcome,
    believed: &[Believed],
    told: &mut Explained,
) {
    match outcome {
        _ if question.policy.kept().is_empty() => {}
        Ok(permit) => {
            told.deletes = if route.ends.is_empty() { Vec::new() } else { rehearsal.ended(route, path) };
            told.keeps = kept::keeps(question, host, (route, path), permit, believed);
        }
        Err(denial) => told.deletes = rehearsal.spent(route, denial, question.policy),
    }
}

/// Tells of the route and the floors under it.
fn retell_ground(policy: &Policy, route: &Route, target: &Target<'_>, told: &mut Explained) {
    for step in ground(policy, route, target) {
        match &step {
            Step::Route(route) => told.route = Some(Named { name: route.name.to_string(), text: step.text(policy) }),
            Step::Floor(floor) => told.floors.push(Named { name: floor.name.to_string(), text: step.text(policy) }),
            Step::Token(_)
            | Step::Evidence { .. }
            | Step::Level { .. }
            | Step::Asked(_)
            | Step::Exception(..)
            | Step::Decided(_) => {}
        }
    }
}

/// The decision: what the retelling of it ends with.
fn decided(policy: &Policy, route: &Route, target: &Target<'_>, tokens: Option<Tokens<'_>>, now: Timestamp) -> Outcome {
    let steps = retell(policy, route, target, tokens, now);
    last(steps).unwrap_or_else(|| judge(policy, route, target, tokens, now))
}

fn last(mut steps: Vec<Step<'_>>) -> Option<Outcome> {
    match steps.pop() {
        Some(Step::Decided(outcome)) => Some(outcome),
        _ => None,
    }
}

fn named(elsewhere: &Elsewhere<'_>) -> Named {
    Named { name: elsewhere.route.name.to_string(), text: elsewhere.why.clone() }
}

/// Where a route looks, in words.
fn source(source: &TokenSource) -> String {
    let kinds = match source.kinds {
        Kinds::Access => "access tokens",
        Kinds::Id => "id_tokens",
        Kinds::Any => "access tokens and id_tokens",
    };
    let place = match &source.place {
        Place::Authorization => "the field Authorization (Bearer)".to_owned(),
        Place::Header(name) => format!("the field {name}"),
        Place::Kept(name, _) => format!("what was kept of a sign-in, in the cookie {name}"),
        Place::Form { name, .. } => format!("the parameter {name} of a posted form"),
        Place::Cookie(name, _) => {
            format!("the cookie {name} (by other methods than GET, HEAD and OPTIONS only from its own origins)")
        }
    };
    format!("{place}, for {kinds}")
}

/// The tokens as the decision takes them: two only if they belong together.
fn paired<'b>(policy: &Policy, believed: &'b [Believed], told: &mut Explained) -> Result<Option<Tokens<'b>>, Denial> {
    let of = |kind| tokens::of_kind(believed, kind);
    let (access, id) = match (of(TokenKind::Access), of(TokenKind::Id)) {
        (Some(access), Some(id)) => (access, id),
        (Some(one), None) | (None, Some(one)) => return Ok(Some(Tokens::One(&one.assurance))),
        (None, None) => return Ok(None),
    };
    let issuer = policy.issuer(access.assurance.issuer);
    let kept = access.kept || id.kept;
    let tied =
        issuer.is_some_and(|issuer| pair::together(issuer, (&access.assurance, &access.text), &id.assurance, kept));
    let by = match issuer.map(|issuer| issuer.pair) {
        _ if kept => "an equal subject, and an equal client where both name one",
        Some(crate::assurance::Pair::Subject) => "an equal subject and client",
        Some(crate::assurance::Pair::Bound) | None => {
            "`at_hash` of the access token in the id_token, or an equal `sid`"
        }
    };
    if tied {
        told.pair = Some((true, format!("the two belong together, by {by}")));
        return Ok(Some(Tokens::Pair { access: &access.assurance, id: &id.assurance }));
    }
    let detail = format!("nothing ties the id_token to the access token: it takes one issuer, and {by}");
    told.pair = Some((false, detail.clone()));
    Err(Denial { issuer: Some(access.assurance.issuer), ..refused(Reason::TokensDisagree, detail) })
}

fn reckoned(
    policy: &Policy,
    route: &Route,
    target: &Target<'_>,
    tokens: Tokens<'_>,
    now: Timestamp,
) -> Vec<ReckonedTold> {
    let all = reckon(policy, route, target, tokens, now);
    let name = |rung: &crate::assurance::Rung| policy.ladders().name(*rung).to_owned();
    let told = |reckoned: crate::policy::Reckoned| {
        let token = match tokens {
            Tokens::Pair { id, .. } if reckoned.witness == TokenKind::Id => id,
            Tokens::Pair { access: token, .. } | Tokens::One(token) => token,
        };
        let evidence = Step::Evidence { token, ignored: reckoned.ignored.clone(), now }.text(policy);
        let classes = classes_counted(token, &reckoned.ignored);
        let classes = classes.map(|(certain, possible)| {
            let perhaps = possible.names().filter(|name| !certain.names().any(|sure| sure == *name)).collect();
            (certain.names().collect(), perhaps)
        });
        let levels = reckoned.reached.iter().map(name).collect();
        let missed = reckoned.missed.iter().map(|missed| name(&missed.rung)).collect();
        ReckonedTold { reckoned, evidence, classes, levels, missed }
    };
    all.into_iter().map(told).collect()
}
