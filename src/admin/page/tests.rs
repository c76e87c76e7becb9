//! What people see, and who.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use crate::admin::page::listing::{EACH, last_page, page};
use crate::admin::trial::{GUARDED, HOST, Known, SECRET, ask, send, with_password, with_secret};
use crate::assurance::{ClaimTable, Ladders};
use crate::clock;
use crate::config::{SourceFile, load_policy_at};
use crate::policy::{Floor, Match, Policy, PolicyParts, Requirement, Route};
use crate::telemetry::timestamp::Rfc3339;
use crate::telemetry::{AddressHealth, AddressState, FilesHealth, KeyState, Reloads};

const HOSTILE: &str = "</bdi><script>alert('1')</script>&\u{202e}\"";
const ESCAPED: &str = "&lt;/bdi&gt;&lt;script&gt;alert('1')&lt;/script&gt;&amp;\u{202e}&quot;";

const POLICY: &str = r#"
version: 1 # between us
issuers:
  bank:
    issuer: https://bank.example
    keys: { jwks_file: bank.json }
    access: { audiences: [api] }
    proves: { single-factor: { factors: 1 }, multi-factor: { factors: 2 } }
floors:
  - { name: admin, match: { path: "/admin/**" }, require: { level: multi-factor, ignore_amr: [sms, tel] } }
routes:
  - { name: health, match: { path: /healthz }, require: public }
  - { name: any, match: { path: "/any/**", methods: [GET] }, require: authenticated, mode: observe }
  - name: pay
    match: { hosts: [api.bank.example], path: "/payments/{id}", methods: [POST] }
    require: { any: [ { level: multi-factor, max_age: 5m }, { caller: client, clients: [job-7] } ] }
  - { name: users, match: { path: "/admin/users" }, require: { level: single-factor, ignore_amr: [face] } }
exceptions:
  - name: outage
    who: { issuer: bank, subjects: [ada-lovelace] }
    routes: [pay]
    instead: { level: single-factor }
    until: UNTIL
    because: "BECAUSE"
"#;

/// Its exception holds for so many seconds from now.
fn policy(seconds: i64) -> Policy {
    let now = clock::now();
    let until = Rfc3339(now.plus_seconds(seconds)).to_string();
    let text = POLICY.replace("UNTIL", &format!("{}Z", until.split_once('.').unwrap().0));
    let text = text.replace("BECAUSE", &HOSTILE.replace('"', "\\\""));
    let file = SourceFile { name: "policies/a.yaml".into(), folder: "policies".into(), text };
    load_policy_at(vec![file], now).unwrap_or_else(|rejected| panic!("{:?}", rejected.problems)).policy
}

fn with(policy: Policy) -> Known {
    Known { policy, credential: Some(SECRET), ..Known::default() }
}

#[test]
fn exceptions_that_hold_are_told_first_and_no_longer_than_they_hold() {
    let (address, ..) = with(policy(3)).serve();
    let front = || ask(address, "/", "localhost:9901");
    let at_first = front();
    assert!(at_first.starts_with("HTTP/1.1 200"), "{at_first}");
    let place = |text: &str| at_first.find(text).unwrap_or_else(|| panic!("no {text} in {at_first}"));
    let main = place("<main>");
    assert!(main < place("1 exception holds now") && place("1 exception holds now") < place("<h3>outage</h3>"));
    assert!(place("<h3>outage</h3>") < place("<h2 class=\"good\">Ready</h2>"));
    assert!(at_first.contains("<title>Stepgate: ready, 1 exception</title>"), "{at_first}");
    assert!(at_first.contains("Routes: <code>pay</code>"), "{at_first}");
    assert!(!at_first.contains("ada-lovelace"), "nobody is named who is let in: {at_first}");
    let listed = || send(address, "GET /routes", &with_secret(), "");
    assert!(listed().contains("The exception <strong>outage</strong> holds here for <strong>"));
    let ended = || front().contains("<p>No exception holds now.</p>");
    assert!((0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        ended()
    }));
    assert!(!front().contains("outage") && front().contains("<title>Stepgate: ready</title>"));
    assert!(!listed().contains("outage"), "what is over is marked nowhere");
}

