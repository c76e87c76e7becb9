//! Assertions, verified by a library that others wrote with the keys that the gate publishes, while the keys change.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Alg, Front, Gate, Key, Request, Token, Upstream, eventually, jwks};

/// An application that believes only what it has verified.
struct Verifier {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Verifier {
    fn new(gate: &Gate, audience: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provider/assertion.mjs");
        let mut process = Command::new("node")
            .arg(script)
            .args(["--jwks", &format!("http://127.0.0.1:{}/assertion/jwks.json", gate.admin)])
            .args(["--issuer", "https://api.example"])
            .args(["--audience", audience])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`node` did not start; `make tools` installs it");
        let (to, from) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, to, from }
    }

    fn says(&mut self, assertion: &str) -> Value {
        writeln!(self.to, "{assertion}").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

const ROUTES: &str = "  - { name: any, match: { path: \"/any/**\" }, require: authenticated }\n";

/// A gate that asserts with these keys, and the key of its issuer.
fn gate(upstream: &Upstream, keys: &[(&str, String)]) -> (Gate, Key) {
    let bank = Key::new(Alg::Es256, "key-1");
    let names: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
    let setup = Gate::setup(upstream).file("bank.json", &jwks(&[&bank])).policy(&Front::policy(ROUTES));
    let setup = keys.iter().fold(setup, |setup, (name, text)| setup.file(name, text)).settings(&format!(
        "public_url: https://api.example\nidentity: {{ assertion: {{ key: [{}], for: 10s }} }}",
        names.join(", ")
    ));
    let gate = setup.start();
    gate.wait_until_ready(Duration::from_secs(10));
    (gate, bank)
}

/// What openssl makes of these arguments: a private key.
fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn ec() -> String {
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
}

/// What the application was told of one request with this token.
fn asserted(gate: &Gate, upstream: &Upstream, token: &str) -> String {
    assert_eq!(gate.send(&Request::get("/any/1").bearer(token)).status, 200);
    upstream.last().header("x-stepgate-assertion").unwrap().to_owned()
}

#[test]
fn an_application_verifies_who_called_with_keys_of_every_kind() {
    let upstream = Upstream::start();
    for (key, alg) in [
        (ec(), "ES256"),
        (openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout"]), "ES256"),
        (openssl(&["genpkey", "-algorithm", "ED25519"]), "EdDSA"),
        (openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]), "RS256"),
        (openssl(&["genrsa", "-traditional", "2048"]), "RS256"),
    ] {
        let (gate, bank) = gate(&upstream, &[("a.pem", key)]);
        let token = Token::access().sign(&bank);
        let assertion = asserted(&gate, &upstream, &token);
        let mut app = Verifier::new(&gate, "app");
        let said = app.says(&assertion);
        assert_eq!(said["alg"], alg, "{said}");
        let claims = &said["claims"];
        assert_eq!((&claims["sub"], &claims["token_iss"]), (&"ada".into(), &"https://bank.example".into()));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 10);

        // One character of the claims, or of the signature, and nobody believes it.
        let parts: Vec<&str> = assertion.split('.').collect();
        let turned = |text: &str| {
            let (begin, end) = text.split_at(text.len() / 2);
            let other = if end.starts_with('A') { "B" } else { "A" };
            begin.chars().chain(other.chars()).chain(end.chars().skip(1)).collect::<String>()
        };
        for tampered in [
            [parts[0], &turned(parts[1]), parts[2]].join("."),
            [parts[0], parts[1], &turned(parts[2])].join("."),
            token,
        ] {
            assert!(app.says(&tampered)["error"].is_string(), "{tampered}");
        }
        // It is for this upstream alone.
        assert_eq!(Verifier::new(&gate, "other").says(&assertion)["error"], "ERR_JWT_CLAIM_VALIDATION_FAILED");
    }
}

#[test]
fn while_keys_rotate_every_assertion_is_believed() {
    let upstream = Upstream::start();
    let (gate, bank) = gate(&upstream, &[("a.pem", ec()), ("b.pem", ec())]);
    let mut app = Verifier::new(&gate, "app");
    let number = std::cell::Cell::new(0);
    // A token of its own for each request, so that each is signed anew.
    let mut kid_of_next = || {
        number.set(number.get() + 1);
        let token = Token::access().claim("sub", format!("user-{}", number.get())).sign(&bank);
        let said = app.says(&asserted(&gate, &upstream, &token));
        assert_eq!(said["claims"]["sub"], format!("user-{}", number.get()), "{said}");
        said["kid"].as_str().unwrap().to_owned()
    };
    let published = || gate.admin("/assertion/jwks.json").body.matches("\"kid\"").count();
    let first = kid_of_next();
    assert_eq!(published(), 2, "the next one is known before it signs");

    // The next becomes the first, and one after it is put in its place.
    let rotated = Instant::now();
    gate.replace("a.pem", &fs::read_to_string(gate.path("b.pem")).unwrap());
    gate.replace("b.pem", &ec());
    gate.hang_up();
    let mut kids = vec![first.clone()];
    while rotated.elapsed() < Duration::from_secs(3) {
        kids.push(kid_of_next());
    }
    assert_ne!(kids.last().unwrap(), &first, "another key signs");
    assert_eq!(published(), 3, "what the first signed counts for a while");

    // What is no key changes nothing, and is told.
    let before = kids.pop().unwrap();
    gate.replace("a.pem", "nonsense");
    gate.hang_up();
    eventually("it is told", Duration::from_secs(5), || {
        let tls = gate.reloads()["tls"].clone();
        tls.as_array().unwrap().iter().any(|files| files["refused"].is_string())
    });
    assert_eq!(kid_of_next(), before);
}
