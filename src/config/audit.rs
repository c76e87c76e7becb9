//! `audit` of `stepgate.yaml`: where the audit log goes, and what is done so that it is there afterwards.

use std::time::Duration;

use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys as KeyList};
use crate::config::section::{self, Paths, Section};
use crate::config::settings::{Audit, AuditTarget, Rotation, Sync, WhenBlocked};
use crate::config::source::Purpose;
use crate::config::yaml::{Kind, Node};

pub(super) const AUDIT: KeyList =
    KeyList { what: "`audit`", known: &["to", "path", "when_blocked", "rotate", "sync"], later: &[] };
pub(super) const ROTATE: KeyList = KeyList { what: "`rotate`", known: &["size", "keep"], later: &[] };

/// How many older files are kept when nothing is said of it.
const KEEP: usize = 10;

/// `audit`.
pub(crate) fn audit(fields: &Fields<'_>, paths: &mut Paths<'_>, out: &mut Report) -> Option<Audit> {
    let node = fields.get("audit", out);
    if node.and_then(reader::word) == Some("off") {
        return Some(Audit::new(AuditTarget::Off, WhenBlocked::Refuse));
    }
    if let Some(Node { kind: Kind::Scalar { .. } | Kind::List(_), .. }) = node {
        out.add(reader::expected(node?, "`off` or a mapping such as `{ to: stdout }`"));
        return None;
    }
    let section = Section::of(fields, "audit", AUDIT, out)?;
    let places = [("stdout", false), ("file", true)];
    let file = section.value("to", false, |node, out| reader::choice(node, &places, out), out);
    let words = [("refuse", WhenBlocked::Refuse), ("drop", WhenBlocked::Drop)];
    let when_blocked =
        section.value("when_blocked", WhenBlocked::Refuse, |node, out| reader::choice(node, &words, out), out);
    let rotate = section.nullable("rotate", rotation, out);
    let sync = section.value("sync", Audit::SYNC, sync, out);
    if file == Some(false) {
        let rotates = rotate.flatten().is_some();
        for name in ["rotate", "sync"].into_iter().filter(|name| rotates || *name != "rotate") {
            if let Some(span) = section.key_span(name) {
                let message = format!("`{name}` is for a file, but the audit log goes to standard output");
                let help = format!("write `to: file` and its `path`, or take `{name}` out");
                out.add(Problem::error("ambiguous_audit", span, message).help(help));
            }
        }
    }
    let to = target(&section, file?, paths, out);
    Some(Audit { to: to?, when_blocked: when_blocked?, rotate: rotate?, sync: sync? })
}

fn target(section: &Section<'_>, file: bool, paths: &mut Paths<'_>, out: &mut Report) -> Option<AuditTarget> {
    let path = section.fields().and_then(|fields| fields.get("path", out));
    match (file, path) {
        (true, Some(node)) => paths.read(node, Purpose::AuditLog, out).map(AuditTarget::File),
        (false, None) => Some(AuditTarget::Stdout),
        (true, None) => {
            let help = "name the file: `audit: { to: file, path: audit.jsonl }`";
            out.add(Problem::error("missing_key", section.key_span("to")?, "`to: file` needs `path`").help(help));
            None
        }
        (false, Some(node)) => {
            let message = "there is a `path`, but the audit log goes to standard output";
            out.add(Problem::error("ambiguous_audit", node.span, message).help("write `to: file`, or take `path` out"));
            None
        }
    }
}

fn rotation(node: &Node, out: &mut Report) -> Option<Rotation> {
    let fields = Fields::of(node, ROTATE, out)?;
    let size = fields.required("size", out).and_then(|node| section::size_within(node, 1 << 20..=1 << 40, out));
    let keep = match fields.get("keep", out) {
        Some(node) => section::number_within(node, 1..=1000, "a number of files", out),
        None => Some(KEEP),
    };
    Some(Rotation { size: size?, keep: keep? })
}

fn sync(node: &Node, out: &mut Report) -> Option<Sync> {
    match reader::word_or_text(node) {
        Some("system") => Some(Sync::System),
        Some("batch") => Some(Sync::Batch),
        Some(text) if text.starts_with(|c: char| c.is_ascii_digit()) => {
            let bounds = Duration::from_millis(10)..=Duration::from_secs(3600);
            section::duration_within(node, bounds, out).map(Sync::Every)
        }
        Some(_) | None => {
            out.add(reader::expected(node, "`system`, `batch` or a duration such as `1s`"));
            None
        }
    }
}
