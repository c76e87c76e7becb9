//! What let a stream in, and whether that still holds.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use http::header::HeaderValue;
use smallvec::SmallVec;

use crate::assurance::{Assurance, Fact};
use crate::clock;
use crate::live::held::InForce;
use crate::policy::{
    AtPolicy, CanonicalPath, Condition, Demand, Denial, Permit, Place, Policy, Requirement, Route, Streams, Target,
    Tokens, judge, judge_error_response,
};
use crate::proxy::downstream::connection::LINGER;
use crate::proxy::downstream::lane::Lane;
use crate::proxy::downstream::worker::Worker;
use crate::proxy::evidence::{self, Verified};
use crate::proxy::extract::Found;
use crate::proxy::kept::Desk;
use crate::proxy::oversight::renewals::{AllShown, Renewals, Session, Shown};
use crate::proxy::verify::Verify;
use crate::reason::Reason;
use crate::telemetry::{Blocked, Decision, Recorder, StreamEnd, UpstreamFailure};
use crate::token::claims::LEEWAY_SECONDS;
use crate::token::{Credential, Timestamp, TokenKind};

/// The longest that nobody looks at a stream: a key may leave its issuer's set, a sign-in be ended by a logout, and the wall
/// clock be set, without a word.
const LOOK: i64 = 60;

/// A request that was let in, and by what.
pub(in crate::proxy) struct Case<'c> {
    pub(in crate::proxy) live: &'c Rc<InForce>,
    /// Its route's place in the policy.
    pub(in crate::proxy) place: usize,
    pub(in crate::proxy) method: &'c Method,
    pub(in crate::proxy) host: &'c str,
    pub(in crate::proxy) path: CanonicalPath,
    /// The tokens, and the kind of the one whose evidence spoke.
    pub(in crate::proxy) tokens: (&'c Verified<'c>, Option<TokenKind>),
    pub(in crate::proxy) is_error_response: bool,
    /// When the exception ends that let it in, where one did.
    pub(in crate::proxy) until: Option<Timestamp>,
    pub(in crate::proxy) id: &'c HeaderValue,
    pub(in crate::proxy) client: IpAddr,
    pub(in crate::proxy) lane: &'c Lane,
    pub(in crate::proxy) now: Timestamp,
    pub(in crate::proxy) started: Instant,
}

/// What let a stream in.
#[derive(Debug)]
pub(super) struct Standing {
    basis: Basis,
    method: Method,
    host: String,
    path: CanonicalPath,
    is_error_response: bool,
    id: HeaderValue,
    client: IpAddr,
    lane: Lane,
    started: Instant,
}

/// The policy and the tokens that it stands on now.
#[derive(Debug)]
struct Basis {
    live: Rc<InForce>,
    place: usize,
    streams: Streams,
    tokens: SmallVec<[Held; 1]>,
    /// When they came.
    since: Timestamp,
    /// When the exception ends by which they are let in; `None`: by none.
    until: Option<Timestamp>,
}

/// Tokens that came with one request, with when that was.
struct Came {
    shown: AllShown,
    at: Timestamp,
    good_until: Option<Timestamp>,
}

/// A token, with its place in what the route takes.
#[derive(Debug)]
struct Held {
    credential: Credential,
    source: usize,
    assurance: Arc<Assurance>,
}

