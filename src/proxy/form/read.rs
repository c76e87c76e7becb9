//! The body of a form, as it comes in.

use std::future::poll_fn;
use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::config::settings::Limits;
use crate::policy::{BodyLimit, Denial};
use crate::proxy::downstream::lane::Exchange;
use crate::proxy::downstream::timing::Passed;
use crate::proxy::form::parameters::{Form, unsupported};
use crate::proxy::forwarding::body::poll_client;
use crate::proxy::refusal::Refusal;
use crate::reason::Reason;

/// Whether a request posts something. Only POST does: of a body that comes with another method nobody takes a form.
pub(in crate::proxy) fn is_posted(head: &Parts, body: &Incoming) -> bool {
    head.method == Method::POST && !body.is_end_stream()
}

/// Reads what is posted.
///
/// # Errors
/// `body_too_large`, `body_unsupported`; `request_malformed` when the client breaks off, or takes longer than `limits.idle`
/// for the whole of it.
pub(in crate::proxy) async fn read(
    head: &Parts,
    body: &mut Incoming,
    exchange: &Exchange,
    limits: &Limits,
    max_body: Option<BodyLimit>,
) -> Result<Form, Refusal> {
    let most = most(limits, max_body);
    if let Some(size) = body.size_hint().exact()
        && usize::try_from(size).map_or(true, |size| size > most)
    {
        return Err(too_large(most, &format!("{size} bytes")));
    }
    check_type(&head.headers)?;
    // A client that sends it byte by byte holds memory without having shown a token, so all of it has one limit. What comes
    // to a stop ends like any body by the limits of its connection or stream.
    exchange.answer_by.set(limits.idle);
    let gathered = exchange.answer_by.bound(pin!(gather(body, exchange, most))).await;
    let body = gathered.unwrap_or_else(|Passed| Err(malformed("the form took longer than `limits.idle`")))?;
    Form::parse(body, head.uri.query())
}

/// Reads what is here whole, as [`read`] reads what comes in. `query`: that of the address that it was posted to.
///
/// # Errors
/// `body_too_large`, `body_unsupported`.
pub(in crate::proxy) fn whole(
    fields: &HeaderMap,
    body: Bytes,
    query: Option<&str>,
    limits: &Limits,
    max_body: Option<BodyLimit>,
) -> Result<Form, Refusal> {
    let most = most(limits, max_body);
    if body.len() > most {
        return Err(too_large(most, &format!("{} bytes", body.len())));
    }
    check_type(fields)?;
    Form::parse(body, query)
}

/// How many bytes a form may have.
fn most(limits: &Limits, max_body: Option<BodyLimit>) -> usize {
    let body_limit = max_body.map_or(limits.body, BodyLimit::bytes);
    body_limit.and_then(|body| usize::try_from(body).ok()).map_or(limits.form, |body| body.min(limits.form))
}

async fn gather(body: &mut Incoming, exchange: &Exchange, most: usize) -> Result<Bytes, Refusal> {
    // Of the size that is announced nothing is held before it comes.
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| poll_client(body, exchange.lane.stream(), cx)).await {
        let frame = frame.map_err(|_broken| malformed("the client broke off its body, or framed it badly"))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > most.saturating_sub(bytes.len()) {
            return Err(too_large(most, "more"));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// That it is a form, in UTF-8, and as it stands. What else a type says (RFC 9110 section 8.3) no form has.
fn check_type(fields: &HeaderMap) -> Result<(), Refusal> {
    let mut types = fields.get_all(CONTENT_TYPE).iter();
    let (Some(Ok(written)), None) = (types.next().map(|one| one.to_str()), types.next()) else {
        return Err(unsupported("the body has no `Content-Type`, or several"));
    };
    let mut parts = written.split(';').map(str::trim_ascii);
    if !parts.next().is_some_and(|one| one.eq_ignore_ascii_case("application/x-www-form-urlencoded")) {
        return Err(unsupported("the body is no `application/x-www-form-urlencoded`"));
    }
    if !parts.all(|part| part.is_empty() || is_utf8(part)) {
        return Err(unsupported("the form is said to be in another charset than UTF-8"));
    }
    if fields.contains_key(CONTENT_ENCODING) {
        return Err(unsupported("the form has a `Content-Encoding`"));
    }
    Ok(())
}

/// `charset=utf-8`, in quotes or not.
fn is_utf8(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        name.eq_ignore_ascii_case("charset") && value.eq_ignore_ascii_case("utf-8")
    })
}

fn too_large(most: usize, size: &str) -> Refusal {
    let detail = format!(
        "a form may have {most} bytes (the least of `limits.form` and `max_body` or `limits.body`), this one has {size}"
    );
    Refusal::new(Denial::because(Reason::BodyTooLarge), detail)
}

fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(Denial::because(Reason::RequestMalformed), detail)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::HeaderName;

    use super::*;

    fn fields(given: &[(&'static str, &'static str)]) -> HeaderMap {
        given.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_form_is_urlencoded_in_utf8_and_nothing_else_is_one() {
        const FORM: &str = "application/x-www-form-urlencoded";
        for written in [
            FORM,
            "Application/X-WWW-Form-URLEncoded",
            "application/x-www-form-urlencoded;charset=utf-8",
            "application/x-www-form-urlencoded ; Charset=\"UTF-8\";",
        ] {
            assert!(check_type(&fields(&[("content-type", written)])).is_ok(), "{written}");
        }
        for written in [
            "application/json",
            "multipart/form-data; boundary=x",
            "text/plain",
            "",
            "application/x-www-form-urlencoded2",
            "application/x-www-form-urlencoded, application/json",
            "application/x-www-form-urlencoded; charset=iso-8859-1",
            "application/x-www-form-urlencoded; charset=utf-7; charset=utf-8",
            "application/x-www-form-urlencoded; charset=\"utf-8",
            "application/x-www-form-urlencoded; charset",
            "application/x-www-form-urlencoded; boundary=x",
        ] {
            assert!(check_type(&fields(&[("content-type", written)])).is_err(), "{written}");
        }
        assert!(check_type(&fields(&[])).is_err(), "nothing says what it is");
        assert!(check_type(&fields(&[("content-type", FORM), ("content-type", FORM)])).is_err(), "it is said twice");
        for coding in ["gzip", "identity", ""] {
            assert!(check_type(&fields(&[("content-type", FORM), ("content-encoding", coding)])).is_err(), "{coding}");
        }
    }
}
