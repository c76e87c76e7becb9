//! The files of `tests/config`: what is valid loads, and each invalid file is refused with the words beside it.
//!
//! `UPDATE=1 cargo test --test config` writes those words anew; read the difference before committing it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::disallowed_methods, reason = "test code")]

mod init;
mod lints;
mod settings;
mod told;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use stepgate::cli::render::{human, json};
use stepgate::config::lints::{Found, all};
use stepgate::config::{Rejected, SourceFile, load_policy, load_policy_at, load_settings};
use stepgate::token::Timestamp;

/// 2026-01-01T12:00:00Z: when the files are looked at.
const NOW: Timestamp = Timestamp::from_seconds(1_767_268_800);

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
        match load_policy_at(vec![source(&path)], NOW) {
            Ok(loaded) => assert_eq!(loaded.lints, [], "{}", path.display()),
            Err(rejected) => panic!("{}", rejected.lines().join("\n")),
        }
    }
}

#[test]
fn every_invalid_file_is_refused_with_the_words_beside_it() {
    compare("invalid", |path| load_policy_at(vec![source(path)], NOW).map(|_| ()).map_err(|rejected| *rejected));
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
    for settings in [
        "secrets",
        "credential_in_clear",
        "credential_under_another_key",
        "credential_env_no_name",
        "proxy_with_user",
        "seal_key_in_clear",
        "seal_keys_in_clear",
    ] {
        refused(&format!("settings/invalid/{settings}.yaml"), &|file| *load_settings(file).unwrap_err());
    }
    refused("invalid/secrets.yaml", &|file| *load_policy(vec![file]).unwrap_err());
    refused("invalid/secret_in_broken_yaml.yaml", &|file| *load_policy(vec![file]).unwrap_err());
}

#[test]
fn every_linted_file_is_taken_with_the_words_beside_it() {
    compare("linted", |path| {
        let loaded = load_policy_at(vec![source(path)], NOW)
            .unwrap_or_else(|rejected| panic!("{}", rejected.lines().join("\n")));
        if loaded.lints.is_empty() {
            return Ok(());
        }
        Err(Rejected { problems: loaded.lints, sources: loaded.sources })
    });
}

