//! What the table says of lints holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::found;
use crate::config::SourceFile;
use crate::config::lints::{Found, all, find};

#[test]
fn each_example_is_of_its_own_lint_and_of_no_other() {
    for lint in all() {
        let codes: Vec<&str> = match lint.found {
            Found::Policy => found(lint.example, false).iter().map(|problem| problem.code).collect(),
            Found::Settings => found(lint.example, true).iter().map(|problem| problem.code).collect(),
            Found::Surroundings => continue,
            // `cli::check::online` has a provider to ask.
            Found::Online => continue,
        };
        assert_eq!(codes, [lint.name]);
    }
}

#[test]
fn each_example_is_taken_without_a_word_when_it_is_silenced_there() {
    for lint in
        all().filter(|lint| matches!(lint.found, Found::Policy | Found::Settings) && !lint.name.starts_with("silence_"))
    {
        let settings = lint.found == Found::Settings;
        let (mut sources, said) = (crate::config::Sources::default(), found(lint.example, settings));
        sources.add(SourceFile { name: "example.yaml".into(), folder: ".".into(), text: lint.example.into() });
        let line = sources.position(said[0].span).line;
        let mut lines: Vec<&str> = lint.example.lines().collect();
        let silence = format!("# stepgate: allow {} because this is an example", lint.name);
        lines.insert(line - 1, &silence);
        assert_eq!(found(&format!("{}\n", lines.join("\n")), settings), [], "{}", lint.name);
    }
}

#[test]
fn the_names_are_each_there_once_and_the_words_are_words() {
    let names: BTreeSet<&str> = all().map(|lint| lint.name).collect();
    assert_eq!(names.len(), all().count());
    for lint in all() {
        let lower = lint.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(lower && !lint.meaning.ends_with('.') && lint.meaning.len() <= 90, "{}", lint.name);
        assert!(lint.why.ends_with('.') && lint.remedy.ends_with('.'), "{}", lint.name);
        assert_eq!(find(lint.name), Some(lint));
    }
    assert_eq!(find("unknown_key"), None, "an error is no lint");
}

#[test]
fn every_lint_that_the_program_says_is_in_the_table_and_every_one_there_is_said() {
    let (mut said, mut folders) = (BTreeSet::new(), vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(path).unwrap();
                let text = text.split("#[cfg(test)]").next().unwrap();
                let names = text.split("lint(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
                said.extend(names.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
            }
        }
    }
    let listed: BTreeSet<String> = all().map(|lint| lint.name.to_owned()).collect();
    assert_eq!(said, listed, "give each lint an entry and an example: src/config/lints/entries");
}
