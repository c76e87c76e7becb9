//! `stepgate check --online` against a real provider: a policy that fits it is clean, and what does not fit is said.

use std::process::Command;

use serde_json::Value;

use crate::shared::gate::program;
use crate::support::{POLICY, Provider};

/// Exit code, and the codes of what is found.
fn check(policy: &str) -> (Option<i32>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    let mut command = Command::new(program());
    let out = command.args(["check", "--online", "--format", "json"]).arg(folder.path()).output().unwrap();
    let found: Vec<Value> = serde_json::from_slice(&out.stdout).unwrap();
    (out.status.code(), found.iter().map(|one| one["code"].as_str().unwrap().to_owned()).collect())
}

#[test]
fn a_policy_is_held_against_what_a_real_provider_says_of_itself() {
    let provider = Provider::start(&[]);
    let policy = POLICY.replace("{issuer}", &provider.issuer);
    assert_eq!(check(&policy), (Some(0), Vec::new()));
    let misspelt = policy.replace("single-factor: [\"urn:example:loa:1\"]", "single-factor: [\"urn:example:lao:1\"]");
    assert_eq!(check(&misspelt), (Some(0), vec!["acr_unsupported".to_owned()]));
    let algorithms = policy.replace("    pair: bound\n", "    pair: bound\n    algorithms: [EdDSA]\n");
    assert_eq!(check(&algorithms), (Some(0), vec!["algorithm_without_key".to_owned()]));
    let slash = policy.replace(&format!("issuer: {}", provider.issuer), &format!("issuer: {}/", provider.issuer));
    assert_eq!(check(&slash), (Some(1), vec!["issuer_unusable".to_owned()]));
    drop(provider);
    assert_eq!(check(&policy), (Some(0), vec!["issuer_unreachable".to_owned()]));
}
