//! `admin` of `stepgate.yaml`: where the admin listener listens, and where the secret is that changes need.

use crate::config::addresses::address;
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys as KeyList};
use crate::config::section::Paths;
use crate::config::settings::{Admin, SecretSource};
use crate::config::source::{Purpose, Span};
use crate::config::yaml::{Kind, Node};

pub(super) const ADMIN: KeyList = KeyList { what: "`admin`", known: &["address", "credential"], later: &[] };
pub(super) const SECRET: KeyList = KeyList { what: "`credential`", known: &["env", "file"], later: &[] };

const SECRET_HELP: &str = "say where it is: `{ env: NAME }` or `{ file: FILE }`";

/// `admin`, and where its address stands. It shows what it knows to whoever asks, so only to this machine.
pub(crate) fn admin(node: &Node, paths: &mut Paths<'_>, out: &mut Report) -> Option<(Admin, Span)> {
    let fields = Fields::of(node, ADMIN, out)?;
    let credential = match fields.get("credential", out) {
        Some(node) => secret(node, "`credential`", Purpose::Secret, paths, out).map(Some),
        None => Some(None),
    };
    let node = fields.required("address", out)?;
    let address = address(node, out)?;
    if !address.ip().is_loopback() {
        let message = format!("the admin listener on `{address}` can be reached from other machines");
        let help = format!(
            "it shows routes, issuers and metrics to whoever asks: use a loopback address, such as `127.0.0.1:{}`",
            address.port()
        );
        out.add(Problem::error("admin_exposed", node.span, message).help(help));
        return None;
    }
    Some((Admin { address, credential: credential? }, node.span))
}

/// Where a secret is. One that is written out is refused, and nothing of it is said: whatever stands here may be it.
pub(super) fn secret(
    node: &Node,
    what: &str,
    purpose: Purpose,
    paths: &mut Paths<'_>,
    out: &mut Report,
) -> Option<SecretSource> {
    let refuse = |span: Span, code: &'static str, message: String, out: &mut Report| {
        out.add(Problem::error(code, span, message).help(SECRET_HELP).secret(true));
        None
    };
    let pairs = match &node.kind {
        Kind::Map(pairs) => pairs,
        Kind::Scalar { .. } | Kind::List(_) | Kind::Null => {
            out.add(in_clear(node.span, &format!("{what} is a secret, and stands here in clear")));
            return None;
        }
    };
    if let Some((key, _)) = pairs.iter().find(|(key, _)| !SECRET.known.contains(&&*key.text)) {
        let message = format!("{what} has a key that does not say where the secret is");
        return refuse(key.span, "secret_in_clear", message, out);
    }
    let fields = Fields::of(node, SECRET, out)?;
    match (fields.has("env"), fields.has("file")) {
        (true, false) => {
            let node = fields.get("env", out)?;
            let name = reader::word_or_text(node).filter(|name| is_variable(name));
            match name {
                Some(name) => Some(SecretSource::Env(name.to_owned())),
                None => refuse(node.span, "bad_variable", "`env` does not name an environment variable".into(), out),
            }
        }
        (false, true) => paths.read(fields.get("file", out)?, purpose, out).map(SecretSource::File),
        (true, true) => refuse(node.span, "ambiguous_secret", format!("{what} is in one place, `env` or `file`"), out),
        (false, false) => refuse(node.span, "missing_key", format!("{what} needs `env` or `file`"), out),
    }
}

/// Something stands where only the place of a secret may stand.
pub(super) fn in_clear(span: Span, message: &str) -> Problem {
    Problem::error("secret_in_clear", span, message).help(SECRET_HELP).secret(true)
}

/// What every shell takes for a name.
fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
