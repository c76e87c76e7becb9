//! `identity: { assertion: … }`: one signed JWT in the place of headers and token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Alg, Gate, Key, Request, Token, Upstream, World, jwks, now};

const SETTINGS: &str = "identity: { assertion: { key: a.pem, for: 2m } }";

const ROUTES: &str = r#"
  - { name: public, match: { path: "/public/**" }, require: public, upstream: app }
  - { name: any, match: { path: "/any/**" }, require: authenticated, upstream: app }
  - { name: other, match: { path: "/other/**" }, require: authenticated, upstream: other }
  - { name: less, match: { path: "/less/**" }, require: { level: single-factor, ignore_amr: [sms] }, upstream: app }
  - { name: strong, match: { path: "/strong/**" }, require: { level: multi-factor, ignore_amr: [sms] }, upstream: app }
  - { name: watched, match: { path: "/watched/**" }, require: { level: multi-factor }, mode: observe-all, upstream: app }
  - { name: portal, match: { path: "/portal" }, take: [ { header: x-id-token, kind: id } ], require: authenticated, upstream: app }
"#;

fn world(settings: &str) -> World {
    let upstream = Upstream::start();
    let url = format!("http://127.0.0.1:{}", upstream.port);
    World::before(upstream, |setup| {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let upstreams = format!("{{ app: {{ url: \"{url}\" }}, other: {{ url: \"{url}\" }} }}");
        setup.upstreams(&upstreams).file("a.pem", &key).settings(settings).policy(&World::issuers_and(ROUTES))
    })
}

/// The names of ours that the upstream saw last.
fn ours(world: &World) -> Vec<String> {
    let seen = world.upstream.last();
    seen.names().into_iter().filter(|name| name.starts_with("x-stepgate")).map(str::to_owned).collect()
}

/// Header and claims of the assertion that the upstream saw last.
fn asserted(world: &World) -> (Value, Value) {
    assert_eq!(ours(world), ["x-stepgate-assertion"], "it takes the place of all others");
    let seen = world.upstream.last();
    assert_eq!(seen.header("authorization"), None, "the token is taken out");
    let text = seen.header("x-stepgate-assertion").unwrap().to_owned();
    let parts: Vec<&str> = text.split('.').collect();
    let read = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (read(parts[0]), read(parts[1]))
}

#[test]
fn the_upstream_is_told_all_that_it_would_have_read_in_the_token() {
    let world = world(&format!("public_url: https://api.example\n{SETTINGS}"));
    let at = now() - 60;
    let amr = json!(["pwd", "otp", "sms"]);
    let token = Token::access().claim("auth_time", at).claim("amr", amr).claim("sid", "s-1").sign(&world.bank);
    world.passes(&Request::get("/strong/1").bearer(&token).header("X-Stepgate-Assertion", "forged"));
    let (header, mut claims) = asserted(&world);
    let set: Value = serde_json::from_str(&world.gate.admin("/assertion/jwks.json").body).unwrap();
    assert_eq!(header, json!({ "alg": "ES256", "kid": set["keys"][0]["kid"], "typ": "stepgate-assertion+jwt" }));
    assert_eq!(set["keys"].as_array().unwrap().len(), 1);
    assert!(set["keys"][0].get("d").is_none(), "{set}");
    let mut take = |name: &str| claims.as_object_mut().unwrap().remove(name).unwrap();
    let (issued, expires) = (take("iat").as_i64().unwrap(), take("exp").as_i64().unwrap());
    assert!(expires - issued == 120 && (now() - issued).abs() < 10, "{issued} {expires}");
    assert_eq!(take("jti").as_str().unwrap().len(), 22);
    let expected = json!({
        "iss": "https://api.example", "aud": "app", "sub": "ada", "client_id": "app", "caller": "user",
        "issuer": "bank", "token_iss": "https://bank.example", "levels": ["multi-factor"], "acr": "2",
        "amr": ["pwd", "otp"], "auth_time": at, "scope": "accounts payments", "sid": "s-1",
    });
    assert_eq!(claims, expected);
}

