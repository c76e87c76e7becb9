//! What a route allows, held against what servers make of it.

use proptest::prelude::*;

use super::*;
use crate::assurance::{ClaimTable, Ladders};
use crate::policy::evaluate::tests::{matching, route};
use crate::policy::path::Allowances;
use crate::policy::{Floor, Match, PolicyParts, Requirement, Rewrite, Route};
use crate::token::ClaimPath;

const BOTH: Allowances = Allowances { empty_segments: true, encoded_slash: true };

fn named(path: &str, allows: Allowances) -> Route {
    let matches = Match { allows, path: PathPattern::parse_allowing(path, allows).unwrap(), ..matching("/") };
    Route { name: path.into(), matches, ..route(Requirement::Authenticated) }
}

fn in_any_case(route: Route) -> Route {
    let path = route.matches.path.ignoring_case().unwrap();
    Route { matches: Match { path, ignore_case: true, ..route.matches }, ..route }
}

fn floor(path: &str) -> Floor {
    Floor { name: path.into(), matches: matching(path), demand: None, cors: false }
}

fn policy(routes: Vec<Route>, floors: Vec<Floor>) -> Policy {
    let (claims, hash) = (ClaimTable::default(), "".into());
    Policy::new(PolicyParts { ladders: Ladders::default(), issuers: vec![], claims, floors, routes, hash }).unwrap()
}

/// The route of a path, or why it has none.
fn taken(policy: &Policy, path: &str) -> Result<String, Reason> {
    let path = CanonicalPath::of_request(path).map_err(|_ambiguity| Reason::PathAmbiguous)?;
    let target = Target { method: "GET", host: "h", path: &path };
    policy.route(&target).map(|route| route.name.to_string()).map_err(|denial| denial.reason)
}

fn assert_taken(policy: &Policy, cases: &[(&str, Option<&str>)]) {
    for (path, is) in cases {
        let is = is.map_or(Err(Reason::PathAmbiguous), |name| Ok(name.to_owned()));
        assert_eq!(taken(policy, path), is, "{path}");
    }
}

#[test]
fn a_path_is_taken_where_its_route_allows_what_is_in_it_and_falls_to_no_looser_one() {
    let none = Allowances::default();
    let slash = Allowances { encoded_slash: true, ..none };
    let empty = Allowances { empty_segments: true, ..none };
    let policy = policy(
        vec![
            named("/**", BOTH),
            named("/strict/**", none),
            named("/files/{name}", slash),
            named("/keys/**", empty),
            named("/group%2Fproject/**", slash),
        ],
        vec![],
    );
    assert_taken(
        &policy,
        &[
            ("/a%2fb", Some("/**")),
            ("/a//b", Some("/**")),
            ("/a%2F%2Fb//", Some("/**")),
            ("/strict/a%2Fb", None),
            ("/strict//a", None),
            ("/files/a%2Fb", Some("/files/{name}")),
            ("/files/a%2Fb%2Fc/", Some("/files/{name}")),
            ("/files//a", None),
            ("/files/a%2F%2Fb", Some("/files/{name}")),
            ("/keys/a//b///c", Some("/keys/**")),
            ("/keys//", Some("/keys/**")),
            ("/keys/a%2Fb", None),
            ("/group%2Fproject/x", Some("/group%2Fproject/**")),
            ("/group%2Fproject", Some("/group%2Fproject/**")),
            // A host, to many a server.
            ("//strict/a", None),
            ("//a", None),
            ("/%2Fa/b", None),
        ],
    );
}

#[test]
fn what_another_server_would_read_as_another_routes_path_is_refused() {
    let policy = policy(
        vec![
            named("/public/**", BOTH),
            named("/public/admin/{x}", Allowances::default()),
            named("/files/{name}", BOTH),
            named("/files/{name}/secret", Allowances::default()),
            named("/admin/**", Allowances::default()),
        ],
        vec![],
    );
    assert_taken(
        &policy,
        &[
            ("/public/a%2Fb", Some("/public/**")),
            ("/public/..%2Fadmin/x", None),
            ("/public/a%2F..%2F..%2Fadmin%2Fx", None),
            ("/public/.%2Fx", None),
            ("/public/admin%2Fx", None),
            ("/public/admin//x", None),
            ("/public//admin/x", None),
            ("/public/admin%2F%2Fx", None),
            ("/public/admin%2F;y%2Fx", None),
            ("/public/admin;y%2Fx", None),
            ("/public//x/..", Some("/public/**")),
            ("/public//../admin/x", None),
            ("/files/a%2Fsecret", None),
            ("/files/a%2Fb", Some("/files/{name}")),
        ],
    );
}

