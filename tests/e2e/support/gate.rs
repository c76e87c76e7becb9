//! The program under test, as an operator runs it: a configuration folder, a process, an admin port, an audit log.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::http::{Request, Response};
use super::upstream::Upstream;
use super::{eventually, free_port};

/// The policy of most tests. `{issuer}` stands for the provider's issuer.
pub(crate) const POLICY: &str = r#"
version: 1
issuers:
  idp:
    issuer: {issuer}
    profile: rfc8176
    access: { audiences: ["https://api.demo.example"], typ: [at+jwt] }
    id: { audiences: [web] }
    pair: bound
    proves:
      single-factor: { any: [ { acr: ["urn:example:loa:1"] }, { factors: 1 } ] }
      multi-factor: { any: [ { acr: ["urn:example:loa:2"] }, { factors: 2 } ] }
    challenge:
      single-factor: ["urn:example:loa:1"]
      multi-factor: ["urn:example:loa:2"]
routes:
  - name: read-accounts
    match: { path: "/accounts/**", methods: [GET] }
    require: { level: single-factor, scopes: { all: [accounts] } }
  - name: pay
    match: { path: "/payments/{id}", methods: [POST] }
    require: { level: multi-factor, max_age: 5m, scopes: { all: [payments] } }
  - name: portal
    match: { path: "/portal/**", methods: [GET, POST] }
    take: [ { cookie: portal_id, kind: id }, { header: x-id-token, kind: id } ]
    require: { level: multi-factor }
  - name: orders
    match: { path: /orders, methods: [POST] }
    take: [ authorization, { header: x-id-token, kind: id } ]
    require: { level: multi-factor, scopes: { all: [payments] } }
  - name: health
    match: { path: /healthz }
    require: public
"#;

pub(crate) struct Gate {
    pub(crate) port: u16,
    admin: u16,
    folder: TempDir,
    process: Child,
}

impl Gate {
    /// Writes the configuration, starts the program and waits until it answers.
    pub(crate) fn start(issuer: &str, upstream: &Upstream, policy: &str) -> Self {
        let (port, admin) = (free_port(), free_port());
        let folder = TempDir::new().unwrap();
        let config = format!(
            "version: 1\n\
             public_url: http://127.0.0.1:{port}\n\
             listeners: [ {{ address: \"127.0.0.1:{port}\" }} ]\n\
             upstreams: {{ app: {{ url: \"http://127.0.0.1:{}\" }} }}\n\
             policies: policies/\n\
             admin: {{ address: \"127.0.0.1:{admin}\" }}\n\
             audit: {{ to: file, path: audit.jsonl }}\n",
            upstream.port
        );
        fs::write(folder.path().join("stepgate.yaml"), config).unwrap();
        fs::create_dir(folder.path().join("policies")).unwrap();
        fs::write(folder.path().join("policies/policy.yaml"), policy.replace("{issuer}", issuer)).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_stepgate"))
            .args(["run", "--config"])
            .arg(folder.path().join("stepgate.yaml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut gate = Self { port, admin, folder, process };
        eventually("the gate answers on its admin port", Duration::from_secs(20), || {
            if let Some(status) = gate.process.try_wait().unwrap() {
                panic!("the gate stopped with {status}:\n{}", gate.log());
            }
            std::net::TcpStream::connect(("127.0.0.1", admin)).is_ok() && gate.is_live()
        });
        gate
    }

    pub(crate) fn send(&self, request: &Request) -> Response {
        request.send(self.port)
    }

    pub(crate) fn is_live(&self) -> bool {
        Request::get("/livez").send(self.admin).status == 200
    }

    pub(crate) fn is_ready(&self) -> bool {
        Request::get("/readyz").send(self.admin).status == 200
    }

    pub(crate) fn wait_until_ready(&self, patience: Duration) {
        eventually("the gate has the provider's keys and is ready", patience, || self.is_ready());
    }

    /// Sends a request and says what the audit log has to say of it.
    pub(crate) fn decision(&self, request: &Request) -> (Response, Value) {
        let before = self.audit().len();
        let response = self.send(request);
        eventually("the decision is in the audit log", Duration::from_secs(2), || self.audit().len() > before);
        (response, self.audit().pop().unwrap())
    }

    /// The audit log so far, one object a decision.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file("audit.jsonl")).unwrap_or_default();
        let whole_lines = text.rsplit_once('\n').map_or("", |(whole, _begun)| whole);
        whole_lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn metrics(&self) -> String {
        Request::get("/metrics").send(self.admin).body
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// Everything that the program wrote: log, audit log, metrics.
    pub(crate) fn everything_written(&self) -> String {
        let audit = fs::read_to_string(self.file("audit.jsonl")).unwrap_or_default();
        [self.log(), audit, self.metrics()].join("\n")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
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
    use std::io::Write;
    let lines: Vec<_> = log.lines().collect();
    let last = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default().join("\n");
    drop(writeln!(std::io::stderr(), "--- the gate's log ---\n{last}\n--- end of the gate's log ---"));
}
