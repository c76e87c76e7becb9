//! A permitted request on its way to the upstream, and what its answer means for kept sign-ins.

use std::borrow::Cow;
use std::pin::pin;
use std::time::Instant;

use http::header::HeaderValue;
use http::request::Parts;
use http::{Response, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::config::settings::Upstream;
use crate::live::Snapshot;
use crate::policy::{BodyLimit, CanonicalPath, Denial, Permit, Rewrite, Route};
use crate::proxy::assertion::Asserted;
use crate::proxy::downstream::connection::Connection;
use crate::proxy::downstream::lane::Exchange;
use crate::proxy::edge::told::Approach;
use crate::proxy::evidence::Verified;
use crate::proxy::fields::Fields;
use crate::proxy::form::Form;
use crate::proxy::forwarding::body::RequestBody;
use crate::proxy::forwarding::exchange::{self, Head};
use crate::proxy::forwarding::pool::Lease;
use crate::proxy::forwarding::received::Received;
use crate::proxy::glance::Glance;
use crate::proxy::identity::{Facts, Identity};
use crate::proxy::kept::{self, Desk};
use crate::proxy::oversight::{Watching, unless_ended};
use crate::proxy::refusal::Refusal;
use crate::proxy::respond;
use crate::proxy::target;
use crate::proxy::tunnel::ask::Ask;
use crate::proxy::tunnel::switch;
use crate::proxy::verify::Verify;
use crate::reason::Reason;
use crate::telemetry::{Forwarding, StreamEnd, UpstreamFailure};

/// A permitted request on its way to the upstream.
pub(super) struct Passage<'p, V> {
    pub(super) connection: &'p Connection<V>,
    pub(super) exchange: &'p Exchange,
    pub(super) live: &'p Snapshot,
    pub(super) route: &'p Route,
    pub(super) place: usize,
    pub(super) glance: Glance,
    pub(super) path: &'p CanonicalPath,
    pub(super) tokens: &'p Verified<'p>,
    pub(super) id: &'p HeaderValue,
    pub(super) approach: &'p Approach,
    pub(super) started: Instant,
    pub(super) desk: Desk<'p>,
    /// Who may say that it has to end, where its body may last.
    pub(super) watching: Option<&'p Watching>,
}

