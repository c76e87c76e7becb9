//! nghttp and h2load: nothing fails in any protocol, and whoever drains says so.

use std::process::Stdio;
use std::time::Duration;

use crate::support::{Answer, Front, Load, Upstream, alone, eventually, run, said_by, spawn, terminate};

#[test]
fn h2load_sees_no_failure_in_any_protocol() {
    let _alone = alone();
    let upstream = Upstream::start();
    let front = Front::before(&upstream);
    let [clear, secure] = [front.gate.port, front.tls]
        .map(|port| format!("{}://127.0.0.1:{port}/any/1", if port == front.tls { "https" } else { "http" }));
    let authorization = front.authorization();
    // 16 connections; over HTTP/2 with up to 50 streams on each.
    let ways: [&[&str]; 4] = [&["--h1", &clear], &["--h1", &secure], &["-m", "50", &clear], &["-m", "50", &secure]];
    for arguments in ways {
        let arguments = [&["-n", "6000", "-c", "16", "-H", &authorization], arguments].concat();
        Load::run(&arguments).assert_all_good(6000);
    }
    // More streams than a connection may have: the client keeps to what it is told.
    let arguments = ["-n", "6000", "-c", "2", "-m", "400", "-H", &authorization, &clear];
    Load::run(&arguments).assert_all_good(6000);
    assert_eq!(upstream.count(), 5 * 6000);
    let allowed = front.gate.audit().iter().filter(|line| line["decision"] == "allow").count();
    assert_eq!(allowed, 5 * 6000);
}

#[test]
fn nghttp_sees_the_limits_and_many_streams_are_answered() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream);
    for start in ["http://127.0.0.1", "https://127.0.0.1"] {
        let port = if start.starts_with("https") { front.tls } else { front.gate.port };
        let urls: Vec<_> = (0..40).map(|number| format!("{start}:{port}/public/{number}")).collect();
        let arguments: Vec<&str> =
            ["-v", "--no-verify-peer"].into_iter().chain(urls.iter().map(String::as_str)).collect();
        let said = run("nghttp", &arguments);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.out.contains("[SETTINGS_MAX_CONCURRENT_STREAMS(0x03):100]"), "{}", said.out);
        assert_eq!(said.out.matches(":status: 200").count(), 40, "{}", said.out);
        assert!(!said.out.contains("PUSH_PROMISE") && !said.out.contains("recv RST_STREAM"), "{}", said.out);
    }
    assert_eq!(upstream.count(), 80);
}

#[test]
fn nghttp_is_told_of_the_drain_and_gets_what_it_waits_for() {
    let upstream = Upstream::that(|_| Answer::ok().after(Duration::from_millis(1500)));
    for tls in [false, true] {
        let before = upstream.begun();
        let mut front = Front::before(&upstream);
        let (start, port) = if tls { ("https", front.tls) } else { ("http", front.gate.port) };
        let url = format!("{start}://127.0.0.1:{port}/public/1");
        let client = spawn("nghttp", &["-v", "--no-verify-peer", &url], Stdio::null());
        eventually("the request is under way", Duration::from_secs(10), || upstream.begun() > before);
        terminate(&front.gate);
        let said = said_by(client);
        assert_eq!(said.code, Some(0), "{said:?}");
        let goaway = said.out.find("recv GOAWAY frame").unwrap_or_else(|| panic!("{}", said.out));
        let answer = said.out.find(":status: 200").unwrap_or_else(|| panic!("{}", said.out));
        assert!(goaway < answer && said.out.contains("error_code=NO_ERROR(0x00)"), "{}", said.out);
        assert_eq!(front.gate.ends(Duration::from_secs(3)).code(), Some(0));
    }
}
