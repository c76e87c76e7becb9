//! Where a request comes from: what the connection shows and, from peers that the settings name, what they say of it.
//!
//! A peer is trusted by its address alone, so the question is which of the fields on a request from it were written by it,
//! and not by a stranger whom it let through. Hence the rules (docs/edge.md tells them to operators):
//!
//! - `X-Forwarded-*` are what a named peer is believed in. Where one of them is there, `Forwarded` is not looked at: a
//!   balancer that keeps up one family commonly passes the other through as a client wrote it.
//! - `Forwarded` is believed where it stands alone. Whoever names a peer that keeps up only this one must see to it that the
//!   peer removes the others.
//! - Lists are read from the right, from our own neighbour outwards, over addresses that are trusted themselves, and never
//!   beyond what is no address: left of a stranger's address stands what the stranger wrote.
//! - Routes are found by `Host` alone, whatever is believed here.
//!
//! Called by `handler`, once for each request; by `connection`, once for each connection.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::config::settings::Listener;
use crate::policy::canonical_host;
use crate::proxy::edge::forwarded::{self, Element, Scheme, element};
use crate::proxy::edge::peers::is_trusted;
use crate::proxy::edge::told::Approach;
use crate::proxy::headers::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO};

/// One connection's edge.
#[derive(Debug)]
pub(in crate::proxy) struct Edge {
    /// What the connection itself shows. The same for all requests on it.
    own: Approach,
    peer: IpAddr,
    /// Whom the lists may be followed over. Empty when the peer is none of them: then it is believed nothing.
    trusted: Box<[IpNet]>,
}

impl Edge {
    /// The edge of a connection from `peer` to `local` on this listener.
    pub(in crate::proxy) fn new(peer: SocketAddr, local: SocketAddr, listener: Option<&Listener>) -> Self {
        let peer = peer.ip().to_canonical();
        let trusted = listener.map(|listener| &listener.trusted_peers).filter(|trusted| is_trusted(trusted, peer));
        let encrypted = listener.is_some_and(|listener| listener.tls.is_some());
        let scheme = if encrypted { Scheme::Https } else { Scheme::Http };
        let own = Approach {
            client: peer,
            scheme,
            real_ip: value(&peer.to_string()),
            for_: value(&peer.to_string()),
            port: value(&local.port().to_string()),
            host: None,
            forwarded: value(&element(peer, scheme)),
            lines: None,
        };
        let own = own.with_lines();
        Self { own, peer, trusted: trusted.cloned().unwrap_or_default() }
    }

