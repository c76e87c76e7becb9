//! Programs that others wrote, run for a test.

use std::ffi::OsStr;
use std::io::Read;
use std::process::{Child, Command, Stdio};

use super::Gate;

/// In seconds: by then each of them has long done what it was asked for.
const PATIENCE: &str = "60";

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program to its end.
pub(crate) fn run(program: &str, arguments: &[impl AsRef<OsStr>]) -> Said {
    said_by(spawn(program, arguments, Stdio::null()))
}

/// Starts the program.
pub(crate) fn spawn(program: &str, arguments: &[impl AsRef<OsStr>], standard_input: Stdio) -> Child {
    Command::new("timeout")
        .args([PATIENCE, program])
        .args(arguments)
        .stdin(standard_input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`timeout` (coreutils) did not start")
}

/// What it says to its end, which must come in time.
pub(crate) fn said_by(mut child: Child) -> Said {
    let mut errors = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut text = Vec::new();
        errors.read_to_end(&mut text).unwrap();
        text
    });
    let output = child.wait_with_output().unwrap();
    let [out, err] = [output.stdout, errors.join().unwrap()].map(|text| String::from_utf8_lossy(&text).into_owned());
    let said = Said { code: output.status.code(), out, err };
    // As `timeout` says it.
    assert!(!matches!(said.code, Some(126 | 127)), "it did not start; `make tools` installs it: {said:?}");
    assert_ne!(said.code, Some(124), "it did not end in time: {said:?}");
    said
}

/// Sends SIGTERM to the gate.
pub(crate) fn terminate(gate: &Gate) {
    let sent = Command::new("kill").args(["-TERM", &gate.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// The Python that knows the clients and servers of `tests/peers/requirements.txt`.
pub(crate) const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.tools/peers/bin/python");
