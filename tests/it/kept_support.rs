//! An application behind a sign-in that is kept: the callback, what it guards, its logout.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::shared::gate::Setup;
use crate::support::{Answer, Request, Response, Token, Upstream, World};

pub(crate) const KEY: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
pub(crate) const OTHER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
pub(crate) const NAME: &str = "__Host-stepgate";

pub(crate) const ROUTES: &str = r#"
  - name: callback
    match: { path: /signin }
    take: [ { header: x-id-token, kind: id }, { header: x-access-token, kind: access }, { kept: __Host-stepgate } ]
    require: { level: single-factor }
    keep: { cookie: __Host-stepgate, for: 8h, ends_on: [/logout, /bye, /signin/out] }
  - name: short
    match: { path: /short }
    take: [ { header: x-id-token, kind: id } ]
    require: { level: single-factor }
    keep: { cookie: __Host-short, for: 2s }
  - name: short-app
    match: { path: /short/app }
    take: [ { kept: __Host-short } ]
    require: authenticated
  - name: app
    match: { path: "/app/**" }
    take: [ { kept: __Host-stepgate } ]
    require: { level: multi-factor }
  - name: partner
    match: { path: /partner }
    take: [ { kept: __Host-stepgate, origins: ["https://partner.example"] } ]
    require: authenticated
  - { name: strongest, match: { path: /app/strongest }, take: [ { kept: __Host-stepgate } ], require: { level: phishing-resistant } }
  - { name: fresh, match: { path: /app/fresh }, take: [ { kept: __Host-stepgate } ], require: { max_age: 5m } }
  - { name: tier, match: { path: /app/tier }, take: [ { kept: __Host-stepgate } ], require: { claims: { tier: gold } } }
  - name: both
    match: { path: /both }
    take: [ authorization, { kept: __Host-stepgate } ]
    require: { level: multi-factor, scopes: { all: [payments] } }
  - { name: logout, match: { path: /logout }, take: [ { kept: __Host-stepgate } ], require: authenticated }
  - { name: bye, match: { path: /bye }, require: public }
  - { name: signin-out, match: { path: /signin/out }, take: [ authorization ], require: authenticated }
  - { name: any, match: { path: "/any/**" }, require: authenticated }
  - { name: public, match: { path: "/public/**" }, require: public }
"#;

/// An application that answers with the status in `X-Answer` (0: not at all) and sets what is in `X-Sets`.
pub(crate) fn application() -> Upstream {
    Upstream::that(|seen| {
        let status = seen.header("x-answer").map_or(200, |status| status.parse().unwrap());
        if status == 0 {
            return Answer::nothing();
        }
        let sets = seen.header("x-sets").map(|cookie| format!("Set-Cookie: {cookie}\r\n")).unwrap_or_default();
        Answer::status(
            status,
            &format!("Set-Cookie: own=1; Path=/\r\nCache-Control: public, max-age=60\r\n{sets}"),
            "ok",
        )
    })
}

pub(crate) fn world(more: impl FnOnce(Setup) -> Setup) -> World {
    sealed_with(&[KEY], more)
}

/// One with these keys, in files.
pub(crate) fn sealed_with(keys: &[&str], more: impl FnOnce(Setup) -> Setup) -> World {
    World::before(application(), |setup| {
        let setup = setup.policy(&World::issuers_and(ROUTES));
        let files: Vec<String> = (0..keys.len()).map(|number| format!("{{ file: seal{number}.key }}")).collect();
        let setup = setup.settings(&format!("seal: {{ keys: [ {} ] }}", files.join(", ")));
        let numbered = keys.iter().enumerate();
        more(numbered.fold(setup, |setup, (number, key)| setup.file(&format!("seal{number}.key"), &format!("{key}\n"))))
    })
}

/// The callback, with this id_token.
pub(crate) fn callback(world: &World, token: &Token) -> Request {
    Request::post("/signin", "x").host("app.example").header("X-Id-Token", &token.sign(&world.bank))
}

/// Signs in with a token that is like no other, and says what is in the cookie.
pub(crate) fn sign_in(world: &World, token: &Token) -> String {
    static SIGN_INS: AtomicUsize = AtomicUsize::new(0);
    let token = token.clone().claim("jti", SIGN_INS.fetch_add(1, Ordering::Relaxed).to_string());
    let response = world.passes(&callback(world, &token));
    kept(&response, NAME).unwrap_or_else(|| panic!("nothing was kept\n{}", response.head))
}

/// What an answer sets.
pub(crate) fn set(response: &Response) -> Vec<&str> {
    let lines = response.head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).map(|(_, value)| value).collect()
}

/// The value that an answer sets of a cookie, unless it deletes it.
pub(crate) fn kept(response: &Response, name: &str) -> Option<String> {
    let cookies = set(response);
    let mut ours = cookies.iter().filter_map(|cookie| cookie.strip_prefix(name)?.strip_prefix('='));
    let value = ours.next()?.split(';').next()?;
    assert_eq!(ours.next(), None, "one at the most: {cookies:?}");
    (!value.is_empty()).then(|| value.to_owned())
}

pub(crate) fn is_deleted(response: &Response, name: &str) -> bool {
    let gone = format!("{name}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
    set(response).contains(&gone.as_str())
}

/// A request with a kept cookie between others.
pub(crate) fn with(request: Request, value: &str) -> Request {
    request.host("app.example").header("Cookie", &format!("theme=dark; {NAME}={value}; own=1"))
}

/// The same with another bit somewhere in its middle.
pub(crate) fn flipped(value: &str) -> String {
    let (before, rest) = value.split_at(value.len() / 2);
    let other = if rest.starts_with('A') { 'B' } else { 'A' };
    format!("{before}{other}{}", &rest[1..])
}
