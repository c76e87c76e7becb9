//! Many reloads under load from h2load, in HTTP/1.1 and in HTTP/2 over TLS: nothing fails, nothing is judged by half of each
//! policy, and nothing piles up.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Front, Load, Unusual, Upstream, alone, eventually};

const RELOADS: usize = 200;
/// Routes that only make the policy large, so that one that is not freed is seen.
const ROUTES: usize = 150;
/// By how much the memory may differ at the end, in KiB. The allocator keeps more and more for some hundred reloads under load
/// and then no more; policies that are not freed make several times as much.
const TOLERANCE: u64 = 8 << 10;
/// Requests of one run of h2load; runs follow each other until the reloads are done.
const A_RUN: u64 = 400;

/// Two policies that let the same requests through, and differ in all that the audit log says of why.
fn routes(name: &str, x: &str, y: &str) -> String {
    let mut routes = format!(
        "  - {{ name: x-{name}, match: {{ path: \"/x/**\" }}, require: {x} }}\n  \
         - {{ name: y-{name}, match: {{ path: \"/y/**\" }}, require: {y} }}\n"
    );
    for n in 0..ROUTES {
        let path = format!("/large-{n}/{{one}}/{{two}}/**");
        writeln!(routes, "  - {{ name: large-{n}, match: {{ path: \"{path}\" }}, require: {{ level: multi-factor, scopes: {{ all: [a{n}, b{n}] }} }} }}").unwrap();
    }
    routes
}

/// Runs of h2load until told to stop; how many requests they sent, each of which was answered with 200.
fn load(arguments: &[&str], stop: &AtomicBool) -> u64 {
    let (number, mut sent) = (A_RUN.to_string(), 0);
    while !stop.load(Ordering::Relaxed) {
        let usual = ["-n", &number, "-c", "4", "--rps", "60"];
        Load::run(&[&usual, arguments].concat()).assert_all_good(A_RUN);
        sent += A_RUN;
    }
    sent
}

/// Tells the clients to stop, also when an assertion fails that would leave them running for ever.
struct Halt<'s>(&'s AtomicBool);

impl Drop for Halt<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn two_hundred_reloads_under_load_drop_nothing_mix_nothing_and_keep_nothing() {
    let _alone = alone();
    let (a, b) = (routes("a", "{ level: single-factor }", "public"), routes("b", "public", "{ level: single-factor }"));
    let (policy_a, policy_b) = (Front::policy(&a), Front::policy(&b));
    let upstream = Upstream::start();
    let front = Front::unusual(&upstream, Unusual { routes: a, ..Unusual::default() });
    let hash_a = front.gate.in_force();
    let authorization = front.authorization();
    let urls = ["/x/1", "/y/1"].map(|path| {
        [format!("http://127.0.0.1:{}{path}", front.gate.port), format!("https://127.0.0.1:{}{path}", front.tls)]
    });

    let stop = AtomicBool::new(false);
    let (sent, hash_b, before, after) = thread::scope(|threads| {
        let mut clients = Vec::new();
        for [clear, secure] in &urls {
            let (stop, authorization) = (&stop, &authorization);
            clients.push(threads.spawn(move || load(&["--h1", "-H", authorization, clear], stop)));
            clients.push(threads.spawn(move || load(&["-m", "4", "-H", authorization, secure], stop)));
        }
        let halt = Halt(&stop);
        let (mut hash_b, mut before, mut after) = (String::new(), 0, 0);
        for reload in 0..RELOADS {
            let to_b = reload % 2 == 0;
            front.gate.reload(if to_b { &policy_b } else { &policy_a });
            let hash = front.gate.in_force();
            match (to_b, reload) {
                (true, 0) => hash_b = hash,
                (true, _) => assert_eq!(hash, hash_b),
                (false, _) => assert_eq!(hash, hash_a),
            }
            if reload == RELOADS / 4 {
                before = front.gate.memory();
            }
        }
        eventually("the memory is what it was", Duration::from_secs(15), || {
            after = front.gate.memory();
            after <= before + TOLERANCE
        });
        drop(halt);
        let sent: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        (sent, hash_b, before, after)
    });

    let mut lines = Vec::new();
    eventually("every request is in the audit log", Duration::from_secs(10), || {
        lines = front.gate.audit();
        u64::try_from(lines.len()).unwrap() == sent
    });
    let mut by_policy = [0, 0];
    for line in &lines {
        let policy = line["policy"].as_str().unwrap();
        assert!(policy == hash_a || policy == hash_b, "{line}");
        let (name, judged) = if policy == hash_a { ("a", "x") } else { ("b", "y") };
        let path = if line["path"] == "/x/1" { "x" } else { "y" };
        assert_eq!(line["route"], format!("{path}-{name}"), "{line}");
        assert_eq!(line["decision"], "allow", "{line}");
        // Only where the route asks for a level is the token looked at.
        let subject = if path == judged { Value::from("ada") } else { Value::Null };
        assert_eq!(line["subject"], subject, "{line}");
        by_policy[usize::from(policy == hash_b)] += 1;
    }
    assert!(by_policy.iter().all(|count| *count > RELOADS), "both were in use: {by_policy:?}");
    assert_eq!(u64::try_from(upstream.count()).unwrap(), sent);
    assert_eq!(front.gate.metric(r#"stepgate_policy_reloads_total{outcome="refused"}"#), 0.0);
    print(&format!("{sent} requests, {by_policy:?} by each policy, memory {before} KiB, then {after} KiB"));
}

#[expect(clippy::print_stderr, reason = "the numbers belong to what the test says")]
fn print(text: &str) {
    eprintln!("{text}");
}
