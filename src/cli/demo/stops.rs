//! Finds requests to show for a policy: of each route one that is refused and one that goes through. They are those of
//! the tests beside it, or are tried out; what becomes of each is what the decision functions say of the very token.

use std::path::PathBuf;

use crate::assurance::{Expression, Issuer};
use crate::cli::test::judge::{Decision, judge};
use crate::config::cases::{Case, Expected, TestToken, Tests};
use crate::config::{SourceFile, Sources, Span};
use crate::demo::Mint;
use crate::demo::tour::{Carrier, SignIn, Stop};
use crate::demo::wish::Wish;
use crate::policy::{
    CanonicalPath, Condition, HostPattern, Methods, Place, Policy, Requirement, Route, Segment, Target, canonical_host,
};
use crate::reason::Reason;
use crate::token::{Json, Timestamp, TokenKind, danger_assume_signed};

/// At the most as many are shown; a long policy would scroll away what matters.
const MOST: usize = 16;

/// The pairs of a query of `/token`.
type Query = Vec<(String, String)>;

/// What there is to show.
#[derive(Debug)]
pub(super) struct Found {
    /// The requests.
    pub(super) stops: Vec<Stop>,
    /// The routes of which nothing goes through that was tried.
    pub(super) unseen: Vec<String>,
    /// How many requests are left out.
    pub(super) left_out: usize,
}

/// Finds it.
pub(super) fn find(policy: &Policy, tests: &[Tests], mint: &Mint, now: Timestamp) -> Found {
    let (mut stops, mut unseen) = (Vec::new(), Vec::new());
    for route in policy.routes() {
        let known = of_tests(route, policy, tests).into_iter();
        let mut tried: Vec<Stop> =
            known.filter_map(|(case, queries)| stop(route, &case, &queries, policy, mint, now)).collect();
        if tried.iter().all(|stop| stop.refused.is_some()) {
            let made = made_up(route, policy).into_iter();
            tried.extend(made.filter_map(|(case, query)| stop(route, &case, &query, policy, mint, now)));
        }
        let telling = |stop: &&Stop| stop.refused.as_deref().and_then(Reason::from_code).map(rank);
        let refused = tried.iter().filter(|stop| stop.refused.is_some()).min_by_key(telling);
        let passes = tried.iter().find(|stop| stop.refused.is_none());
        if passes.is_none() {
            unseen.push(route.name.to_string());
        }
        stops.extend(refused.into_iter().chain(passes).cloned());
    }
    let left_out = stops.len().saturating_sub(MOST);
    stops.truncate(MOST);
    Found { stops, unseen, left_out }
}

/// What is told first: how the user signed in, then what else a token lacks, then that there is none.
fn rank(reason: Reason) -> usize {
    let first = [Reason::LevelTooLow, Reason::AcrInsufficient, Reason::AmrInsufficient];
    let then = [Reason::AmrMissing, Reason::AcrMissing, Reason::AcrUnknown, Reason::AuthTooOld];
    if first.contains(&reason) {
        0
    } else if then.contains(&reason) {
        1
    } else if reason == Reason::TokenMissing {
        3
    } else {
        2
    }
}

/// The cases of the tests that come to this route.
fn of_tests(route: &Route, policy: &Policy, tests: &[Tests]) -> Vec<(Case, Vec<Query>)> {
    let mut found = Vec::new();
    for tests in tests {
        for case in tests.cases.iter().filter(|case| comes_to(case, route, policy)) {
            let named = case.tokens.iter().filter_map(|place| tests.tokens.get(*place));
            let queries = named.map(|token| vec![("test".to_owned(), token.name.to_string())]).collect();
            found.push((case.clone(), queries));
        }
    }
    found
}

/// Whether a request is this route's.
fn comes_to(case: &Case, route: &Route, policy: &Policy) -> bool {
    let (Some(host), Ok(path)) = (canonical_host(&case.authority), CanonicalPath::parse(&case.path)) else {
        return false;
    };
    let target = Target { method: &case.method, host: &host, path: &path };
    policy.route(&target).is_ok_and(|found| found.name == route.name)
}

