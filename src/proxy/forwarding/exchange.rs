//! A permitted request in, the upstream's response out.

use std::borrow::Cow;
use std::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use h2::Reason as Reset;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;

use crate::proxy::downstream::timing::{Deadline, Passed};
use crate::proxy::fields::Fields;
use crate::proxy::forwarding::bodiless;
use crate::proxy::forwarding::body::{End, RequestBody};
use crate::proxy::forwarding::multiplexed::chain;
use crate::proxy::forwarding::pool::{Lease, Pool};
use crate::proxy::forwarding::reach::ConnectError;
use crate::proxy::forwarding::received::Received;
use crate::proxy::headers;
use crate::proxy::spare;
use crate::reason::Reason;

/// Why there is no response.
#[derive(Debug)]
pub(in crate::proxy) struct Failure {
    pub(in crate::proxy) reason: Reason,
    pub(in crate::proxy) detail: String,
    /// Whether it is the upstream's doing, and not the client's.
    pub(in crate::proxy) by_upstream: bool,
}

impl Failure {
    pub(in crate::proxy) fn unreachable(detail: impl Into<String>) -> Self {
        Self { reason: Reason::UpstreamUnreachable, detail: detail.into(), by_upstream: true }
    }

    pub(in crate::proxy) fn late(detail: impl Into<String>) -> Self {
        Self { reason: Reason::UpstreamTimeout, detail: detail.into(), by_upstream: true }
    }

    /// The same of a request that had failed elsewhere before.
    pub(in crate::proxy) fn after(self, before: Option<Self>) -> Self {
        match before {
            Some(before) => Self { detail: format!("{}; {}", before.detail, self.detail), ..self },
            None => self,
        }
    }
}

/// Why one place gave no response, and what is left to try another with.
#[derive(Debug)]
pub(in crate::proxy) struct Undone {
    pub(in crate::proxy) failure: Failure,
    /// The body from its beginning, where sending the request once more does no harm.
    pub(in crate::proxy) again: Option<RequestBody>,
    /// There was no connection to send it on.
    pub(in crate::proxy) is_unsent: bool,
}

impl From<Failure> for Undone {
    /// Of what was sent and may not be sent again.
    fn from(failure: Failure) -> Self {
        Self { failure, again: None, is_unsent: false }
    }
}

impl Undone {
    fn broken(error: &hyper::Error, again: Option<RequestBody>) -> Self {
        Self { failure: broken(error), again, is_unsent: false }
    }
}

/// A request's head as an upstream is to see it. Sending uses it up, so it is written for each sending.
#[derive(Debug)]
pub(in crate::proxy) struct Head<'h> {
    pub(in crate::proxy) method: &'h Method,
    /// The client's own, where that is what is asked of the upstream.
    pub(in crate::proxy) uri: Cow<'h, Uri>,
    pub(in crate::proxy) fields: Fields<'h>,
}

impl Head<'_> {
    pub(in crate::proxy) fn with(&self, body: RequestBody) -> Request<RequestBody> {
        let mut fields = spare::take();
        self.fields.write(&mut fields);
        let mut request = Request::new(body);
        request.method_mut().clone_from(self.method);
        request.uri_mut().clone_from(&self.uri);
        *request.version_mut() = self.fields.version;
        *request.headers_mut() = fields;
        request
    }

    pub(in crate::proxy) fn is_safe(&self) -> bool {
        matches!(*self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }
}

/// Sends a request and waits for the head of its response, at the longest until `answer_by`.
///
/// A connection that was used before may have been closed by the upstream in the very moment; then the request is sent
/// once more on a new one, if nothing of it was sent or sending it twice does no harm (RFC 9110 section 9.2.1).
pub(in crate::proxy) async fn forward(
    pool: &Rc<Pool>,
    head: &Head<'_>,
    body: RequestBody,
    answer_by: &Deadline,
    now: Instant,
) -> Result<(Response<Received>, Lease), Failure> {
    let end = body.end();
    let is_head = *head.method == Method::HEAD;
    let outcome = if let Some(several) = pool.several() {
        let send = async |pool: &Rc<Pool>, body| send(pool, head, body, now).await;
        Box::pin(several.forward(send, body, answer_by, now)).await
    } else if pool.upstream().http2 {
        // Boxed, so that HTTP/1.1 does not carry its size.
        let outcome = answer_by.bound(Box::pin(multiplexed(pool, head, body))).await;
        outcome.inspect_err(|Passed| pool.doubt(now)).map(|outcome| outcome.map_err(|undone| undone.failure))
    } else {
        let outcome = answer_by.bound(pin!(exchange(pool, head, body, now))).await;
        outcome.map(|outcome| outcome.map_err(|undone| undone.failure))
    };
    let outcome = outcome.unwrap_or_else(|Passed| Err(Failure::late("no response head within the limit")));
    match (outcome, end.get()) {
        (Ok((response, lease)), _) => Ok((cleaned(response, is_head)?, lease)),
        (Err(_), End::TooLarge) => Err(Failure {
            reason: Reason::BodyTooLarge,
            detail: "the body is longer than `max_body`, or `limits.body`, allows".into(),
            by_upstream: false,
        }),
        (Err(_), End::Broken) => Err(Failure {
            reason: Reason::RequestMalformed,
            detail: "the client broke off its body, or framed it badly".into(),
            by_upstream: false,
        }),
        (Err(failure), End::Open | End::Whole) => Err(failure),
    }
}

