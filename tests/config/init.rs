//! `stepgate init`: whom it asks, what it writes, and what it leaves alone.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

fn init(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepgate"));
    let output = command.arg("init").args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn policy(folder: &Path) -> String {
    fs::read_to_string(folder.join("policies/policy.yaml")).unwrap()
}

/// An issuer whose discovery document is this, with `ISSUER` for its URL; for one request.
fn issuer(document: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let body = document.replace("ISSUER", &issuer);
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 4096];
        assert!(stream.read(&mut asked).unwrap() > 0);
        assert!(asked.starts_with(b"GET /.well-known/openid-configuration HTTP/1.1\r\n"));
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
    });
    issuer
}

#[test]
fn the_issuer_is_asked_and_recognised_by_the_acr_values_that_it_supports() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(
        r#"{ "issuer": "ISSUER", "jwks_uri": "ISSUER/jwks", "acr_values_supported": ["urn:brasil:openbanking:loa2", "urn:brasil:openbanking:loa3"] }"#,
    );
    // Some take the document for the issuer.
    let (code, out, err) = init(folder.path(), &["--issuer", &format!("{issuer}/.well-known/openid-configuration")]);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.contains("with the profile openfinance-brasil (recognised by the acr value `urn:brasil:openbanking:loa2`"),
        "{out}"
    );
    assert!(out.contains("next: set the audience in it"), "{out}");
    let policy = policy(folder.path());
    assert!(
        policy.contains(&format!("issuer: \"{issuer}\"\n")) && policy.contains("CHANGE THIS: what your API"),
        "{policy}"
    );
    for command in ["check", "test"] {
        let mut run = Command::new(env!("CARGO_BIN_EXE_stepgate"));
        assert!(
            run.args([command, "policies"]).current_dir(folder.path()).output().unwrap().status.success(),
            "{command}"
        );
    }
}

#[test]
fn another_issuers_document_and_no_document_at_all_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let other = issuer(r#"{ "issuer": "https://other.example", "jwks_uri": "ISSUER/jwks" }"#);
    let (code, out, err) = init(folder.path(), &["--issuer", &other]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("the document is that of the issuer `https://other.example`"), "{err}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, _, err) = init(folder.path(), &["--issuer", &format!("http://{nobody}")]);
    assert!(code == Some(2) && err.contains("with `--offline` nobody is asked"), "{err}");
    let (code, _, err) = init(folder.path(), &["--issuer", "http://idp.example"]);
    assert!(code == Some(2) && err.contains("plain http is taken for loopback addresses only"), "{err}");
    let (code, _, err) = init(folder.path(), &["--offline", "--issuer", "idp.example"]);
    assert!(code == Some(2) && err.contains("no policy can be made for `idp.example`"), "{err}");
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn nothing_that_is_there_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let offline = ["--offline", "--issuer", "https://idp.example"];
    fs::create_dir(folder.path().join("policies")).unwrap();
    fs::write(folder.path().join("policies/policy.test.yaml"), "mine").unwrap();
    let (code, out, err) = init(folder.path(), &offline);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("`policies/policy.test.yaml` cannot be written: it is there already"), "{err}");
    assert_eq!(fs::read_to_string(folder.path().join("policies/policy.test.yaml")).unwrap(), "mine");
    assert!(!folder.path().join("policies/policy.yaml").exists(), "all or nothing");
    fs::create_dir(folder.path().join("mine")).unwrap();
    fs::write(folder.path().join("mine/bank.yaml"), "version: 1\n").unwrap();
    let (code, _, err) = init(folder.path(), &[&offline[..], &["mine"]].concat());
    assert!(code == Some(2) && err.contains("`mine/bank.yaml` would be one policy with what is written"), "{err}");
    let (code, out, _) = init(folder.path(), &[&offline[..], &["--profile", "keycloak", "other"]].concat());
    assert_eq!(code, Some(0));
    assert!(out.contains("wrote other/policy.yaml with the profile keycloak (recognised by `--profile`)"), "{out}");
    let (code, _, err) = init(folder.path(), &[&offline[..], &["--profile", "keycloack", "third"]].concat());
    assert!(code == Some(2) && err.contains("did you mean `keycloak`"), "{err}");
}