    /// Where the request with these fields comes from.
    pub(in crate::proxy) fn approach(&self, fields: &HeaderMap) -> Cow<'_, Approach> {
        if self.trusted.is_empty() {
            Cow::Borrowed(&self.own)
        } else if FAMILY.iter().any(|name| fields.contains_key(name)) {
            Cow::Owned(self.by_x_forwarded(fields))
        } else if fields.contains_key(header::FORWARDED) {
            Cow::Owned(self.by_forwarded(fields))
        } else {
            Cow::Borrowed(&self.own)
        }
    }

    fn by_x_forwarded(&self, fields: &HeaderMap) -> Approach {
        let entries = || fields.get_all(X_FORWARDED_FOR).iter().rev();
        let nodes = entries().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        let client = self.outermost(nodes, |node| std::str::from_utf8(node).ok().and_then(forwarded::address)).0;
        let proto = single(fields, &X_FORWARDED_PROTO).and_then(Scheme::parse);
        let host = single(fields, &X_FORWARDED_HOST).filter(|host| canonical_host(host).is_some());
        let port = single(fields, &X_FORWARDED_PORT).and_then(port_number);
        Approach {
            for_: joined(fields, &X_FORWARDED_FOR, &self.peer.to_string()),
            ..self.believing(client, proto, host, port, fields)
        }
    }

    fn by_forwarded(&self, fields: &HeaderMap) -> Approach {
        // Each field by itself: what one of them breaks is not to spoil what stands right of it.
        let lists: Vec<Option<Vec<Element>>> =
            fields.get_all(header::FORWARDED).iter().map(|value| forwarded::elements(value.as_bytes())).collect();
        let elements = lists.iter().rev().flat_map(|list| match list {
            Some(list) => list.iter().rev().map(Some).collect(),
            None => vec![None],
        });
        let (client, said) = self.outermost(elements, |element| element.and_then(|element| element.client));
        // The element that names the client was written by whom the client spoke to.
        let proto = said.flatten().and_then(|said| said.proto);
        let host = said.flatten().and_then(|said| said.host.as_deref());
        let host = host.filter(|host| canonical_host(host).is_some());
        let believed = self.believing(client, proto, host, None, fields);
        if lists.contains(&None) {
            return believed;
        }
        let forwarded = joined(fields, &header::FORWARDED, &element(self.peer, self.own.scheme));
        Approach { forwarded, ..believed }
    }

    /// Goes from our neighbour outwards to the first address that is not trusted: the client, with the entry that names it.
    fn outermost<E: Copy>(
        &self,
        entries: impl Iterator<Item = E>,
        address: impl Fn(E) -> Option<IpAddr>,
    ) -> (IpAddr, Option<E>) {
        let mut client = (self.peer, None);
        for entry in entries {
            let Some(hop) = address(entry) else { break };
            client = (hop, Some(entry));
            if !is_trusted(&self.trusted, hop) {
                break;
            }
        }
        client
    }

    /// What upstreams are told when this much is believed. What is not said is as the connection shows it.
    fn believing(
        &self,
        client: IpAddr,
        proto: Option<Scheme>,
        host: Option<&str>,
        port: Option<u16>,
        fields: &HeaderMap,
    ) -> Approach {
        let scheme = proto.unwrap_or(self.own.scheme);
        // Our own port is not the one that a client used which reached another host, or spoke otherwise.
        let elsewhere = (proto.is_some() || host.is_some()).then(|| {
            let host = host.or_else(|| single(fields, &header::HOST));
            host.and_then(port_of).unwrap_or(scheme.port())
        });
        let (mut for_, mut forwarded) = (client.to_string(), element(client, scheme));
        if client != self.peer {
            for_ = format!("{for_}, {}", self.peer);
            forwarded = format!("{forwarded}, {}", element(self.peer, self.own.scheme));
        }
        Approach {
            client,
            scheme,
            real_ip: value(&client.to_string()),
            for_: value(&for_),
            port: port.or(elsewhere).map_or_else(|| self.own.port.clone(), HeaderValue::from),
            host: host.map(value),
            forwarded: value(&forwarded),
            lines: None,
        }
    }
}

const FAMILY: [HeaderName; 4] = [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, X_FORWARDED_PORT];

/// The list that all fields of a name make, with one more entry.
fn joined(fields: &HeaderMap, name: &HeaderName, last: &str) -> HeaderValue {
    let mut list = Vec::new();
    let given = fields.get_all(name).iter().map(HeaderValue::as_bytes).filter(|entry| !entry.is_empty());
    for entry in given.chain([last.as_bytes()]) {
        if !list.is_empty() {
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(entry);
    }
    HeaderValue::from_bytes(&list).unwrap_or_else(|_never| value(last))
}

/// The one value of a field; of several, nobody can say which is meant.
fn single<'h>(fields: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = fields.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(one), None) => one.to_str().ok(),
        _ => None,
    }
}

fn port_number(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| plain && *port != 0)
}

