//! YAML text to a tree in which every value knows its place.
//!
//! Scalars stay text: what `no`, `1e3` or `1.10` mean is decided by whoever asks for a string, a number or a switch.
//! Duplicate keys, anchors, aliases, tags, merge keys and second documents are refused, and size and depth are bounded
//! before anything is built.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::config::places::{Places, first_line};
use crate::config::problem::{Problem, Report};
use crate::config::source::{FileId, Span};

/// The longest file, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// How deep a file may nest.
pub const MAX_DEPTH: usize = 32;
/// How many values and keys a file may have.
pub const MAX_NODES: usize = 100_000;

/// How many keys of one mapping are compared pair by pair.
const FEW: usize = 8;

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it stands; of a collection that spans lines, its first line.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// Text. `plain`: without quotes and not a block, so that it may be meant as a number, a switch or a keyword.
    Scalar {
        /// The text, unquoted.
        text: Box<str>,
        /// Whether it stood there without quotes.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping: keys in the order in which they stand, each once.
    Map(Vec<(Key, Node)>),
}

/// A key and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub text: Box<str>,
    /// Where it stands.
    pub span: Span,
}

impl Node {
    /// The value of a key, if this is a mapping that has it.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map(pairs) => pairs.iter().find(|(key, _)| *key.text == *name).map(|(_, node)| node),
            Kind::Null | Kind::Scalar { .. } | Kind::List(_) => None,
        }
    }
}

/// Reads one document. What is wrong is added to `out`; `None` when nothing could be read.
#[must_use]
pub fn parse(file: FileId, text: &str, out: &mut Report) -> Option<Node> {
    let places = Places::new(file, text);
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, more than the {MAX_BYTES} that are read", text.len());
        out.add(Problem::error("file_too_large", places.at(0, 0), message));
        return None;
    }
    let mut builder = Builder { places, out, open: Vec::new(), root: None, nodes: 0, documents: 0, broken: false };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => {
                let span = builder.places.span(span.start, span.end);
                builder.take(event, span)?;
            }
            Err(error) => {
                let at = builder.places.marker(error.marker());
                match builder.places.tab_near(error.marker()) {
                    Some(tab) => builder.tab(tab),
                    None => {
                        let span = builder.places.at(at, at);
                        builder.fail("yaml_syntax", span, format!("not valid YAML: {}", error.info()));
                    }
                }
                return None;
            }
        }
    }
    builder.root.filter(|_| !builder.broken)
}

/// A collection that is being read.
enum Open {
    List(Span, Vec<Node>),
    /// The key whose value comes next, if it was read already.
    Map(Span, Vec<(Key, Node)>, Option<Key>),
}

struct Builder<'t, 'o> {
    places: Places<'t>,
    out: &'o mut Report,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
    /// Whether a value is not what was written, so that nothing more should be said of it.
    broken: bool,
}

impl Builder<'_, '_> {
    fn fail(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.broken = true;
        self.out.add(Problem::error(code, span, message));
    }

    fn tab(&mut self, span: Span) {
        self.broken = true;
        let message = "a tab in the indentation, which YAML does not allow";
        self.out.add(Problem::error("yaml_tab", span, message).help("use spaces"));
    }

