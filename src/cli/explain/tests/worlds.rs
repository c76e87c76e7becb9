//! Random policies, requests and tokens.
#![expect(clippy::arithmetic_side_effects, reason = "test code, on constants")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::sent::{Sent, sent};
use crate::token::testing::{API, CLIENT, ISSUER, NOW};
use crate::token::{ClaimPath, Json};

/// Entries of one requirement, each there or not; an empty one asks for any valid token.
fn entries() -> impl Strategy<Value = String> {
    let pick = |weight: f64, texts: &'static [&'static str]| {
        prop::option::weighted(weight, prop::sample::select(texts.to_vec()))
    };
    let level =
        pick(0.5, &["level: single-factor", "level: multi-factor", "level: multi-factor", "level: phishing-resistant"]);
    let age = pick(0.2, &["max_age: 2m", "max_age: 30m"]);
    let scopes = pick(0.2, &["scopes: { all: [pay] }", "scopes: { any: [pay, read] }"]);
    let acr = pick(0.1, &["acr: [\"2\", gold]", "acr: { at_least: 2 }"]);
    let amr = pick(
        0.15,
        &[
            "amr: { any: [otp, hwk] }",
            "amr: { all: [pwd, otp] }",
            "amr: { none: [sms] }",
            "amr: { only: [pwd, otp, hwk] }",
            "amr: { count: 2 }",
        ],
    );
    let more = pick(
        0.12,
        &[
            "factors: 2",
            "phishing_resistant: true",
            "not: { amr: { any: [sms] } }",
            "claims: { tier: gold }",
            "caller: user",
            "bind: { id: /account }",
        ],
    );
    let ignored = pick(0.1, &["ignore_amr: [sms]", "ignore_amr: [otp, mfa]"]);
    (level, age, scopes, acr, amr, more, ignored).prop_map(|(level, age, scopes, acr, amr, more, ignored)| {
        let asked: Vec<&str> = [level, age, scopes, acr, amr, more].into_iter().flatten().collect();
        if asked.is_empty() {
            return "{ level: single-factor }".to_owned();
        }
        format!("{{ {} }}", asked.into_iter().chain(ignored).collect::<Vec<_>>().join(", "))
    })
}

fn requirement() -> BoxedStrategy<String> {
    let nested = (any::<bool>(), prop::collection::vec(entries(), 2..4))
        .prop_map(|(any, parts)| format!("{{ {}: [ {} ] }}", if any { "any" } else { "all" }, parts.join(", ")));
    prop_oneof![6 => entries(), 2 => nested, 1 => Just("authenticated".to_owned())].boxed()
}

/// Routes of a site where sign-ins are posted and kept, which only some of the policies are asked about.
fn site() -> BoxedStrategy<String> {
    let callback = prop_oneof![2 => Just("authenticated".to_owned()), 1 => requirement()];
    let mode = prop::sample::select(vec!["", "", "", " mode: observe,", " mode: observe-all,"]);
    let errors = prop::sample::select(vec!["", ", on_error: forward", ", on_error: forward"]);
    let parts = (callback, requirement(), requirement(), mode.clone(), mode, errors);
    parts.prop_map(|(callback, app, both, mode, other, errors)| {
        format!(
            "\x20 - {{ name: callback, match: {{ hosts: [app.example], path: /signin, methods: [POST, PUT] }},{mode} max_body: 6KiB,\
             \x20     take: [ {{ form: id_token, kind: id{errors} }}, {{ form: access_token, kind: access }} ], require: {callback},\
             \x20     keep: {{ cookie: __Host-k, for: 1h, ends_on: [/logout, /app/bye] }} }}\n\
             \x20 - {{ name: app, match: {{ hosts: [app.example], path: \"/app/**\" }},{other} take: [ {{ kept: __Host-k }} ], require: {app} }}\n\
             \x20 - {{ name: both, match: {{ hosts: [app.example], path: \"/both/**\" }}, take: [ authorization, {{ cookie: t, kind: id }},\
             \x20     {{ kept: __Host-k, origins: [\"https://spa.example\"] }} ], require: {both} }}\n\
             \x20 - {{ name: logout, match: {{ hosts: [app.example], path: /logout }}, require: public, max_body: 1KiB }}\n"
        )
    })
    .boxed()
}

