//! The answer to who asks for our metadata (RFC 9728 section 3.2): the document that came with the policy.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use crate::policy::ResourceMetadata;
use crate::proxy::answer::ResponseBody;
use crate::proxy::downstream::lane::Answered;
use crate::proxy::headers::X_REQUEST_ID;

/// The status of the answer.
pub(super) const STATUS: StatusCode = StatusCode::OK;
/// Long enough for a client that meets several challenges, short enough for another policy.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");
/// How many fields the answer has at the most, `Connection` among them.
const FIELDS: usize = 6;

/// Answers with the document. `head`: without its body.
pub(super) fn answer(
    metadata: &ResourceMetadata,
    id: &HeaderValue,
    head: bool,
    answered: Answered,
) -> Response<ResponseBody> {
    let length = HeaderValue::from(metadata.document.len());
    let text = if head { Bytes::new() } else { Bytes::copy_from_slice(metadata.document.as_bytes()) };
    let mut response = Response::new(ResponseBody::own(text, answered));
    *response.status_mut() = STATUS;
    let fields = response.headers_mut();
    *fields = HeaderMap::with_capacity(FIELDS);
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(header::CONTENT_LENGTH, length);
    fields.insert(header::CACHE_CONTROL, CACHE);
    // Nothing in it is anybody's own, and pages of any origin may be clients.
    fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    fields.insert(X_REQUEST_ID, id.clone());
    response
}