#[test]
fn whatever_is_filled_in_stays_text() {
    let told = Arc::new(Reloads::new());
    told.refused(&format!("error[x]: {HOSTILE}\n --> a\n"));
    told.observe_files(|| {
        let refused = Some(HOSTILE.into());
        vec![FilesHealth { of: HOSTILE.into(), not_after: None, refused }]
    });
    let places = [place(AddressState::Ejected, HOSTILE), place(AddressState::Unhealthy, HOSTILE)];
    let known = Known { told, upstreams: places.into(), ..with(policy(600)) };
    let front = ask(known.serve().0, "/", "127.0.0.1");
    // Its reason, the diagnostics, files and why they are refused, and of each place its upstream, address and error.
    assert_eq!(front.matches(ESCAPED).count(), 1 + 1 + 2 + 2 * 3, "{front}");
    assert!(!front.contains("<script") && !front.contains("alert('1')</script>"), "{front}");
    assert!(front.contains(&format!("Because: <bdi>{ESCAPED}</bdi>")), "its marks turn nothing around it: {front}");
}

fn place(state: AddressState, text: &str) -> AddressHealth {
    AddressHealth {
        upstream: text.into(),
        address: text.into(),
        state,
        out_for: Duration::from_secs(90),
        failures: 5,
        ejections: 1,
        checks: None,
        error: Some(text.into()),
    }
}

