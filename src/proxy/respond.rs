//! A refusal in, a response out: the only file that picks a status.
//!
//! The challenge says what would be enough and no more (RFC 6750 section 3, RFC 9470 section 3); the body says no more
//! than the challenge. What was wrong in detail goes to the operator, through the record.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use crate::assurance::{Challenge, Dialect};
use crate::policy::StepUp;
use crate::proxy::answer::ResponseBody;
use crate::proxy::challenge::{self, Asked, STEP_UP, Scheme, Values};
use crate::proxy::downstream::lane::Answered;
use crate::proxy::headers::X_REQUEST_ID;
use crate::proxy::refusal::Refusal;
use crate::reason::Reason;
use crate::telemetry::json;
use crate::token::Timestamp;

/// What a refusal looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Face {
    status: StatusCode,
    /// The error code of the challenge; none: no challenge, or one without a code.
    error: Option<&'static str>,
    /// Whether there is a challenge.
    challenged: bool,
    /// Whether the reason may be named: where status and challenge tell as much, or it is about the request's own form.
    named: bool,
}

const fn face(status: StatusCode) -> Face {
    Face { status, error: None, challenged: false, named: false }
}

impl Face {
    const fn error(self, code: &'static str) -> Self {
        Self { error: Some(code), challenged: true, ..self }
    }

    const fn challenged(self) -> Self {
        Self { challenged: true, ..self }
    }

    const fn named(self) -> Self {
        Self { named: true, ..self }
    }
}

fn face_of(reason: Reason, step_up: Option<&StepUp>) -> Face {
    match reason {
        Reason::Overloaded => face(StatusCode::SERVICE_UNAVAILABLE).named(),
        Reason::RequestMalformed | Reason::PathAmbiguous => face(StatusCode::BAD_REQUEST).named(),
        Reason::RouteNone | Reason::OriginRefused | Reason::CallerWrong | Reason::ClaimMismatch => {
            face(StatusCode::FORBIDDEN)
        }
        Reason::TokenMissing => face(StatusCode::UNAUTHORIZED).challenged().named(),
        Reason::TokenDuplicate | Reason::TokenTooLarge => {
            face(StatusCode::BAD_REQUEST).error("invalid_request").named()
        }
        Reason::BodyTooLarge => face(StatusCode::PAYLOAD_TOO_LARGE).named(),
        Reason::BodyUnsupported => face(StatusCode::UNSUPPORTED_MEDIA_TYPE).named(),
        Reason::TokenMalformed
        | Reason::TokenEncrypted
        | Reason::HeaderRefused
        | Reason::AlgorithmRefused
        | Reason::IssuerUnknown
        | Reason::KeyUnknown
        | Reason::SignatureInvalid
        | Reason::ClaimsMalformed
        | Reason::Expired
        | Reason::NotYetValid
        | Reason::AudienceWrong
        | Reason::AzpWrong
        | Reason::TokenKindWrong
        | Reason::IntrospectionInactive
        | Reason::Revoked
        | Reason::IssuerRefused
        | Reason::BindingMissing
        | Reason::BindingInvalid
        | Reason::DpopReplayed
        | Reason::TokensDisagree => face(StatusCode::UNAUTHORIZED).error("invalid_token"),
        Reason::KeysUnavailable | Reason::IntrospectionUnavailable => face(StatusCode::SERVICE_UNAVAILABLE),
        Reason::AcrMalformed
        | Reason::AmrMalformed
        | Reason::AcrMissing
        | Reason::AmrMissing
        | Reason::AcrUnknown
        | Reason::AcrInsufficient
        | Reason::AmrInsufficient
        | Reason::LevelTooLow
        | Reason::AuthTimeMissing
        | Reason::AuthTooOld => match step_up {
            Some(_) => face(StatusCode::UNAUTHORIZED).error(STEP_UP),
            None => face(StatusCode::FORBIDDEN),
        },
        Reason::ScopeMissing => face(StatusCode::FORBIDDEN).error("insufficient_scope").named(),
        Reason::UpstreamUnreachable => face(StatusCode::BAD_GATEWAY).named(),
        Reason::UpstreamTimeout => face(StatusCode::GATEWAY_TIMEOUT).named(),
    }
}

/// What a client is told of a refusal, for whoever explains reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    /// The error code of the challenge.
    pub(crate) error: Option<&'static str>,
    /// Whether there is a challenge.
    pub(crate) challenged: bool,
    /// Whether the body names the reason.
    pub(crate) named: bool,
}

/// What a client is told of a refusal for this reason. `mendable`: whether a sign-in could mend it.
pub(crate) fn told(reason: Reason, mendable: bool) -> Told {
    let step_up = StepUp::default();
    let Face { status, error, challenged, named } = face_of(reason, Some(&step_up).filter(|_| mendable));
    Told { status: status.as_u16(), error, challenged, named }
}

