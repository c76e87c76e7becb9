//! What upstreams are told of the caller: `X-Stepgate-*`, set by us alone and only from verified tokens.

use std::fmt::Write as _;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::assurance::Assurance;
use crate::policy::{Permit, Policy};

/// The fields that are set for one request. What is not known is not set.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Identity(Vec<(HeaderName, HeaderValue)>);

impl Identity {
    /// `caller` is the token that calls, `witness` the one whose evidence was enough; they are one, or a pair.
    pub(super) fn of(policy: &Policy, permit: &Permit, caller: &Assurance, witness: &Assurance) -> Self {
        let mut fields = Self(Vec::with_capacity(7));
        let ladders = policy.ladders();
        fields.list(SUBJECT, caller.subject.as_deref());
        fields.list(LEVEL, permit.levels().iter().map(|rung| ladders.name(*rung)));
        fields.list(ACR, witness.evidence.acr.known().into_iter().flatten().map(|acr| &**acr));
        // A value that counts for nothing here is not to count there.
        let methods = witness.evidence.amr.known().into_iter().flatten();
        fields.list(
            AMR,
            methods.filter(|method| !method.ignored && !permit.ignores(&method.value)).map(|method| &*method.value),
        );
        let auth_time = witness.evidence.auth_time.known().map(|at| at.seconds().to_string());
        fields.list(AUTH_TIME, auth_time.as_deref());
        fields.list(ISSUER, policy.issuer(caller.issuer).map(|issuer| &*issuer.name));
        fields.list(CLIENT, caller.client.as_deref());
        fields
    }

    fn list<'v>(&mut self, name: HeaderName, values: impl IntoIterator<Item = &'v str>) {
        let mut text = String::new();
        for value in values {
            if !text.is_empty() {
                text.push(' ');
            }
            encode(value, &mut text);
        }
        if let Ok(value) = HeaderValue::try_from(text)
            && !value.is_empty()
        {
            self.0.push((name, value));
        }
    }

    /// Sets them, in place of whatever there is.
    pub(super) fn set(&self, fields: &mut HeaderMap) {
        for (name, value) in &self.0 {
            fields.insert(name.clone(), value.clone());
        }
    }
}

/// Percent-encodes what is not visible ASCII, and `%` itself, so that it can be decoded.
fn encode(value: &str, text: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            text.push(char::from(byte));
        } else {
            let _infallible = write!(text, "%{byte:02X}");
        }
    }
}

const SUBJECT: HeaderName = HeaderName::from_static("x-stepgate-subject");
const LEVEL: HeaderName = HeaderName::from_static("x-stepgate-level");
const ACR: HeaderName = HeaderName::from_static("x-stepgate-acr");
const AMR: HeaderName = HeaderName::from_static("x-stepgate-amr");
const AUTH_TIME: HeaderName = HeaderName::from_static("x-stepgate-auth-time");
const ISSUER: HeaderName = HeaderName::from_static("x-stepgate-issuer");
const CLIENT: HeaderName = HeaderName::from_static("x-stepgate-client");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_so_that_none_breaks_a_line_or_a_list() {
        let mut fields = Identity::default();
        fields.list(SUBJECT, ["Zoë\r\nX-Stepgate-Level: top"]);
        fields.list(AMR, ["a b", "100%", "pwd"]);
        fields.list(CLIENT, None);
        assert_eq!(
            fields.0,
            [
                (SUBJECT, HeaderValue::from_static("Zo%C3%AB%0D%0AX-Stepgate-Level:%20top")),
                (AMR, HeaderValue::from_static("a%20b 100%25 pwd")),
            ]
        );
    }
}
