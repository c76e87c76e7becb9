//! `stepgate explain` as a person meets it: the walk in its document, its options, its exit codes.
//!
//! `UPDATE=1 cargo test --test explain` writes the outputs in the document anew; read the difference before committing it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod beside;
mod places;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("../../docs/explain.md");

fn blocks<'d>(document: &'d str, kind: &str) -> Vec<&'d str> {
    let fence = format!("```{kind}\n");
    document.split(&*fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A folder with the document's policies and claims.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let [policy, claims, site, sign_in] = *blocks(DOCUMENT, "yaml") else { panic!("two policies, each with claims") };
    for (name, text) in [
        ("policies/policy.yaml", policy),
        ("claims.yaml", claims),
        ("site/policy.yaml", site),
        ("sign-in.yaml", sign_in),
    ] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// Exit code, standard output and standard error.
type Said = (Option<i32>, String, String);

fn shell(folder: &Path, command: &str) -> String {
    let script = format!("stepgate() {{ \"$STEPGATE\" \"$@\"; }}\n{command}");
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", &script]).current_dir(folder).env("STEPGATE", env!("CARGO_BIN_EXE_stepgate"));
    String::from_utf8(shell.output().unwrap().stdout).unwrap()
}

fn stepgate(folder: &Path, arguments: &[&str], stdin: &str, env: &[(&str, &str)]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepgate"));
    command.arg("explain").args(arguments).current_dir(folder).envs(env.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not read it may be gone.
    let _unread = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let out = child.wait_with_output().unwrap();
    (out.status.code(), String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
}

#[test]
fn the_walk_in_the_document_is_what_the_program_says() {
    let folder = folder();
    let mut document = DOCUMENT.to_owned();
    for block in blocks(DOCUMENT, "console") {
        let (command, _) = block.split_once('\n').unwrap();
        let said = shell(folder.path(), command.strip_prefix("$ ").unwrap());
        document = document.replace(block, &format!("{command}\n{said}"));
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/explain.md"), document).unwrap();
        return;
    }
    assert_eq!(document, DOCUMENT);
    assert!(DOCUMENT.contains("decided   deny: level_too_low"), "the walk is there");
}

const PAY: &str = "POST https://api.bank.example/payments/7";
const NOON: &str = "2026-01-01T12:00:00Z";

#[test]
fn as_json_it_has_the_members_that_the_document_lists_and_no_others() {
    let (code, out, error) =
        stepgate(folder().path(), &[PAY, "--claims", "claims.yaml", "--now", NOON, "--format", "json"], "", &[]);
    let told: Value = serde_json::from_str(&out).unwrap();
    let (_, table) = DOCUMENT.split_once("| member | what it is |\n").unwrap();
    let mut listed: Vec<&str> = table
        .lines()
        .skip(1)
        .flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2))
        .collect();
    listed.sort_unstable();
    assert_eq!(told.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>(), listed);
    assert_eq!(
        (code, &told["v"], &told["decision"], &told["reason"]),
        (Some(1), &json!(1), &json!("deny"), &json!("level_too_low"))
    );
    assert_eq!(told["signatures_checked"], json!(false));
    assert!(error.contains("THE SIGNATURE WAS NOT CHECKED"), "{error}");
    let named = |member: &Value| member[0]["name"].clone();
    assert_eq!((named(&told["less_specific"]), named(&told["nearly"])), (json!("rest"), json!("read")));
    assert_eq!((named(&told["floors"]), &told["route"]["name"]), (json!("money"), &json!("pay")));
    assert_eq!(told["response"]["acr_values"], json!(["2", "high"]));
    assert_eq!(told["evidence"][0]["classes"]["certain"], json!(["knowledge"]));
    assert_eq!(told["evidence"][0]["missed"][0]["level"], "multi-factor");
    let sign_in = &told["client"]["sign_in"];
    assert_eq!((&sign_in["acr"], &sign_in["claims"]["acr"]), (&json!("high"), &json!("2")), "the issuer's own word");
}

/// Makes tokens of the document's bank, and its key set.
struct Bank {
    pair: EcdsaKeyPair,
}

impl Bank {
    fn new() -> Self {
        Self { pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    fn jwks(&self) -> String {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "k", "x": x, "y": y }] }).to_string()
    }

    fn token(&self) -> String {
        self.sign(&json!({
            "iss": "https://auth.bank.example", "aud": "https://api.bank.example", "sub": "u", "scope": "payments", "acr": "2",
            "auth_time": 1_767_268_740, "exp": 1_767_269_100,
        }))
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "kid": "k" });
        let text = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The folder with a token and the keys, as paths.
fn bank() -> (tempfile::TempDir, String, PathBuf) {
    let (folder, bank) = (folder(), Bank::new());
    let token = bank.token();
    std::fs::write(folder.path().join("token.jwt"), format!("{token}\n")).unwrap();
    std::fs::write(folder.path().join("jwks.json"), bank.jwks()).unwrap();
    let path = folder.path().to_owned();
    (folder, token, path)
}

