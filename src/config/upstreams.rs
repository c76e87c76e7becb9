//! `upstreams` of `stepgate.yaml`: where requests are forwarded, and how those who take them are spoken to.

use std::net::IpAddr;

use crate::config::health;
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys as KeyList};
use crate::config::section::Paths;
use crate::config::settings::{ClientTls, Endpoint, Upstream};
use crate::config::source::{Purpose, Span};
use crate::config::url::{self, Url};
use crate::config::yaml::{self, Kind, Node};

pub(super) const UPSTREAM: KeyList =
    KeyList { what: "an upstream", known: &["url", "urls", "http2", "tls", "timeout", "health"], later: &[] };
pub(super) const TLS: KeyList =
    KeyList { what: "an upstream's `tls`", known: &["ca", "cert", "key", "server_name"], later: &[] };

const HELP: &str = "name one: `upstreams: { app: { url: \"http://127.0.0.1:8081\" } }`";
const URL_HELP: &str = "write `http://127.0.0.1:8080`, `https://host:8443`, `h2c://host:8080` or `unix:/run/app.sock`";
/// What `sockaddr_un` holds on Linux, without its final NUL.
const LONGEST_SOCKET: usize = 107;
/// The most URLs of one upstream: each is looked at for every request, and has metrics of its own.
const MOST_URLS: usize = 32;

/// How an upstream's URL begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    H2c,
    Unix,
}

impl Scheme {
    fn written(self) -> &'static str {
        match self {
            Self::Http => "http://",
            Self::Https => "https://",
            Self::H2c => "h2c://",
            Self::Unix => "unix:",
        }
    }

    /// Whether an upstream may have URLs of both: they are spoken to in the same way.
    fn goes_with(self, other: Self) -> bool {
        let in_the_clear = |scheme| matches!(scheme, Self::Http | Self::Unix);
        self == other || in_the_clear(self) && in_the_clear(other)
    }
}

/// One URL of an upstream, read.
#[derive(Debug)]
struct Place {
    scheme: Scheme,
    endpoint: Endpoint,
    span: Span,
}

/// `upstreams`, and where each of their URLs stands.
pub(crate) fn upstreams(node: &Node, paths: &mut Paths<'_>, out: &mut Report) -> Option<Vec<(Upstream, Vec<Span>)>> {
    if let Kind::Scalar { .. } | Kind::List(_) | Kind::Null = &node.kind {
        out.add(reader::expected(node, "`upstreams` as a mapping").help(HELP));
        return None;
    }
    let pairs = reader::mapping(node, "`upstreams`", out)?;
    if pairs.is_empty() {
        out.add(Problem::error("empty_list", node.span, "no upstream to forward to").help(HELP));
    }
    Some(pairs.iter().filter_map(|pair| upstream(pair, paths, out)).collect())
}

fn upstream((key, node): &(yaml::Key, Node), paths: &mut Paths<'_>, out: &mut Report) -> Option<(Upstream, Vec<Span>)> {
    if let Some(text) = reader::word_or_text(node) {
        let help = format!("write `{}: {{ url: \"{text}\" }}`", key.text);
        out.add(reader::expected(node, "an upstream as a mapping").help(help));
        return None;
    }
    let fields = Fields::of(node, UPSTREAM, out)?;
    let timeout = match fields.get("timeout", out) {
        Some(node) => reader::positive(node, out).map(Some),
        None => Some(None),
    };
    let health = match fields.get("health", out) {
        Some(node) => health::read(node, out).map(Some),
        None => Some(None),
    };
    let urls = url_nodes(&fields, out);
    let found = urls.map(|nodes| nodes.iter().filter_map(|node| place(node, paths, out)).collect::<Vec<Place>>());
    let scheme = found.as_ref().and_then(|found| found.first()).map(|place| place.scheme);
    let http2 = http2(&fields, scheme, out);
    let tls = tls(&fields, scheme, paths, out);
    let (found, tls, scheme) = (found?, tls?, scheme?);
    if found.len() < urls.map_or(0, <[Node]>::len) {
        return None;
    }
    alike(&found, out)?;
    named(&found, tls.as_ref(), out)?;
    let http2 = http2? || scheme == Scheme::H2c;
    let (mut endpoints, spans): (Vec<Endpoint>, Vec<Span>) =
        found.into_iter().map(|place| (place.endpoint, place.span)).unzip();
    let others = endpoints.split_off(1).into();
    let endpoint = endpoints.pop()?;
    let (name, timeout, health) = (key.text.to_string(), timeout?, health?);
    Some((Upstream { name, endpoint, http2, tls, timeout, others, health }, spans))
}

