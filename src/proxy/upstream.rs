//! A permitted request in, the upstream's response out.

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use std::rc::Rc;

use crate::proxy::body::{End, RequestBody};
use crate::proxy::headers;
use crate::proxy::pool::{ConnectError, Lease, Pool};
use crate::proxy::timing::{Deadline, Passed};
use crate::reason::Reason;

/// Why there is no response.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) detail: String,
    /// Whether it is the upstream's doing, and not the client's.
    pub(super) by_upstream: bool,
}

impl Failure {
    fn unreachable(detail: impl Into<String>) -> Self {
        Self { reason: Reason::UpstreamUnreachable, detail: detail.into(), by_upstream: true }
    }

    fn late(detail: impl Into<String>) -> Self {
        Self { reason: Reason::UpstreamTimeout, detail: detail.into(), by_upstream: true }
    }
}

/// Sends a request and waits for the head of its response, at the longest until `answer_by`.
///
/// A connection that was used before may have been closed by the upstream in the very moment; then the request is sent
/// once more on a new one, if nothing of it was sent or sending it twice does no harm (RFC 9110 section 9.2.1).
pub(super) async fn forward(
    pool: &Rc<Pool>,
    request: Request<RequestBody>,
    answer_by: &Deadline,
) -> Result<(Response<Incoming>, Lease), Failure> {
    let end = request.body().end();
    let bodiless = *request.method() == Method::HEAD;
    let outcome = answer_by.bound(exchange(pool, request)).await;
    let outcome = outcome.unwrap_or_else(|Passed| Err(Failure::late("no response head within the limit")));
    match (outcome, end.get()) {
        (Ok((response, lease)), _) => Ok((cleaned(response, bodiless)?, lease)),
        (Err(_), End::TooLarge) => Err(Failure {
            reason: Reason::BodyTooLarge,
            detail: "the body is longer than `limits.body`".into(),
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

async fn exchange(pool: &Rc<Pool>, mut request: Request<RequestBody>) -> Result<(Response<Incoming>, Lease), Failure> {
    if let Some(mut lease) = pool.reuse().await {
        let copy = copy(&request);
        let sending = lease.sender(request.body()).try_send_request(request);
        let mut error = match sending.await {
            Ok(response) => return Ok((response, lease)),
            Err(error) => error,
        };
        let unsent = error.take_message();
        let error = error.into_error();
        request = match unsent.or(copy.filter(|_| !error.is_parse())) {
            Some(request) => request,
            None => return Err(broken(&error)),
        };
    }
    let mut lease = pool.connect().await.map_err(|error| {
        let address = &pool.upstream().endpoint;
        match error {
            ConnectError::Late => Failure::late(format!("no connection to {address} within the limit")),
            ConnectError::Failed(error) => Failure::unreachable(format!("no connection to {address}: {error}")),
        }
    })?;
    let sending = lease.sender(request.body()).send_request(request);
    match sending.await {
        Ok(response) => Ok((response, lease)),
        Err(error) => Err(broken(&error)),
    }
}

fn broken(error: &hyper::Error) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Failure::unreachable(format!("the connection broke before a response head: {error}{cause}"))
}

/// The same request once more, where sending it twice does no harm and there is no body.
fn copy(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let mut copy = Request::new(request.body().again().filter(|_| safe)?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

/// Takes away what is between the upstream and us alone.
fn cleaned(mut response: Response<Incoming>, bodiless: bool) -> Result<Response<Incoming>, Failure> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::unreachable("the upstream switched protocols unasked"));
    }
    let status = response.status();
    let fields = response.headers_mut();
    if let Some(coding) = fields.get(TRANSFER_ENCODING)
        && (fields.get_all(TRANSFER_ENCODING).iter().count() > 1 || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(Failure::unreachable("the response has a transfer coding other than `chunked`"));
    }
    // RFC 9112 section 6.3: it might be an attempt at response splitting and is handled as an error. The connection is
    // dropped with the lease.
    let bodiless = bodiless || status == StatusCode::NOT_MODIFIED;
    if bodiless && fields.contains_key(TRANSFER_ENCODING) {
        // Both tell of a body that is not there.
        fields.remove(CONTENT_LENGTH);
    }
    if fields.contains_key(TRANSFER_ENCODING) && fields.contains_key(CONTENT_LENGTH) {
        return Err(Failure::unreachable("the response has both a `Content-Length` and a `Transfer-Encoding`"));
    }
    if fields.contains_key(CONNECTION) || fields.keys().any(headers::is_hop_by_hop) {
        headers::remove_hop_by_hop(fields);
    }
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
}
