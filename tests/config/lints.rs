//! `stepgate check`: lints listed and told, silenced in place, and shown in the forms that machines read.

use serde_json::Value;

use super::{POLICY, folder, stepgate, within};

const LINTED: &str = "tests/config/cli/linted";

#[test]
fn lints_are_listed_and_each_is_told() {
    let (code, out, err) = stepgate(&["check", "--lints"]);
    assert!(code == Some(0) && err.is_empty(), "{err}");
    assert!(out.contains("\nweaker_method ") && out.contains(" note     "), "{out}");
    let (code, one, _) = stepgate(&["check", "--lints", "weaker_method"]);
    assert!(one.starts_with("weaker_method (warning): ") && one.contains("What to do: "), "{one}");
    assert!(one.contains("# stepgate: allow weaker_method because REASON") && code == Some(0), "{one}");
    let (_, all, _) = stepgate(&["check", "--lints", "--format", "json"]);
    let all: Vec<Value> = serde_json::from_str(&all).unwrap();
    assert_eq!(all.len(), stepgate::config::lints::all().count());
    let (_, one, _) = stepgate(&["check", "--lints", "weaker_method", "--format", "json"]);
    assert!(all.contains(&serde_json::from_str(&one).unwrap()));
    for (arguments, says) in [
        (&["check", "--lints", "weaker_methods"][..], "did you mean `weaker_method`?"),
        (&["check", "--lints", "unknown_key"], "`stepgate check --lints` lists all"),
        (&["check", "--lints", "--format", "sarif"], "`--format human` or `--format json`"),
    ] {
        let (code, out, err) = stepgate(arguments);
        assert!(out.is_empty() && err.contains(says) && code == Some(2), "{arguments:?}: {err}");
    }
}

#[test]
fn a_lint_that_is_meant_is_silenced_in_place_and_an_error_never() {
    let silence = |what: &str| format!("{POLICY}# stepgate: allow {what} because the keys come later\n");
    let missing = "issuers: { idp: { issuer: \"https://idp.example\", access: { audiences: [a] }, keys: { jwks_file: no.json } } }\n";
    let linted = folder(&[("p/a.yaml", &format!("{POLICY}{missing}"))]);
    assert!(within(&linted, &["check", "p"]).1.ends_with("0 errors, 1 lint\n"));
    // What only `check` finds is silenced like the rest, and on another machine such a silence is no fault.
    let silenced = folder(&[("p/a.yaml", &format!("{}{missing}", silence("file_not_usable")))]);
    assert_eq!(within(&silenced, &["check", "p"]).1, "1 policy checked: 0 errors, 0 lints\n");
    let elsewhere = folder(&[("p/a.yaml", &silence("file_not_usable"))]);
    assert_eq!(within(&elsewhere, &["check", "p"]).1, "1 policy checked: 0 errors, 0 lints\n");
    let broken = folder(&[("p/a.yaml", &format!("{}rotes: []\n", silence("unknown_key")))]);
    let (code, out, _) = within(&broken, &["check", "p"]);
    assert!(out.contains("error[unknown_key]") && out.contains("warning[silence_unknown]"), "{out}");
    assert_eq!(code, Some(1));
}

#[test]
fn settings_are_silenced_too() {
    let settings = "version: 1\nlisteners: [{ address: \"127.0.0.1:8080\" }]\nupstreams: { app: { url: \"http://127.0.0.1:8081\" } }\n";
    let limits = "limits: { connections: 10, streams: 10, requests: 101 }\n";
    let check = |text: &str| {
        let files = folder(&[("stepgate.yaml", text), ("policies/a.yaml", POLICY)]);
        within(&files, &["check", "-c", "stepgate.yaml"]).1
    };
    assert!(check(&format!("{settings}{limits}")).contains("note[requests_out_of_reach]"));
    let silence = "# stepgate: allow requests_out_of_reach because connections are raised at night\n";
    assert_eq!(check(&format!("{settings}{silence}{limits}")), "1 policy checked: 0 errors, 0 lints\n");
    assert!(check(&format!("{settings}{silence}")).contains("warning[silence_idle]"));
}

#[test]
fn github_is_told_in_workflow_commands_and_nothing_else() {
    let (code, out, err) = stepgate(&["check", LINTED, "--format", "github"]);
    let begins = "::warning file=tests/config/cli/linted/policy.yaml,line=9,endLine=9,col=13,endColumn=16,title=weaker_method::methods other than POST";
    assert!(out.starts_with(begins) && out.lines().count() == 1, "{out}");
    assert!(code == Some(0) && err.is_empty(), "{err}");
    let (code, out, _) = stepgate(&["check", "tests/config/cli/broken", "--format", "github"]);
    assert!(out.starts_with("::error file=tests/config/cli/broken/policy.yaml,line=8,") && code == Some(1), "{out}");
    let clean = folder(&[("p/a.yaml", POLICY)]);
    assert_eq!(within(&clean, &["check", "p", "--format", "github"]).1, "");
}

#[test]
fn sarif_is_one_log_and_nothing_else() {
    for (folder, id, level, exit) in
        [(LINTED, "weaker_method", "warning", 0), ("tests/config/cli/broken", "unknown_level", "error", 1)]
    {
        let (code, out, _) = stepgate(&["check", folder, "--format", "sarif"]);
        let log: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&log["version"], code), (&Value::from("2.1.0"), Some(exit)));
        let run = &log["runs"][0];
        let results = run["results"].as_array().unwrap();
        assert_eq!((results.len(), &results[0]["ruleId"], &results[0]["level"]), (1, &id.into(), &level.into()));
        let uri = &results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        assert_eq!(*uri, format!("{folder}/policy.yaml"));
        let index = usize::try_from(results[0]["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], id);
    }
}
