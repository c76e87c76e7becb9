//! Paths (T1 to T11): whatever reaches a server without a token is nothing that the policy guards, as that server reads it.

use std::collections::HashMap;
use std::time::Duration;

use super::spellings::{all, at_worst};
use super::{Kind, Peer, Told, each};
use crate::support::{Front, Request, Token, Wire, eventually};

/// All is open but what is under `/admin`: whatever is taken for something else gets through.
const ROUTES: &str = r#"
  - { name: open, match: { path: "/**" }, require: public }
  - { name: admin, match: { path: "/admin/**" }, require: authenticated }
"#;

/// The same by an operator who says of the upstream what is not so.
const TRUSTING: &str = r#"
  - { name: open, match: { path: "/**", empty_segments: true, encoded_slash: true }, require: public }
  - { name: admin, match: { path: "/admin/**", empty_segments: true, encoded_slash: true }, require: authenticated }
"#;

/// The same where servers may ignore case.
const FOLDING: &str = r#"
  - { name: open, match: { path: "/**", ignore_case: true, empty_segments: true, encoded_slash: true }, require: public }
  - { name: admin, match: { path: "/admin/**", ignore_case: true }, require: authenticated }
"#;

fn send(front: &Front, wire: &mut Option<Wire>, bytes: &[u8]) -> (u16, String) {
    let open = wire.get_or_insert_with(|| Wire::open(front.gate.port));
    open.send(bytes);
    let response = open.response_to("GET");
    if response.header("connection") == Some("close") {
        *wire = None;
    }
    (response.status, response.body)
}

/// Sends every spelling without a token. What was let through: the server's word of each, by the request's id.
fn let_through(peer: &Peer, front: &Front) -> HashMap<String, (String, Told)> {
    let (mut wire, mut through, mut refused) = (None, HashMap::new(), 0);
    for (number, target) in all().into_iter().enumerate() {
        let id = format!("spelling-{number}");
        let request = Request::get(&target).host("gate.example").header("X-Request-Id", &id);
        let (status, body) = send(front, &mut wire, &request.bytes(front.gate.port));
        match status {
            200 => drop(through.insert(id, (target, peer.told(&body)))),
            // A refusal of the gate, or one of the server itself, which served nothing then.
            400..=403 | 404 | 414 => refused += 1,
            _ => panic!("{:?}: {target} is answered {status}: {body}", peer.kind),
        }
    }
    assert!(refused > 300 && through.len() > 40, "{:?}: {} through, {refused} refused", peer.kind, through.len());
    through
}

fn assert_guarded(peer: &Peer, routes: &str, is_case_ignored: bool) {
    let front = peer.behind(routes);
    let through = let_through(peer, &front);
    let mut lines = Vec::new();
    eventually("all that was let through is in the audit log", Duration::from_secs(5), || {
        lines = front.gate.audit().into_iter().filter(|line| line["decision"] == "allow").collect();
        lines.len() >= through.len()
    });
    let judged: HashMap<String, (String, String)> = lines
        .into_iter()
        .map(|line| ["id", "route", "path"].map(|name| line[name].as_str().unwrap().to_owned()))
        .map(|[id, route, path]| (id, (route, path)))
        .collect();
    for (id, (target, told)) in &through {
        let (route, path) = judged.get(id).unwrap_or_else(|| panic!("{target}: nothing in the audit log"));
        assert_eq!(route, "open", "{target}");
        let raw = told.raw.split('?').next().unwrap();
        assert_eq!(raw, path, "{:?}: {target}: what was judged is what was sent", peer.kind);
        assert!(!told.is_admins, "{:?} serves {target} as its own /admin: {told:?}", peer.kind);
        for path in [&told.path, raw] {
            let mut first = at_worst(path).into_iter().next().unwrap_or_default();
            if is_case_ignored {
                first = first.to_lowercase();
            }
            assert_ne!(first, "admin", "{:?} may serve {target} as /admin: {told:?}", peer.kind);
        }
    }
    // The other way round: who has a token gets in, and the server agrees.
    let token = Token::access().sign(&front.bank);
    for target in ["/admin/x", "/public/../admin/x", "/%61dmin/./x", "http://gate.example/admin/x"] {
        let response = front.gate.send(&Request::get(target).host("gate.example").bearer(&token));
        let told = peer.told(&response.body);
        assert_eq!((&*told.raw, &*told.path), ("/admin/x", "/admin/x"), "{:?}: {target}", peer.kind);
        assert_eq!(told.is_admins, matches!(peer.kind, Kind::Nginx | Kind::Java), "{:?}", peer.kind);
    }
}

#[test]
fn t1_to_t11_no_spelling_reaches_what_is_guarded_as_any_server_reads_it() {
    each(|peer| assert_guarded(peer, ROUTES, false));
}

#[test]
fn t2_nor_where_the_policy_allows_what_the_server_reads_otherwise() {
    each(|peer| assert_guarded(peer, TRUSTING, false));
}

#[test]
fn nor_in_another_case_where_the_policy_ignores_it() {
    each(|peer| assert_guarded(peer, FOLDING, true));
}

#[test]
fn what_a_route_allows_arrives_as_it_was_sent() {
    each(|peer| {
        let front = peer.behind(TRUSTING);
        for (target, raw) in [
            ("/files/a%2fb", "/files/a%2Fb"),
            ("/files//a///b//", "/files//a///b//"),
            ("/files/%e2%82%ac//x%2F%2Fy?q=%2f//", "/files/%E2%82%AC//x%2F%2Fy?q=%2f//"),
            ("/FILES/x", "/FILES/x"),
        ] {
            let response = front.gate.send(&Request::get(target));
            assert_eq!(response.status, 200, "{:?}: {target}: {response:?}", peer.kind);
            assert_eq!(peer.told(&response.body).raw, raw, "{:?}", peer.kind);
        }
    });
}
