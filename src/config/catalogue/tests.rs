//! Each rule of the catalogue, told by a profile that breaks that rule only.

use super::check;
use crate::config::profile::{ALL, Profile};

/// What is said of a profile called `p` whose issuer is this.
fn said(head: &str, issuer: &str) -> Vec<String> {
    let text = format!("profile: p\nversion: 1\ntitle: t\nabout: a\n{head}issuer:\n{issuer}");
    let shipped: &'static [Profile] = Vec::leak(vec![Profile { stem: "p", text: String::leak(text) }]);
    let (problems, sources) = check(shipped);
    problems.iter().map(|problem| format!("{}: {}", problem.code, problem.line(&sources))).collect()
}

const SENDS: &str = "sends: [acr, amr, ial, /ext/x, token_use]\n";

fn sound(issuer: &str) {
    assert_eq!(said(SENDS, issuer), [""; 0], "{issuer}");
}

fn unsound(issuer: &str, says: &str) {
    let said = said(SENDS, issuer);
    assert!(said.len() == 1 && said[0].contains(says), "{issuer} says {said:#?}");
}

#[test]
fn every_shipped_profile_keeps_to_the_catalogue() {
    let (problems, sources) = check(ALL);
    let lines: Vec<String> = problems.iter().map(|problem| problem.line(&sources)).collect();
    assert_eq!(lines, [""; 0]);
}

#[test]
fn every_file_of_the_folder_is_compiled_in() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/profiles");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().trim_end_matches(".yaml").to_owned())
        .collect();
    files.sort();
    assert_eq!(files, ALL.iter().map(|profile| profile.stem).collect::<Vec<_>>());
}

#[test]
fn a_proof_that_is_not_enough_for_a_weaker_rung_is_found_with_a_sign_in_that_shows_it() {
    sound("  proves: { single-factor: { acr: [a, b] }, multi-factor: { acr: [b] } }\n");
    unsound(
        "  proves: { single-factor: { acr: [a] }, multi-factor: { acr: [b] } }\n",
        r#"profile_gap: profiles/p.yaml:7:42: {"acr":"b"} proves `multi-factor` and not the weaker `single-factor`"#,
    );
    unsound(
        "  proves: { single-factor: { factors: 1 }, multi-factor: { amr: { any: [mfa] } } }\n",
        r#"{"amr":["mfa"]} proves `multi-factor`"#,
    );
    sound("  proves: { single-factor: { acr: { at_least: 1 } }, multi-factor: { acr: { at_least: 2 } } }\n");
    unsound(
        "  proves: { single-factor: { acr: { at_least: 2 } }, multi-factor: { acr: { at_least: 1 }, factors: 1 } }\n",
        r#"{"acr":"1","amr":["#,
    );
    unsound("  factor_classes: { x: possession }\n  proves: { multi-factor: { factors: 2 }, phishing-resistant: { phishing_resistant: true, amr: { any: [x] } } }\n".replace("x: possession", "x: { is: possession, phishing_resistant: true }").as_str(), "proves `phishing-resistant` and not the weaker `multi-factor`");
}

#[test]
fn a_gap_that_only_trusted_user_verification_opens_is_found() {
    let classes = "  factor_classes: { k: { is: possession, may: inherence } }\n";
    unsound(
        &format!(
            "{classes}  proves: {{ single-factor: {{ amr: {{ any: [pwd] }} }}, multi-factor: {{ factors: 2 , amr: {{ any: [k, pwd] }} }} }}\n"
        ),
        "and not the weaker `single-factor`",
    );
}

