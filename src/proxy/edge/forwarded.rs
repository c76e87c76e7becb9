//! How proxies write down whom they speak for: the nodes of `X-Forwarded-For` and the elements of `Forwarded` (RFC 7239).
//!
//! Text in, values out. What is believed of it is `edge`'s affair.

use std::net::{IpAddr, Ipv6Addr};

/// How the client speaks to whoever it takes for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// As written, and not otherwise.
    pub(in crate::proxy) fn parse(text: &str) -> Option<Self> {
        match text {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }

    pub(in crate::proxy) const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(in crate::proxy) const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// One element of a `Forwarded` list: what one proxy said of the request that it received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Element {
    /// The address that it came from; `None`: it is not said, hidden, or none.
    pub(in crate::proxy) client: Option<IpAddr>,
    /// The `proto` parameter, where it is one that is known.
    pub(in crate::proxy) proto: Option<Scheme>,
    /// The `host` parameter.
    pub(in crate::proxy) host: Option<String>,
}

/// The address that an entry of `X-Forwarded-For` names; a port behind it is dropped. `None`: it names none for certain.
pub(in crate::proxy) fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim_matches([' ', '\t']);
    let bare = entry.parse::<IpAddr>().ok();
    bare.map(|address| address.to_canonical()).or_else(|| node(entry))
}

/// A node of RFC 7239 section 6 that is an address: IPv6 in brackets, a port behind either, hidden or not.
fn node(text: &str) -> Option<IpAddr> {
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), port)
        }
        None => {
            let (address, port) = text.find(':').and_then(|at| text.split_at_checked(at)).unwrap_or((text, ""));
            (IpAddr::V4(address.parse().ok()?), port)
        }
    };
    let is_port = |port: &str| match port.strip_prefix('_') {
        Some(hidden) => !hidden.is_empty() && hidden.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
        None => (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()),
    };
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then(|| address.to_canonical())
}

/// Reads one `Forwarded` field. `None`: it breaks the grammar somewhere, so none of it can be told apart for certain.
pub(in crate::proxy) fn elements(field: &[u8]) -> Option<Vec<Element>> {
    let mut text = Text(field);
    let mut elements = Vec::new();
    loop {
        text.skip_blanks();
        match text.0.first() {
            None => return Some(elements),
            Some(b',') => text.skip(),
            Some(_) => elements.push(read(&mut text)?),
        }
    }
}

/// Reads one element, up to the comma behind it or the end.
fn read(text: &mut Text<'_>) -> Option<Element> {
    let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
    loop {
        text.skip_blanks();
        match text.0.first() {
            None | Some(b',') => break,
            Some(b';') => text.skip(),
            Some(_) => {
                let name = String::from_utf8_lossy(text.token()?).to_ascii_lowercase();
                text.expect(b'=')?;
                let value = text.value()?;
                text.skip_blanks();
                // Each parameter at most once (section 4): of two, nobody knows which others would take.
                if !matches!(text.0.first(), None | Some(b',' | b';')) || pairs.iter().any(|(known, _)| *known == name)
                {
                    return None;
                }
                pairs.push((name, value));
            }
        }
    }
    let mut take = |wanted: &str| {
        let place = pairs.iter().position(|(name, _)| name == wanted)?;
        String::from_utf8(pairs.swap_remove(place).1).ok()
    };
    let client = take("for").and_then(|text| node(&text));
    Some(Element { client, proto: take("proto").and_then(|text| Scheme::parse(&text)), host: take("host") })
}

/// Writes one element of `Forwarded` (RFC 7239 section 4).
pub(in crate::proxy) fn element(client: IpAddr, scheme: Scheme) -> String {
    let proto = scheme.name();
    match client {
        IpAddr::V4(address) => format!("for={address};proto={proto}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\";proto={proto}"),
    }
}

