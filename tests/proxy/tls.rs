//! TLS with clients: what is offered, who is let in, and that files change under open connections.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion};
use stepgate::config::settings::{ClientAuth, Limits, ServerTls};
use tempfile::TempDir;

use super::client::{Client, Response, get};
use super::gate::{Running1, Setup};
use super::h2_client::{self, H2};
use super::upstream::{Upstream, eventually, read_body};

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// An authority that signs for servers and clients.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for a name, and its key, both in PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    fn write(&self, path: &Path) {
        std::fs::write(path, self.0.pem()).unwrap();
    }
}

/// A folder with all files that a listener can have.
struct Files {
    folder: TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap(), authority: Authority::new() };
        files.renew();
        files.authority.write(&files.path("clients.pem"));
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a new certificate and key for the listener.
    fn renew(&self) -> String {
        let (cert, key) = self.authority.sign("gate.example");
        std::fs::write(self.path("server.key"), key).unwrap();
        std::fs::write(self.path("server.pem"), &cert).unwrap();
        cert
    }

    fn tls(&self, required: Option<bool>) -> ServerTls {
        let client_auth = required.map(|required| ClientAuth { ca: self.path("clients.pem"), required });
        ServerTls { cert: self.path("server.pem"), key: self.path("server.key"), client_auth }
    }

    fn start(&self, upstream: &Upstream, required: Option<bool>) -> Running1 {
        Setup { tls: Some(self.tls(required)), ..Setup::default() }.start(upstream.address)
    }

    /// A client that believes the authority.
    fn client(&self, offer: &Offer<'_>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(offer.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &offer.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
                let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![cert], PrivateKeyDer::from(key)).unwrap()
            }
        };
        config.alpn_protocols = offer.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

struct Offer<'a> {
    versions: &'static [&'static SupportedProtocolVersion],
    alpn: &'a [&'a str],
    identity: Option<(String, String)>,
}

impl Default for Offer<'_> {
    fn default() -> Self {
        Self { versions: rustls::ALL_VERSIONS, alpn: &[], identity: None }
    }
}

/// Shakes hands, wholly: until the server has said that it is content.
fn connect(gate: &Running1, config: &Arc<ClientConfig>) -> Client<Tls> {
    let stream = TcpStream::connect(gate.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("gate.example").unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    Client(BufReader::new(StreamOwned::new(connection, stream)))
}

/// Asks for something public; the error of a handshake that fails, on either side.
fn ask(gate: &Running1, config: &Arc<ClientConfig>) -> Result<Response, std::io::Error> {
    let mut client = connect(gate, config);
    client.0.get_mut().write_all(get("/public", None).as_bytes())?;
    client.0.get_mut().flush()?;
    // A refusal of the client's certificate comes after the client's own part of TLS 1.3 is over.
    let mut first = [0];
    client.0.get_mut().sock.peek(&mut first)?;
    std::io::BufRead::fill_buf(&mut client.0)?;
    Ok(client.response())
}

fn h2(gate: &Running1, config: &Arc<ClientConfig>) -> H2 {
    let (address, config) = (gate.address, Arc::clone(config));
    let io = async move {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("gate.example").unwrap();
        tokio_rustls::TlsConnector::from(config).connect(name, stream).await.unwrap()
    };
    H2::over(io, h2::client::Builder::new())
}

#[test]
fn the_client_chooses_the_protocol_by_alpn() {
    let (upstream, files) = (Upstream::plain(), Files::new());
    let gate = files.start(&upstream, None);
    for (alpn, chosen) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let config = files.client(&Offer { alpn, ..Offer::default() });
        if chosen == Some("h2") {
            assert_eq!(h2(&gate, &config).ask(h2_client::get("/public", None)).status, 200);
        } else {
            let mut client = connect(&gate, &config);
            assert_eq!(client.ask(get("/public", None)).status, 200);
            assert_eq!(client.0.get_ref().conn.alpn_protocol(), chosen.map(str::as_bytes));
            assert_eq!(client.ask(get("/accounts", None)).status, 401, "the connection goes on");
        }
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
        assert!(seen.field("forwarded").unwrap().ends_with(";proto=https"));
    }
    let config = files.client(&Offer { alpn: &["spdy/3"], ..Offer::default() });
    assert!(ask(&gate, &config).unwrap_err().to_string().contains("NoApplicationProtocol"));
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let (upstream, files) = (Upstream::plain(), Files::new());
    let gate = files.start(&upstream, None);
    for versions in [&[&TLS13][..], &[&TLS12]] {
        let versions: &'static [&'static SupportedProtocolVersion] = Vec::leak(versions.to_vec());
        assert_eq!(ask(&gate, &files.client(&Offer { versions, ..Offer::default() })).unwrap().status, 200);
    }
    // A hello of TLS 1.1, with a suite that it knows.
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x13, 0x00, 0x2f, 1, 0]);
    hello.extend([0, 16, 0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3]);
    let mut message = vec![1, 0, 0, u8::try_from(hello.len()).unwrap()];
    message.extend(&hello);
    let mut record = vec![22, 3, 1, 0, u8::try_from(message.len()).unwrap()];
    record.extend(&message);
    let mut client = gate.client();
    client.send(&record);
    let mut answer = [0; 7];
    client.0.read_exact(&mut answer).unwrap();
    assert_eq!((answer[0], answer[5], answer[6]), (21, 2, 70), "a fatal alert: protocol_version");
    assert!(client.is_closed());
    eventually(|| gate.notes.handshakes.lock().unwrap().len() == 1);
    assert!(gate.notes.handshakes.lock().unwrap()[0].contains("Tls12NotOffered"));
}

