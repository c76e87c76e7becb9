//! The walk of one request, from its head to a response.
//!
//! `accept → read head → canonical path → route and floors → take tokens → verify → decide → forward | refuse`. What is in
//! force and the time are taken once, at the start; the outcome is recorded once, before anything is forwarded.

use std::borrow::Cow;
use std::time::Instant;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::clock;
use crate::live::Snapshot;
use crate::policy::{
    CanonicalPath, Denial, Permit, Requirement, ResourceMetadata, Route, Target, judge, judge_error_response,
};
use crate::proxy::answer::ResponseBody;
use crate::proxy::downstream::connection::Connection;
use crate::proxy::downstream::lane::{Answered, Exchange};
use crate::proxy::downstream::wire::Seen;
use crate::proxy::downstream::worker::Gate;
use crate::proxy::edge::approach::Approach;
use crate::proxy::evidence::Verified;
use crate::proxy::extract::Posted;
use crate::proxy::form::{self, Form};
use crate::proxy::forwarding::body::RequestBody;
use crate::proxy::forwarding::exchange::{self, Head};
use crate::proxy::forwarding::pool::Lease;
use crate::proxy::glance::Glance;
use crate::proxy::headers::Fields;
use crate::proxy::identity::Identity;
use crate::proxy::origin::Own;
use crate::proxy::refusal::Refusal;
use crate::proxy::request_id::trace_id;
use crate::proxy::respond::{self, Asked, Context, Reader};
use crate::proxy::verify::Verify;
use crate::proxy::{evidence, extract, metadata, spare, target};
use crate::reason::Reason;
use crate::telemetry::{Blocked, Decision, Forwarding, UpstreamFailure};
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
}

