//! nginx behind the gate: TLS by an authority of one's own, client certificates, and HTTP/2 with and without TLS.

use std::fs;
use std::time::Duration;

use crate::support::{Authority, Front, Load, Nginx, Request, alone, eventually, free_port};

/// What nginx saw, said in its answer.
const SAID: &str = "$server_protocol $ssl_server_name $ssl_client_verify $ssl_client_s_dn $http_x_stepgate_subject";

/// An nginx in TLS that wants a certificate that `clients` signed. More of its `server` block can follow.
fn wanting(port: u16, server: &Authority, clients: &Authority, http2: &str, more: &str) -> Nginx {
    let (cert, key) = server.server("nginx");
    Nginx::http(
        port,
        &format!(
            "server {{
               listen 127.0.0.1:{port} ssl{http2};
               ssl_certificate {}; ssl_certificate_key {};
               ssl_client_certificate {}; ssl_verify_client on;
               {more}
               location / {{ return 200 \"{SAID}\"; }}
             }}",
            cert.display(),
            key.display(),
            clients.ca().display(),
        ),
    )
}

/// The upstream of a gate that shows nginx this certificate.
fn upstream(port: u16, ca: &Authority, shown: Option<&Authority>, more: &str) -> String {
    let shown = shown.map(|authority| {
        let (cert, key) = authority.client("gate");
        format!(", cert: {}, key: {}", cert.display(), key.display())
    });
    let (ca, shown) = (ca.ca(), shown.unwrap_or_default());
    format!("{{ app: {{ url: \"https://localhost:{port}\", tls: {{ ca: {}{shown} }}{more} }} }}", ca.display())
}

#[test]
fn each_shows_the_other_its_certificate_in_both_protocols() {
    let (server, clients) = (Authority::new("Servers"), Authority::new("Clients"));
    for (http2, more, protocol) in [("", "", "HTTP/1.1"), (" http2", ", http2: true", "HTTP/2.0")] {
        let port = free_port();
        let _nginx = wanting(port, &server, &clients, http2, "");
        let front = Front::to(&upstream(port, &server, Some(&clients), more));
        let token = crate::support::Token::access().sign(&front.bank);
        for _ in 0..3 {
            let response = front.gate.send(&Request::get("/any/1").bearer(&token));
            let said = format!("{protocol} localhost SUCCESS CN=gate ada");
            assert_eq!((response.status, response.body), (200, said), "{}", front.gate.log());
        }
        let response = front.gate.send(&Request::post("/any/1", "some body").bearer(&token));
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(front.gate.send(&Request::get("/any/1")).status, 401);
    }
}

#[test]
fn without_the_right_certificates_nobody_is_answered_by_the_other() {
    let (server, clients, stranger) =
        (Authority::new("Servers"), Authority::new("Clients"), Authority::new("Strangers"));
    for (http2, more) in [("", ""), (" http2", ", http2: true")] {
        let port = free_port();
        let _nginx = wanting(port, &server, &clients, http2, "");
        // nginx takes the connection and says in HTTP what it misses.
        for shown in [None, Some(&stranger)] {
            let front = Front::to(&upstream(port, &server, shown, more));
            let response = front.gate.send(&Request::get("/public/1"));
            assert_eq!(response.status, 400, "{response:?}\n{}", front.gate.log());
            assert!(response.body.contains("SSL certificate"), "{response:?}");
        }
        // The gate does not even send a request to one that it cannot verify.
        let front = Front::to(&upstream(port, &stranger, Some(&clients), more));
        let (response, _decision) = front.gate.decision(&Request::get("/public/1"));
        assert_eq!(response.status, 502, "{response:?}");
        assert!(response.body.contains("upstream_unreachable"), "{response:?}");
        eventually("the log says why", Duration::from_secs(5), || {
            front.gate.log().contains("its certificate is signed by")
        });
    }
}

#[test]
fn an_upstream_of_one_protocol_is_not_asked_in_another() {
    let (server, clients) = (Authority::new("Servers"), Authority::new("Clients"));
    let port = free_port();
    let _nginx = wanting(port, &server, &clients, "", "");
    let front = Front::to(&upstream(port, &server, Some(&clients), ", http2: true"));
    let response = front.gate.send(&Request::get("/public/1"));
    assert_eq!(response.status, 502, "{response:?}");
    assert!(response.body.contains("upstream_unreachable"), "{response:?}");
}

/// nginx ends a connection after so many requests, with GOAWAY in HTTP/2, while others are on their way to it.
const REQUESTS_A_CONNECTION: u32 = 100;

#[test]
fn connections_that_nginx_ends_under_load_cost_no_request() {
    let _alone = alone();
    let (server, clients) = (Authority::new("Servers"), Authority::new("Clients"));
    let ends = format!("keepalive_requests {REQUESTS_A_CONNECTION};");
    for (tls, http2) in [(true, true), (true, false), (false, true), (false, false)] {
        let port = free_port();
        let (_nginx, upstreams) = if tls {
            let (listen, more) = if http2 { (" http2", ", http2: true") } else { ("", "") };
            (wanting(port, &server, &clients, listen, &ends), upstream(port, &server, Some(&clients), more))
        } else {
            let (listen, scheme) = if http2 { (" http2", "h2c") } else { ("", "http") };
            let block = format!(
                "server {{ listen 127.0.0.1:{port}{listen}; {ends} location / {{ return 200 \"$server_protocol\"; }} }}"
            );
            (Nginx::http(port, &block), format!("{{ app: {{ url: \"{scheme}://127.0.0.1:{port}\" }} }}"))
        };
        let front = Front::to(&upstreams);
        let [clear, secure] = [
            format!("http://127.0.0.1:{}/public/1", front.gate.port),
            format!("https://127.0.0.1:{}/public/1", front.tls),
        ];
        for arguments in [&["--h1", &clear][..], &["-m", "4", &secure]] {
            let load = Load::run(&[&["-n", "3000", "-c", "8"], arguments].concat());
            assert_eq!((load.good, load.failed, load.other), (3000, 0, 0), "tls: {tls}, http2: {http2}: {load:?}");
        }
    }
}

#[test]
fn a_large_file_of_nginx_arrives_whole_over_http_2() {
    let (port, text) = (free_port(), (0..400_000).map(|number| format!("line {number:06}\n")).collect::<String>());
    let nginx = Nginx::http(port, &format!("server {{ listen 127.0.0.1:{port} http2; root {{folder}}; }}"));
    fs::create_dir(nginx.folder.path().join("public")).unwrap();
    fs::write(nginx.folder.path().join("public/file"), &text).unwrap();
    let front = Front::to(&format!("{{ app: {{ url: \"h2c://127.0.0.1:{port}\" }} }}"));
    let response = front.gate.send(&Request::get("/public/file"));
    assert_eq!(response.status, 200, "{}", nginx.log());
    assert!(response.body == text, "{} bytes of {}", response.body.len(), text.len());
    assert_eq!(front.gate.send(&Request::get("/public/none")).status, 404);
}
