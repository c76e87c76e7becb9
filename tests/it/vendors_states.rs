//! Tokens in the shape that public schemes and their vendors give them, header and claims, through the running gate with
//! nothing but the shipped profile: what is enough passes, what is not is refused with a challenge that the scheme knows.

use serde_json::{Value, json};

use crate::support::{Alg, Key, Request, Token, Upstream, World, at_hash, jwks, now};

const POLICY: &str = r#"
version: 1
ladders:
  loa: [loa-low, loa-substantial, loa-high]
  login-gov: [identity-verified, identity-facial-match]
issuers:
  one-login:
    issuer: https://oidc.account.example/
    profile: govuk-one-login
    keys: { jwks_file: ../es256.json }
    id: { audiences: [permits] }
  login-gov:
    issuer: https://idp.login.example/
    profile: login-gov
    keys: { jwks_file: ../rs256.json }
    id: { audiences: ["urn:gov:example:benefits"] }
  idporten:
    issuer: https://idporten.example
    profile: idporten
    keys: { jwks_file: ../rs256.json }
    access: { audiences: ["https://api.example"] }
    id: { audiences: [skatt] }
  bank:
    issuer: https://auth.bank.example
    profile: openfinance-brasil
    keys: { jwks_file: ../ps256.json }
    access: { audiences: ["https://open.bank.example"] }
    id: { audiences: [aggregator] }
  kobil:
    issuer: https://idp.bank.example/auth/realms/retail
    profile: kobil
    keys: { jwks_file: ../rs256.json }
    access: { audiences: [mobile-bank] }
take: [ authorization, { header: x-id-token, kind: id } ]
routes:
  - { name: permits, match: { path: "/permits/**" }, require: { level: multi-factor, max_age: 10m } }
  - { name: benefits, match: { path: "/benefits/**" }, require: { level: identity-verified } }
  - { name: pension, match: { path: "/pension/**" }, require: { level: identity-facial-match } }
  - { name: tax, match: { path: "/tax/**" }, require: { level: loa-high } }
  - { name: accounts, match: { path: "/accounts/**" }, require: { level: single-factor, scopes: { all: [accounts] } } }
  - name: payments
    match: { path: "/payments/{id}" }
    require: { level: multi-factor, scopes: { all: [payments] }, bind: { id: /consent_id } }
  - { name: transfers, match: { path: /transfers }, require: { level: multi-factor } }
"#;

struct Vendors {
    world: World,
    es256: Key,
    rs256: Key,
    ps256: Key,
}

impl Vendors {
    fn start() -> Self {
        let key = |alg| Key::new(alg, "2026-01");
        let (es256, rs256, ps256) = (key(Alg::Es256), key(Alg::Rs256), key(Alg::Ps256));
        let world = World::before(Upstream::start(), |setup| {
            let keys = [("es256.json", &es256), ("rs256.json", &rs256), ("ps256.json", &ps256)];
            keys.into_iter().fold(setup, |setup, (name, key)| setup.file(name, &jwks(&[key]))).policy(POLICY)
        });
        Self { world, es256, rs256, ps256 }
    }

    /// What the refusal of this request, for this reason, asks the client to ask for.
    fn asks_for(&self, request: &Request, reason: &str) -> Option<String> {
        self.world.refuses(request, 401, reason).challenge().get("acr_values").map(str::to_owned)
    }
}

/// The request of a service that passes its user's `id_token` on.
fn with_id_token(path: &str, token: &str) -> Request {
    Request::get(path).header("X-Id-Token", token)
}

