//! What an unknown key id may cause.

use std::sync::Arc;
use std::time::Duration;

use crate::jwks::tests::idp::*;
use crate::jwks::{Asked, KeySettings};

#[tokio::test]
async fn a_hundred_tokens_with_a_new_key_cause_one_fetch() {
    let idp = Idp::start().await;
    let (old, new) = (key("old"), key("new"));
    idp.keys(&[&old]);
    let (_store, keys) = ready(settings(), idp.by_url("bank")).await;
    idp.keys(&[&old, &new]);
    idp.delay(Duration::from_millis(100));
    let mut asks = Vec::new();
    for n in 0..100 {
        let keys = Arc::clone(&keys);
        asks.push(tokio::spawn(async move { keys.ask(Some("new"), peer(n)).await }));
        if n == 50 {
            // The others come while the fetch is under way.
            eventually("the fetch begins", || idp.asked("/jwks") == 2).await;
        }
    }
    for ask in asks {
        let asked = ask.await.unwrap();
        assert!(matches!(&asked, Asked::Refreshed(set) if set.names("new")), "{asked:?}");
    }
    assert_eq!(idp.asked("/jwks"), 2);
}

#[tokio::test]
async fn a_key_asked_for_in_vain_is_unknown_without_another_fetch() {
    let idp = Idp::start().await;
    idp.keys(&[&key("a")]);
    let (_store, keys) = ready(settings(), idp.by_url("bank")).await;
    for n in 0..20 {
        assert!(matches!(keys.ask(Some("made-up"), peer(n)).await, Asked::AskedInVain));
    }
    assert_eq!(idp.asked("/jwks"), 2);
}

#[tokio::test]
async fn one_caller_with_made_up_keys_cannot_hold_back_a_rotation_seen_by_another() {
    let idp = Idp::start().await;
    let (old, new) = (key("old"), key("new"));
    idp.keys(&[&old]);
    let (_store, keys) = ready(settings(), idp.by_url("bank")).await;
    assert!(matches!(keys.ask(Some("made-up-0"), peer(1)).await, Asked::AskedInVain));
    for n in 1..200 {
        let asked = keys.ask(Some(&format!("made-up-{n}")), peer(1)).await;
        let Asked::CannotAsk { retry_after } = asked else { panic!("{asked:?}") };
        assert!((1..=30).contains(&retry_after.as_secs()));
    }
    assert_eq!(idp.asked("/jwks"), 2, "one ask an interval and client");
    idp.keys(&[&new]);
    assert!(matches!(keys.ask(Some("new"), peer(2)).await, Asked::Refreshed(_)));
    assert!(matches!(keys.ask(Some("new"), peer(1)).await, Asked::Refreshed(_)), "it is there for all");
    assert_eq!(idp.asked("/jwks"), 3);
}

#[tokio::test]
async fn many_callers_together_cause_no_more_than_the_issuer_s_budget() {
    let idp = Idp::start().await;
    idp.keys(&[&key("a")]);
    let (_store, keys) = ready(settings(), idp.by_url("bank")).await;
    for n in 0..100 {
        keys.ask(Some(&format!("made-up-{n}")), peer(n)).await;
    }
    assert_eq!(idp.asked("/jwks"), 1 + 6);
}

#[tokio::test]
async fn while_the_issuer_is_down_an_unknown_key_stays_undecided() {
    let idp = Idp::start().await;
    idp.keys(&[&key("a")]);
    let (_store, keys) = ready(settings(), idp.by_url("bank")).await;
    idp.set("/jwks", 503, "", "");
    assert!(matches!(keys.ask(Some("new"), peer(1)).await, Asked::CannotAsk { .. }));
    idp.keys(&[&key("new")]);
    eventually("the background goes on trying", || keys.current().unwrap().names("new")).await;
}

#[tokio::test]
async fn an_issuer_without_keys_is_not_asked_by_requests() {
    let idp = Idp::start().await;
    idp.set("/jwks", 503, "", "");
    let slow = KeySettings {
        pace: crate::jwks::Pace { first_retry: Duration::from_secs(30), ..settings().pace },
        ..settings()
    };
    let store = store(slow, &[idp.by_url("bank")]);
    let keys = store.get("bank").unwrap();
    assert!(keys.first().await.is_err());
    for n in 0..20 {
        assert!(matches!(keys.ask(Some("a"), peer(n)).await, Asked::CannotAsk { .. }));
        assert!(keys.first().await.is_err());
    }
    assert_eq!(idp.asked("/jwks"), 1);
}

#[tokio::test]
async fn a_token_without_key_id_can_ask_too() {
    let idp = Idp::start().await;
    idp.keys(&[&key("a")]);
    let (_store, keys) = ready(settings(), idp.by_url("bank")).await;
    assert!(matches!(keys.ask(None, peer(1)).await, Asked::AskedInVain));
    assert!(matches!(keys.ask(None, peer(2)).await, Asked::AskedInVain));
    assert_eq!(idp.asked("/jwks"), 2);
}