/// What is left of a field.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn skip(&mut self) {
        self.0 = self.0.get(1..).unwrap_or_default();
    }

    fn skip_blanks(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let end = self.0.iter().position(|byte| !is_token(byte)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at_checked(end).filter(|(token, _)| !token.is_empty())?;
        self.0 = rest;
        Some(token)
    }

    /// A token or a quoted string (RFC 9110 section 5.6.4).
    fn value(&mut self) -> Option<Vec<u8>> {
        if self.expect(b'"').is_none() {
            return self.token().map(<[u8]>::to_vec);
        }
        let mut value = Vec::new();
        loop {
            let byte = *self.0.first()?;
            self.skip();
            match byte {
                b'"' => return Some(value),
                b'\\' => {
                    value.push(*self.0.first()?);
                    self.skip();
                }
                _ => value.push(byte),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_entry_names_an_address_with_or_without_a_port() {
        for (entry, expected) in [
            ("192.0.2.1", ip("192.0.2.1")),
            ("\t192.0.2.1 ", ip("192.0.2.1")),
            ("192.0.2.1:4711", ip("192.0.2.1")),
            ("2001:db8::1", ip("2001:db8::1")),
            ("[2001:db8::1]", ip("2001:db8::1")),
            ("[2001:db8::1]:443", ip("2001:db8::1")),
            ("::ffff:192.0.2.1", ip("192.0.2.1")),
            ("[::ffff:192.0.2.1]:1", ip("192.0.2.1")),
            ("", None),
            ("unknown", None),
            ("_hidden", None),
            ("example.com", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:x", None),
            ("192.0.2.1:123456", None),
            ("192.0.2.1 192.0.2.2", None),
            ("192.0.2", None),
            ("192.0.2.01", None),
            ("192.0.2.1/32", None),
            ("2001:db8::1:443x", None),
            ("[2001:db8::1", None),
            ("[192.0.2.1]", None),
            ("[2001:db8::1]443", None),
            ("fe80::1%eth0", None),
            ("\"192.0.2.1\"", None),
        ] {
            assert_eq!(address(entry), expected, "{entry}");
        }
    }

    #[test]
    fn elements_are_read_as_the_grammar_has_them() {
        let element = |client: Option<&str>, proto: Option<&str>, host: Option<&str>| Element {
            client: client.and_then(ip),
            proto: proto.and_then(Scheme::parse),
            host: host.map(str::to_owned),
        };
        for (field, expected) in [
            ("for=192.0.2.1", vec![element(Some("192.0.2.1"), None, None)]),
            ("For=\"[2001:db8:cafe::17]:4711\"", vec![element(Some("2001:db8:cafe::17"), None, None)]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", vec![element(Some("192.0.2.60"), Some("http"), None)]),
            (
                "FOR=192.0.2.43, for=\"198.51.100.17:_p\" ; PROTO=https;host=\"a.example:81\"",
                vec![
                    element(Some("192.0.2.43"), None, None),
                    element(Some("198.51.100.17"), Some("https"), Some("a.example:81")),
                ],
            ),
            ("for=_hidden, for=unknown", vec![element(None, None, None), element(None, None, None)]),
            ("by=10.0.0.1", vec![element(None, None, None)]),
            ("for=\"a,for=192.0.2.1\"", vec![element(None, None, None)]),
            ("for=\"192.0.\\2.1\"", vec![element(Some("192.0.2.1"), None, None)]),
            ("for=192.0.2.1;proto=HTTPS", vec![element(Some("192.0.2.1"), None, None)]),
            ("for=192.0.2.1;proto=\"https\"", vec![element(Some("192.0.2.1"), Some("https"), None)]),
            (" , ,for=192.0.2.1,", vec![element(Some("192.0.2.1"), None, None)]),
            ("", vec![]),
            ("for=\"2001:db8::1\"", vec![element(None, None, None)]),
        ] {
            assert_eq!(elements(field.as_bytes()), Some(expected), "{field}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_no_list_at_all() {
        for field in [
            "for=\"192.0.2.1",
            "for=\"192.0.2.1\\",
            "for=[2001:db8::1]",
            "for=192.0.2.1:80",
            "for",
            "for=",
            "=192.0.2.1",
            "for =192.0.2.1",
            "for= 192.0.2.1",
            "for=192.0.2.1 for=192.0.2.2",
            "for=192.0.2.1;For=192.0.2.2",
            "for=192.0.2.1;proto=http;proto=https",
            "for=\"a\"b",
            "for=192.0.2.1, \"",
        ] {
            assert_eq!(elements(field.as_bytes()), None, "{field}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(field in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(elements(&field));
            let _ = address(&String::from_utf8_lossy(&field));
        }

        #[test]
        fn nearly_right_text_never_panics_and_yields_no_more_than_it_has_elements(
            field in r#"(for|by|proto|[;,=" \\]|"\[::1\]:1"|192\.0\.2\.1|unknown){0,30}"#,
        ) {
            let most = field.split(',').count();
            prop_assert!(elements(field.as_bytes()).is_none_or(|elements| elements.len() <= most));
        }

        #[test]
        fn a_quoted_string_hides_whatever_is_in_it(inner in "[ -~]{0,40}") {
            let quoted = inner.replace('\\', "\\\\").replace('"', "\\\"");
            let read = elements(format!("host=\"{quoted}\";for=192.0.2.1, for=192.0.2.2").as_bytes()).unwrap();
            prop_assert_eq!(read.len(), 2);
            prop_assert_eq!(read[0].host.as_deref(), Some(inner.as_str()));
            prop_assert_eq!(read[0].client, ip("192.0.2.1"));
        }
    }
}