#[test]
fn gov_uk_one_login_is_judged_by_vot() {
    let vendors = Vendors::start();
    // No acr, no amr, no `typ`; the vector never tells of the identity.
    let id_token = |vot: &str| {
        let claims = json!({
            "iss": "https://oidc.account.example/", "aud": "permits", "sub": "user-1", "nonce": "n-1",
            "iat": now(), "exp": now() + 120, "auth_time": now() - 60,
            "vot": vot, "vtm": "https://oidc.account.example/trustmark",
        });
        Token::of(claims)
    };
    let with = |token: &Token| with_id_token("/permits/7", &token.sign(&vendors.es256));
    vendors.world.passes(&with(&id_token("Cl.Cm")));
    let told = vendors.world.upstream.last();
    assert_eq!((told.header("x-stepgate-acr"), told.header("x-stepgate-level")), (Some("Cl.Cm"), Some("multi-factor")));
    assert_eq!(vendors.asks_for(&with(&id_token("Cl")), "level_too_low").as_deref(), Some("Cl.Cm"));
    // Not even if the text begins right, nor where another claim has the value.
    assert_eq!(vendors.asks_for(&with(&id_token("Cl.Cm.P2")), "acr_unknown").as_deref(), Some("Cl.Cm"));
    let elsewhere = id_token("Cl").without("vot").claim("acr", "Cl.Cm");
    assert_eq!(vendors.asks_for(&with(&elsewhere), "acr_missing").as_deref(), Some("Cl.Cm"));
    let list = id_token("Cl").claim("vot", json!(["Cl.Cm"]));
    assert_eq!(vendors.asks_for(&with(&list), "acr_malformed").as_deref(), Some("Cl.Cm"));
    // The core identity is a token of another issuer, whose `vot` is about something else.
    let identity = id_token("P2").issuer("https://identity.account.example/");
    vendors.world.refuses(&with(&identity), 401, "issuer_unknown");
}

#[test]
fn what_login_gov_says_of_the_identity_is_no_level_of_the_sign_in() {
    let vendors = Vendors::start();
    let id_token = |acr: &str| {
        let claims = json!({
            "iss": "https://idp.login.example/", "aud": "urn:gov:example:benefits", "sub": "user-1", "nonce": "n-1",
            "iat": now(), "nbf": now(), "exp": now() + 120, "acr": format!("urn:acr.login.gov:{acr}"),
        });
        Token::of(claims)
    };
    let with = |path: &str, token: &Token| with_id_token(path, &token.sign(&vendors.rs256));
    vendors.world.passes(&with("/benefits/1", &id_token("verified")));
    vendors.world.passes(&with("/pension/1", &id_token("verified-facial-match-required")));
    // As in the documented sample, which expires two seconds before it was issued.
    vendors.world.passes(&with("/benefits/1", &id_token("verified").claim("exp", now() - 2)));

    let asked = vendors.asks_for(&with("/benefits/1", &id_token("auth-only")), "acr_unknown");
    assert_eq!(asked.as_deref(), Some("urn:acr.login.gov:verified"));
    let asked = vendors.asks_for(&with("/pension/1", &id_token("verified-facial-match-preferred")), "level_too_low");
    assert_eq!(asked.as_deref(), Some("urn:acr.login.gov:verified-facial-match-required"));
    let nothing = id_token("verified").without("acr");
    assert_eq!(
        vendors.asks_for(&with("/benefits/1", &nothing), "acr_missing").as_deref(),
        Some("urn:acr.login.gov:verified")
    );
    // No new sign-in would help, so nothing is asked for.
    let strongest = id_token("verified-facial-match-required");
    let refused = vendors.world.refuses(&with("/transfers", &strongest), 403, "level_too_low");
    assert_eq!(refused.header("www-authenticate"), None);
}

#[test]
fn idporten_is_judged_by_acr_in_either_token_and_never_by_its_methods() {
    let vendors = Vendors::start();
    let common = json!({
        "iss": "https://idporten.example", "sub": "user-1", "sid": "session-1", "amr": ["BankID"],
        "iat": now(), "exp": now() + 120, "auth_time": now() - 60,
    });
    let id_token = |acr: &str| Token::of(common.clone()).claim("aud", "skatt").claim("acr", acr);
    let access_token = |acr: &str| {
        let token = Token::of(common.clone()).claim("aud", "https://api.example").claim("client_id", "skatt");
        token.claim("client_amr", "private_key_jwt").claim("scope", "skatt:read").claim("acr", acr)
    };
    let with = |token: &Token| Request::get("/tax/2025").bearer(&token.sign(&vendors.rs256));
    vendors.world.passes(&with_id_token("/tax/2025", &id_token("idporten-loa-high").sign(&vendors.rs256)));
    vendors.world.passes(&with(&access_token("idporten-loa-high")));
    // In older tokens amr is a text. Nobody asks for it, so that refuses nobody.
    vendors.world.passes(&with(&access_token("idporten-loa-high").claim("amr", "BankID")));

    let asked = vendors.asks_for(&with(&access_token("idporten-loa-substantial")), "level_too_low");
    assert_eq!(asked.as_deref(), Some("idporten-loa-high"));
    let asked = vendors.asks_for(&with(&access_token("Level4")), "acr_unknown");
    assert_eq!(asked.as_deref(), Some("idporten-loa-high"));
    vendors.world.refuses(&with(&access_token("idporten-loa-high").without("acr")), 401, "acr_missing");
    // Made for no API in particular, and made for a client alone.
    vendors.world.refuses(&with(&access_token("idporten-loa-high").claim("aud", "unspecified")), 401, "audience_wrong");
    vendors.world.refuses(&with(&access_token("idporten-loa-high").without("sub")), 403, "caller_wrong");
}