#[test]
fn a_rung_that_no_sign_in_has_is_found() {
    unsound(
        "  proves: { single-factor: { acr: [a], not: { acr: [a] } }, multi-factor: { acr: [b], not: { acr: [b] } } }\n"
            .replace(", multi-factor: { acr: [b], not: { acr: [b] } }", "")
            .as_str(),
        "no sign-in has just the level `single-factor`: its proof never holds",
    );
    unsound(
        "  proves: { single-factor: { acr: [a, b] }, multi-factor: { acr: [a, b] } }\n",
        "no sign-in has just the level `single-factor`: whatever proves it proves a stronger one too",
    );
    unsound(
        "  mapping: { acr: { rename: { a: b } } }\n  proves: { single-factor: { acr: [a] } }\n",
        "its proof never holds",
    );
    sound("  mapping: { acr: { rename: { a: b } } }\n  proves: { single-factor: { acr: [b] } }\n");
    sound(
        "  mapping: { acr: { from: [/ext/x], accept: [number] } }\n  proves: { single-factor: { acr: { at_least: 3 } } }\n",
    );
    sound(
        "  mapping: { acr: { accept: array } }\n  proves: { single-factor: { acr: [a] }, multi-factor: { all: [ { acr: [a] }, { acr: [b] } ] } }\n",
    );
    unsound(
        "  proves: { single-factor: { acr: [a] }, multi-factor: { all: [ { acr: [a] }, { acr: [b] } ] } }\n",
        "no sign-in has just the level `multi-factor`: its proof never holds",
    );
}

#[test]
fn proofs_by_other_claims_and_on_other_ladders_are_tried_too() {
    let head = format!("{SENDS}ladders: {{ identity: [low, high] }}\n");
    let ladder = |low: &str| {
        format!("  proves: {{ low: {{ claims: {{ ial: [{low}] }} }}, high: {{ claims: {{ ial: [\"2\"] }} }} }}\n")
    };
    assert_eq!(said(&head, &ladder("\"1\", \"2\"")), [""; 0]);
    let gap = said(&head, &ladder("1, 2"));
    assert!(
        gap.len() == 1 && gap[0].contains("proves `high` and not the weaker `low`"),
        "a number is no text: {gap:?}"
    );
    assert_eq!(
        said(&head, "  proves: { low: { claims: { ial: { present: true } } }, high: { claims: { ial: true } } }\n"),
        [""; 0]
    );
}

#[test]
fn an_amr_value_without_a_class_is_found_wherever_it_is_named() {
    unsound(
        "  proves: { single-factor: { amr: { any: [pwd, pasword] } } }\n",
        "profile_class: profiles/p.yaml:7:48: the `amr` value `pasword` has no class",
    );
    unsound("  ignore_amr: [smss]\n  proves: { single-factor: { factors: 1 } }\n", "`smss` has no class");
    unsound(
        "  mapping: { amr: { rename: { Password: passwd } } }\n  proves: { single-factor: { factors: 1 } }\n",
        "`passwd` has no class",
    );
    let absent = said(SENDS, "  mapping: { amr: { absent: [once] } }\n  proves: { single-factor: { factors: 1 } }\n");
    assert!(absent.iter().any(|line| line.contains("`once` has no class")), "{absent:?}");
    sound("  factor_classes: { seen: none }\n  ignore_amr: [seen]\n  proves: { single-factor: { factors: 1 } }\n");
}

#[test]
fn a_challenge_of_which_no_value_counts_is_found() {
    let proves = "  proves: { single-factor: { acr: [a, b] }, multi-factor: { acr: [b] } }\n";
    sound(&format!("{proves}  challenge: {{ multi-factor: [other, b] }}\n"));
    unsound(
        &format!("{proves}  challenge: {{ multi-factor: [a] }}\n"),
        "profile_challenge: profiles/p.yaml:8:16: no value that is asked for `multi-factor` brings",
    );
    unsound(&format!("{proves}  challenge: {{ single-factor: [c] }}\n"), "asked for `single-factor`");
    let by_both = "  proves: { single-factor: { any: [ { acr: [a] }, { factors: 1 } ] } }\n";
    unsound(&format!("{by_both}  challenge: {{ single-factor: [c] }}\n"), "no value that is asked for");
    sound("  proves: { single-factor: { factors: 1 } }\n  challenge: { single-factor: [c] }\n");
    sound(
        "  mapping: { acr: { rename: { raw: a } } }\n  proves: { single-factor: { acr: [a] } }\n  challenge: { single-factor: [raw] }\n",
    );
    sound("  proves: { single-factor: { acr: [a], factors: 2 } }\n  challenge: { single-factor: [a] }\n");
}