/// Requests to a route that has no tests: sign-ins of many kinds, of each issuer.
fn made_up(route: &Route, policy: &Policy) -> Vec<(Case, Vec<Query>)> {
    let case = an_example(route);
    let mut all = vec![(case.clone(), Vec::new())];
    let asked = common(route, policy);
    for issuer in policy.issuers() {
        for evidence in sign_ins(issuer) {
            let mut query = vec![("issuer".to_owned(), issuer.name.to_string())];
            let kinds = [("access", TokenKind::Access), ("id", TokenKind::Id)];
            let taken = |kind: TokenKind| route.take.iter().any(|source| source.kinds.takes(kind));
            let has = |kind: TokenKind| match kind {
                TokenKind::Access => issuer.expectation.access.is_some(),
                TokenKind::Id => issuer.expectation.id.is_some(),
            };
            let Some((kind, _)) = kinds.into_iter().find(|(_, kind)| taken(*kind) && has(*kind)) else { continue };
            query.push(("kind".to_owned(), kind.to_owned()));
            query.extend(evidence);
            query.extend(asked.iter().cloned());
            all.push((case.clone(), vec![query]));
        }
    }
    all
}

/// A request that the route matches.
fn an_example(route: &Route) -> Case {
    let segment = |segment: &Segment| match segment {
        Segment::Literal(text) | Segment::Folded(text) => text.to_string(),
        Segment::Parameter(_) => PARAMETER.to_owned(),
    };
    let segments: Vec<String> = route.matches.path.segments().iter().map(segment).collect();
    let method = match &route.matches.methods {
        Methods::Any => "GET".into(),
        Methods::Named(names) => names.iter().find(|name| &***name != "HEAD").cloned().unwrap_or_else(|| "GET".into()),
    };
    let host = match route.matches.hosts.first() {
        Some(HostPattern::Exact(host)) => host.to_string(),
        Some(HostPattern::Suffix(suffix)) => format!("www{suffix}"),
        Some(HostPattern::Any) | None => ANY_HOST.to_owned(),
    };
    let path = format!("/{}", segments.join("/"));
    // It stands in no file.
    let nowhere = SourceFile { name: String::new(), folder: PathBuf::new(), text: String::new() };
    let span = Span { file: Sources::default().add(nowhere), start: 0, end: 0 };
    let (name, tokens, expect) = (None, Vec::new(), Expected::Allow);
    Case {
        span,
        name,
        method,
        authority: host.into(),
        path: path.clone().into(),
        request: path.into(),
        tokens,
        preflight: None,
        expect,
    }
}

const PARAMETER: &str = "7";
const ANY_HOST: &str = "127.0.0.1";

/// What every token for a route has to say besides: scopes, and what the path is bound to.
fn common(route: &Route, policy: &Policy) -> Query {
    let mut query = Query::new();
    let Some(demand) = route.require.demand() else { return query };
    let mut scopes: Vec<&str> = Vec::new();
    demand.walk(&mut |condition| {
        if let Condition::Scopes { all, any } = condition {
            scopes.extend(all.iter().chain(any.first()).map(|scope| &**scope));
        }
        if let Condition::Bind { claim, .. } = condition {
            query.push((format!("claim.{}", policy.claims().name(*claim)), format!("\"{PARAMETER}\"")));
        }
    });
    scopes.dedup();
    if !scopes.is_empty() {
        query.push(("scope".to_owned(), scopes.join(" ")));
    }
    query
}

/// Sign-ins to try at an issuer, weak ones first: what its proofs name, and what many have.
fn sign_ins(issuer: &Issuer) -> Vec<Query> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut acrs: Vec<String> = Vec::new();
    for proof in &issuer.proofs {
        proof.evidence.walk(&mut |part| {
            if let Expression::Acr(values) = part {
                acrs.extend(values.iter().map(ToString::to_string));
            }
            if let Expression::AcrAtLeast(number) = part {
                acrs.push(number.to_string());
            }
        });
    }
    let mut all = vec![vec![pair("amr", "pwd")], vec![pair("amr", "otp")], vec![pair("amr", "pwd,otp")]];
    all.extend(acrs.iter().map(|acr| vec![pair("acr", acr), pair("amr", "pwd")]));
    all.extend(acrs.iter().map(|acr| vec![pair("acr", acr), pair("amr", "pwd,otp")]));
    all.push(vec![pair("amr", "pwd,hwk,mfa")]);
    all.extend(acrs.iter().map(|acr| vec![pair("acr", acr), pair("amr", "pwd,hwk,mfa")]));
    all
}

