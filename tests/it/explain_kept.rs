//! `stepgate explain` of requests with what was kept of a sign-in: it says what the running gate does, by the gate's own keys.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::kept_support::{KEY, NAME, OTHER_KEY, flipped, is_deleted, sign_in, with, world};
use crate::shared::gate::CREDENTIAL;
use crate::support::{Request, Token, World};

/// Exit code, what was explained, what was complained of.
type Said = (Option<i32>, Value, String);

/// Asks with the cookies on standard input.
fn explain(world: &World, request: &str, cookies: &str, more: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepgate"));
    command.args(["explain", request, "--cookie-stdin", "--format", "json"]).args(more);
    command.current_dir(world.gate.path("")).env("STEPGATE_ADMIN", CREDENTIAL).env("SEAL", KEY);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(cookies.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let shown = text.clone() + &String::from_utf8_lossy(&out.stderr);
    for secret in cookies.split([';', '=', ' ']).filter(|part| part.len() > 40) {
        assert!(!shown.contains(secret), "the cookie is shown: {shown}");
    }
    (out.status.code(), serde_json::from_str(&text).unwrap_or_default(), String::from_utf8(out.stderr).unwrap())
}

const APP: &str = "GET https://app.example/app/1";

impl World {
    /// What is explained of a request with a kept cookie, which must be what the gate does.
    fn agrees_on(&self, path: &str, value: &str) -> Value {
        let cookies = format!("theme=dark; {NAME}={value}; own=1");
        let request = format!("GET https://app.example{path}");
        let (code, told, error) = explain(self, &request, &cookies, &["--config", "stepgate.yaml"]);
        let (response, decision) = self.gate.decision(&with(Request::get(path), value));
        assert_eq!(told["reason"], decision["reason"], "{told}\n{decision}\n{error}");
        assert_eq!((&told["decision"], code), (&decision["decision"], Some(i32::from(response.status != 200))));
        assert_eq!(told["deletes"], json!(is_deleted(&response, NAME).then_some(NAME).as_slice()), "{told}");
        if response.status != 200 {
            assert_eq!(told["operator"]["hint"], decision["hint"], "{told}\n{decision}");
        }
        told
    }
}

#[test]
fn what_is_kept_is_explained_as_the_gate_judges_it_and_what_only_the_gate_knows_is_said_to_be_unchecked() {
    let world = world(|setup| setup.credential());
    let value = sign_in(&world, &Token::id());
    let good = world.agrees_on("/app/1", &value);
    assert_eq!((&good["decision"], &good["levels"]), (&json!("allow"), &json!(["multi-factor"])));
    let token = &good["tokens"][0];
    assert_eq!(
        (&token["issuer"], &token["kind"], &token["signature"]),
        (&json!("bank"), &json!("id"), &json!("checked"))
    );
    assert_eq!((&token["kept"]["cookie"], &token["kept"]["logout_checked"]), (&json!(NAME), &json!(false)));
    assert!(token["kept"]["until"].as_str().is_some_and(|until| until.ends_with('Z')), "{token}");
    assert!(token["keys"].as_str().is_some_and(|from| from.contains("`seal.keys` of stepgate.yaml")), "{token}");
    let (_, _, error) = explain(&world, APP, &format!("{NAME}={value}"), &["--config", "stepgate.yaml"]);
    assert!(
        error.contains("WHETHER A LOGOUT ENDED IT WAS NOT CHECKED of what is kept in `__Host-stepgate`"),
        "{error}"
    );
    assert_eq!(world.agrees_on("/app/strongest", &value)["reason"], "level_too_low");
    assert_eq!(world.agrees_on("/app/1", &sign_in(&world, &Token::id().weak()))["reason"], "level_too_low");
    assert_eq!(world.agrees_on("/app/1", &flipped(&value))["reason"], "signature_invalid");
    assert_eq!(world.agrees_on("/app/1", "made-up")["reason"], "token_malformed");
    assert_eq!(world.agrees_on("/bye", &value)["deletes"], json!([NAME]), "a logout");
    // Ended by that logout it is refused by the gate, which alone remembers: so it was said above.
    world.refuses(&with(Request::get("/app/1"), &value), 401, "revoked");
}

#[test]
fn without_the_gates_keys_nothing_is_made_up_and_with_them_it_is_told_by_a_running_gates_policy() {
    let world = world(|setup| setup.credential().file("other.key", OTHER_KEY));
    let value = sign_in(&world, &Token::id());
    let cookies = format!("Cookie: {NAME}={value}");
    let admin = format!("127.0.0.1:{}", world.gate.admin_port());
    for more in [&["--policies", "policies"][..], &["--admin", &admin]] {
        let (code, told, error) = explain(&world, APP, &cookies, more);
        assert_eq!((code, told), (Some(2), Value::Null), "{error}");
        assert!(error.contains("nobody can read here what is sealed in `__Host-stepgate`"), "{error}");
        assert!(error.contains("--kept-claims"), "the way out: {error}");
        let of_another = explain(&world, APP, "theme=dark", more).1;
        assert_eq!(of_another["reason"], "token_missing", "no key is needed for what is not there");
        for keys in [&["--seal-key-file", "seal0.key"][..], &["--seal-key-env", "SEAL"]] {
            let (code, told, error) = explain(&world, APP, &cookies, &[more, keys].concat());
            assert_eq!((code, &told["decision"]), (Some(0), &json!("allow")), "{error}");
        }
        let (_, told, _) = explain(&world, APP, &cookies, &[more, &["--seal-key-file", "other.key"]].concat());
        assert_eq!(told["reason"], "signature_invalid");
    }
    let (code, _, error) = explain(&world, APP, &cookies, &["--policies", "policies", "--seal-key-file", "nowhere"]);
    assert!(code == Some(2) && error.contains("failed to read `nowhere`"), "{error}");
}