/// All URLs of an upstream are spoken to in one way, and each is another place.
fn alike(found: &[Place], out: &mut Report) -> Option<()> {
    let first = found.first()?;
    if let Some(other) = found.iter().find(|other| !other.scheme.goes_with(first.scheme)) {
        let message = format!(
            "`{}` beside `{}`: all URLs of one upstream are spoken to in one way",
            other.scheme.written(),
            first.scheme.written()
        );
        let help = "give them one scheme, or make two upstreams of them; `http://` and `unix:` go together";
        out.add(Problem::error("mixed_schemes", other.span, message).help(help).related(first.span, "the first one"));
        return None;
    }
    for (number, place) in found.iter().enumerate() {
        if let Some(before) = found.iter().take(number).find(|before| before.endpoint == place.endpoint) {
            let message = format!("`{}` stands twice among the URLs of one upstream", place.endpoint);
            out.add(
                Problem::error("duplicate_url", place.span, message).related(before.span, "it stands here already"),
            );
            return None;
        }
    }
    Some(())
}

/// Where no name is given that certificates must have, it is the host's, which has to be one.
fn named(found: &[Place], tls: Option<&ClientTls>, out: &mut Report) -> Option<()> {
    let Some(ClientTls { server_name: None, .. }) = tls else { return Some(()) };
    for place in found {
        if let Endpoint::Tcp(host, _) = &place.endpoint
            && !is_server_name(host)
        {
            let message = format!("no certificate can be for `{host}`, which is neither a DNS name nor an IP address");
            let help = "name what its certificate is for: `tls: { server_name: NAME }`";
            out.add(Problem::error("bad_server_name", place.span, message).help(help));
            return None;
        }
    }
    Some(())
}

fn url_nodes<'n>(fields: &Fields<'n>, out: &mut Report) -> Option<&'n [Node]> {
    match (fields.has("url"), fields.has("urls")) {
        (true, false) => fields.get("url", out).map(std::slice::from_ref),
        (false, true) => {
            let node = fields.get("urls", out)?;
            let items = reader::list(node, "a list of URLs", out)?;
            if items.len() > MOST_URLS {
                let message = format!("an upstream has {MOST_URLS} URLs at the most, and these are {}", items.len());
                let help = "put a load balancer of its own before them, or name what a DNS name leads to as one URL";
                out.add(Problem::error("too_many_urls", node.span, message).help(help));
                return None;
            }
            Some(items)
        }
        (both, _) => {
            let message = if both { "an upstream has `url` or `urls`, not both" } else { "an upstream needs `url`" };
            out.add(Problem::error("missing_key", fields.span, message));
            None
        }
    }
}

fn place(node: &Node, paths: &mut Paths<'_>, out: &mut Report) -> Option<Place> {
    let (scheme, endpoint) = endpoint(node, paths, out)?;
    Some(Place { scheme, endpoint, span: node.span })
}

fn endpoint(node: &Node, paths: &mut Paths<'_>, out: &mut Report) -> Option<(Scheme, Endpoint)> {
    let text = reader::text(node, "an upstream's URL", out)?;
    let bad = |mistake: &str| {
        let message = format!("`{}` is no upstream: {mistake}", url::shown(text));
        Problem::error("bad_url", node.span, message).help(URL_HELP).secret(text.contains('@'))
    };
    if let Some(path) = text.strip_prefix("unix:") {
        return match socket(path) {
            Ok(path) => unix(node, path, paths, out).map(|endpoint| (Scheme::Unix, endpoint)),
            Err(mistake) => {
                out.add(bad(mistake));
                None
            }
        };
    }
    let known = [("http://", Scheme::Http), ("https://", Scheme::Https), ("h2c://", Scheme::H2c)];
    let found = known.into_iter().find_map(|(start, scheme)| text.strip_prefix(start).map(|rest| (scheme, rest)));
    let Some((scheme, rest)) = found else {
        out.add(bad("it does not start with `http://`, `https://`, `h2c://` or `unix:`"));
        return None;
    };
    let default = if scheme == Scheme::Https { 443 } else { 80 };
    let plain = format!("http://{rest}");
    let mistake = match Url::parse(&plain) {
        Ok(url) if !(url.path.is_empty() || url.path == "/") => "it has a path, and requests keep their own",
        Ok(Url { port: Some(0), .. }) => "nobody listens on port 0",
        Ok(url) => return Some((scheme, Endpoint::Tcp(url.host.to_owned(), url.port.unwrap_or(default)))),
        Err(mistake) => mistake,
    };
    out.add(bad(mistake));
    None
}