/// The port behind a host.
fn port_of(host: &str) -> Option<u16> {
    let (_, port) = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'))?;
    port_number(port)
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_never| HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::settings::ServerTls;
    use crate::proxy::sink::line;

    fn listener(trusted: &[&str]) -> Listener {
        let trusted_peers = trusted.iter().map(|net| net.parse().unwrap()).collect();
        Listener { trusted_peers, ..Listener::plain(([127, 0, 0, 1], 0).into()) }
    }

    fn edge(peer: &str, trusted: &[&str]) -> Edge {
        Edge::new(SocketAddr::new(peer.parse().unwrap(), 1), ([10, 0, 0, 9], 8443).into(), Some(&listener(trusted)))
    }

    fn fields(given: &[(&'static str, &str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, text) in given {
            fields.append(*name, text.parse().unwrap());
        }
        fields
    }

    /// Of a request from 10.0.0.1, where 10.0.0.0/8 and fd00::/8 are trusted.
    fn seen(given: &[(&'static str, &str)]) -> Approach {
        let approach = edge("10.0.0.1", &["10.0.0.0/8", "fd00::/8"]).approach(&fields(given)).into_owned();
        let (mut ready, mut written) = (Vec::new(), Vec::new());
        approach.write_lines(&mut ready);
        approach.fields().iter().for_each(|(name, value)| line(&mut written, name.as_str(), value));
        assert_eq!(ready, written, "the lines that are ready say what is believed of this request");
        approach
    }

    #[test]
    fn nobody_is_believed_who_is_not_named() {
        let forged = fields(&[
            ("x-forwarded-for", "192.0.2.6"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-port", "1"),
            ("forwarded", "for=192.0.2.6;proto=https"),
        ]);
        for edge in [edge("203.0.113.5", &["10.0.0.0/8"]), edge("203.0.113.5", &[])] {
            let approach = edge.approach(&forged);
            assert_eq!(approach.client, IpAddr::from([203, 0, 113, 5]));
            assert_eq!((approach.scheme, approach.host.as_ref()), (Scheme::Http, None));
            assert_eq!((&approach.for_, &approach.real_ip), (&value("203.0.113.5"), &value("203.0.113.5")));
            assert_eq!((&approach.port, &approach.forwarded), (&value("8443"), &value("for=203.0.113.5;proto=http")));
        }
    }

    #[test]
    fn a_list_is_read_from_the_right_up_to_the_first_stranger() {
        for (lists, client) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
            (&["6.6.6.6", "192.0.2.1"], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1, 10.1.1.1", "fd00::7,10.2.2.2"], "192.0.2.1"),
            (&["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            (&["192.0.2.1:4711, [fd00::7]:80"], "192.0.2.1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["6.6.6.6, ::ffff:192.0.2.1 , ::ffff:10.2.2.2"], "192.0.2.1"),
            (&["6.6.6.6, unknown"], "10.0.0.1"),
            (&["6.6.6.6, garbage, 10.2.2.2"], "10.2.2.2"),
            (&["6.6.6.6,,10.2.2.2"], "10.2.2.2"),
            (&["6.6.6.6,"], "10.0.0.1"),
            (&[""], "10.0.0.1"),
        ] {
            let given: Vec<_> = lists.iter().map(|list| ("x-forwarded-for", *list)).collect();
            let approach = seen(&given);
            assert_eq!(approach.client, client.parse::<IpAddr>().unwrap(), "{lists:?}");
            assert_eq!(approach.real_ip, value(client), "{lists:?}");
        }
    }

    #[test]
    fn the_list_is_passed_on_with_the_peer_and_the_other_family_says_what_is_believed() {
        let approach = seen(&[
            ("x-forwarded-for", "6.6.6.6, 192.0.2.1"),
            ("x-forwarded-for", "10.2.2.2"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=6.6.6.6;proto=http"),
        ]);
        assert_eq!(approach.for_, value("6.6.6.6, 192.0.2.1, 10.2.2.2, 10.0.0.1"));
        assert_eq!(approach.forwarded, value("for=192.0.2.1;proto=https, for=10.0.0.1;proto=http"));
        assert_eq!(seen(&[("x-forwarded-for", "")]).for_, value("10.0.0.1"));
    }

    #[test]
    fn forwarded_is_believed_only_where_it_stands_alone() {
        let alone = seen(&[(
            "forwarded",
            "for=6.6.6.6, For=\"[2001:db8::1]:9\";Proto=https;host=a.example, for=10.2.2.2;proto=http",
        )]);
        assert_eq!(alone.client, "2001:db8::1".parse::<IpAddr>().unwrap());
        assert_eq!((alone.scheme, alone.host), (Scheme::Https, Some(value("a.example"))));
        assert_eq!((alone.for_, alone.port), (value("2001:db8::1, 10.0.0.1"), value("443")));
        assert!(alone.forwarded.to_str().unwrap().ends_with("for=10.2.2.2;proto=http, for=10.0.0.1;proto=http"));
        for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"] {
            let both = seen(&[("forwarded", "for=6.6.6.6;proto=https;host=evil.example"), (name, "?")]);
            assert_eq!((both.client, both.scheme), (IpAddr::from([10, 0, 0, 1]), Scheme::Http), "{name}");
            assert_eq!((both.host, both.forwarded), (None, value("for=10.0.0.1;proto=http")), "{name}");
        }
    }

    #[test]
    fn a_broken_forwarded_is_neither_believed_nor_passed_on() {
        for (given, client) in [
            (&[("forwarded", "for=\"6.6.6.6, for=192.0.2.1")][..], "10.0.0.1"),
            (&[("forwarded", "for=\"6.6.6.6"), ("forwarded", "for=10.2.2.2")], "10.2.2.2"),
            (&[("forwarded", "for=6.6.6.6, for=unknown;proto=https")], "10.0.0.1"),
            (&[("forwarded", "for=6.6.6.6, proto=https")], "10.0.0.1"),
        ] {
            let approach = seen(given);
            assert_eq!(approach.client, client.parse::<IpAddr>().unwrap(), "{given:?}");
            assert_eq!(approach.scheme, Scheme::Http, "{given:?}");
            let told = approach.forwarded.to_str().unwrap();
            assert!(!told.contains('"') && told.ends_with("for=10.0.0.1;proto=http"), "{told}");
        }
    }

    #[test]
    fn scheme_host_and_port_are_believed_where_they_are_one_and_plain() {
        for (given, scheme, host, port) in [
            (&[("x-forwarded-proto", "https")][..], Scheme::Https, None, "443"),
            (&[("x-forwarded-proto", "https"), ("host", "a.example:81")], Scheme::Https, None, "81"),
            (&[("x-forwarded-proto", "https"), ("x-forwarded-port", "8443")], Scheme::Https, None, "8443"),
            (&[("x-forwarded-proto", "http")], Scheme::Http, None, "80"),
            (
                &[("x-forwarded-host", "b.example:82"), ("host", "a.example:81")],
                Scheme::Http,
                Some("b.example:82"),
                "82",
            ),
            (&[("x-forwarded-host", "[::1]")], Scheme::Http, Some("[::1]"), "80"),
            (&[("x-forwarded-proto", "HTTPS")], Scheme::Http, None, "8443"),
            (&[("x-forwarded-proto", "https,http")], Scheme::Http, None, "8443"),
            (&[("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")], Scheme::Http, None, "8443"),
            (&[("x-forwarded-host", "a b")], Scheme::Http, None, "8443"),
            (&[("x-forwarded-host", "a.example, b.example")], Scheme::Http, None, "8443"),
            (&[("x-forwarded-host", "a"), ("x-forwarded-host", "b")], Scheme::Http, None, "8443"),
            (&[("x-forwarded-port", "0")], Scheme::Http, None, "8443"),
            (&[("x-forwarded-port", "+1")], Scheme::Http, None, "8443"),
            (&[("x-forwarded-port", "65536")], Scheme::Http, None, "8443"),
            (&[("x-forwarded-for", "192.0.2.1")], Scheme::Http, None, "8443"),
        ] {
            let approach = seen(given);
            assert_eq!(approach.scheme, scheme, "{given:?}");
            assert_eq!((approach.host, approach.port), (host.map(value), value(port)), "{given:?}");
        }
    }

    #[test]
    fn a_listener_that_speaks_tls_is_https_whoever_asks() {
        let tls = ServerTls { cert: "c".into(), key: "k".into(), client_auth: None };
        let listener = Listener { tls: Some(tls), ..listener(&[]) };
        let edge = Edge::new(([192, 0, 2, 1], 1).into(), ([10, 0, 0, 9], 443).into(), Some(&listener));
        assert_eq!(edge.approach(&HeaderMap::new()).forwarded, value("for=192.0.2.1;proto=https"));
    }

    #[test]
    fn an_ipv4_peer_is_the_same_on_an_ipv6_socket() {
        let edge = edge("::ffff:10.0.0.1", &["10.0.0.0/8"]);
        let approach = edge.approach(&fields(&[("x-forwarded-for", "192.0.2.1")])).into_owned();
        assert_eq!(approach.for_, value("192.0.2.1, 10.0.0.1"));
    }

    proptest! {
        #[test]
        fn what_stands_left_of_a_stranger_changes_nothing(left in "[ -~]{0,60}", right in "(, 10\\.[0-9]\\.1\\.1){0,3}") {
            let list = format!("{left}, 192.0.2.1{right}");
            let approach = seen(&[("x-forwarded-for", &list)]);
            prop_assert_eq!(approach.client, IpAddr::from([192, 0, 2, 1]));
            prop_assert_eq!(approach.for_, value(&format!("{list}, 10.0.0.1")));
        }
    }
}
