//! `identity` of `stepgate.yaml`: what upstreams are told of the caller, in fields or in one signed assertion.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::admin::in_clear;
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys as KeyList};
use crate::config::section::{Paths, Section, duration_within};
use crate::config::settings::{Assertion, Identity};
use crate::config::source::Purpose;
use crate::config::yaml::{Kind, Node};

pub(super) const IDENTITY: KeyList =
    KeyList { what: "`identity`", known: &["headers", "strip_token", "assertion"], later: &[] };
pub(super) const ASSERTION: KeyList = KeyList { what: "`assertion`", known: &["key", "for"], later: &[] };

/// Long enough for clocks that differ, short enough for what is never taken back.
const FOR: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(600);
const MOST_KEYS: usize = 8;

/// Reads the section. With an assertion there are no fields beside it, and no token.
pub(super) fn identity(
    fields: &Fields<'_>,
    paths: &mut Paths<'_>,
    out: &mut Report,
) -> Option<(Identity, Option<Assertion>)> {
    let section = Section::of(fields, "identity", IDENTITY, out)?;
    let headers = section.value("headers", true, reader::switch, out);
    let strip_token = section.value("strip_token", false, reader::switch, out);
    let assertion = section.value("assertion", None, |node, out| assertion(node, paths, out).map(Some), out);
    let (headers, strip_token, assertion) = (headers?, strip_token?, assertion?);
    let Some(assertion) = assertion else { return Some((Identity { headers, strip_token }, None)) };
    for (key, contradicts, message) in [
        ("headers", headers, "the assertion takes the place of the headers: there are not both"),
        ("strip_token", !strip_token, "where there is an assertion, the token is always taken out"),
    ] {
        if let Some(span) = section.key_span(key).filter(|_| contradicts) {
            let help = format!("leave `{key}` out, or `assertion`");
            out.add(Problem::error("assertion_contradicted", span, message).help(help));
        }
    }
    Some((Identity { headers: false, strip_token: true }, Some(assertion)))
}

fn assertion(node: &Node, paths: &mut Paths<'_>, out: &mut Report) -> Option<Assertion> {
    let fields = Fields::of(node, ASSERTION, out)?;
    let keys = fields.required("key", out).and_then(|node| keys(node, paths, out));
    let lifetime = match fields.get("for", out) {
        Some(node) => duration_within(node, FOR, out),
        None => Some(Assertion::LIFETIME),
    };
    Some(Assertion { keys: keys?, lifetime: lifetime? })
}

/// One file, or several: the first signs, all are published.
fn keys(node: &Node, paths: &mut Paths<'_>, out: &mut Report) -> Option<Box<[PathBuf]>> {
    let items = match &node.kind {
        Kind::List(items) => items.as_slice(),
        Kind::Scalar { .. } | Kind::Map(_) | Kind::Null => std::slice::from_ref(node),
    };
    if items.is_empty() || items.len() > MOST_KEYS {
        let message = format!("`assertion.key` has {} files; it can have 1 to {MOST_KEYS}", items.len());
        out.add(Problem::error("out_of_range", node.span, message));
        return None;
    }
    let mut found: Vec<PathBuf> = Vec::new();
    let mut complete = true;
    for item in items {
        if reader::word_or_text(item).is_some_and(|text| text.contains("PRIVATE KEY")) {
            out.add(
                in_clear(item.span, "`key` names the file of a key, and the key itself stands here")
                    .help("write where its file is"),
            );
            complete = false;
            continue;
        }
        match paths.read(item, Purpose::AssertionKey, out) {
            Some(path) if found.contains(&path) => {
                let message = "this file stands twice in `assertion.key`";
                let help = "the first signs; put the next one behind it until all who verify know it";
                out.add(Problem::error("duplicate_value", item.span, message).help(help));
            }
            Some(path) => found.push(path),
            None => complete = false,
        }
    }
    complete.then(|| found.into())
}