#[test]
fn floors_hold_in_every_reading() {
    let policy =
        policy(vec![named("/**", BOTH), named("/pages/{page}", BOTH)], vec![floor("/a/admin/**"), floor("/pages/x/y")]);
    assert_taken(
        &policy,
        &[
            ("/a//admin", None),
            ("/a%2Fadmin", None),
            ("/a%2F%2Fadmin/z", None),
            ("/a;v/admin%2Fz", None),
            ("/a/admin/x%2Fy", Some("/**")),
            ("/a/admin//x", Some("/**")),
            ("/b//admin", Some("/**")),
            ("/pages/x%2Fy", None),
            ("/pages/x%2Fz", Some("/pages/{page}")),
        ],
    );
}

#[test]
fn what_a_claim_is_bound_to_is_the_same_in_every_reading_but_that_of_an_escaped_slash() {
    let claim = ClaimTable::default().slot(ClaimPath::parse("id").unwrap()).unwrap();
    let bind = Condition::Bind { parameter: "id".into(), claim };
    let demand = Demand { conditions: [bind].into(), ignore_amr: Box::default() };
    let bound = |path: &str| Route { require: Requirement::Demands(demand.clone()), ..named(path, BOTH) };
    let cases =
        [("/t/7//x", Some("/t/{id}/**")), ("/t//7/x", None), ("/t/a%2Fb/x", Some("/t/{id}/**")), ("/t//", None)];
    assert_taken(&policy(vec![bound("/t/{id}/**"), named("/**", BOTH)], vec![]), &cases);
    // Under a floor that binds, even that is refused: it may lie on routes that know of no slash.
    let floor = Floor { demand: Some(demand.clone()), ..floor("/t/{id}/**") };
    let policy = policy(vec![named("/**", BOTH)], vec![floor]);
    assert_taken(
        &policy,
        &[("/t/7//x", Some("/**")), ("/t//7/x", None), ("/t/a%2Fb/x", None), ("/t/a/x%2Fb", Some("/**"))],
    );
}