#[test]
fn people_are_told_what_programs_are_told() {
    let told = Arc::new(Reloads::new());
    let upstreams = vec![place(AddressState::Up, "fine"), place(AddressState::Ejected, "gone")];
    let known =
        Known { state: KeyState::Waiting, audit_blocks: true, told: Arc::clone(&told), upstreams, ..with(policy(600)) };
    let (address, readiness, _) = known.serve();
    let front = || ask(address, "/", "127.0.0.1");
    assert!(front().contains("the newest content of its folder is in force"));
    told.refused("error[unknown_level]: it is broken\n --> policies/a.yaml:3:1\n");
    readiness.drain();
    let page = front();
    let programs = ask(address, "/readyz?verbose", "127.0.0.1");
    let facts: Value = serde_json::from_str(programs.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(facts["ready"], false);
    let version = concat!("version ", env!("CARGO_PKG_VERSION"));
    let hash = facts["reload"]["in_force"]["policy"].as_str().unwrap();
    let since = facts["reload"]["in_force"]["since"].as_str().unwrap();
    let refused_at = facts["reload"]["refused"]["at"].as_str().unwrap();
    let until = facts["reload"]["in_force"]["exceptions"][0]["until"].as_str().unwrap();
    for told in [
        "<title>Stepgate: not ready, 1 exception</title>",
        "It is about to end",
        "The audit log cannot be written",
        "Requests with tokens of <code>bank</code> are refused",
        "<span class=\"bad\">waiting</span>: 2 keys, fetched at <time datetime=\"2026-01-01T12:00:00.000000Z\">",
        "next fetch in 1 min 0 s",
        "The last fetch failed: <bdi>timed out</bdi>",
        "its folder was refused at",
        "error[unknown_level]: it is broken\n --&gt; policies/a.yaml:3:1\n",
        "<h3>gone</h3>",
        "<span class=\"bad\">ejected</span>, tried again in 1 min 30 s",
        version,
        hash,
        since,
        refused_at,
        until,
    ] {
        assert!(page.contains(told), "{told} is not in {page}");
    }
    assert!(!page.contains("<h3>fine</h3>"), "what is up is no trouble: {page}");
}

#[test]
fn of_endless_diagnostics_the_beginning_is_shown() {
    let told = Arc::new(Reloads::new());
    told.refused(&"a line of it\n".repeat(302));
    let front = ask(Known { told, ..Known::default() }.serve().0, "/", "127.0.0.1");
    assert_eq!(front.matches("a line of it\n").count(), 300);
    assert!(front.contains("2 more lines: "), "{front}");
    assert!(!front.contains("Of long lines"), "{front}");
}

#[test]
fn of_an_endless_line_of_diagnostics_the_beginning_is_shown() {
    let told = Arc::new(Reloads::new());
    told.refused(&format!("{}\n{}\nthe end\n", "\u{e4}".repeat(500), "\u{f6}".repeat(5_000)));
    let front = ask(Known { told, ..Known::default() }.serve().0, "/", "127.0.0.1");
    assert!(front.contains(&format!("{}\n{}…\nthe end\n", "\u{e4}".repeat(500), "\u{f6}".repeat(500))), "{front}");
    assert!(front.contains("Of long lines the first 500 characters are shown."), "{front}");
}

#[test]
fn no_route_is_shown_without_the_credential_and_a_browser_asks_for_it() {
    let (address, ..) = with(policy(600)).serve();
    for fields in [
        HOST.to_owned(),
        with_password("0123456789abcdeg"),
        with_password(""),
        format!("{}Authorization: Bearer {SECRET}\r\n", with_password(SECRET)),
        format!("{HOST}Authorization: Bearer 0123456789abcdeg\r\n"),
    ] {
        let answer = send(address, "GET /routes", &fields, "");
        assert!(answer.starts_with("HTTP/1.1 401"), "{fields}: {answer}");
        assert!(answer.contains("www-authenticate: Basic realm=\"stepgate\""), "{answer}");
        assert!(!answer.contains("payments"), "{answer}");
    }
    for fields in [with_password(SECRET), with_secret()] {
        assert!(send(address, "GET /routes", &fields, "").contains("/payments/{id}"));
        let foreign = fields.replace("127.0.0.1", "evil.example");
        for path in ["/", "/routes", "/page.css"] {
            assert!(send(address, &format!("GET {path}"), &foreign, "").starts_with("HTTP/1.1 403"), "{path}");
        }
    }
    let front = ask(address, "/", "127.0.0.1");
    assert!(!front.contains("/payments/{id}") && !front.contains("multi-factor"), "{front}");
    let (shut, ..) = Known { credential: None, ..with(policy(600)) }.serve();
    let answer = send(shut, "GET /routes", &with_password(SECRET), "");
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("without `admin.credential`"), "{answer}");
    assert!(ask(shut, "/", "127.0.0.1").contains("<code>admin.credential</code>"));
}

#[test]
fn what_a_browser_sends_by_itself_changes_nothing_and_opens_nothing_else() {
    let (address, _, reloads) = with(policy(600)).serve();
    for guarded in GUARDED {
        let answer = send(address, guarded, &with_password(SECRET), "debug");
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("www-authenticate: Bearer"), "{answer}");
    }
    for path in ["/", "/routes", "/page.css"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = send(address, &format!("{method} {path}"), &with_password(SECRET), "");
            assert!(answer.starts_with("HTTP/1.1 405"), "{method} {path}: {answer}");
        }
    }
    assert_eq!(reloads.load(Ordering::Relaxed), 0);
}

