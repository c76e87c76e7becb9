//! `mapping`: where an issuer's evidence, subject, client and scopes are found.

use std::collections::BTreeMap;

use crate::assurance::mapping::{Accept, Mapping, ValueMapping};
use crate::config::expression::claim;
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::yaml::{Kind, Node};
use crate::token::ClaimPath;

const MAPPING: Keys = Keys {
    what: "`mapping`",
    known: &["acr", "amr", "auth_time", "subject", "client", "scopes"],
    later: &["introspection", "userinfo"],
};
const VALUES: Keys =
    Keys { what: "the mapping of a claim", known: &["from", "rename", "accept", "absent"], later: &[] };
const PLACE: Keys = Keys { what: "the mapping of a claim", known: &["from"], later: &[] };
const SOURCE: Keys = Keys { what: "a source", known: &[], later: &["introspection", "userinfo"] };

/// Which evidence claims an issuer is believed about.
#[derive(Clone, Copy, Debug)]
pub struct Trust {
    /// `trust.acr`.
    pub acr: bool,
    /// `trust.amr`.
    pub amr: bool,
}

/// Reads `mapping`; without it, every claim is where the standards put it.
pub fn read(node: Option<&Node>, trust: Trust, out: &mut Report) -> Option<Mapping> {
    let fields = match node {
        Some(node) => Some(Fields::of(node, MAPPING, out)?),
        None => None,
    };
    let get = |name: &'static str, out: &mut Report| fields.as_ref().and_then(|fields| fields.get(name, out));
    let string = Accept { string: true, ..Accept::default() };
    let array = Accept { array: true, ..Accept::default() };
    let acr = values(get("acr", out), &["acr"], string, trust.acr, out);
    let amr = values(get("amr", out), &["amr"], array, trust.amr, out);
    let auth_time = place(get("auth_time", out), &["auth_time"], out);
    let subject = place(get("subject", out), &["sub"], out);
    let client = place(get("client", out), &["client_id", "azp"], out);
    let scopes = place(get("scopes", out), &["scope", "scp"], out);
    Some(Mapping { acr: acr?, amr: amr?, auth_time: auth_time?, subject: subject?, client: client?, scopes: scopes? })
}

fn default_from(names: &[&str]) -> Box<[ClaimPath]> {
    names.iter().filter_map(|name| ClaimPath::parse(name).ok()).collect()
}

fn place(node: Option<&Node>, default: &[&str], out: &mut Report) -> Option<Box<[ClaimPath]>> {
    let Some(node) = node else { return Some(default_from(default)) };
    let fields = Fields::of(node, PLACE, out)?;
    sources(reader_list(fields.required("from", out)?, out)?, out)
}

fn reader_list<'n>(node: &'n Node, out: &mut Report) -> Option<&'n [Node]> {
    reader::list(node, "a list of claims", out)
}

fn sources(items: &[Node], out: &mut Report) -> Option<Box<[ClaimPath]>> {
    let source = |item: &Node, out: &mut Report| {
        if let Kind::Map(_) = &item.kind {
            // Both ways of writing a source as a mapping belong to later versions; `of` says so by name.
            let named = Fields::of(item, SOURCE, out)?;
            if named.is_empty() {
                out.add(reader::expected(item, "a claim"));
            }
            return None;
        }
        claim(reader::text(item, "a claim", out)?, item.span, out)
    };
    items.iter().map(|item| source(item, out)).collect::<Vec<_>>().into_iter().collect()
}

fn values(
    node: Option<&Node>,
    default: &[&str],
    accept: Accept,
    trusted: bool,
    out: &mut Report,
) -> Option<ValueMapping> {
    let Some(node) = node else {
        return Some(ValueMapping {
            trusted,
            from: default_from(default),
            accept,
            absent: None,
            rename: BTreeMap::new(),
        });
    };
    let fields = Fields::of(node, VALUES, out)?;
    let absent = match fields.get("absent", out) {
        Some(node) => absent_values(node, out),
        None => Some(None),
    };
    let from = match fields.get("from", out) {
        None => Some(default_from(default)),
        Some(Node { span, kind: Kind::List(items) }) if items.is_empty() => {
            if matches!(&absent, Some(None)) {
                let message = "no source and no `absent`: nothing would ever be known";
                out.add(
                    Problem::error("empty_list", *span, message)
                        .help("name a claim, or say in `absent` what is always true"),
                );
            }
            Some(Box::default())
        }
        Some(node) => reader_list(node, out).and_then(|items| sources(items, out)),
    };
    let accept = match fields.get("accept", out) {
        Some(node) => accepted(node, out),
        None => Some(accept),
    };
    let rename = fields.get("rename", out).map_or_else(|| Some(BTreeMap::new()), |node| renames(node, out));
    Some(ValueMapping { trusted, from: from?, accept: accept?, absent: absent?, rename: rename? })
}

fn absent_values(node: &Node, out: &mut Report) -> Option<Option<Box<[Box<str>]>>> {
    if reader::word(node) == Some("unknown") {
        return Some(None);
    }
    if let Kind::Scalar { .. } = &node.kind {
        let value = reader::text(node, "`unknown`, a value or a list of values", out)?;
        return Some(Some([value.into()].into()));
    }
    reader::texts(node, "`unknown`, a value or a list of values", out).map(Some)
}

fn accepted(node: &Node, out: &mut Report) -> Option<Accept> {
    const SHAPES: &[(&str, u8)] = &[("string", 0), ("array", 1), ("number", 2), ("space-separated", 3)];
    let items = match &node.kind {
        Kind::List(_) => reader::list(node, "a list of JSON shapes", out)?,
        Kind::Null | Kind::Scalar { .. } | Kind::Map(_) => std::slice::from_ref(node),
    };
    let mut accept = Accept::default();
    for item in items {
        match reader::choice(item, SHAPES, out)? {
            0 => accept.string = true,
            1 => accept.array = true,
            2 => accept.number = true,
            _ => accept.space_separated = true,
        }
    }
    Some(accept)
}

fn renames(node: &Node, out: &mut Report) -> Option<BTreeMap<Box<str>, Box<str>>> {
    let pairs = reader::mapping(node, "`rename`", out)?;
    let renamed = pairs.iter().map(|(key, node)| {
        reader::text(node, "the value that takes its place", out).map(|value| (key.text.clone(), value.into()))
    });
    renamed.collect::<Vec<_>>().into_iter().collect()
}
