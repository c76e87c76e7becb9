//! A client that knows nothing but the API's address finds the provider by itself, with a library that others wrote.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Gate, POLICY, Provider, Request, Upstream, discover};

#[test]
fn a_client_finds_the_provider_through_the_challenge_and_signs_in_there_as_it_asks() {
    let (provider, upstream) = (Provider::start(&[]), Upstream::start());
    let setup = Gate::setup(&upstream).policy(&POLICY.replace("{issuer}", &provider.issuer));
    let origin = format!("http://127.0.0.1:{}", setup.port);
    let gate = setup.settings(&format!("public_url: {origin}")).start();
    gate.wait_until_ready(Duration::from_secs(20));

    let found = discover(&["--url", &format!("{origin}/accounts/1"), "--resource", &origin]);
    let metadata = format!("{origin}/.well-known/oauth-protected-resource");
    assert_eq!(found["challenge"]["resource_metadata"], *metadata);
    assert_eq!(found["challenge"]["error"], "invalid_token");
    assert_eq!(found["url"], *metadata);
    let expected = json!({
        "resource": origin, "authorization_servers": [provider.issuer], "scopes_supported": ["accounts", "payments"],
        "bearer_methods_supported": ["header"],
    });
    assert_eq!(found["resource"], expected);
    assert_eq!(found["server"]["issuer"], *provider.issuer);

    // With a sign-in that is too weak it is told a better one, which that server says it can do.
    let weak = provider.sign_in("alice").password().in_browser("alice").tokens();
    let refused = gate.send(&Request::post("/payments/7", "amount=1").bearer(weak.access()));
    let challenge = refused.challenge();
    assert_eq!(challenge.get("resource_metadata"), Some(&*metadata));
    let asked = challenge.get("acr_values").unwrap();
    let supported = found["server"]["acr_values_supported"].as_array().unwrap();
    assert!(asked.split(' ').all(|acr| supported.contains(&Value::from(acr))), "{asked}: {supported:?}");
    let strong = provider.sign_in("alice").password_and_otp().in_browser("alice").with("--acr-values", asked).tokens();
    assert_eq!(gate.send(&Request::post("/payments/7", "amount=1").bearer(strong.access())).status, 200);
    assert_eq!(upstream.count(), 1, "only what was allowed came through");
}
