//! Where the gate listens and where it forwards: `listeners`, `upstreams` and `admin` of `stepgate.yaml`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys as KeyList};
use crate::config::settings::{Endpoint, Listener, Upstream};
use crate::config::source::Span;
use crate::config::url::{self, Url};
use crate::config::yaml::{self, Kind, Node};

const LISTENER: KeyList = KeyList {
    what: "a listener",
    known: &["address"],
    later: &["tls", "client_auth", "proxy_protocol", "trusted_peers"],
};
const UPSTREAM: KeyList =
    KeyList { what: "an upstream", known: &["url", "urls", "timeout"], later: &["tls", "health"] };
const ADMIN: KeyList = KeyList { what: "`admin`", known: &["address"], later: &["credential"] };

const LISTENER_HELP: &str = "name one: `listeners: [ { address: \"127.0.0.1:8080\" } ]`";
const UPSTREAM_HELP: &str = "name one: `upstreams: { app: { url: \"http://127.0.0.1:8081\" } }`";

fn address(node: &Node, out: &mut Report) -> Option<SocketAddr> {
    let text = reader::text(node, "an address", out)?;
    let address = text.parse().ok();
    if address.is_none() {
        let help = "write an IP address and a port, such as `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`";
        out.add(Problem::error("bad_address", node.span, format!("`{text}` is no address to listen on")).help(help));
    }
    address
}

/// `listeners`: where requests are taken.
pub(crate) fn listeners(node: &Node, out: &mut Report) -> Option<Vec<Listener>> {
    let mut listeners: Vec<Listener> = Vec::new();
    let items = match &node.kind {
        Kind::List(items) if !items.is_empty() => items,
        Kind::List(_) => {
            let message = "no listener, so no request could be taken";
            out.add(Problem::error("empty_list", node.span, message).help(LISTENER_HELP));
            return None;
        }
        Kind::Null | Kind::Scalar { .. } | Kind::Map(_) => {
            out.add(reader::expected(node, "a list of listeners").help(LISTENER_HELP));
            return None;
        }
    };
    for item in items {
        if let Some(text) = reader::word_or_text(item) {
            let help = format!("write `{{ address: \"{text}\" }}`");
            out.add(reader::expected(item, "a listener as a mapping").help(help));
            continue;
        }
        let Some(fields) = Fields::of(item, LISTENER, out) else { continue };
        let Some(node) = fields.required("address", out) else { continue };
        let Some(address) = address(node, out) else { continue };
        if address.port() != 0 && listeners.iter().any(|listener| listener.address == address) {
            out.add(Problem::error(
                "duplicate_address",
                node.span,
                format!("two listeners have the address `{address}`"),
            ));
        }
        listeners.push(Listener::plain(address));
    }
    Some(listeners)
}

/// `upstreams`: where requests are forwarded, and where each of their URLs stands.
pub(crate) fn upstreams(node: &Node, out: &mut Report) -> Option<Vec<(Upstream, Span)>> {
    if let Kind::Scalar { .. } | Kind::List(_) | Kind::Null = &node.kind {
        out.add(reader::expected(node, "`upstreams` as a mapping").help(UPSTREAM_HELP));
        return None;
    }
    let pairs = reader::mapping(node, "`upstreams`", out)?;
    if pairs.is_empty() {
        out.add(Problem::error("empty_list", node.span, "no upstream to forward to").help(UPSTREAM_HELP));
    }
    let upstream = |(key, node): &(yaml::Key, Node), out: &mut Report| {
        if let Some(text) = reader::word_or_text(node) {
            let help = format!("write `{}: {{ url: \"{text}\" }}`", key.text);
            out.add(reader::expected(node, "an upstream as a mapping").help(help));
            return None;
        }
        let fields = Fields::of(node, UPSTREAM, out)?;
        let timeout = match fields.get("timeout", out) {
            Some(node) => Some(reader::positive(node, out)?),
            None => None,
        };
        let node = url_node(&fields, out)?;
        let (host, port) = upstream_address(node, out)?;
        let plain = Upstream::plain(key.text.to_string(), host, port);
        Some((Upstream { timeout, ..plain }, node.span))
    };
    Some(pairs.iter().filter_map(|pair| upstream(pair, out)).collect())
}

