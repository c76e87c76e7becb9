//! The files of `tests/config`: what is valid loads, and each invalid file is refused with the words beside it.
//!
//! `UPDATE=1 cargo test --test config` writes those words anew; read the difference before committing it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::disallowed_methods, reason = "test code")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use stepgate::cli::render::{human, json};
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

#[test]
fn no_secret_is_ever_said() {
    let refused = |path: &str, load: &dyn Fn(SourceFile) -> Rejected| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(path);
        let rejected = load(source(&path));
        let json = json(&rejected.problems, &rejected.sources).iter().map(ToString::to_string).collect::<String>();
        let said = [human(&rejected.problems, &rejected.sources, false), json, rejected.lines().join("\n")];
        for said in said {
            assert!(!said.contains("hunter2") && !said.contains("ter2"), "{said}");
        }
    };
    refused("settings/invalid/secrets.yaml", &|file| *load_settings(file).unwrap_err());
    refused("invalid/secrets.yaml", &|file| *load_policy(vec![file]).unwrap_err());
    refused("invalid/secret_in_broken_yaml.yaml", &|file| *load_policy(vec![file]).unwrap_err());
}

#[test]
fn every_linted_file_is_taken_with_the_words_beside_it() {
    compare("linted", |path| {
        let loaded =
            load_policy(vec![source(path)]).unwrap_or_else(|rejected| panic!("{}", rejected.lines().join("\n")));
        if loaded.lints.is_empty() {
            return Ok(());
        }
        Err(Rejected { problems: loaded.lints, sources: loaded.sources })
    });
}

fn compare(folder: &str, load: impl Fn(&Path) -> Result<(), Rejected>) {
    let update = std::env::var_os("UPDATE").is_some();
    let mut different = Vec::new();
    for path in files(folder) {
        let said = match load(&path) {
            Ok(()) => panic!("{} was taken without a word", path.display()),
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

fn stepgate(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepgate"));
    let output = command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_shipped_example_is_taken_without_a_word_and_keeps_its_promises() {
    let (code, out, err) = stepgate(&["check", "policies"]);
    assert!(out.ends_with("checked: 0 errors, 0 lints\n") && code == Some(0), "{out}{err}");
    let (code, out, err) = stepgate(&["test", "policies"]);
    assert!(out.ends_with(" passed, 0 failed\n") && code == Some(0), "{out}{err}");
}

#[test]
fn check_says_by_its_exit_code_what_it_found() {
    let (code, out, _) = stepgate(&["check", "tests/config/cli/broken"]);
    assert!(out.contains("unknown level `strong`") && out.ends_with("1 error, 0 lints\n"), "{out}");
    assert_eq!(code, Some(1));
    let (code, out, _) = stepgate(&["check", "tests/config/cli/linted"]);
    assert!(out.contains("fall to the weaker route") && out.ends_with("0 errors, 1 lint\n"), "{out}");
    assert_eq!(code, Some(0), "a lint is no reason to fail");
    let (code, out, err) = stepgate(&["check", "tests/config/cli/nowhere"]);
    assert!(out.is_empty() && err.contains("nowhere"), "{out}{err}");
    assert_eq!(code, Some(2));
}

#[test]
fn check_as_json_puts_nothing_else_on_standard_output() {
    let (code, out, _) = stepgate(&["check", "tests/config/cli/broken", "--format", "json"]);
    let problems: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, Some(1));
    assert_eq!(problems.as_array().map(Vec::len), Some(1), "{out}");
    let expected = serde_json::json!({
        "severity": "error", "code": "unknown_level", "file": "tests/config/cli/broken/policy.yaml",
        "line": 8, "column": 55, "end_line": 8, "end_column": 61,
        "message": "unknown level `strong`",
        "help": "use `single-factor`, `multi-factor`, `phishing-resistant` or `hardware-protected`",
        "related": [],
    });
    assert_eq!(problems.pointer("/0"), Some(&expected), "{out}");
}

#[test]
fn check_holds_a_policy_against_the_settings() {
    let (code, out, _) =
        stepgate(&["check", "tests/config/cli/upstreams", "--config", "tests/config/cli/stepgate.yaml"]);
    assert!(out.contains("unknown upstream `legder`") && out.contains("did you mean `ledger`?"), "{out}");
    assert!(out.contains("does not say where it leads") && out.contains("is not `https`"), "{out}");
    assert_eq!(code, Some(1));
    let (code, out, _) = stepgate(&["check", "tests/config/cli/upstreams"]);
    assert!(out.contains("allow_http") && out.ends_with("0 errors, 1 lint\n"), "{out}");
    assert_eq!(code, Some(0));
}

#[test]
fn test_names_the_cases_that_came_out_otherwise() {
    let (code, out, _) = stepgate(&["test", "tests/config/cli/promises"]);
    let (read, words) = ("tests/config/cli/promises/policy.test.yaml", "tests/config/cli/promises.txt");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(root.join(words), &out).unwrap();
    }
    assert!(out.contains(read));
    assert_eq!(out, fs::read_to_string(root.join(words)).unwrap());
    assert_eq!(code, Some(1));
    let (code, out, _) = stepgate(&["test", "tests/config/cli/promises", "--filter", "healthz"]);
    assert_eq!((code, out.as_str()), (Some(0), "1 passed, 0 failed\n"));
    let (code, _, err) = stepgate(&["test", "tests/config/cli/promises", "--filter", "nothing"]);
    assert_eq!((code, err.as_str()), (Some(2), "error: no case holds `nothing`\n"));
    let (code, _, err) = stepgate(&["test", "tests/config/cli/broken"]);
    assert_eq!(code, Some(2), "{err}");
}

#[test]
fn profiles_are_listed_and_printed() {
    let (code, out, _) = stepgate(&["profiles"]);
    assert_eq!((code, out.lines().count()), (Some(0), 4), "{out}");
    let (code, out, _) = stepgate(&["profiles", "okta"]);
    assert!(out.starts_with("profile: okta\n") && code == Some(0));
    let (code, out, err) = stepgate(&["profiles", "otka"]);
    assert!(out.is_empty() && err.contains("did you mean `okta`?"), "{err}");
    assert_eq!(code, Some(2));
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
