//! `timeout`, `max_body` and `rewrite` of a route, and the first two under `defaults`: how it is carried on to its upstream.

use std::time::Duration;

use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::yaml::Node;
use crate::policy::{BodyLimit, CanonicalPath, PathPattern, Rewrite};

const REWRITE: Keys = Keys { what: "`rewrite`", known: &["prefix"], later: &[] };
const PREFIX_HELP: &str =
    "write the path that comes in place of the literal beginning of `match.path`, such as `/v1`, or `/`";

/// What is said of the way on, by a route or by `defaults`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// How long the upstream may take to answer with a head.
    pub timeout: Option<Duration>,
    /// How long a body may be.
    pub max_body: Option<BodyLimit>,
}

impl Written {
    /// `timeout` and `max_body`. The outer `None`: one of them is written wrong.
    pub(super) fn read(fields: &Fields<'_>, out: &mut Report) -> Option<Self> {
        let timeout = match fields.get("timeout", out) {
            Some(node) => reader::positive(node, out).map(Some),
            None => Some(None),
        };
        let max_body = match fields.get("max_body", out) {
            Some(node) => body(node, out).map(Some),
            None => Some(None),
        };
        Some(Self { timeout: timeout?, max_body: max_body? })
    }

    /// The same with what `defaults` say where it says nothing.
    pub(super) fn over(self, defaults: Self) -> Self {
        Self { timeout: self.timeout.or(defaults.timeout), max_body: self.max_body.or(defaults.max_body) }
    }
}

fn body(node: &Node, out: &mut Report) -> Option<BodyLimit> {
    if reader::word(node) == Some("none") {
        return Some(BodyLimit::Any);
    }
    reader::size(node, out).map(BodyLimit::Bytes)
}

/// `rewrite` of a route that matches `pattern`. The outer `None`: it is written wrong.
pub(super) fn rewrite(
    fields: &Fields<'_>,
    pattern: Option<&PathPattern>,
    out: &mut Report,
) -> Option<Option<Box<Rewrite>>> {
    let Some(node) = fields.get("rewrite", out) else { return Some(None) };
    if let Some(text) = reader::word_or_text(node) {
        let help = format!("write `rewrite: {{ prefix: {text} }}`");
        out.add(reader::expected(node, "`rewrite` as a mapping").help(help));
        return None;
    }
    let node = Fields::of(node, REWRITE, out)?.required("prefix", out)?;
    let text = reader::text(node, "a path", out)?;
    let mistake = match CanonicalPath::parse(text) {
        _ if text.contains(['?', '#']) => "a prefix is a path, without query or fragment".to_owned(),
        _ if text.contains(['{', '}', '*']) => "a prefix is a path, and no pattern".to_owned(),
        Err(ambiguity) => ambiguity.to_string(),
        Ok(_) if text.len() > 1 && text.ends_with('/') => {
            "it ends with a slash, which comes with the rest of the path".to_owned()
        }
        Ok(path) if path.as_str() != text => format!("in canonical form it is `{path}`"),
        Ok(path) => return pattern.map(|pattern| Some(Box::new(Rewrite::new(pattern, &path)))),
    };
    let message = format!("`{text}` cannot begin a path that is forwarded: {mistake}");
    out.add(Problem::error("bad_prefix", node.span, message).help(PREFIX_HELP));
    None
}