/// A policy with `/healthz` public, `/payments/{id}` by POST, whatever is under `/payments`, and all that is read.
fn policies(site: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let one = |texts: &'static [&'static str]| prop::sample::select(texts.to_vec());
    let mapping = one(&[
        "",
        "    mapping: { acr: { rename: { \"1\": \"2\", low: \"1\" } } }\n",
        "    mapping: { acr: { from: [/ext/acr, acr], accept: [string, number] }, amr: { accept: [array, space-separated] } }\n",
        "    mapping: { amr: { absent: [pwd], rename: { push: hwk, pw: pwd } }, auth_time: { from: [/ext/at, auth_time] } }\n",
        "    mapping: { acr: { accept: array } }\n",
    ]);
    let reading = one(&[
        "",
        "    ignore_amr: [sms]\n",
        "    mfa: derived\n",
        "    trust: { acr: false }\n",
        "    trust: { max_level: multi-factor }\n",
        "    factor_classes: { push: possession, badge: { is: possession, phishing_resistant: true } }\n",
    ]);
    let multi = one(&[
        "{ any: [ { acr: [\"2\"] }, { factors: 2 } ] }",
        "{ any: [ { acr: { at_least: 2 } }, { amr: { any: [mfa] } } ] }",
        "{ factors: 2 }",
        "{ all: [ { factors: 2 }, { not: { amr: { any: [sms] } } } ] }",
        "{ any: [ { all: [ { acr: [gold] }, { amr: { any: [otp, hwk] } } ] }, { claims: { tier: gold } } ] }",
    ]);
    let pair = one(&["", "    pair: subject\n"]);
    let floor = prop::option::weighted(0.3, entries());
    let routes = (requirement(), requirement(), requirement());
    let instead = one(&["authenticated", "{ level: single-factor }", "{ max_age: 5m, amr: { any: [pwd] } }"]);
    let exception = prop::option::weighted(0.4, instead).prop_map(|instead| {
        let written = |instead| {
            format!(
                "exceptions:\n  - {{ name: way, who: {{ issuer: idp, subjects: [u1] }}, routes: [pay, read], instead: {instead}, \
                 until: \"2026-01-03T00:00:00Z\", because: a test }}\n"
            )
        };
        instead.map_or_else(String::new, written)
    });
    let all = (mapping, reading, multi, pair, floor, routes, site, exception);
    all.prop_map(|(mapping, reading, multi, pair, floor, (pay, all, read), site, exception)| {
        let floors = floor.map_or_else(String::new, |floor| {
            let floor = floor.replace(", bind: { id: /account }", "").replace("bind: { id: /account }", "level: single-factor");
            format!("floors:\n  - {{ name: money, match: {{ path: \"/payments/**\" }}, require: {floor} }}\n")
        });
        let unbound = |text: String| text.replace("bind: { id: /account }", "level: single-factor");
        format!(
            "version: 1\nissuers:\n  idp:\n    issuer: {ISSUER}\n    access: {{ audiences: [\"{API}\"] }}\n    id: {{ audiences: [{CLIENT}] }}\n\
             {mapping}{reading}{pair}    proves:\n      single-factor: {{ any: [ {{ acr: [\"1\", \"2\", gold] }}, {{ factors: 1 }} ] }}\n      \
             multi-factor: {multi}\n      phishing-resistant: {{ any: [ {{ phishing_resistant: true }}, {{ acr: [phr] }} ] }}\n\
             take: [ authorization, {{ header: x-id, kind: any }} ]\n{floors}routes:\n\
             \x20 - {{ name: pay, match: {{ path: \"/payments/{{id}}\", methods: [POST] }}, require: {pay} }}\n\
             \x20 - {{ name: payments, match: {{ path: \"/payments/**\" }}, require: {} }}\n\
             \x20 - {{ name: read, match: {{ hosts: [api.example], path: \"/**\", methods: [GET] }}, require: {} }}\n\
             \x20 - {{ name: health, match: {{ path: /healthz }}, require: public }}\n{}{exception}",
            unbound(all),
            unbound(read),
            unbound(site),
        )
        .replace("level: single-factor, level: single-factor", "level: single-factor")
    })
    .boxed()
}

fn requests() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        12 => Just("POST https://api.example/payments/7"),
        6 => Just("GET https://api.example/accounts/7?x=1"),
        2 => Just("PUT https://API.example:443/payments/7/refund"),
        1 => Just("GET https://api.example/payments"),
        1 => Just("GET https://api.example/healthz"),
        1 => Just("POST https://other.example/accounts"),
        1 => Just("GET https://api.example/a%2fb"),
        1 => Just("TRACE https://api.example/payments/7"),
    ]
}

/// Claims of a token, and whether the right key signs them.
pub(super) type Made = (Value, bool);

