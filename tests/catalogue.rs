//! The shipped profiles as operators meet them: each has promises that it keeps, its page says what its file says, and
//! what `stepgate profiles` prints loads again.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "test code")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use stepgate::assurance::Issuer;
use stepgate::config::cases::Expected;
use stepgate::config::profile::{ALL, Profile};
use stepgate::config::{Loaded, SourceFile, load_policy, load_tests};
use stepgate::reason::Hints;

/// The kinds of sign-in of which every profile's tests have at least one: a token's name begins with the word.
const KINDS: [&str; 7] = ["weakest", "strongest", "below", "unknown", "absent", "malformed", "client"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn stepgate(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_stepgate")).args(arguments).current_dir(root()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn load(text: &str) -> Loaded {
    let file = SourceFile { name: "policy.yaml".into(), folder: "policies".into(), text: text.to_owned() };
    load_policy(vec![file]).unwrap_or_else(|rejected| panic!("{}\n{text}", rejected.lines().join("\n")))
}

fn source(path: &Path) -> SourceFile {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    SourceFile { name, folder: path.parent().unwrap().into(), text }
}

fn newest() -> impl Iterator<Item = Profile> {
    ALL.iter().copied().filter(|profile| profile.is_newest())
}

fn folder(profile: Profile) -> PathBuf {
    root().join("tests/catalogue").join(profile.name())
}

#[test]
fn every_profile_keeps_the_promises_beside_it() {
    let (code, out, err) = stepgate(&["test", "tests/catalogue"]);
    assert!(code == Some(0) && out.contains(" passed, 0 failed\n"), "{out}{err}");
    let (code, out, err) = stepgate(&["check", "tests/catalogue"]);
    assert!(code == Some(0) && out.ends_with(": 0 errors, 0 lints\n"), "{out}{err}");
}

#[test]
fn every_profile_has_a_case_of_each_kind_of_sign_in() {
    let mut lacking = Vec::new();
    for profile in newest() {
        let policy = load_policy(vec![source(&folder(profile).join("policy.yaml"))]).unwrap();
        let used = policy.in_use.iter().any(|one| *one.profile.name == *profile.name());
        assert!(used, "{} is tested by a policy that does not build on it", profile.name());
        let mut names = Vec::new();
        for entry in fs::read_dir(folder(profile)).unwrap() {
            let path = entry.unwrap().path();
            if !path.to_str().unwrap().ends_with(".test.yaml") {
                continue;
            }
            let file = source(&path);
            let tests =
                load_tests(file, &policy.policy).unwrap_or_else(|rejected| panic!("{}", rejected.lines().join("\n")));
            let cases = tests.cases.iter().flat_map(|case| case.tokens.iter().map(|place| (*place, case.expect)));
            names.extend(cases.map(|(place, expect)| (tests.tokens[place].name.clone(), expect)));
        }
        for kind in KINDS {
            let goes_through = matches!(kind, "weakest" | "strongest");
            let shown = |(name, expect): &(Box<str>, Expected)| {
                name.starts_with(kind) && (*expect == Expected::Allow) == goes_through
            };
            if !names.iter().any(shown) {
                let what = if goes_through { "goes through" } else { "is refused" };
                lacking.push(format!("{}: no token whose name begins with `{kind}` {what}", profile.name()));
            }
        }
    }
    assert!(lacking.is_empty(), "{}", lacking.join("\n"));
}

#[test]
fn every_folder_of_promises_is_of_a_shipped_profile() {
    for entry in fs::read_dir(root().join("tests/catalogue")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(newest().any(|profile| profile.name() == name), "`{name}` is no shipped profile");
    }
}

#[test]
fn the_page_says_what_the_files_say() {
    let (code, page, err) = stepgate(&["profiles", "--docs"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for profile in newest() {
        assert!(page.contains(&format!("\n## {}\n", profile.name())), "{}", profile.name());
    }
    let written = fs::read_to_string(root().join("docs/profiles.md")).unwrap_or_default();
    let remedy = "docs/profiles.md is out of date: run `cargo run -- profiles --docs > docs/profiles.md`";
    assert!(written == page, "{remedy}");
}

#[test]
fn the_catalogue_is_found_sound() {
    let (code, out, err) = stepgate(&["profiles", "--check"]);
    assert!(code == Some(0) && out.ends_with(" profiles checked: 0 problems\n"), "{out}{err}");
    let (code, out, _) = stepgate(&["profiles", "--check", "--format", "json"]);
    assert_eq!((code, out.as_str()), (Some(0), "[]\n"));
}

/// A policy whose one issuer builds on a profile, for all that the profile speaks of.
fn policy_of(profile: &str, ladders: &str, profiles: &str) -> String {
    let access = "access: { audiences: [api] }\n    id: { audiences: [web] }";
    format!(
        "version: 1\n{ladders}{profiles}issuers:\n  idp:\n    issuer: https://idp.example\n    {access}\n    profile: {profile}\n"
    )
}

#[test]
fn what_a_profile_expands_to_makes_the_same_issuer_of_a_policy_that_never_heard_of_it() {
    for profile in newest() {
        let name = profile.name();
        let (code, text, err) = stepgate(&["profiles", name, "--expanded"]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{name}");
        let (head, issuer) = text.split_once("issuer:\n").unwrap();
        let ladders: String =
            head.lines().filter(|line| line.starts_with("ladders:")).map(|line| format!("{line}\n")).collect();
        let body: String = issuer.lines().map(|line| format!("  {line}\n")).collect();
        let local = format!("profiles:\n  mine:\n{body}");
        let (by_name, by_text) = (load(&policy_of(name, &ladders, "")), load(&policy_of("mine", &ladders, &local)));
        // Hints are the profile's own words to an operator, not part of what it says of an issuer.
        let unhinted = |issuer: &Issuer| Issuer { hints: Hints::default(), ..issuer.clone() };
        let [one, other] = [&by_text, &by_name].map(|by| by.policy.issuers().iter().map(unhinted).collect::<Vec<_>>());
        assert_eq!(one, other, "{name}: {text}");
        assert_eq!(by_text.in_use, []);
    }
}

#[test]
fn what_an_issuer_of_a_policy_expands_to_is_a_policy_with_the_same_issuer() {
    for example in ["okta", "kobil", "openfinance-brasil", "demo"] {
        let dir = format!("policies/examples/{example}");
        let given = load_policy(vec![source(&root().join(&dir).join("policy.yaml"))]).unwrap();
        for issuer in given.policy.issuers() {
            let (code, text, err) = stepgate(&["profiles", &issuer.name, "--expanded", "--policies", &dir]);
            assert_eq!((code, err.as_str()), (Some(0), ""), "{example}");
            let again = load(&text);
            let [again] = again.policy.issuers() else { panic!("one issuer: {text}") };
            assert_eq!((&again.expectation, &again.mapping), (&issuer.expectation, &issuer.mapping), "{text}");
            assert_eq!((&again.proofs, &again.challenges), (&issuer.proofs, &issuer.challenges), "{text}");
            assert_eq!((&again.methods, &again.reading), (&issuer.methods, &issuer.reading), "{text}");
            assert_eq!((&again.ignore_amr, again.pair), (&issuer.ignore_amr, issuer.pair), "{text}");
            assert!(!text.contains("profile:"), "{text}");
        }
        let (code, all, _) = stepgate(&["profiles", "--expanded", "--policies", &dir]);
        assert_eq!((code, load(&all).policy.issuers().len()), (Some(0), given.policy.issuers().len()));
    }
}

#[test]
fn a_local_profile_is_shown_with_what_is_under_it() {
    let dir = tempfile::tempdir().unwrap();
    let policy = "version: 1\nlevels: [{ name: low, like: single-factor }, { name: high, like: multi-factor }]\nprofiles:\n  ours: { profile: okta, ignore_amr: [sms] }\n  more: { profile: ours, mfa: derived }\n";
    fs::write(dir.path().join("policy.yaml"), policy).unwrap();
    let path = dir.path().to_str().unwrap();
    let (code, text, err) = stepgate(&["profiles", "more", "--expanded", "--policies", path]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for part in
        ["\nprofiles:\n  more:\n", "ignore_amr: [sms]", "mfa: derived", "okta_verify:", "      high:", "levels: ["]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    load(&text);
    let (code, out, err) = stepgate(&["profiles", "mor", "--expanded", "--policies", path]);
    assert!(code == Some(2) && out.is_empty() && err.contains("did you mean `more`?"), "{err}");
    fs::write(dir.path().join("policy.yaml"), "version: 1\nprofiles: { ours: { profile: nothing } }\n").unwrap();
    let (code, out, err) = stepgate(&["profiles", "ours", "--expanded", "--policies", path]);
    assert!(code == Some(1) && out.is_empty() && err.contains("unknown profile `nothing`"), "{err}");
    let (code, out, err) = stepgate(&["profiles", "--expanded"]);
    assert!(code == Some(2) && out.is_empty() && err.contains("name a profile"), "{err}");
    let (code, out, err) = stepgate(&["profiles", "octa"]);
    assert!(code == Some(2) && out.is_empty() && err.contains("did you mean `okta`?"), "{err}");
    let (code, out, err) = stepgate(&["profiles", "entra"]);
    assert!(
        code == Some(2) && out.is_empty() && err.contains("did you mean `entra-eam`, `entra-v1` or `entra-v2"),
        "{err}"
    );
    let (code, out, err) = stepgate(&["profiles", "okta@7"]);
    assert!(code == Some(2) && out.is_empty() && err.contains("this version ships `okta@1`, not `okta@7`"), "{err}");
    let (code, out, _) = stepgate(&["profiles", "okta@1"]);
    assert!(code == Some(0) && out.contains("\nprofile: okta\n"));
}

/// Every profile in one policy: what `check` has most to do with.
fn all_at_once() -> String {
    let mut text = String::from("version: 1\nladders:\n");
    let mut ladders: Vec<Box<str>> = Vec::new();
    for ladder in newest().flat_map(|profile| profile.head().unwrap().ladders) {
        if !ladders.contains(&ladder.name) {
            text.push_str(&format!("  {}: [{}]\n", ladder.name, ladder.rungs.join(", ")));
            ladders.push(ladder.name.clone());
        }
    }
    text = text.replace("ladders:\nissuers", "issuers");
    if ladders.is_empty() {
        text = String::from("version: 1\n");
    }
    text.push_str("issuers:\n");
    for profile in newest() {
        let name = profile.name();
        text.push_str(&format!(
            "  {name}:\n    issuer: https://{name}.example\n    profile: {name}\n    access: {{ audiences: [api] }}\n    id: {{ audiences: [web] }}\n"
        ));
    }
    text.push_str("routes:\n  - { name: all, match: { path: \"/**\" }, require: { level: single-factor } }\n");
    text
}

#[test]
fn a_policy_with_every_profile_at_once_is_checked_in_no_time() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("policy.yaml"), all_at_once()).unwrap();
    let before = Instant::now();
    let (code, out, err) = stepgate(&["check", dir.path().to_str().unwrap()]);
    let took = before.elapsed();
    assert!(code == Some(0), "{out}{err}");
    for profile in newest() {
        let named = format!("{}@{} ({})", profile.name(), profile.head().unwrap().version, profile.name());
        assert!(out.contains(&named), "{named}: {out}");
    }
    // Release code takes a hundredth of a second; a debug build on a busy machine is given room.
    assert!(took < Duration::from_secs(5), "{took:?}");
}
