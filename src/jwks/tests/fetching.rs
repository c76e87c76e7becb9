//! What is asked, and what is taken for an answer.

use std::time::Duration;

use crate::jwks::tests::idp::*;
use crate::telemetry::KeyState;
use crate::token::KeyPlace;

#[tokio::test]
async fn keys_come_by_discovery_with_what_else_it_says() {
    let idp = Idp::start().await;
    idp.discovery();
    idp.keys(&[&key("a")]);
    let (store, keys) = ready(settings(), idp.by_discovery("bank")).await;
    assert!(keys.current().unwrap().names("a"));
    assert_eq!(keys.acr_values_supported().unwrap()[..], ["1".into(), "2".into()]);
    let status = &store.status()[0];
    assert_eq!((&*status.name, status.state, status.keys, status.fetched), ("bank", KeyState::Ready, 1, 1));
    assert!(status.fetched_at.is_some() && status.error.is_none());
    assert!((359..=480).contains(&status.next_fetch_in.as_secs()), "refreshed ahead of ten minutes");
}

#[tokio::test]
async fn keys_come_by_the_metadata_of_rfc_8414() {
    let idp = Idp::start().await;
    let document = serde_json::json!({ "issuer": idp.url, "jwks_uri": format!("{}/jwks", idp.url) });
    idp.set("/.well-known/oauth-authorization-server", 200, "", document.to_string());
    idp.keys(&[&key("a")]);
    ready(settings(), idp.by_discovery("bank")).await;
}

#[tokio::test]
async fn keys_come_by_url_without_discovery() {
    let idp = Idp::start().await;
    idp.keys(&[&key("a")]);
    let (_store, keys) = ready(settings(), idp.by_url("bank")).await;
    assert!(keys.acr_values_supported().is_none());
    assert_eq!(idp.asked("/.well-known/openid-configuration"), 0);
}

/// The error that such an answer leaves in the status, with no key believed.
async fn refused(prepare: impl FnOnce(&Idp), by_discovery: bool) -> String {
    let idp = Idp::start().await;
    prepare(&idp);
    let config = if by_discovery { idp.by_discovery("bank") } else { idp.by_url("bank") };
    let store = store(settings(), &[config]);
    eventually("the fetch fails", || store.status()[0].failed > 0).await;
    assert_eq!(store.status()[0].state, KeyState::Waiting);
    assert!(store.get("bank").unwrap().current().is_none());
    store.status()[0].error.clone().unwrap()
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let error = refused(
        |idp| {
            idp.set("/jwks", 302, "location: /other\r\n", "");
            idp.set("/other", 200, "", crate::token::testing::jwks(&[&key("a")]));
        },
        false,
    )
    .await;
    assert!(error.contains("redirects are not followed"), "{error}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read() {
    let error = refused(|idp| idp.set("/jwks", 200, "", vec![b' '; (1 << 20) + 1]), false).await;
    assert!(error.contains("longer than"), "{error}");
}

#[tokio::test]
async fn an_error_page_is_no_key_set() {
    let error = refused(|idp| idp.set("/jwks", 500, "", crate::token::testing::jwks(&[&key("a")])), false).await;
    assert!(error.contains("500"), "{error}");
    let error = refused(|idp| idp.set("/jwks", 200, "", "<html>"), false).await;
    assert!(error.contains("not a key set"), "{error}");
}

#[tokio::test]
async fn another_issuer_s_discovery_document_is_refused() {
    let error = refused(
        |idp| {
            idp.keys(&[&key("a")]);
            let document = serde_json::json!({ "issuer": "http://127.0.0.1", "jwks_uri": format!("{}/jwks", idp.url) });
            idp.set("/.well-known/openid-configuration", 200, "", document.to_string());
        },
        true,
    )
    .await;
    assert!(error.contains("that of the issuer `http://127.0.0.1`"), "{error}");
}

#[tokio::test]
async fn a_failure_names_the_url_that_was_asked_without_its_query() {
    let idp = Idp::start().await;
    let by_url = |path: &str| config("bank", &idp.url, KeyPlace::JwksUrl(format!("{}{path}", idp.url).into()));
    idp.set("/jwks", 500, "", "");
    idp.set("/jwks?code=secret", 500, "", "");
    let error = |config| async {
        let store = store(settings(), &[config]);
        eventually("the fetch fails", || store.status()[0].failed > 0).await;
        store.status()[0].error.clone().unwrap()
    };
    let at = |path: &str| format!("{}{path}", idp.url);
    let told = error(by_url("/jwks?code=secret")).await;
    assert!(told.contains(&format!("{}:", at("/jwks"))) && !told.contains("secret"), "{told}");
    idp.set("/jwks", 200, "", "<html>");
    let told = error(by_url("/jwks")).await;
    assert!(told.contains(&at("/jwks")) && told.contains("not a key set"), "{told}");
    let told = error(idp.by_discovery("bank")).await;
    for place in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        assert!(told.contains(&at(place)), "{told}");
    }
    idp.set("/.well-known/openid-configuration", 200, "", "{}");
    let told = error(idp.by_discovery("bank")).await;
    assert!(told.contains(&at("/.well-known/openid-configuration")) && told.contains("no `issuer`"), "{told}");
}

#[tokio::test]
async fn plain_http_to_another_host_is_never_asked() {
    let config = config("bank", "http://idp.example", KeyPlace::Discovery);
    let store = store(settings(), &[config]);
    eventually("the fetch fails", || store.status()[0].failed > 0).await;
    assert!(store.status()[0].error.as_ref().unwrap().contains("loopback"));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let idp = Idp::start().await;
    idp.keys(&[&key("a")]);
    idp.delay(Duration::from_secs(60));
    let mut settings = settings();
    settings.pace.total = Duration::from_millis(100);
    settings.pace.first_wait = Duration::from_millis(50);
    let store = store(settings, &[idp.by_url("bank")]);
    let keys = store.get("bank").unwrap();
    assert!(keys.first().await.is_err(), "a request waits a moment, not for ever");
    eventually("the fetch fails", || store.status()[0].failed > 0).await;
    let retry_after = keys.first().await.unwrap_err();
    assert!(retry_after >= Duration::from_secs(1));
}