/// The status that a refusal is answered with.
pub(super) fn status(refusal: &Refusal) -> StatusCode {
    face_of_refusal(refusal).status
}

fn face_of_refusal(refusal: &Refusal) -> Face {
    let face = face_of(refusal.denial.reason, refusal.denial.step_up.as_ref());
    match face.error {
        _ if refusal.head_too_large => Face { status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, ..face },
        // As Okta's own APIs answer; its clients look for it on nothing but a 403.
        Some(STEP_UP) if refusal.denial.dialect == Dialect::Okta => Face { status: StatusCode::FORBIDDEN, ..face },
        Some(_) | None => face,
    }
}

/// What the answer needs to know of the request and the issuer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    /// The request's id.
    pub(super) id: &'a HeaderValue,
    /// The canonical host; empty where none could be read.
    pub(super) realm: &'a str,
    /// Whether the request was a HEAD.
    pub(super) head: bool,
    /// The `acr` values that the issuer says it supports, where it says so.
    pub(super) supported: Option<&'a [Box<str>]>,
    /// Where our metadata stands, if there is any.
    pub(super) resource_metadata: Option<&'a str>,
}

/// Whether the answer depends on what the issuer says it supports.
pub(super) fn asks_what_is_supported(refusal: &Refusal) -> bool {
    let named = refusal.denial.step_up.as_ref().and_then(|step_up| step_up.acr_values.as_ref());
    matches!(named, Some(Challenge::Derived(_)))
}

/// Answers a refused request.
pub(super) fn refuse(refusal: &Refusal, context: &Context<'_>, answered: Answered) -> Response<ResponseBody> {
    let denial = &refusal.denial;
    let face = face_of_refusal(refusal);
    let step_up = denial.step_up.as_ref().filter(|_| face.error == Some(STEP_UP));
    let acr_values = step_up.map(|step_up| acr_values(step_up, context.supported)).unwrap_or_default();
    let max_age = step_up.and_then(|step_up| step_up.max_age);
    let asked = Asked::new(denial.dialect, face.error, acr_values, max_age);
    let scope = challenge::scopes(&denial.scope, face.error);
    let text = body(face, denial.reason, context, &asked, &scope);
    let length = HeaderValue::from(text.len());
    let text = if context.head { Bytes::new() } else { Bytes::from(text) };
    let mut response = Response::new(ResponseBody::own(text, answered));
    *response.status_mut() = face.status;
    let fields = response.headers_mut();
    // Room for all that follows and one more, which is not to be found anew field by field.
    *fields = HeaderMap::with_capacity(FIELDS);
    if face.challenged {
        let resource_metadata = context.resource_metadata.filter(|_| face.status == StatusCode::UNAUTHORIZED);
        let scheme = Scheme { realm: context.realm, resource_metadata, asked: &asked, scope: &scope };
        fields.insert(header::WWW_AUTHENTICATE, scheme.to_value());
    }
    if face.status == StatusCode::SERVICE_UNAVAILABLE {
        let wait = refusal.retry_after.unwrap_or(Duration::from_secs(1)).as_secs().max(1);
        fields.insert(header::RETRY_AFTER, HeaderValue::from(wait));
    }
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    fields.insert(header::CONTENT_LENGTH, length);
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_REQUEST_ID, context.id.clone());
    response
}

/// The status for a head that can't be read, where hyper has found `found`.
pub(super) fn unreadable_status(refusal: &Refusal, found: StatusCode) -> StatusCode {
    let told = [StatusCode::URI_TOO_LONG, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE].contains(&found);
    if told && refusal.denial.reason == Reason::RequestMalformed { found } else { status(refusal) }
}

/// Answers a head that can't be read: the whole response, as it goes onto the wire, with which the connection ends.
pub(super) fn refuse_unreadable(refusal: &Refusal, status: StatusCode, id: &HeaderValue, now: Timestamp) -> Vec<u8> {
    let face = Face { status, ..face_of(refusal.denial.reason, None) };
    let context = Context { id, realm: "", head: false, supported: None, resource_metadata: None };
    let asked = Asked { error: face.error, ..Asked::default() };
    let text = body(face, refusal.denial.reason, &context, &asked, &[]);
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

/// A listed challenge is sent as it is, a derived one as far as the issuer says that it supports it.
fn acr_values<'d>(step_up: &'d StepUp, supported: Option<&[Box<str>]>) -> Values<'d> {
    let (values, supported) = match &step_up.acr_values {
        None => return Values::new(),
        Some(Challenge::Listed(values)) => (values, None),
        Some(Challenge::Derived(values)) => (values, supported),
    };
    let is_supported = |value: &str| supported.is_none_or(|supported| supported.iter().any(|one| **one == *value));
    values.iter().map(|value| &**value).filter(|value| is_supported(value)).collect()
}