#[test]
fn a_token_is_read_from_a_file_the_environment_or_standard_input_and_never_shown() {
    let (_folder, token, path) = bank();
    for (from, stdin, env) in [
        (&["--token-file", "token.jwt"][..], "", None),
        (&["--token-env", "TOKEN"], "", Some(("TOKEN", &*token))),
        (&["--token-stdin"], &*token, None),
    ] {
        for format in ["human", "json"] {
            let arguments = [&[PAY, "--jwks", "jwks.json", "--now", NOON, "--format", format], from].concat();
            let (code, out, error) = stepgate(&path, &arguments, stdin, env.as_slice());
            assert_eq!((code, &*error), (Some(0), ""), "{from:?}: {out}");
            assert!(!out.contains("NOT CHECKED"), "{out}");
            for part in token.split('.') {
                assert!(!out.contains(part), "{from:?} shows a part of the token");
            }
        }
    }
}

#[test]
fn a_signature_is_checked_with_the_policys_own_keys_and_without_keys_it_is_said_loudly() {
    let (_folder, token, path) = bank();
    let explain = |more: &[&str], token: &str| {
        stepgate(&path, &[&[PAY, "--token-stdin", "--now", NOON], more].concat(), token, &[])
    };
    let (code, out, _) = explain(&[], &token);
    assert_eq!(code, Some(0));
    assert!(
        out.matches("!! ").count() == 2
            && out.contains("THE SIGNATURE WAS NOT CHECKED: the keys of `bank` are fetched"),
        "{out}"
    );

    let policy = path.join("policies/policy.yaml");
    let text = std::fs::read_to_string(&policy).unwrap();
    let keys = "https://auth.bank.example\n    keys: { jwks_file: ../jwks.json }\n";
    std::fs::write(&policy, text.replace("https://auth.bank.example\n", keys)).unwrap();
    let (code, out, _) = explain(&[], &token);
    assert!(
        code == Some(0) && out.contains("holds   signature: that of the issuer's key") && !out.contains("!!"),
        "{out}"
    );
    let (code, out, _) = explain(&[], &Bank::new().token());
    assert_eq!(code, Some(1));
    assert!(out.contains("decided   deny: signature_invalid") && out.contains("FAILS   signature:"), "{out}");

    std::fs::remove_file(path.join("jwks.json")).unwrap();
    let (code, out, _) = explain(&[], &token);
    assert!(code == Some(0) && out.contains("THE SIGNATURE WAS NOT CHECKED: failed to read"), "{out}");
}

#[test]
fn claims_of_a_decoded_token_are_taken_as_they_are() {
    let folder = folder();
    let claims = json!({ "iss": "https://auth.bank.example", "aud": "https://api.bank.example", "sub": "u", "amr": ["pwd"], "exp": 1_767_269_100 });
    let explain = |text: &str| {
        let arguments = ["GET https://api.bank.example/a", "--claims", "-", "--now", NOON];
        let (code, out, _) = stepgate(folder.path(), &arguments, text, &[]);
        (code, out)
    };
    assert_eq!(explain(&claims.to_string()).0, Some(0));
    let yaml = "iss: https://auth.bank.example\naud: https://api.bank.example\nsub: u\namr: [pwd]\nexp: 5m\n";
    assert_eq!(explain(yaml).0, Some(0));
    let (code, out) = explain(&yaml.replace("exp: 5m\n", ""));
    assert!(code == Some(1) && out.contains("FAILS   exp: absent"), "nothing is filled in: {out}");
    assert_eq!(explain("issuer: bank\nclaims: { amr: [pwd] }\n").0, Some(0), "here it is");
}

#[test]
fn settings_name_the_policy_and_the_limits() {
    let folder = folder();
    let path = folder.path();
    std::fs::rename(path.join("policies"), path.join("elsewhere")).unwrap();
    let settings = "version: 1\nlisteners: [ { address: \"127.0.0.1:8080\" } ]\nupstreams: { app: { url: \"http://127.0.0.1:8081\" } }\n\
                    policies: elsewhere/\npublic_url: https://api.bank.example\nlimits: { token: 1KiB }\n";
    std::fs::write(path.join("stepgate.yaml"), settings).unwrap();
    let long = "x".repeat(1025);
    let (code, out, error) = stepgate(path, &[PAY, "--config", "stepgate.yaml", "--token-stdin"], &long, &[]);
    assert!(code == Some(1) && out.contains("decided   deny: token_too_large"), "{out}{error}");
    let named = "resource_metadata=\"https://api.bank.example/.well-known/oauth-protected-resource\"";
    let (_, out, _) = stepgate(path, &[PAY, "--config", "stepgate.yaml"], "", &[]);
    assert!(out.contains(named), "a 401 names it: {out}");
    let metadata = "GET https://api.bank.example/.well-known/oauth-protected-resource";
    let (code, out, _) = stepgate(path, &[metadata, "--config", "stepgate.yaml"], "", &[]);
    assert!(code == Some(0) && out.contains("answer    the gate's own"), "{out}");
    let (code, out, error) = stepgate(path, &[PAY, "--config", "claims.yaml"], "", &[]);
    assert!((code, &*out) == (Some(2), "") && error.contains("the settings have errors"), "{error}");
}

