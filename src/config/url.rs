//! The URLs that files name: just enough of RFC 3986 to refuse what no issuer or key set has.

use std::net::IpAddr;

use crate::config::problem::{Problem, Report};
use crate::config::reader;
use crate::config::secrets;
use crate::config::source::Span;
use crate::config::yaml::Node;

/// The parts of an `http` or `https` URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Url<'t> {
    /// Whether it is `https`.
    pub secure: bool,
    /// The host; an IPv6 address without brackets.
    pub host: &'t str,
    /// The port, if it names one.
    pub port: Option<u16>,
    /// Everything after the authority.
    pub path: &'t str,
}

impl<'t> Url<'t> {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// What keeps it from being one.
    pub fn parse(text: &'t str) -> Result<Self, &'static str> {
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err("it does not start with `https://`"),
        };
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !br#"\"<>^`{|}"#.contains(&byte)) {
            return Err("it has a character that no URL has");
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err("it has a user name in it");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(inner) => {
                let (address, after) = inner.split_once(']').ok_or("its IPv6 address has no end")?;
                address.parse::<std::net::Ipv6Addr>().map_err(|_not_ip| "its IPv6 address is none")?;
                let port = after.strip_prefix(':').or(after.is_empty().then_some(""));
                (address, port.ok_or("its host is followed by something else than a port")?)
            }
            None => authority.split_once(':').unwrap_or((authority, "")),
        };
        let port = match port {
            "" if authority.ends_with(':') => return Err("its port is empty"),
            "" => None,
            port => Some(port.parse::<u16>().map_err(|_no_port| "its port is none")?),
        };
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || !host.bytes().all(legal) {
            return Err("it has no host");
        }
        Ok(Self { secure, host, port, path })
    }

    /// Whether the host is this very machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// A URL that keys are asked from without TLS, and where it stands: fine for `keys: { allow_http: true }` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainHttp {
    /// Where it stands.
    pub span: Span,
    /// The URL.
    pub url: Box<str>,
}

/// Reads the URL of an issuer or key set. Those that need `allow_http` are noted in `plain`.
pub fn read(node: &Node, what: &str, plain: &mut Vec<PlainHttp>, out: &mut Report) -> Option<Box<str>> {
    let text = reader::text(node, what, out)?;
    let bad = |mistake: &str| {
        let message = format!("`{}` is not {what}: {mistake}", shown(text));
        let problem = Problem::error("bad_url", node.span, message).secret(text.contains('@'));
        let whole = format!("https://{text}");
        if text.starts_with("http") || text.contains("://") || text.contains('@') || Url::parse(&whole).is_err() {
            return problem;
        }
        problem.help(format!("write `{whole}`, with its scheme"))
    };
    match Url::parse(text) {
        Err(mistake) => {
            out.add(bad(mistake));
            None
        }
        Ok(url) => {
            if !url.secure && !url.is_loopback() {
                plain.push(PlainHttp { span: node.span, url: text.into() });
            }
            Some(text.into())
        }
    }
}

/// A URL, as messages show it: without the user and password that it may name, whether or not it has a scheme.
#[must_use]
pub fn shown(text: &str) -> String {
    let plain = secrets::without_users(text);
    match plain.rsplit_once('@') {
        Some((_, rest)) if !plain.contains("://") => format!("[redacted]@{rest}"),
        Some(_) | None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_or_refused() {
        let url = Url::parse("https://idp.example:8443/realm?x=1").unwrap();
        assert_eq!((url.secure, url.host, url.port, url.path), (true, "idp.example", Some(8443), "/realm?x=1"));
        assert_eq!(Url::parse("http://[::1]:80/").unwrap().host, "::1");
        assert!(Url::parse("http://127.0.0.53").unwrap().is_loopback());
        assert!(Url::parse("http://[::1]").unwrap().is_loopback());
        assert!(!Url::parse("http://localhost.example").unwrap().is_loopback());
        assert!(!Url::parse("http://127.0.0.1.example").unwrap().is_loopback());
        for bad in [
            "",
            "idp.example",
            "ftp://a",
            "https://",
            "https:///x",
            "https://a@b",
            "https://a b",
            "https://a:x",
            "https://a:99999",
            "https://a:",
            "https://[::1",
            "https://[x]",
            "https://[::1]x",
            "https://ä",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
