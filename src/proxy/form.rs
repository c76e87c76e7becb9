//! A posted form: read whole for the token in it, and kept as it came for the application (OAuth 2.0 Form Post Response Mode).
//!
//! Read only where the route names a parameter of a form, and within limits of size and time. What one application could read
//! otherwise than we do is refused: which token it takes would not be the one that was judged.

use std::future::poll_fn;
use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::config::settings::Limits;
use crate::policy::{Denial, Place, Route};
use crate::proxy::downstream::lane::Exchange;
use crate::proxy::downstream::timing::Passed;
use crate::proxy::forwarding::body::poll_client;
use crate::proxy::refusal::Refusal;
use crate::reason::Reason;

/// A form. Holds tokens, so it has no `Debug`.
pub(super) struct Form {
    body: Bytes,
    parameters: Vec<(String, String)>,
    /// Names of parameters that an application could find elsewhere: in the query, or after a `;` in the form.
    elsewhere: Vec<String>,
}

/// Whether a request posts something. Only POST does: of a body that comes with another method nobody takes a form.
pub(super) fn is_posted(head: &Parts, body: &Incoming) -> bool {
    head.method == Method::POST && !body.is_end_stream()
}

/// Reads what is posted.
///
/// # Errors
/// `body_too_large`, `body_unsupported`; `request_malformed` when the client breaks off, or takes longer than `limits.idle`
/// for the whole of it.
pub(super) async fn read(
    head: &Parts,
    body: &mut Incoming,
    exchange: &Exchange,
    limits: &Limits,
) -> Result<Form, Refusal> {
    let most =
        limits.body.and_then(|body| usize::try_from(body).ok()).map_or(limits.form, |body| body.min(limits.form));
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

impl Form {
    fn parse(body: Bytes, query: Option<&str>) -> Result<Self, Refusal> {
        let undecodable = || unsupported("the form has a broken escape, or is not in UTF-8");
        let (mut parameters, mut elsewhere) = (Vec::new(), Vec::new());
        for piece in body.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty()) {
            let (name, value) = pair(piece);
            parameters.push((decoded(name).ok_or_else(undecodable)?, decoded(value).ok_or_else(undecodable)?));
            let beyond = piece.split(|byte| *byte == b';').skip(1);
            elsewhere.extend(beyond.filter_map(|piece| decoded(pair(piece).0)));
        }
        // What can't be decoded there is no name that anybody asks for.
        let asked = query.unwrap_or_default().split(['&', ';']);
        elsewhere.extend(asked.filter_map(|piece| decoded(pair(piece.as_bytes()).0)));
        // Some applications take it for the charset of all the rest.
        let charset = parameters.iter().find(|(name, _)| passes_for(name, "_charset_"));
        if charset.is_some_and(|(_, value)| !value.eq_ignore_ascii_case("utf-8")) {
            return Err(unsupported("the form says by `_charset_` that it is in another charset than UTF-8"));
        }
        Ok(Self { body, parameters, elsewhere })
    }

    /// The token under this name.
    ///
    /// # Errors
    /// `token_duplicate`: it stands there twice, or where an application might look for it too.
    pub(super) fn token(&self, wanted: &str) -> Result<Option<&[u8]>, Refusal> {
        let mut found = self.parameters.iter().filter(|(name, _)| passes_for(name, wanted));
        let (first, second) = (found.next(), found.next());
        let hidden = first.is_some_and(|(name, _)| *name != *wanted);
        if second.is_some() || hidden || self.elsewhere.iter().any(|name| passes_for(name, wanted)) {
            let detail =
                "the form's parameter with the token stands there twice, in another spelling, or in the query too";
            return Err(Refusal::new(Denial::because(Reason::TokenDuplicate), detail));
        }
        Ok(first.map(|(_, value)| value.as_bytes()).filter(|value| !value.is_empty()))
    }

    /// Whether it is an error response of an identity provider (RFC 6749 section 4.1.2.1) and nothing besides: beside other
    /// parameters an application might overlook the error, and sign somebody in whom nobody judged.
    pub(super) fn is_error_response(&self, route: &Route) -> bool {
        let once = |wanted: &str| self.parameters.iter().filter(|(name, _)| name == wanted).count() == 1;
        let names_error = self.parameters.iter().any(|(name, value)| name == "error" && is_error_code(value));
        let taken = route.take.iter().filter_map(|source| match &source.place {
            Place::Form { name, .. } => Some(&**name),
            Place::Authorization | Place::Header(_) | Place::Cookie(..) => None,
        });
        let mut answers = SIGNS_IN.iter().copied().chain(taken);
        names_error
            && self.parameters.iter().all(|(name, _)| once(name) && is_of_error(name))
            && !answers.any(|answer| self.elsewhere.iter().any(|name| passes_for(name, answer)))
    }

    /// As it came.
    pub(super) fn into_body(self) -> Bytes {
        self.body
    }
}

/// What error responses have: RFC 6749 section 4.1.2.1, RFC 9207, OpenID Connect Session Management, and what identity
/// providers add for their support.
fn is_of_error(name: &str) -> bool {
    const OTHERS: &[&str] = &[
        "state",
        "iss",
        "session_state",
        "client_info",
        "suberror",
        "trace_id",
        "correlation_id",
        "timestamp",
        "claims",
    ];
    name == "error" || name.starts_with("error_") || OTHERS.contains(&name)
}

/// What an application signs somebody in by, wherever it finds it.
const SIGNS_IN: &[&str] = &["code", "id_token", "access_token", "token", "response", "samlresponse", "assertion"];

/// RFC 6749 section 4.1.2.1.
fn is_error_code(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\')
}

fn pair(piece: &[u8]) -> (&[u8], &[u8]) {
    let equals = piece.iter().position(|byte| *byte == b'=');
    match equals.and_then(|equals| piece.split_at_checked(equals)) {
        Some((name, value)) => (name, value.get(1..).unwrap_or_default()),
        None => (piece, b""),
    }
}

/// Text without its escapes; `None`: one is broken, or it is not in UTF-8.
fn decoded(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(*byte).to_digit(16));
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high << 4 | low).ok()?
            }
            byte => *byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Whether an application might take this name for the wanted one. ASP.NET does not tell case apart; PHP drops blanks before a
/// name, ends it with a NUL, and makes `_` of `.`, blank and a `[` that nothing closes; many take `name[]` for `name`.
fn passes_for(name: &str, wanted: &str) -> bool {
    let plain = |text: &str| text.replace([' ', '.', '['], "_");
    let name = name.split('\0').next().unwrap_or_default().trim().to_lowercase();
    let wanted = plain(&wanted.to_lowercase());
    let bare = name.split('[').next().unwrap_or_default();
    plain(&name) == wanted || plain(bare.trim_end()) == wanted
}

fn too_large(most: usize, size: &str) -> Refusal {
    let detail = format!("a form may have {most} bytes (`limits.form`, `limits.body`), this one has {size}");
    Refusal::new(Denial::because(Reason::BodyTooLarge), detail)
}

fn unsupported(detail: &'static str) -> Refusal {
    Refusal::new(Denial::because(Reason::BodyUnsupported), detail)
}

fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(Denial::because(Reason::RequestMalformed), detail)
}

#[cfg(test)]
mod tests;