#[test]
fn a_page_is_neither_kept_nor_framed_and_loads_its_style_alone() {
    let (address, ..) = with(policy(600)).serve();
    for path in ["/", "/routes"] {
        let page = send(address, &format!("GET {path}"), &with_password(SECRET), "").to_lowercase();
        for field in [
            "content-type: text/html; charset=utf-8\r\n",
            "content-security-policy: default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
            "cache-control: no-store\r\n",
            "x-content-type-options: nosniff\r\n",
            "x-frame-options: deny\r\n",
            "referrer-policy: no-referrer\r\n",
            "cross-origin-resource-policy: same-origin\r\n",
            "cross-origin-opener-policy: same-origin\r\n",
        ] {
            assert!(page.contains(field), "{field}: {page}");
        }
        for outside in ["<script", "src=", "<img", "<form", "<style", "style=", "http://", "javascript:", " onload"] {
            assert!(!page.contains(outside), "{outside}: {page}");
        }
        assert_eq!(page.matches("<link").count(), 1, "{page}");
    }
    let style = ask(address, "/page.css", "127.0.0.1");
    assert!(style.starts_with("HTTP/1.1 200") && style.contains("content-type: text/css; charset=utf-8\r\n"));
    assert!(style.contains("content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"), "{style}");
    let head = send(address, "HEAD /", HOST, "");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn each_route_and_floor_says_what_it_asks_and_nothing_of_the_file_around_it() {
    let (address, ..) = with(policy(600)).serve();
    let page = send(address, "GET /routes", &with_password(SECRET), "");
    let of = |name: &str| {
        let (_, from) = page.split_once(&format!("<h3>{name}</h3>")).unwrap_or_else(|| panic!("no {name} in {page}"));
        from.split("<h3>").next().unwrap().to_owned()
    };
    assert!(page.contains("4 routes, 1 floor"), "{page}");
    let admin = of("admin");
    assert!(admin.contains("any method on any host, path /admin/**"), "{admin}");
    assert!(admin.contains("<li>level multi-factor</li>"), "{admin}");
    assert!(admin.contains("these amr values count for nothing: <code>sms</code> <code>tel</code>"), "{admin}");
    assert!(of("health").contains("<strong>public</strong>"));
    let any = of("any");
    assert!(any.contains("GET HEAD on any host, path /any/**") && any.contains("any valid token"), "{any}");
    assert!(any.contains("mode observe</strong>: what lacks in level"), "{any}");
    let pay = of("pay");
    assert!(pay.contains("POST on api.bank.example, path /payments/{id}"), "{pay}");
    for part in ["any of these", "<li>level multi-factor</li><li>max_age 300 s</li>", "clients `job-7`"] {
        assert!(pay.contains(part), "{part}: {pay}");
    }
    assert!(pay.contains("The exception <strong>outage</strong> holds here") && !pay.contains("mode"), "{pay}");
    let (_, instead) = pay.split_once("in the place of level, evidence and age:").unwrap();
    assert!(instead.starts_with("</p><ul><li>level single-factor</li></ul></div>"), "{pay}");
    let users = of("users");
    assert!(users.contains("On floors, where they meet: <code>admin</code>"), "{users}");
    assert!(users.contains("<code>face</code>") && !users.contains("outage"), "{users}");
    for secret in ["between us", SECRET, "ada-lovelace", "until:"] {
        assert!(!page.contains(secret), "{secret}: {page}");
    }
}

#[test]
fn of_many_hosts_methods_and_exceptions_the_first_are_shown() {
    let until = Rfc3339(clock::now().plus_seconds(600)).to_string();
    let until = format!("{}Z", until.split_once('.').unwrap().0);
    let (head, _) = POLICY.split_once("floors:").unwrap();
    let list = |name: &str, end: &str| (10..35).map(|n| format!("{name}{n}{end}")).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "{head}routes:\n  - {{ name: r, match: {{ hosts: [{}], methods: [{}], path: /a }}, require: {{ level: multi-factor, claims: {{ tier: [gold, 7] }} }} }}\nexceptions:\n",
        list("h", ".example"),
        list("M", "")
    );
    for number in 10..35 {
        let who = format!("{{ issuer: bank, subjects: [s{number}] }}");
        text.push_str(&format!(
            "  - {{ name: e{number}x, who: {who}, routes: [r], instead: authenticated, until: {until}, because: b }}\n"
        ));
    }
    let file = SourceFile { name: "policies/a.yaml".into(), folder: "policies".into(), text };
    let policy = load_policy_at(vec![file], clock::now()).unwrap_or_else(|no| panic!("{:?}", no.problems)).policy;
    let page = send(with(policy).serve().0, "GET /routes", &with_secret(), "");
    assert!(page.contains("M29 and 5 more on h10.example") && !page.contains("M30"), "{page}");
    assert!(page.contains("h29.example and 5 more, path /a") && !page.contains("h30.example"), "{page}");
    assert!(page.contains("e29x") && !page.contains("e30x") && page.contains("And 5 more exceptions"), "{page}");
    assert!(page.contains("claim `tier` any of `gold` `7`"), "{page}");
}

