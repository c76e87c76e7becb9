//! What servers that others wrote make of a request that comes through the gate: nginx, gunicorn (WSGI), uvicorn (ASGI),
//! Node and Java. Each answers with the path as it reads it and the fields under the names that it gives them, so that what
//! the gate judged can be held against what is served (checklist T1 to T17).

mod fields;
mod paths;
mod spellings;

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Front, Nginx, PYTHON, Unusual, Upstream, eventually, free_port};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers");

/// Who is behind the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nginx,
    Wsgi,
    Asgi,
    Node,
    Java,
}

const ALL: [Kind; 5] = [Kind::Nginx, Kind::Wsgi, Kind::Asgi, Kind::Node, Kind::Java];

/// A server that answers with what it was told.
struct Peer {
    kind: Kind,
    port: u16,
    process: Option<Child>,
    _nginx: Option<Nginx>,
}

/// One request as the server read it.
#[derive(Debug)]
struct Told {
    /// The target as it was sent.
    raw: String,
    /// The path as an application sees it.
    path: String,
    /// Whether the server itself chose what it keeps for `/admin`.
    is_admins: bool,
    /// Fields and trailers, under the server's names for them.
    fields: Vec<(String, String)>,
}

impl Peer {
    fn start(kind: Kind) -> Self {
        let port = free_port();
        let number = port.to_string();
        let address = format!("127.0.0.1:{port}");
        let (program, arguments): (&str, Vec<&str>) = match kind {
            Kind::Nginx => return Self::nginx(port),
            // Fields with `_` in their names are dropped unless told: here they are to be taken for those with `-`.
            Kind::Wsgi => {
                let more = ["--header-map", "dangerous", "--no-control-socket", "--threads", "8", "wsgi_told:app"];
                (PYTHON, [&["-m", "gunicorn", "-b", &*address][..], &more].concat())
            }
            Kind::Asgi => (PYTHON, vec!["-m", "uvicorn", "--port", &number, "--log-level", "warning", "asgi_told:app"]),
            Kind::Node => ("node", vec!["node_told.mjs", &number]),
            Kind::Java => ("java", vec!["-Xshare:auto", "-XX:TieredStopAtLevel=1", "Told.java", &number]),
        };
        let process = Command::new(program)
            .args(arguments)
            .current_dir(FOLDER)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("`{program}` did not start ({error}); `make tools` installs it"));
        let mut peer = Self { kind, port, process: Some(process), _nginx: None };
        eventually("the server listens", Duration::from_secs(60), || {
            let ended = peer.process.as_mut().unwrap().try_wait().unwrap();
            assert_eq!(ended, None, "{kind:?} stopped");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        peer
    }

    /// nginx chooses by the path what it answers, as it would choose a file or a server behind it.
    fn nginx(port: u16) -> Self {
        let told = "$request_uri\\n$uri\\n$http_x_stepgate_level\\n$http_x_stepgate_subject\\n$http_x_seen";
        let block = format!(
            "server {{
               listen 127.0.0.1:{port};
               underscores_in_headers on; ignore_invalid_headers off;
               location = /admin {{ return 200 \"admin\\n{told}\"; }}
               location /admin/ {{ return 200 \"admin\\n{told}\"; }}
               location / {{ return 200 \"\\n{told}\"; }}
             }}"
        );
        Self { kind: Kind::Nginx, port, process: None, _nginx: Some(Nginx::http(port, &block)) }
    }

    /// A gate in front of it.
    fn behind(&self, routes: &str) -> Front {
        let upstreams = Some(format!("{{ app: {{ url: \"http://127.0.0.1:{}\" }} }}", self.port));
        Front::unusual(&Upstream::start(), Unusual { routes: routes.to_owned(), upstreams, ..Unusual::default() })
    }

    /// What it said, if the answer is its own.
    fn told(&self, body: &str) -> Told {
        if self.kind == Kind::Nginx {
            let lines: Vec<&str> = body.split('\n').collect();
            let [zone, raw, path, level, subject, seen] = lines[..] else { panic!("not nginx's answer: {body}") };
            let named = [("x-stepgate-level", level), ("x-stepgate-subject", subject), ("x-seen", seen)];
            let there = named.into_iter().filter(|(_, value)| !value.is_empty());
            let fields = there.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            return Told { raw: raw.to_owned(), path: path.to_owned(), is_admins: zone == "admin", fields };
        }
        let said: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("not the server's answer: {body}"));
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        let pairs = |name: &str| said[name].as_array().cloned().unwrap_or_default();
        let fields = pairs("fields").into_iter().chain(pairs("trailers"));
        let fields =
            fields.map(|pair| [0, 1].map(|at| pair[at].as_str().unwrap().to_owned())).map(<(String, String)>::from);
        Told { raw: text("raw"), path: text("path"), is_admins: text("zone") == "admin", fields: fields.collect() }
    }
}

/// The servers side by side, since most of the time is theirs.
fn each(test: impl Fn(&Peer) + Sync) {
    thread::scope(|scope| {
        let test = &test;
        let threads = ALL.map(|kind| scope.spawn(move || test(&Peer::start(kind))));
        for (kind, thread) in ALL.into_iter().zip(threads) {
            assert!(thread.join().is_ok(), "{kind:?}");
        }
    });
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // gunicorn ends its workers when it is asked to, and only then.
            let asked = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
            drop(asked);
            drop(process.wait());
        }
    }
}
