//! What `stepgate run` says of its settings.

use std::time::Duration;

use crate::shared::eventually;
use crate::support::{Gate, POLICY, Upstream};

#[test]
fn what_is_odd_about_the_settings_is_logged_at_start_with_its_place() {
    let upstream = Upstream::start();
    let gate = Gate::setup(&upstream).policy(POLICY).settings("limits: { token: 64KiB }").start();
    let lint = || gate.log().lines().find(|line| line.contains("a token longer than a whole head")).map(str::to_owned);
    eventually("the lint is logged", Duration::from_secs(10), || lint().is_some());
    let line = lint().unwrap();
    assert!(line.contains("stepgate.yaml:7:11") && line.contains("\"WARN\""), "{line}");
}
