//! A logout ends what was kept: for every worker, whatever the application answers, and under every later policy.

use crate::kept_support::{NAME, ROUTES, callback, flipped, is_deleted, kept, set, sign_in, with, world};
use crate::support::{Request, Token, World};

#[test]
fn a_logout_ends_it_for_all_workers_and_deletes_it() {
    let world = world(|setup| setup.settings("workers: 4"));
    let (value, other) = (sign_in(&world, &Token::id()), sign_in(&world, &Token::id()));
    world.passes(&with(Request::get("/app/1"), &value));
    let answer = world.passes(&with(Request::get("/logout"), &value));
    assert!(is_deleted(&answer, NAME), "{}", answer.head);
    assert!(set(&answer).contains(&"own=1; Path=/"));
    assert_eq!(world.upstream.last().path(), "/logout", "the application logs out too");
    // Each on a connection of its own, which some worker takes.
    for _ in 0..24 {
        let refused = world.refuses(&with(Request::get("/app/1"), &value), 401, "revoked");
        assert!(is_deleted(&refused, NAME));
    }
    world.passes(&with(Request::get("/app/1"), &other));
    assert_eq!(world.gate.metric("stepgate_kept_total{event=\"ended\"}"), 1.0);
    // Signing in anew begins a session of its own.
    world.passes(&with(Request::get("/app/1"), &sign_in(&world, &Token::id())));
}

#[test]
fn a_token_that_comes_again_is_the_same_sign_in_and_ends_with_it() {
    let world = world(|setup| setup);
    let token = Token::id();
    let keep = || kept(&world.passes(&callback(&world, &token)), NAME);
    let (first, second) = (keep().unwrap(), keep().unwrap());
    assert_ne!(first, second, "sealed twice");
    world.passes(&with(Request::get("/logout"), &first));
    world.refuses(&with(Request::get("/app/1"), &second), 401, "revoked");
    assert_eq!(keep(), None, "nor is it kept anew");
    assert_eq!(world.gate.metric("stepgate_kept_total{event=\"ended\"}"), 1.0);
}

#[test]
fn it_ends_whatever_the_application_answers() {
    let world = world(|setup| setup);
    for status in ["200", "302", "403", "500", "0"] {
        let value = sign_in(&world, &Token::id());
        let answer = world.gate.send(&with(Request::get("/logout"), &value).header("X-Answer", status));
        assert!(is_deleted(&answer, NAME), "{status}: {}", answer.head);
        assert_eq!(answer.status.to_string(), if status == "0" { "502" } else { status });
        world.refuses(&with(Request::get("/app/1"), &value), 401, "revoked");
    }
}

#[test]
fn it_ends_on_any_route_that_is_named_public_ones_too() {
    let world = world(|setup| setup);
    let value = sign_in(&world, &Token::id());
    let answer = world.passes(&with(Request::get("/bye"), &value));
    assert!(is_deleted(&answer, NAME));
    world.refuses(&with(Request::get("/app/1"), &value), 401, "revoked");
    // What can't be opened is deleted there, and who has none is told nothing.
    let answer = world.passes(&with(Request::get("/bye"), &flipped(&value)));
    assert!(is_deleted(&answer, NAME));
    assert_eq!(set(&world.passes(&Request::get("/bye"))), ["own=1; Path=/"]);
    // At another host it is no cookie of ours.
    let value = sign_in(&world, &Token::id());
    world.passes(&with(Request::get("/bye"), &value).host("other.example"));
    world.passes(&with(Request::get("/app/1"), &value));
    assert_eq!(world.gate.metric("stepgate_kept_total{event=\"ended\"}"), 1.0);
}

#[test]
fn a_logout_that_is_refused_ends_nothing() {
    let world = world(|setup| setup);
    let value = sign_in(&world, &Token::id());
    // Another site made the browser send it.
    let forged = with(Request::post("/logout", "x"), &value).header("Origin", "https://evil.example");
    assert!(!is_deleted(&world.refuses(&forged, 403, "origin_refused"), NAME));
    let refused = world.refuses(&with(Request::get("/signin/out"), &value), 401, "token_missing");
    assert!(!is_deleted(&refused, NAME));
    world.passes(&with(Request::get("/app/1"), &value));
}

#[test]
fn it_stays_ended_under_every_later_policy() {
    let world = world(|setup| setup);
    let value = sign_in(&world, &Token::id());
    world.passes(&with(Request::get("/logout"), &value));
    world.gate.reload(&format!("{}# another\n", World::issuers_and(ROUTES)));
    world.refuses(&with(Request::get("/app/1"), &value), 401, "revoked");
    let without = ROUTES.replace(", ends_on: [/logout, /bye, /signin/out]", "");
    world.gate.reload(&World::issuers_and(&without));
    world.refuses(&with(Request::get("/app/1"), &value), 401, "revoked");
    let other = sign_in(&world, &Token::id());
    assert!(!is_deleted(&world.passes(&with(Request::get("/logout"), &other)), NAME), "it is no logout any more");
    world.passes(&with(Request::get("/app/1"), &other));
}

#[test]
fn what_ends_here_does_not_begin_here() {
    let routes = ROUTES.replace("ends_on: [/logout, /bye, /signin/out]", "ends_on: [/signin]");
    let world = world(|setup| setup.file("policies/0.yaml", &World::issuers_and(&routes)));
    let response = world.passes(&callback(&world, &Token::id()));
    assert_eq!(kept(&response, NAME), None, "{}", response.head);
}
