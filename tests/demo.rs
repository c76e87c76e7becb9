//! `stepgate demo` keeps what it prints: each command is run as a reader would run it, with a shell and curl.
#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is how a promise is seen to be broken")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use stepgate::demo::Story;

const STEPGATE: &str = env!("CARGO_BIN_EXE_stepgate");

/// A demo on free ports, ended with the test.
struct Demo {
    process: Child,
    out: BufReader<ChildStdout>,
    /// Reads standard error all the while, so that the demo never waits for us.
    errors: Option<JoinHandle<String>>,
    printed: String,
}

impl Demo {
    fn start(more: &[&str]) -> Self {
        let ports = ["--gate-port", "0", "--idp-port", "0", "--echo-port", "0", "--admin-port", "0"];
        let mut command = Command::new(STEPGATE);
        command.arg("demo").args(ports).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let mut stderr = process.stderr.take().unwrap();
        let errors = Some(thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        }));
        let mut demo = Self { process, out, errors, printed: String::new() };
        while !demo.printed.contains("Ctrl-C ends the demo.") {
            let read = demo.out.read_line(&mut demo.printed).unwrap();
            if read == 0 {
                panic!("the demo ended: {}{}", demo.printed.clone(), demo.errors());
            }
        }
        demo
    }

    fn errors(&mut self) -> String {
        self.errors.take().map(|reader| reader.join().unwrap()).unwrap_or_default()
    }

    /// The address that stands after a piece of what was printed.
    fn address_after(&self, text: &str) -> SocketAddr {
        let after = self.printed.split_once(text).unwrap().1;
        let address: String = after.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
        address.parse().unwrap()
    }

    fn story(&self) -> Story {
        let gate = self.address_after("Stepgate demo: http://");
        Story::new(gate, self.address_after("More tokens: http://"), self.address_after("readiness: http://"))
    }

    fn wait_until_ready(&self) {
        let admin = self.address_after("readiness: http://").to_string();
        let began = Instant::now();
        let ready = || Command::new(STEPGATE).args(["healthcheck", "--admin", &admin]).output().unwrap();
        while !ready().status.success() {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", ready());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits for the end: how it ended, and what it wrote after the story and on standard error.
    fn end(mut self) -> (ExitStatus, String, String) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "the demo does not end");
            thread::sleep(Duration::from_millis(20));
        };
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (status, rest, self.errors())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Long gone where the test came to its end.
        self.process.kill().unwrap_or_default();
    }
}

/// The commands among what was printed, each as one line.
fn commands(printed: &str) -> Vec<String> {
    let joined = printed.replace("\\\n", " ");
    joined.lines().filter(|line| line.starts_with("curl ")).map(str::to_owned).collect()
}

fn shell(command: &str) -> Output {
    Command::new("sh").args(["-c", command]).output().unwrap()
}

#[test]
fn each_printed_command_does_what_is_printed_beside_it() {
    let demo = Demo::start(&["--log", "trace"]);
    let story = demo.story();
    let commands = commands(&demo.printed);
    assert_eq!(commands.len(), story.steps.len());
    for (command, step) in commands.iter().zip(&story.steps) {
        let output = shell(&format!("{command} --silent --max-time 10"));
        let answer = String::from_utf8(output.stdout).unwrap();
        let status = format!("HTTP/1.1 {}", step.status);
        assert!(answer.starts_with(&status), "{}\n{command}\n{answer}", step.title);
        assert!(answer.contains(step.contains), "{}\n{command}\n{answer}", step.title);
        let reached = answer.contains("the request reached it");
        assert_eq!(reached, step.status == 200, "{}\n{answer}", step.title);
        assert!(!answer.contains("eyJ"), "the application shows no token: {answer}");
    }
    demo.signal("-INT");
    let (status, rest, errors) = demo.end();
    assert_eq!(status.code(), Some(0), "{errors}");
    let lines: Vec<serde_json::Value> =
        rest.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect();
    let decided: Vec<String> = lines.iter().map(|line| format!("{} {}", line["decision"], line["reason"])).collect();
    let expected = [
        r#""allow" null"#,
        r#""deny" "level_too_low""#,
        r#""allow" null"#,
        r#""deny" "auth_too_old""#,
        r#""deny" "token_missing""#,
        r#""allow" null"#,
    ];
    assert_eq!(decided, expected, "one audit line a request");
    assert!(!rest.contains("eyJ"), "no token in the audit log: {rest}");
    assert!(errors.contains("denied"), "logs were on: {errors}");
    assert!(!errors.contains("eyJ") && !errors.contains("alice"), "neither token nor subject in the logs: {errors}");
}