/// RFC 9457, with members for clients that cannot read the challenge's field, such as pages of another origin.
fn body(face: Face, reason: Reason, context: &Context<'_>, asked: &Asked<'_>, scope: &[&str]) -> String {
    let Asked { error, acr_values, claims, max_age, .. } = asked;
    let mut text = String::with_capacity(BODY);
    text.push_str("{\"type\":\"about:blank\",\"title\":");
    json::text(&mut text, face.status.canonical_reason().unwrap_or_default());
    text.push_str(",\"status\":");
    text.push_str(face.status.as_str());
    if face.named {
        text.push_str(",\"reason\":");
        json::text(&mut text, reason.code());
        text.push_str(",\"detail\":");
        json::text(&mut text, reason.meaning());
    }
    if let Some(error) = error {
        text.push_str(",\"error\":");
        json::text(&mut text, error);
    }
    if !acr_values.is_empty() {
        text.push_str(",\"acr_values\":");
        json::texts(&mut text, acr_values.iter().copied());
    }
    if let Some(claims) = claims {
        text.push_str(",\"claims\":");
        json::text(&mut text, claims);
    }
    if let Some(max_age) = max_age {
        text.push_str(",\"max_age\":");
        json::number(&mut text, (*max_age).into());
    }
    if !scope.is_empty() {
        // None of them has anything in it that JSON would write otherwise.
        text.push_str(",\"scope\":\"");
        challenge::join(&mut text, scope);
        text.push('"');
    }
    text.push_str(",\"request_id\":");
    match context.id.to_str() {
        Ok(id) => json::text(&mut text, id),
        Err(_beyond_ascii) => json::text(&mut text, &String::from_utf8_lossy(context.id.as_bytes())),
    }
    text.push_str("}\n");
    text
}

