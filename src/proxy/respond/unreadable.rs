//! The answer to a head that can't be read, of which nothing is known but that.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderValue, StatusCode};

use crate::proxy::refusal::Refusal;
use crate::proxy::respond::face::{Face, face_of, status};
use crate::proxy::respond::problem::{self, Wanted};
use crate::reason::Reason;
use crate::token::Timestamp;

/// The status for a head that can't be read, where hyper has found `found`.
pub(in crate::proxy) fn unreadable_status(refusal: &Refusal, found: StatusCode) -> StatusCode {
    let told = [StatusCode::URI_TOO_LONG, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE].contains(&found);
    if told && refusal.denial.reason == Reason::RequestMalformed { found } else { status(refusal) }
}

/// Answers a head that can't be read: the whole response, as it goes onto the wire, with which the connection ends.
pub(in crate::proxy) fn refuse_unreadable(
    refusal: &Refusal,
    status: StatusCode,
    id: &HeaderValue,
    now: Timestamp,
) -> Vec<u8> {
    let face = Face { status, ..face_of(refusal.denial.reason, None) };
    let text = problem::text(face, refusal.denial.reason, id, &Wanted::default());
    let retry = if status == StatusCode::SERVICE_UNAVAILABLE { "retry-after: 1\r\n" } else { "" };
    let id = String::from_utf8_lossy(id.as_bytes());
    let date = UNIX_EPOCH.checked_add(Duration::from_secs(now.seconds().try_into().unwrap_or(0))).unwrap_or(UNIX_EPOCH);
    format!(
        "HTTP/1.1 {status}\r\n{retry}content-type: application/problem+json\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nx-request-id: {id}\r\nconnection: close\r\ndate: {}\r\n\r\n{text}",
        text.len(),
        httpdate::fmt_http_date(date),
    )
    .into_bytes()
}
