//! Header fields on their way up: what is between the client and us goes, what only we may say goes, then ours are set.
//!
//! The order is the point: `Connection` is obeyed first, so that it can't take away what we set (checklist T14), and every
//! spelling of our names goes before they are set (T13), on public routes too.

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::policy::{Place, TokenSource};
use crate::proxy::edge::approach::Approach;
use crate::proxy::extract;
use crate::proxy::glance::Glance;
use crate::proxy::identity::Identity;
use crate::proxy::spare;
use crate::proxy::spellings::{is_disguise_of, is_ours};

/// All that makes the fields which an upstream is to see.
#[derive(Clone, Debug)]
pub(super) struct Fields<'f> {
    /// What the client sent. Left as it is, since a request may have to be sent twice.
    pub(super) given: &'f HeaderMap,
    pub(super) glance: Glance,
    pub(super) approach: &'f Approach,
    pub(super) id: &'f HeaderValue,
    /// What is added to `Via`.
    pub(super) via: &'f HeaderValue,
    pub(super) identity: Option<&'f Identity>,
    /// Where tokens stand that are not passed on.
    pub(super) stripped: SmallVec<[&'f TokenSource; 2]>,
    /// The names of the cookies that the gate keeps for itself.
    pub(super) kept: &'f [Box<str>],
    /// Where the route looks for tokens.
    pub(super) taken: &'f [TokenSource],
    /// What the upstream speaks.
    pub(super) version: Version,
    /// The beginning of the path that clients know, where the route puts another in its place.
    pub(super) prefix: Option<&'f str>,
    /// Whether there is a body whose length nobody announced.
    pub(super) is_unmeasured: bool,
}

impl Fields<'_> {
    /// Writes them into an empty map.
    pub(super) fn write(&self, fields: &mut HeaderMap) {
        // At once, and not again and again.
        fields.reserve(self.given.len().saturating_add(MOST_SET));
        let told = self.pass_on(fields);
        self.say_ours(&told, |name, value| {
            if name == header::VIA {
                fields.append(name, value.clone());
            } else {
                fields.insert(name, value.clone());
            }
        });
    }

    /// Writes them as they go over the line (RFC 9112 section 5). What we say ourselves is in no map then: nothing of what is
    /// passed on has a name of ours, so that there is nothing in whose place it would have to be put.
    pub(super) fn write_lines(&self, text: &mut Vec<u8>) {
        let mut line = |name: &HeaderName, value: &HeaderValue| {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                text.extend_from_slice(part);
            }
        };
        let mut fields = spare::take();
        fields.reserve(self.given.len());
        let told = self.pass_on(&mut fields);
        fields.iter().for_each(|(name, value)| line(name, value));
        spare::give(fields);
        self.say_ours(&told, |name, value| line(&name, value));
    }

    /// Writes what is passed on of what was given, in one pass over that: a map that is changed instead is searched for each
    /// change, and has to be copied whole before.
    fn pass_on(&self, fields: &mut HeaderMap) -> Told<'_> {
        let over_http2 = self.version == Version::HTTP_2;
        let listed = if self.glance.connection { listed(self.given) } else { SmallVec::new() };
        let mut told = Told { host: None, takes_trailers: false };
        for (name, value) in self.given {
            match name.as_str() {
                "host" => {
                    told.host = Some(value);
                    // There it stands in the target.
                    if over_http2 {
                        continue;
                    }
                }
                "te" => told.takes_trailers |= says_trailers(value),
                "content-length" if self.is_unmeasured => continue,
                // We answer `100-continue` ourselves, by reading the body.
                "expect" | "x-request-id" => continue,
                _ => {}
            }
            if !is_hop_by_hop(name) && !is_ours(name.as_str()) && !is_listed(name, &listed) {
                fields.append(name.clone(), value.clone());
            }
        }
        self.stripped.iter().for_each(|source| extract::strip(fields, source));
        if !self.kept.is_empty() && self.given.contains_key(header::COOKIE) {
            extract::strip_cookies(fields, |name| self.kept.iter().any(|kept| kept.as_bytes() == name));
        }
        // A token beside the one that was verified, in a spelling that the application may know too.
        for source in self.taken {
            if let Place::Header(name) = &source.place {
                remove_disguised(fields, name);
            }
        }
        told
    }

    /// Says what only we say, each field once.
    fn say_ours(&self, told: &Told<'_>, mut say: impl FnMut(HeaderName, &HeaderValue)) {
        let approach = self.approach;
        say(X_FORWARDED_FOR, &approach.for_);
        say(X_FORWARDED_PROTO, &HeaderValue::from_static(approach.scheme.name()));
        say(X_FORWARDED_PORT, &approach.port);
        if let Some(host) = approach.host.as_ref().or(told.host) {
            say(X_FORWARDED_HOST, host);
        }
        // A canonical path is text that a field can have.
        if let Some(Ok(prefix)) = self.prefix.map(HeaderValue::from_str) {
            say(X_FORWARDED_PREFIX, &prefix);
        }
        say(header::FORWARDED, &approach.forwarded);
        say(X_REAL_IP, &approach.real_ip);
        say(X_REQUEST_ID, self.id);
        say(header::VIA, self.via);
        if let Some(identity) = self.identity {
            identity.fields().for_each(|(name, value)| say(name.clone(), value));
        }
        let over_http2 = self.version == Version::HTTP_2;
        if told.takes_trailers {
            // In HTTP/1.1 that is said to a neighbour alone (RFC 9110 section 10.1.4).
            say(header::TE, &HeaderValue::from_static("trailers"));
            if !over_http2 {
                say(header::CONNECTION, &HeaderValue::from_static("te"));
            }
        }
        // Unless told, hyper takes some methods to have no body and drops it in silence.
        if self.is_unmeasured && !over_http2 {
            say(header::TRANSFER_ENCODING, &HeaderValue::from_static("chunked"));
        }
    }
}

