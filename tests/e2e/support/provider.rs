//! The OpenID provider in `tests/provider`, as a process of its own, and the sign-ins of its users.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::Request;

pub(crate) struct Provider {
    pub(crate) issuer: String,
    control: u16,
    process: Child,
    sessions: TempDir,
}

impl Provider {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let started = (0..TRIES).find_map(|_| {
            let mut command = node("server.mjs");
            let spawned = command.args(arguments).stdout(Stdio::piped()).spawn();
            let mut process = spawned.expect("`node` did not start; `make test` installs it");
            let line = first_line(process.stdout.take().unwrap());
            if line.is_none() {
                drop(process.kill());
                drop(process.wait());
            }
            line.map(|line| (process, line))
        });
        let (process, line) = started.expect("the provider says nothing");
        let ready: Value = serde_json::from_str(&line).expect("the provider did not start; see its message above");
        let control = ready["control"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        Self {
            issuer: ready["issuer"].as_str().unwrap().to_owned(),
            control,
            process,
            sessions: TempDir::new().unwrap(),
        }
    }

    /// A new signing key, used from now on. The old ones stay published, or go.
    pub(crate) fn rotate(&self, alg: &str, old: &str) -> String {
        let answer = Request::post(&format!("/rotate?alg={alg}&old={old}"), "").send(self.control);
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        answer["kid"].as_str().unwrap().to_owned()
    }

    /// Puts keys that nobody can use into the key set.
    pub(crate) fn publish_bad_keys(&self) {
        assert_eq!(Request::post("/bad-key", "").send(self.control).status, 200);
    }

    /// How often its key set was fetched.
    pub(crate) fn key_set_fetches(&self) -> u64 {
        let answer: Value = serde_json::from_str(&Request::get("/state").send(self.control).body).unwrap();
        answer["hits"]["/jwks"].as_u64().unwrap()
    }

    pub(crate) fn sign_in(&self, user: &str) -> SignIn<'_> {
        SignIn { provider: self, arguments: vec!["--user".to_owned(), user.to_owned()] }
    }

    /// A token that the client gets for itself.
    pub(crate) fn client_credentials(&self) -> Tokens {
        SignIn { provider: self, arguments: vec!["--client-credentials".to_owned()] }.tokens()
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// One authorization-code flow: what the app asks for, and what the user does on the pages.
pub(crate) struct SignIn<'a> {
    provider: &'a Provider,
    arguments: Vec<String>,
}

impl SignIn<'_> {
    /// How the user signs in, when asked to.
    pub(crate) fn by(self, acr: &str, amr: &str) -> Self {
        self.with("--acr", acr).with("--amr", amr)
    }

    pub(crate) fn password(self) -> Self {
        self.by("urn:example:loa:1", "pwd")
    }

    pub(crate) fn password_and_otp(self) -> Self {
        self.by("urn:example:loa:2", "pwd,otp")
    }

    /// A parameter of the authorization request, or of the user's doing: see `sign_in.mjs`.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// In the browser of that name: the session there goes on.
    pub(crate) fn in_browser(self, name: &str) -> Self {
        let file = self.provider.sessions.path().join(name);
        self.with("--session", file.to_str().unwrap())
    }

    pub(crate) fn tokens(self) -> Tokens {
        let mut command = node_once("sign_in.mjs");
        Tokens(printed_by(command.args(["--issuer", &self.provider.issuer]).args(&self.arguments)))
    }
}

pub(crate) struct Tokens(Value);

impl Tokens {
    pub(crate) fn access(&self) -> &str {
        self.0["access_token"].as_str().expect("no access token was issued")
    }

    pub(crate) fn id(&self) -> &str {
        self.0["id_token"].as_str().expect("no id_token was issued")
    }

    /// The pages that the user was shown.
    pub(crate) fn prompted(&self) -> Vec<&str> {
        self.0["prompted"].as_array().unwrap().iter().map(|page| page.as_str().unwrap()).collect()
    }
}

/// What a client finds out that knows an API's address alone: see `discover.mjs`.
pub(crate) fn discover(arguments: &[&str]) -> Value {
    printed_by(node_once("discover.mjs").args(arguments))
}

fn printed_by(command: &mut Command) -> Value {
    let mut run = || command.output().expect("`node` did not start; `make test` installs it");
    let mut output = run();
    for _ in 1..TRIES {
        // As `timeout` says that it had to kill it.
        if output.status.code() != Some(137) {
            break;
        }
        output = run();
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "it failed: {printed}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&printed).unwrap()
}

/// Now and then, once in hundreds of starts, `node` waits for itself before it runs a line of the script.
const TRIES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// What is printed first; `None`: nothing is, for far longer than a start takes.
fn first_line(printed: impl Read + Send + 'static) -> Option<String> {
    let (told, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        drop(BufReader::new(printed).read_line(&mut line));
        told.send(line)
    });
    heard.recv_timeout(PATIENCE).ok()
}

/// A script that runs to its end, and not for ever.
fn node_once(script: &str) -> Command {
    let node = node(script);
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", &PATIENCE.as_secs().to_string()]).arg(node.get_program()).args(node.get_args());
    command.current_dir(node.get_current_dir().unwrap()).stdin(Stdio::null());
    command
}

fn node(script: &str) -> Command {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provider");
    assert!(
        folder.join("node_modules/oidc-provider").is_dir(),
        "the provider is not installed; run `npm ci` in tests/provider, or `make test`, which does"
    );
    let mut command = Command::new("node");
    command.arg("--no-warnings").arg(folder.join(script)).current_dir(folder).stdin(Stdio::null());
    command
}
