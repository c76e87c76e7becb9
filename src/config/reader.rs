//! Typed reading of the tree. Each function says what is wrong, adds it to the report and gives `None`; callers go on.

use std::fmt;
use std::time::Duration;

use crate::config::problem::{Problem, Report};
use crate::config::secrets::is_secret_key;
use crate::config::source::Span;
use crate::config::units;
use crate::config::yaml::{Key, Kind, Node};

/// The keys that a mapping may have.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// What the mapping is, with its article: "a route".
    pub what: &'static str,
    /// The keys that it may have.
    pub known: &'static [&'static str],
    /// The keys that the language has and this version does not support.
    pub later: &'static [&'static str],
}

/// What to say of a key that the language has in another place. Whoever writes it there is not helped by a similar name.
fn belongs_elsewhere(what: &str, key: &str) -> Option<&'static str> {
    match (what, key) {
        ("a floor", "mode") => {
            Some("a floor is never only observed: what it refuses stays refused; `mode` stands on routes")
        }
        ("`instead`", "scopes" | "issuers" | "audience" | "caller" | "clients" | "bind" | "ignore_amr" | "claims") => {
            Some("what the route asks of it holds on: an exception is a way around level, evidence and age alone")
        }
        ("`instead`", "all" | "any" | "not") => {
            Some("say one thing that is enough; another way in is another exception")
        }
        ("`who`", "issuers") => Some("name one, as `issuer`: a subject is somebody only at the issuer that names it"),
        ("a floor", "take" | "keep" | "on_deny" | "upstream" | "streams") => {
            Some("it stands on the routes that lie on the floor")
        }
        ("a route", "ignore_case" | "empty_segments" | "encoded_slash") => {
            Some("it is part of what the route matches: write it under `match`")
        }
        ("`match` of a floor", "empty_segments" | "encoded_slash") => {
            Some("a floor allows nothing: it stands under `match` of the routes that lie on the floor")
        }
        _ => None,
    }
}

/// A mapping whose keys were checked.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'n> {
    /// Where it begins.
    pub span: Span,
    keys: Keys,
    pairs: &'n [(Key, Node)],
}

impl<'n> Fields<'n> {
    /// The mapping that a node is. Unknown keys and those of later versions are reported.
    pub fn of(node: &'n Node, keys: Keys, out: &mut Report) -> Option<Self> {
        let pairs = mapping(node, keys.what, out)?;
        for (key, _) in pairs {
            if keys.known.contains(&&*key.text) {
                continue;
            }
            if keys.later.contains(&&*key.text) {
                out.add(unsupported(key.span, &key.text).secret(is_secret_key(&key.text)));
                continue;
            }
            let help = belongs_elsewhere(keys.what, &key.text)
                .map_or_else(|| suggest(&key.text, keys.known.iter().copied()), str::to_owned);
            let message = format!("unknown key `{}` in {}", key.text, keys.what);
            out.add(Problem::error("unknown_key", key.span, message).help(help).secret(is_secret_key(&key.text)));
        }
        Some(Self { span: node.span, keys, pairs })
    }