#[test]
fn the_admin_listener_tells_of_it_and_sigterm_ends_it() {
    let demo = Demo::start(&[]);
    let admin = demo.address_after("readiness: http://");
    let ready = || Command::new(STEPGATE).args(["healthcheck", "--admin", &admin.to_string()]).output().unwrap();
    let began = Instant::now();
    while !ready().status.success() {
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", ready());
        thread::sleep(Duration::from_millis(50));
    }
    let metrics = shell(&format!("curl --silent --max-time 10 http://{admin}/metrics"));
    let metrics = String::from_utf8(metrics.stdout).unwrap();
    assert!(metrics.contains(r#"stepgate_issuer_ready{issuer="demo"} 1"#), "{metrics}");
    demo.signal("-TERM");
    let (status, _, errors) = demo.end();
    assert_eq!(status.code(), Some(0), "{errors}");
    assert_eq!(ready().status.code(), Some(1), "what does not run is not healthy");
}

/// A request whose body has not all been sent.
fn half_a_request(gate: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(gate).unwrap();
    let head =
        format!("POST /healthz HTTP/1.1\r\nHost: {gate}\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhello");
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // Let it reach the application.
    thread::sleep(Duration::from_millis(300));
    stream
}

#[test]
fn a_request_under_way_is_finished_before_the_end_and_readiness_says_so() {
    let demo = Demo::start(&[]);
    let mut stream = half_a_request(demo.address_after("Stepgate demo: http://"));
    let admin = demo.address_after("readiness: http://");
    demo.signal("-TERM");
    thread::sleep(Duration::from_millis(200));
    let ready = shell(&format!("curl --silent --max-time 10 http://{admin}/readyz"));
    assert!(String::from_utf8(ready.stdout).unwrap().contains(r#""ready":false"#));
    stream.write_all(b"world").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("helloworld"), "{answer}");
    let (status, rest, errors) = demo.end();
    assert_eq!(status.code(), Some(0), "{errors}");
    assert!(rest.contains(r#""decision":"allow""#), "its audit line is written: {rest}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let demo = Demo::start(&[]);
    let stream = half_a_request(demo.address_after("Stepgate demo: http://"));
    demo.signal("-INT");
    thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    demo.signal("-INT");
    let (status, _, errors) = demo.end();
    assert_eq!(status.code(), Some(130), "{errors}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    drop(stream);
}

#[test]
fn a_busy_port_is_a_clear_error_and_nothing_is_served() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--gate-port", "--idp-port", "--echo-port", "--admin-port"] {
        let mut arguments = vec!["demo"];
        for other in ["--gate-port", "--idp-port", "--echo-port", "--admin-port"] {
            arguments.extend([other, if other == flag { &port } else { "0" }]);
        }
        let output = Command::new(STEPGATE).args(arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(&port) && errors.contains(flag), "{errors}");
        assert!(output.stdout.is_empty());
    }
}

/// The routes, titles and commands of what a demo with a policy of one's own prints: the command, and whether it passes.
fn tour(printed: &str) -> Vec<(String, bool)> {
    let titles = printed.lines().filter(|line| line.ends_with(": goes through") || line.ends_with(": is refused"));
    let passes: Vec<bool> = titles.map(|line| line.ends_with("goes through")).collect();
    let commands = commands(printed);
    assert_eq!(commands.len(), passes.len(), "{printed}");
    commands.into_iter().zip(passes).collect()
}

#[test]
fn every_example_is_seen_to_refuse_and_then_to_allow() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/examples");
    let mut folders: Vec<_> = std::fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    assert!(folders.len() >= 11, "{folders:?}");
    for folder in folders {
        let mut demo = Demo::start(&["--policies", folder.to_str().unwrap()]);
        assert!(demo.printed.contains("THESE ARE NOT THE REAL ISSUERS"), "{}", demo.printed);
        demo.wait_until_ready();
        let tour = tour(&demo.printed);
        for (command, passes) in &tour {
            let output = shell(&format!("{command} --silent --max-time 10"));
            let answer = String::from_utf8(output.stdout).unwrap();
            assert_eq!(answer.starts_with("HTTP/1.1 200"), *passes, "{}\n{command}\n{answer}", folder.display());
            assert_eq!(answer.contains("the request reached it"), *passes, "{answer}");
            assert!(!answer.contains("eyJ"), "the application shows no token: {answer}");
        }
        assert!(tour.iter().any(|(_, passes)| *passes), "{}: nothing passes", folder.display());
        assert!(tour.iter().any(|(_, passes)| !passes), "{}: nothing is refused", folder.display());
        demo.signal("-TERM");
        let promised: Vec<String> = demo.printed.lines().filter_map(said_reason).collect();
        for route in told_least(&demo.printed) {
            // What is too weak for such a route may not have been kept in the first place.
            let kept =
                |block: &str| block.contains(&format!(". {route}: goes through")) && block.contains("$(curl -si");
            assert!(demo.printed.split("\n\n").any(kept), "there is more to tell of {route}: {}", demo.printed);
        }
        demo.printed.clear();
        let (_, rest, errors) = demo.end();
        for reason in promised {
            assert!(rest.contains(&format!("\"reason\":\"{reason}\"")), "{reason}: {rest}{errors}");
        }
    }
}

/// The routes of which no more is told than that a token is missing.
fn told_least(printed: &str) -> Vec<String> {
    let blocks = printed.split("\n\n").filter(|block| block.contains("\"token_missing\""));
    let route = |block: &str| block.split_once(". ").unwrap().1.split_once(": is refused").unwrap().0.to_owned();
    blocks.map(route).collect()
}

/// The reason that a line promises.
fn said_reason(line: &str) -> Option<String> {
    let (_, after) = line.split_once("expect a refusal, and \"")?;
    Some(after.split('"').next()?.to_owned())
}

const NO_TESTS: &str = "\
version: 1
issuers:
  entra:
    issuer: https://login.example/v2.0
    profile: rfc8176
    algorithms: [RS256]
    keys: { jwks_file: not-there.json }
    access: { audiences: [\"api://x\"], typ: [JWT] }
    proves:
      single-factor: { factors: 1 }
      multi-factor: { acr: [strong] }
routes:
  - { name: read, upstream: ledger, match: { hosts: [\"*.bank.example\"], path: \"/a/**\", methods: [GET] }, require: { level: single-factor } }
  - { name: pay, upstream: payments, match: { path: \"/pay/{id}\", methods: [POST] }, require: { level: multi-factor, scopes: { all: [pay] }, bind: { id: /consent } } }
  - { name: never, upstream: ledger, match: { path: /never }, require: { claims: { department: board } } }
";

const KEPT: &str = "\
version: 1
issuers:
  corp:
    issuer: https://login.example
    id: { audiences: [app] }
    proves: { single-factor: { factors: 1 }, multi-factor: { factors: 2 } }
routes:
  - name: callback
    match: { hosts: [app.example], path: /signin, methods: [POST] }
    take: [ { form: id_token, kind: id } ]
    require: { level: single-factor }
    keep: { cookie: __Host-app, for: 1h }
  - { name: pay, match: { hosts: [app.example], path: /pay, methods: [GET] }, take: [ { kept: __Host-app } ], require: { level: multi-factor } }
  - { name: send, match: { hosts: [app.example], path: /send, methods: [POST] }, take: [ { kept: __Host-app } ], require: { level: multi-factor } }
  - { name: elsewhere, match: { hosts: [other.example], path: /pay }, take: [ { kept: __Host-app } ], require: authenticated }
";

#[test]
fn where_a_kept_sign_in_is_taken_the_command_signs_in_first() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.yaml"), KEPT).unwrap();
    let demo = Demo::start(&["--policies", folder.path().to_str().unwrap()]);
    demo.wait_until_ready();
    let tour = tour(&demo.printed);
    let blocks: Vec<&str> = demo.printed.split("\n\n").filter(|block| block.contains(". pay: ")).collect();
    assert_eq!(blocks.len(), 2, "{}", demo.printed);
    for (block, last) in blocks.iter().zip(["\"level_too_low\"", "200: the application answers"]) {
        assert!(block.contains("http://") && block.contains("/signin'") && block.contains("__Host-app"), "{block}");
        assert!(block.contains("-H 'Host: app.example'") && block.contains(last), "{block}");
    }
    for (command, passes) in &tour {
        let answer = String::from_utf8(shell(&format!("{command} --silent --max-time 10")).stdout).unwrap();
        assert_eq!(answer.starts_with("HTTP/1.1 200"), *passes, "{command}\n{answer}");
    }
    // No command has a page's origin, and what is kept for one host is none at another.
    assert!(demo.printed.contains("No request was found that goes through: send, elsewhere."), "{}", demo.printed);
}

#[test]
fn a_policy_without_tests_is_shown_by_requests_that_were_found_for_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.yaml"), NO_TESTS).unwrap();
    let demo = Demo::start(&["--policies", folder.path().to_str().unwrap()]);
    demo.wait_until_ready();
    let tour = tour(&demo.printed);
    assert_eq!(tour.iter().map(|(_, passes)| *passes).collect::<Vec<_>>(), [false, true, false, true, false]);
    for (command, passes) in &tour {
        let answer = String::from_utf8(shell(&format!("{command} --silent --max-time 10")).stdout).unwrap();
        assert_eq!(answer.starts_with("HTTP/1.1 200"), *passes, "{command}\n{answer}");
    }
    assert!(demo.printed.contains("No request was found that goes through: never."), "{}", demo.printed);
    assert!(demo.printed.contains("'Host: www.bank.example'"), "{}", demo.printed);
}

#[test]
fn tokens_of_any_shape_can_be_asked_for_and_what_makes_no_sense_is_refused_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.yaml"), NO_TESTS).unwrap();
    let demo = Demo::start(&["--policies", folder.path().to_str().unwrap()]);
    let idp = demo.address_after("More tokens: http://");
    let ask = |query: &str| {
        let output =
            shell(&format!("curl --silent --max-time 10 --globoff --write-out '%{{http_code}}' 'http://{idp}{query}'"));
        String::from_utf8(output.stdout).unwrap()
    };
    let claims = "%7B%22amr%22:%22pwd%22,%22ext%22:%7B%22a%22:1%7D%7D";
    let token = ask(&format!("/token?typ=at%2Bjwt&claim.wids=%5B%22x%22%5D&claim.sub=&claims={claims}"));
    let part = |place: usize| {
        let part = token.split('.').nth(place).unwrap();
        let decoded = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, part).unwrap();
        serde_json::from_slice::<serde_json::Value>(&decoded).unwrap()
    };
    let header = part(0);
    assert_eq!((&header["alg"], &header["typ"]), (&"RS256".into(), &"at+jwt".into()), "by the policy's algorithm");
    let mut claims = part(1);
    for date in ["iat", "exp", "auth_time"] {
        assert!(claims.as_object_mut().unwrap().remove(date).unwrap().is_i64(), "{date}");
    }
    let expected = serde_json::json!({
        "iss": "https://login.example/v2.0", "aud": "api://x", "wids": ["x"], "amr": "pwd", "ext": { "a": 1 },
    });
    assert_eq!(claims, expected);
    for (query, said) in [
        ("/token?issuer=okta", "it has entra"),
        ("/token?kind=id", "takes no id tokens of `entra`"),
        ("/token?arm=pwd", "`arm` is not known"),
        ("/token?test=x", "no tests beside this policy"),
        ("/token?claims=x", "no JSON object"),
    ] {
        let answer = ask(query);
        assert!(answer.contains(said) && answer.ends_with("400"), "{query}: {answer}");
    }
    assert!(ask("/").contains("entra  https://login.example/v2.0  access tokens for api://x"), "{}", ask("/"));
    // It is not where these issuers live, and does not say so.
    assert!(ask("/.well-known/openid-configuration").ends_with("404"));
}

#[test]
fn a_policy_that_cannot_be_shown_is_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &std::path::Path| {
        let output = Command::new(STEPGATE).args(["demo", "--policies", path.to_str().unwrap()]).output().unwrap();
        assert!(output.stdout.is_empty());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, errors) = refused(&folder.path().join("none"));
    assert!(code == Some(2) && errors.contains("none"), "{errors}");
    let (code, errors) = refused(folder.path());
    assert!(code == Some(2) && errors.contains("cannot read the policy (`--policies`)"), "{errors}");
    let file = folder.path().join("mine.yaml");
    std::fs::write(&file, NO_TESTS.replace("level: multi-factor", "level: strongest")).unwrap();
    let (code, errors) = refused(&file);
    assert!(code == Some(2) && errors.contains("name the folder that holds it"), "{errors}");
    let (code, errors) = refused(folder.path());
    assert!(code == Some(1) && errors.contains("strongest"), "{errors}");
    std::fs::write(&file, NO_TESTS).unwrap();
    std::fs::write(
        folder.path().join("mine.test.yaml"),
        "version: 1\nnow: \"2026-01-01T12:00:00Z\"\ncases: [ { token: x } ]\n",
    )
    .unwrap();
    let (code, errors) = refused(folder.path());
    assert!(code == Some(1) && errors.contains("mine.test.yaml"), "{errors}");
    // Without a name for its upstream one route leads nowhere, as it would with such settings.
    std::fs::remove_file(folder.path().join("mine.test.yaml")).unwrap();
    std::fs::write(&file, NO_TESTS.replace("upstream: ledger, match: { path", "match: { path")).unwrap();
    let (code, errors) = refused(folder.path());
    assert!(code == Some(1) && errors.contains("does not say where it leads"), "{errors}");
}

#[test]
fn settings_that_are_not_there_are_an_error_with_a_way_out() {
    let output = Command::new(STEPGATE).args(["run", "--config", "no-such.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("no-such.yaml") && errors.contains("stepgate demo"), "{errors}");
}
