//! What upstreams are told of the caller: `X-Stepgate-*`, set by us alone and only from verified tokens.

use bytes::{BufMut as _, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::assurance::Assurance;
use crate::policy::{Permit, Policy};

/// The fields that are set for one request. What is not known is not set.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity(Vec<(HeaderName, HeaderValue)>);

/// Writes them, one behind the other into one piece of memory.
struct Writer {
    text: BytesMut,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Identity {
    /// `caller` is the token that calls, `witness` the one whose evidence was enough; they are one, or a pair.
    pub(super) fn of(policy: &Policy, permit: &Permit, caller: &Assurance, witness: &Assurance) -> Self {
        let mut fields = Writer::new();
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
        if let Some(at) = witness.evidence.auth_time.known() {
            fields.number(AUTH_TIME, at.seconds());
        }
        fields.list(ISSUER, policy.issuer(caller.issuer).map(|issuer| &*issuer.name));
        fields.list(CLIENT, caller.client.as_deref());
        Self(fields.fields)
    }

    /// Sets them, in place of whatever there is.
    pub(super) fn set(self, fields: &mut HeaderMap) {
        for (name, value) in self.0 {
            fields.insert(name, value);
        }
    }
}

impl Writer {
    fn new() -> Self {
        Self { text: BytesMut::with_capacity(USUAL), fields: Vec::with_capacity(7) }
    }

    fn list<'v>(&mut self, name: HeaderName, values: impl IntoIterator<Item = &'v str>) {
        for value in values {
            if !self.text.is_empty() {
                self.text.put_u8(b' ');
            }
            encode(value, &mut self.text);
        }
        self.end(name);
    }

    fn number(&mut self, name: HeaderName, number: i64) {
        self.text.put_slice(number.to_string().as_bytes());
        self.end(name);
    }

    fn end(&mut self, name: HeaderName) {
        let value = self.text.split().freeze();
        if let Ok(value) = HeaderValue::from_maybe_shared(value)
            && !value.is_empty()
        {
            self.fields.push((name, value));
        }
    }
}

/// What the values of one request take together, most of the time.
const USUAL: usize = 256;

/// Percent-encodes what is not visible ASCII, and `%` itself, so that it can be decoded.
fn encode(value: &str, text: &mut BytesMut) {
    let plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'%';
    if value.as_bytes().iter().all(plain) {
        return text.put_slice(value.as_bytes());
    }
    for byte in value.bytes() {
        if plain(&byte) {
            text.put_u8(byte);
        } else {
            text.put_slice(format!("%{byte:02X}").as_bytes());
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
        let mut fields = Writer::new();
        fields.list(SUBJECT, ["Zoë\r\nX-Stepgate-Level: top"]);
        fields.list(AMR, ["a b", "100%", "pwd"]);
        fields.list(CLIENT, None);
        assert_eq!(
            fields.fields,
            [
                (SUBJECT, HeaderValue::from_static("Zo%C3%AB%0D%0AX-Stepgate-Level:%20top")),
                (AMR, HeaderValue::from_static("a%20b 100%25 pwd")),
            ]
        );
    }
}