/// What becomes of a request with these tokens. `None` where a token cannot be made or carried by a command.
fn stop(route: &Route, case: &Case, queries: &[Query], policy: &Policy, mint: &Mint, now: Timestamp) -> Option<Stop> {
    let (mut tokens, mut carried, mut says) = (Vec::new(), Vec::new(), Vec::new());
    for query in queries {
        let content = mint.content(&Wish::read(query).ok()?, now).ok()?;
        says.push(sign_in(&content.claims));
        let claims = Json::parse(&content.claims.to_string()).ok()?;
        let token = TestToken { name: "token".into(), typ: content.typ.map(Into::into), claims };
        let carrier = carrier(route, kind(&token, policy, now)).or_else(|| kept(route, case, &token, policy, now))?;
        carried.push((carrier, written(query)));
        tokens.push(token);
    }
    let tokens: Vec<&TestToken> = tokens.iter().collect();
    let refused = match judge(case, &tokens, policy, now).decision {
        Decision::Deny(reason) => Some(reason.code().to_owned()),
        Decision::Allow | Decision::WouldDeny(_) => None,
    };
    let needs_host = !route.matches.hosts.contains(&HostPattern::Any);
    Some(Stop {
        route: route.name.to_string(),
        method: case.method.to_string(),
        host: needs_host.then(|| case.authority.to_string()),
        path: case.path.to_string(),
        tokens: if route.require == Requirement::Public { Vec::new() } else { carried },
        says,
        refused,
    })
}

/// The kind of a token, by what its issuer's entry says; what is neither goes where access tokens go.
fn kind(token: &TestToken, policy: &Policy, now: Timestamp) -> TokenKind {
    let issuer = Tests::issuer_of(token, policy).and_then(|id| policy.issuer(id));
    let assumed = |issuer: &Issuer| {
        danger_assume_signed(token.claims.clone(), token.typ.as_deref(), &issuer.expectation, now).ok()
    };
    issuer.and_then(assumed).map_or(TokenKind::Access, |token| token.kind())
}

/// Where the route looks for a token of a kind, as far as one request can carry it.
fn carrier(route: &Route, kind: TokenKind) -> Option<Carrier> {
    let places = route.take.iter().filter(|source| source.kinds.takes(kind)).chain(route.take.first());
    places.map(|source| &source.place).find_map(|place| match place {
        Place::Authorization => Some(Carrier::Authorization),
        Place::Header(name) => Some(Carrier::Header(name.to_string())),
        Place::Cookie(name, _) => Some(Carrier::Cookie(name.to_string())),
        Place::Form { name, .. } => Some(Carrier::Form(name.to_string())),
        // No token goes there: the gate itself sets that cookie, see `kept`.
        Place::Kept(..) => None,
    })
}

/// The cookie that a route takes, if bringing the token to a route that keeps it there gives one for this host.
fn kept(route: &Route, case: &Case, token: &TestToken, policy: &Policy, now: Timestamp) -> Option<Carrier> {
    // Other methods want a page's origin beside such a cookie, which no command has.
    if !["GET", "HEAD"].contains(&&*case.method) {
        return None;
    }
    let cookies = route.take.iter().filter_map(|source| match &source.place {
        Place::Kept(name, _) => Some(name),
        Place::Authorization | Place::Header(_) | Place::Cookie(..) | Place::Form { .. } => None,
    });
    cookies.into_iter().find_map(|cookie| {
        let mut keepers = policy.routes().iter().filter(|one| one.keep.as_ref().is_some_and(|k| k.cookie == *cookie));
        keepers.find_map(|keeper| {
            let sign_in = Case { authority: case.authority.clone(), ..an_example(keeper) };
            let let_in = comes_to(&sign_in, keeper, policy)
                && judge(&sign_in, &[token], policy, now).decision == Decision::Allow;
            let carrier = carrier(keeper, kind(token, policy, now)).filter(|_| let_in)?;
            let (method, path) = (sign_in.method.to_string(), sign_in.path.to_string());
            Some(Carrier::Kept(cookie.to_string(), Box::new(SignIn { method, path, carrier })))
        })
    })
}

/// What a token says of the sign-in, for people.
fn sign_in(claims: &serde_json::Value) -> String {
    let hidden = ["iss", "aud", "iat", "exp", "nbf", "auth_time", "sid"];
    let shown: serde_json::Map<_, _> = claims
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !hidden.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    serde_json::Value::Object(shown).to_string()
}

/// The query as a URL has it.
fn written(query: &Query) -> String {
    let pairs: Vec<String> =
        query.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    pairs.join("&")
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/,".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}
