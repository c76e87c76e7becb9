//! The tree back to YAML text: the same tree when it is read again, whatever the first text looked like.

use crate::config::yaml::{Kind, Node};

/// A tree as YAML, without comments: one line a key, lists of texts on one line.
#[must_use]
pub fn yaml(node: &Node) -> String {
    let mut text = String::new();
    match &node.kind {
        Kind::Map(pairs) if !pairs.is_empty() => block(node, 0, &mut text),
        Kind::Null | Kind::Scalar { .. } | Kind::List(_) | Kind::Map(_) => {
            text.push_str(&inline(node));
            text.push('\n');
        }
    }
    text
}

/// A text as it can stand anywhere in YAML.
#[must_use]
pub fn text(text: &str) -> String {
    scalar(text, is_word(text))
}

/// A tree as YAML on one line.
#[must_use]
pub fn line(node: &Node) -> String {
    inline(node)
}

fn block(node: &Node, depth: usize, text: &mut String) {
    let Kind::Map(pairs) = &node.kind else { return };
    for (key, node) in pairs {
        let name = scalar(&key.text, is_word(&key.text));
        match &node.kind {
            Kind::Map(inner) if !inner.is_empty() && !is_small(node) => {
                text.push_str(&format!("{:depth$}{name}:\n", ""));
                block(node, depth.saturating_add(2), text);
            }
            Kind::Null | Kind::Scalar { .. } | Kind::List(_) | Kind::Map(_) => {
                text.push_str(&format!("{:depth$}{name}: {}\n", "", inline(node)));
            }
        }
    }
}

/// A mapping of texts that reads well on one line.
fn is_small(node: &Node) -> bool {
    let Kind::Map(pairs) = &node.kind else { return false };
    let text = |node: &Node| matches!(node.kind, Kind::Scalar { .. } | Kind::Null);
    let flat = pairs.iter().all(|(_, node)| match &node.kind {
        Kind::List(items) => items.iter().all(text),
        Kind::Null | Kind::Scalar { .. } | Kind::Map(_) => text(node),
    });
    flat && pairs.len() <= 4 && inline(node).len() <= 100
}

fn inline(node: &Node) -> String {
    match &node.kind {
        Kind::Null => "null".to_owned(),
        Kind::Scalar { text, plain } => scalar(text, *plain && is_plain(text)),
        Kind::List(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Kind::Map(pairs) if pairs.is_empty() => "{}".to_owned(),
        Kind::Map(pairs) => {
            let pair = |key: &str, node: &Node| format!("{}: {}", scalar(key, is_word(key)), inline(node));
            let pairs: Vec<String> = pairs.iter().map(|(key, node)| pair(&key.text, node)).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

fn scalar(text: &str, plain: bool) -> String {
    if plain { text.to_owned() } else { quoted(text) }
}

/// Whether a text that once stood without quotes can stand so anywhere: what is a number, a switch or a keyword can.
fn is_plain(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+');
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '/') && text.chars().all(inner)
        || text
            .strip_prefix('-')
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

/// Whether a key is a word that nothing else could be meant by.
fn is_word(text: &str) -> bool {
    let letters = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    letters && !text.eq_ignore_ascii_case("null")
}

/// In double quotes, with the escapes that JSON and YAML share.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if (c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')) && u32::from(c) <= 0xffff => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::problem::Report;
    use crate::config::source::{SourceFile, Sources, Span};
    use crate::config::yaml::{self, Key};

    /// The tree without its places.
    fn bare(node: &Node) -> Node {
        let span = Span { file: Sources::default().add(file("")), start: 0, end: 0 };
        let kind = match &node.kind {
            Kind::List(items) => Kind::List(items.iter().map(bare).collect()),
            Kind::Map(pairs) => {
                Kind::Map(pairs.iter().map(|(key, node)| (Key { text: key.text.clone(), span }, bare(node))).collect())
            }
            // Quotes matter only where a number, a switch or a keyword may be meant.
            Kind::Scalar { text, plain } => Kind::Scalar { text: text.clone(), plain: *plain && is_plain(text) },
            Kind::Null => Kind::Null,
        };
        Node { span, kind }
    }

    fn file(text: &str) -> SourceFile {
        SourceFile { name: "f".into(), folder: ".".into(), text: text.into() }
    }

    fn read(text: &str) -> Option<Node> {
        let (mut sources, mut out) = (Sources::default(), Report::default());
        let id = sources.add(file(text));
        yaml::parse(id, text, &mut out).filter(|_| !out.has_errors())
    }

    fn comes_back(text: &str) {
        let Some(node) = read(text) else { return };
        let written = yaml(&node);
        let again = read(&written).unwrap_or_else(|| panic!("{written:?} of {text:?}"));
        assert_eq!(bare(&again), bare(&node), "{written}");
    }

    #[test]
    fn what_is_written_is_the_same_tree_again() {
        for text in [
            "a: 1\nb: \"1\"\nc: [x, 'y: z', -3, \"\"]\nd: { e: { f: [ { g: null } ] } }\n",
            "\"~\": \"# no comment\"\n\"\": { \"null\": 'it''s' }\n",
            "a: |\n  two\n  lines\nb: >\n  folded\n  text\n",
            "x: \"\\u0007\\u0085\\u2028\\ttab ä 😀\"\n",
        ] {
            comes_back(text);
        }
        for profile in crate::config::profile::ALL {
            comes_back(profile.text);
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back_as_itself(text in "\\PC{0,30}") {
            let node = Node { span: read("a: b").unwrap().span, kind: Kind::Scalar { text: text.clone().into(), plain: false } };
            comes_back(&format!("k: {}\n", inline(&node)));
            let again = read(&format!("{}: {}\n", scalar(&text, is_word(&text)), inline(&node))).unwrap();
            let Kind::Map(pairs) = again.kind else { panic!("a mapping") };
            prop_assert_eq!(&*pairs[0].0.text, &*text);
            prop_assert_eq!(&pairs[0].1.kind, &Kind::Scalar { text: text.into(), plain: false });
        }

        #[test]
        fn any_yaml_comes_back_as_the_same_tree(text in "([-:?,\\[\\]{}#\r\n\ta~<é1.'\"]|: |- |\n  ){0,40}") {
            comes_back(&text);
        }
    }
}