/// What was found on the way over what a client sent.
struct Told<'f> {
    host: Option<&'f HeaderValue>,
    takes_trailers: bool,
}

/// What the fields `Connection` list, of whatever form.
fn listed(fields: &HeaderMap) -> SmallVec<[&[u8]; 4]> {
    let lists = fields.get_all(header::CONNECTION).iter();
    let members = lists.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    // What most clients say, and goes anyway.
    members.filter(|member| !member.eq_ignore_ascii_case(b"keep-alive")).collect()
}

fn is_listed(name: &HeaderName, listed: &[&[u8]]) -> bool {
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

/// Whether a value of `TE` says that trailers are taken: the one thing of it which we can keep for whoever asks.
fn says_trailers(value: &HeaderValue) -> bool {
    let mut members = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    members.any(|member| member.eq_ignore_ascii_case(b"trailers"))
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

/// Removes whatever an upstream could take for the field `name`, and that field itself not.
fn remove_disguised(fields: &mut HeaderMap, name: &str) {
    let disguised = |found: &&HeaderName| is_disguise_of(found.as_str(), name);
    let found: SmallVec<[HeaderName; 4]> = fields.keys().filter(disguised).cloned().collect();
    for name in found {
        fields.remove(name);
    }
}

/// The most fields that are set on one request, by us and by hyper.
const MOST_SET: usize = 19;

/// RFC 9110 section 6.5.1: framing, routing and authentication are never trailers. A `static`, since a constant would be
/// made and dropped anew at each use.
static NEVER_TRAILERS: [HeaderName; 6] =
    [header::HOST, header::CONTENT_LENGTH, header::AUTHORIZATION, header::COOKIE, header::TRAILER, X_REQUEST_ID];

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Kinds;
    use crate::proxy::edge::approach::Edge;

    fn map(given: &[(&str, &str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in given {
            fields.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        fields
    }

    /// What an upstream is told of these fields, on a route that looks for a token in the field `taken`.
    fn written(given: &[(&str, &str)], taken: &str, version: Version, is_unmeasured: bool) -> HeaderMap {
        let given = map(given);
        let edge = Edge::new(([192, 0, 2, 1], 4711).into(), ([127, 0, 0, 1], 8443).into(), None);
        let approach = edge.approach(&given);
        let id = HeaderValue::from_static("id");
        let taken = [TokenSource { place: Place::Header(taken.into()), kinds: Kinds::Any }];
        let (approach, stripped) = (&*approach, SmallVec::new());
        let fields = Fields {
            given: &given,
            glance: Glance::at(&given),
            approach,
            id: &id,
            via: &HeaderValue::from_static("1.1 us"),
            identity: None,
            stripped,
            kept: &[],
            taken: &taken,
            version,
            prefix: None,
            is_unmeasured,
        };
        let (mut once, mut twice, mut lines) = (HeaderMap::new(), HeaderMap::new(), Vec::new());
        fields.write(&mut once);
        fields.write(&mut twice);
        assert_eq!(once, twice, "the same however often it is sent");
        fields.write_lines(&mut lines);
        let mut lines: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
        let written = |(name, value): (&HeaderName, &HeaderValue)| {
            [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
        };
        let mut fields: Vec<Vec<u8>> = once.iter().map(written).collect();
        lines.sort_unstable();
        fields.sort_unstable();
        assert_eq!(lines, fields, "the same over the line as in a map");
        once
    }

    fn prepared(given: &[(&str, &str)]) -> HeaderMap {
        written(given, "x-none", Version::HTTP_11, false)
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
        let taking = |given, taken| written(given, taken, Version::HTTP_11, false);
        let fields = taking(&[("x-id-token", "kept"), ("x_id_token", "forged"), ("x_id", "kept")], "X-Id-Token");
        assert_eq!(fields.get("x-id-token").unwrap(), "kept");
        assert!(fields.contains_key("x_id") && !fields.contains_key("x_id_token"));
        let fields = taking(&[("x-id-token", "forged"), ("x_id_token", "kept")], "X_Id_Token");
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
                "connection",
                "forwarded",
                "host",
                "te",
                "via",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-port",
                "x-forwarded-proto",
                "x-real-ip",
                "x-request-id"
            ]
        );
        assert_eq!((&fields["connection"], &fields["te"]), (&"te".parse().unwrap(), &"trailers".parse().unwrap()));
        assert_eq!(fields["x-forwarded-for"], "192.0.2.1");
        assert_eq!(fields["x-forwarded-host"], "a.example:1");
        assert_eq!(fields["forwarded"], "for=192.0.2.1;proto=http");
        assert_eq!(fields["x-request-id"], "id");
    }

    #[test]
    fn a_body_that_nobody_measured_goes_in_chunks_and_the_host_over_http_2_in_the_target() {
        let given = [("host", "a.example"), ("content-length", "7"), ("te", "gzip, Trailers"), ("x-request-id", "1")];
        let told = written(&given, "x-none", Version::HTTP_11, true);
        assert_eq!(
            (&told["transfer-encoding"], told.get("content-length")),
            (&HeaderValue::from_static("chunked"), None)
        );
        assert_eq!(
            (&told["te"], &told["connection"]),
            (&HeaderValue::from_static("trailers"), &HeaderValue::from_static("te"))
        );
        assert_eq!(told["host"], "a.example");
        let told = written(&given, "x-none", Version::HTTP_2, true);
        for name in ["transfer-encoding", "content-length", "connection", "host"] {
            assert!(!told.contains_key(name), "{name}");
        }
        assert_eq!(
            (&told["te"], &told["x-forwarded-host"]),
            (&HeaderValue::from_static("trailers"), &HeaderValue::from_static("a.example"))
        );
        assert_eq!(written(&given, "x-none", Version::HTTP_11, false)["content-length"], "7");
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
