//! `upgrades` of a route: what its requests may go over to besides WebSocket.

use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields};
use crate::config::yaml::{Kind, Node};

/// Those of a route; none where it says nothing.
pub(super) fn of_route(fields: &Fields<'_>, out: &mut Report) -> Option<Box<[Box<str>]>> {
    match fields.get("upgrades", out) {
        Some(node) => read(node, out),
        None => Some(Box::default()),
    }
}

/// Reads `upgrades`: names of protocols as they stand in `Upgrade` (RFC 9110 section 7.8), with a version or for all of them.
fn read(node: &Node, out: &mut Report) -> Option<Box<[Box<str>]>> {
    let names = reader::texts(node, "a list of protocols", out)?;
    let items = match &node.kind {
        Kind::List(items) => items.as_slice(),
        Kind::Null | Kind::Scalar { .. } | Kind::Map(_) => &[],
    };
    let mut complete = true;
    for (name, item) in names.iter().zip(items) {
        let problem = if !is_protocol(name) {
            Problem::error("bad_upgrade", item.span, format!("`{name}` is no name of a protocol"))
                .help("write it as it stands in `Upgrade`: `tcp`, `irc/6.9`")
        } else if carries_requests(name) {
            let message = format!("`{name}` would carry requests that nobody judges");
            Problem::error("bad_upgrade", item.span, message)
                .help("take it out: HTTP/2 and TLS are spoken to the gate itself, see `listeners` in stepgate.yaml")
        } else {
            continue;
        };
        out.add(problem);
        complete = false;
    }
    complete.then_some(names)
}

/// `name` or `name/version`, each a token.
fn is_protocol(text: &str) -> bool {
    let is_token = |part: &str| {
        let of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !part.is_empty() && part.bytes().all(of_token)
    };
    match text.split_once('/') {
        None => is_token(text),
        Some((name, version)) => is_token(name) && is_token(version),
    }
}

/// HTTP itself, in any version, and TLS with HTTP in it (RFC 2817).
fn carries_requests(protocol: &str) -> bool {
    let name = protocol.split('/').next().unwrap_or_default();
    ["h2c", "h2", "http", "https", "tls"].iter().any(|known| known.eq_ignore_ascii_case(name))
}