impl Basis {
    fn new(live: &Rc<InForce>, place: usize, tokens: (&Verified<'_>, Option<TokenKind>), since: Timestamp) -> Self {
        let (tokens, by) = tokens;
        let route = live.policy.routes().get(place);
        // Pushed one by one: nearly always it is one, and gathering costs more.
        let mut held = SmallVec::new();
        for (found, assurance) in tokens.standing(by) {
            held.push(Held {
                credential: found.credential.clone(),
                source: route.and_then(|route| route.take.element_offset(found.source)).unwrap_or(usize::MAX),
                assurance: Arc::clone(assurance),
            });
        }
        Self {
            live: Rc::clone(live),
            place,
            streams: route.map_or_else(Streams::default, |route| route.streams),
            tokens: held,
            since,
            until: None,
        }
    }

    /// By the exception that ends then, if by one.
    fn until(self, until: Option<Timestamp>) -> Self {
        Self { until, ..self }
    }

    fn route(&self) -> Option<&Route> {
        self.live.policy.routes().get(self.place)
    }

    /// When the first of its tokens is good no more.
    fn expires(&self) -> Option<Timestamp> {
        let route = self.route();
        let is_kept = |held: &Held| {
            let source = route.and_then(|route| route.take.get(held.source));
            source.is_some_and(|source| matches!(source.place, Place::Kept(..)))
        };
        // As each is believed: a token with leeway, what we kept of one to the second.
        let end = |held: &Held| {
            let expires = held.assurance.expires;
            if is_kept(held) { expires } else { expires.plus_seconds(LEEWAY_SECONDS) }
        };
        self.tokens.iter().map(end).min()
    }

    /// The tokens, with where they stood.
    fn shown(&self) -> Option<AllShown> {
        let route = self.route()?;
        let shown = |held: &Held| {
            let source = route.take.get(held.source)?.clone();
            Some(Shown { credential: held.credential.clone(), source })
        };
        self.tokens.iter().map(shown).collect()
    }

    fn as_tokens(&self) -> Option<Tokens<'_>> {
        match self.tokens.as_slice() {
            [one] => Some(Tokens::One(&one.assurance)),
            [access, id] => Some(Tokens::Pair { access: &access.assurance, id: &id.assurance }),
            _ => None,
        }
    }
}

impl Standing {
    /// What let this request in. `room`: memory that was used before.
    pub(super) fn of(case: Case<'_>, mut room: String) -> Self {
        let Case { live, place, method, host, path, tokens, is_error_response, until, id, client, lane, now, started } =
            case;
        room.clear();
        room.push_str(host);
        Self {
            basis: Basis::new(live, place, tokens, now).until(until),
            method: method.clone(),
            host: room,
            path,
            is_error_response,
            id: id.clone(),
            client,
            lane: lane.clone(),
            started,
        }
    }

    /// Memory for the next one.
    pub(super) fn room(&mut self) -> String {
        std::mem::take(&mut self.host)
    }

    /// Whether it was judged by this.
    pub(super) fn is_by(&self, live: &Rc<InForce>) -> bool {
        self.basis.streams.at_policy == AtPolicy::Keep || Rc::ptr_eq(&self.basis.live, live)
    }

    /// By which session it can be renewed.
    pub(super) fn session(&self, renewals: &Renewals) -> Option<Session> {
        let caller = self.basis.tokens.first().filter(|_| self.basis.streams.renews_by_sid)?;
        renewals.session(&self.basis.live.policy, &caller.assurance)
    }

    pub(super) fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    pub(super) fn route_name(&self) -> &str {
        self.basis.route().map_or("", |route| &route.name)
    }

    pub(super) fn lasted(&self) -> Duration {
        self.started.elapsed()
    }

    /// The client is to take what there is for it, or go.
    pub(super) fn hurry(&self) {
        self.lane.hurry(LINGER);
    }

