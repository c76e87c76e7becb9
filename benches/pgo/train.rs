//! The requests by which a build learns what to lay out well: the training run of profile-guided optimisation.
//!
//!     train STEPGATE            as a released build is trained
//!     train STEPGATE --quick    a few of each kind, to see that all of it works
//!
//! `benches/pgo/build.sh` runs it with a program that counts what it executes. It needs nothing but Rust, since the image that
//! builds a release has neither a load generator nor an identity provider; loopback is all the network it uses.

mod training;

use std::path::PathBuf;

use training::{Amount, Failure};

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (program, amount) = match words.as_slice() {
        [program] => (program, Amount::WHOLE),
        [program, "--quick"] => (program, Amount::QUICK),
        _ => return Err("usage: train STEPGATE [--quick]".into()),
    };
    let trained = training::train(&PathBuf::from(program), amount)?;
    #[expect(clippy::print_stderr, reason = "whoever waits half a minute is told for what")]
    trained.iter().for_each(|part| eprintln!("{part}"));
    Ok(())
}