impl<V: Verify> Passage<'_, V> {
    /// Forwards it, with what it asks to go over to. What the upstream answers, and what goes on until that is sent.
    ///
    /// # Errors
    /// `upstream_unreachable` or `upstream_timeout`, or what was wrong with its body.
    pub(super) async fn forward(
        &self,
        head: &Parts,
        body: Incoming,
        form: Option<Box<Form>>,
        permit: &Permit,
        ask: Option<&Ask>,
    ) -> Result<(Response<Received>, Lease, Forwarding), Refusal> {
        let worker = &self.connection.worker;
        let gate = &worker.gate;
        let unreachable = |detail: String| Refusal::new(Denial::because(Reason::UpstreamUnreachable), detail);
        let upstream = self.live.upstream_of_route.get(self.place).and_then(|place| worker.pools.get(*place));
        let pool = upstream.ok_or_else(|| unreachable("the route has no upstream".into()))?;

        let rewrite = self.route.rewrite.as_deref();
        let uri = self.target(head, pool.upstream()).map_err(unreachable)?;
        let identity = self.identity(permit, pool.upstream())?;

        let limit = self.route.timeout.or(pool.upstream().timeout).unwrap_or(gate.limits.response_head);
        let answer_by = &self.exchange.answer_by;
        answer_by.set(limit);
        let body = match form {
            Some(form) => RequestBody::read(form.into_body()),
            None => {
                let most = self.route.max_body.map_or(gate.limits.body, BodyLimit::bytes);
                RequestBody::new(body, most, answer_by, limit, self.exchange.lane.stream(), self.watching)
            }
        };
        let fields = Fields {
            given: &head.headers,
            glance: self.glance,
            approach: self.approach,
            id: self.id,
            via: worker.via.of(head.version),
            identity: identity.as_ref(),
            // Where nothing was verified (`observe-all`), whatever stands in the place of a token goes.
            stripped: match permit.would_deny() {
                Some(_) if gate.identity.strip_token && permit.by().is_none() => self.route.take.iter().collect(),
                Some(_) | None => self.tokens.sources().filter(|_| gate.identity.strip_token).collect(),
            },
            kept: self.live.policy.kept(),
            taken: &self.route.take,
            version: if pool.upstream().http2 { Version::HTTP_2 } else { Version::HTTP_11 },
            prefix: rewrite.and_then(Rewrite::replaced),
            is_unmeasured: !body.is_end_stream() && body.size_hint().exact().is_none(),
        };
        let outgoing = Head { method: &head.method, uri, fields };
        let mut forwarding = Forwarding::begin(pool.meter(), self.started);
        let answer = match ask {
            None => {
                let answer = pin!(exchange::forward(pool, &outgoing, body, answer_by, forwarding.sent()));
                unless_ended(self.watching, answer).await
            }
            // A success without going over would tell whoever sent a CONNECT that it went over.
            Some(ask) => {
                let only_over = self.exchange.lane.stream().is_some();
                Ok(Box::pin(switch::forward(pool, outgoing, ask, answer_by, only_over)).await)
            }
        };
        let answer = answer.map_err(ended)?;
        let (mut response, lease) = answer.map_err(|failure| {
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
        self.keep(&mut response, permit);
        Ok((response, lease, forwarding))
    }

    /// What is asked of the upstream.
    fn target<'h>(&self, head: &'h Parts, upstream: &Upstream) -> Result<Cow<'h, Uri>, String> {
        let unwritten = |error: http::Error| format!("the target cannot be written: {error}");
        let uri = match self.route.rewrite.as_deref() {
            None => target::forwarded(self.path, &head.uri),
            Some(rewrite) => {
                let path = rewrite.of(self.path).ok_or("the path does not begin as its route's pattern does")?;
                target::rewritten(&path, &head.uri).map(Cow::Owned)
            }
        };
        let uri = uri.map_err(|error| unwritten(error.into()))?;
        if !upstream.http2 {
            return Ok(uri);
        }
        target::absolute(&uri, &head.headers, upstream).map(Cow::Owned).map_err(unwritten)
    }

    /// What the upstream is told of who calls, as fields or in an assertion; `None`: nothing.
    fn identity<'i>(&'i self, permit: &'i Permit, upstream: &Upstream) -> Result<Option<Identity<'i>>, Refusal> {
        let gate = &self.connection.worker.gate;
        let told = (gate.identity.headers || gate.assertion.is_some()) && permit.by().is_some();
        let Some((caller, witness)) = self.tokens.speakers(permit.by()).filter(|_| told) else { return Ok(None) };
        let facts = Facts { policy: &self.live.policy, permit, caller, witness };
        let Some(keyring) = &gate.assertion else {
            // What is opened from a cookie is found anew each time, so there is nothing to know it again by.
            let is_once = self.tokens.is_kept(permit.by());
            return Ok(Some(if is_once { Identity::Once(facts) } else { Identity::of(facts) }));
        };
        let signed = Asserted { facts, upstream: &upstream.name, now: self.desk.now }.signed(keyring);
        let unsigned = || Refusal::new(Denial::because(Reason::Overloaded), "the assertion can't be signed");
        signed.ok_or_else(unsigned).map(|signed| Some(Identity::Again(signed)))
    }

    /// Keeps what was proved, where the route says so and the application did not refuse it. Of kept cookies the gate alone
    /// says anything.
    fn keep(&self, response: &mut Response<Received>, permit: &Permit) {
        let kept = self.live.policy.kept();
        if kept.is_empty() {
            return;
        }
        // What a route only observes proves nothing that counts later.
        let taken = response.status().as_u16() < 400 && permit.would_deny().is_none();
        let fields = response.headers_mut();
        kept::remove_theirs(fields, kept);
        let Some(keep) = self.route.keeps_on(self.path).filter(|_| taken) else { return };
        if let Some(cookie) = self.desk.keep(keep, &self.live.policy, self.tokens, permit) {
            kept::set(fields, cookie);
        }
    }
}

/// What a client is answered whose request had to end before there was an answer.
fn ended(why: StreamEnd) -> Refusal {
    let detail = "the request was let in, and would not be let in any more before it was answered";
    match why {
        StreamEnd::Refused(reason) => Refusal::new(Denial::because(reason), detail),
        // It may come again at once, and is judged by the new policy.
        StreamEnd::PolicyChanged => Refusal::new(Denial::because(Reason::Overloaded), "the policy changed"),
    }
}