/// The example of every lint, as `check` shows what it finds there.
#[test]
fn every_lint_is_said_of_its_example_with_the_words_that_are_kept() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/lints");
    let update = std::env::var_os("UPDATE").is_some();
    let (mut different, mut kept) = (Vec::new(), 0);
    for lint in all().filter(|lint| matches!(lint.found, Found::Policy | Found::Settings)) {
        let name = format!("{}.yaml", lint.name);
        let file = SourceFile { name, folder: "policies".into(), text: lint.example.to_owned() };
        let said = match lint.found {
            Found::Settings => load_settings(file).map(|loaded| human(&loaded.lints, &loaded.sources, false)),
            Found::Policy | Found::Surroundings | Found::Online => {
                load_policy(vec![file]).map(|loaded| human(&loaded.lints, &loaded.sources, false))
            }
        };
        let said = said.unwrap_or_else(|rejected| panic!("{}", rejected.lines().join("\n")));
        let beside = folder.join(format!("{}.txt", lint.name));
        if update {
            fs::write(&beside, &said).unwrap();
        }
        kept += 1;
        if fs::read_to_string(&beside).unwrap_or_default() != said {
            different.push(said);
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert_eq!(fs::read_dir(folder).unwrap().count(), kept, "words of a lint that is gone");
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
        "severity": "error", "level": "error", "code": "unknown_level", "file": "tests/config/cli/broken/policy.yaml",
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
fn a_redirect_that_needs_the_gates_own_name_is_refused_by_check_and_by_run_where_there_is_none() {
    let check = |config: &str| stepgate(&["check", "tests/config/cli/redirects", "--config", config]);
    let (code, out, _) = check("tests/config/cli/nameless.yaml");
    assert!(out.contains("policy.yaml:8:34") && out.contains("policy.yaml:15:26"), "{out}");
    assert!(out.contains("set `public_url` in stepgate.yaml") && out.ends_with("2 errors, 0 lints\n"), "{out}");
    assert_eq!(code, Some(1));
    let (code, out, _) = check("tests/config/cli/named.yaml");
    assert_eq!(code, Some(0), "{out}");
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
    assert_eq!((code, err.as_str()), (Some(2), "stepgate: no case holds `nothing`\n"));
    let (code, _, err) = stepgate(&["test", "tests/config/cli/broken"]);
    assert_eq!(code, Some(2), "{err}");
}

#[test]
fn schemas_are_listed_and_printed_and_nothing_else_is() {
    let (code, out, _) = stepgate(&["schema"]);
    assert_eq!((code, out.lines().count()), (Some(0), 4), "{out}");
    for name in ["policy", "config", "test", "audit"] {
        let (code, out, err) = stepgate(&["schema", name]);
        let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert!(code == Some(0) && err.is_empty(), "{err}");
    }
    let (code, out, err) = stepgate(&["schema", "polcy"]);
    assert!(out.is_empty() && err.contains("did you mean `policy`?") && code == Some(2), "{err}");
}

#[test]
fn profiles_are_listed_and_printed() {
    let (code, out, _) = stepgate(&["profiles"]);
    assert_eq!((code, out.lines().count()), (Some(0), stepgate::config::profile::ALL.len()), "{out}");
    let (code, out, _) = stepgate(&["profiles", "okta"]);
    assert!(out.contains("\nprofile: okta\n") && code == Some(0));
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
    compare("settings/linted", |path| {
        let loaded = load_settings(source(path)).unwrap_or_else(|rejected| panic!("{}", rejected.lines().join("\n")));
        match loaded.lints.is_empty() {
            true => Ok(()),
            false => Err(Rejected { problems: loaded.lints, sources: loaded.sources }),
        }
    });
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn within(folder: &tempfile::TempDir, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepgate"));
    let output = command.args(arguments).current_dir(folder.path()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const SETTINGS: &str = "version: 1\nlisteners: [{ address: \"127.0.0.1:8080\" }]\nupstreams: { app: { url: \"http://127.0.0.1:8081\" } }\n";
const POLICY: &str = "version: 1\nroutes: [{ name: a, match: { path: / }, require: public }]\n";
const BROKEN: &str = "version: 1\nroutes: [{ name: a, match: { path: / }, require: nonsense }]\n";

#[test]
fn settings_with_errors_do_not_hide_the_policies_beside_them() {
    let broken = "version: 1\nlisteners: []\nupstreams: {}\n";
    let there = folder(&[("stepgate.yaml", broken), ("policies/a.yaml", BROKEN)]);
    let (code, out, _) = within(&there, &["check", "-c", "stepgate.yaml"]);
    assert!(out.contains("found `nonsense`") && out.contains("no listener"), "{out}");
    assert!(out.contains("note: the policies in `policies` were checked without the settings"), "{out}");
    assert_eq!(code, Some(1));
    let alone = folder(&[("stepgate.yaml", broken)]);
    let (code, out, _) = within(&alone, &["check", "-c", "stepgate.yaml"]);
    assert!(out.contains("note: no policy was checked") && out.contains("0 policies checked: 2 errors"), "{out}");
    assert_eq!(code, Some(1));
    let (_, out, err) = within(&alone, &["check", "-c", "stepgate.yaml", "--format", "json"]);
    assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok() && err.contains("no policy was checked"), "{out}");
}

#[test]
fn one_file_of_a_policy_can_be_named_and_a_settings_file_is_told_from_one() {
    let files = folder(&[("stepgate.yaml", SETTINGS), ("p/a.yaml", POLICY), ("p/b.yaml", "version: 1\nrotes: []\n")]);
    let (code, out, _) = within(&files, &["check", "p/a.yaml"]);
    assert!(out.contains("unknown key `rotes`") && out.contains("1 policy checked: 1 error,"), "{out}");
    assert_eq!(code, Some(1));
    for what in [".", "stepgate.yaml"] {
        let settings = folder(&[("stepgate.yaml", SETTINGS)]);
        let (code, out, _) = within(&settings, &["check", what]);
        assert!(out.contains("this is a settings file; check it with --config"), "{out}");
        assert!(out.contains("1 policy checked: 1 error, 0 lints") && code == Some(1), "{out}");
    }
}

#[test]
fn what_is_not_there_is_said_with_whoever_named_it() {
    let files = folder(&[("stepgate.yaml", &format!("{SETTINGS}policies: rules\n")), ("notes.txt", "")]);
    for (arguments, says) in [
        (&["check"] as &[&str], "stepgate: there is no `policies`, which is where policies are looked for"),
        (&["test"], "stepgate: there is no `policies`, which is where policies are looked for"),
        (&["check", "rules"], "stepgate: there is no `rules`, which the argument DIR names"),
        (&["check", "-c", "stepgate.yaml"], "rules`, which `policies` in `stepgate.yaml` names"),
        (&["check", "-c", "nowhere.yaml"], "(`--config`)"),
        (&["check", "notes.txt"], "no file that ends in `.yaml`"),
        (&["profiles", "nowhere"], "stepgate: unknown profile"),
        (&["demo", "--log", "loud"], "stepgate: `--log loud` is no log filter"),
    ] {
        let (code, out, err) = within(&files, arguments);
        assert!(out.is_empty() && err.contains(says), "{arguments:?}: {out}{err}");
        assert_eq!(code, Some(2), "{arguments:?}");
    }
}

#[test]
fn files_that_are_named_and_cannot_be_opened_are_said_at_their_place() {
    let issuer = |name: &str, keys: &str| {
        format!(
            "  {name}: {{ issuer: \"https://{name}.example\", access: {{ audiences: [a] }}, keys: {{ {keys} }} }}\n"
        )
    };
    let issuers =
        [issuer("a", "jwks_file: keys.json"), issuer("b", "ca: ca.pem"), issuer("c", "jwks_file: there.json")];
    let policy = format!("{POLICY}issuers:\n{}", issuers.concat());
    let settings = format!("{SETTINGS}audit: {{ to: file, path: logs/audit.jsonl }}\n");
    let files = folder(&[("stepgate.yaml", &settings), ("policies/a.yaml", &policy), ("policies/there.json", "{}")]);
    let (code, out, _) = within(&files, &["check", "-c", "stepgate.yaml"]);
    for says in ["failed to open the key set `./policies/keys.json`", "file `./policies/ca.pem`", "folder `./logs`"] {
        assert!(out.contains(says) || out.contains(&says.replace("./", "")), "{says}: {out}");
    }
    assert!(out.contains("--> policies/a.yaml:") || out.contains("--> ./policies/a.yaml:"), "{out}");
    assert!(out.contains("--> stepgate.yaml:4:") && out.contains("0 errors, 3 lints"), "{out}");
    assert_eq!(code, Some(0), "on the machine that runs the gate they may be there");
    fs::create_dir(files.path().join("logs")).unwrap();
    let (_, out, _) = within(&files, &["check", "-c", "stepgate.yaml"]);
    assert!(out.contains("2 lints") && !files.path().join("logs/audit.jsonl").exists(), "nothing is made: {out}");
}

#[test]
fn where_nothing_could_be_judged_nothing_is_said_to_have_passed() {
    let files = folder(&[("p/a.yaml", BROKEN), ("p/a.test.yaml", "version: 1\n")]);
    let (code, out, _) = within(&files, &["test", "p"]);
    assert!(out.ends_with("no case was judged: 1 file or policy has errors\n") && !out.contains("passed"), "{out}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_case_says_its_times_with_a_unit_and_its_method_in_upper_case() {
    let policy = "version: 1\nissuers:\n  idp: { issuer: \"https://idp.example\", access: { audiences: [api] } }\n\
        routes: [{ name: a, match: { path: / }, require: authenticated }]\n";
    let tests = |time: &str, method: &str| {
        format!(
            "version: 1\nnow: \"2026-01-01T12:00:00Z\"\ntokens: {{ t: {{ issuer: idp, claims: {{ auth_time: {time} }} }} }}\n\
            cases: [{{ request: {method} http://a/, token: t, expect: allow }}]\n"
        )
    };
    for (time, method, says) in [
        ("-60", "GET", "write `-60s`, or a number without sign"),
        ("+60", "GET", "write `+60s`"),
        ("-60s", "get", "did you mean `GET`?"),
    ] {
        let files = folder(&[("p/a.yaml", policy), ("p/a.test.yaml", &tests(time, method))]);
        let (code, out, _) = within(&files, &["test", "p"]);
        assert!(out.contains(says) && out.ends_with("no case was judged: 1 file or policy has errors\n"), "{out}");
        assert_eq!(code, Some(1));
    }
    for time in ["-60s", "1767268740", "\"-60\""] {
        let files = folder(&[("p/a.yaml", policy), ("p/a.test.yaml", &tests(time, "GET"))]);
        let (_, out, _) = within(&files, &["test", "p/a.test.yaml"]);
        assert_eq!(out, "1 passed, 0 failed\n", "{time}");
    }
}
