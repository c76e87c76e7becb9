//! The catalogue's promises: for each shipped profile, what its weakest and strongest tokens reach, and what is refused.

use std::path::PathBuf;
use std::process::Command;

use stepgate::config::profile::ALL;

/// What every profile is tried with: the beginning of the name of a token that a case sends.
const WORDS: [&str; 7] = ["weakest", "strongest", "below", "unknown", "absent", "malformed", "client"];

/// The folder of each shipped profile's cases; an older version has none of its own.
fn folders() -> impl Iterator<Item = (&'static str, PathBuf)> {
    let all = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/catalogue");
    ALL.iter().filter(|profile| profile.is_newest()).map(move |profile| (profile.name(), all.join(profile.name())))
}

#[test]
fn the_tokens_of_every_ecosystem_are_judged_as_its_profile_promises() {
    for (name, folder) in folders() {
        for (command, all_well) in [("check", "0 errors, 0 lints"), ("test", ", 0 failed")] {
            let out = Command::new(env!("CARGO_BIN_EXE_stepgate")).arg(command).arg(&folder).output().unwrap();
            let said = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
            assert!(out.status.success() && said.contains(all_well), "{command} {name}: {said}");
        }
    }
}

#[test]
fn every_profile_is_tried_at_both_ends_and_with_all_that_can_be_wrong() {
    for (name, folder) in folders() {
        let policy = std::fs::read_to_string(folder.join("policy.yaml")).unwrap();
        assert!(policy.contains(&format!("profile: {name}\n")), "{name} is not what its policy tries");
        let cases = std::fs::read_to_string(folder.join(format!("{name}.test.yaml"))).unwrap();
        let (_tokens, cases) = cases.split_once("\ncases:\n").unwrap();
        for word in WORDS {
            let sent = cases.lines().any(|line| {
                let names = line.split_once("token: ").or_else(|| line.split_once("tokens: [")).map(|(_, names)| names);
                names.is_some_and(|names| names.split([',', ' ']).any(|token| token.starts_with(word)))
            });
            let cannot = cases.lines().any(|line| {
                let why = line.trim().strip_prefix(&format!("# no case: {word}, because "));
                why.is_some_and(|why| why.len() > 20)
            });
            assert!(sent != cannot, "{name}: no case sends a token `{word}…`, or one does that cannot be");
        }
    }
}
