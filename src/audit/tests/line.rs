use std::fmt;
use std::net::IpAddr;

use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use crate::assurance::{Assurance, Fact, Method};
use crate::assurance::{ClaimTable, Evidence, Expression, IssuerId, Ladders, MethodClass, Reading};
use crate::audit::record::{FailureLine, GapLine, Line, Record};
use crate::policy::{Allowances, CanonicalPath, Denial, Exception, Permit, Policy, Route, Target, Who, decide};
use crate::policy::{
    Condition, Demand, Floor, HostPattern, Kinds, Match, Methods as RouteMethods, Mode, PathPattern, Place,
    PolicyParts, Requirement, TokenSource, judge_error_response, overlook,
};
use crate::reason::Reason;
use crate::telemetry::Decision;
use crate::telemetry::sink::Gap;
use crate::token::{ClaimPath, TokenKind};
use crate::token::{Json, Timestamp};

fn demand(conditions: Vec<Condition>) -> Demand {
    Demand { conditions: conditions.into(), ignore_amr: Box::default() }
}

fn matching(path: &str) -> Match {
    Match {
        hosts: Box::new([HostPattern::Any]),
        path: PathPattern::parse(path).unwrap(),
        path_written: path.into(),
        methods: RouteMethods::Any,
        ignore_case: false,
        allows: Allowances::default(),
    }
}

/// One route over everything, a floor under `/admin`, and two claims that are read.
pub(crate) fn some_policy() -> Policy {
    policy_with_upstream(None)
}

pub(crate) fn policy_with_upstream(upstream: Option<&str>) -> Policy {
    let ladders = Ladders::default();
    let mut claims = ClaimTable::default();
    for name in ["tenant", "/ext/assertion"] {
        claims.slot(ClaimPath::parse(name).unwrap()).unwrap();
    }
    let level = |name: &str| Condition::Level(ladders.rung(name).unwrap());
    let route = Route {
        upstream: upstream.map(Box::from),
        ..Route::new("all", matching("/**"), Requirement::Demands(demand(vec![level("single-factor")])))
    };
    let floors = vec![Floor {
        name: "admin".into(),
        matches: matching("/admin/**"),
        demand: Some(demand(vec![level("multi-factor"), Condition::Evidence(Expression::Factors(2))])),
        cors: false,
    }];
    let parts =
        PolicyParts { ladders, issuers: Vec::new(), claims, floors, routes: vec![route], hash: "sha256:00".into() };
    Policy::new(parts).unwrap()
}

/// The same with an exception from its first route, which ended long ago.
pub(crate) fn with_exception(policy: Policy) -> Policy {
    let who = Who { issuer: IssuerId(0), subjects: ["alice".into()].into(), clients: Box::default() };
    policy.with_exceptions(vec![Exception {
        name: "outage".into(),
        who,
        routes: [0].into(),
        instead: None,
        until: Timestamp::from_seconds(1_767_300_000),
        until_written: "2026-01-01T20:40:00Z".into(),
        because: "ticket 4711".into(),
    }])
}

fn token(policy: &Policy, claims: &str) -> Assurance {
    let claims = Json::parse(claims).unwrap();
    let method = |value: &str| Method { value: value.into(), class: MethodClass::default(), ignored: false };
    Assurance {
        evidence: Evidence {
            acr: Fact::Known(["urn:example:loa:1".into()].into()),
            amr: Fact::Known([method("pwd")].into()),
            auth_time: Fact::Known(Timestamp::from_seconds(1_767_268_740)),
            reading: Reading::default(),
        },
        subject: Some("alice".into()),
        client: Some("app".into()),
        scopes: ["payments".into()].into(),
        claims: policy.claims().pick(&claims),
        expires: Timestamp::from_seconds(1_767_269_000),
        ..Assurance::bare(TokenKind::Access)
    }
}

pub(crate) fn some_line<'a>(
    policy: &'a Policy,
    path: &'a str,
    denial: &'a Denial,
    token: Option<&'a Assurance>,
) -> Line<'a> {
    let decision = Decision {
        at: Timestamp::from_micros(1_767_268_800_123_456),
        id: "r-1",
        trace: None,
        peer: IpAddr::from([127, 0, 0, 1]),
        method: "POST",
        host: "api.bank.example",
        path,
        policy,
        route: policy.routes().first(),
        assurance: token,
        kept: false,
        outcome: Err(denial),
        status: Some(401),
        detail: "",
        micros: 41,
    };
    Line { via: "proxy", decision }
}

fn text(line: &impl Record) -> String {
    let mut text = String::new();
    line.append_to(&mut text).unwrap();
    text
}

