//! Header fields on their way up: what is between the client and us goes, what only we may say goes, then ours are set.
//!
//! The order is the point: `Connection` is obeyed first, so that it can't take away what we set (checklist T14), and every
//! spelling of our names goes before they are set (T13), on public routes too.

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::proxy::edge::approach::Approach;
use crate::proxy::identity::Identity;

/// Makes a request's fields what the upstream is to see.
pub(super) fn prepare(fields: &mut HeaderMap, approach: &Approach, id: &HeaderValue, identity: Option<Identity>) {
    // We answer `100-continue` ourselves, by reading the body.
    remove(fields, |name| is_hop_by_hop(name) || *name == header::EXPECT || is_ours(name.as_str()));
    // At once, and not again and again.
    fields.reserve(MOST_SET);
    fields.insert(X_FORWARDED_FOR, approach.for_.clone());
    fields.insert(X_FORWARDED_PROTO, HeaderValue::from_static(approach.scheme.name()));
    fields.insert(X_FORWARDED_PORT, approach.port.clone());
    if let Some(host) = approach.host.as_ref().or_else(|| fields.get(header::HOST)).cloned() {
        fields.insert(X_FORWARDED_HOST, host);
    }
    fields.insert(header::FORWARDED, approach.forwarded.clone());
    fields.insert(X_REAL_IP, approach.real_ip.clone());
    fields.insert(X_REQUEST_ID, id.clone());
    if let Some(identity) = identity {
        identity.set(fields);
    }
}

/// Removes what RFC 9110 section 7.6.1 keeps between two neighbours, `Connection`'s own list first.
pub(super) fn remove_hop_by_hop(fields: &mut HeaderMap) {
    remove(fields, is_hop_by_hop);
}

/// Removes the fields of such names and, before the field itself goes, those that `Connection` lists.
fn remove(fields: &mut HeaderMap, such: impl Fn(&HeaderName) -> bool) {
    let mut gone: SmallVec<[HeaderName; 4]> = fields.keys().filter(|name| such(name)).cloned().collect();
    if gone.contains(&header::CONNECTION) {
        let lists = fields.get_all(header::CONNECTION).iter();
        let listed = lists
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            // A field for all recipients is no connection option; without these the request would be another one.
            .filter(|name| *name != header::HOST && *name != header::CONTENT_LENGTH && *name != header::CONTENT_TYPE);
        gone.extend(listed);
    }
    for name in gone {
        fields.remove(name);
    }
}