#[test]
fn a_client_certificate_is_asked_for_and_one_that_does_not_verify_is_refused_in_any_case() {
    let (upstream, files) = (Upstream::plain(), Files::new());
    let identity = |authority: &Authority| Some(authority.sign("client.example"));
    let stranger = Authority::new();
    for versions in [&[&TLS13][..], &[&TLS12]] {
        let versions: &'static [&'static SupportedProtocolVersion] = Vec::leak(versions.to_vec());
        for required in [true, false] {
            let gate = files.start(&upstream, Some(required));
            let none = files.client(&Offer { versions, ..Offer::default() });
            let good = files.client(&Offer { versions, identity: identity(&files.authority), ..Offer::default() });
            let bad = files.client(&Offer { versions, identity: identity(&stranger), ..Offer::default() });
            assert_eq!(ask(&gate, &good).unwrap().status, 200);
            assert_eq!(ask(&gate, &none).is_ok(), !required);
            assert!(ask(&gate, &bad).is_err(), "required: {required}");
            let failed = 1 + usize::from(required);
            eventually(|| gate.notes.handshakes.lock().unwrap().len() == failed);
        }
    }
}

#[test]
fn a_session_is_resumed_only_where_nobody_has_to_show_a_certificate() {
    let (upstream, files) = (Upstream::plain(), Files::new());
    for versions in [&[&TLS13][..], &[&TLS12]] {
        let versions: &'static [&'static SupportedProtocolVersion] = Vec::leak(versions.to_vec());
        for required in [None, Some(false), Some(true)] {
            let gate = files.start(&upstream, required);
            let identity = Some(files.authority.sign("client.example"));
            let config = files.client(&Offer { versions, identity, ..Offer::default() });
            let kinds = [(); 2].map(|()| {
                let mut client = connect(&gate, &config);
                assert_eq!(client.ask(get("/public", None)).status, 200);
                client.0.get_ref().conn.handshake_kind().unwrap()
            });
            assert_eq!(kinds[1] == HandshakeKind::Resumed, required.is_none(), "{required:?}: {kinds:?}");
        }
    }
}

/// Looks at the files now, as `run` does on SIGHUP.
struct Watching(
    tokio::sync::watch::Sender<()>,
    #[expect(dead_code, reason = "runs until it is dropped")] tokio::runtime::Runtime,
);

fn watch(gate: &Running1) -> Watching {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (sender, nudge) = tokio::sync::watch::channel(());
    runtime.spawn(gate.tls[0].clone().unwrap().watch(nudge));
    Watching(sender, runtime)
}

