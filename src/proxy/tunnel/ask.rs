//! What a request wants its connection, or its stream, to go over to.
//!
//! `Upgrade` is an offer that a server may overlook (RFC 9110 section 7.8): what is not carried is not passed on, and the
//! request is an ordinary one. What says that it begins a WebSocket, and does not as RFC 6455 wants it, is refused.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Version};
use hyper::ext::Protocol;

use crate::policy::Denial;
use crate::proxy::refusal::Refusal;
use crate::proxy::tunnel::Kind;
use crate::reason::Reason;

/// What a request wants to go over to. It is carried there only if the upstream agrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Ask {
    /// The one protocol of those asked for that is passed on.
    pub(super) protocol: HeaderValue,
    pub(super) kind: Kind,
    /// The key of a WebSocket: the client's, or in HTTP/2, where there is none, our own.
    pub(super) key: Option<HeaderValue>,
}

pub(super) const WEBSOCKET: &str = "websocket";

fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(Denial::because(Reason::RequestMalformed), detail)
}

/// What a request asks for that may be carried: WebSocket, or what its route names. `None`: nothing, it is an ordinary request.
///
/// # Errors
/// `request_malformed`: the beginning of a WebSocket that is none, or in HTTP/2 something that is not carried, which no
/// ordinary request could stand for.
pub(in crate::proxy) fn of(head: &Parts, upgrades: &[Box<str>], has_body: bool) -> Result<Option<Ask>, Refusal> {
    if let Some(protocol) = head.extensions.get::<Protocol>() {
        return of_http2(head, protocol.as_str(), upgrades).map(Some);
    }
    // A body would stand between the request and the first bytes of what follows it.
    if head.version != Version::HTTP_11 || has_body || !lists(&head.headers, &header::CONNECTION, "upgrade") {
        return Ok(None);
    }
    let offered = members(&head.headers, &header::UPGRADE);
    let Some(protocol) = offered.into_iter().find(|one| is_carried(one, upgrades)) else { return Ok(None) };
    let asked = HeaderValue::from_str(protocol).map_err(|_not_text| malformed("`Upgrade` is not text"))?;
    if !protocol.eq_ignore_ascii_case(WEBSOCKET) {
        return Ok(Some(Ask { protocol: asked, kind: Kind::Other, key: None }));
    }
    if head.method != Method::GET {
        return Ok(None);
    }
    check_version(&head.headers)?;
    let key = only(&head.headers, "sec-websocket-key").filter(|key| is_key(key));
    let key = key.ok_or_else(|| malformed("a WebSocket needs one `Sec-WebSocket-Key` of 16 bytes in base64"))?.clone();
    Ok(Some(Ask { protocol: HeaderValue::from_static(WEBSOCKET), kind: Kind::WebSocket, key: Some(key) }))
}

/// The same of an extended CONNECT (RFC 8441), which was made a GET before.
fn of_http2(head: &Parts, protocol: &str, upgrades: &[Box<str>]) -> Result<Ask, Refusal> {
    if !is_carried(protocol, upgrades) {
        return Err(malformed("CONNECT with a `:protocol` that the route does not name in `upgrades`"));
    }
    let asked = HeaderValue::from_str(protocol).map_err(|_not_text| malformed("`:protocol` is not text"))?;
    if !protocol.eq_ignore_ascii_case(WEBSOCKET) {
        return Ok(Ask { protocol: asked, kind: Kind::Other, key: None });
    }
    check_version(&head.headers)?;
    let mut nonce = [0u8; 16];
    let undrawn = |_| Refusal::new(Denial::because(Reason::Overloaded), "there is no randomness");
    getrandom::fill(&mut nonce).map_err(undrawn)?;
    let key = HeaderValue::from_str(&STANDARD.encode(nonce)).map_err(|_never| malformed("no key"))?;
    Ok(Ask { protocol: HeaderValue::from_static(WEBSOCKET), kind: Kind::WebSocket, key: Some(key) })
}

/// The framing of version 13 is the one that is followed.
fn check_version(fields: &HeaderMap) -> Result<(), Refusal> {
    match only(fields, "sec-websocket-version") {
        Some(version) if version.as_bytes() == b"13" => Ok(()),
        Some(_) | None => Err(malformed("a WebSocket needs `Sec-WebSocket-Version: 13`")),
    }
}

/// A protocol is carried with whatever version of it is named, where the route names none.
fn is_carried(protocol: &str, upgrades: &[Box<str>]) -> bool {
    let name = protocol.split('/').next().unwrap_or_default();
    protocol.eq_ignore_ascii_case(WEBSOCKET)
        || upgrades.iter().any(|known| known.eq_ignore_ascii_case(protocol) || known.eq_ignore_ascii_case(name))
}

/// Whether a list names this.
pub(super) fn lists(fields: &HeaderMap, name: &header::HeaderName, member: &str) -> bool {
    members(fields, name).iter().any(|one| one.eq_ignore_ascii_case(member))
}

fn members<'h>(fields: &'h HeaderMap, name: &header::HeaderName) -> Vec<&'h str> {
    let lists = fields.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim_ascii).filter(|one| !one.is_empty()).collect()
}

/// The value of a field that stands once.
fn only<'h>(fields: &'h HeaderMap, name: &str) -> Option<&'h HeaderValue> {
    let mut values = fields.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn is_key(key: &HeaderValue) -> bool {
    STANDARD.decode(key.as_bytes()).is_ok_and(|nonce| nonce.len() == 16)
}