    /// The value of a key; a key without a value is reported.
    pub fn get(&self, name: &'static str, out: &mut Report) -> Option<&'n Node> {
        let (key, node) = self.pair(name)?;
        if node.kind == Kind::Null {
            out.add(
                Problem::error("no_value", key.span, format!("`{name}` has no value"))
                    .help("give it one or leave the key out"),
            );
            return None;
        }
        Some(node)
    }

    /// The value of a key that may be `null`, which is the same as leaving it out.
    pub fn get_nullable(&self, name: &'static str) -> Option<&'n Node> {
        self.pair(name).map(|(_, node)| node).filter(|node| node.kind != Kind::Null)
    }

    /// The value of a key that must be there.
    pub fn required(&self, name: &'static str, out: &mut Report) -> Option<&'n Node> {
        if self.pair(name).is_none() {
            let message = format!("{} needs `{name}`", self.keys.what);
            out.add(Problem::error("missing_key", self.span, message));
        }
        self.get(name, out)
    }

    /// Whether the key is there at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.pair(name).is_some()
    }

    /// Where a key stands.
    #[must_use]
    pub fn key_span(&self, name: &str) -> Option<Span> {
        self.pair(name).map(|(key, _)| key.span)
    }

    /// Whether it has no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn pair(&self, name: &str) -> Option<&'n (Key, Node)> {
        debug_assert!(self.keys.known.contains(&name), "`{name}` is not declared as a key of {}", self.keys.what);
        self.pairs.iter().find(|(key, _)| &*key.text == name)
    }
}

/// The problem of something that a later version has.
#[must_use]
pub fn unsupported(span: Span, what: &str) -> Problem {
    Problem::error("not_supported_yet", span, format!("`{what}` is not supported by this version yet"))
        .help("take it out: nothing is ever silently ignored")
}

/// "did you mean `x`?" where a name is near, else the names there are.
#[must_use]
pub fn suggest<'s>(written: &str, names: impl Iterator<Item = &'s str> + Clone) -> String {
    let lower = written.to_ascii_lowercase();
    let begun = names.clone().filter(|name| lower.len() >= 3 && name.to_ascii_lowercase().starts_with(&lower));
    if begun.clone().nth(1).is_some() {
        return format!("did you mean {}?", one_of(begun));
    }
    let near = names
        .clone()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_ascii_lowercase()), name))
        .filter(|(distance, name)| is_near(&lower, &name.to_ascii_lowercase(), *distance))
        .min();
    match near {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None => match one_of(names) {
            list if list.is_empty() => "there is none".to_owned(),
            list => format!("use {list}"),
        },
    }
}

/// Few slips for the length of the word, or the beginning of the name; anything more would be guessing.
fn is_near(written: &str, name: &str, distance: usize) -> bool {
    let length = written.len().min(name.len());
    let slips = match length {
        0 => 0,
        1..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    let begins = |long: &str, short: &str| short.len() >= 3 && long.starts_with(short);
    distance <= slips && distance < length || begins(name, written) || begins(written, name)
}

/// "`a`, `b` or `c`".
#[must_use]
pub fn one_of<'s>(names: impl Iterator<Item = &'s str>) -> String {
    let quoted: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
    }
}

/// What a node is, for "expected …, found …".
struct Found<'n>(&'n Node);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            Kind::Null => f.write_str("nothing"),
            Kind::Scalar { text, .. } if text.chars().count() > 40 => f.write_str("a long text"),
            Kind::Scalar { text, plain: true } => write!(f, "`{}`", text.escape_debug()),
            Kind::Scalar { text, plain: false } => write!(f, "`\"{}\"`", text.escape_debug()),
            Kind::List(items) if items.is_empty() => f.write_str("an empty list"),
            Kind::List(_) => f.write_str("a list"),
            Kind::Map(_) => f.write_str("a mapping"),
        }
    }
}

/// The problem of a value of the wrong shape.
#[must_use]
pub fn expected(node: &Node, what: &str) -> Problem {
    Problem::error("wrong_type", node.span, format!("expected {what}, found {}", Found(node)))
}

/// A mapping's pairs, whatever its keys.
pub fn mapping<'n>(node: &'n Node, what: &str, out: &mut Report) -> Option<&'n [(Key, Node)]> {
    match &node.kind {
        Kind::Map(pairs) => Some(pairs),
        Kind::Null | Kind::Scalar { .. } | Kind::List(_) => {
            out.add(expected(node, &format!("{what} as a mapping")));
            None
        }
    }
}

/// A list that is not empty.
pub fn list<'n>(node: &'n Node, what: &str, out: &mut Report) -> Option<&'n [Node]> {
    match &node.kind {
        Kind::List(items) if items.is_empty() => {
            out.add(
                Problem::error("empty_list", node.span, format!("expected {what}, found an empty list"))
                    .help("name at least one, or leave the key out"),
            );
            None
        }
        Kind::List(items) => Some(items),
        Kind::Scalar { text, .. } => {
            out.add(expected(node, what).help(format!("write `[{text}]`")));
            None
        }
        Kind::Map(_) => {
            out.add(expected(node, what).help("put it into a list: `[ { .. } ]`"));
            None
        }
        Kind::Null => {
            out.add(expected(node, what));
            None
        }
    }
}