fn shown(client: &Client<Tls>) -> CertificateDer<'static> {
    client.0.get_ref().conn.peer_certificates().unwrap()[0].clone()
}

#[test]
fn certificates_change_under_open_connections_and_bad_files_change_nothing() {
    let (upstream, files) = (Upstream::plain(), Files::new());
    let gate = files.start(&upstream, None);
    let watching = watch(&gate);
    let config = files.client(&Offer::default());
    let mut old = connect(&gate, &config);
    assert_eq!(old.ask(get("/public", None)).status, 200);
    let new = CertificateDer::from_pem_slice(files.renew().as_bytes()).unwrap();
    watching.0.send_replace(());
    let now_shown = || {
        let mut client = connect(&gate, &files.client(&Offer::default()));
        assert_eq!(client.ask(get("/public", None)).status, 200);
        shown(&client)
    };
    eventually(|| now_shown() == new);
    assert_eq!(old.ask(get("/public", None)).status, 200, "it goes on as it began");
    assert_ne!(shown(&old), new);
    // A certificate without its key, then a half-written one.
    let (unfit, _) = files.authority.sign("gate.example");
    for text in [unfit.as_str(), &unfit[..200], ""] {
        std::fs::write(files.path("server.pem"), text).unwrap();
        watching.0.send_replace(());
        thread::sleep(Duration::from_millis(150));
        assert_eq!(now_shown(), new);
    }
    assert_eq!(old.ask(get("/public", None)).status, 200);
    let newest = CertificateDer::from_pem_slice(files.renew().as_bytes()).unwrap();
    // This time nobody says anything: it is seen all the same.
    eventually(|| now_shown() == newest);
}

#[test]
fn a_client_whose_authority_left_the_file_is_refused_from_then_on() {
    let (upstream, files) = (Upstream::plain(), Files::new());
    let gate = files.start(&upstream, Some(true));
    let watching = watch(&gate);
    let config = files.client(&Offer { identity: Some(files.authority.sign("client.example")), ..Offer::default() });
    assert_eq!(ask(&gate, &config).unwrap().status, 200);
    Authority::new().write(&files.path("clients.pem"));
    watching.0.send_replace(());
    // The same client, with whatever session it remembers.
    eventually(|| ask(&gate, &config).is_err());
    assert!(ask(&gate, &config).is_err());
}

#[test]
fn a_handshake_has_the_time_of_a_head_and_others_are_served_meanwhile() {
    let (upstream, files) = (Upstream::plain(), Files::new());
    let limits =
        Limits { head_read: Duration::from_millis(600), idle: Duration::from_millis(1500), ..Limits::default() };
    let gate = Setup { limits, tls: Some(files.tls(None)), ..Setup::default() }.start(upstream.address);
    let started = Instant::now();
    let mut silent = gate.client();
    let mut slow = gate.client();
    slow.send(b"\x16\x03\x01\x02\x00\x01");
    assert!(silent.is_closed() && slow.is_closed());
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(600) && took < Duration::from_millis(1500), "{took:?}");
    eventually(|| gate.notes.handshakes.lock().unwrap().len() == 2);
    // And so it is after the handshake.
    let mut client = connect(&gate, &files.client(&Offer::default()));
    client.send("GET /public HTTP/1.1\r\n");
    let started = Instant::now();
    assert!(client.is_closed());
    assert!(started.elapsed() < Duration::from_millis(1300), "{:?}", started.elapsed());
    // Having chosen HTTP/2 and then said nothing.
    let mut client = connect(&gate, &files.client(&Offer { alpn: &["h2"], ..Offer::default() }));
    let mut socket = client.0.get_ref().sock.try_clone().unwrap();
    client.0.get_mut().conn.complete_io(&mut socket).unwrap();
    let started = Instant::now();
    let mut rest = Vec::new();
    let _ = client.0.read_to_end(&mut rest);
    assert!(started.elapsed() < Duration::from_millis(1300), "{:?}", started.elapsed());
    assert_eq!(ask(&gate, &files.client(&Offer::default())).unwrap().status, 200);
}

