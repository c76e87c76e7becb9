//! Evidence expressions, as `proves` and `require` write them.

use crate::assurance::{ClaimTable, Expression};
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::source::Span;
use crate::config::yaml::{Kind, Node};
use crate::token::{ClaimPath, Json};

/// The keys of an evidence expression.
pub const EVIDENCE: &[&str] =
    &["acr", "amr", "factors", "phishing_resistant", "hardware", "claims", "all", "any", "not"];

const EXPRESSION: Keys = Keys { what: "an evidence expression", known: EVIDENCE, later: &["sender_constrained"] };
const ACR: Keys = Keys { what: "`acr`", known: &["at_least"], later: &[] };
const PRESENT: Keys = Keys { what: "what a claim must be", known: &["present"], later: &[] };
const AMR: Keys = Keys { what: "`amr`", known: &["any", "all", "none", "only", "count"], later: &[] };

/// Reads a whole expression. Keys of one mapping are and-ed.
pub fn read(node: &Node, claims: &mut ClaimTable, out: &mut Report) -> Option<Expression> {
    let fields = Fields::of(node, EXPRESSION, out)?;
    if fields.is_empty() {
        out.add(Problem::error("empty_expression", node.span, "an empty expression would hold of every token"));
        return None;
    }
    let errors = out.errors();
    let mut parts = own_evidence(&fields, claims, out);
    let mut group = |name: &'static str, join: fn(Box<[Expression]>) -> Expression, out: &mut Report| {
        let node = fields.get(name, out)?;
        let items = reader::list(node, "a list of evidence expressions", out)?;
        Some(join(items.iter().filter_map(|item| read(item, claims, out)).collect()))
    };
    parts.extend(group("all", Expression::All, out));
    parts.extend(group("any", Expression::Any, out));
    if out.errors() > errors {
        return None;
    }
    conjunction(parts)
}

/// Reads the keys that stand for evidence by themselves: all but `all` and `any`.
pub fn own_evidence(fields: &Fields<'_>, claims: &mut ClaimTable, out: &mut Report) -> Vec<Expression> {
    let mut parts = Vec::new();
    parts.extend(fields.get("acr", out).and_then(|node| acr(node, out)));
    parts.extend(fields.get("amr", out).and_then(|node| amr(node, out)));
    parts.extend(fields.get("factors", out).and_then(|node| {
        let number = reader::whole(node, 1..=3, "a number of factor classes, 1 to 3", out)?;
        u32::try_from(number).ok().map(Expression::Factors)
    }));
    parts.extend(only_true(fields, "phishing_resistant", Expression::PhishingResistant, out));
    parts.extend(only_true(fields, "hardware", Expression::Hardware, out));
    if let Some(node) = fields.get("claims", out) {
        parts.extend(claims_of(node, claims, out));
    }
    if let Some(node) = fields.get("not", out) {
        parts.extend(read(node, claims, out).map(|inner| Expression::Not(Box::new(inner))));
    }
    parts
}

fn conjunction(mut parts: Vec<Expression>) -> Option<Expression> {
    match parts.len() {
        0 => None,
        1 => parts.pop(),
        _ => Some(Expression::All(parts.into())),
    }
}

fn acr(node: &Node, out: &mut Report) -> Option<Expression> {
    if let Kind::Map(_) = &node.kind {
        let fields = Fields::of(node, ACR, out)?;
        let least = fields.required("at_least", out)?;
        return reader::whole(least, 0..=u64::MAX, "a whole number", out).map(Expression::AcrAtLeast);
    }
    reader::texts(node, "a list of `acr` values or `{ at_least: N }`", out).map(Expression::Acr)
}

fn amr(node: &Node, out: &mut Report) -> Option<Expression> {
    if let Kind::List(items) = &node.kind {
        let values: Vec<&str> = items.iter().filter_map(reader::word).collect();
        let list = values.join(", ");
        let message = "a bare list under `amr` does not say whether one of the values is enough or all are needed";
        let help = format!("write `amr: {{ any: [{list}] }}` or `amr: {{ all: [{list}] }}`");
        out.add(Problem::error("amr_list", node.span, message).help(help));
        return None;
    }
    if let Some(value) = reader::word_or_text(node) {
        let message = format!("`amr` does not say what is asked of it, only `{value}`");
        let help = format!("write `amr: {{ any: [{value}] }}`");
        out.add(Problem::error("amr_list", node.span, message).help(help));
        return None;
    }
    let fields = Fields::of(node, AMR, out)?;
    if fields.is_empty() {
        out.add(Problem::error("empty_expression", node.span, "an empty `amr` asks for nothing"));
    }
    let mut values = |name, make: fn(Box<[Box<str>]>) -> Expression| {
        let node = fields.get(name, out)?;
        reader::texts(node, "a list of `amr` values", out).map(make)
    };
    let mut parts: Vec<Expression> = Vec::new();
    parts.extend(values("any", Expression::AmrAny));
    parts.extend(values("all", Expression::AmrAll));
    parts.extend(values("none", Expression::AmrNone));
    parts.extend(values("only", Expression::AmrOnly));
    parts.extend(fields.get("count", out).and_then(|node| {
        let number = reader::whole(node, 1..=100, "a number of different values, 1 to 100", out)?;
        usize::try_from(number).ok().map(Expression::AmrCount)
    }));
    conjunction(parts)
}

