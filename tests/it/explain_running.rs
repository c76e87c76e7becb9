//! `stepgate explain --admin`: it says of a request what the running gate does with it, by the gate's own policy and keys.

use std::net::TcpListener;

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::shared::gate::CREDENTIAL;
use crate::support::{Alg, Answer, Gate, Idp, Key, Mood, POLICY, Request, Token, Upstream, World, eventually};

/// Exit code, what was explained, what was complained of.
type Said = (Option<i32>, Value, String);

const STRONG: &str = "GET http://127.0.0.1/strong/a";

/// Asks whoever listens at `admin`; the credential is in the environment, and so is the token.
fn explain(admin: &str, credential: Option<&str>, request: &str, token: &str, more: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepgate"));
    command.args(["explain", request, "--admin", admin, "--token-env", "TOKEN", "--format", "json"]).args(more);
    command.env("TOKEN", token).env_remove("STEPGATE_ADMIN").current_dir("/").stdin(Stdio::null());
    if let Some(credential) = credential {
        command.env("STEPGATE_ADMIN", credential);
    }
    let out = command.output().unwrap();
    let told = serde_json::from_slice(&out.stdout).unwrap_or_default();
    (out.status.code(), told, String::from_utf8(out.stderr).unwrap())
}

fn world() -> World {
    World::before(Upstream::start(), |setup| setup.policy(POLICY).credential())
}

impl World {
    fn admin(&self) -> String {
        format!("http://127.0.0.1:{}", self.gate.admin_port())
    }

    /// What is explained of a request with a token, which must be what the gate does.
    fn agrees(&self, request: &Request, text: &str, token: &str) -> Value {
        let (code, told, error) = explain(&self.admin(), Some(CREDENTIAL), text, token, &[]);
        let (response, decision) = self.gate.decision(&request.clone().bearer(token));
        assert_eq!(told["decision"], decision["decision"], "{error}\n{told}\n{decision}");
        assert_eq!(told["reason"], decision["reason"], "{told}\n{decision}");
        assert_eq!((&told["policy"], code), (&decision["policy"], Some(i32::from(response.status != 200))));
        assert_eq!(told["signatures_checked"], true, "{told}");
        assert_eq!(told["gate"]["url"], format!("{}/", self.admin()));
        if response.status != 200 {
            assert_eq!(told["response"]["status"], response.status);
        }
        told
    }
}

#[test]
fn what_is_explained_is_what_the_gate_does_with_known_keys_and_unknown_ones_and_old_tokens() {
    let world = world();
    let request = Request::get("/strong/a").host("127.0.0.1");
    let told = |token: &Token, key: &Key| world.agrees(&request, STRONG, &token.sign(key));
    let good = told(&Token::access(), &world.bank);
    assert_eq!(good["decision"], "allow");
    let keys = good["tokens"][0]["keys"].as_str().unwrap();
    assert!(keys.contains("/keys: ready, fetched at 2"), "{keys}");
    assert_eq!(told(&Token::access().weak(), &world.bank)["reason"], "level_too_low");
    assert_eq!(told(&Token::access().claim("exp", 1_000_000_000), &world.bank)["reason"], "expired");
    assert_eq!(told(&Token::access(), &Key::new(Alg::Es256, "key-2"))["reason"], "key_unknown");
    assert_eq!(told(&Token::access(), &Key::new(Alg::Es256, "key-1"))["reason"], "signature_invalid");
    assert_eq!(told(&Token::access().issuer("https://evil.example"), &world.bank)["reason"], "issuer_unknown");
}

#[test]
fn a_policy_that_changed_in_between_is_the_one_that_is_explained() {
    let world = world();
    let (admin, token) = (world.admin(), Token::access().weak().sign(&world.bank));
    let asked = |what: &str| explain(&admin, Some(CREDENTIAL), what, &token, &[]).1;
    let before = asked(STRONG);
    assert_eq!((&before["decision"], &before["policy"]), (&"deny".into(), &world.gate.in_force().into()));
    world.gate.reload(&POLICY.replace(
        "name: strong, match: { path: \"/strong/**\" }, require: { level: multi-factor }",
        "name: weak, match: { path: \"/strong/**\" }, require: { level: single-factor }",
    ));
    let after = asked(STRONG);
    assert_eq!((&after["decision"], &after["route"]["name"]), (&"allow".into(), &"weak".into()));
    assert_eq!(after["policy"], world.gate.in_force());
    assert_ne!(after["policy"], before["policy"]);
    // What is refused changes neither what is in force nor what is told.
    world.gate.replace("policies/0.yaml", "version: 2\n");
    world.gate.hang_up();
    eventually("the broken policy is refused", Duration::from_secs(5), || !world.gate.reloads()["refused"].is_null());
    assert_eq!(asked(STRONG)["policy"], after["policy"]);
}