#[test]
fn a_claim_that_the_vendor_does_not_send_is_found_wherever_it_is_read() {
    for issuer in [
        "  mapping: { subject: { from: [uid] } }\n",
        "  access: { has: [uid] }\n",
        "  access: { has: { uid: x } }\n",
        "  id: { audience_from: uid }\n",
        "  client_when: { any: [ { claims: { uid: x } } ] }\n",
        "  proves: { single-factor: { not: { not: { claims: { uid: { present: true } } } } } }\n",
    ] {
        unsound(issuer, "profile_source: profiles/p.yaml:7:");
        unsound(issuer, "the claim `uid` is read, and is not among those that the vendor `sends`");
    }
    let said = said("sends: [amr]\n", "  proves: { single-factor: { acr: [a] } }\n");
    assert!(said.len() == 1 && said[0].contains("the claim `acr` is read"), "{said:?}");
    sound("  access: { has: { token_use: access } }\n");
}

#[test]
fn a_profile_that_says_whom_to_believe_is_found() {
    unsound("  trust: { acr: true }\n", "profile_widens: profiles/p.yaml:7:3: a shipped profile says `trust`");
    unsound("  keys: { jwks_url: \"https://x.example/keys\" }\n", "says `keys`");
    unsound("  user_verification: trusted\n", "says `user_verification`");
    unsound("  pair: subject\n", "says `pair`");
    unsound("  mapping: { amr: { absent: [pwd] } }\n", "says `absent`");
    unsound("  mapping: { acr: { absent: strong } }\n", "says `absent`");
    unsound("  access: { audiences: [a] }\n", "says `audiences`");
    unsound("  id: { audiences: [a] }\n", "says `audiences`");
    let said = said(SENDS, "  issuer: \"https://x.example\"\n");
    assert!(said.iter().any(|line| line.contains("says `issuer`")), "{said:?}");
}

#[test]
fn files_say_who_they_are_and_ladders_of_one_name_are_one() {
    let text = |name: &str, version: u8, ladders: &str| -> &'static str {
        String::leak(format!(
            "profile: {name}\nversion: {version}\ntitle: t\nabout: a\nsends: [acr]\nladders: {ladders}\nissuer: {{ mfa: claimed }}\n"
        ))
    };
    let said = |shipped: Vec<(&'static str, &'static str)>| -> Vec<String> {
        let shipped: Vec<Profile> = shipped.into_iter().map(|(stem, text)| Profile { stem, text }).collect();
        let (problems, sources) = check(Vec::leak(shipped));
        problems.iter().map(|problem| problem.line(&sources)).collect()
    };
    assert_eq!(
        said(vec![
            ("a", text("a", 2, "{}")),
            ("a@1", text("a", 1, "{}")),
            ("b", text("b", 1, "{ x: [y] }")),
            ("c", text("c", 1, "{ x: [y] }"))
        ]),
        [""; 0]
    );
    assert!(said(vec![("a", text("b", 1, "{}"))]).iter().any(|line| line.contains("`a.yaml` calls itself `b`")));
    for (newest, older) in [(1, 1), (2, 3)] {
        let said = said(vec![("a", text("a", newest, "{}")), ("a@1", text("a", older, "{}"))]);
        assert!(said.iter().any(|line| line.contains("`a@1.yaml` is not version 1, or not older")), "{said:?}");
    }
    for other in ["{ x: [y, z] }", "{ w: [y] }"] {
        let said = said(vec![("b", text("b", 1, "{ x: [y] }")), ("c", text("c", 1, other))]);
        assert!(said.len() == 1 && said[0].contains("rungs are shared only by the same ladder"), "{said:?}");
    }
}

#[test]
fn what_can_not_be_tried_is_said_and_not_passed_over() {
    let values: Vec<String> = (0..200).map(|number| format!("v{number}")).collect();
    let list = values.join(", ");
    let issuer = format!(
        "  proves: {{ single-factor: {{ all: [ {{ acr: [{list}] }}, {{ claims: {{ ial: [{list}] }} }}, {{ claims: {{ token_use: [{list}] }} }} ] }} }}\n"
    );
    unsound(&issuer, "so many values that they can't all be tried");
}
