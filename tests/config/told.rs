//! What `stepgate test` and `stepgate reasons` say, in each of their forms.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::stepgate;

#[test]
fn test_finds_cases_by_name_and_shows_the_steps_of_those_that_hold_when_asked() {
    let (code, out, _) = stepgate(&["test", "tests/config/cli/promises", "--filter", "is <open>", "--verbose"]);
    assert_eq!(code, Some(0));
    assert_eq!(
        out,
        "ok     tests/config/cli/promises/policy.test.yaml:35: the health page is <open> & \"free\": GET https://api.example/healthz []\n  \
         expected allow\n  got      allow\n  route    health, any method on any host, path /healthz, public\n1 passed, 0 failed\n"
    );
    let (_, out, _) = stepgate(&["test", "tests/config/cli/promises", "--filter", "tokens_disagree", "--verbose"]);
    assert!(out.is_empty(), "what is expected is not what a filter looks at: {out}");
}

#[test]
fn test_judges_preflights_and_says_under_which_route_one_passes() {
    let folder = "tests/config/cli/preflights";
    let (code, out, _) = stepgate(&["test", folder, "--filter", "it passes", "--verbose"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.contains("  got      allow (allow, as a preflight)\n") || out.contains("allow, as a preflight"),
        "{out}"
    );
    assert!(out.contains("  route    pay, POST on any host, path /pay/{id}"), "{out}");
    assert_eq!(stepgate(&["test", folder]).0, Some(0));
    assert_eq!(stepgate(&["check", folder]).0, Some(0));
}

#[test]
fn test_as_json_puts_one_object_on_standard_output() {
    let (code, out, _) = stepgate(&["test", "tests/config/cli/promises", "--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["passed"], &told["failed"]), (Some(1), &20.into(), &3.into()));
    let case = told["cases"].as_array().unwrap().last().unwrap();
    assert_eq!(case["name"], "a password <alone> & \"no more\"");
    assert_eq!(case["expected"], serde_json::json!({ "decision": "deny", "reason": "amr_missing" }));
    assert_eq!(case["got"]["reason"], "level_too_low");
    assert_eq!(case["hint"], stepgate::Reason::LevelTooLow.hint());
    let steps: Vec<&str> =
        case["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps[..5], ["route", "token", "evidence", "level", "asks"]);
    let (code, out, _) = stepgate(&["test", "tests/config/cli/untakable", "--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["broken"], told["problems"].as_array().unwrap().len()), (Some(1), &1.into(), 1), "{out}");
}

#[test]
fn test_tells_the_hint_of_the_issuers_profile() {
    let (_, out, _) = stepgate(&["test", "policies/examples/okta", "--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    let cases = told["cases"].as_array().unwrap();
    let hint =
        |reason: &str| cases.iter().find(|case| case["got"]["reason"] == reason).map(|case| case["hint"].clone());
    assert!(hint("level_too_low").unwrap().as_str().unwrap().starts_with("Not challenged enough: "), "{out}");
    assert!(cases.iter().all(|case| case["hint"].is_null() == (case["got"]["decision"] == "allow")), "{out}");
}

#[test]
fn test_tells_what_a_route_only_observes_from_what_it_allows_and_what_it_denies() {
    let (code, out, _) = stepgate(&["test", "tests/config/cli/observed", "--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["passed"], &told["failed"]), (Some(1), &11.into(), &4.into()), "{out}");
    let cases = told["cases"].as_array().unwrap();
    assert!(cases.iter().all(|case| case["passed"] == case["name"].is_null()), "{out}");
    assert_eq!(cases[0]["expected"], serde_json::json!({ "decision": "would_deny", "reason": "level_too_low" }));
    assert_eq!(
        (&cases[0]["got"]["decision"], &cases[0]["got"]["reason"]),
        (&"would_deny".into(), &"level_too_low".into())
    );
    assert_eq!(cases[0]["hint"], stepgate::Reason::LevelTooLow.hint());
    let (_, out, _) = stepgate(&["test", "tests/config/cli/observed", "--filter", "broken 1"]);
    assert!(out.contains("\n  expected deny\n  got      would_deny: level_too_low (reached single-factor, "), "{out}");
    assert!(out.contains("\n  route    pay, any method on any host, path /pay/**, mode observe\n"), "{out}");
}

/// A JUnit report, to be read by an XML parser of others.
fn junit(arguments: &[&str]) -> (Option<i32>, String) {
    let arguments = [&["test"], arguments, &["--format", "junit"]].concat();
    let (code, out, _) = stepgate(&arguments);
    (code, out)
}

#[test]
fn test_as_junit_is_xml_of_the_usual_shape_with_a_failure_for_each_broken_promise() {
    let (code, xml) = junit(&["tests/config/cli/promises"]);
    assert_eq!(code, Some(1));
    let document = roxmltree::Document::parse(&xml).unwrap();
    let root = document.root_element();
    assert_eq!(
        (root.tag_name().name(), root.attribute("tests"), root.attribute("failures")),
        ("testsuites", Some("23"), Some("3"))
    );
    let suites: Vec<_> = root.children().filter(roxmltree::Node::is_element).collect();
    assert_eq!(suites.len(), 1);
    assert_eq!(suites[0].attribute("name"), Some("tests/config/cli/promises/policy.test.yaml"));
    let cases: Vec<_> = suites[0].children().filter(roxmltree::Node::is_element).collect();
    assert!(
        cases
            .iter()
            .all(|case| case.has_tag_name("testcase") && case.has_attribute("name") && case.has_attribute("classname"))
    );
    let failures: Vec<_> =
        cases.iter().filter_map(|case| case.children().find(|child| child.has_tag_name("failure"))).collect();
    assert_eq!((cases.len(), failures.len()), (23, 3));
    let last = cases.last().unwrap();
    assert!(last.attribute("name").unwrap().starts_with("a password <alone> & \"no more\": POST "), "{xml}");
    let failure = failures.last().unwrap();
    assert!(failure.attribute("message").unwrap().starts_with("expected deny: amr_missing, got deny: level_too_low"));
    assert!(failure.text().unwrap().contains("  hint     "), "{xml}");
    let (_, verbose) = junit(&["tests/config/cli/promises", "--verbose"]);
    let document = roxmltree::Document::parse(&verbose).unwrap();
    assert_eq!(document.descendants().filter(|node| node.has_tag_name("system-out")).count(), 20);
}

#[test]
fn a_file_that_cannot_be_taken_is_an_error_in_the_junit_report() {
    let (code, xml) = junit(&["tests/config/cli/untakable"]);
    assert_eq!(code, Some(1));
    let document = roxmltree::Document::parse(&xml).unwrap();
    assert_eq!(document.root_element().attribute("errors"), Some("1"));
    let error = document.descendants().find(|node| node.has_tag_name("error")).unwrap();
    assert!(error.text().unwrap().contains("unknown token `nobody`"), "{xml}");
}

#[test]
fn reasons_are_listed_and_told_one_by_one() {
    let (code, out, err) = stepgate(&["reasons"]);
    assert!(out.lines().count() >= stepgate::Reason::ALL.len() && code == Some(0) && err.is_empty(), "{out}{err}");
    let (code, out, _) = stepgate(&["reasons", "amr_missing"]);
    assert!(code == Some(0) && out.contains("insufficient_user_authentication") && out.contains("okta: "), "{out}");
    let (_, out, _) = stepgate(&["reasons", "amr_missing", "--format", "json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["code"], "amr_missing");
    let (code, out, err) = stepgate(&["reasons", "amr_mising"]);
    assert!(out.is_empty() && err.contains("did you mean `amr_missing`?") && code == Some(2), "{err}");
}

/// Each of its lines stands for something that one change of the cases or the policy would take away.
#[test]
fn coverage_says_what_no_case_reaches() {
    let (code, out, _) = stepgate(&["test", "--coverage", "tests/config/cli/covered"]);
    assert_eq!(code, Some(0), "what no case reaches is no failure");
    assert_eq!(out, include_str!("cli/covered/coverage.txt"));
    let (code, out, _) = stepgate(&["test", "--coverage", "--format", "json", "tests/config/cli/covered"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    let coverage = &told["coverage"][0];
    assert_eq!((code, &coverage["folder"]), (Some(0), &"tests/config/cli/covered".into()));
    assert_eq!(coverage["counts"]["parts"], serde_json::json!({ "reached": 9, "all": 17 }));
    let gap = serde_json::json!({ "at": "route `untried`", "lacks": "no case reaches it" });
    assert!(coverage["gaps"].as_array().unwrap().contains(&gap), "{out}");
    let (_, out, _) = stepgate(&["test", "--format", "json", "tests/config/cli/covered"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["coverage"], serde_json::json!([]), "nobody asked");
}

#[test]
fn coverage_is_of_the_cases_that_ran() {
    let (_, out, _) = stepgate(&["test", "--coverage", "tests/config/cli/covered", "--filter", "unbelieved"]);
    assert!(out.contains("  routes   1 of 7\n") && out.contains("lacks    route `pay`: no case reaches it\n"), "{out}");
}

#[test]
fn what_a_form_has_no_place_for_is_refused() {
    for (arguments, says) in [
        (["--coverage", "--format", "junit"], "JUnit has no place for coverage"),
        (["--watch", "--format", "json"], "`--watch` is for people"),
        (["--watch", "--format", "junit"], "`--watch` is for people"),
    ] {
        let (code, out, err) = stepgate(&[&["test", "policies/examples/demo"][..], &arguments].concat());
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(err.contains(says), "{err}");
    }
}

#[test]
fn watch_runs_the_tests_again_when_a_file_changed() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["policy.yaml", "policy.test.yaml"] {
        fs::copy(format!("tests/config/cli/covered/{name}"), folder.path().join(name)).unwrap();
    }
    let mut watching = Command::new(env!("CARGO_BIN_EXE_stepgate"))
        .args(["test", "--watch"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "8 passed, 0 failed");
    let policy = folder.path().join("policy.yaml");
    let text = fs::read_to_string(&policy).unwrap();
    fs::write(&policy, text.replace("{ level: single-factor, scopes", "{ level: multi-factor, scopes")).unwrap();
    assert!(next().starts_with("FAILED "), "a password alone is not enough any more");
    watching.kill().unwrap();
    watching.wait().unwrap();
}