    /// Takes one event; `None` when reading on makes no sense.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Some(()),
            Event::DocumentStart(_) => {
                self.documents = self.documents.saturating_add(1);
                if self.documents > 1 {
                    self.fail("yaml_documents", span, "a second document in one file is not supported");
                    return None;
                }
                Some(())
            }
            Event::Alias(_) => {
                self.fail("yaml_alias", span, "aliases are not supported; write the value out");
                self.add(Node { span, kind: Kind::Null })
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.check_marks(span, anchor, tag.is_some());
                let plain = style == ScalarStyle::Plain;
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                // A copy of its own length: to cut the parser's text to it costs more, for that piece and for the next ones.
                let kind = if null { Kind::Null } else { Kind::Scalar { text: Box::from(&*text), plain } };
                self.add(Node { span, kind })
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_marks(span, anchor, tag.is_some());
                self.begin(Open::List(span, Vec::new()), span)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_marks(span, anchor, tag.is_some());
                self.begin(Open::Map(span, Vec::new(), None), span)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let node = match self.open.pop()? {
                    Open::List(start, items) => Node { span: self.whole(start, span), kind: Kind::List(items) },
                    Open::Map(start, pairs, _) => {
                        Node { span: self.whole(start, span), kind: Kind::Map(self.unique(pairs)) }
                    }
                };
                self.add(node)
            }
        }
    }

    /// From the first character of a collection to its end, or the end of its first line.
    fn whole(&self, start: Span, end: Span) -> Span {
        let inside = self.places.text.get(start.start..end.end).unwrap_or_default();
        self.places.at(start.start, start.start.saturating_add(first_line(inside).len()).max(start.end))
    }

    fn check_marks(&mut self, span: Span, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.fail("yaml_anchor", span, "anchors are not supported; write the value out where it is meant");
        }
        if tagged {
            self.fail("yaml_tag", span, "tags are not supported; quote a value that is meant as text");
        }
    }

    fn count(&mut self, span: Span) -> Option<()> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > MAX_NODES {
            self.fail("file_too_large", span, format!("the file has more than {MAX_NODES} values"));
            return None;
        }
        Some(())
    }

    fn begin(&mut self, open: Open, span: Span) -> Option<()> {
        self.count(span)?;
        if self.open.len() >= MAX_DEPTH {
            self.fail("yaml_depth", span, format!("nested deeper than {MAX_DEPTH} levels"));
            return None;
        }
        if let Some(Open::Map(_, _, None)) = self.open.last() {
            self.fail("yaml_key", span, "a key must be plain text, not a list or a mapping");
            return None;
        }
        self.open.push(open);
        Some(())
    }

    fn add(&mut self, node: Node) -> Option<()> {
        self.count(node.span)?;
        if matches!(self.open.last(), Some(Open::Map(_, _, None))) {
            let read = self.key(node)?;
            if let Some(Open::Map(_, _, key)) = self.open.last_mut() {
                *key = Some(read);
            }
            return Some(());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, pairs, key)) => pairs.extend(key.take().map(|key| (key, node))),
        }
        Some(())
    }

    fn key(&mut self, node: Node) -> Option<Key> {
        match node.kind {
            Kind::Scalar { text, plain } if plain && *text == *"<<" => {
                self.fail("yaml_merge", node.span, "merge keys are not supported; write the values out");
                None
            }
            Kind::Scalar { text, .. } => Some(Key { text, span: node.span }),
            Kind::Null | Kind::List(_) | Kind::Map(_) => {
                self.fail("yaml_key", node.span, "a key must be text");
                None
            }
        }
    }

    /// Of keys that stand twice the first one stays, so that what is said of the rest is said of something.
    fn unique(&mut self, pairs: Vec<(Key, Node)>) -> Vec<(Key, Node)> {
        // Most mappings have a few keys, which are compared sooner than put into a table.
        if pairs.len() <= FEW {
            let keys = || pairs.iter().map(|(key, _)| &*key.text);
            if !keys().enumerate().any(|(place, key)| keys().take(place).any(|earlier| earlier == key)) {
                return pairs;
            }
        }
        let mut seen: HashMap<Box<str>, Span> = HashMap::with_capacity(pairs.len());
        let mut once = Vec::with_capacity(pairs.len());
        for (key, node) in pairs {
            match seen.get(&key.text) {
                Some(first) => {
                    let problem =
                        Problem::error("duplicate_key", key.span, format!("the key `{}` stands twice", key.text));
                    self.out.add(problem.label("again here").related(*first, "first here"));
                }
                None => {
                    seen.insert(key.text.clone(), key.span);
                    once.push((key, node));
                }
            }
        }
        once
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::source::{SourceFile, Sources};

    fn read(text: &str) -> (Option<Node>, Vec<String>) {
        let mut sources = Sources::default();
        let file = sources.add(SourceFile { name: "f".into(), folder: ".".into(), text: text.into() });
        let mut out = Report::default();
        let node = parse(file, text, &mut out);
        (node, out.into_problems().iter().map(|problem| problem.line(&sources)).collect())
    }

    fn refused(text: &str) -> String {
        read(text).1.join("\n")
    }

    #[test]
    fn scalars_stay_text_and_know_their_quotes() {
        let (node, problems) =
            read("a: [no, on, 1e3, 1.10, 'x', \"null\", null, ~, , é: 1]\n".replace(", ,", ",").as_str());
        assert!(problems.is_empty(), "{problems:?}");
        let Kind::Map(pairs) = node.unwrap().kind else { panic!("a mapping") };
        let Kind::List(items) = &pairs[0].1.kind else { panic!("a list") };
        let text = |text: &str, plain| Kind::Scalar { text: text.into(), plain };
        let kinds: Vec<Kind> = items[..8].iter().map(|item| item.kind.clone()).collect();
        let plain = ["no", "on", "1e3", "1.10"].map(|value| text(value, true));
        assert_eq!(kinds[..4], plain);
        assert_eq!(kinds[4..], [text("x", false), text("null", false), Kind::Null, Kind::Null]);
    }

    #[test]
    fn places_hold_after_what_is_not_ascii() {
        let text = "# ünï€\r\nkey: 'ä' # ö\r\nnext:\n  - ß: fünf\n";
        let (node, _) = read(text);
        let Kind::Map(pairs) = node.unwrap().kind else { panic!("a mapping") };
        let slice = |span: Span| text.get(span.start..span.end).unwrap();
        assert_eq!((slice(pairs[0].0.span), slice(pairs[0].1.span)), ("key", "'ä'"));
        let Kind::List(items) = &pairs[1].1.kind else { panic!("a list") };
        let Kind::Map(inner) = &items[0].kind else { panic!("a mapping") };
        assert_eq!((slice(inner[0].0.span), slice(inner[0].1.span)), ("ß", "fünf"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (text, says) in [
            ("a: 1\nb: 2\na: 3\n", "f:3:1: the key `a` stands twice"),
            ("a: &x 1\nb: *x\n", "anchors are not supported"),
            ("a: *x\n", "not valid YAML"),
            ("a: !!str 1\n", "tags are not supported"),
            ("a: {<<: {b: 1}}\n", "merge keys are not supported"),
            ("a: 1\n---\nb: 2\n", "second document"),
            ("? [a, b]\n: 1\n", "a key must be"),
            ("~: 1\n", "a key must be text"),
            ("a: [1\n", "not valid YAML"),
        ] {
            assert!(refused(text).contains(says), "{text:?} says {:?}", refused(text));
        }
        let deep = format!("{}{}", "[".repeat(33), "]".repeat(33));
        assert!(refused(&deep).contains("nested deeper than 32"));
        assert!(read(&format!("{}{}", "[".repeat(32), "]".repeat(32))).1.is_empty());
        assert!(refused(&"a".repeat(MAX_BYTES + 1)).contains("bytes, more than"));
        assert!(refused(&format!("[{}]", "1,".repeat(MAX_NODES))).contains("more than 100000 values"));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,60}") {
            read(&text);
        }

        #[test]
        fn no_mix_of_yaml_marks_makes_it_panic(text in "([-:?,\\[\\]{}&*!|>'\"%@` #\r\n\ta~<é]|: |- |\n  |\\? ){0,40}") {
            if let (Some(node), _) = read(&text) {
                prop_assert!(text.get(node.span.start..node.span.end).is_some());
            }
        }
    }
}