impl Ask {
    /// Whether the head of a 101 agrees to just this: the protocol, and for a WebSocket the proof that its key was read.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    pub(super) fn check(&self, fields: &HeaderMap) -> Result<(), &'static str> {
        let agreed =
            only(fields, "upgrade").is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(self.protocol.as_bytes()));
        if !agreed {
            return Err("the upstream switched to another protocol than was asked for");
        }
        if !lists(fields, &header::CONNECTION, "upgrade") {
            return Err("the upstream switched protocols without `Connection: upgrade`");
        }
        let Some(key) = &self.key else { return Ok(()) };
        match only(fields, "sec-websocket-accept") {
            Some(accept) if accept.as_bytes() == accept_of(key).as_bytes() => Ok(()),
            Some(_) | None => Err("the upstream's `Sec-WebSocket-Accept` is not that of the key it was sent"),
        }
    }
}

/// RFC 6455 section 4.2.2. What SHA-1 is for here is no secret.
pub(super) fn accept_of(key: &HeaderValue) -> String {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key.as_bytes());
    context.update(GUID);
    STANDARD.encode(context.finish())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn asked(method: &str, fields: &[(&str, &str)], upgrades: &[&str], has_body: bool) -> Result<Option<Ask>, Reason> {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let upgrades: Vec<Box<str>> = upgrades.iter().map(|name| Box::from(*name)).collect();
        let outcome = of(&request.body(()).unwrap().into_parts().0, &upgrades, has_body);
        outcome.map_err(|refusal| refusal.denial.reason)
    }

    fn protocol(fields: &[(&str, &str)], upgrades: &[&str]) -> Option<String> {
        asked("GET", fields, upgrades, false).unwrap().map(|ask| ask.protocol.to_str().unwrap().to_owned())
    }

    const HANDSHAKE: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ];

    #[test]
    fn a_websocket_is_asked_for_with_get_and_no_body() {
        let ask = asked("GET", &HANDSHAKE, &[], false).unwrap().unwrap();
        assert_eq!(
            (ask.kind, ask.protocol, ask.key.unwrap()),
            (Kind::WebSocket, "websocket".parse().unwrap(), KEY.parse().unwrap())
        );
        assert_eq!(asked("POST", &HANDSHAKE, &[], false), Ok(None));
        assert_eq!(asked("GET", &HANDSHAKE, &[], true), Ok(None));
        assert_eq!(asked("GET", &HANDSHAKE[1..], &[], false), Ok(None), "without `Connection: upgrade` it is no offer");
    }

    #[test]
    fn a_websocket_that_is_begun_otherwise_than_rfc_6455_says_is_refused() {
        for (name, value) in [
            ("sec-websocket-version", "8"),
            ("sec-websocket-version", "13, 8"),
            ("sec-websocket-key", "short"),
            ("sec-websocket-key", ""),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ"),
        ] {
            let fields = HANDSHAKE.map(|field| if field.0 == name { (name, value) } else { field });
            assert_eq!(asked("GET", &fields, &[], false), Err(Reason::RequestMalformed), "{name}: {value}");
            let twice: Vec<_> =
                HANDSHAKE.into_iter().chain(HANDSHAKE.into_iter().filter(|field| field.0 == name)).collect();
            assert_eq!(asked("GET", &twice, &[], false), Err(Reason::RequestMalformed), "{name} twice");
            let without: Vec<_> = HANDSHAKE.into_iter().filter(|field| field.0 != name).collect();
            assert_eq!(asked("GET", &without, &[], false), Err(Reason::RequestMalformed), "no {name}");
        }
    }

    #[test]
    fn of_several_protocols_the_first_that_is_carried_is_asked_for_and_others_are_overlooked() {
        let of = |offered, upgrades: &[&str]| protocol(&[("connection", "upgrade"), ("upgrade", offered)], upgrades);
        assert_eq!(of("h2c", &[]), None);
        assert_eq!(of("tcp", &[]), None);
        assert_eq!(of("tcp", &["other"]), None);
        assert_eq!(of("h2c, TCP, other", &["other", "tcp"]).as_deref(), Some("TCP"));
        assert_eq!(of("irc/6.9", &["irc"]).as_deref(), Some("irc/6.9"), "a name stands for every version");
        assert_eq!(of("irc/6.9", &["irc/7"]), None);
        assert_eq!(of("irc", &["irc/7"]), None);
        let mut fields = HANDSHAKE.to_vec();
        fields.insert(0, ("upgrade", "h2c"));
        assert_eq!(protocol(&fields, &[]).as_deref(), Some("websocket"));
    }

    #[test]
    fn an_answer_agrees_when_it_names_what_was_asked_for_and_proves_that_the_key_was_read() {
        const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert_eq!(accept_of(&KEY.parse().unwrap()), ACCEPT);
        let ask = asked("GET", &HANDSHAKE, &[], false).unwrap().unwrap();
        let agrees = |fields: &[(&'static str, &'static str)]| {
            let map = fields.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            let mut fields = HeaderMap::new();
            fields.extend(map.map(|(name, value): (header::HeaderName, HeaderValue)| (name, value)));
            ask.check(&fields).is_ok()
        };
        let whole = [("connection", "Upgrade"), ("upgrade", "WebSocket"), ("sec-websocket-accept", ACCEPT)];
        assert!(agrees(&whole));
        for (place, field) in [
            (0, ("connection", "keep-alive")),
            (1, ("upgrade", "h2c")),
            (1, ("upgrade", "websocket, h2c")),
            (2, ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOp=")),
        ] {
            let mut other = whole;
            other[place] = field;
            assert!(!agrees(&other), "{field:?}");
            other[place] = ("x", "y");
            assert!(!agrees(&other), "without {field:?}");
        }
    }
}