/// How many fields a refusal has at the most, `Connection` among them.
const FIELDS: usize = 7;
/// What the usual problem document has room in.
const BODY: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Denial;
    use crate::proxy::downstream::lane::Lane;
    use crate::proxy::downstream::timing::Ticker;
    use crate::proxy::downstream::wire::Watch;

    const ID: HeaderValue = HeaderValue::from_static("id-1");

    fn answer(refusal: &Refusal, supported: Option<&[Box<str>]>) -> (Response<ResponseBody>, serde_json::Value) {
        let watch = || Watch::new(&Ticker::new(), &crate::config::settings::Limits::default());
        let answered = || Answered::new(Lane::Alone(watch()), None);
        let context = Context { id: &ID, realm: "api.example", head: false, supported, resource_metadata: None };
        let response = refuse(refusal, &context, answered());
        let mut body = refuse(refusal, &context, answered()).into_body();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let frame = http_body::Body::poll_frame(std::pin::Pin::new(&mut body), &mut cx);
        let std::task::Poll::Ready(Some(Ok(frame))) = frame else { panic!("no body") };
        (response, serde_json::from_slice(frame.data_ref().unwrap()).unwrap())
    }

    fn challenge_of(denial: Denial, supported: Option<&[Box<str>]>) -> (u16, Option<String>) {
        let (response, _) = answer(&denial.into(), supported);
        let challenge = response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), challenge)
    }

    fn boxed(values: &[&str]) -> Box<[Box<str>]> {
        values.iter().map(|value| Box::from(*value)).collect()
    }

    #[test]
    fn no_token_is_challenged_without_an_error() {
        let (status, challenge) = challenge_of(Denial::because(Reason::TokenMissing), None);
        assert_eq!((status, challenge.as_deref()), (401, Some("Bearer realm=\"api.example\"")));
    }

    #[test]
    fn a_weak_sign_in_is_told_what_would_be_enough() {
        let step_up = StepUp { acr_values: Some(Challenge::Listed(boxed(&["urn:a", "urn:b"]))), max_age: Some(300) };
        let denial = Denial {
            step_up: Some(step_up),
            scope: vec!["pay".into(), "pay".into(), "read".into()],
            ..Denial::because(Reason::LevelTooLow)
        };
        let expected = "Bearer realm=\"api.example\", error=\"insufficient_user_authentication\", \
            acr_values=\"urn:a urn:b\", max_age=\"300\", scope=\"pay read\"";
        assert_eq!(challenge_of(denial.clone(), None), (401, Some(expected.into())));
        let (_, body) = answer(&denial.clone().into(), None);
        assert_eq!(body["acr_values"], serde_json::json!(["urn:a", "urn:b"]));
        assert_eq!(body["max_age"], 300);
        assert_eq!(body.get("reason"), None, "the challenge does not tell it either");
        let hopeless = Denial { step_up: None, ..denial };
        assert_eq!(challenge_of(hopeless, None), (403, None));
    }

    #[test]
    fn a_derived_challenge_names_what_the_issuer_supports() {
        let derived = |supported: Option<&[Box<str>]>| {
            let step_up = StepUp { acr_values: Some(Challenge::Derived(boxed(&["a", "b"]))), max_age: None };
            let denial = Denial { step_up: Some(step_up), ..Denial::because(Reason::AcrMissing) };
            challenge_of(denial, supported).1.unwrap()
        };
        assert!(derived(None).ends_with(", acr_values=\"a b\""));
        assert!(derived(Some(&boxed(&["b", "c"]))).ends_with(", acr_values=\"b\""));
        assert!(derived(Some(&boxed(&["c"]))).ends_with("error=\"insufficient_user_authentication\""));
    }

    #[test]
    fn nothing_that_a_policy_names_breaks_out_of_the_challenge() {
        let step_up = StepUp {
            acr_values: Some(Challenge::Listed(boxed(&["a\"b", "c d", "é", "ok", "\r\nX: 1"]))),
            max_age: None,
        };
        let denial = Denial {
            step_up: Some(step_up),
            scope: vec!["s\\x".into(), "fine".into()],
            ..Denial::because(Reason::AuthTooOld)
        };
        let (_, challenge) = challenge_of(denial, None);
        assert!(challenge.unwrap().ends_with(", acr_values=\"ok\", scope=\"fine\""));
    }

    #[test]
    fn a_problem_document_is_json_whatever_stands_in_it() {
        let id = HeaderValue::from_bytes(b"a\"b\\c\xff").unwrap();
        let context = Context { id: &id, realm: "", head: false, supported: None, resource_metadata: None };
        let face = Face { status: StatusCode::UNAUTHORIZED, error: Some("e\"\n"), challenged: true, named: true };
        let (acr_values, claims) = (smallvec::smallvec!["x", "y"], Some("e30=".to_owned()));
        let asked = Asked { error: face.error, acr_values, claims, max_age: Some(u32::MAX), ..Asked::default() };
        let text = body(face, Reason::ScopeMissing, &context, &asked, &["s", "t"]);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Unauthorized", "status": 401, "error": "e\"\n", "max_age": u32::MAX,
            "reason": "scope_missing", "detail": Reason::ScopeMissing.meaning(), "acr_values": ["x", "y"],
            "claims": "e30=",
            "scope": "s t", "request_id": "a\"b\\c\u{fffd}",
        });
        assert_eq!(read, expected);
        assert!(text.ends_with("}\n"));
    }

    #[test]
    fn every_reason_has_a_face_that_is_never_cached_and_tells_no_stranger_more_than_the_challenge() {
        for reason in Reason::ALL {
            let (response, body) = answer(&Refusal::because(*reason), None);
            let fields = response.headers();
            assert!(response.status().is_client_error() || response.status().is_server_error(), "{reason}");
            assert_eq!(fields["cache-control"], "no-store", "{reason}");
            assert_eq!(fields["content-type"], "application/problem+json", "{reason}");
            assert_eq!(
                response.status() == 401,
                fields.get("www-authenticate").is_some_and(|_| response.status() == 401)
            );
            assert_eq!(response.status() == 503, fields.contains_key("retry-after"), "{reason}");
            assert_eq!(body["status"], response.status().as_u16(), "{reason}");
            assert_eq!(body["request_id"], "id-1");
            let about_the_token =
                (Reason::TokenMalformed..=Reason::AuthTooOld).contains(reason) || *reason == Reason::ClaimMismatch;
            assert!(!about_the_token || body.get("reason").is_none(), "{reason} is told to a stranger");
        }
    }

    #[test]
    fn an_invalid_token_is_never_told_apart_from_another() {
        let told = |reason| {
            let (response, body) = answer(&Refusal::because(reason), None);
            (response.status(), response.headers()["www-authenticate"].clone(), body)
        };
        for reason in
            [Reason::Expired, Reason::KeyUnknown, Reason::IssuerUnknown, Reason::TokensDisagree, Reason::Revoked]
        {
            assert_eq!(told(reason), told(Reason::SignatureInvalid));
        }
    }

    #[test]
    fn trouble_with_keys_says_when_to_come_back() {
        let refusal =
            Refusal { retry_after: Some(Duration::from_secs(30)), ..Refusal::because(Reason::KeysUnavailable) };
        let (response, _) = answer(&refusal, None);
        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &HeaderValue::from(30)));
        assert_eq!(response.headers().get("www-authenticate"), None);
    }
}
