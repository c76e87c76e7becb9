//! The program that learns: its files, its start, its end.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::{Pid, Signal, kill_process};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::client::{Ask, Lanes, NAME, Way, send};
use super::upstream::Upstream;
use super::{Failure, files};

/// A program that counts what it executes starts and ends more slowly than others.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where decisions are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audit {
    Off,
    File,
}

/// By which door a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Http1,
    /// In the clear, known beforehand.
    Http2,
    Tls,
    TlsHttp2,
    Admin,
}

/// A gate that runs.
pub(crate) struct Gate {
    process: Child,
    folder: TempDir,
    plain: SocketAddr,
    secured: SocketAddr,
    admin: SocketAddr,
    trust: RootCertStore,
}

impl Gate {
    /// Starts the program and waits until it answers.
    pub(crate) fn start(program: &Path, upstream: Upstream, key_set: &str, audit: Audit) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("stepgate-training-").tempdir()?;
        let [plain, secured, admin] = free_addresses()?;
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
        fs::create_dir(folder.path().join("policies"))?;
        write("policies/policy.yaml", &files::policy(0))?;
        write("jwks.json", key_set)?;
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.to_owned()])?;
        write("server.pem", &cert.pem())?;
        write("server.key", &signing_key.serialize_pem())?;
        write("stepgate.yaml", &files::settings([plain, secured, admin], upstream, audit == Audit::File))?;
        let mut trust = RootCertStore::empty();
        trust.add(cert.der().clone())?;
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new(program);
        command.args(["run", "--config"]).arg(folder.path().join("stepgate.yaml"));
        let process = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        let process = process.map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(Self { process, folder, plain, secured, admin, trust })
    }

    /// Waits until this is answered as it should be: until the keys are read, or a policy is in force.
    pub(crate) fn until(&mut self, runtime: &Runtime, ask: &Ask) -> Result<(), Failure> {
        let started = Instant::now();
        loop {
            let way = self.way(Door::Http1)?;
            let Err(failure) = runtime.block_on(send(way, Lanes(1), vec![ask.clone()], 1)) else { return Ok(()) };
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("the gate ended with {status}:\n{}", self.log()).into());
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("{failure}, for {PATIENCE:?}:\n{}", self.log()).into());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where clients without TLS come.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.plain
    }

    /// How a client comes by this door.
    pub(crate) fn way(&self, door: Door) -> Result<Way, Failure> {
        let http2 = matches!(door, Door::Http2 | Door::TlsHttp2);
        let (address, name, lasts, tls) = match door {
            Door::Http1 | Door::Http2 => (self.plain, NAME, 1_000, None),
            Door::Tls | Door::TlsHttp2 => (self.secured, NAME, 50, Some(Arc::new(self.client(http2)?))),
            Door::Admin => (self.admin, "localhost", 1, None),
        };
        Ok(Way { address, name, http2, tls, lasts })
    }

    fn client(&self, http2: bool) -> Result<ClientConfig, Failure> {
        let builder =
            ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions()?;
        let mut config = builder.with_root_certificates(self.trust.clone()).with_no_client_auth();
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Ok(config)
    }

    /// Has it take up the policy of this number.
    pub(crate) fn reload(&mut self, runtime: &Runtime, number: usize) -> Result<(), Failure> {
        // By another name first, so that no half of it is ever read.
        let [new, place] = ["policy.new", "policies/policy.yaml"].map(|name| self.folder.path().join(name));
        fs::write(&new, files::policy(number))?;
        fs::rename(new, place)?;
        self.signal(Signal::HUP)?;
        self.until(runtime, &Ask::get(&files::open(number)))
    }

    /// Tells it to end, and waits until it has, in good order.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        self.signal(Signal::TERM)?;
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            match self.process.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("the gate ended with {status}:\n{}", self.log()).into()),
                None => thread::sleep(Duration::from_millis(20)),
            }
        }
        Err(format!("the gate did not end within {PATIENCE:?}:\n{}", self.log()).into())
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        Ok(kill_process(Pid::from_child(&self.process), signal)?)
    }

    /// The last that it said.
    pub(crate) fn log(&self) -> String {
        let said = fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(said.get(said.len().saturating_sub(4_000)..).unwrap_or_default()).into_owned()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Where it has ended already there is nobody to end.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// Addresses of loopback that nobody has, below those that the system hands out by itself: no connection may take one before the gate
/// does. They are held together, so that no two are the same.
fn free_addresses<const COUNT: usize>() -> Result<[SocketAddr; COUNT], Failure> {
    let first = u16::try_from(std::process::id() % 200)?.saturating_mul(100).saturating_add(10_000);
    let held = (first..32_768).filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()).take(COUNT);
    let held: Vec<TcpListener> = held.collect();
    let addresses = held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    addresses.try_into().map_err(|_few| "there are no free ports".into())
}