/// So many routes on so many floors.
fn large(routes: usize, floors: usize) -> Policy {
    let matching = |path: String| Match {
        path: crate::policy::PathPattern::parse(&path).unwrap(),
        path_written: path.into(),
        ..some_match()
    };
    let route =
        |number| Route::new(&format!("route-{number}-"), matching(format!("/r/{number}")), Requirement::Authenticated);
    let floor = |number| {
        let (name, matches) = (format!("floor-{number}-").into(), matching(format!("/f/{number}")));
        Floor { name, matches, demand: None, cors: false }
    };
    let (routes, floors) = ((0..routes).map(route).collect(), (0..floors).map(floor).collect());
    let (ladders, claims, hash) = (Ladders::default(), ClaimTable::default(), "sha256:00".into());
    Policy::new(PolicyParts { ladders, issuers: Vec::new(), claims, floors, routes, hash }).unwrap()
}

fn some_match() -> Match {
    crate::audit::tests::some_policy().routes()[0].matches.clone()
}

#[test]
fn ten_thousand_routes_are_turned_over_page_by_page_and_none_is_left_out() {
    let (routes, floors) = (10_000, 150);
    let policy = large(routes, floors);
    assert_eq!(last_page(&policy), 102);
    let mut seen = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for number in 1..=102 {
        let response = page(&policy, clock::now(), number).unwrap();
        let body = runtime.block_on(axum::body::to_bytes(response.into_body(), 1 << 20)).unwrap();
        let text = String::from_utf8(body.into()).unwrap();
        let names: Vec<String> =
            text.split("<h3>").skip(1).map(|rest| rest.split("</h3>").next().unwrap().to_owned()).collect();
        assert!(names.len() == EACH || number == 102, "{number}: {}", names.len());
        assert!(text.contains(&format!("Page {number} of 102")) && text.contains("10000 routes, 150 floors"));
        assert_eq!((text.contains(">next<"), text.contains(">before<")), (number < 102, number > 1));
        seen.extend(names);
    }
    let floors = (0..floors).map(|number| format!("floor-{number}-"));
    assert!(seen.into_iter().eq(floors.chain((0..routes).map(|number| format!("route-{number}-")))));
    for none in [0, 103, usize::MAX] {
        assert!(page(&policy, clock::now(), none).is_none(), "{none}");
    }
}

#[test]
fn a_page_that_is_not_there_is_not_found_and_a_policy_without_routes_says_what_that_means() {
    let (address, ..) = with(large(EACH + 1, 0)).serve();
    let asked = |query: &str| send(address, &format!("GET /routes{query}"), &with_secret(), "");
    assert!(asked("?page=2").contains("<h3>route-100-</h3>") && !asked("?page=2").contains("<h3>route-99-</h3>"));
    for query in ["?page=3", "?page=0", "?page=-1", "?page=x", "?page=99999999999999999999999", "?pag=1"] {
        let answer = asked(query);
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("goes from 1 to 2"), "{query}: {answer}");
    }
    let (empty, ..) = with(large(0, 0)).serve();
    assert!(send(empty, "GET /routes", &with_secret(), "").contains("every request is refused"));
}
