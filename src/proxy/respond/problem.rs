//! A refusal as a problem document (RFC 9457), which programs read.

use http::HeaderValue;

use crate::proxy::challenge;
use crate::proxy::respond::face::Face;
use crate::reason::Reason;
use crate::telemetry::json;

/// What would be enough, as far as the challenge tells it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted<'a> {
    /// The error code of the challenge, in the issuer's dialect.
    pub(super) error: Option<&'a str>,
    pub(super) acr_values: &'a [&'a str],
    /// Entra's claims request, in base64.
    pub(super) claims: Option<&'a str>,
    pub(super) max_age: Option<u32>,
    pub(super) scope: &'a [&'a str],
}

/// The document, with members for clients that cannot read the challenge's field, such as pages of another origin.
pub(super) fn text(face: Face, reason: Reason, id: &HeaderValue, wanted: &Wanted<'_>) -> String {
    let Wanted { error, acr_values, claims, max_age, scope } = *wanted;
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
        json::number(&mut text, max_age.into());
    }
    if !scope.is_empty() {
        // None of them has anything in it that JSON would write otherwise.
        text.push_str(",\"scope\":\"");
        challenge::join(&mut text, scope);
        text.push('"');
    }
    text.push_str(",\"request_id\":");
    match id.to_str() {
        Ok(id) => json::text(&mut text, id),
        Err(_beyond_ascii) => json::text(&mut text, &String::from_utf8_lossy(id.as_bytes())),
    }
    text.push_str("}\n");
    text
}

/// What the usual problem document has room in.
const BODY: usize = 256;
