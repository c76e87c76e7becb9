//! `hints` of a profile: by the codes of reasons, one line each for the operator.

use crate::config::problem::{Problem, Report};
use crate::config::reader;
use crate::config::yaml::{Key, Node};
use crate::reason::{Hints, Reason};

/// Reads them. Those that are wrong are reported and left out.
pub fn read(node: &Node, out: &mut Report) -> Hints {
    let written = reader::mapping(node, "`hints`", out).unwrap_or_default();
    let hint = |(key, node): &(Key, Node)| {
        let reason = Reason::from_code(&key.text);
        if reason.is_none() {
            let help = reader::suggest(&key.text, Reason::ALL.iter().map(|reason| reason.code()));
            out.add(Problem::error("unknown_reason", key.span, format!("unknown reason `{}`", key.text)).help(help));
        }
        Some((reason?, reader::text(node, "a hint of one line", out)?.into()))
    };
    written.iter().filter_map(hint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::{SourceFile, Sources};
    use crate::config::yaml;

    fn hints(text: &str) -> Result<Hints, Vec<String>> {
        let (mut sources, mut out) = (Sources::default(), Report::default());
        let file = SourceFile { name: "x.yaml".into(), folder: "".into(), text: text.to_owned() };
        let root = yaml::parse(sources.add(file), text, &mut out).unwrap();
        let hints = read(&root, &mut out);
        let problems: Vec<String> = out.into_problems().into_iter().map(|problem| problem.message).collect();
        if problems.is_empty() { Ok(hints) } else { Err(problems) }
    }

    #[test]
    fn hints_are_by_reason_and_one_line_each() {
        let hints_of_two = hints("{ amr_missing: look there, expired: \"and: there\" }").unwrap();
        let all: Vec<(Reason, &str)> = hints_of_two.iter().collect();
        assert_eq!(all, [(Reason::Expired, "and: there"), (Reason::AmrMissing, "look there")]);
        for (wrong, said) in [
            ("{ amr_mising: x }", "unknown reason `amr_mising`"),
            ("{ expired: \"\" }", "an empty text"),
            ("{ expired: \"a\\nb\" }", "a control character"),
            ("{ expired: [a] }", "a hint of one line"),
            ("[expired]", "`hints` as a mapping"),
        ] {
            let problems = hints(wrong).unwrap_err();
            assert!(problems.iter().any(|problem| problem.contains(said)), "{wrong}: {problems:?}");
        }
    }
}
