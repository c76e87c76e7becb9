//! An issuer that is taken away, is not there at the start, or can be reached in one way only.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Alg, Gate, Idp, Key, Mood, Request, Token, Upstream, eventually, free_port, jwks};

fn policy(issuer: &str) -> String {
    format!(
        "version: 1\nissuers:\n  idp:\n    issuer: {issuer}\n    access: {{ audiences: [\"https://api.example\"] }}\n    \
         proves: {{ single-factor: {{ factors: 1 }}, multi-factor: {{ factors: 2 }} }}\nroutes:\n  \
         - {{ name: any, match: {{ path: \"/any/**\" }}, require: authenticated }}\n"
    )
}

fn ask(issuer: &str, key: &Key, id: &str) -> Request {
    Request::get("/any/1").bearer(&Token::access().issuer(issuer).claim("jti", id).sign(key))
}

fn refused_for_now(gate: &Gate, request: &Request) {
    let (refused, decision) = gate.decision(request);
    assert_eq!((refused.status, &decision["reason"]), (503, &"keys_unavailable".into()), "{decision}");
    assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
}

#[test]
fn an_issuer_taken_away_costs_nobody_whose_key_is_known_and_all_heals_when_it_is_back() {
    let (key, new) = (Key::new(Alg::Es256, "k"), Key::new(Alg::Es256, "new"));
    for away in [Mood::Gone, Mood::Down, Mood::Slow(jwks(&[&key, &new]), Duration::from_secs(30))] {
        let (idp, upstream) = (Idp::with(&[&key]), Upstream::start());
        let gate = Gate::setup(&upstream).policy(&policy(&idp.issuer())).start();
        gate.wait_until_ready(Duration::from_secs(10));
        let warm = ask(&idp.issuer(), &key, "warm");
        assert_eq!(gate.send(&warm).status, 200);

        idp.is_now(away);
        for round in 0..3 {
            assert_eq!(gate.send(&warm).status, 200, "a token that was verified before");
            let fresh = ask(&idp.issuer(), &key, &format!("fresh-{round}"));
            assert_eq!(gate.send(&fresh).status, 200, "a new token of a key that is held");
            refused_for_now(&gate, &ask(&idp.issuer(), &new, &format!("new-{round}")));
        }
        assert!(gate.is_ready(), "the last good keys count");
        assert_eq!(upstream.begun(), 7);

        idp.is_now(Mood::Serves(jwks(&[&key, &new])));
        let rotated = ask(&idp.issuer(), &new, "rotated");
        eventually("it heals by itself", Duration::from_secs(20), || gate.send(&rotated).status == 200);
        assert_eq!(gate.send(&warm).status, 200);
    }
}

#[test]
fn an_issuer_that_is_not_there_at_the_start_is_found_when_it_comes() {
    let (key, upstream, port) = (Key::new(Alg::Es256, "k"), Upstream::start(), free_port());
    let issuer = format!("http://127.0.0.1:{port}");
    let gate = Gate::setup(&upstream).policy(&policy(&issuer)).start();
    refused_for_now(&gate, &ask(&issuer, &key, "early"));
    assert!(!gate.is_ready());
    let _idp = Idp::on(port, Mood::Serves(jwks(&[&key])));
    gate.wait_until_ready(Duration::from_secs(20));
    assert_eq!(gate.send(&ask(&issuer, &key, "late")).status, 200);
}

#[test]
fn a_proxy_that_the_environment_names_is_not_asked() {
    let key = Key::new(Alg::Es256, "k");
    let (idp, upstream, nobody) = (Idp::with(&[&key]), Upstream::start(), format!("http://127.0.0.1:{}", free_port()));
    let mut setup = Gate::setup(&upstream).policy(&policy(&idp.issuer()));
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        setup = setup.environment(name, &nobody);
    }
    let gate = setup.start();
    gate.wait_until_ready(Duration::from_secs(10));
    assert_eq!(gate.send(&ask(&idp.issuer(), &key, "1")).status, 200);
}

/// A gate that keeps its keys in this folder.
fn keeping(upstream: &Upstream, issuer: &str, folder: &Path) -> Gate {
    let settings = format!("keys: {{ cache_dir: \"{}\" }}", folder.display());
    Gate::setup(upstream).policy(&policy(issuer)).settings(&settings).start()
}

/// The one copy in the folder, once it is there.
fn copy(folder: &Path) -> PathBuf {
    let mut found = Vec::new();
    eventually("the keys are on disk", Duration::from_secs(10), || {
        found = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        found.len() == 1 && found[0].extension().is_some_and(|end| end == "json")
    });
    found.remove(0)
}

#[test]
fn a_start_without_the_issuer_verifies_with_the_keys_on_disk_and_heals_when_it_is_back() {
    let (key, new) = (Key::new(Alg::Es256, "k"), Key::new(Alg::Es256, "new"));
    let (idp, upstream, folder) = (Idp::with(&[&key]), Upstream::start(), TempDir::new().unwrap());
    drop({
        let gate = keeping(&upstream, &idp.issuer(), folder.path());
        copy(folder.path());
        gate
    });

    idp.is_now(Mood::Gone);
    let gate = keeping(&upstream, &idp.issuer(), folder.path());
    gate.wait_until_ready(Duration::from_secs(10));
    assert!(gate.admin("/readyz").body.contains("\"state\":\"stale\""));
    assert_eq!(gate.send(&ask(&idp.issuer(), &key, "1")).status, 200);
    refused_for_now(&gate, &ask(&idp.issuer(), &new, "2"));
    assert_eq!(upstream.begun(), 1);

    idp.is_now(Mood::Serves(jwks(&[&new])));
    let rotated = ask(&idp.issuer(), &new, "3");
    eventually("it heals by itself", Duration::from_secs(20), || gate.send(&rotated).status == 200);
    assert!(matches!(gate.send(&ask(&idp.issuer(), &key, "4")).status, 401 | 503), "the old key left the set");
    assert!(gate.admin("/readyz").body.contains("\"state\":\"ready\""));
}

#[test]
fn keys_on_disk_that_are_damaged_are_named_in_the_log_and_verify_nothing() {
    let key = Key::new(Alg::Es256, "k");
    let (idp, upstream, folder) = (Idp::with(&[&key]), Upstream::start(), TempDir::new().unwrap());
    drop({
        let gate = keeping(&upstream, &idp.issuer(), folder.path());
        copy(folder.path());
        gate
    });
    let file = copy(folder.path());
    let good = fs::read(&file).unwrap();
    fs::write(&file, &good[..good.len() - 9]).unwrap();

    idp.is_now(Mood::Gone);
    let gate = keeping(&upstream, &idp.issuer(), folder.path());
    refused_for_now(&gate, &ask(&idp.issuer(), &key, "1"));
    let name = file.file_name().unwrap().to_str().unwrap();
    eventually("it is named", Duration::from_secs(5), || gate.log().contains(name) && gate.log().contains("damaged"));
    assert_eq!(upstream.begun(), 0);
}

#[test]
fn a_folder_that_cannot_hold_keys_is_said_before_anything_is_served() {
    let (upstream, folder) = (Upstream::start(), TempDir::new().unwrap());
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let settings = format!("keys: {{ cache_dir: \"{}\" }}", file.display());
    let setup = Gate::setup(&upstream).policy(&policy("http://127.0.0.1:1")).settings(&settings);
    let (code, said) = setup.fails();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("keys.cache_dir") && said.contains(&*file.to_string_lossy()), "{said}");
}
