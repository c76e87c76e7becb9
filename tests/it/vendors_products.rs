//! Tokens as the vendors make them, header and claims, through the running proxy: each with one that passes, one that is
//! refused with its reason and its challenge, and a client's own.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::{Alg, Key, Request, Response, Token, Upstream, World, at_hash, jwks, now};

/// A gate whose issuers sign with one RSA key, as most vendors do. Their key set is `vendor.json`.
struct Vendor {
    world: World,
    key: Key,
}

impl Vendor {
    /// With these issuers, in YAML from the name of the first, and a route for each rung and one for clients.
    fn with(issuers: &str) -> Self {
        let key = Key::new(Alg::Rs256, "vendor-2026");
        let policy = format!(
            r#"
version: 1
ladders: {{ cdr: [cdr-2, cdr-3, cdr-4] }}
take: [ authorization, {{ header: x-id-token, kind: id }} ]
issuers:
{issuers}
routes:
  - {{ name: one, match: {{ path: /one }}, require: {{ level: single-factor }} }}
  - {{ name: two, match: {{ path: /two }}, require: {{ level: multi-factor }} }}
  - {{ name: fresh, match: {{ path: /fresh }}, require: {{ level: multi-factor, max_age: 5m }} }}
  - {{ name: job, match: {{ path: /job }}, require: {{ caller: client }} }}
"#
        );
        let set = jwks(&[&key]);
        let world = World::before(Upstream::start(), |setup| setup.file("vendor.json", &set).policy(&policy));
        Self { world, key }
    }

    fn sign(&self, token: &Token) -> String {
        token.sign(&self.key)
    }

    /// A request with this access token.
    fn access(&self, path: &str, token: &Token) -> Request {
        Request::get(path).bearer(&self.sign(token))
    }

    /// A request with this `id_token`, which is not sent as a bearer token.
    fn id(&self, path: &str, token: &Token) -> Request {
        Request::get(path).header("X-Id-Token", &self.sign(token))
    }

    fn refuses(&self, request: &Request, status: u16, reason: &str) -> Response {
        self.world.refuses(request, status, reason)
    }

    /// Sends a request that must pass, and gives the level that the upstream was told of.
    fn level(&self, request: &Request) -> Option<String> {
        self.world.passes(request);
        self.world.upstream.last().header("x-stepgate-level").map(str::to_owned)
    }

    /// The client that the upstream was told of last.
    fn client(&self) -> Option<String> {
        self.world.upstream.last().header("x-stepgate-client").map(str::to_owned)
    }
}

fn asks_for(refused: &Response, acr_values: &str) {
    let challenge = refused.challenge();
    assert_eq!(challenge.get("error"), Some("insufficient_user_authentication"));
    assert_eq!(challenge.get("acr_values"), Some(acr_values));
}

