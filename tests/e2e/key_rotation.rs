//! The provider changes its signing keys while the gate runs.

use std::time::Duration;

use crate::support::{Request, World, eventually};

/// An unknown key id is asked for at most every 30 seconds, so that strangers cannot make the gate ask for ever.
const ASKED_AGAIN: Duration = Duration::from_secs(45);

#[test]
fn a_new_key_is_fetched_when_a_token_names_it_and_the_old_one_still_holds() {
    let World { provider, upstream: _upstream, gate } = World::start();
    let before = provider.sign_in("alice").password().tokens();
    assert_eq!(read(&gate, before.access()), 200);

    provider.rotate("RS256", "keep");
    let after = provider.sign_in("alice").password().tokens();
    eventually("a token of the new key passes", ASKED_AGAIN, || read(&gate, after.access()) == 200);
    assert_eq!(read(&gate, before.access()), 200, "the old key is still published");
}

#[test]
fn a_key_that_was_taken_away_stops_being_honoured_for_cached_tokens_too() {
    let World { provider, upstream, gate } = World::start();
    let before = provider.sign_in("alice").password().tokens();
    assert_eq!(read(&gate, before.access()), 200);

    provider.rotate("ES256", "remove");
    let after = provider.sign_in("alice").password().tokens();
    eventually("a token of the new key passes", ASKED_AGAIN, || read(&gate, after.access()) == 200);

    let seen = upstream.count();
    assert_ne!(read(&gate, before.access()), 200, "the old key left the set");
    eventually("the old token is refused for good", ASKED_AGAIN, || {
        let (refused, decision) = gate.decision(&Request::get("/accounts/1").bearer(before.access()));
        assert_ne!(refused.status, 200);
        refused.status == 401
            && refused.challenge().get("error") == Some("invalid_token")
            && decision["reason"] == "key_unknown"
    });
    assert_eq!(upstream.count(), seen);
}

#[test]
fn keys_that_nobody_can_use_do_not_spoil_the_rest_of_the_set() {
    let World { provider, upstream: _upstream, gate } = World::start();
    provider.publish_bad_keys();
    provider.rotate("RS256", "keep");
    let after = provider.sign_in("alice").password().tokens();
    eventually("a token of the new key passes", ASKED_AGAIN, || read(&gate, after.access()) == 200);
}

#[test]
fn made_up_key_ids_do_not_make_the_gate_ask_each_time() {
    let World { provider, upstream, gate } = World::start();
    let real = provider.sign_in("alice").password().tokens();
    let (_, rest) = real.access().split_once('.').unwrap();
    let before = provider.key_set_fetches();
    for number in 0..50 {
        let header = base64_url(&format!(r#"{{"alg":"RS256","typ":"at+jwt","kid":"made-up-{number}"}}"#));
        let status = read(&gate, &format!("{header}.{rest}"));
        assert!(status == 401 || status == 503, "{status}");
    }
    assert!(provider.key_set_fetches() - before <= 2, "asked {} times", provider.key_set_fetches() - before);
    assert_eq!(upstream.count(), 0);
    assert_eq!(read(&gate, real.access()), 200);
}

fn read(gate: &crate::support::Gate, token: &str) -> u16 {
    gate.send(&Request::get("/accounts/1").bearer(token)).status
}

fn base64_url(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}
