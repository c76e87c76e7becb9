//! One upstream in three places, an nginx in each, under load from h2load: one is killed and comes back, and nothing is lost
//! that need not be.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::support::{Front, Load, Nginx, Request, alone, eventually, free_port};

/// The place of this number. It takes whole bodies, and says who it is.
fn place(number: usize, port: u16, http2: &str) -> Nginx {
    let block = format!(
        "server {{
           listen 127.0.0.1:{port}{http2};
           location / {{ return 200 \"{number}\"; }}
           location /up {{ return 204; }}
         }}"
    );
    Nginx::http(port, &block)
}

/// Runs h2load again and again while one of the places is killed and started anew; what it counted in all.
fn load_while_one_goes_and_comes(
    front: &Front,
    places: &mut [Option<Nginx>; 3],
    arguments: &[&str],
    anew: impl Fn() -> Nginx,
) -> Load {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut sum = Load::default();
            while !done.load(Ordering::SeqCst) {
                let load = Load::run(arguments);
                sum.total += load.total;
                sum.good += load.good;
                sum.failed += load.failed;
                sum.other += load.other;
            }
            sum
        });
        thread::sleep(Duration::from_millis(1500));
        drop(places[1].take());
        eventually("the place is left out", Duration::from_secs(10), || state(front, 1) != "up");
        thread::sleep(Duration::from_millis(1500));
        places[1] = Some(anew());
        eventually("the place is back", Duration::from_secs(40), || state(front, 1) == "up");
        thread::sleep(Duration::from_millis(500));
        done.store(true, Ordering::SeqCst);
        load.join().unwrap()
    })
}

/// How the gate says that a place stands.
fn state(front: &Front, place: usize) -> String {
    let report: serde_json::Value = serde_json::from_str(&front.gate.admin("/readyz?verbose").body).unwrap();
    report["upstreams"][place]["state"].as_str().unwrap().to_owned()
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are to be seen")]
fn a_place_that_is_killed_under_load_and_comes_back_costs_no_request_that_may_be_sent_twice() {
    let _alone = alone();
    for (http2, scheme, health) in
        [("", "http", ""), (" http2", "h2c", ""), ("", "http", ", health: { path: /up, every: 300ms }")]
    {
        let ports = [free_port(), free_port(), free_port()];
        let mut places = [0, 1, 2].map(|number| Some(place(number, ports[number], http2)));
        let urls = ports.map(|port| format!("\"{scheme}://127.0.0.1:{port}\"")).join(", ");
        let front = Front::to(&format!("{{ app: {{ urls: [{urls}]{health} }} }}"));
        let url = format!("http://127.0.0.1:{}/public/1", front.gate.port);
        let get = ["-n", "2000", "-c", "16", "--h1", &url];
        let load = load_while_one_goes_and_comes(&front, &mut places, &get, || place(1, ports[1], http2));
        println!("{scheme}{health}: GET {load:?}");
        assert_eq!((load.good, load.failed, load.other), (load.total, 0, 0), "{}", front.gate.log());

        // What changes something is never sent twice, so those that were with it when it was killed are lost, and no more.
        let body = NamedTempFile::new().unwrap();
        fs::write(body.path(), "x".repeat(500)).unwrap();
        let body = body.path().to_str().unwrap();
        let post = ["-n", "2000", "-c", "16", "--h1", "-d", body, &url];
        let load = load_while_one_goes_and_comes(&front, &mut places, &post, || place(1, ports[1], http2));
        println!("{scheme}{health}: POST {load:?}");
        // h2load takes a 5xx for a failure too.
        assert_eq!((load.good + load.other, load.failed), (load.total, load.other), "{}", front.gate.log());
        assert!(load.other <= 16, "{load:?}\n{}", front.gate.log());

        let mut seen = [false; 3];
        for _ in 0..30 {
            let answer = front.gate.send(&Request::get("/public/1"));
            seen[answer.body.parse::<usize>().unwrap()] = true;
        }
        assert_eq!(seen, [true; 3], "all three get requests again");
        let metrics = front.gate.admin("/metrics").body;
        let ejections = |port: u16| {
            let start =
                format!("stepgate_upstream_address_ejections_total{{upstream=\"app\",address=\"127.0.0.1:{port}\"}} ");
            let line = metrics.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
            line.parse::<u64>().unwrap()
        };
        assert!(ejections(ports[1]) >= 2 && ejections(ports[0]) == 0, "{metrics}");
        let log = front.gate.log();
        assert!((2..=8).contains(&log.matches("it is left out and tried now and then").count()), "{log}");
    }
}
