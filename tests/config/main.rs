//! The files of `tests/config`: what is valid loads, and each invalid file is refused with the words beside it.
//!
//! `UPDATE=1 cargo test --test config` writes those words anew; read the difference before committing it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::disallowed_methods, reason = "test code")]

use std::fs;
use std::path::{Path, PathBuf};

use stepgate::cli::render::human;
use stepgate::cli::test::{TestArgs, test};
use stepgate::config::{Rejected, SourceFile, load_policy, load_settings};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    paths
}

fn source(path: &Path) -> SourceFile {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    SourceFile { name, folder: "policies".into(), text: fs::read_to_string(path).unwrap() }
}

#[test]
fn every_valid_file_is_taken_without_a_word() {
    for path in files("valid") {
        match load_policy(vec![source(&path)]) {
            Ok(loaded) => assert_eq!(loaded.lints, [], "{}", path.display()),
            Err(rejected) => panic!("{}", rejected.lines().join("\n")),
        }
    }
}

#[test]
fn every_invalid_file_is_refused_with_the_words_beside_it() {
    compare("invalid", |path| load_policy(vec![source(path)]).map(|_| ()).map_err(|rejected| *rejected));
}

fn compare(folder: &str, load: impl Fn(&Path) -> Result<(), Rejected>) {
    let update = std::env::var_os("UPDATE").is_some();
    let mut different = Vec::new();
    for path in files(folder) {
        let said = match load(&path) {
            Ok(()) => panic!("{} was taken", path.display()),
            Err(rejected) => human(&rejected.problems, &rejected.sources, false),
        };
        let beside = path.with_extension("txt");
        if update {
            fs::write(&beside, &said).unwrap();
        } else if fs::read_to_string(&beside).unwrap_or_default() != said {
            different.push(format!("{}:\n{said}", path.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn every_shipped_example_is_taken_without_a_word_and_keeps_its_promises() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/examples");
    for folder in stepgate::cli::files::find(&examples).unwrap() {
        let loaded = load_policy(folder.policies.iter().map(|path| source(path)).collect());
        let lines = loaded.map_or_else(
            |rejected| rejected.lines(),
            |loaded| loaded.lints.iter().map(|lint| lint.line(&loaded.sources)).collect(),
        );
        assert_eq!(lines, Vec::<String>::new(), "{}", folder.path.display());
    }
    let tally = test(&TestArgs { dir: examples, filter: None }).unwrap();
    assert_eq!((tally.failed, tally.broken), (0, 0), "{}", tally.text);
    assert!(tally.passed > 50);
}

#[test]
fn every_settings_file_is_taken_or_refused_with_the_words_beside_it() {
    for path in files("settings/valid") {
        let loaded = load_settings(source(&path)).unwrap_or_else(|rejected| panic!("{}", rejected.lines().join("\n")));
        assert_eq!(loaded.lints, [], "{}", path.display());
    }
    let refused = |path: &Path| load_settings(source(path)).map(|_| ()).map_err(|rejected| *rejected);
    compare("settings/invalid", refused);
}
