//! What `stepgate run` says of its settings.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
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

#[test]
fn a_hangup_during_the_start_does_not_end_the_gate() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("policies")).unwrap();
    fs::write(at("policies/p.yaml"), "version: 1\nroutes: [{ name: a, match: { path: / }, require: public }]\n")
        .unwrap();
    assert!(Command::new("mkfifo").arg(at("stepgate.yaml")).status().unwrap().success());
    let mut gate = Command::new(env!("CARGO_BIN_EXE_stepgate"))
        .args(["run", "--config"])
        .arg(at("stepgate.yaml"))
        .stdout(Stdio::null())
        .stderr(fs::File::create(at("log")).unwrap())
        .spawn()
        .unwrap();
    // Opened when the gate opens the other end: it is in the middle of its start then, and waits there.
    let mut settings = fs::File::options().write(true).open(at("stepgate.yaml")).unwrap();
    assert!(Command::new("kill").args(["-HUP", &gate.id().to_string()]).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(50));
    let text = "version: 1\naudit: off\nlisteners: [{ address: 127.0.0.1:0 }]\nupstreams: { a: { url: \"http://127.0.0.1:9\" } }\n";
    // Nobody reads when it has ended.
    let _read = settings.write_all(text.as_bytes());
    drop(settings);
    let log = || fs::read_to_string(at("log")).unwrap();
    eventually("it listens, and then does what it was asked", Duration::from_secs(20), || {
        assert_eq!(gate.try_wait().unwrap(), None, "{}", log());
        log().contains("listening") && log().contains("SIGHUP")
    });
    gate.kill().unwrap();
    gate.wait().unwrap();
}