/// Sends a request to one place of an upstream that has several.
async fn send(
    pool: &Rc<Pool>,
    head: &Head<'_>,
    body: RequestBody,
    now: Instant,
) -> Result<(Response<Received>, Lease), Undone> {
    if pool.upstream().http2 { multiplexed(pool, head, body).await } else { exchange(pool, head, body, now).await }
}

async fn exchange(
    pool: &Rc<Pool>,
    head: &Head<'_>,
    mut body: RequestBody,
    now: Instant,
) -> Result<(Response<Received>, Lease), Undone> {
    if bodiless::is(head, &body) {
        let used = match pool.reuse_line(now) {
            None => pool.reclaim(now).await,
            used => used,
        };
        if used.is_some() || !pool.has_unused() {
            return bodiless::exchange(pool, head, used).await;
        }
    }
    if let Some(mut whole) = pool.reuse(now).await {
        // Where sending it twice does no harm, and there is no body.
        let again = body.again().filter(|_| head.is_safe());
        let sending = whole.sender(&body).try_send_request(head.with(body));
        let mut error = match sending.await {
            Ok(response) => return Ok((response.map(Received::Hyper), Lease::Whole(whole))),
            Err(error) => error,
        };
        let unsent = error.take_message().map(Request::into_body);
        let error = error.into_error();
        body = match unsent.or(again.filter(|_| !error.is_parse())) {
            Some(body) => body,
            None => return Err(Undone::broken(&error, None)),
        };
    }
    // Rare enough to be boxed, and too large to be part of every request.
    Box::pin(connected(pool, head, body)).await
}

/// The same on a new connection.
async fn connected(pool: &Rc<Pool>, head: &Head<'_>, body: RequestBody) -> Result<(Response<Received>, Lease), Undone> {
    let mut whole = match pool.connect().await {
        Ok(whole) => whole,
        Err(error) => return Err(unconnected(pool, error, body)),
    };
    let again = body.again().filter(|_| head.is_safe());
    let sending = whole.sender(&body).send_request(head.with(body));
    match sending.await {
        Ok(response) => Ok((response.map(Received::Hyper), Lease::Whole(whole))),
        // What answered, if not in HTTP, has had it.
        Err(error) => Err(Undone::broken(&error, again.filter(|_| !error.is_parse()))),
    }
}

pub(in crate::proxy) fn unconnected(pool: &Pool, error: ConnectError, body: RequestBody) -> Undone {
    let address = &pool.upstream().endpoint;
    let failure = match error {
        ConnectError::Late => Failure::late(format!("no connection to {address} within the limit")),
        ConnectError::Failed(error) => Failure::unreachable(format!("no connection to {address}: {error}")),
    };
    Undone { failure, again: Some(body), is_unsent: true }
}

