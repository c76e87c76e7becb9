//! The walk of one request, from its head to a response.
//!
//! `accept → read head → canonical path → route and floors → take tokens → verify → decide → forward | refuse`. What is in
//! force and the time are taken once, at the start; the outcome is recorded once, before anything is forwarded.

use std::borrow::Cow;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::clock;
use crate::live::Snapshot;
use crate::policy::{CanonicalPath, Denial, Grounds, Permit, Requirement, ResourceMetadata, Route, Target, judge};
use crate::proxy::answer::{First, ResponseBody};
use crate::proxy::downstream::connection::Connection;
use crate::proxy::downstream::lane::{Answered, Exchange};
use crate::proxy::downstream::wire::Seen;
use crate::proxy::downstream::worker::Gate;
use crate::proxy::edge::told::Approach;
use crate::proxy::evidence::Verified;
use crate::proxy::extract::Posted;
use crate::proxy::form::{self, Form};
use crate::proxy::forwarding::pool::Lease;
use crate::proxy::glance::Glance;
use crate::proxy::kept::Desk;
use crate::proxy::origin::Own;
use crate::proxy::oversight::{Case, Watching};
use crate::proxy::passage::Passage;
use crate::proxy::refusal::Refusal;
use crate::proxy::request_id::trace_id;
use crate::proxy::respond::{self, Asked, Context, Reader};
use crate::proxy::tunnel::Entrance;
use crate::proxy::tunnel::ask::{self, Ask};
use crate::proxy::verify::Verify;
use crate::proxy::{answer, evidence, extract, kept, metadata, preflight, spare, target};
use crate::reason::Reason;
use crate::telemetry::{Blocked, Decision};
use crate::token::Timestamp;

