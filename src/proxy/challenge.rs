//! `WWW-Authenticate` (RFC 6750 section 3, RFC 9470 section 3): every parameter quoted, in the characters that are allowed.

use http::HeaderValue;

/// One challenge for the `Bearer` scheme.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scheme<'a> {
    pub(super) realm: &'a str,
    /// Left out when the request brought no token at all (RFC 6750 section 3.1).
    pub(super) error: Option<&'a str>,
    pub(super) acr_values: &'a [Box<str>],
    pub(super) max_age: Option<u32>,
    pub(super) scope: &'a [&'a str],
}

impl Scheme<'_> {
    pub(super) fn to_value(self) -> HeaderValue {
        let realm: String = self.realm.chars().filter(|c| is_writable(*c) || *c == ' ').collect();
        let mut text = format!("Bearer realm=\"{realm}\"");
        let mut add = |name: &str, value: &str| {
            for part in [", ", name, "=\"", value, "\""] {
                text.push_str(part);
            }
        };
        if let Some(error) = self.error {
            add("error", error);
        }
        if !self.acr_values.is_empty() {
            add("acr_values", &self.acr_values.join(" "));
        }
        if let Some(max_age) = self.max_age {
            add("max_age", &max_age.to_string());
        }
        if !self.scope.is_empty() {
            add("scope", &self.scope.join(" "));
        }
        HeaderValue::try_from(text).unwrap_or_else(|_never| HeaderValue::from_static("Bearer"))
    }
}

/// RFC 6750 section 3: what may stand in a value of a list. A space would make two of one; a quote would end the parameter.
fn is_writable(c: char) -> bool {
    c.is_ascii_graphic() && c != '"' && c != '\\'
}

/// The values that can be written. One that can't is left out: half of it would ask for something else.
pub(super) fn writable(values: &[Box<str>]) -> Vec<Box<str>> {
    values.iter().filter(|value| !value.is_empty() && value.chars().all(is_writable)).cloned().collect()
}

/// The scopes to name, each once; only where the challenge is about the sign-in or the scope.
pub(super) fn scopes<'a>(scope: &'a [Box<str>], error: Option<&str>) -> Vec<&'a str> {
    let mut named: Vec<&str> = Vec::new();
    if matches!(error, Some("insufficient_scope" | "insufficient_user_authentication")) {
        for one in scope {
            if !one.is_empty() && one.chars().all(is_writable) && !named.contains(&&**one) {
                named.push(one);
            }
        }
    }
    named
}