/// The path of `unix:/path`, `unix:path` and `unix:///path`.
fn socket(text: &str) -> Result<&str, &'static str> {
    let path = match text.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_host) => return Err("a socket has a path and no host; one slash is enough"),
        None => text,
    };
    if path.starts_with('@') {
        return Err("abstract sockets have no owner, so that anybody could be there");
    }
    if path.is_empty() || path.ends_with('/') {
        return Err("it names no socket");
    }
    Ok(path)
}

fn unix(node: &Node, path: &str, paths: &mut Paths<'_>, out: &mut Report) -> Option<Endpoint> {
    let socket = paths.socket(node, path);
    let length = socket.as_os_str().len();
    if length > LONGEST_SOCKET {
        let message = format!("the path of the socket has {length} bytes, and the system takes {LONGEST_SOCKET}");
        out.add(Problem::error("bad_url", node.span, message).help("choose a folder with a shorter path"));
        return None;
    }
    Some(Endpoint::Unix(socket))
}

/// Whether HTTP/2 is asked for by its key.
fn http2(fields: &Fields<'_>, scheme: Option<Scheme>, out: &mut Report) -> Option<bool> {
    let Some(node) = fields.get("http2", out) else { return Some(false) };
    let wanted = reader::switch(node, out)?;
    let (message, help) = match (wanted, scheme?) {
        (true, Scheme::Http) => (
            "`http2: true` is agreed on in TLS, and this upstream is spoken to without",
            "write `h2c://` instead of `http://` for HTTP/2 without TLS",
        ),
        (true, Scheme::Unix) => (
            "`http2: true` is agreed on in TLS, and this upstream is a Unix socket",
            "leave it out; it is HTTP/1.1 there",
        ),
        (false, Scheme::H2c) => ("`h2c://` is HTTP/2, and `http2: false` says otherwise", "write `http://`"),
        (true, Scheme::Https | Scheme::H2c) | (false, Scheme::Http | Scheme::Https | Scheme::Unix) => {
            return Some(wanted);
        }
    };
    out.add(Problem::error("http2", node.span, message).help(help));
    None
}

/// The outer `None`: it is written wrong.
fn tls(
    fields: &Fields<'_>,
    scheme: Option<Scheme>,
    paths: &mut Paths<'_>,
    out: &mut Report,
) -> Option<Option<ClientTls>> {
    let https = scheme? == Scheme::Https;
    let Some(node) = fields.get("tls", out) else { return Some(https.then(ClientTls::default)) };
    if let (Some(span), false) = (fields.key_span("tls"), https) {
        let message = "`tls` says how TLS is spoken, and the URL of this upstream is not `https://`";
        out.add(Problem::error("tls_without_https", span, message).help("write `https://`, or take `tls` out"));
    }
    let fields = Fields::of(node, TLS, out)?;
    let ca = match fields.get("ca", out) {
        Some(node) => paths.read(node, Purpose::Authority, out).map(Some),
        None => Some(None),
    };
    let server_name = match fields.get("server_name", out) {
        Some(node) => server_name(node, out).map(Some),
        None => Some(None),
    };
    let identity = match (fields.get("cert", out), fields.get("key", out)) {
        (Some(cert), Some(key)) => paths.identity(cert, key, out).map(Some),
        (None, None) => Some(None),
        (cert, _) => {
            let (has, lacks) = if cert.is_some() { ("cert", "key") } else { ("key", "cert") };
            // A key without a value was reported.
            if !fields.has(lacks) {
                let message = format!("`{has}` without `{lacks}`: a certificate is shown with its private key");
                out.add(Problem::error("missing_key", fields.key_span(has)?, message).help("name both or none"));
            }
            None
        }
    };
    Some(Some(ClientTls { ca: ca?, identity: identity?, server_name: server_name? }))
}

