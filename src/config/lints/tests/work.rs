//! What looking a policy over may cost at the most: it is done at each start and reload.

use std::fmt::Write as _;

use crate::config::lints::asks;
use crate::config::lints::budget::Budget;
use crate::config::lints::overlap::Overlap;
use crate::config::lints::weaker::Weaker;
use crate::config::problem::Report;
use crate::config::{SourceFile, load_policy};

/// How many steps rewritten routes take, of so many.
fn steps(rules: &str, most: usize) -> usize {
    let head = "version: 1\nissuers:\n  idp: { issuer: \"https://idp.example\", profile: okta, access: { audiences: [api] } }\n";
    let file = SourceFile { name: "example.yaml".into(), folder: ".".into(), text: format!("{head}{rules}") };
    let policy = load_policy(vec![file]).unwrap_or_else(|rejected| panic!("{}", rejected.lines().join("\n"))).policy;
    let (overlap, floors) = (Overlap::of(policy.routes()), asks::of_floors(&policy));
    let asks = asks::of_routes(&policy, &floors);
    let weaker =
        Weaker { policy: &policy, overlap: &overlap, asks: &asks, spans: &[], floors: &floors, floor_spans: &[] };
    let budget = Budget::of(most);
    weaker.rewrites_within(&budget, &mut Report::default());
    most.saturating_sub(budget.left())
}

/// So many routes that are each rewritten to another place.
fn rewritten(number: usize, require: &str, prefix: impl Fn(usize) -> String) -> String {
    (0..number).fold(String::new(), |mut text, n| {
        let prefix = prefix(n);
        writeln!(text, "  - {{ name: r{n}, match: {{ path: \"/r{n}/**\" }}, require: {{ level: {require} }}, rewrite: {{ prefix: {prefix} }} }}").unwrap();
        text
    })
}

const ENDLESS: usize = usize::MAX;

#[test]
fn each_floor_that_a_rewrite_may_pass_is_counted() {
    let floors = (0..50).fold(String::new(), |mut text, n| {
        writeln!(text, "  - {{ name: f{n}, match: {{ path: \"/f{n}/**\" }}, require: authenticated }}").unwrap();
        text
    });
    let all = "  - { name: all, match: { path: \"/**\" }, require: { level: multi-factor } }\n";
    let rules = format!("floors:\n{floors}routes:\n{all}{}", rewritten(40, "multi-factor", |n| format!("/to{n}")));
    assert!(steps(&rules, ENDLESS) >= 50 * 40, "{}", steps(&rules, ENDLESS));
    assert_eq!(steps(&rules, 700), 700, "and no more is done");
}

#[test]
fn the_hosts_that_a_rewrite_meets_are_counted_and_gathered_once() {
    let hosts = (0..60).fold(String::new(), |mut text, n| {
        writeln!(
            text,
            "  - {{ name: h{n}, match: {{ hosts: [h{n}.example], path: /h }}, require: {{ level: multi-factor }} }}"
        )
        .unwrap();
        text
    });
    let rules = format!("routes:\n{hosts}{}", rewritten(40, "multi-factor", |n| format!("/to{n}")));
    let (hosts, steps) = (61, steps(&rules, ENDLESS));
    // Of each host once that it is there, and for each route that it is tried, and itself.
    assert_eq!(steps, hosts + 40 * (hosts + 1));
}

#[test]
fn each_request_that_is_tried_for_a_rewrite_is_counted() {
    let nothing = "routes:
  - { name: strict, match: { path: \"/admin/**\" }, require: { level: multi-factor } }
  - { name: between, match: { path: \"/admin/{x}/**\" }, require: { level: single-factor } }
  - { name: root, match: { path: /admin }, require: { level: single-factor } }
";
    let rules = format!("{nothing}{}", rewritten(40, "single-factor", |_| "/admin".to_owned()));
    // Three paths by six methods, each as it comes and as it goes on: of each route, since none knows of another.
    assert!(steps(&rules, ENDLESS) >= 40 * 3 * 6 * 2, "{}", steps(&rules, ENDLESS));
    assert_eq!(steps(&rules, 500), 500);
}
