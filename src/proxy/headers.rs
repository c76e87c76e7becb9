//! Which header fields are between two neighbours alone, and which only we may say.
//!
//! Called by `fields` for a request on its way up, and for responses and trailers by whoever passes them on.

use http::header::{self, HeaderMap, HeaderName};
use smallvec::SmallVec;

use crate::proxy::spellings::is_ours;

/// What the fields `Connection` list, of whatever form.
pub(super) fn listed(fields: &HeaderMap) -> SmallVec<[&[u8]; 4]> {
    let lists = fields.get_all(header::CONNECTION).iter();
    let members = lists.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    // What most clients say, and goes anyway.
    members.filter(|member| !member.eq_ignore_ascii_case(b"keep-alive")).collect()
}

/// Whether they list this field.
pub(super) fn is_listed(name: &HeaderName, listed: &[&[u8]]) -> bool {
    !listed.is_empty()
        // A field for all recipients is no connection option; without these the request would be another one.
        && *name != header::HOST && *name != header::CONTENT_LENGTH && *name != header::CONTENT_TYPE
        && listed.iter().any(|member| member.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Removes what RFC 9110 section 7.6.1 keeps between two neighbours, what `Connection` lists among it.
pub(super) fn remove_hop_by_hop(fields: &mut HeaderMap) {
    let listed = listed(fields);
    let between = |name: &&HeaderName| is_hop_by_hop(name) || is_listed(name, &listed);
    let gone: SmallVec<[HeaderName; 4]> = fields.keys().filter(between).cloned().collect();
    drop(listed);
    for name in gone {
        fields.remove(name);
    }
}

/// Whether a field is always between two neighbours.
pub(super) fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "proxy-connection"
            | "keep-alive"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            // A client that forgets to list it would have an upstream believe in a wish to speak HTTP/2.
            | "http2-settings"
    )
}

/// Removes from trailers what would be removed from a head.
pub(super) fn clean_trailers(fields: &mut HeaderMap) {
    let not_theirs =
        |name: &&HeaderName| is_ours(name.as_str()) || is_hop_by_hop(name) || NEVER_TRAILERS.contains(name);
    let found: Vec<HeaderName> = fields.keys().filter(not_theirs).cloned().collect();
    for name in found {
        fields.remove(name);
    }
}

/// RFC 9110 section 6.5.1: framing, routing and authentication are never trailers. A `static`, since a constant would be
/// made and dropped anew at each use.
static NEVER_TRAILERS: [HeaderName; 6] =
    [header::HOST, header::CONTENT_LENGTH, header::AUTHORIZATION, header::COOKIE, header::TRAILER, X_REQUEST_ID];

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub(super) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn map(given: &[(&str, &str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in given {
            fields.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        fields
    }

    #[test]
    fn what_a_response_says_to_a_neighbour_alone_goes() {
        let mut fields =
            map(&[("connection", "close, X-Hop"), ("x-hop", "1"), ("upgrade", "h2c"), ("content-type", "a/b")]);
        remove_hop_by_hop(&mut fields);
        assert_eq!(fields.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["content-type"]);
    }

    #[test]
    fn trailers_can_say_nothing_that_a_head_may_not() {
        let mut trailers = HeaderMap::new();
        for name in [
            "x-stepgate-level",
            "x_stepgate_level",
            "authorization",
            "host",
            "x-request-id",
            "content_length",
            "x-checksum",
        ] {
            trailers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        clean_trailers(&mut trailers);
        assert_eq!(trailers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-checksum"]);
    }
}