fn server_name(node: &Node, out: &mut Report) -> Option<String> {
    let text = reader::text(node, "a DNS name or an IP address", out)?;
    if !is_server_name(text) {
        let message = format!("`{text}` is neither a DNS name nor an IP address");
        let help = "write what the upstream's certificate is for, such as `ledger.internal`, without port or wildcard";
        out.add(Problem::error("bad_server_name", node.span, message).help(help));
        return None;
    }
    Some(text.to_owned())
}

/// Whether a certificate can be asked to be for it. RFC 1035 section 2.3.1, with the underscores that names have in practice.
fn is_server_name(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return true;
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(label) && !name.rsplit('.').next().is_some_and(numeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(says: &str) -> Upstream {
        let text =
            format!("version: 1\nlisteners: [{{ address: \"127.0.0.1:8080\" }}]\nupstreams: {{ app: {{ {says} }} }}\n");
        let file = crate::config::SourceFile { name: "stepgate.yaml".into(), folder: "gate".into(), text };
        let mut settings = crate::config::load_settings(file).unwrap().settings;
        settings.upstreams.remove(0)
    }

    #[test]
    fn a_url_says_how_an_upstream_is_spoken_to() {
        let plain = |host: &str, port| Upstream::plain("app".to_owned(), host.to_owned(), port);
        let tls = || Some(ClientTls::default());
        assert_eq!(upstream("url: \"http://a\""), plain("a", 80));
        assert_eq!(upstream("url: \"https://a\""), Upstream { tls: tls(), ..plain("a", 443) });
        assert_eq!(
            upstream("url: \"https://[::1]:1\", http2: true"),
            Upstream { tls: tls(), http2: true, ..plain("::1", 1) }
        );
        assert_eq!(upstream("url: \"h2c://a:1/\""), Upstream { http2: true, ..plain("a", 1) });
        for (written, path) in [("unix:/a/b", "/a/b"), ("unix:a/b", "gate/a/b"), ("unix:///a/b", "/a/b")] {
            let there = upstream(&format!("url: \"{written}\""));
            assert_eq!(there, Upstream { endpoint: Endpoint::Unix(path.into()), ..plain("", 0) });
        }
        let whole = upstream("url: \"https://a\", tls: { ca: c, cert: d, key: e, server_name: f }");
        let identity = Some(("gate/d".into(), "gate/e".into()));
        let asked = ClientTls { ca: Some("gate/c".into()), identity, server_name: Some("f".to_owned()) };
        assert_eq!(whole, Upstream { tls: Some(asked), ..plain("a", 443) });
    }

    #[test]
    fn an_upstream_is_in_as_many_places_as_it_has_urls() {
        let tcp = |host: &str| Endpoint::Tcp(host.to_owned(), 80);
        let several = upstream("urls: [\"http://a\", \"unix:/b\", \"http://c\"]");
        assert_eq!((several.endpoint, &*several.others), (tcp("a"), &[Endpoint::Unix("/b".into()), tcp("c")][..]));
        let one = upstream("urls: [\"http://a\"]");
        assert_eq!((one.endpoint, &*one.others), (tcp("a"), &[][..]));
    }

    #[test]
    fn a_server_name_is_what_a_certificate_can_be_for() {
        for name in ["ledger.internal", "a", "x_y.example.", "10.0.0.7", "2001:db8::1", "1a.b2"] {
            assert!(is_server_name(name), "{name}");
            // What would be asked of the upstream must be taken by the library that asks.
            #[cfg(feature = "server")]
            assert!(rustls::pki_types::ServerName::try_from(name).is_ok(), "{name}");
        }
        for none in ["", ".", "*.example", "a..b", "-a", "a-", "a b", "a:443", "10.0.0.256", "1.2.3", "é", "https://a"]
        {
            assert!(!is_server_name(none), "{none}");
        }
        assert!(!is_server_name(&"a".repeat(64)) && !is_server_name(&"a.".repeat(128)));
    }
}
