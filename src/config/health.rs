//! `health` of an upstream: how it is asked whether it is well.

use std::time::Duration;

use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys as KeyList};
use crate::config::section;
use crate::config::settings::HealthCheck;
use crate::config::yaml::{Kind, Node};

pub(super) const HEALTH: KeyList =
    KeyList { what: "an upstream's `health`", known: &["path", "every", "timeout", "status"], later: &[] };

/// `health: /up`, or a mapping with the path in it.
pub(super) fn read(node: &Node, out: &mut Report) -> Option<HealthCheck> {
    if let Kind::Scalar { .. } = &node.kind {
        return path(node, out).map(HealthCheck::of);
    }
    let fields = Fields::of(node, HEALTH, out)?;
    let base = HealthCheck::of(String::new());
    let path = fields.required("path", out).and_then(|node| path(node, out));
    let every = match fields.get("every", out) {
        Some(node) => section::duration_within(node, Duration::from_millis(100)..=Duration::from_secs(3600), out),
        None => Some(base.every),
    };
    let timeout = match fields.get("timeout", out) {
        Some(node) => section::duration_within(node, Duration::from_millis(10)..=Duration::from_secs(60), out),
        None => every.map(|every| base.timeout.min(every)),
    };
    let status = match fields.get("status", out) {
        Some(node) => statuses(node, out),
        None => Some(base.status),
    };
    let (every, timeout) = (every?, timeout?);
    if timeout > every {
        let span = fields.key_span("timeout").unwrap_or(node.span);
        let message = "a check that takes longer than `every` would still wait when the next is due";
        out.add(Problem::error("timeout_over_every", span, message).help("lower `timeout`, or raise `every`"));
        return None;
    }
    Some(HealthCheck { path: path?, every, timeout, status: status? })
}

/// What a request target may be (RFC 9112 section 3.2.1), as it is sent.
fn path(node: &Node, out: &mut Report) -> Option<String> {
    let text = reader::text(node, "a path", out)?;
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\' | b'"' | b'<' | b'>' | b'^' | b'`');
    if !text.starts_with('/') || !text.bytes().all(|byte| fits(byte) && !matches!(byte, b'{' | b'|' | b'}')) {
        let message = format!("`{text}` is no path that can be asked for");
        out.add(Problem::error("bad_path", node.span, message).help("write one such as `/up`"));
        return None;
    }
    Some(text.to_owned())
}

/// One status, or a list of them.
fn statuses(node: &Node, out: &mut Report) -> Option<Box<[u16]>> {
    let items = match &node.kind {
        Kind::List(_) => reader::list(node, "a list of statuses", out)?,
        Kind::Scalar { .. } | Kind::Map(_) | Kind::Null => std::slice::from_ref(node),
    };
    let status = |node: &Node| reader::whole(node, 200..=599, "a status, 200 to 599", out);
    let read: Vec<u16> = items.iter().map_while(status).filter_map(|status| u16::try_from(status).ok()).collect();
    (read.len() == items.len()).then(|| read.into())
}