#[test]
fn what_the_token_does_not_say_is_not_said_and_nothing_outlives_it() {
    let world = world(SETTINGS);
    let bare = Token::access().without("acr").without("amr").without("auth_time").without("client_id").without("scope");
    let expires = now() + 40;
    world.passes(&Request::get("/any/1").bearer(&bare.claim("exp", expires).sign(&world.bank)));
    let (_, claims) = asserted(&world);
    assert_eq!((&claims["iss"], &claims["exp"]), (&"stepgate".into(), &expires.into()));
    assert_eq!(claims["levels"], json!([]));
    for name in ["acr", "amr", "auth_time", "client_id", "scope", "sid"] {
        assert!(claims.get(name).is_none(), "{name}: {claims}");
    }
    let client = Token::access().without("sub").sign(&world.bank);
    world.passes(&Request::get("/any/1").bearer(&client));
    let (_, claims) = asserted(&world);
    assert_eq!((&claims["caller"], claims.get("sub")), (&"client".into(), None));
    let both = Token::access().claim("acr", json!(["2", "silver"])).sign(&world.club);
    assert_eq!(world.gate.send(&Request::get("/any/1").bearer(&both)).status, 401, "it is not the club's");
}

#[test]
fn one_token_is_asserted_once_for_each_upstream_and_each_level_that_it_reached() {
    let world = world(SETTINGS);
    let id_of = |path: &str, token: &str| {
        world.passes(&Request::get(path).bearer(token));
        let (_, claims) = asserted(&world);
        (claims["jti"].clone(), claims["aud"].clone())
    };
    let (one, other) = (Token::access().sign(&world.bank), Token::access().claim("sub", "bob").sign(&world.bank));
    // Each of the gate's workers signs for itself.
    let told: std::collections::HashSet<String> = (0..40).map(|_| id_of("/any/1", &one).0.to_string()).collect();
    let workers = std::thread::available_parallelism().unwrap().get();
    assert!(told.len() <= workers, "{} of 40", told.len());
    let (id, audience) = id_of("/other/1", &one);
    assert!(audience == "other" && !told.contains(&id.to_string()), "what is for one upstream is for no other");
    assert!(!told.contains(&id_of("/any/1", &other).0.to_string()));
    let texted = Token::access().without("acr").claim("amr", json!(["pwd", "sms"])).sign(&world.bank);
    for _ in 0..8 {
        for (path, level, amr) in
            [("/any/1", "multi-factor", json!(["pwd", "sms"])), ("/less/1", "single-factor", json!(["pwd"]))]
        {
            world.passes(&Request::get(path).bearer(&texted));
            let (_, claims) = asserted(&world);
            assert_eq!((&claims["levels"], &claims["amr"]), (&json!([level]), &amr), "{path}");
        }
    }
}

#[test]
fn where_nobody_is_known_nothing_is_asserted_and_no_token_passes() {
    let world = world(SETTINGS);
    let token = Token::access().sign(&world.bank);
    world.passes(&Request::get("/public/1").header("X_Stepgate_Assertion", "forged"));
    assert_eq!(ours(&world), [""; 0]);
    // What only observes lets through whatever comes; of what was not believed nothing is said, and it goes.
    world.passes(&Request::get("/watched/1").bearer("junk").header("x-stepgate-assertion", "forged"));
    assert_eq!((ours(&world).len(), world.upstream.last().header("authorization")), (0, None));
    world.passes(&Request::get("/watched/1").bearer(&token));
    assert_eq!(asserted(&world).1["sub"], "ada");
    let id = Token::id().sign(&world.bank);
    world.passes(&Request::get("/portal").header("X-Id-Token", &id));
    assert_eq!((asserted(&world).1["aud"].as_str(), world.upstream.last().header("x-id-token")), (Some("app"), None));
}

#[test]
fn a_key_that_cannot_sign_keeps_the_gate_from_starting_and_without_an_assertion_there_are_no_keys() {
    let upstream = Upstream::start();
    let bank = Key::new(Alg::Es256, "key-1");
    let setup = || {
        let policy = World::issuers_and("  - { name: any, match: { path: /any }, require: authenticated }");
        let set = jwks(&[&bank]);
        let files = ["bank.json", "shop.json", "club.json"];
        files.into_iter().fold(Gate::setup(&upstream), |setup, name| setup.file(name, &set)).policy(&policy)
    };
    let (code, said) = setup().file("a.pem", "junk").settings(SETTINGS).fails();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("`identity.assertion`: there is no private key in PEM in `"), "{said}");
    assert_eq!(setup().start().admin("/assertion/jwks.json").status, 404);
}