/// One token, mostly one that is believed.
pub(super) fn one() -> BoxedStrategy<Made> {
    let acr = prop::sample::select(vec![
        Value::Null,
        Value::Null,
        json!("1"),
        json!("2"),
        json!("2"),
        json!("gold"),
        json!("low"),
        json!("odd"),
        json!(2),
        json!(["2"]),
    ]);
    let values = prop::sample::subsequence(vec!["pwd", "otp", "sms", "mfa", "hwk", "push", "odd"], 0..4);
    let amr = prop_oneof![1 => Just(Value::Null), 1 => Just(json!("pwd otp")), 6 => values.prop_map(|v| json!(v))];
    let age = prop::sample::select(vec![Some(30_i64), Some(30), Some(30), Some(60), Some(600), Some(-300), None]);
    let scope = prop::sample::select(vec!["pay read", "pay read", "pay", "read", ""]);
    let kind = prop::sample::select(vec![API, API, API, CLIENT, "other"]);
    let odd = prop_oneof![
        12 => Just(json!({})),
        1 => Just(json!({ "exp": NOW.seconds() - 60 })),
        1 => Just(json!({ "sub": "app" })),
        1 => Just(json!({ "iss": "https://evil.example" })),
        1 => Just(json!({ "sid": "s2" })),
        2 => Just(json!({ "tier": "gold", "account": "7" })),
    ];
    let signed = prop::bool::weighted(0.95);
    (acr, amr, age, scope, kind, odd, signed).prop_map(|(acr, amr, age, scope, kind, odd, signed)| {
        let now = NOW.seconds();
        let mut claims = json!({
            "iss": ISSUER, "aud": kind, "sub": "u1", "client_id": "app", "azp": CLIENT, "sid": "s1", "iat": now - 5, "exp": now + 300,
            "scope": scope, "acr": acr, "amr": amr,
        });
        if kind == API {
            claims.as_object_mut().unwrap().remove("azp");
        }
        if let Some(age) = age {
            claims["auth_time"] = json!(now - age);
        }
        for (name, value) in odd.as_object().unwrap() {
            claims[name] = value.clone();
        }
        (claims, signed)
    })
    .boxed()
}

/// Claims that are enough for nearly everything.
pub(super) fn strong() -> Value {
    let now = NOW.seconds();
    json!({
        "iss": ISSUER, "aud": API, "sub": "u1", "client_id": "app", "sid": "s1", "iat": now - 5, "exp": now + 300, "auth_time": now - 30,
        "scope": "pay read", "acr": "2", "amr": ["pwd", "otp", "hwk"], "tier": "gold", "account": "7",
    })
}

fn tokens() -> impl Strategy<Value = Vec<Made>> {
    prop_oneof![
        1 => Just(Vec::new()),
        14 => Just(vec![(strong(), true)]),
        10 => one().prop_map(|one| vec![one]),
        3 => (one(), one()).prop_map(|(access, mut id)| {
            id.0["aud"] = json!(CLIENT);
            vec![access, id]
        }),
    ]
}

/// A policy, and requests that are judged by it.
pub(super) fn busy_worlds() -> impl Strategy<Value = (String, Vec<Sent>)> {
    let plain = (requests(), tokens()).prop_map(|(request, tokens)| Sent { request, tokens, ..Sent::default() });
    let all = (prop::collection::vec(plain, 16), prop::collection::vec(sent(), 16));
    (policies(site()), all.prop_map(|(plain, sent)| plain.into_iter().chain(sent).collect()))
}

pub(super) fn worlds() -> impl Strategy<Value = (String, &'static str, Vec<Made>)> {
    (policies(Just(String::new()).boxed()), requests(), tokens())
}

/// Sign-ins made now, as issuers of these tests would write them.
pub(super) fn usual_sign_ins() -> Vec<Vec<(ClaimPath, Json)>> {
    let json = |value: Value| Json::parse(&value.to_string()).unwrap();
    let path = |path: &str| ClaimPath::parse(path).unwrap();
    let acr = [json!("1"), json!("2"), json!("gold"), json!("phr"), json!(["2"]), json!(["gold"]), json!(["phr"])];
    let amr = [
        json!(["pwd"]),
        json!(["pwd", "otp"]),
        json!(["pwd", "hwk"]),
        json!(["otp", "hwk"]),
        json!(["badge", "pwd"]),
        json!(["mfa"]),
    ];
    let now = || json(json!(NOW.seconds()));
    let both = |(acr, amr): (&Value, &Value)| {
        let acr = [path("acr"), path("/ext/acr")].map(|path| (path, json(acr.clone())));
        let at = [path("auth_time"), path("/ext/at")].map(|path| (path, now()));
        let amr = (path("amr"), json(amr.clone()));
        acr.into_iter().chain(at).chain([amr]).collect()
    };
    acr.iter().flat_map(|acr| amr.iter().map(move |amr| (acr, amr))).map(both).collect()
}