/// As Entra's own APIs ask for an authentication context.
fn asks_for_context(refused: &Response, context: &str) {
    let challenge = refused.challenge();
    assert_eq!(challenge.get("error"), Some("insufficient_claims"));
    assert_eq!(challenge.get("cc_type"), Some("authcontext"));
    let claims = BASE64_STANDARD.decode(challenge.get("claims").unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims, json!({ "access_token": { "acrs": { "essential": true, "value": context } } }));
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn entra_v2_is_judged_by_the_contexts_in_acrs() {
    let vendor = Vendor::with(
        r#"
  entra:
    issuer: https://login.microsoftonline.com/6f0c-tenant/v2.0
    profile: entra-v2-acrs
    keys: { jwks_file: ../vendor.json }
    access: { audiences: [2a4b-api] }
    proves: { single-factor: { acr: [c1, c2] }, multi-factor: { acr: [c2] } }
"#,
    );
    let entra = |more: Value| {
        let token = Token::of(json!({
            "aud": "2a4b-api", "iss": "https://login.microsoftonline.com/6f0c-tenant/v2.0", "iat": now(), "nbf": now(),
            "exp": now() + 3600, "aio": "AXQAi", "azp": "9e1d-client", "azpacr": "0", "name": "Ada", "oid": "77aa-user",
            "rh": "0.AXE", "scp": "Orders.Read Orders.Write", "sub": "pairwise-ada", "tid": "6f0c-tenant", "uti": "u1",
            "ver": "2.0", "xms_cc": ["cp1"],
        }));
        with(token.header("typ", "JWT"), more)
    };
    assert_eq!(vendor.level(&vendor.access("/one", &entra(json!({ "acrs": ["c1"] })))), some("single-factor"));
    assert_eq!(vendor.level(&vendor.access("/two", &entra(json!({ "acrs": ["c1", "c2"] })))), some("multi-factor"));
    assert_eq!(vendor.client(), some("9e1d-client"));
    let weak = vendor.refuses(&vendor.access("/two", &entra(json!({ "acrs": ["c1"] }))), 401, "level_too_low");
    asks_for_context(&weak, "c2");
    // Contexts have no order: a higher number is not more.
    vendor.refuses(&vendor.access("/two", &entra(json!({ "acrs": ["c25"] }))), 401, "acr_unknown");
    asks_for_context(&vendor.refuses(&vendor.access("/two", &entra(json!({}))), 401, "acr_missing"), "c2");
    vendor.refuses(&vendor.access("/two", &entra(json!({ "acrs": { "c2": true } }))), 401, "acr_malformed");
    vendor.refuses(
        &vendor.access("/two", &entra(json!({ "acrs": ["c2"] })).header("typ", "at+jwt")),
        401,
        "token_kind_wrong",
    );

    let app = |more: Value| {
        let own = json!({ "sub": "5c5c-principal", "oid": "5c5c-principal", "azpacr": "2", "roles": ["Orders.All"] });
        with(with(entra(json!({})).without("scp").without("name").without("xms_cc"), own), more)
    };
    vendor.refuses(&vendor.access("/two", &app(json!({}))), 401, "acr_missing");
    vendor.refuses(&vendor.access("/two", &app(json!({ "idtyp": "app", "acrs": ["c2"] }))), 403, "caller_wrong");
    assert_eq!(vendor.level(&vendor.access("/job", &app(json!({ "idtyp": "app" })))), None);
    assert_eq!(vendor.client(), some("9e1d-client"));
}

#[test]
fn keycloak_realms_mean_their_own_numbers_and_one_of_them_is_capped() {
    let vendor = Vendor::with(
        r#"
  staff:
    issuer: https://id.example/realms/staff
    profile: keycloak
    keys: { jwks_file: ../vendor.json }
    access: { audiences: [accounts-api] }
    proves: { single-factor: { acr: { at_least: 1 } }, multi-factor: { any: [ { acr: { at_least: 2 } }, { factors: 2 } ] } }
    challenge: { single-factor: ["1"], multi-factor: ["2"] }
  partners:
    issuer: https://id.example/realms/partners
    profile: keycloak
    keys: { jwks_file: ../vendor.json }
    access: { audiences: [accounts-api] }
    trust: { max_level: single-factor }
    proves: { single-factor: { acr: { at_least: 1 } }, multi-factor: { any: [ { acr: { at_least: 2 } }, { factors: 2 } ] } }
"#,
    );
    let realm = |realm: &str, acr: &str| {
        Token::of(json!({
            "exp": now() + 300, "iat": now(), "auth_time": now() - 60, "jti": "onrtac:5a1c",
            "iss": format!("https://id.example/realms/{realm}"), "aud": ["accounts-api", "account"],
            "sub": "0c5b-ada", "typ": "Bearer", "azp": "portal", "sid": "1e9f-session", "acr": acr,
            "allowed-origins": ["https://portal.example"], "realm_access": { "roles": ["offline_access"] },
            "scope": "openid email profile", "email_verified": true, "preferred_username": "ada",
        }))
        .header("typ", "JWT")
    };
    assert_eq!(vendor.level(&vendor.access("/one", &realm("staff", "1"))), some("single-factor"));
    assert_eq!(vendor.level(&vendor.access("/two", &realm("staff", "2"))), some("multi-factor"));
    assert_eq!(vendor.level(&vendor.access("/two", &realm("staff", "10"))), some("multi-factor"));
    assert_eq!(vendor.client(), some("portal"));
    asks_for(&vendor.refuses(&vendor.access("/two", &realm("staff", "1")), 401, "level_too_low"), "2");
    asks_for(&vendor.refuses(&vendor.access("/one", &realm("staff", "0")), 401, "level_too_low"), "1");

    // The same number in the realm that is trusted less: up to its cap, and never above it, so nothing is asked for.
    assert_eq!(vendor.level(&vendor.access("/one", &realm("partners", "2"))), some("single-factor"));
    let capped = vendor.refuses(&vendor.access("/two", &realm("partners", "2")), 403, "level_too_low");
    assert_eq!(capped.header("www-authenticate"), None);

    let service_account = || {
        let own = json!({
            "sub": "7d7d-service-account", "azp": "nightly", "preferred_username": "service-account-nightly",
            "client_id": "nightly", "clientHost": "192.0.2.7", "clientAddress": "192.0.2.7",
        });
        with(realm("staff", "1").without("sid").without("auth_time"), own)
    };
    vendor.refuses(&vendor.access("/one", &service_account()), 403, "caller_wrong");
    assert_eq!(vendor.level(&vendor.access("/job", &service_account())), None);
    assert_eq!(vendor.client(), some("nightly"));
    vendor.refuses(&vendor.access("/job", &realm("staff", "2")), 403, "caller_wrong");
}

#[test]
fn cognito_tokens_are_told_by_token_use_and_access_tokens_have_no_aud() {
    let vendor = Vendor::with(
        r#"
  pool:
    issuer: https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example01
    profile: cognito
    keys: { jwks_file: ../vendor.json }
    access: { audiences: [7app-client, 8machine] }
    id: { audiences: [7app-client] }
"#,
    );
    let common = || {
        Token::of(json!({
            "sub": "3f1e-ada", "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example01",
            "origin_jti": "0a0a", "event_id": "1b1b", "jti": "2c2c", "iat": now(), "exp": now() + 3600,
            "auth_time": now() - 60, "acr": "urn:cognito:loa:4", "amr": ["pwd", "otp", "mfa"],
        }))
    };
    let access = || {
        with(
            common(),
            json!({ "token_use": "access", "client_id": "7app-client", "scope": "openid orders/read", "version": 2,
                    "username": "ada" }),
        )
    };
    let id = || {
        with(
            common(),
            json!({ "token_use": "id", "aud": "7app-client", "cognito:username": "ada", "email": "ada@example.com",
                    "email_verified": true, "at_hash": "x" }),
        )
    };
    let one_passkey = |token: Token| token.claim("acr", "urn:cognito:loa:3").claim("amr", json!(["swk"]));

    assert_eq!(vendor.level(&vendor.access("/two", &access())), some("multi-factor"));
    assert_eq!(vendor.client(), some("7app-client"));
    assert_eq!(vendor.level(&vendor.id("/two", &id())), some("multi-factor"));
    // Cognito ranks a passkey above a password; it is one factor.
    assert_eq!(vendor.level(&vendor.access("/one", &one_passkey(access()))), some("single-factor"));
    asks_for(
        &vendor.refuses(&vendor.access("/two", &one_passkey(access())), 401, "level_too_low"),
        "urn:cognito:loa:4",
    );
    asks_for(&vendor.refuses(&vendor.id("/two", &one_passkey(id())), 401, "level_too_low"), "urn:cognito:loa:4");
    let plain = |token: Token| token.without("acr").without("amr");
    vendor.refuses(&vendor.access("/one", &plain(access())), 401, "acr_missing");
    vendor.refuses(&vendor.access("/one", &access().claim("client_id", "another-app")), 401, "audience_wrong");

    // An id_token is no access token, and the other way round, though both name the same client.
    vendor.refuses(&vendor.access("/two", &id()), 401, "token_kind_wrong");
    vendor.refuses(&vendor.id("/two", &access()), 401, "token_kind_wrong");
    let dressed_up = id().claim("client_id", "7app-client");
    vendor.refuses(&vendor.access("/two", &dressed_up), 401, "token_kind_wrong");

    let machine = || {
        Token::of(json!({
            "sub": "8machine", "token_use": "access", "scope": "orders/read", "auth_time": now(),
            "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example01", "exp": now() + 3600,
            "iat": now(), "version": 2, "jti": "9d9d", "client_id": "8machine",
        }))
    };
    vendor.refuses(&vendor.access("/one", &machine()), 403, "caller_wrong");
    assert_eq!(vendor.level(&vendor.access("/job", &machine())), None);
    assert_eq!(vendor.client(), some("8machine"));
}

#[test]
fn a_cdr_data_holder_says_acr_in_the_id_token_beside_the_access_token() {
    let vendor = Vendor::with(
        r#"
  holder:
    issuer: https://data-holder.example
    profile: cdr-australia
    keys: { jwks_file: ../vendor.json }
    access: { audiences: ["https://api.data-holder.example"] }
    id: { audiences: [adr-product] }
"#,
    );
    let access = || {
        Token::of(json!({
            "iss": "https://data-holder.example", "sub": "ppid-ada", "aud": "https://api.data-holder.example",
            "client_id": "adr-product", "iat": now(), "exp": now() + 600, "jti": "a1",
            "scope": "openid energy:electricity.usage:read", "cdr_arrangement_id": "arrangement-7",
        }))
        .header("typ", "at+jwt")
    };
    let signed = vendor.sign(&access());
    let id = |acr: Value| {
        Token::of(json!({
            "iss": "https://data-holder.example", "sub": "ppid-ada", "aud": "adr-product", "iat": now(),
            "exp": now() + 600, "nonce": "n-1", "auth_time": now() - 60, "acr": acr, "at_hash": at_hash(&signed),
        }))
    };
    let both =
        |path: &str, acr: &str| Request::get(path).bearer(&signed).header("X-Id-Token", &vendor.sign(&id(json!(acr))));
    assert_eq!(vendor.level(&both("/one", "urn:cds.au:cdr:2")), some("single-factor cdr-2"));
    assert_eq!(vendor.level(&both("/two", "urn:cds.au:cdr:3")), some("multi-factor cdr-3"));
    assert_eq!(vendor.level(&both("/fresh", "urn:cds.au:cdr:4")), some("multi-factor cdr-4"));
    asks_for(&vendor.refuses(&both("/two", "urn:cds.au:cdr:2"), 401, "level_too_low"), "urn:cds.au:cdr:3");
    vendor.refuses(&both("/one", "urn:cds.au:cdr:1"), 401, "acr_unknown");
    let alone = vendor.refuses(&Request::get("/one").bearer(&signed), 401, "acr_missing");
    asks_for(&alone, "urn:cds.au:cdr:2");
    // The id_token of another sign-in does not lend its level.
    let other = vendor.sign(&access().claim("jti", "a2"));
    let lent = Request::get("/two").bearer(&other).header("X-Id-Token", &vendor.sign(&id(json!("urn:cds.au:cdr:3"))));
    vendor.refuses(&lent, 401, "tokens_disagree");

    let client = || access().claim("sub", "adr-product").without("cdr_arrangement_id");
    vendor.refuses(&vendor.access("/one", &client()), 403, "caller_wrong");
    assert_eq!(vendor.level(&vendor.access("/job", &client())), None);
}

#[test]
fn okta_says_acr_in_access_tokens_and_amr_in_id_tokens() {
    let vendor = Vendor::with(
        r#"
  okta:
    issuer: https://example.okta.com/oauth2/default
    profile: okta
    keys: { jwks_file: ../vendor.json }
    access: { audiences: ["api://hr"] }
    id: { audiences: [0oaportal] }
"#,
    );
    let access = |acr: &str| {
        Token::of(json!({
            "ver": 1, "jti": "AT.x1", "iss": "https://example.okta.com/oauth2/default", "aud": "api://hr", "iat": now(),
            "exp": now() + 3600, "cid": "0oaportal", "uid": "00uada", "scp": ["openid", "hr.read"],
            "auth_time": now() - 60, "acr": acr, "sub": "ada@example.com",
        }))
    };
    let id = |amr: Value| {
        Token::of(json!({
            "ver": 1, "sub": "00uada", "iss": "https://example.okta.com/oauth2/default", "aud": "0oaportal",
            "iat": now(), "exp": now() + 3600, "amr": amr, "jti": "ID.x1", "auth_time": now() - 60,
            "idp": "00oidp", "nonce": "n-1", "at_hash": "cpqKfdQA5eH891Ff5oJr_Q", "preferred_username": "ada@example.com",
        }))
    };
    let two = "urn:okta:loa:2fa:any";
    assert_eq!(vendor.level(&vendor.access("/fresh", &access(two))), some("multi-factor"));
    assert_eq!(vendor.client(), some("0oaportal"));
    assert_eq!(vendor.level(&vendor.id("/fresh", &id(json!(["sms", "mfa", "pwd"])))), some("multi-factor"));
    asks_for(&vendor.refuses(&vendor.access("/two", &access("urn:okta:loa:1fa:pwd")), 401, "level_too_low"), two);
    // A second factor only if the user had one, and a push that may have asked for a fingerprint: neither is certain.
    let perhaps = "urn:okta:loa:2fa:any:ifpossible";
    asks_for(&vendor.refuses(&vendor.access("/two", &access(perhaps)), 401, "level_too_low"), two);
    asks_for(&vendor.refuses(&vendor.id("/two", &id(json!(["okta_verify", "swk"]))), 401, "level_too_low"), two);
    vendor.refuses(&vendor.id("/one", &id(json!(["fed"]))), 401, "level_too_low");
    vendor.refuses(&vendor.id("/one", &id(json!("pwd"))), 401, "amr_malformed");
    vendor.refuses(&vendor.access("/one", &access(two).without("acr")), 401, "acr_missing");

    let service = || access(two).claim("sub", "0oaservice").claim("cid", "0oaservice").without("uid").without("acr");
    vendor.refuses(&vendor.access("/one", &service()), 403, "caller_wrong");
    assert_eq!(vendor.level(&vendor.access("/job", &service())), None);
    assert_eq!(vendor.client(), some("0oaservice"));
}

/// The token with these claims too.
fn with(token: Token, claims: Value) -> Token {
    let Value::Object(claims) = claims else { panic!("claims are an object") };
    claims.into_iter().fold(token, |token, (name, value)| token.claim(&name, value))
}
