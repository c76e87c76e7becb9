//! What is kept, for how long, and when it is let go.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::jwks::tests::idp::*;
use crate::telemetry::KeyState;
use crate::token::testing::jwks;
use crate::token::{KeyLimits, KeyPlace};

#[tokio::test]
async fn a_rotation_is_seen_in_the_background_and_a_removed_key_is_honoured_no_more() {
    let idp = Idp::start().await;
    let (old, new) = (key("old"), key("new"));
    idp.set("/jwks", 200, "cache-control: max-age=0\r\n", jwks(&[&old]));
    let (_store, keys) = ready(settings(), idp.by_url("bank")).await;
    let before = keys.current().unwrap();
    let id = before.ids_for_tests()[0];
    assert!(keys.honours(id));
    idp.set("/jwks", 200, "cache-control: max-age=0\r\n", jwks(&[&old, &new]));
    eventually("the new key", || keys.current().unwrap().names("new")).await;
    assert!(keys.honours(id));
    idp.set("/jwks", 200, "cache-control: max-age=0\r\n", jwks(&[&new]));
    eventually("the old key is gone", || !keys.honours(id)).await;
    assert!(!keys.current().unwrap().names("old"));
}

#[tokio::test]
async fn an_issuer_that_is_down_at_start_heals_by_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let place = KeyPlace::JwksUrl(format!("http://{address}/jwks").into());
    let store = store(settings(), &[config("bank", "http://127.0.0.1", place)]);
    eventually("several tries", || store.status()[0].failed >= 3).await;
    assert_eq!(store.status()[0].state, KeyState::Waiting);
    let idp = Idp::listen(TcpListener::bind(address).await.unwrap());
    idp.keys(&[&key("a")]);
    eventually("keys", || store.status()[0].state == KeyState::Ready).await;
    assert!(store.status()[0].error.is_none());
}

#[tokio::test]
async fn a_broken_or_empty_set_leaves_the_last_good_one_in_use() {
    let idp = Idp::start().await;
    idp.set("/jwks", 200, "cache-control: max-age=0\r\n", jwks(&[&key("a")]));
    let (store, keys) = ready(settings(), idp.by_url("bank")).await;
    for broken in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#] {
        idp.set("/jwks", 200, "", broken);
        let failed = store.status()[0].failed;
        eventually("failed fetches", || store.status()[0].failed > failed + 1).await;
        assert!(keys.current().unwrap().names("a"), "{broken}");
    }
    eventually("past its lifetime", || store.status()[0].state == KeyState::Stale).await;
    assert!(store.status()[0].error.is_some());
    idp.keys(&[&key("b")]);
    eventually("healed", || keys.current().unwrap().names("b")).await;
    assert_eq!(store.status()[0].state, KeyState::Ready);
}

#[tokio::test]
async fn a_set_may_be_kept_for_as_long_as_any_setting_says() {
    let idp = Idp::start().await;
    idp.set("/jwks", 200, "cache-control: max-age=0\r\n", jwks(&[&key("a")]));
    let settings = crate::jwks::KeySettings { max_stale: Duration::MAX, ..settings() };
    let (store, keys) = ready(settings, idp.by_url("bank")).await;
    idp.set("/jwks", 503, "", "");
    eventually("past its lifetime", || store.status()[0].state == KeyState::Stale).await;
    let failed = store.status()[0].failed;
    eventually("failed fetches", || store.status()[0].failed > failed + 2).await;
    assert!(keys.current().is_some());
}

#[tokio::test]
async fn a_set_that_is_too_old_is_let_go() {
    let idp = Idp::start().await;
    idp.set("/jwks", 200, "cache-control: max-age=0\r\n", jwks(&[&key("a")]));
    let settings = crate::jwks::KeySettings { max_stale: Duration::from_millis(100), ..settings() };
    let (store, keys) = ready(settings, idp.by_url("bank")).await;
    idp.set("/jwks", 503, "", "");
    eventually("let go", || keys.current().is_none()).await;
    assert_eq!(store.status()[0].state, KeyState::Waiting);
    idp.keys(&[&key("a")]);
    eventually("healed", || keys.current().is_some()).await;
}

#[tokio::test]
async fn a_fetch_that_hangs_does_not_lengthen_the_life_of_an_old_set() {
    let idp = Idp::start().await;
    idp.set("/jwks", 200, "cache-control: max-age=0\r\n", jwks(&[&key("a")]));
    let mut settings = crate::jwks::KeySettings { max_stale: Duration::from_millis(100), ..settings() };
    settings.pace.total = Duration::from_secs(60);
    let (store, keys) = ready(settings, idp.by_url("bank")).await;
    idp.delay(Duration::from_secs(60));
    eventually("let go", || keys.current().is_none()).await;
    let status = &store.status()[0];
    assert_eq!((status.state, status.failed), (KeyState::Waiting, 0));
}