/// A request on its way, with what was found out of it so far: for the record, whatever the outcome.
struct Walk<'w, 'l, V> {
    connection: &'w Connection<V>,
    live: &'l Snapshot,
    head: &'w Parts,
    glance: Glance,
    seen: Seen,
    /// The length of the body, where it is announced.
    length: Option<u64>,
    id: &'w HeaderValue,
    approach: &'w Approach,
    now: Timestamp,
    started: Instant,
    host: Option<Cow<'w, str>>,
    path: Option<CanonicalPath>,
    route: Option<(usize, &'l Route)>,
    /// What is asked for is the metadata, which the gate itself answers.
    metadata: Option<&'l ResourceMetadata>,
    tokens: Verified<'l>,
    form: Option<Box<Form>>,
    /// What it asks to go over to.
    ask: Option<Box<Ask>>,
    /// The kept cookies that ended here, or are good for nothing any more.
    ended: kept::Names<'l>,
}

/// Handles one request, whatever it is.
#[expect(clippy::too_many_lines, reason = "the walk from its beginning to its end, read from top to bottom")]
pub(super) fn handle<V: Verify>(
    connection: &Connection<V>,
    request: Request<Incoming>,
    exchange: Exchange,
) -> impl Future<Output = Response<ResponseBody>> {
    // Here, for an async function would hold a second copy of what it is given.
    let (mut head, mut body) = request.into_parts();
    async move {
        let (started, now) = (Instant::now(), clock::now());
        let turn = connection.worker.requests.turn();
        let has_turn = turn.is_some();
        let mut answered = Answered::new(exchange.lane.clone(), turn);
        let live = connection.worker.live();
        let readable = if exchange.lane.stream().is_some() { target::of_http2(&mut head) } else { Ok(()) };
        let glance = Glance::at(&head.headers);
        let ids = &connection.worker.ids;
        let id = if glance.request_id { ids.of(&head.headers) } else { ids.make() };
        let approach = connection.edge.approach(&head.headers);
        let mut walk = Walk {
            connection,
            live: &live,
            head: &head,
            glance,
            seen: exchange.seen,
            length: body.size_hint().exact(),
            id: &id,
            approach: &approach,
            now,
            started,
            host: None,
            path: None,
            route: None,
            metadata: None,
            tokens: Verified::default(),
            form: None,
            ask: None,
            ended: kept::Names::new(),
        };
        let mut outcome = match readable {
            _ if !has_turn => Err(Refusal::new(Denial::because(Reason::Overloaded), "`limits.requests` is reached")),
            Err(unreadable) => Err(unreadable),
            Ok(()) => walk.judge(&mut body, &exchange).await,
        };
        walk.settle(&mut outcome);
        let reader = outcome.is_err().then(|| walk.reader());
        if walk.record(&outcome, reader.as_ref()).is_err() {
            outcome = Err(Refusal::because(Reason::Overloaded));
        }
        let Walk { host, path, route, metadata, ref tokens, form, ask, ended, .. } = walk;
        let desk = desk(&connection.worker.gate, host.as_deref().unwrap_or_default(), &id, now);
        let is_head = head.method == Method::HEAD;
        if let (Ok(_), Some(metadata)) = (&outcome, metadata) {
            exchange.lane.leave(body, &exchange.answer_by);
            return last_if(exchange.lane.refuse(), metadata::answer(metadata, &id, is_head, answered));
        }
        let (overseer, permit) = (&connection.worker.overseer, outcome.as_ref().ok());
        if let Some(permit) = permit.filter(|_| live.policy.renews()) {
            let standing = tokens.standing(permit.by()).map(|(found, one)| (&found.credential, found.source, one));
            connection.worker.renewals.note(&live.policy, standing);
        }
        let let_in = permit.map(|permit| {
            let is_error_response = *permit.grounds() == Grounds::ErrorResponse;
            (permit.by(), is_error_response, permit.excepted().map(|by| by.until))
        });
        // What an exception let in ends with it, whatever the route keeps.
        let let_in =
            route.zip(let_in).filter(|((_, route), (.., until))| route.streams.are_watched() || until.is_some());
        let watch = |path| {
            let ((place, _), (by, is_error_response, until)) = let_in?;
            let (live, method, host) = (&live, &head.method, host.as_deref().unwrap_or_default());
            let (id, lane, client) = (&id, &exchange.lane, approach.client);
            let tokens = (tokens, by);
            Some(overseer.watch(Case {
                live,
                place,
                method,
                host,
                path,
                tokens,
                is_error_response,
                until,
                id,
                client,
                lane,
                now,
                started,
            }))
        };
        // What is here in a moment or never is watched, if at all, when there is an answer.
        let lasts = let_in.is_some() && !exchange.lane.has_all_of(&body);
        let mut watching = path.as_ref().filter(|_| lasts).and_then(|path| watch(path.clone()));
        let passed = match (outcome, route, &path) {
            (Ok(permit), Some((place, route)), Some(path)) => {
                let (live, id, approach) = (&*live, &id, &approach);
                let watching = watching.as_ref();
                let passage = Passage {
                    connection,
                    exchange: &exchange,
                    live,
                    route,
                    place,
                    glance,
                    path,
                    tokens,
                    id,
                    approach,
                    started,
                    desk,
                    watching,
                };
                passage.forward(&head, body, form, &permit, ask.as_deref()).await
            }
            (Err(refusal), ..) => {
                exchange.lane.leave(body, &exchange.answer_by);
                Err(refusal)
            }
            // A permit is for a route and a path; without them there is none.
            (Ok(_), ..) => Err(Refusal::because(Reason::RouteNone)),
        };
        let mut response = match passed {
            Ok((mut response, Lease::Over(over), forwarding)) => {
                if let Some(ask) = &ask {
                    let (lane, stream, turn) = (&exchange.lane, head.extensions.get().cloned(), answered.take_turn());
                    let ending = watching.or_else(|| path.and_then(watch)).map(Watching::into_ending);
                    let entrance = Entrance { ask, over: *over, lane, stream, turn, forwarding, ending };
                    entrance.enter(connection, &mut response);
                }
                response.map(|_none| ResponseBody::own(Bytes::new(), answered))
            }
            Ok((mut response, lease, forwarding)) => {
                if head.version == Version::HTTP_10 && response.body().size_hint().exact().is_none() {
                    // What has no length ends with its connection, whatever the client wished for. This tells hyper so.
                    *response.version_mut() = Version::HTTP_10;
                }
                let is_unwatched = watching.is_none() && let_in.is_some() && !response.body().is_end_stream();
                let first = if is_unwatched { First::of(response.body_mut(), &lease) } else { First::None };
                if is_unwatched && !first.is_all_of(response.body()) {
                    watching = path.and_then(watch);
                }
                let watching = watching.map(|watching| (watching, answer::is_grpc(response.headers())));
                response.map(|body| ResponseBody::passed((first, body), lease, forwarding, answered, watching))
            }
            Err(refusal) => {
                let (gate, realm) = (&connection.worker.gate, host.as_deref().unwrap_or_default());
                let asked = Asked { head: &head, path: path.as_ref(), public_url: gate.public_url.as_deref() };
                let reader = reader.unwrap_or_else(|| Reader::of(&asked, route.map(|(_, route)| route)));
                let (supported, resource_metadata) = (None, None);
                let context = Context { id: &id, realm, head: is_head, supported, resource_metadata, asked, reader };
                last_if(exchange.lane.refuse(), refuse(&refusal, context, gate, &live, answered))
            }
        };
        kept::delete(response.headers_mut(), &ended);
        drop(host);
        spare::give(head.headers);
        response
    }
}

/// Answers a refused request, with what its issuer supports where the answer depends on that.
fn refuse<V: Verify>(
    refusal: &Refusal,
    context: Context<'_>,
    gate: &Gate<V>,
    live: &Snapshot,
    answered: Answered,
) -> Response<ResponseBody> {
    let policy = &live.policy;
    let issuer = refusal.denial.issuer.filter(|_| respond::asks_what_is_supported(refusal));
    let issuer = issuer.and_then(|issuer| policy.issuer(issuer));
    let supported = issuer.and_then(|issuer| gate.verifier.acr_values_supported(policy, issuer));
    let supported = supported.as_ref().map(|values| &***values);
    let resource_metadata = live.metadata.as_ref().map(|metadata| &*metadata.url);
    respond::refuse(refusal, &Context { supported, resource_metadata, ..context }, answered)
}

/// What kept cookies of this request are judged by.
fn desk<'a, V>(gate: &'a Gate<V>, host: &'a str, id: &'a HeaderValue, now: Timestamp) -> Desk<'a> {
    Desk { sealing: gate.sealing.as_ref(), recorder: &*gate.recorder, host, id, now }
}

