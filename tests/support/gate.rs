//! The program under test, as an operator runs it: a configuration folder, a process, an admin port, an audit log.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::http::{Request, Response};
use super::upstream::Upstream;
use super::{eventually, free_port};

/// Names the program under test, as `make e2e` does with the optimised one: what drives it then needs no optimised build.
const NAMED: &str = "STEPGATE_TESTED";

/// The program under test: the one that is named, or what cargo built beside the tests.
pub(crate) fn program() -> OsString {
    env::var_os(NAMED).unwrap_or_else(|| env!("CARGO_BIN_EXE_stepgate").into())
}

/// Whether the program under test is named, and so one in release code.
pub(crate) fn is_named() -> bool {
    env::var_os(NAMED).is_some()
}

/// A gate that is not running yet.
pub(crate) struct Setup {
    pub(crate) port: u16,
    admin: u16,
    folder: TempDir,
    upstreams: String,
    settings: String,
    standard_output: Stdio,
    /// In KiB: no file may grow larger.
    largest_file: Option<u32>,
    environment: Vec<(&'static str, String)>,
    /// What stands after the admin listener's address.
    credential: &'static str,
}

/// What must be shown to a gate that is set up with [`Setup::credential`].
pub(crate) const CREDENTIAL: &str = "credential-of-these-tests";

impl Setup {
    /// The policy, or one file of it when there are several.
    pub(crate) fn policy(self, text: &str) -> Self {
        let name = format!("policies/{}.yaml", fs::read_dir(self.folder.path().join("policies")).unwrap().count());
        self.file(&name, text)
    }

    /// Another file of the configuration folder.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    /// More lines of `stepgate.yaml`.
    pub(crate) fn settings(mut self, lines: &str) -> Self {
        self.settings.push_str(lines);
        self.settings.push('\n');
        self
    }

    /// Where standard output goes.
    pub(crate) fn standard_output(mut self, to: Stdio) -> Self {
        self.standard_output = to;
        self
    }

    /// No file can grow larger than so many KiB, as on a disk that is full.
    pub(crate) fn files_up_to(mut self, kibibytes: u32) -> Self {
        self.largest_file = Some(kibibytes);
        self
    }

    /// The upstreams, in place of the one that answers.
    pub(crate) fn upstreams(mut self, flow: &str) -> Self {
        flow.clone_into(&mut self.upstreams);
        self
    }

