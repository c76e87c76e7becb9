//! `limits` of `stepgate.yaml`: how much of everything, and how long.

use std::ops::RangeInclusive;

use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys as KeyList};
use crate::config::section::{self, Section};
use crate::config::settings::Limits;
use crate::config::yaml::Node;

pub(super) const LIMITS: KeyList = KeyList {
    what: "`limits`",
    known: &[
        "token",
        "head",
        "body",
        "form",
        "token_cache",
        "connections",
        "requests",
        "headers",
        "streams",
        "jwks",
        "jwks_keys",
        "drain",
        "head_read",
        "idle",
        "connect",
        "response_head",
    ],
    later: &[],
};

/// `limits`.
pub(crate) fn limits(fields: &Fields<'_>, out: &mut Report) -> Option<Limits> {
    let base = Limits::default();
    let section = Section::of(fields, "limits", LIMITS, out)?;
    let bytes = |bounds: RangeInclusive<u64>| {
        move |node: &Node, out: &mut Report| {
            section::size_within(node, bounds, out).and_then(|size| usize::try_from(size).ok())
        }
    };
    let count = |bounds: RangeInclusive<u64>, what: &'static str| {
        move |node: &Node, out: &mut Report| section::number_within(node, bounds, what, out)
    };
    let token = section.value("token", base.token, bytes(256..=1 << 20), out);
    let head = section.value("head", base.head, bytes(1 << 10..=1 << 20), out);
    let body = section.value("body", base.body, body, out);
    let form = section.value("form", base.form, bytes(1 << 10..=16 << 20), out);
    let token_cache = section.value("token_cache", base.token_cache, reader::size, out);
    let connections =
        section.value("connections", base.connections, count(1..=1_000_000, "a number of connections"), out);
    let requests = section.value("requests", base.requests, count(1..=1_000_000, "a number of requests"), out);
    let headers = section.value("headers", base.headers, count(10..=1000, "a number of fields"), out);
    let streams = section.value("streams", base.streams, streams, out);
    let jwks = section.value("jwks", base.jwks, bytes(1 << 10..=16 << 20), out);
    let jwks_keys = section.value("jwks_keys", base.jwks_keys, count(1..=1000, "a number of keys"), out);
    let drain = section.value("drain", base.drain, reader::duration, out);
    let head_read = section.value("head_read", base.head_read, reader::positive, out);
    let idle = section.value("idle", base.idle, reader::positive, out);
    let connect = section.value("connect", base.connect, reader::positive, out);
    let response_head = section.value("response_head", base.response_head, reader::positive, out);
    let limits = Limits {
        token: token?,
        head: head?,
        body: body?,
        form: form?,
        token_cache: token_cache?,
        connections: connections?,
        requests: requests?,
        headers: headers?,
        streams: streams?,
        jwks: jwks?,
        jwks_keys: jwks_keys?,
        drain: drain?,
        head_read: head_read?,
        idle: idle?,
        connect: connect?,
        response_head: response_head?,
    };
    contradictions(&limits, &section, out);
    Some(limits)
}

/// The outer `None`: it is written wrong.
fn body(node: &Node, out: &mut Report) -> Option<Option<u64>> {
    if reader::word(node) == Some("none") {
        return Some(None);
    }
    reader::size(node, out).map(Some)
}

fn streams(node: &Node, out: &mut Report) -> Option<u32> {
    section::number_within(node, 1..=1000, "a number of streams", out).and_then(|number| u32::try_from(number).ok())
}

/// Limits of which one can never be reached because of another. Said only of what was written.
fn contradictions(limits: &Limits, section: &Section<'_>, out: &mut Report) {
    if let Some(span) = section.key_span("token")
        && limits.token > limits.head
    {
        let message = "a token longer than a whole head never arrives";
        out.add(Problem::lint("token_over_head", span, message).help("raise `head` too"));
    }
    if let Some(span) = section.key_span("form")
        && limits.body.is_some_and(|body| u64::try_from(limits.form).is_ok_and(|form| form > body))
    {
        let message = "a form is a body, so one that is longer than `body` never gets as far as to be read";
        out.add(Problem::lint("form_over_body", span, message).help("raise `body` too"));
    }
    let streams = usize::try_from(limits.streams).unwrap_or(usize::MAX);
    if let Some(span) = section.key_span("streams").or(section.key_span("requests"))
        && streams > limits.requests
    {
        let message = format!(
            "one connection may have {streams} streams, and all of them together {} requests: one client can take them all",
            limits.requests
        );
        out.add(Problem::lint("streams_over_requests", span, message).help("raise `requests`, or lower `streams`"));
    }
    let most = limits.connections.saturating_mul(streams);
    if let Some(span) = section.key_span("requests")
        && limits.requests > most
    {
        let message =
            format!("{} connections of {streams} streams never have more than {most} requests", limits.connections);
        out.add(Problem::lint("requests_out_of_reach", span, message).help("raise `connections`, or lower `requests`"));
    }
}