#[tokio::test]
async fn no_more_is_read_than_the_settings_allow() {
    let idp = Idp::start().await;
    let document = jwks(&[&key("a"), &key("b")]);
    idp.set("/jwks", 200, "", document.clone());
    let with = |limits| crate::jwks::KeySettings { limits, ..settings() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, &document).unwrap();
    let by_file = || config("bank", "https://idp.example", KeyPlace::JwksFile(path.clone()));
    let exact = KeyLimits { bytes: document.len(), keys: 2 };
    for source in [idp.by_url("bank"), by_file()] {
        ready(with(exact), source.clone()).await;
        for (limits, word) in [
            (KeyLimits { bytes: exact.bytes - 1, ..exact }, "`limits.jwks`"),
            (KeyLimits { keys: 1, ..exact }, "`limits.jwks_keys`"),
        ] {
            let store = store(with(limits), std::slice::from_ref(&source));
            eventually("the fetch fails", || store.status()[0].failed > 0).await;
            let error = store.status()[0].error.clone().unwrap();
            assert!(error.contains(word), "{error}");
        }
    }
}

#[tokio::test]
async fn a_longer_document_is_not_even_read_to_its_end() {
    let idp = Idp::start().await;
    idp.discovery();
    let mut settings = settings();
    settings.limits.bytes = 50;
    let store = store(settings, &[idp.by_discovery("bank")]);
    eventually("the fetch fails", || store.status()[0].failed > 0).await;
    let error = store.status()[0].error.clone().unwrap();
    assert!(error.contains("the document is longer than 50 bytes"), "{error}");
}

#[tokio::test]
async fn one_dead_issuer_does_not_delay_another() {
    let (dead, alive) = (Idp::start().await, Idp::start().await);
    dead.delay(Duration::from_secs(60));
    alive.keys(&[&key("a")]);
    let store = store(settings(), &[dead.by_url("dead"), alive.by_url("alive")]);
    let keys = store.get("alive").unwrap();
    tokio::time::timeout(Duration::from_secs(1), keys.first()).await.expect("at once").unwrap();
    assert_eq!(
        store.status().iter().map(|status| status.state).collect::<Vec<_>>(),
        [KeyState::Ready, KeyState::Waiting]
    );
}

#[tokio::test]
async fn a_key_file_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, jwks(&[&key("a")])).unwrap();
    let (store, keys) =
        ready(settings(), config("bank", "https://idp.example", KeyPlace::JwksFile(path.clone()))).await;
    std::fs::write(&path, jwks(&[&key("b")])).unwrap();
    eventually("the new key", || keys.current().unwrap().names("b")).await;
    std::fs::write(&path, "half a fi").unwrap();
    eventually("the error", || store.status()[0].error.is_some()).await;
    assert!(keys.current().unwrap().names("b"));
    std::fs::remove_file(&path).unwrap();
    eventually("the path", || store.status()[0].error.as_ref().is_some_and(|e| e.contains("jwks.json"))).await;
    assert!(keys.current().unwrap().names("b"));
    std::fs::write(&path, jwks(&[&key("c")])).unwrap();
    eventually("healed", || keys.current().unwrap().names("c")).await;
}

#[tokio::test]
async fn a_new_policy_leaves_unchanged_issuers_alone_and_ends_removed_ones() {
    let idp = Idp::start().await;
    idp.discovery();
    idp.keys(&[&key("a")]);
    let (store, stays) = ready(settings(), idp.by_url("stays")).await;
    store.apply(&[idp.by_url("stays"), idp.by_discovery("goes")]);
    let goes = store.get("goes").unwrap();
    goes.first().await.unwrap();
    assert!(Arc::ptr_eq(&stays, &store.get("stays").unwrap()));
    assert_eq!(idp.asked("/jwks"), 2, "one fetch each");

    store.apply(&[idp.by_url("stays")]);
    assert!(stays.current().is_some());
    assert!(store.get("goes").is_none() && goes.current().is_none(), "nothing is believed on its keys any more");

    store.apply(&[idp.by_discovery("stays")]);
    assert!(stays.current().is_none(), "another source is another issuer");
    store.get("stays").unwrap().first().await.unwrap();
}
