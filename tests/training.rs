//! What a released build learns from (`benches/pgo`) does not rot: a few requests of each kind, with the program as it is here.

#[path = "../benches/pgo/training/mod.rs"]
mod training;

use std::path::Path;

use training::client::{Ask, Lanes, Way, send};
use training::gate::{Audit, Gate};
use training::upstream::Upstream;
use training::{Amount, train};

const STEPGATE: &str = env!("CARGO_BIN_EXE_stepgate");

#[test]
fn each_kind_of_request_is_answered_as_the_training_expects() {
    let trained = train(Path::new(STEPGATE), Amount::QUICK).unwrap();
    assert!(trained.len() > 50 && trained.iter().all(|part| part.requests > 0), "{trained:?}");
}

#[test]
fn one_answer_that_is_not_as_it_should_be_ends_the_training() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sent = runtime.block_on(async {
        let way = Way {
            address: Upstream::start().await.unwrap().http1,
            name: "localhost",
            http2: false,
            tls: None,
            lasts: 10,
        };
        let (good, bad) = (Ask::get("/accounts/7"), Ask::get("/accounts/gone/7"));
        send(way.clone(), Lanes(2), vec![good.clone()], 50).await.unwrap();
        send(way, Lanes(2), vec![good, bad], 50).await
    });
    let failure = sent.unwrap_err().to_string();
    assert_eq!(failure, "GET /accounts/gone/7 was answered with 404 Not Found, not 200 OK");
}

#[test]
fn a_program_that_does_not_start_or_end_well_learns_nothing() {
    let failure = train(Path::new("/bin/false"), Amount::QUICK).unwrap_err().to_string();
    assert!(failure.contains("the gate ended with exit status: 1"), "{failure}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let upstream = runtime.block_on(Upstream::start()).unwrap();
    let gate = Gate::start(Path::new("/bin/false"), upstream, "{}", Audit::Off).unwrap();
    assert!(gate.stop().is_err());
}
