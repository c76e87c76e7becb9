//! `factor_classes`: what an issuer's `amr` values are worth.

use crate::assurance::{Classes, FactorClass, MethodClass, MethodTable};
use crate::config::problem::Report;
use crate::config::reader::{self, Fields, Keys};
use crate::config::yaml::{Kind, Node};

const CLASS: Keys =
    Keys { what: "a factor class", known: &["is", "may", "phishing_resistant", "hardware"], later: &[] };
const TRAIT: &[(&str, Option<bool>)] = &[("true", Some(true)), ("false", Some(false)), ("unknown", None)];
const NAMES: &[(&str, Option<FactorClass>)] = &[
    ("knowledge", Some(FactorClass::Knowledge)),
    ("possession", Some(FactorClass::Possession)),
    ("inherence", Some(FactorClass::Inherence)),
    ("none", None),
];

/// The table of an issuer: its own entries over RFC 8176's.
pub fn read(node: Option<&Node>, out: &mut Report) -> MethodTable {
    let mut table = MethodTable::rfc8176();
    let pairs = node.and_then(|node| reader::mapping(node, "`factor_classes`", out)).unwrap_or_default();
    for (key, node) in pairs {
        if let Some(class) = class(node, out) {
            table.set(&key.text, class);
        }
    }
    table
}

fn class(node: &Node, out: &mut Report) -> Option<MethodClass> {
    let Kind::Map(_) = &node.kind else {
        return classes(node, out).map(|is| MethodClass { is, ..MethodClass::default() });
    };
    let fields = Fields::of(node, CLASS, out)?;
    if fields.is_empty() {
        out.add(reader::expected(node, "a factor class").help("write `none` for a value that is worth nothing"));
        return None;
    }
    let mut set = |name| match fields.get(name, out) {
        Some(node) => classes(node, out),
        None => Some(Classes::NONE),
    };
    let (is, may) = (set("is"), set("may"));
    let mut known = |name| match fields.get(name, out) {
        Some(node) => reader::choice(node, TRAIT, out),
        None => Some(None),
    };
    let (phishing_resistant, hardware) = (known("phishing_resistant"), known("hardware"));
    Some(MethodClass { is: is?, may: may?, phishing_resistant: phishing_resistant?, hardware: hardware? })
}

fn classes(node: &Node, out: &mut Report) -> Option<Classes> {
    let items = match &node.kind {
        Kind::List(_) => reader::list(node, "a list of factor classes", out)?,
        Kind::Null | Kind::Scalar { .. } | Kind::Map(_) => std::slice::from_ref(node),
    };
    let named = items.iter().map(|item| reader::choice(item, NAMES, out)).collect::<Vec<_>>();
    let named: Option<Vec<Option<FactorClass>>> = named.into_iter().collect();
    named.map(|classes| classes.into_iter().flatten().collect())
}
