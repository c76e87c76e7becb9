//! nginx in front of the gate: it ends TLS and says who the client is, by fields or by the PROXY protocol.

use crate::support::{Front, HOST, Nginx, Said, Unusual, Upstream, free_port, run};

/// The client's address: one that the gate does not trust. nginx connects from the usual one.
const CLIENT: &str = "127.0.0.2";

fn trusting(upstream: &Upstream, more: &str) -> Front {
    let both = format!("    trusted_peers: [127.0.0.1]\n{more}");
    Front::unusual(upstream, Unusual { both, ..Unusual::default() })
}

fn curl(front: &Front, port: u16, arguments: &[&str]) -> Said {
    let (ca, resolved, url) = (front.ca(), format!("{HOST}:{port}:127.0.0.1"), format!("https://{HOST}:{port}/any/1"));
    let usual = [
        "-sS",
        "--max-time",
        "20",
        "--interface",
        CLIENT,
        "--resolve",
        &resolved,
        "-w",
        " %{http_version} %{http_code}",
    ];
    run("curl", &[&usual[..], &["--cacert", ca.to_str().unwrap()], arguments, &[&url]].concat())
}

#[test]
fn what_a_tls_edge_says_of_the_client_is_believed_and_what_the_client_says_is_not() {
    let upstream = Upstream::start();
    let front = trusting(&upstream, "");
    let (port, (cert, key)) = (free_port(), front.authority.server("edge"));
    // The fields are those of docs/edge.md.
    let _nginx = Nginx::http(
        port,
        &format!(
            "server {{
               listen 127.0.0.1:{port} ssl http2;
               ssl_certificate {}; ssl_certificate_key {};
               location / {{
                 proxy_pass http://127.0.0.1:{};
                 proxy_http_version 1.1;
                 proxy_set_header Connection        \"\";
                 proxy_set_header Host              $host;
                 proxy_set_header X-Forwarded-For   $proxy_add_x_forwarded_for;
                 proxy_set_header X-Forwarded-Proto $scheme;
                 proxy_set_header X-Forwarded-Host  $host;
                 proxy_set_header X-Forwarded-Port  $server_port;
               }}
             }}",
            cert.display(),
            key.display(),
            front.gate.port
        ),
    );
    let authorization = front.authorization();
    let honest: &[&str] = &["-H", &authorization];
    let forged: &[&str] = &[
        "-H",
        &authorization,
        "-H",
        "X-Forwarded-For: 203.0.113.9",
        "-H",
        "X-Real-IP: 203.0.113.9",
        "-H",
        "Forwarded: for=203.0.113.9",
        "-H",
        "X-Forwarded-Proto: gopher",
        "-H",
        "X-Stepgate-Subject: root",
    ];
    for (arguments, version) in [(honest, "--http1.1"), (honest, "--http2"), (forged, "--http1.1"), (forged, "--http2")]
    {
        let said = curl(&front, port, &[arguments, &[version]].concat());
        let number = if version == "--http2" { "2" } else { "1.1" };
        assert_eq!(said.out, format!("ok {number} 200"), "{said:?}");
        let seen = upstream.last();
        let field = |name| seen.header(name);
        assert_eq!(field("x-real-ip"), Some(CLIENT));
        assert!(field("x-forwarded-for").unwrap().ends_with(&format!("{CLIENT}, 127.0.0.1")), "{seen:?}");
        assert_eq!((field("x-forwarded-proto"), field("x-forwarded-host")), (Some("https"), Some(HOST)));
        assert_eq!(field("x-forwarded-port"), Some(&*port.to_string()));
        assert_eq!(field("x-stepgate-subject"), Some("ada"));
        assert!(
            field("forwarded").is_none_or(|value| !value.contains("for=203.0.113.9;") && value.contains(CLIENT)),
            "{seen:?}"
        );
    }
    // Past the edge, the same client is nobody whose word counts.
    let direct = format!("http://127.0.0.1:{}/any/1", front.gate.port);
    let said = run("curl", &[&["-sS", "--interface", CLIENT], forged, &[&direct]].concat());
    assert_eq!(said.out, "ok", "{said:?}");
    let seen = upstream.last();
    assert_eq!((seen.header("x-real-ip"), seen.header("x-forwarded-for")), (Some(CLIENT), Some(CLIENT)));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
}

#[test]
fn a_balancer_that_passes_bytes_names_the_client_by_the_proxy_protocol() {
    let upstream = Upstream::start();
    let front = trusting(&upstream, "    proxy_protocol: true");
    let port = free_port();
    let _nginx = Nginx::stream(
        port,
        &format!("server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{}; proxy_protocol on; }}", front.tls),
    );
    let authorization = front.authorization();
    for (version, number) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let said = curl(&front, port, &["-H", &authorization, "-H", "X-Forwarded-For: 203.0.113.9", version]);
        assert_eq!(said.out, format!("ok {number} 200"), "{said:?}");
        let seen = upstream.last();
        assert_eq!((seen.header("x-real-ip"), seen.header("x-forwarded-for")), (Some(CLIENT), Some(CLIENT)));
        assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
        assert_eq!(seen.header("x-forwarded-port"), Some(&*port.to_string()));
    }
    // Without the header: neither a stranger nor a peer that is trusted gets in.
    let refused = || front.gate.metric("stepgate_proxy_headers_refused_total");
    let before = refused();
    for address in [CLIENT, "127.0.0.1"] {
        let said = curl(&front, front.tls, &["-H", &authorization, "--interface", address]);
        assert!(said.out.ends_with(" 000") && said.code == Some(35), "{said:?}");
    }
    assert_eq!(refused() - before, 2.0);
    assert_eq!(upstream.count(), 2);
}