#[test]
fn half_a_handshake_counts_among_the_connections() {
    let (upstream, files) = (Upstream::plain(), Files::new());
    let limits = Limits { connections: 2, ..Limits::default() };
    let gate = Setup { limits, tls: Some(files.tls(None)), ..Setup::default() }.start(upstream.address);
    let (one, _two) = (gate.client(), gate.client());
    eventually(|| *gate.notes.open.lock().unwrap() == 2);
    assert!(gate.client().rest().is_empty(), "what is said in the clear would be no TLS");
    assert_eq!(*gate.notes.refused.lock().unwrap(), 1);
    drop(one);
    eventually(|| *gate.notes.open.lock().unwrap() == 1);
    assert_eq!(ask(&gate, &files.client(&Offer::default())).unwrap().status, 200);
    assert!(gate.notes.handshakes.lock().unwrap().is_empty(), "whoever only looks has not failed");
}

#[test]
fn the_own_origin_of_a_cookie_is_the_https_one() {
    let (upstream, files) = (Upstream::plain(), Files::new());
    let gate = files.start(&upstream, None);
    let post = |origin: &str| {
        let fields = format!("Cookie: session=high\r\nOrigin: {origin}\r\nContent-Length: 0\r\n");
        connect(&gate, &files.client(&Offer::default()))
            .ask(format!("POST /app/x HTTP/1.1\r\nHost: api.example\r\n{fields}\r\n"))
            .status
    };
    assert_eq!((post("https://api.example"), post("http://api.example")), (200, 403));
}

#[test]
fn a_refused_upload_gets_its_answer_within_tls_too() {
    let (upstream, files) = (Upstream::plain(), Files::new());
    let gate = files.start(&upstream, None);
    let mut client = connect(&gate, &files.client(&Offer::default()));
    client.send(format!("POST /accounts HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 64 << 20));
    client.send(vec![b'x'; 200 << 10]);
    let response = client.response();
    assert_eq!((response.status, response.field("connection")), (401, Some("close")));
}

#[test]
fn a_client_that_reads_nothing_is_cut_off_within_tls_too() {
    let (upstream, files) = (
        Upstream::scripted(|_, stream| {
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
            while stream.get_mut().write_all(format!("10000\r\n{}\r\n", "x".repeat(0x10000)).as_bytes()).is_ok() {}
            false
        }),
        Files::new(),
    );
    let limits = Limits { idle: Duration::from_millis(1500), ..Limits::default() };
    let gate = Setup { limits, tls: Some(files.tls(None)), ..Setup::default() }.start(upstream.address);
    let mut client = connect(&gate, &files.client(&Offer::default()));
    client.send(get("/public", None));
    upstream.wait_closed(1);
}

#[test]
fn a_drain_finishes_what_is_under_way_within_tls_too() {
    let (upstream, files) = (
        Upstream::scripted(|seen, stream| {
            read_body(seen, stream);
            thread::sleep(Duration::from_millis(500));
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
        }),
        Files::new(),
    );
    let gate = files.start(&upstream, None);
    let mut old = connect(&gate, &files.client(&Offer::default()));
    old.send(get("/public", None));
    let mut new = h2(&gate, &files.client(&Offer { alpn: &["h2"], ..Offer::default() }));
    let asked = new.begin(h2_client::get("/public", None), true).unwrap();
    // Connected, and not yet as far as a handshake.
    let late = TcpStream::connect(gate.address).unwrap();
    eventually(|| upstream.seen().len() == 2);
    gate.shut_down();
    thread::sleep(Duration::from_millis(100));
    let name = ServerName::try_from("gate.example").unwrap();
    let late = StreamOwned::new(ClientConnection::new(files.client(&Offer::default()), name).unwrap(), late);
    assert_eq!(Client(BufReader::new(late)).ask(get("/public", None)).status, 200);
    let response = old.response();
    assert_eq!((response.status, response.field("connection")), (200, Some("close")));
    assert_eq!(new.wait(asked).unwrap().status, 200);
    new.ended(Duration::from_secs(2)).unwrap();
    gate.join();
}