/// Text that is not empty and has no control characters.
pub fn text<'n>(node: &'n Node, what: &str, out: &mut Report) -> Option<&'n str> {
    let Kind::Scalar { text, .. } = &node.kind else {
        out.add(expected(node, what));
        return None;
    };
    if text.is_empty() {
        out.add(Problem::error("empty_text", node.span, format!("an empty text where {what} is needed")));
        return None;
    }
    if text.chars().any(char::is_control) {
        out.add(Problem::error("control_character", node.span, format!("a control character in {what}")));
        return None;
    }
    Some(text)
}

/// A list, not empty, of texts, each not empty and no two the same.
pub fn texts(node: &Node, what: &str, out: &mut Report) -> Option<Box<[Box<str>]>> {
    let mut values: Vec<Box<str>> = Vec::new();
    let mut complete = true;
    for item in list(node, what, out)? {
        match text(item, "a text", out) {
            Some(value) if values.iter().any(|known| **known == *value) => {
                out.add(Problem::error("duplicate_value", item.span, format!("`{value}` stands twice in this list")));
            }
            Some(value) => values.push(value.into()),
            None => complete = false,
        }
    }
    complete.then(|| values.into())
}

/// The plain word, if a node is one.
#[must_use]
pub fn word(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Scalar { text, plain: true } => Some(text),
        Kind::Scalar { .. } | Kind::Null | Kind::List(_) | Kind::Map(_) => None,
    }
}

/// The text, if a node is one, with or without quotes.
#[must_use]
pub fn word_or_text(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(text),
        Kind::Null | Kind::List(_) | Kind::Map(_) => None,
    }
}

/// `true` or `false`, without quotes.
pub fn switch(node: &Node, out: &mut Report) -> Option<bool> {
    let found = match word(node) {
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) | None => None,
    };
    if found.is_none() {
        out.add(expected(node, "`true` or `false`"));
    }
    found
}

/// One of a few words, with or without quotes.
pub fn choice<T: Copy>(node: &Node, words: &[(&str, T)], out: &mut Report) -> Option<T> {
    let written = match &node.kind {
        Kind::Scalar { text, .. } => Some(&**text),
        Kind::Null | Kind::List(_) | Kind::Map(_) => None,
    };
    let found = words.iter().find(|(name, _)| Some(*name) == written);
    if found.is_none() {
        out.add(expected(node, &one_of(words.iter().map(|(name, _)| *name))));
    }
    found.map(|(_, value)| *value)
}

/// A whole number of decimal digits within bounds.
pub fn whole(node: &Node, bounds: std::ops::RangeInclusive<u64>, what: &str, out: &mut Report) -> Option<u64> {
    let digits = word(node).filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(number) = digits.and_then(|digits| digits.parse::<u64>().ok()) else {
        out.add(expected(node, what));
        return None;
    };
    if !bounds.contains(&number) {
        out.add(Problem::error("out_of_range", node.span, format!("`{number}` is out of range: expected {what}")));
        return None;
    }
    Some(number)
}

/// A duration with its unit.
pub fn duration(node: &Node, out: &mut Report) -> Option<Duration> {
    measured(node, "a duration", units::duration, units::DURATION_HELP, out)
}

/// A duration with its unit that is not nothing.
pub fn positive(node: &Node, out: &mut Report) -> Option<Duration> {
    let duration = duration(node, out)?;
    if duration.is_zero() {
        out.add(Problem::error("out_of_range", node.span, "nothing can be done in no time"));
        return None;
    }
    Some(duration)
}

/// A size with its unit, in bytes.
pub fn size(node: &Node, out: &mut Report) -> Option<u64> {
    measured(node, "a size", units::size, units::SIZE_HELP, out)
}

fn measured<T>(
    node: &Node,
    what: &str,
    read: fn(&str) -> Result<T, units::Mistake>,
    help: &str,
    out: &mut Report,
) -> Option<T> {
    let Kind::Scalar { text, .. } = &node.kind else {
        out.add(expected(node, what).help(help));
        return None;
    };
    match read(text) {
        Ok(value) => Some(value),
        Err(mistake) => {
            out.add(Problem::error("bad_unit", node.span, format!("`{text}` is not {what}: {mistake}")).help(help));
            None
        }
    }
}