/// Whether whoever asks takes trailers: the one thing that `TE` says which we can keep for them.
pub(super) fn takes_trailers(fields: &HeaderMap) -> bool {
    let members = fields.get_all(header::TE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    members.map(<[u8]>::trim_ascii).any(|member| member.eq_ignore_ascii_case(b"trailers"))
}

/// Tells the upstream that trailers are taken. In HTTP/1.1 that is said to a neighbour alone (RFC 9110 section 10.1.4).
pub(super) fn take_trailers(fields: &mut HeaderMap, version: Version) {
    fields.insert(header::TE, HeaderValue::from_static("trailers"));
    if version != Version::HTTP_2 {
        fields.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Whether a field is always between two neighbours.
pub(super) fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
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

/// Removes whatever an upstream could take for the field `name`, and that field itself not.
pub(super) fn remove_disguised(fields: &mut HeaderMap, name: &str) {
    let wanted: String = name.bytes().map(fold).map(char::from).collect();
    let disguised =
        |found: &&HeaderName| folded_is(found.as_str(), &wanted) && !found.as_str().eq_ignore_ascii_case(name);
    let found: Vec<HeaderName> = fields.keys().filter(disguised).cloned().collect();
    for name in found {
        fields.remove(name);
    }
}

/// Whether only we may say it: what upstreams could take for ours in any spelling, what would have them serve another
/// method or path than was judged (checklist T12), what tells of the connection, and what could be taken for a field that
/// was looked at under its own name alone.
fn is_ours(name: &str) -> bool {
    // A first character that an upstream folds away from in front of these is no spelling that any is known to have. Most
    // names begin otherwise.
    let might_be = name.bytes().next().is_some_and(|first| OUR_FIRST.contains(&first));
    might_be
        && (OUR_PREFIXES.iter().any(|prefix| folded_starts(name, prefix))
            || OURS.iter().any(|ours| folded_is(name, ours)))
        || is_disguised(name)
}

fn is_disguised(name: &str) -> bool {
    name.bytes().any(|byte| !byte.is_ascii_alphanumeric() && byte != b'-')
        && LOOKED_AT.iter().any(|known| folded_is(name, known))
}

/// As CGI, WSGI, PHP and their kin see names: case is nothing, and whatever is no letter or digit is one and the same.
fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

fn folded_starts(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len() && name.bytes().zip(prefix.bytes()).all(|(byte, wanted)| fold(byte) == wanted)
}

fn folded_is(name: &str, wanted: &str) -> bool {
    name.len() == wanted.len() && folded_starts(name, wanted)
}

/// The most fields that are set on one request.
const MOST_SET: usize = 16;

/// What the names below begin with.
const OUR_FIRST: &[u8] = b"xscftp";
const OUR_PREFIXES: [&str; 5] = ["x-stepgate", "x-forwarded-", "x-ssl-client-", "ssl-client-", "x-amzn-mtls-"];

const OURS: [&str; 44] = [
    // A certificate that a terminator checked.
    "x-client-cert",
    "x-client-cert-chain",
    // Another method.
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-method",
    // Another target.
    "x-original-url",
    "x-original-uri",
    "x-original-path",
    "x-original-host",
    "x-rewrite-url",
    "x-rewrite-uri",
    "x-rewrite-path",
    "x-override-url",
    "x-override-uri",
    "x-override-path",
    "x-http-path-override",
    "x-http-host-override",
    "x-host",
    "x-envoy-original-path",
    "x-envoy-original-host",
    // Where the client is.
    "forwarded",
    "x-forwarded",
    "x-original-forwarded-for",
    "x-real-ip",
    "x-client-ip",
    "x-remote-ip",
    "x-remote-addr",
    "x-originating-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-azure-clientip",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "fastly-client-ip",
    "fly-client-ip",
    // The client's certificate (RFC 9440 and what came before it).
    "client-cert",
    "client-cert-chain",
    "x-ssl-cert",
    "x-arr-clientcert",
    "ssl-client",
    // CGI makes `HTTP_PROXY` of it, which some take for their own proxy.
    "proxy",
];

/// Fields that mean something under their own name, and may not come a second time in another spelling of it.
const LOOKED_AT: [&str; 8] = [
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "x-request-id",
    "proxy-authorization",
    "proxy-connection",
    "keep-alive",
];

/// A `static`, since a constant would be made and dropped anew at each use.
static HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// RFC 9110 section 6.5.1: framing, routing and authentication are never trailers.
static NEVER_TRAILERS: [HeaderName; 6] =
    [header::HOST, header::CONTENT_LENGTH, header::AUTHORIZATION, header::COOKIE, header::TRAILER, X_REQUEST_ID];

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::edge::approach::Edge;

    fn prepared(given: &[(&str, &str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in given {
            fields.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let edge = Edge::new(([192, 0, 2, 1], 4711).into(), ([127, 0, 0, 1], 8443).into(), None);
        let approach = edge.approach(&fields).into_owned();
        prepare(&mut fields, &approach, &HeaderValue::from_static("id"), None);
        fields
    }

    #[test]
    fn the_first_letters_are_those_of_all_names() {
        for name in OUR_PREFIXES.iter().chain(&OURS) {
            assert!(OUR_FIRST.contains(&name.as_bytes()[0]), "{name}");
        }
    }

    #[test]
    fn t13_our_names_go_in_every_spelling_and_others_stay() {
        for name in [
            "X-Stepgate-Level",
            "x_stepgate_level",
            "x.stepgate.level",
            "X-StepGate",
            "x-stepgate_amr",
            "x~stepgate!acr",
            "x-forwarded-user",
            "X_Forwarded_For",
        ] {
            assert!(!prepared(&[(name, "forged")]).values().any(|value| value == "forged"), "{name}");
        }
        for name in ["x-step", "x-stepgat", "x-original", "x-requested-with", "stepgate", "x-http-methods"] {
            assert!(prepared(&[(name, "kept")]).values().any(|value| value == "kept"), "{name}");
        }
    }

    #[test]
    fn t12_overrides_of_method_and_path_go() {
        for name in [
            "X-HTTP-Method-Override",
            "x_http_method",
            "X-Original-URL",
            "X-Rewrite-URL",
            "Forwarded",
            "X-Method-Override",
            "X-Override-URL",
            "X-HTTP-Path-Override",
            "X_HTTP_Path_Override",
        ] {
            assert!(!prepared(&[(name, "forged")]).values().any(|value| value == "forged"), "{name}");
        }
    }

    #[test]
    fn t13_facts_of_the_connection_that_only_an_edge_may_tell_go() {
        for name in [
            "X-Client-IP",
            "X-Real-IP",
            "X_Real_IP",
            "True-Client-IP",
            "true_client_ip",
            "X-Cluster-Client-IP",
            "CF-Connecting-IP",
            "Client-Cert",
            "client_cert",
            "Client-Cert-Chain",
            "X-Forwarded-Client-Cert",
            "X-SSL-Client-Verify",
            "X_SSL_Client_S_DN",
            "SSL_CLIENT_CERT",
            "Proxy",
        ] {
            assert!(!prepared(&[(name, "forged")]).values().any(|value| value == "forged"), "{name}");
        }
        for name in ["client", "client-certs", "x-ssl", "cf-ray", "x-client", "proxy-hint"] {
            assert!(prepared(&[(name, "kept")]).values().any(|value| value == "kept"), "{name}");
        }
    }

    #[test]
    fn t17_another_spelling_of_a_field_that_was_looked_at_goes_and_the_field_stays() {
        for name in [
            "content_length",
            "Content.Length",
            "Transfer_Encoding",
            "transfer~encoding",
            "X_Request_ID",
            "content_type",
        ] {
            assert!(!prepared(&[(name, "forged")]).values().any(|value| value == "forged"), "{name}");
        }
        for name in ["content-length", "content-type", "authorization", "cookie", "my_length"] {
            assert!(prepared(&[(name, "1")]).values().any(|value| value == "1"), "{name}");
        }
        let mut fields = prepared(&[("x-id-token", "kept"), ("x_id_token", "forged"), ("x_id", "kept")]);
        remove_disguised(&mut fields, "X-Id-Token");
        assert_eq!(fields.get("x-id-token").unwrap(), "kept");
        assert!(fields.contains_key("x_id") && !fields.contains_key("x_id_token"));
        let mut fields = prepared(&[("x-id-token", "forged"), ("x_id_token", "kept")]);
        remove_disguised(&mut fields, "X_Id_Token");
        assert!(fields.contains_key("x_id_token") && !fields.contains_key("x-id-token"), "a policy may name it so");
    }

    #[test]
    fn t14_connection_is_obeyed_before_ours_are_set_and_never_takes_the_host() {
        let fields = prepared(&[
            ("connection", "x-forwarded-for, X-Mine , host"),
            ("connection", "keep-alive, x-request-id"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("host", "a.example:1"),
        ]);
        let mut names: Vec<&str> = fields.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "forwarded",
                "host",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-port",
                "x-forwarded-proto",
                "x-real-ip",
                "x-request-id"
            ]
        );
        assert_eq!(fields["x-forwarded-for"], "192.0.2.1");
        assert_eq!(fields["x-forwarded-host"], "a.example:1");
        assert_eq!(fields["forwarded"], "for=192.0.2.1;proto=http");
        assert_eq!(fields["x-request-id"], "id");
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