#[test]
fn a_route_that_ignores_case_is_held_to_its_floors_in_any_case_and_no_letter_is_a_way_around() {
    let policy = policy(
        vec![in_any_case(named("/**", BOTH)), in_any_case(named("/Bank/{x}", BOTH)), named("/exact/**", BOTH)],
        vec![floor("/Admin/**"), floor("/exact/Top/**")],
    );
    let stands = |raw: &str| {
        let path = CanonicalPath::of_request(raw).unwrap();
        let target = Target { method: "GET", host: "h", path: &path };
        let route = policy.route(&target).unwrap();
        policy.floors_under(route, &target).map(|floor| floor.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(stands("/aDMIN/x"), ["/Admin/**"]);
    assert_eq!(stands("/Admins/x"), [""; 0]);
    assert_eq!((stands("/exact/Top/x").len(), stands("/exact/top/x").len()), (1, 0));
    assert_taken(
        &policy,
        &[
            ("/BANK/x", Some("/Bank/{x}")),
            ("/ban%E2%84%AA/x", None),
            ("/adm%C4%B1n/x", None),
            ("/ADM%C4%B0N%2Fx", None),
            ("/stra%C3%9Fe", Some("/**")),
            ("/%C5%BFtatic", Some("/**")),
        ],
    );
}

#[test]
fn a_floor_holds_in_any_case_of_letters_beyond_a_to_z_too() {
    let policy = policy(vec![in_any_case(named("/**", BOTH))], vec![floor("/Ämter/**")]);
    for (raw, floors) in [("/Ämter/x", 1), ("/ämter/x", 1), ("/%C3%A4MTER", 1), ("/amter/x", 0), ("/%C3%B6mter", 0)] {
        let path = CanonicalPath::parse(raw).unwrap();
        let target = Target { method: "GET", host: "h", path: &path };
        let route = policy.route(&target).unwrap();
        assert_eq!(policy.floors_under(route, &target).count(), floors, "{raw}");
    }
}

#[test]
fn where_a_beginning_is_taken_away_nothing_that_reads_as_a_host_comes_to_stand_first() {
    let rewritten = |prefix: &str| {
        let route = named("/o/**", BOTH);
        let rewrite = Rewrite::new(&route.matches.path, &CanonicalPath::parse(prefix).unwrap());
        policy(vec![Route { rewrite: Some(Box::new(rewrite)), ..route }], vec![])
    };
    let taken = Some("/o/**");
    assert_taken(&rewritten("/"), &[("/o//evil/x", None), ("/o/%2Fevil", None), ("/o//", None)]);
    assert_taken(&rewritten("/"), &[("/o/a//b", taken), ("/o/a%2Fb", taken)]);
    assert_taken(&rewritten("/v1"), &[("/o//x", taken), ("/o/%2Fx", taken)]);
}

/// What the lint `empty_segments_idle` says.
#[test]
fn an_empty_segment_passes_below_a_rest_alone() {
    let exact = ["/a", "/a/{x}", "/a/{x}/b", "/{x}/{y}/{z}"].map(|path| named(path, BOTH));
    let without = policy(exact.to_vec(), vec![]);
    let with = policy(vec![named("/a/**", BOTH)], vec![]);
    let paths = ["/a//", "/a//b", "/a/b//", "/a//b/", "/a///b", "/a/%2F/b//", "/a//%2Fb"];
    for path in paths {
        assert_eq!(taken(&without, path), Err(Reason::PathAmbiguous), "{path}");
        assert_eq!(taken(&with, path).as_deref(), Ok("/a/**"), "{path}");
    }
}

/// What servers do to a path before they look it up, in any order.
const HABITS: [fn(&str) -> String; 4] = [
    |path| path.replace("%2F", "/"),
    |path| {
        let mut text = path.to_owned();
        while text.contains("//") {
            text = text.replace("//", "/");
        }
        text
    },
    |path| path.split('/').map(|segment| segment.split(';').next().unwrap()).collect::<Vec<_>>().join("/"),
    |path| {
        let mut kept: Vec<&str> = Vec::new();
        for segment in path.split('/') {
            match segment {
                "." => {}
                ".." => drop(kept.pop()),
                _ => kept.push(segment),
            }
        }
        kept.join("/")
    },
];

fn any_policy() -> impl Strategy<Value = Policy> {
    let pattern =
        || prop::sample::select(vec!["/a", "/a/{x}", "/a/b", "/a/{x}/b", "/b/**", "/a/b/**", "/**", "/{x}/b/c"]);
    let allows = (any::<bool>(), any::<bool>())
        .prop_map(|(empty_segments, encoded_slash)| Allowances { empty_segments, encoded_slash });
    let routes = prop::collection::btree_map(pattern(), allows, 1..5);
    (routes, prop::collection::btree_set(pattern(), 0..3)).prop_filter_map("routes tie", |(routes, floors)| {
        let routes = routes.into_iter().map(|(path, allows)| named(path, allows)).collect();
        let floors = floors.into_iter().map(floor).collect();
        let (claims, hash) = (ClaimTable::default(), "".into());
        Policy::new(PolicyParts { ladders: Ladders::default(), issuers: vec![], claims, floors, routes, hash }).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn whatever_a_server_makes_of_a_path_it_serves_nothing_that_was_not_judged(
        policy in any_policy(),
        raw in "(/(a|b|c|;x|a;x|a%2Fb|\\.\\.%2F|%2f|b%2Fc|%2e%2e|%2F\\.\\.|)){1,5}",
        order in Just([0, 1, 2, 3, 0, 1, 2, 3]).prop_shuffle(),
    ) {
        let Ok(path) = CanonicalPath::of_request(&raw) else { return Ok(()) };
        let target = Target { method: "GET", host: "h", path: &path };
        let Ok(route) = policy.route(&target) else { return Ok(()) };
        prop_assert_eq!(path.needs().beyond(route.matches.allows), None, "{} on {}", path, route.name);
        let mut text = path.to_string();
        for habit in order {
            text = HABITS[habit](&text);
            let served = CanonicalPath::of_request(&text).expect(&text);
            for floor in policy.floors().iter().filter(|floor| floor.matches.path.matches(&served)) {
                prop_assert!(floor.matches.path.matches(&path), "{} as {} is under {}", path, served, floor.name);
            }
            let found = policy.router.find(&Target { path: &served, ..target }).map(|place| &policy.routes()[place]);
            let same = found.is_some_and(|found| found.name == route.name);
            let wider = found.is_none_or(|found| found.matches.path.covers(&route.matches.path));
            let may_hold_slashes = path.needs() == Allowances { encoded_slash: true, empty_segments: false };
            prop_assert!(same || may_hold_slashes && wider, "{} as {} is not of {}", path, served, route.name);
        }
    }
}