/// Says of a response that its connection ends with it, where it does.
fn last_if(ends: bool, mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    if ends {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl<'l, V: Verify> Walk<'_, 'l, V> {
    /// Every step that cannot be taken for certain refuses.
    async fn judge(&mut self, body: &mut Incoming, exchange: &Exchange) -> Result<Permit, Refusal> {
        let gate = &self.connection.worker.gate;
        let policy = &self.live.policy;
        check_fields(&self.head.headers, gate.limits.headers)?;
        if self.glance.via {
            self.connection.worker.via.pseudonym.check(&self.head.headers)?;
        }
        let host = &*self.host.insert(target::host(self.head)?);
        let path = &*self.path.insert(target::path(self.head, self.seen)?);
        target::check_framing(self.head, self.glance).inspect_err(|_badly| exchange.lane.distrust())?;
        let target = Target { method: self.head.method.as_str(), host, path };
        if let Some(metadata) = self.live.metadata.as_ref().filter(|metadata| metadata.answers(policy, &target)) {
            self.metadata = Some(metadata);
            check_length(self.length, gate.limits.body, "`limits.body`")?;
            return Ok(judge(policy, &metadata.route, &target, None, self.now)?);
        }
        if self.head.method == Method::OPTIONS
            && let Some((place, route, permit)) = preflight::judge(self.head, self.length, policy, &target)
        {
            self.route = Some((place, route));
            return Ok(permit);
        }
        let (_, route) = *self.route.insert(policy.route_at(&target)?);
        if self.glance.upgrade {
            self.ask = ask::of(self.head, &route.upgrades, self.length != Some(0))?.map(Box::new);
        }
        let body_fits = match route.max_body {
            None => check_length(self.length, gate.limits.body, "`limits.body`"),
            Some(limit) => check_length(self.length, limit.bytes(), "the route's `max_body`"),
        };
        let desk = desk(gate, host, self.id, self.now);
        if route.require == Requirement::Public {
            body_fits?;
            return Ok(judge(policy, route, &target, None, self.now)?);
        }
        let own = Own { public_url: gate.public_url.as_deref(), scheme: self.approach.scheme };
        let posted = match body_fits {
            Ok(()) if route.reads_form && form::is_posted(self.head, body) => {
                // Boxed, so that no other request carries its size.
                match Box::pin(form::read(self.head, body, exchange, &gate.limits, route.max_body)).await {
                    Ok(form) => Posted::Form(self.form.insert(Box::new(form))),
                    Err(refusal) => Posted::Unread(refusal),
                }
            }
            Err(refusal) if route.reads_form && form::is_posted(self.head, body) => Posted::Unread(refusal),
            body_fits => Posted::Unseen(body_fits),
        };
        let verified = match extract::credentials(route, self.head, gate.limits.token, own, posted) {
            Ok(found) => evidence::verify(&gate.verifier, policy, found, self.approach.client, desk).await,
            Err(refusal) => {
                match self.form.as_ref().and_then(|form| form.passes_as_error(&refusal, policy, route, &target)) {
                    Some(permit) => return Ok(permit),
                    None => Err(refusal),
                }
            }
        };
        match verified {
            Ok(tokens) => self.tokens = tokens,
            Err(refusal) => return refusal.overlooked(policy, route, &target),
        }
        let judged = judge(policy, route, &target, self.tokens.as_tokens(), self.now);
        let repeats = &self.connection.worker.repeats;
        Ok(judged.map_err(|denial| repeats.judge(denial, policy, route, &self.tokens))?)
    }

    /// Ends the kept sign-ins that a permitted request logs out of, and gives up those for which one was refused.
    fn settle(&mut self, outcome: &mut Result<Permit, Refusal>) {
        let policy = &self.live.policy;
        let Some((_, route)) = self.route.filter(|_| !policy.kept().is_empty()) else { return };
        let desk = desk(&self.connection.worker.gate, self.host.as_deref().unwrap_or_default(), self.id, self.now);
        match (&*outcome, &self.path) {
            (Ok(_), Some(path)) if !route.ends.is_empty() => match desk.end(route, self.head, path) {
                Ok(ended) => self.ended = ended,
                Err(refusal) => *outcome = Err(refusal),
            },
            (Ok(_), _) => {}
            (Err(refusal), _) => self.ended = desk.spent(route, self.head, refusal, policy),
        }
    }

    /// Who reads what comes of it, if that is a refusal.
    fn reader(&self) -> Reader<'l> {
        let public_url = self.connection.worker.gate.public_url.as_deref();
        let asked = Asked { head: self.head, path: self.path.as_ref(), public_url };
        Reader::of(&asked, self.route.map(|(_, route)| route))
    }

    fn record(&self, outcome: &Result<Permit, Refusal>, reader: Option<&Reader<'_>>) -> Result<(), Blocked> {
        let by = outcome.as_ref().ok().and_then(Permit::by);
        // What has no canonical form is told as it was asked.
        let host = self.host.as_deref().map_or_else(|| target::raw_host(self.head), Cow::Borrowed);
        let path = self.path.as_ref().map_or_else(|| target::raw_path(self.head), CanonicalPath::as_str);
        self.connection.worker.gate.recorder.decided(&Decision {
            id: self.id.to_str().unwrap_or_default(),
            trace: Some(&self.head.headers).filter(|_| self.glance.traceparent).and_then(trace_id),
            at: self.now,
            peer: self.approach.client,
            method: self.head.method.as_str(),
            host: &host,
            path,
            policy: &self.live.policy,
            route: self.metadata.map(|metadata| &metadata.route).or(self.route.map(|(_, route)| route)),
            assurance: self.tokens.speakers(by).map(|(_, witness)| &**witness),
            kept: self.tokens.is_kept(by) || outcome.is_err() && !self.ended.is_empty(),
            outcome: outcome.as_ref().map_err(|refusal| &*refusal.denial),
            status: match (outcome, reader, self.metadata) {
                (Err(refusal), Some(reader), _) => Some(respond::status_for(refusal, reader).as_u16()),
                (Ok(_), _, Some(_)) => Some(metadata::STATUS.as_u16()),
                (Ok(_), _, None) | (Err(_), None, _) => None,
            },
            detail: match outcome {
                Ok(permit) => permit.would_deny().map_or("", |denial| &denial.detail),
                Err(refusal) => &refusal.detail,
            },
            micros: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    }
}

/// Whether the length that is announced for a body is within the limit.
pub(super) fn check_length(length: Option<u64>, limit: Option<u64>, name: &str) -> Result<(), Refusal> {
    match length.zip(limit) {
        Some((length, limit)) if length > limit => {
            let detail = format!("the body has {length} bytes, {name} is {limit}");
            Err(Refusal::new(Denial::because(Reason::BodyTooLarge), detail))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether the number of fields is within the limit.
fn check_fields(fields: &HeaderMap, limit: usize) -> Result<(), Refusal> {
    if fields.len() <= limit {
        return Ok(());
    }
    let detail = format!("the head has {} fields, `limits.headers` is {limit}", fields.len());
    Err(Refusal { head_too_large: true, ..Refusal::new(Denial::because(Reason::RequestMalformed), detail) })
}