#[test]
fn what_comes_from_outside_cannot_break_out_of_its_place() {
    let policy = some_policy();
    let hostile = "a\"},{\"decision\":\"allow\"\n\u{7}\\";
    let claims = serde_json::json!({ "tenant": hostile, "ext": { "assertion": [hostile, 1, null, 1.5, true] } });
    let mut token = token(&policy, &claims.to_string());
    token.subject = Some(hostile.into());
    token.audiences = [hostile.into(), "two".into()].into_iter().collect();
    token.evidence.auth_time = Fact::Malformed;
    let denial = Denial::because(Reason::LevelTooLow);
    let mut line = some_line(&policy, hostile, &denial, Some(&token));
    (line.decision.host, line.decision.id, line.decision.trace) = (hostile, hostile, Some(hostile));
    let written = text(&line);
    assert_eq!(written.lines().count(), 1);
    let read: serde_json::Value = serde_json::from_str(&written).unwrap();
    for name in ["host", "id", "trace", "path", "subject"] {
        assert_eq!(read[name], hostile, "{name}");
    }
    let facts = serde_json::json!({ "scope": ["payments"], "aud": [hostile, "two"], "tenant": hostile, "/ext/assertion": claims["ext"]["assertion"] });
    assert_eq!(read["facts"], facts);
    assert_eq!((&read["auth_time"], &read["decision"]), (&serde_json::Value::Null, &"deny".into()));
}

