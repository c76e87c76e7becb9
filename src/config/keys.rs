//! `keys`: where an issuer's keys come from.

use std::path::Path;

use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::source::{NamedFile, Purpose};
use crate::config::url::{self, PlainHttp};
use crate::config::yaml::Node;
use crate::token::{KeyPlace, KeySource};

const KEYS: Keys = Keys { what: "`keys`", known: &["discovery", "jwks_url", "jwks_file", "ca"], later: &[] };

/// Reads `keys`. Paths are relative to `folder`.
pub fn read(
    node: &Node,
    folder: &Path,
    plain: &mut Vec<PlainHttp>,
    files: &mut Vec<NamedFile>,
    out: &mut Report,
) -> Option<KeySource> {
    let fields = Fields::of(node, KEYS, out)?;
    let places = ["discovery", "jwks_url", "jwks_file"];
    let named = places.iter().filter(|name| fields.has(name)).count();
    if named > 1 {
        let message = "keys come from one place: name one of `discovery`, `jwks_url` and `jwks_file`";
        out.add(Problem::error("ambiguous_keys", node.span, message));
        return None;
    }
    let mut path = |node: &Node, purpose: Purpose, out: &mut Report| {
        let path = folder.join(reader::text(node, "a file", out)?);
        files.push(NamedFile { span: node.span, path: path.clone(), purpose });
        Some(path)
    };
    let discovery = fields.get("discovery", out);
    let url = fields.get("jwks_url", out);
    let file = fields.get("jwks_file", out);
    let ca = match fields.get("ca", out) {
        Some(node) => Some(path(node, Purpose::Authority, out)?),
        None => None,
    };
    let place = match (discovery, url, file) {
        (_, Some(node), _) => KeyPlace::JwksUrl(url::read(node, "the URL of a key set", plain, out)?),
        (_, _, Some(node)) => KeyPlace::JwksFile(path(node, Purpose::KeySet, out)?),
        (Some(node), None, None) => {
            if !reader::switch(node, out)? {
                let message = "`discovery: false` says where keys don't come from";
                out.add(Problem::error("asks_for_nothing", node.span, message).help("name `jwks_url` or `jwks_file`"));
                return None;
            }
            KeyPlace::Discovery
        }
        // With `ca` alone discovery is meant; a key without a value was reported.
        (None, None, None) if named == 0 => KeyPlace::Discovery,
        (None, None, None) => return None,
    };
    if let (KeyPlace::JwksFile(_), Some(_)) = (&place, &ca) {
        let message = "`ca` says whom to believe when keys are fetched, and a `jwks_file` is not fetched";
        out.add(Problem::error("unused_ca", node.span, message).help("leave `ca` out"));
    }
    Some(KeySource { place, ca })
}