fn only_true(fields: &Fields<'_>, name: &'static str, is: Expression, out: &mut Report) -> Option<Expression> {
    let node = fields.get(name, out)?;
    if reader::switch(node, out)? {
        return Some(is);
    }
    let message = format!("`{name}: false` asks for nothing");
    let help = format!("leave it out, or write `not: {{ {name}: true }}` if its absence is meant");
    out.add(Problem::error("asks_for_nothing", node.span, message).help(help));
    None
}

fn claims_of(node: &Node, claims: &mut ClaimTable, out: &mut Report) -> Vec<Expression> {
    let pairs = reader::mapping(node, "`claims`", out).unwrap_or_default();
    if let Kind::Map(pairs) = &node.kind
        && pairs.is_empty()
    {
        out.add(Problem::error("empty_expression", node.span, "an empty `claims` asks for nothing"));
    }
    let mut parts = Vec::new();
    for (key, node) in pairs {
        let slot = claim(&key.text, key.span, out).and_then(|path| slot(path, key.span, claims, out));
        if let Kind::Map(_) = &node.kind {
            let present = Fields::of(node, PRESENT, out).and_then(|fields| present(&fields, out));
            parts.extend(present.and(slot).map(Expression::Present));
            continue;
        }
        let values: Option<Vec<Json>> = match &node.kind {
            Kind::List(_) => reader::list(node, "a value or a list of values", out)
                .and_then(|items| items.iter().map(|item| value(item, out)).collect()),
            Kind::Null | Kind::Scalar { .. } | Kind::Map(_) => value(node, out).map(|value| vec![value]),
        };
        if let (Some(slot), Some(values)) = (slot, values) {
            parts.push(Expression::Claim(slot, values.into()));
        }
    }
    parts
}

/// `{ present: true }`: a mapping, so that no value of a claim can be taken for it.
fn present(fields: &Fields<'_>, out: &mut Report) -> Option<()> {
    let node = fields.required("present", out)?;
    if reader::switch(node, out)? {
        return Some(());
    }
    let message = "`present: false` would hold of a claim that is merely not sent, and what is absent proves nothing";
    out.add(Problem::error("asks_for_nothing", node.span, message).help("ask for a value that the claim has instead"));
    None
}

/// A claim's name or pointer.
pub fn claim(written: &str, span: Span, out: &mut Report) -> Option<ClaimPath> {
    ClaimPath::parse(written)
        .map_err(|mistake| out.add(Problem::error("bad_claim", span, format!("`{written}` names no claim: {mistake}"))))
        .ok()
}

/// The slot of a claim in the policy's table.
pub fn slot(
    path: ClaimPath,
    span: Span,
    claims: &mut ClaimTable,
    out: &mut Report,
) -> Option<crate::assurance::ClaimSlot> {
    let slot = claims.slot(path);
    if slot.is_none() {
        out.add(Problem::error("out_of_range", span, "the policy reads too many different claims"));
    }
    slot
}

/// A JSON value: plain numbers and switches are such, everything else is a string.
pub fn value(node: &Node, out: &mut Report) -> Option<Json> {
    let Kind::Scalar { text, plain } = &node.kind else {
        out.add(reader::expected(node, "a text, a number, `true` or `false`"));
        return None;
    };
    if *plain {
        match &**text {
            "true" => return Some(Json::Bool(true)),
            "false" => return Some(Json::Bool(false)),
            text if looks_like_a_number(text) => return number(text, node.span, out),
            _ => {}
        }
    }
    Some((&**text).into())
}

fn looks_like_a_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole) && all_digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}

fn number(text: &str, span: Span, out: &mut Report) -> Option<Json> {
    let number = text.parse::<serde_json::Number>().ok();
    // A whole number that only fits a float would compare equal to its neighbours.
    let exact = number.filter(|number| text.contains('.') || !number.is_f64());
    if exact.is_none() {
        let message = format!("`{text}` is too large a number to be compared exactly");
        out.add(Problem::error("out_of_range", span, message).help("quote it if the claim is a text"));
    }
    exact.map(Json::Number)
}
