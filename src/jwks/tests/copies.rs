//! A start without the issuer: what is kept on disk, and when it is believed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::jwks::tests::idp::*;
use crate::jwks::{Asked, CacheDir, IssuerKeys, KeySettings, KeyStore};
use crate::telemetry::KeyState;
use crate::token::KeyPlace;
use crate::token::testing::jwks;

fn keeping(folder: &TempDir) -> KeySettings {
    KeySettings { cache_dir: Some(CacheDir::open(folder.path()).unwrap()), ..settings() }
}

/// The files in the folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// An issuer that was asked once, whose copy is in the folder, and that answers no more.
async fn gone_after_one_fetch() -> (Idp, TempDir) {
    let (idp, folder) = (Idp::start().await, tempfile::tempdir().unwrap());
    idp.discovery();
    idp.keys(&[&key("a")]);
    let (_store, _keys) = ready(keeping(&folder), idp.by_discovery("bank")).await;
    written(&folder).await;
    idp.set("/jwks", 503, "", "");
    (idp, folder)
}

async fn written(folder: &TempDir) {
    let whole = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
    eventually("the copy is written", || files(folder.path()).iter().any(whole)).await;
    eventually("nothing else stays", || files(folder.path()).len() == 1).await;
}

fn cold(settings: KeySettings, idp: &Idp) -> (KeyStore, Arc<IssuerKeys>) {
    let store = store(settings, &[idp.by_discovery("bank")]);
    let keys = store.get("bank").unwrap();
    (store, keys)
}

#[tokio::test]
async fn a_start_without_the_issuer_uses_the_copy_at_once_and_heals_when_it_comes() {
    let (idp, folder) = gone_after_one_fetch().await;
    idp.delay(Duration::from_secs(60));
    let (store, keys) = cold(keeping(&folder), &idp);
    let first = tokio::time::timeout(Duration::from_secs(1), keys.first()).await;
    assert!(first.expect("nobody waits for the issuer").unwrap().names("a"));
    assert_eq!(keys.acr_values_supported().unwrap()[..], ["1".into(), "2".into()]);
    let status = &store.status()[0];
    assert_eq!((status.state, status.keys, status.fetched), (KeyState::Stale, 1, 0));
    assert!(status.fetched_at.is_some());

    drop(store);
    idp.delay(Duration::ZERO);
    let (store, keys) = cold(keeping(&folder), &idp);
    eventually("several tries", || store.status()[0].failed > 2).await;
    assert!(keys.current().unwrap().names("a"), "failed fetches do not end it");
    assert!(matches!(keys.ask(Some("b"), peer(1)).await, Asked::CannotAsk { .. }), "an unknown key stays undecided");
    idp.keys(&[&key("b")]);
    eventually("healed", || store.status()[0].state == KeyState::Ready).await;
    assert!(keys.current().unwrap().names("b") && !keys.current().unwrap().names("a"));
}

