//! `listeners` of `stepgate.yaml`: where requests are taken, how TLS is spoken there, and whose word is taken.

use ipnet::IpNet;

use crate::config::addresses::address;
use crate::config::peers;
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys as KeyList};
use crate::config::section::Paths;
use crate::config::settings::{ClientAuth, Listener, ServerTls};
use crate::config::source::{Purpose, Span};
use crate::config::yaml::{Kind, Node};

pub(super) const LISTENER: KeyList = KeyList {
    what: "a listener",
    known: &["address", "tls", "client_auth", "proxy_protocol", "trusted_peers"],
    later: &[],
};
pub(super) const TLS: KeyList = KeyList { what: "a listener's `tls`", known: &["cert", "key"], later: &[] };
pub(super) const CLIENT_AUTH: KeyList = KeyList { what: "`client_auth`", known: &["ca", "required"], later: &[] };

const HELP: &str = "name one: `listeners: [ { address: \"127.0.0.1:8080\" } ]`";

/// `listeners`, and where each of their addresses stands.
pub(crate) fn listeners(node: &Node, paths: &mut Paths<'_>, out: &mut Report) -> Option<Vec<(Listener, Span)>> {
    let items = match &node.kind {
        Kind::List(items) if !items.is_empty() => items,
        Kind::List(_) => {
            let message = "no listener, so no request could be taken";
            out.add(Problem::error("empty_list", node.span, message).help(HELP));
            return None;
        }
        Kind::Null | Kind::Scalar { .. } | Kind::Map(_) => {
            out.add(reader::expected(node, "a list of listeners").help(HELP));
            return None;
        }
    };
    Some(items.iter().filter_map(|item| listener(item, paths, out)).collect())
}

fn listener(item: &Node, paths: &mut Paths<'_>, out: &mut Report) -> Option<(Listener, Span)> {
    if let Some(text) = reader::word_or_text(item) {
        let help = format!("write `{{ address: \"{text}\" }}`");
        out.add(reader::expected(item, "a listener as a mapping").help(help));
        return None;
    }
    let fields = Fields::of(item, LISTENER, out)?;
    let address = fields.required("address", out).and_then(|node| Some((address(node, out)?, node.span)));
    let tls = tls(&fields, paths, out);
    let trusted_peers = match fields.get("trusted_peers", out) {
        Some(node) => peers::trusted(node, out),
        None => Some(Box::default()),
    };
    let proxy_protocol = match fields.get("proxy_protocol", out) {
        Some(node) => reader::switch(node, out),
        None => Some(false),
    };
    if let (Some(true), Some(span), false) =
        (proxy_protocol, fields.key_span("proxy_protocol"), fields.has("trusted_peers"))
    {
        let message = "`proxy_protocol` without `trusted_peers`: any client could say that it is another";
        let help = "name who sends the header: `trusted_peers: [10.0.0.7]`; connections from elsewhere are closed";
        out.add(Problem::error("proxy_protocol", span, message).help(help));
    }
    let (address, span) = address?;
    let listener = Listener { address, tls: tls?, proxy_protocol: proxy_protocol?, trusted_peers: trusted_peers? };
    if let Some(place) = fields.key_span("trusted_peers") {
        reachable(&listener, place, out);
    }
    Some((listener, span))
}

fn reachable(Listener { address, trusted_peers, proxy_protocol, .. }: &Listener, span: Span, out: &mut Report) {
    let nets: &[IpNet] = trusted_peers;
    if nets.is_empty() || peers::can_reach(nets, *address) {
        return;
    }
    let then = if *proxy_protocol { "every connection is closed" } else { "what they say is never believed" };
    let message = format!("none of these can connect to `{address}`, so {then}");
    let help = "name the address that the last proxy connects from, as the gate sees it; on one machine that is a \
                loopback address";
    out.add(Problem::lint("unreachable_peers", span, message).help(help));
}

/// The outer `None`: it is written wrong.
fn tls(fields: &Fields<'_>, paths: &mut Paths<'_>, out: &mut Report) -> Option<Option<ServerTls>> {
    let client_auth = match fields.get("client_auth", out) {
        Some(node) => client_auth(node, paths, out).map(Some),
        None => Some(None),
    };
    if let (Some(span), false) = (fields.key_span("client_auth"), fields.has("tls")) {
        let message = "`client_auth` without `tls`: certificates are shown in TLS alone";
        let help = "add `tls: { cert: FILE, key: FILE }` to this listener";
        out.add(Problem::error("client_auth_without_tls", span, message).help(help));
    }
    let Some(node) = fields.get("tls", out) else { return Some(None) };
    let fields = Fields::of(node, TLS, out)?;
    let (cert, key) = (fields.required("cert", out), fields.required("key", out));
    let (cert, key) = paths.identity(cert?, key?, out)?;
    Some(Some(ServerTls { cert, key, client_auth: client_auth? }))
}

/// Whoever names an authority wants certificates, so they are required unless it says otherwise.
fn client_auth(node: &Node, paths: &mut Paths<'_>, out: &mut Report) -> Option<ClientAuth> {
    let fields = Fields::of(node, CLIENT_AUTH, out)?;
    let ca = fields.required("ca", out).and_then(|node| paths.read(node, Purpose::Authority, out));
    let required = match fields.get("required", out) {
        Some(node) => reader::switch(node, out),
        None => Some(true),
    };
    Some(ClientAuth { ca: ca?, required: required? })
}