#[test]
fn open_finance_brasil_takes_acr_from_the_id_token_beside_the_access_token() {
    let vendors = Vendors::start();
    let access_token = || {
        let claims = json!({
            "iss": "https://auth.bank.example", "aud": "https://open.bank.example", "sub": "customer-9",
            "client_id": "aggregator", "jti": "t-1", "scope": "accounts payments", "consent_id": "7",
            "iat": now(), "exp": now() + 900,
        });
        Token::of(claims).header("typ", "at+jwt")
    };
    let access = access_token().sign(&vendors.ps256);
    let id_token = |acr: &str, beside: &str| {
        let claims = json!({
            "iss": "https://auth.bank.example", "aud": "aggregator", "sub": "customer-9", "nonce": "n-1",
            "iat": now(), "exp": now() + 900, "auth_time": now() - 60,
            "acr": format!("urn:brasil:openbanking:{acr}"), "at_hash": at_hash(beside),
        });
        Token::of(claims).sign(&vendors.ps256)
    };
    let with = |path: &str, id_token: &str| Request::get(path).bearer(&access).header("X-Id-Token", id_token);
    vendors.world.passes(&with("/accounts/1", &id_token("loa2", &access)));
    vendors.world.passes(&with("/payments/7", &id_token("loa3", &access)));
    let asked = vendors.asks_for(&with("/payments/7", &id_token("loa2", &access)), "level_too_low");
    assert_eq!(asked.as_deref(), Some("urn:brasil:openbanking:loa3"));
    let asked = vendors.asks_for(&Request::get("/payments/7").bearer(&access), "acr_missing");
    assert_eq!(asked.as_deref(), Some("urn:brasil:openbanking:loa3"));
    // Of another sign-in, for another consent, by a client alone, signed in a way that the profile rules out.
    let other = access_token().claim("jti", "t-2").sign(&vendors.ps256);
    vendors.world.refuses(&with("/payments/7", &id_token("loa3", &other)), 401, "tokens_disagree");
    vendors.world.refuses(&with("/payments/8", &id_token("loa3", &access)), 403, "claim_mismatch");
    let client = access_token().claim("sub", "aggregator").claim("acr", "urn:brasil:openbanking:loa3");
    vendors.world.refuses(&Request::get("/payments/7").bearer(&client.sign(&vendors.ps256)), 403, "caller_wrong");
    let rs256 = access_token().header("alg", "RS256").sign(&vendors.ps256);
    vendors.world.refuses(&Request::get("/payments/7").bearer(&rs256), 401, "algorithm_refused");
}

#[test]
fn kobil_s_numbers_compare_as_numbers() {
    let vendors = Vendors::start();
    let access_token = |acr: Value, amr: Value| {
        let claims = json!({
            "iss": "https://idp.bank.example/auth/realms/retail", "aud": "mobile-bank", "sub": "user-1",
            "azp": "mobile-bank-app", "scope": "openid", "iat": now(), "exp": now() + 300, "auth_time": now() - 60,
            "acr": acr, "amr": amr,
        });
        Token::of(claims)
    };
    let with = |token: &Token| Request::get("/transfers").bearer(&token.sign(&vendors.rs256));
    let second = || json!(["mfa", "mvk", "pwd"]);
    vendors.world.passes(&with(&access_token(json!("2"), second())));
    vendors.world.passes(&with(&access_token(json!("10"), second())));
    let asked = vendors.asks_for(&with(&access_token(json!("1"), json!(["pwd"]))), "level_too_low");
    assert_eq!(asked.as_deref(), Some("2"));
    // `mfa` is not taken on trust, a number is not a text, and what is no number is no level.
    let asked = vendors.asks_for(&with(&access_token(json!("1"), second())), "level_too_low");
    assert_eq!(asked.as_deref(), Some("2"));
    vendors.world.refuses(&with(&access_token(json!(2), second())), 401, "acr_malformed");
    vendors.world.refuses(&with(&access_token(json!("2.0"), second())), 401, "acr_unknown");
    vendors.world.refuses(&with(&access_token(json!("2"), second()).without("sub")), 403, "caller_wrong");
}