#[test]
fn what_cannot_be_explained_ends_with_2_and_no_token_is_repeated() {
    let (_folder, token, path) = bank();
    std::fs::create_dir_all(path.join("several/a")).unwrap();
    std::fs::create_dir_all(path.join("several/b")).unwrap();
    for folder in ["a", "b"] {
        std::fs::copy(path.join("policies/policy.yaml"), path.join(format!("several/{folder}/p.yaml"))).unwrap();
    }
    std::fs::write(path.join("broken.yaml"), "version: 1\nrutes: []\n").unwrap();
    for (arguments, why) in [
        (&[&*token][..], "is no request"),
        (&[PAY, &token], "not taken from the command line"),
        (&[PAY, "--token", &token], "not taken from the command line"),
        (&["POST", "https://api.bank.example/payments/7"], "put them in quotes"),
        (&["POST", &token, "https://api.bank.example/"], "not taken from the command line"),
        (&["get https://api.bank.example/"], "did you mean `GET`"),
        (&[PAY, "--now", "noon"], "is no moment"),
        (&[PAY, "--policies", "nowhere"], "there is no `nowhere`, which the option `--policies` names"),
        (&[PAY, "--policies", "several"], "several policies"),
        (&[PAY, "--policies", "broken.yaml"], "rutes"),
        (&[PAY, "--jwks", "claims.yaml"], "not a key set"),
        (&[PAY, "--token-env", "STEPGATE_NO_SUCH"], "is not set"),
        (&[PAY, "--token-file", "nowhere.jwt"], "failed to read"),
        (&[PAY, "--token-stdin"], "is empty"),
        (&[PAY, "--token-stdin", "--claims", "-"], "read once"),
        (
            &[PAY, "--token-file", "token.jwt", "--token-file", "token.jwt", "--claims", "claims.yaml"],
            "two tokens at the most",
        ),
    ] {
        let (code, out, error) = stepgate(&path, arguments, "", &[]);
        assert_eq!((code, &*out), (Some(2), ""), "{arguments:?}");
        assert!(error.contains(why), "{arguments:?}: {error}");
        assert!(token.split('.').all(|part| !error.contains(part)), "{arguments:?} repeats the token");
    }
}

#[test]
fn a_grpc_call_is_shown_as_its_client_reads_it() {
    let folder = folder();
    let call = ["POST https://api.bank.example/payments/7", "--now", NOON, "--claims", "claims.yaml", "--grpc"];
    let (code, out, _) = stepgate(folder.path(), &call, "", &[]);
    assert_eq!(code, Some(1));
    let answer = out.split_once("\nanswer    ").unwrap().1;
    let lines: Vec<&str> = answer.lines().take(4).map(str::trim).collect();
    let challenge = "WWW-Authenticate: Bearer realm=\"api.bank.example\", error=\"insufficient_user_authentication\", \
                     acr_values=\"2 high\", max_age=\"3600\"";
    let message = "grpc-message: insufficient_user_authentication";
    assert_eq!(lines, ["200", "grpc-status: 16 (UNAUTHENTICATED)", message, challenge], "{out}");
    let json = [&call[..], &["--format", "json"]].concat();
    let told: Value = serde_json::from_str(&stepgate(folder.path(), &json, "", &[]).1).unwrap();
    let expected = json!({ "status": 16, "name": "UNAUTHENTICATED", "message": "insufficient_user_authentication" });
    assert_eq!((&told["response"]["status"], &told["response"]["grpc"]), (&json!(200), &expected));
    let (code, _, err) = stepgate(folder.path(), &["GET https://api.bank.example/a", "--grpc"], "", &[]);
    assert!(code == Some(2) && err.contains("a gRPC call is a POST"), "{err}");
}

#[test]
fn a_preflight_is_explained_by_the_route_of_the_request_to_come() {
    let folder = folder();
    let path = folder.path().join("policies/policy.yaml");
    let policy = std::fs::read_to_string(&path).unwrap();
    let ask = |method: &str| {
        let request = "OPTIONS https://api.bank.example/payments/7";
        stepgate(folder.path(), &[request, "--preflight", method, "--now", NOON], "", &[])
    };
    assert_eq!(ask("POST").0, Some(1), "no route says so");
    let said = policy
        .replace("require: { max_age: 1h } }", "require: { max_age: 1h }, cors: preflight }")
        .replace("scopes: { all: [payments] } }\n", "scopes: { all: [payments] } }\n    cors: preflight\n");
    std::fs::write(&path, said).unwrap();
    let (code, out, _) = ask("POST");
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("route     pay, POST") && out.contains("decided   allow, as a preflight"), "{out}");
    assert_eq!(ask("PUT").0, Some(1), "its route does not say so");
    let (code, _, err) = stepgate(folder.path(), &[PAY, "--preflight", "POST"], "", &[]);
    assert!(code == Some(2) && err.contains("a preflight comes with OPTIONS"), "{err}");
}