#[test]
fn an_issuer_whose_keys_the_gate_does_not_have_is_explained_as_it_is_answered() {
    let (idp, upstream) = (Idp::that(Mood::Down), Upstream::start());
    let policy = format!(
        "version: 1\nissuers:\n  idp:\n    issuer: {}\n    access: {{ audiences: [api] }}\nroutes:\n  \
         - {{ name: all, match: {{ path: \"/**\" }}, require: authenticated }}\n",
        idp.issuer()
    );
    let gate = Gate::setup(&upstream).policy(&policy).credential().start();
    let key = Key::new(Alg::Es256, "k");
    let token = Token::access().issuer(&idp.issuer()).claim("aud", "api").sign(&key);
    let admin = format!("127.0.0.1:{}", gate.admin_port());
    let asked = || explain(&admin, Some(CREDENTIAL), "GET http://127.0.0.1/a", &token, &[]).1;
    let (response, decision) = gate.decision(&Request::get("/a").bearer(&token));
    assert_eq!((response.status, &decision["reason"]), (503, &"keys_unavailable".into()));
    let told = asked();
    assert_eq!((&told["reason"], &told["response"]["status"]), (&decision["reason"], &503.into()), "{told}");
    assert!(told["detail"].as_str().unwrap().contains("the gate has no keys of `idp` now"), "{told}");
    idp.is_now(Mood::Serves(crate::support::jwks(&[&key])));
    gate.wait_until_ready(Duration::from_secs(20));
    assert_eq!(asked()["decision"], "allow");
}

#[test]
fn who_does_not_show_the_credential_is_told_nothing_and_why() {
    let world = world();
    let (admin, token) = (world.admin(), Token::access().sign(&world.bank));
    let file = world.gate.path("credential");
    std::fs::write(&file, format!("{CREDENTIAL}\n")).unwrap();
    let said = |credential: Option<&str>, more: &[&str]| {
        let (code, told, error) = explain(&admin, credential, STRONG, &token, more);
        assert!(!error.contains(CREDENTIAL) && !error.contains("wrong-credential"), "{error}");
        assert_eq!(told.is_null(), code == Some(2), "{error}");
        (code, error)
    };
    let (code, error) = said(Some("wrong-credential-of-tests"), &[]);
    assert_eq!(code, Some(2));
    assert!(error.contains("does not take this credential") && error.contains("admin: { credential }"), "{error}");
    let (code, error) = said(None, &[]);
    assert_eq!(code, Some(2));
    assert!(error.contains("the environment variable `STEPGATE_ADMIN` is not set"), "{error}");
    assert_eq!(said(None, &["--admin-credential-file", file.to_str().unwrap()]).0, Some(0));
    let (code, error) = said(Some(CREDENTIAL), &["--admin-credential-env", "NOT_THERE"]);
    assert!(code == Some(2) && error.contains("`NOT_THERE` is not set"), "{error}");
    let closed = World::start();
    let (code, _, error) = explain(&closed.admin(), Some(CREDENTIAL), STRONG, &token, &[]);
    assert_eq!(code, Some(2));
    assert!(error.contains("tells its policy to nobody") && error.contains("`admin.credential`"), "{error}");
}

#[test]
fn where_no_gate_answers_it_is_said_what_does() {
    let refused = |admin: &str, why: &str| {
        let (code, told, error) = explain(admin, Some(CREDENTIAL), STRONG, "a.b.c", &[]);
        assert_eq!((code, told), (Some(2), Value::Null), "{error}");
        assert!(error.contains(why), "{error}");
    };
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused(&format!("http://{free}"), "nothing answers at");
    refused("http://gate.example:9901", "plain http to another machine");
    let answers = |answer: fn() -> Answer| format!("http://127.0.0.1:{}", Upstream::on(0, move |_| answer()).port);
    refused(&answers(|| Answer::status(404, "", "no")), "a gate older than this command");
    refused(&answers(|| Answer::status(200, "", "{}")), "is no gate's admin listener");
    refused(&answers(|| Answer::status(302, "Location: http://127.0.0.1:1/\r\n", "")), "answers 302");
}

#[test]
fn no_token_is_sent_to_the_gate_and_options_that_name_other_policies_are_refused() {
    let spy = Upstream::on(0, |_| Answer::status(404, "", "no"));
    let admin = format!("http://127.0.0.1:{}", spy.port);
    explain(&admin, Some(CREDENTIAL), STRONG, "header.claims.signature", &[]);
    let seen = spy.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), Some(&*format!("Bearer {CREDENTIAL}")));
    assert_eq!((&*seen[0].line, &*seen[0].body), ("GET /policy HTTP/1.1", ""));
    let mut names = seen[0].names();
    names.sort_unstable();
    assert_eq!(names, ["accept", "authorization", "host", "user-agent"], "nothing else could carry a token");
    for more in [["--policies", "/"], ["--config", "/a"], ["--jwks", "/a"]] {
        let (code, _, error) = explain(&admin, Some(CREDENTIAL), STRONG, "a.b.c", &more);
        assert!(code == Some(2) && error.contains("cannot be used with"), "{error}");
    }
}