#[tokio::test]
async fn the_copy_never_replaces_what_the_issuer_says() {
    let (idp, folder) = gone_after_one_fetch().await;
    idp.keys(&[&key("b")]);
    let (store, keys) = cold(keeping(&folder), &idp);
    eventually("fetched", || store.status()[0].fetched > 0).await;
    for _ in 0..20 {
        assert!(keys.current().unwrap().names("b"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_copy_that_comes_late_changes_nothing() {
    let (idp, folder) = gone_after_one_fetch().await;
    let text = fs::read(files(folder.path()).remove(0)).unwrap();
    let copy = || {
        crate::jwks::copy::decode(&text, &idp.by_discovery("bank"), &settings(), crate::clock::now())
            .expect("a good one")
    };
    idp.keys(&[&key("b")]);
    let (store, keys) = ready(settings(), idp.by_discovery("bank")).await;
    let fetched_at = store.status()[0].fetched_at;
    keys.take_copy(copy());
    assert!(keys.current().unwrap().names("b"), "the issuer was asked since");
    assert_eq!((store.status()[0].state, store.status()[0].fetched_at), (KeyState::Ready, fetched_at));

    idp.set("/jwks", 503, "", "");
    store.apply(&[idp.by_url("bank"), idp.by_discovery("other")]);
    let gone = store.get("other").unwrap();
    store.apply(&[]);
    gone.take_copy(copy());
    assert!(gone.current().is_none(), "the issuer left the policy");
}

#[tokio::test]
async fn an_issuer_that_a_reload_adds_starts_from_its_copy_too() {
    let (idp, folder) = gone_after_one_fetch().await;
    let store = store(keeping(&folder), &[]);
    store.apply(&[idp.by_discovery("bank")]);
    let keys = store.get("bank").unwrap();
    assert!(keys.first().await.unwrap().names("a"));
    store.apply(&[]);
    assert!(keys.current().is_none(), "an issuer that left is believed no more, copy or not");
}

#[tokio::test]
async fn a_copy_that_cannot_be_trusted_is_not_used_and_does_no_harm() {
    let (idp, folder) = gone_after_one_fetch().await;
    let file = files(folder.path()).remove(0);
    let good = fs::read(&file).unwrap();
    let cut = good[..good.len() / 2].to_vec();
    let mut huge = good.clone();
    huge.resize(4 << 20, b' ');
    for bad in [cut, Vec::new(), b"\xff\xfe".to_vec(), huge] {
        fs::write(&file, &bad).unwrap();
        let (store, keys) = cold(keeping(&folder), &idp);
        eventually("several tries", || store.status()[0].failed > 2).await;
        assert!(keys.current().is_none() && store.status()[0].state == KeyState::Waiting);
    }
    fs::write(&file, &good).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let (store, keys) = cold(keeping(&folder), &idp);
    eventually("several tries", || store.status()[0].failed > 2).await;
    assert!(keys.current().is_none(), "anyone may have written it");

    idp.keys(&[&key("b")]);
    eventually("healed", || keys.current().is_some()).await;
    eventually("replaced", || fs::read(&file).is_ok_and(|now| now != good)).await;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn another_source_does_not_take_over_the_copy() {
    let (idp, folder) = gone_after_one_fetch().await;
    let store = store(keeping(&folder), &[idp.by_url("bank")]);
    eventually("several tries", || store.status()[0].failed > 2).await;
    assert!(store.get("bank").unwrap().current().is_none());
}

#[tokio::test]
async fn a_copy_is_honoured_no_longer_than_keys_in_memory_would_be() {
    let (idp, folder) = gone_after_one_fetch().await;
    // Its lifetime is 10 minutes; what is left of that ends while we look.
    let file = files(folder.path()).remove(0);
    let dir = CacheDir::open(folder.path()).unwrap();
    let aged = |seconds: i64| crate::jwks::copy::Original {
        jwks: jwks(&[&key("a")]),
        jwks_uri: None,
        acr_values_supported: None,
        fetched_at: crate::clock::now().plus_seconds(-seconds),
        lifetime: Duration::from_secs(600),
    };
    let strict = KeySettings { max_stale: Duration::ZERO, ..keeping(&folder) };
    let config = idp.by_discovery("bank");
    dir.write(&file, &crate::jwks::copy::encode(&aged(598), &config, &strict).unwrap()).unwrap();
    let (store, keys) = cold(strict.clone(), &idp);
    eventually("used", || keys.current().is_some()).await;
    eventually("let go", || keys.current().is_none()).await;
    assert_eq!(store.status()[0].state, KeyState::Waiting);

    dir.write(&file, &crate::jwks::copy::encode(&aged(601), &config, &strict).unwrap()).unwrap();
    let (store, keys) = cold(strict, &idp);
    eventually("several tries", || store.status()[0].failed > 2).await;
    assert!(keys.current().is_none());
}

#[tokio::test]
async fn every_good_fetch_is_written_and_a_disk_that_fails_stops_nothing() {
    let (idp, folder) = (Idp::start().await, tempfile::tempdir().unwrap());
    idp.set("/jwks", 200, "cache-control: max-age=0\r\n", jwks(&[&key("a")]));
    let (store, keys) = ready(keeping(&folder), idp.by_url("bank")).await;
    written(&folder).await;
    let file = files(folder.path()).remove(0);
    let holds = |kid: &str| fs::read_to_string(&file).is_ok_and(|text| text.contains(&format!("\"kid\":\"{kid}\"")));
    assert!(holds("a"));
    idp.set("/jwks", 200, "cache-control: max-age=0\r\n", jwks(&[&key("b")]));
    eventually("the new set is written", || holds("b")).await;

    fs::remove_dir_all(folder.path()).unwrap();
    idp.set("/jwks", 200, "cache-control: max-age=0\r\n", jwks(&[&key("c")]));
    eventually("the new set is used", || keys.current().unwrap().names("c")).await;
    assert!(store.status()[0].error.is_none());
    fs::create_dir(folder.path()).unwrap();
    eventually("it is written again", || holds("c")).await;
}

#[tokio::test]
async fn keys_in_a_file_of_the_operator_s_are_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("jwks.json");
    fs::write(&path, jwks(&[&key("a")])).unwrap();
    let (store, _keys) = ready(keeping(&folder), config("bank", "https://idp.example", KeyPlace::JwksFile(path))).await;
    eventually("read several times", || store.status()[0].fetched > 3).await;
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}