    fn target(&self) -> Target<'_> {
        Target { method: self.method.as_str(), host: &self.host, path: &self.path }
    }

    /// When something may have changed, by the clock alone.
    pub(super) fn next_look(&self, now: Timestamp) -> Timestamp {
        let mut next = now.plus_seconds(LOOK);
        let streams = self.basis.streams;
        if let Some(expires) = self.basis.expires().filter(|_| streams.closes_at_exp) {
            next = next.min(expires);
        }
        if let Some(until) = self.basis.until {
            next = next.min(until);
        }
        if streams.closes_at_max_age {
            self.ages(|seconds| {
                for held in &self.basis.tokens {
                    if let Fact::Known(signed_in) = held.assurance.evidence.auth_time {
                        // What is as old as it may be is not too old yet.
                        let too_old =
                            Timestamp::from_micros(signed_in.plus_seconds(seconds).micros().saturating_add(1));
                        if too_old > now {
                            next = next.min(too_old);
                        }
                    }
                }
            });
        }
        next
    }

    /// Calls `visit` with every age that its route and floors ask for.
    fn ages(&self, mut visit: impl FnMut(i64)) {
        let (Some(route), policy) = (self.basis.route(), &self.basis.live.policy) else { return };
        let mut walk = |demand: &Demand| {
            demand.walk(&mut |condition| {
                if let Condition::MaxAge(seconds) = condition {
                    visit(i64::from(*seconds));
                }
            });
        };
        route.require.demand().into_iter().for_each(&mut walk);
        let excepted = policy.exceptions().iter().filter(|one| one.routes.contains(&self.basis.place));
        excepted.filter_map(|one| one.instead.as_ref()).for_each(&mut walk);
        policy.floors_under(route, &self.target()).filter_map(|floor| floor.demand.as_ref()).for_each(walk);
    }

    /// Looks whether it may go on.
    ///
    /// # Errors
    /// Why it may not.
    pub(super) async fn look<V: Verify>(&mut self, worker: &Worker<V>) -> Result<(), StreamEnd> {
        let now = clock::now();
        match self.holds(worker, now).await {
            Ok(()) => Ok(()),
            Err(why) => {
                if self.is_renewed(worker, now).await {
                    Ok(())
                } else {
                    Err(why)
                }
            }
        }
    }

    async fn holds<V: Verify>(&mut self, worker: &Worker<V>, now: Timestamp) -> Result<(), StreamEnd> {
        let streams = self.basis.streams;
        if streams.closes_at_exp && self.basis.expires().is_some_and(|expires| now >= expires) {
            return Err(Reason::Expired.into());
        }
        if streams.at_policy == AtPolicy::Keep {
            let is_over = self.basis.until.is_some_and(|until| now >= until);
            return if streams.closes_at_max_age || is_over { self.is_let_in_still(now) } else { Ok(()) };
        }
        let live = worker.live();
        if streams.at_policy == AtPolicy::Close && !Rc::ptr_eq(&live, &self.basis.live) {
            return Err(StreamEnd::PolicyChanged);
        }
        // What can't be told any more is not to be believed.
        let shown = self.basis.shown().ok_or(Reason::TokenMissing)?;
        let came = Came { shown, at: self.basis.since, good_until: self.basis.expires() };
        self.basis = self.judged(worker, &live, came, now).await?;
        Ok(())
    }

    /// By the policy that let it in, of which nothing but the time can have changed.
    fn is_let_in_still(&mut self, now: Timestamp) -> Result<(), StreamEnd> {
        let Some(tokens) = self.basis.as_tokens() else { return Ok(()) };
        let route = self.basis.route().ok_or(Reason::RouteNone)?;
        let age = if self.basis.streams.closes_at_max_age { now } else { self.basis.since };
        let judged = judge_aged(&self.basis.live.policy, route, &self.target(), Some(tokens), (age, now));
        self.basis.until = until(&judged.map_err(|denial| StreamEnd::from(denial.reason))?);
        Ok(())
    }

    /// Whether a later token of the same session would be let in here, and by it, on what it stands from now on.
    async fn is_renewed<V: Verify>(&mut self, worker: &Worker<V>, now: Timestamp) -> bool {
        let Some(session) = self.session(&worker.renewals) else { return false };
        let Some(caller) = self.basis.tokens.first() else { return false };
        let issuer = self.basis.live.policy.issuer(caller.assurance.issuer);
        let expires = self.basis.tokens.iter().map(|held| held.assurance.expires).min();
        let Some((later, issuer)) = worker.renewals.later(session).zip(issuer) else { return false };
        if !later.is_of(&issuer.expectation.issuer, &caller.assurance) || expires >= Some(later.expires) {
            return false;
        }
        let came = Came { shown: later.shown, at: now, good_until: Some(later.expires) };
        let Ok(basis) = self.judged(worker, &worker.live(), came, now).await else { return false };
        let stays = |expires| now < expires || !basis.streams.closes_at_exp;
        let renewed = basis.expires().is_none_or(stays);
        if renewed {
            self.basis = basis;
        }
        renewed
    }

    /// Judges its request as if it came now with these tokens, but for what its route says is no reason to end it.
    async fn judged<V: Verify>(
        &self,
        worker: &Worker<V>,
        live: &Rc<InForce>,
        came: Came,
        now: Timestamp,
    ) -> Result<Basis, StreamEnd> {
        let (policy, target, streams) = (&live.policy, self.target(), self.basis.streams);
        let ends = |denial: Denial| StreamEnd::from(denial.reason);
        if live.metadata.as_ref().is_some_and(|metadata| metadata.answers(policy, &target)) {
            return Err(Reason::RouteNone.into());
        }
        let (place, route) = policy.route_at(&target).map_err(ends)?;
        let none = Verified::default();
        if route.require == Requirement::Public {
            let permit = judge(policy, route, &target, None, now).map_err(ends)?;
            return Ok(Basis::new(live, place, (&none, permit.by()), came.at));
        }
        if self.is_error_response {
            let permit = judge_error_response(policy, route, &target).map_err(ends)?;
            return Ok(Basis::new(live, place, (&none, permit.by()), came.at));
        }
        let mut found = SmallVec::new();
        for Shown { credential, source } in came.shown {
            // Where it stood, it must be looked for still.
            let source = route.take.iter().find(|taken| taken.place == source.place).ok_or(Reason::TokenMissing)?;
            found.push(Found { credential, source, with_proof: false });
        }
        // What does not end a stream is judged as it was when it began, or while it was good.
        let ago = |at: Timestamp| Timestamp::from_micros(at.micros().saturating_sub(1));
        let good = came.good_until.filter(|_| !streams.closes_at_exp).map_or(now, |expires| now.min(ago(expires)));
        let age = if streams.closes_at_max_age { now } else { came.at };
        let gate = &worker.gate;
        let desk = Desk { sealing: gate.sealing.as_ref(), recorder: &Quiet, host: &self.host, id: &self.id, now: good };
        let missing = found.is_empty();
        let verified = evidence::verify(&gate.verifier, policy, found, self.client, desk).await;
        let (tokens, permit) = match verified {
            Ok(tokens) if !missing => {
                let permit = judge_aged(policy, route, &target, tokens.as_tokens(), (age, now)).map_err(ends)?;
                (tokens, permit)
            }
            // It was let in without a token that could be believed, and goes on as long as its route only observes.
            Ok(tokens) => (tokens, judge(policy, route, &target, None, age).map_err(ends)?),
            Err(refusal) => {
                let reason = refusal.denial.reason;
                let permit = refusal.overlooked(policy, route, &target).map_err(|_refused| StreamEnd::from(reason))?;
                (none, permit)
            }
        };
        Ok(Basis::new(live, place, (&tokens, permit.by()), came.at).until(until(&permit)))
    }
}

/// Judges with the age of the sign-in as it was at `age`. An exception lets nobody in from its end on, whatever the age
/// counts from.
fn judge_aged(
    policy: &Policy,
    route: &Route,
    target: &Target<'_>,
    tokens: Option<Tokens<'_>>,
    (age, now): (Timestamp, Timestamp),
) -> Result<Permit, Denial> {
    let permit = judge(policy, route, target, tokens, age)?;
    if until(&permit).is_some_and(|until| now >= until) {
        judge(policy, route, target, tokens, now)
    } else {
        Ok(permit)
    }
}

fn until(permit: &Permit) -> Option<Timestamp> {
    permit.excepted().map(|by| by.until)
}

/// Who is told of each request's kept cookie is not told of each look at one.
pub(in crate::proxy) struct Quiet;

impl Recorder for Quiet {
    fn decided(&self, _: &Decision<'_>) -> Result<(), Blocked> {
        Ok(())
    }

    fn upstream_failed(&self, _: &UpstreamFailure<'_>) {}
}