#[test]
fn the_line_is_the_documented_one_member_for_member() {
    let policy = some_policy();
    let token = token(&policy, r#"{"tenant":"t1","secret":"no"}"#);
    let mut denial = Denial::because(Reason::LevelTooLow);
    denial.levels = vec![policy.ladders().rung("single-factor").unwrap()];
    let written = text(&some_line(&policy, "/admin/7", &denial, Some(&token)));
    assert_eq!(
        written,
        concat!(
            r#"{"v":1,"ts":"2026-01-01T12:00:00.123456Z","id":"r-1","trace":null,"via":"proxy","method":"POST","#,
            r#""host":"api.bank.example","path":"/admin/7","route":"all","mode":"enforce","decision":"deny","#,
            r#""reason":"level_too_low","hint":"","status":401,"issuer":null,"kind":"access","kept":false,"subject":"alice","client":"app","#,
            r#""acr":["urn:example:loa:1"],"amr":["pwd"],"auth_time":1767268740,"level":"single-factor","#,
            r#""required":["single-factor","multi-factor"],"facts":{"scope":["payments"],"tenant":"t1"},"exception":null,"#,
            r#""policy":"sha256:00","micros":41}"#
        )
        .replace("\"hint\":\"\"", &format!("\"hint\":\"{}\"", Reason::LevelTooLow.hint()))
    );
}

#[test]
fn what_is_allowed_has_no_hint_and_what_is_refused_has_one() {
    let (policy, permit) = (some_policy(), some_permit());
    let hint = |line: &Line<'_>| serde_json::from_str::<serde_json::Value>(&text(line)).unwrap()["hint"].clone();
    for reason in Reason::ALL {
        let denial = Denial::because(*reason);
        let line = some_line(&policy, "/x", &denial, None);
        assert_eq!(hint(&line), reason.hint(), "{reason}");
        let allowed = Line { decision: Decision { outcome: Ok(&permit), ..line.decision }, ..line };
        assert_eq!(hint(&allowed), serde_json::Value::Null);
    }
}

#[test]
fn a_floor_that_the_request_does_not_stand_on_is_not_required() {
    let policy = some_policy();
    let denial = Denial::because(Reason::TokenMissing);
    let written: serde_json::Value = serde_json::from_str(&text(&some_line(&policy, "/other", &denial, None))).unwrap();
    assert_eq!(written["required"], serde_json::json!(["single-factor"]));
    assert_eq!(written["acr"], serde_json::Value::Null);
    assert_eq!(written["facts"], serde_json::json!({}));
}

#[test]
fn neither_a_query_nor_a_token_inside_a_claim_is_written() {
    let policy = some_policy();
    let token = token(&policy, r#"{"tenant":["eyJhbGciOi.J9.x","t"],"ext":{"assertion":{"a":"eyJh.b.c"}}}"#);
    let denial = Denial::because(Reason::LevelTooLow);
    let written = text(&some_line(&policy, "/x?access_token=eyJh.b.c", &denial, Some(&token)));
    assert!(!written.contains("eyJ"), "{written}");
    assert!(written.contains(r#""path":"/x""#), "{written}");
    assert!(written.contains(r#""tenant":["[token]","t"],"/ext/assertion":{"a":"[token]"}"#), "{written}");
}

#[test]
fn what_a_route_lets_through_only_because_it_observes_is_told_with_its_reason_and_no_status() {
    let (policy, denial) = (some_policy(), some_denial());
    for (mode, name) in [(Mode::Observe, "observe"), (Mode::ObserveAll, "observe-all")] {
        let route = Route { mode, ..policy.routes()[0].clone() };
        let path = CanonicalPath::parse("/x").unwrap();
        let target = Target { method: "POST", host: "h", path: &path };
        let outcome = overlook(&policy, &route, &target, Denial::because(Reason::TokenMissing));
        assert_eq!(outcome.is_ok(), mode == Mode::ObserveAll);
        let mut line = some_line(&policy, "/x", &denial, None);
        (line.decision.route, line.decision.outcome) = (Some(&route), outcome.as_ref());
        if outcome.is_ok() {
            line.decision.status = None;
        }
        let told: serde_json::Value = serde_json::from_str(&text(&line)).unwrap();
        assert_eq!(told["mode"], name);
        assert_eq!(told["decision"], if outcome.is_ok() { "would_deny" } else { "deny" });
        assert_eq!(told["reason"], "token_missing");
        assert_eq!(told["hint"], Reason::TokenMissing.hint());
        assert_eq!(told["status"].is_null(), outcome.is_ok());
        assert!(told["level"].is_null() && told["subject"].is_null());
    }
}

#[test]
fn an_error_response_that_is_let_through_without_a_token_is_told_from_other_allowed_requests() {
    let (policy, denial) = (some_policy(), some_denial());
    let place = Place::Form { name: "id_token".into(), forwards_errors: true };
    let route = Route { take: [TokenSource { place, kinds: Kinds::Id }].into(), ..policy.routes()[0].clone() };
    let path = CanonicalPath::parse("/x").unwrap();
    let target = Target { method: "POST", host: "h", path: &path };
    let permit = judge_error_response(&policy, &route, &target).unwrap();
    let mut line = some_line(&policy, "/x", &denial, None);
    (line.decision.outcome, line.decision.status) = (Ok(&permit), None);
    let told: serde_json::Value = serde_json::from_str(&text(&line)).unwrap();
    assert_eq!((&told["decision"], &told["kind"]), (&"allow".into(), &"error_response".into()));
    assert!(told["reason"].is_null() && told["issuer"].is_null());
    let open = some_permit();
    line.decision.outcome = Ok(&open);
    let told: serde_json::Value = serde_json::from_str(&text(&line)).unwrap();
    assert!(told["kind"].is_null(), "a public route is none");
}

pub(crate) fn some_denial() -> Denial {
    Denial::because(Reason::TokenMissing)
}

/// The permit of a public route: the only one that needs no token.
pub(crate) fn some_permit() -> Permit {
    let route = Route::new("open", matching("/**"), Requirement::Public);
    let path = CanonicalPath::parse("/").unwrap();
    let target = Target { method: "GET", host: "h", path: &path };
    decide(&some_policy(), &route, &target, None, Timestamp::from_seconds(0)).unwrap()
}

#[test]
fn the_documentation_lists_every_key_in_its_order_and_no_other() {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a line")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
            let next = || map.next_entry::<String, IgnoredAny>().transpose();
            std::iter::from_fn(next).map(|entry| entry.map(|(key, _)| key)).collect()
        }
    }
    let keys = |line: &str| serde_json::Deserializer::from_str(line).deserialize_map(Keys).unwrap();
    let documentation = include_str!("../../../docs/audit.md");
    let said = |section: &str| {
        let (_, rest) = documentation.split_once(&format!("\n## {section}\n")).unwrap();
        let section = rest.split("\n## ").next().unwrap();
        let row = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
        section.lines().filter_map(row).collect::<Vec<_>>()
    };
    let (policy, denial) = (some_policy(), some_denial());
    let token = token(&policy, r#"{"tenant":"t"}"#);
    assert_eq!(keys(&text(&some_line(&policy, "/x", &denial, Some(&token)))), said("A decision"));
    let at = Timestamp::from_seconds(0);
    let reason = Reason::UpstreamTimeout;
    let failure = FailureLine {
        at,
        id: "r",
        via: "proxy",
        route: "all",
        mode: Mode::Observe,
        would_deny: true,
        upstream: "app",
        reason,
        status: 504,
    };
    let told: serde_json::Value = serde_json::from_str(&text(&failure)).unwrap();
    assert_eq!((&told["mode"], &told["decision"]), (&"observe".into(), &"would_deny".into()));
    assert_eq!(keys(&text(&failure)), said("A failure"));
    assert_eq!(keys(&serde_json::to_string(&GapLine::now(&Gap::since(at))).unwrap()), said("A gap"));
}