    /// A variable of its environment.
    pub(crate) fn environment(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// The admin listener takes changes from whoever shows [`CREDENTIAL`].
    pub(crate) fn credential(mut self) -> Self {
        self.credential = ", credential: { env: STEPGATE_ADMIN }";
        self.environment("STEPGATE_ADMIN", CREDENTIAL)
    }

    fn spawn(self) -> Gate {
        let Self { port, admin, folder, upstreams, settings, standard_output, largest_file, environment, credential } =
            self;
        let config = format!(
            "version: 1\n\
             {}\
             upstreams: {upstreams}\n\
             policies: policies/\n\
             admin: {{ address: \"127.0.0.1:{admin}\"{credential} }}\n\
             {}{settings}",
            if settings.contains("listeners:") {
                String::new()
            } else {
                format!("listeners: [ {{ address: \"127.0.0.1:{port}\" }} ]\n")
            },
            if settings.contains("audit:") { "" } else { "audit: { to: file, path: audit.jsonl }\n" },
        );
        fs::write(folder.path().join("stepgate.yaml"), config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let program = program();
        let mut command = match largest_file {
            None => Command::new(&program),
            Some(kibibytes) => {
                let mut shell = Command::new("bash");
                shell.args(["-c", &format!("ulimit -f {kibibytes}; exec \"$0\" \"$@\"")]).arg(&program);
                shell
            }
        };
        let process = command
            .args(["run", "--config"])
            .arg(folder.path().join("stepgate.yaml"))
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(standard_output)
            .stderr(log)
            .spawn()
            .unwrap();
        Gate { port, admin, folder, process }
    }

    /// Starts the program and waits until it answers.
    pub(crate) fn start(self) -> Gate {
        let mut gate = self.spawn();
        eventually("the gate answers on its admin port", Duration::from_secs(20), || {
            if let Some(status) = gate.process.try_wait().unwrap() {
                panic!("the gate stopped with {status}:\n{}", gate.log());
            }
            std::net::TcpStream::connect(("127.0.0.1", gate.admin)).is_ok() && gate.is_live()
        });
        gate
    }

    /// Starts the program, which must stop by itself, and gives its exit code and what it said.
    pub(crate) fn fails(self) -> (Option<i32>, String) {
        let mut gate = self.spawn();
        let mut status = None;
        eventually("the gate does not start", Duration::from_secs(20), || {
            status = gate.process.try_wait().unwrap();
            status.is_some()
        });
        (status.unwrap().code(), gate.log())
    }
}

pub(crate) struct Gate {
    pub(crate) port: u16,
    pub(crate) admin: u16,
    folder: TempDir,
    process: Child,
}

impl Gate {
    pub(crate) fn setup(upstream: &Upstream) -> Setup {
        Self::setup_to(upstream.port)
    }

    /// One whose upstream is meant to be on this port.
    pub(crate) fn setup_to(upstream: u16) -> Setup {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("policies")).unwrap();
        let upstreams = format!("{{ app: {{ url: \"http://127.0.0.1:{upstream}\" }} }}");
        Setup {
            port: free_port(),
            admin: free_port(),
            folder,
            upstreams,
            settings: String::new(),
            standard_output: Stdio::null(),
            largest_file: None,
            environment: Vec::new(),
            credential: "",
        }
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What reads its standard output.
    pub(crate) fn standard_output(&mut self) -> std::process::ChildStdout {
        self.process.stdout.take().unwrap()
    }

    /// Waits until it has ended by itself, and says how.
    pub(crate) fn ends(&mut self, patience: Duration) -> std::process::ExitStatus {
        let mut status = None;
        eventually("the gate ends", patience, || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// A file of its configuration folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.file(name)
    }

    pub(crate) fn send(&self, request: &Request) -> Response {
        request.send(self.port)
    }

    pub(crate) fn is_live(&self) -> bool {
        self.admin("/livez").status == 200
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.admin("/readyz").status == 200
    }

    pub(crate) fn wait_until_ready(&self, patience: Duration) {
        eventually("the gate has its issuers' keys and is ready", patience, || self.is_ready());
    }

    /// Sends a request and says what the audit log has to say of it.
    pub(crate) fn decision(&self, request: &Request) -> (Response, Value) {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let id = format!("request-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let response = self.send(&request.clone().header("X-Request-Id", &id));
        (response, self.audited("the decision is in the audit log", |line| line["id"] == *id))
    }

    /// The last line of the audit log that is meant, once there is one.
    pub(crate) fn audited(&self, what: &str, is_meant: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        eventually(what, Duration::from_secs(2), || {
            found = self.audit().into_iter().rfind(&is_meant);
            found.is_some()
        });
        found.unwrap()
    }

    /// The audit log so far, one object a decision.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = self.read("audit.jsonl");
        let whole_lines = text.rsplit_once('\n').map_or("", |(whole, _begun)| whole);
        whole_lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn admin(&self, path: &str) -> Response {
        Request::get(path).send(self.admin)
    }

    /// Where its admin listener is.
    pub(crate) fn admin_port(&self) -> u16 {
        self.admin
    }

    pub(crate) fn metrics(&self) -> String {
        self.admin("/metrics").body
    }

    pub(crate) fn log(&self) -> String {
        self.read("log")
    }

    /// Everything that the program wrote: log, audit log, metrics, readiness.
    pub(crate) fn everything_written(&self) -> String {
        [self.log(), self.read("audit.jsonl"), self.metrics(), self.admin("/readyz").body].join("\n")
    }

    /// Replaces a file of the configuration folder in one step.
    pub(crate) fn replace(&self, name: &str, text: &str) {
        fs::write(self.file("new"), text).unwrap();
        fs::rename(self.file("new"), self.file(name)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// The path of a file of the configuration folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The last line of the log with this message that is meant, once there is one.
    pub(crate) fn logged(&self, message: &str, is_meant: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        eventually(message, Duration::from_secs(5), || {
            let log = self.log();
            let lines = log.lines().filter(|line| line.contains(message));
            found = lines.filter_map(|line| serde_json::from_str(line).ok()).rfind(&is_meant);
            found.is_some()
        });
        found.unwrap()
    }

    /// Sends SIGHUP.
    pub(crate) fn hang_up(&self) {
        let sent = Command::new("kill").args(["-HUP", &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// The hash of the policy in force.
    pub(crate) fn in_force(&self) -> String {
        let report: Value = serde_json::from_str(&self.admin("/readyz").body).unwrap();
        report["policy"].as_str().unwrap().to_owned()
    }

    /// Replaces the first policy file by one that differs, and has it taken at once.
    pub(crate) fn reload(&self, text: &str) {
        let before = self.in_force();
        self.replace("policies/0.yaml", text);
        self.hang_up();
        eventually("the new policy is in force", Duration::from_secs(10), || self.in_force() != before);
    }

    /// What is said of reloads when more is asked for.
    pub(crate) fn reloads(&self) -> Value {
        let report: Value = serde_json::from_str(&self.admin("/readyz?verbose").body).unwrap();
        report["reload"].clone()
    }

    /// The value of one sample of the metrics, by its name and labels.
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let text = self.metrics();
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{sample} is not in\n{text}")).parse().unwrap()
    }

    /// The memory that the process holds, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        if std::thread::panicking() {
            show(&self.log());
        }
    }
}

/// What the gate logged last belongs beside the failure.
fn show(log: &str) {
    let lines: Vec<_> = log.lines().collect();
    let last = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default().join("\n");
    print(&format!("--- the gate's log ---\n{last}\n--- end of the gate's log ---"));
}

#[expect(clippy::print_stderr, reason = "the test harness captures it and shows it with the failure")]
fn print(text: &str) {
    eprintln!("{text}");
}