/// The same over HTTP/2. A request that never left, and one of which the upstream says that it did nothing with it, is sent
/// again whatever it is; any other only where that does no harm, and not when the connection was new.
async fn multiplexed(
    pool: &Rc<Pool>,
    head: &Head<'_>,
    mut body: RequestBody,
) -> Result<(Response<Received>, Lease), Undone> {
    /// Sendings that the upstream may have done something with, or refused by themselves.
    const SENT: u32 = 2;
    /// Connections that were gone before, or that the upstream was leaving. More of them: one that ends each connection after
    /// so many requests, as nginx does, ends several at a time when they have been equally busy.
    const UNSENT: u32 = 3;

    let (mut sent, mut unsent) = (0u32, 0u32);
    let ending = body.end();
    loop {
        let slot = match pool.slot().await {
            Ok(slot) => slot,
            Err(error) => return Err(unconnected(pool, error, body)),
        };
        let was_fresh = slot.is_fresh();
        let (again, is_bodiless) = (body.keep(), body.is_end_stream());
        let mut error = match slot.sender().try_send_request(head.with(body)).await {
            Ok(response) => {
                slot.heard();
                return Ok((response.map(Received::Hyper), Lease::Slot(slot, ending)));
            }
            Err(error) => error,
        };
        if let Some(message) = error.take_message()
            && unsent < UNSENT
        {
            unsent = unsent.saturating_add(1);
            slot.leave();
            body = message.into_body();
            continue;
        }
        let error = error.into_error();
        let fate = Fate::of(&error);
        match fate {
            Fate::Refused => slot.refused(),
            Fate::GoingAway | Fate::Broken => slot.leave(),
            Fate::Reset => {}
        }
        let count = if fate == Fate::GoingAway { &mut unsent } else { &mut sent };
        *count = count.saturating_add(1);
        let harmless = match fate {
            Fate::GoingAway => unsent <= UNSENT,
            Fate::Refused => sent < SENT,
            Fate::Broken => sent < SENT && head.is_safe() && is_bodiless && !was_fresh,
            Fate::Reset => false,
        };
        // Elsewhere it may be sent where here it was sent often enough: the upstream says that it did nothing with it, or
        // doing it twice does no harm.
        let elsewhere = match fate {
            Fate::GoingAway | Fate::Refused => true,
            Fate::Broken => head.is_safe() && is_bodiless,
            Fate::Reset => false,
        };
        let again = if elsewhere { again.body() } else { None };
        match again {
            Some(again) if harmless => body = again,
            again => return Err(Undone::broken(&error, again)),
        }
    }
}

/// What became of a request on an HTTP/2 connection that got no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The upstream takes no more streams for now, and did nothing with it (RFC 9113 section 8.7).
    Refused,
    /// The upstream is leaving the connection and did nothing with it (RFC 9113 section 6.8).
    GoingAway,
    /// The upstream ended this stream, for reasons of its own.
    Reset,
    /// The connection broke; what was done with it nobody knows.
    Broken,
}

impl Fate {
    fn of(error: &hyper::Error) -> Self {
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<h2::Error>() {
                return match error {
                    error if error.is_reset() && error.is_remote() && error.reason() == Some(Reset::REFUSED_STREAM) => {
                        Self::Refused
                    }
                    error if error.is_reset() => Self::Reset,
                    // Only streams beyond the last one that was taken up end with it.
                    error if error.is_go_away() && error.is_remote() => Self::GoingAway,
                    _ => Self::Broken,
                };
            }
            cause = error.source();
        }
        Self::Broken
    }
}

pub(in crate::proxy) fn broken(error: &hyper::Error) -> Failure {
    Failure::unreachable(format!("the connection broke before a response head: {}", chain(error)))
}

/// Takes away what is between the upstream and us alone.
pub(in crate::proxy) fn cleaned(
    mut response: Response<Received>,
    bodiless: bool,
) -> Result<Response<Received>, Failure> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::unreachable("the upstream switched protocols unasked"));
    }
    let status = response.status();
    let fields = response.headers_mut();
    let (mut has_coding, mut has_length, mut has_hop_by_hop) = (false, false, false);
    for (name, value) in fields.iter() {
        has_coding |= *name == TRANSFER_ENCODING;
        if *name == CONTENT_LENGTH {
            has_length = true;
            if matches!(value.as_bytes(), [b'0', _, ..]) {
                return Err(Failure::unreachable("the response has a `Content-Length` with leading zeros"));
            }
        }
        has_hop_by_hop |= headers::is_hop_by_hop(name);
    }
    if has_coding
        && let Some(coding) = fields.get(TRANSFER_ENCODING)
        && (fields.get_all(TRANSFER_ENCODING).iter().count() > 1 || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(Failure::unreachable("the response has a transfer coding other than `chunked`"));
    }
    // RFC 9112 section 6.3: it might be an attempt at response splitting and is handled as an error. The connection is
    // dropped with the lease.
    let bodiless = bodiless || status == StatusCode::NOT_MODIFIED;
    if bodiless && has_coding {
        // Both tell of a body that is not there.
        fields.remove(CONTENT_LENGTH);
        has_length = false;
    }
    if has_coding && has_length {
        return Err(Failure::unreachable("the response has both a `Content-Length` and a `Transfer-Encoding`"));
    }
    if has_hop_by_hop {
        headers::remove_hop_by_hop(fields);
    }
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
}