fn url_node<'n>(fields: &Fields<'n>, out: &mut Report) -> Option<&'n Node> {
    match (fields.has("url"), fields.has("urls")) {
        (true, false) => fields.get("url", out),
        (false, true) => {
            let items = reader::list(fields.get("urls", out)?, "a list of URLs", out)?;
            if let Some(second) = items.get(1) {
                let message = "several URLs of one upstream are not supported by this version yet";
                out.add(Problem::error("not_supported_yet", second.span, message).help("name one"));
                return None;
            }
            items.first()
        }
        (both, _) => {
            let message = if both { "an upstream has `url` or `urls`, not both" } else { "an upstream needs `url`" };
            out.add(Problem::error("missing_key", fields.span, message));
            None
        }
    }
}

fn upstream_address(node: &Node, out: &mut Report) -> Option<(String, u16)> {
    let text = reader::text(node, "an upstream's URL", out)?;
    if let Some(scheme) = ["https:", "h2c:", "unix:"].into_iter().find(|scheme| text.starts_with(scheme)) {
        let message = format!("upstreams over `{scheme}` are not supported by this version yet");
        let problem = Problem::error("not_supported_yet", node.span, message).help("use `http://host:port`");
        out.add(problem.secret(text.contains('@')));
        return None;
    }
    let bad = |mistake: &str| {
        let help = "write a scheme, a host and a port, such as `http://127.0.0.1:8080`";
        let message = format!("`{}` is no upstream: {mistake}", url::shown(text));
        Problem::error("bad_url", node.span, message).help(help).secret(text.contains('@'))
    };
    match Url::parse(text) {
        Ok(url) if url.path.is_empty() || url.path == "/" => Some((url.host.to_owned(), url.port.unwrap_or(80))),
        Ok(_) => {
            out.add(bad("it has a path, and requests keep their own"));
            None
        }
        Err(_) if !text.starts_with("http://") => {
            out.add(bad("it does not start with `http://`"));
            None
        }
        Err(mistake) => {
            out.add(bad(mistake));
            None
        }
    }
}

/// `admin`: where the admin listener listens. It shows what it knows to whoever asks, so only to this machine.
pub(crate) fn admin(node: &Node, out: &mut Report) -> Option<SocketAddr> {
    let fields = Fields::of(node, ADMIN, out)?;
    let address_node = fields.required("address", out)?;
    let found = address(address_node, out)?;
    if !found.ip().is_loopback() {
        let message = format!("the admin listener on `{found}` can be reached from other machines");
        let help = format!(
            "it shows routes, issuers and metrics to whoever asks: use a loopback address, such as `127.0.0.1:{}`",
            found.port()
        );
        out.add(Problem::error("admin_exposed", address_node.span, message).help(help));
        return None;
    }
    Some(found)
}

/// An upstream that is one of our own listeners would have the gate forward to itself, and refuse or go round in circles.
pub(crate) fn never_ourselves(listeners: &[Listener], upstreams: &[(Upstream, Span)], out: &mut Report) {
    for (upstream, span) in upstreams {
        let Endpoint::Tcp(host, port) = &upstream.endpoint else { continue };
        let targets = targets(host);
        let own = listeners.iter().find(|listener| {
            let address = listener.address;
            address.port() == *port && targets.iter().any(|target| reaches(address.ip(), *target))
        });
        if let Some(own) = own {
            let message = format!(
                "the upstream `{}` is our own listener `{}`: the gate would forward to itself",
                upstream.name, own.address
            );
            let help = "name the address on which the application itself listens, or give the listener another port";
            out.add(Problem::error("forwards_to_itself", *span, message).help(help));
        }
    }
}

/// The addresses that a connection to a host leads to, as far as that is known without asking anybody.
fn targets(host: &str) -> Vec<IpAddr> {
    let (v4, v6) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    // RFC 6761 section 6.3.
    if name == "localhost" || name.ends_with(".localhost") {
        return vec![v4, v6];
    }
    match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        // Connecting to the unspecified address is connecting to this machine.
        Ok(ip) if ip.is_unspecified() => vec![v4, v6],
        Ok(ip) => vec![ip],
        Err(_name) => Vec::new(),
    }
}

/// Whether a listener hears what is sent to an address.
fn reaches(listener: IpAddr, target: IpAddr) -> bool {
    match listener.to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => target.is_ipv4() && target.is_loopback(),
        // It hears IPv4 too, unless the system says otherwise.
        IpAddr::V6(ip) if ip.is_unspecified() => target.is_loopback(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip == target,
    }
}
