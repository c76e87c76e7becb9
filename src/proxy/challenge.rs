//! `WWW-Authenticate` (RFC 6750 section 3, RFC 9470 section 3): every parameter quoted, in the characters that are allowed.

use http::HeaderValue;
use smallvec::SmallVec;

use crate::telemetry::json;

/// Values of a list that a challenge names: as written by the policy, and each of them harmless. Rarely more than a few.
pub(super) type Values<'v> = SmallVec<[&'v str; 4]>;

/// One challenge for the `Bearer` scheme.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scheme<'a> {
    pub(super) realm: &'a str,
    /// Left out when the request brought no token at all (RFC 6750 section 3.1).
    pub(super) error: Option<&'a str>,
    pub(super) acr_values: &'a [&'a str],
    pub(super) max_age: Option<u32>,
    pub(super) scope: &'a [&'a str],
}

impl Scheme<'_> {
    pub(super) fn to_value(self) -> HeaderValue {
        let lists = self.acr_values.iter().chain(self.scope).map(|value| value.len().saturating_add(1));
        let mut text = String::with_capacity(lists.sum::<usize>().saturating_add(self.realm.len()).saturating_add(128));
        text.push_str("Bearer realm=\"");
        if self.realm.bytes().all(|byte| is_writable(byte.into())) {
            text.push_str(self.realm);
        } else {
            text.extend(self.realm.chars().filter(|c| is_writable(*c) || *c == ' '));
        }
        if let Some(error) = self.error {
            text.push_str("\", error=\"");
            text.push_str(error);
        }
        if !self.acr_values.is_empty() {
            text.push_str("\", acr_values=\"");
            join(&mut text, self.acr_values);
        }
        if let Some(max_age) = self.max_age {
            text.push_str("\", max_age=\"");
            json::number(&mut text, max_age.into());
        }
        if !self.scope.is_empty() {
            text.push_str("\", scope=\"");
            join(&mut text, self.scope);
        }
        text.push('"');
        HeaderValue::try_from(text).unwrap_or_else(|_never| HeaderValue::from_static("Bearer"))
    }
}

/// Adds the values with a space between each two.
pub(super) fn join(text: &mut String, values: &[&str]) {
    for (place, value) in values.iter().enumerate() {
        text.push_str(if place > 0 { " " } else { "" });
        text.push_str(value);
    }
}

/// RFC 6750 section 3: what may stand in a value of a list. A space would make two of one; a quote would end the parameter.
fn is_writable(c: char) -> bool {
    c.is_ascii_graphic() && c != '"' && c != '\\'
}

/// Whether a value can be written. One that can't is left out: half of it would ask for something else.
pub(super) fn can_be_written(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| is_writable(byte.into()))
}

/// The scopes to name, each once; only where the challenge is about the sign-in or the scope.
pub(super) fn scopes<'a>(scope: &'a [Box<str>], error: Option<&str>) -> Values<'a> {
    let mut named = Values::new();
    if matches!(error, Some("insufficient_scope" | "insufficient_user_authentication")) {
        for one in scope.iter().filter(|one| can_be_written(one)) {
            if !named.contains(&&**one) {
                named.push(one);
            }
        }
    }
    named
}
