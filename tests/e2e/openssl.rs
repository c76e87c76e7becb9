//! `openssl s_client`: what is offered is what docs/tls.md says, and certificates change under connections that go on.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Front, HOST, Said, Unusual, Upstream, eventually, run, said_by, spawn};

/// A handshake, and what `s_client` says of it.
fn handshake(port: u16, arguments: &[&str]) -> Said {
    let address = format!("127.0.0.1:{port}");
    run("openssl", &[&["s_client", "-connect", &address, "-servername", HOST], arguments].concat())
}

fn succeeds(said: &Said) -> bool {
    said.code == Some(0) && said.out.contains("Verify return code")
}

/// The items of a numbered list in docs/tls.md, without the marks around them.
fn documented(heading: &str) -> Vec<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tls.md")).unwrap();
    let (_before, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let items = section.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
    items.map(|line| line.split('`').nth(1).unwrap().to_owned()).collect()
}

/// The standard name and openssl's own of every suite it has for this version.
fn suites(version: &str) -> Vec<(String, String)> {
    let said = run("openssl", &["ciphers", "-stdname", version, "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]);
    let lines = said.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter(|line| !line[0].starts_with("TLS_") || line[1] == "-")
        .map(|line| (name(line[0]), line[2].into()))
        .collect()
}

/// As rustls and the page write it: those of TLS 1.3 begin with `TLS13`.
fn name(standard: &str) -> String {
    if standard.contains("_WITH_") { standard.to_owned() } else { standard.replacen("TLS_", "TLS13_", 1) }
}

#[test]
fn the_suites_that_are_taken_are_those_of_the_page() {
    let upstream = Upstream::start();
    let mut taken = BTreeSet::new();
    for rsa in [false, true] {
        let front = Front::unusual(&upstream, Unusual { rsa, ..Unusual::default() });
        // Older suites are of TLS 1.2 too.
        let old = suites("-tls1_2").into_iter().filter(|(name, _)| !name.starts_with("TLS13_"));
        let old: BTreeSet<_> = old.chain(suites("-tls1")).filter(|(name, _)| !name.starts_with("TLS13_")).collect();
        assert!(old.len() > 60, "openssl was asked for all it has: {old:?}");
        for (standard, own) in old {
            let said = handshake(front.tls, &["-tls1_2", "-cipher", &format!("{own}:@SECLEVEL=0")]);
            if succeeds(&said) {
                assert!(said.out.contains(&format!("Cipher is {own}")), "{own}: {said:?}");
                taken.insert(standard);
            }
        }
        for own in [
            "AES_256_GCM_SHA384",
            "AES_128_GCM_SHA256",
            "CHACHA20_POLY1305_SHA256",
            "AES_128_CCM_SHA256",
            "AES_128_CCM_8_SHA256",
        ] {
            let said = handshake(front.tls, &["-tls1_3", "-ciphersuites", &format!("TLS_{own}")]);
            if succeeds(&said) {
                taken.insert(format!("TLS13_{own}"));
            }
        }
    }
    assert_eq!(taken, documented("Cipher suites").into_iter().collect());
}

#[test]
fn the_versions_and_groups_that_are_taken_are_those_of_the_page() {
    let upstream = Upstream::start();
    // In TLS 1.2 openssl takes its list of groups for those of an ECDSA certificate's key too.
    let front = Front::unusual(&upstream, Unusual { rsa: true, ..Unusual::default() });
    for version in ["-tls1_2", "-tls1_3"] {
        assert!(succeeds(&handshake(front.tls, &[version])), "{version}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let said = handshake(front.tls, &[version, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(!succeeds(&said) && said.err.contains("SSL alert number"), "{said:?}");
    }
    // The hybrid is left out here: openssl has it from 3.5 on.
    let all = ["X25519", "secp256r1", "secp384r1", "secp521r1", "X448", "ffdhe2048"];
    let taken = |group: &&str| {
        ["-tls1_2", "-tls1_3"].map(|version| succeeds(&handshake(front.tls, &[version, "-groups", group])))
    };
    let documented = documented("Key exchange");
    for group in all {
        let is_documented = documented.iter().any(|one| one == group);
        assert_eq!(taken(&group), [is_documented; 2], "{group}");
    }
}

#[test]
fn a_client_chooses_the_protocol_and_gets_no_early_data_and_no_renegotiation() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream);
    for (offer, chosen) in [("h2,http/1.1", "h2"), ("http/1.1,h2", "h2"), ("http/1.1", "http/1.1")] {
        let said = handshake(front.tls, &["-alpn", offer]);
        assert!(said.out.contains(&format!("ALPN protocol: {chosen}\n")), "{said:?}");
    }
    let said = handshake(front.tls, &["-alpn", "smtp"]);
    assert!(!succeeds(&said) && said.err.contains("no application protocol"), "{said:?}");
    assert!(handshake(front.tls, &[]).out.contains("No ALPN negotiated"));

    // Tickets come behind the handshake, so the connection is used before it is looked at.
    let mut client = Client::to(front.tls, &["-tls1_3"]);
    client.ask();
    let said = client.close();
    assert!(said.contains("Max Early Data: 0\n") && !said.contains("Max Early Data: 1"), "{said}");
    let said = handshake(front.tls, &["-tls1_2"]);
    assert!(
        said.out.contains("Secure Renegotiation IS supported") && said.out.contains("Compression: NONE"),
        "{said:?}"
    );
}

/// A connection that stays open.
struct Client {
    process: Child,
    out: BufReader<std::process::ChildStdout>,
    read: String,
}

impl Client {
    fn to(port: u16, arguments: &[&str]) -> Self {
        let address = format!("127.0.0.1:{port}");
        let all = [&["s_client", "-connect", &address, "-servername", HOST, "-nocommands"], arguments].concat();
        let mut process = spawn("openssl", &all, Stdio::piped());
        let out = BufReader::new(process.stdout.take().unwrap());
        Self { process, out, read: String::new() }
    }

    /// Sends a request and reads the head of its answer.
    fn ask(&mut self) {
        let request = format!("GET /public/1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        self.process.stdin.as_mut().unwrap().write_all(request.as_bytes()).unwrap();
        let mut seen = false;
        loop {
            let mut line = String::new();
            assert_ne!(self.out.read_line(&mut line).unwrap(), 0, "the connection ended: {}", self.read);
            self.read.push_str(&line);
            seen |= line == "HTTP/1.1 200 OK\r\n";
            if seen && line == "\r\n" {
                let mut body = [0; 2];
                self.out.read_exact(&mut body).unwrap();
                assert_eq!(&body, b"ok");
                return;
            }
        }
    }

    /// Ends the connection; all that was said but the bodies.
    fn close(mut self) -> String {
        drop(self.process.stdin.take());
        self.out.read_to_string(&mut self.read).unwrap();
        self.process.wait().unwrap();
        self.read
    }
}

/// The certificate that is shown, in the form in which it stands in a file.
fn shown(port: u16) -> String {
    let said = handshake(port, &[]);
    let begin = said.out.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{said:?}"));
    let mut child = Command::new("openssl")
        .args(["x509"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&said.out.as_bytes()[begin..]).unwrap();
    said_by(child).out.replace('\n', "")
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_the_old_ones_go_on() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream);
    let (certificate, _key) = front.authority.server("server");
    let file = || fs::read_to_string(&certificate).unwrap().replace(['\n', '\r'], "");
    eventually("the certificate of the file is shown", Duration::from_secs(5), || shown(front.tls) == file());
    let mut clients = ["-tls1_2", "-tls1_3"].map(|version| Client::to(front.tls, &[version]));
    clients.iter_mut().for_each(Client::ask);
    for by_signal in [true, false] {
        let old = file();
        front.authority.server("server");
        assert_ne!(file(), old);
        if by_signal {
            front.gate.hang_up();
        }
        eventually("the new certificate is shown", Duration::from_secs(5), || shown(front.tls) == file());
        clients.iter_mut().for_each(Client::ask);
    }
    clients.into_iter().for_each(|client| drop(client.close()));
    // Two from the start on, asked three times each.
    assert_eq!(upstream.count(), 6);
}
