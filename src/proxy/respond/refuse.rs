//! [`refuse`]: the one place where a refusal becomes a response.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use crate::assurance::Challenge;
use crate::policy::StepUp;
use crate::proxy::answer::ResponseBody;
use crate::proxy::challenge::{self, STEP_UP, Scheme, Values};
use crate::proxy::downstream::lane::Answered;
use crate::proxy::headers::X_REQUEST_ID;
use crate::proxy::refusal::Refusal;
use crate::proxy::respond::face::{Face, face_of_refusal};
use crate::proxy::respond::problem::{self, Wanted};
use crate::proxy::respond::reader::{Asked, Reader};
use crate::proxy::respond::{grpc, page, redirect};

/// What the answer needs to know of the request and the issuer.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Context<'a> {
    /// The request's id.
    pub(in crate::proxy) id: &'a HeaderValue,
    /// The canonical host; empty where none could be read.
    pub(in crate::proxy) realm: &'a str,
    /// Whether the request was a HEAD.
    pub(in crate::proxy) head: bool,
    /// The `acr` values that the issuer says it supports, where it says so.
    pub(in crate::proxy) supported: Option<&'a [Box<str>]>,
    /// Where our metadata stands, if there is any.
    pub(in crate::proxy) resource_metadata: Option<&'a str>,
    /// What was asked for.
    pub(in crate::proxy) asked: Asked<'a>,
    /// Who reads the answer.
    pub(in crate::proxy) reader: Reader<'a>,
}

/// The status that this reader gets for a refusal. For a gRPC client it is the one that stands for its status, and that any
/// other program would get.
pub(in crate::proxy) fn status_for(refusal: &Refusal, reader: &Reader<'_>) -> StatusCode {
    let face = face_of_refusal(refusal);
    if is_redirected(face, reader) { StatusCode::SEE_OTHER } else { face.status }
}

fn is_redirected(face: Face, reader: &Reader<'_>) -> bool {
    face.is_mended_by_sign_in() && reader.is_sent_to_sign_in()
}

/// Whether the answer depends on what the issuer says it supports.
pub(in crate::proxy) fn asks_what_is_supported(refusal: &Refusal) -> bool {
    let named = refusal.denial.step_up.as_ref().and_then(|step_up| step_up.acr_values.as_ref());
    matches!(named, Some(Challenge::Derived(_)))
}

/// Answers a refused request.
pub(in crate::proxy) fn refuse(refusal: &Refusal, context: &Context<'_>, answered: Answered) -> Response<ResponseBody> {
    let denial = &refusal.denial;
    let face = face_of_refusal(refusal);
    let step_up = denial.step_up.as_ref().filter(|_| face.error == Some(STEP_UP));
    let acr_values = step_up.map(|step_up| acr_values(step_up, context.supported)).unwrap_or_default();
    let max_age = step_up.and_then(|step_up| step_up.max_age);
    let scope = challenge::scopes(&denial.scope, face.error);
    let told = challenge::Asked::new(denial.dialect, face.error, acr_values.clone(), max_age);
    let (error, claims) = (told.error, told.claims.as_deref());
    let wanted = Wanted { error, acr_values: &told.acr_values, claims, max_age, scope: &scope };
    let reader = &context.reader;
    let resource_metadata = context.resource_metadata.filter(|_| face.status == StatusCode::UNAUTHORIZED);
    let scheme = Scheme { realm: context.realm, resource_metadata, asked: &told, scope: &scope };
    let wait = (face.status == StatusCode::SERVICE_UNAVAILABLE)
        .then(|| refusal.retry_after.unwrap_or_default().max(Duration::from_secs(1)));
    if reader.is_grpc {
        let challenge = face.challenged.then(|| scheme.to_value());
        return grpc::refuse((face, denial.reason, error), challenge, wait, context.id, answered);
    }
    // Who signs in for the client asks the provider, and not in the words of a challenge.
    let all = Wanted { acr_values: &acr_values, ..wanted };
    let way = if is_redirected(face, reader) { reader.way(&context.asked, &all) } else { None };
    let text = match &way {
        Some(way) => redirect::text(way, context.id),
        None if reader.is_browser => page::text(face, denial.reason, context.id, &wanted),
        None => problem::text(face, denial.reason, context.id, &wanted),
    };
    let length = HeaderValue::from(text.len());
    let text = if context.head { Bytes::new() } else { Bytes::from(text) };
    let mut response = Response::new(ResponseBody::own(text, answered));
    *response.status_mut() = if way.is_some() { StatusCode::SEE_OTHER } else { face.status };
    let fields = response.headers_mut();
    // Room for all that follows and one more, which is not to be found anew field by field.
    *fields = HeaderMap::with_capacity(if reader.is_browser { FIELDS_OF_PAGE } else { FIELDS });
    if let Some(way) = way {
        redirect::add_fields(fields, &way);
    } else if face.challenged {
        fields.insert(header::WWW_AUTHENTICATE, scheme.to_value());
    }
    if let Some(wait) = wait {
        fields.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    }
    if reader.is_browser {
        page::add_fields(fields);
    } else {
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    }
    if reader.varies {
        fields.insert(header::VARY, HeaderValue::from_static("accept, sec-fetch-dest, sec-fetch-mode"));
    }
    fields.insert(header::CONTENT_LENGTH, length);
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_REQUEST_ID, context.id.clone());
    response
}

/// A listed challenge is sent as it is, a derived one as far as the issuer says that it supports it.
fn acr_values<'d>(step_up: &'d StepUp, supported: Option<&[Box<str>]>) -> Values<'d> {
    let (values, supported) = match &step_up.acr_values {
        None => return Values::new(),
        Some(Challenge::Listed(values)) => (values, None),
        Some(Challenge::Derived(values)) => (values, supported),
    };
    let is_supported = |value: &str| supported.is_none_or(|supported| supported.iter().any(|one| **one == *value));
    values
        .iter()
        .map(|value| &**value)
        .filter(|value| challenge::can_be_written(value) && is_supported(value))
        .collect()
}

/// How many fields a problem document has at the most, `Connection` among them.
const FIELDS: usize = 8;
/// The same of a page.
const FIELDS_OF_PAGE: usize = 13;