/// Handles one request, whatever it is.
pub(super) async fn handle<V: Verify>(
    connection: &Connection<V>,
    request: Request<Incoming>,
    exchange: Exchange,
) -> Response<ResponseBody> {
    let (started, now) = (Instant::now(), clock::now());
    let turn = connection.worker.requests.turn();
    let has_turn = turn.is_some();
    let answered = Answered::new(exchange.lane.clone(), turn);
    let live = connection.worker.live();
    let (mut head, mut body) = request.into_parts();
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
    };
    let mut outcome = match readable {
        _ if !has_turn => Err(Refusal::new(Denial::because(Reason::Overloaded), "`limits.requests` is reached")),
        Err(unreadable) => Err(unreadable),
        Ok(()) => walk.judge(&mut body, &exchange).await,
    };
    let reader = outcome.is_err().then(|| walk.reader());
    if walk.record(&outcome, reader.as_ref()).is_err() {
        outcome = Err(Refusal::because(Reason::Overloaded));
    }
    let Walk { host, path, route, metadata, tokens, form, .. } = walk;
    let is_head = head.method == Method::HEAD;
    if let (Ok(_), Some(metadata)) = (&outcome, metadata) {
        exchange.lane.leave(body, &exchange.answer_by);
        return last_if(exchange.lane.refuse(), metadata::answer(metadata, &id, is_head, answered));
    }
    let passed = match (outcome, route, &path) {
        (Ok(permit), Some((place, route)), Some(path)) => {
            let (live, tokens, id, approach) = (&*live, &tokens, &id, &approach);
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
            };
            passage.forward(&head, body, form, &permit).await
        }
        (Err(refusal), ..) => {
            exchange.lane.leave(body, &exchange.answer_by);
            Err(refusal)
        }
        // A permit is for a route and a path; without them there is none.
        (Ok(_), ..) => Err(Refusal::because(Reason::RouteNone)),
    };
    let response = match passed {
        Ok((response, lease, forwarding)) => {
            response.map(|body| ResponseBody::passed(body, lease, forwarding, answered))
        }
        Err(refusal) => {
            let gate = &connection.worker.gate;
            let realm = host.as_deref().unwrap_or_default();
            let asked = Asked { head: &head, path: path.as_ref(), public_url: gate.public_url.as_deref() };
            let reader = reader.unwrap_or_else(|| Reader::of(&asked, route.map(|(_, route)| route)));
            let (supported, resource_metadata) = (None, None);
            let context = Context { id: &id, realm, head: is_head, supported, resource_metadata, asked, reader };
            last_if(exchange.lane.refuse(), refuse(&refusal, context, gate, &live, answered))
        }
    };
    drop(host);
    spare::give(head.headers);
    response
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
        let host = &*self.host.insert(target::host(self.head)?);
        let path = &*self.path.insert(target::path(self.head, self.seen)?);
        let target = Target { method: self.head.method.as_str(), host, path };
        if let Some(metadata) = self.live.metadata.as_ref().filter(|metadata| metadata.answers(policy, &target)) {
            self.metadata = Some(metadata);
            check_length(self.length, gate.limits.body)?;
            return Ok(judge(policy, &metadata.route, &target, None, self.now)?);
        }
        let (_, route) = *self.route.insert(policy.route_at(&target)?);
        let body_fits = check_length(self.length, gate.limits.body);
        if route.require == Requirement::Public {
            body_fits?;
            return Ok(judge(policy, route, &target, None, self.now)?);
        }
        let own = Own { public_url: gate.public_url.as_deref(), scheme: self.approach.scheme };
        let posted = match body_fits {
            Ok(()) if route.reads_form && form::is_posted(self.head, body) => {
                // Boxed, so that no other request carries its size.
                match Box::pin(form::read(self.head, body, exchange, &gate.limits)).await {
                    Ok(form) => Posted::Form(self.form.insert(Box::new(form))),
                    Err(refusal) => Posted::Unread(refusal),
                }
            }
            Err(refusal) if route.reads_form && form::is_posted(self.head, body) => Posted::Unread(refusal),
            body_fits => Posted::Unseen(body_fits),
        };
        let verified = match extract::credentials(route, self.head, gate.limits.token, own, posted) {
            Ok(found) => evidence::verify(&gate.verifier, policy, found, self.approach.client, self.now).await,
            Err(refusal) => {
                if refusal.denial.reason == Reason::TokenMissing
                    && self.form.as_ref().is_some_and(|form| form.is_error_response(route))
                    && let Ok(permit) = judge_error_response(policy, route, &target)
                {
                    return Ok(permit);
                }
                Err(refusal)
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
fn check_length(length: Option<u64>, limit: Option<u64>) -> Result<(), Refusal> {
    match length.zip(limit) {
        Some((length, limit)) if length > limit => {
            let detail = format!("the body has {length} bytes, `limits.body` is {limit}");
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

/// A permitted request on its way to the upstream.
struct Passage<'p, V> {
    connection: &'p Connection<V>,
    exchange: &'p Exchange,
    live: &'p Snapshot,
    route: &'p Route,
    place: usize,
    glance: Glance,
    path: &'p CanonicalPath,
    tokens: &'p Verified<'p>,
    id: &'p HeaderValue,
    approach: &'p Approach,
    started: Instant,
}

impl<V: Verify> Passage<'_, V> {
    async fn forward(
        &self,
        head: &Parts,
        body: Incoming,
        form: Option<Box<Form>>,
        permit: &Permit,
    ) -> Result<(Response<Incoming>, Lease, Forwarding), Refusal> {
        let worker = &self.connection.worker;
        let gate = &worker.gate;
        let unreachable = |detail: String| Refusal::new(Denial::because(Reason::UpstreamUnreachable), detail);
        let upstream = self.live.upstream_of_route.get(self.place).and_then(|place| worker.pools.get(*place));
        let pool = upstream.ok_or_else(|| unreachable("the route has no upstream".into()))?;

        let unwritten = |error: http::Error| unreachable(format!("the target cannot be written: {error}"));
        let mut uri = target::forwarded(self.path, &head.uri).map_err(|error| unwritten(error.into()))?;
        if pool.upstream().http2 {
            uri = target::absolute(&uri, &head.headers, pool.upstream()).map_err(unwritten)?;
        }
        let speakers = self.tokens.speakers(permit.by()).filter(|_| gate.identity.headers && permit.by().is_some());
        let identity = speakers.map(|(caller, witness)| Identity::of(&self.live.policy, permit, caller, witness));

        let limit = pool.upstream().timeout.unwrap_or(gate.limits.response_head);
        let answer_by = &self.exchange.answer_by;
        answer_by.set(limit);
        let body = match form {
            Some(form) => RequestBody::read(form.into_body()),
            None => RequestBody::new(body, gate.limits.body, answer_by, limit, self.exchange.lane.stream()),
        };
        let fields = Fields {
            given: &head.headers,
            glance: self.glance,
            approach: self.approach,
            id: self.id,
            identity: identity.as_deref(),
            // Where nothing was verified (`observe-all`), whatever stands in the place of a token goes.
            stripped: match permit.would_deny() {
                Some(_) if gate.identity.strip_token && permit.by().is_none() => self.route.take.iter().collect(),
                Some(_) | None => self.tokens.sources().filter(|_| gate.identity.strip_token).collect(),
            },
            taken: &self.route.take,
            version: if pool.upstream().http2 { Version::HTTP_2 } else { Version::HTTP_11 },
            is_unmeasured: !body.is_end_stream() && body.size_hint().exact().is_none(),
        };
        let outgoing = Head { method: &head.method, uri, fields };
        let mut forwarding = Forwarding::begin(pool.meter(), self.started);
        let answer = exchange::forward(pool, &outgoing, body, answer_by, forwarding.sent()).await;
        let (response, lease) = answer.map_err(|failure| {
            let refusal = Refusal::new(Denial::because(failure.reason), failure.detail);
            if failure.by_upstream {
                forwarding.failed(failure.reason);
                gate.recorder.upstream_failed(&UpstreamFailure {
                    id: self.id.to_str().unwrap_or_default(),
                    route: &self.route.name,
                    upstream: &pool.upstream().name,
                    mode: self.route.mode,
                    would_deny: permit.would_deny().is_some(),
                    reason: failure.reason,
                    status: respond::status(&refusal).as_u16(),
                    detail: &refusal.detail,
                });
            }
            refusal
        })?;
        forwarding.answered(response.status().as_u16());
        Ok((response, lease, forwarding))
    }
}
