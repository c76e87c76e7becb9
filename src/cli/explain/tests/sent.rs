//! Random requests with cookies, kept sign-ins and posted forms.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::worlds::{Made, one, strong};
use crate::token::testing::{API, CLIENT, NOW};

/// A request, and all that it brings.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    pub(super) request: &'static str,
    /// Tokens that stand where routes look for their kind.
    pub(super) tokens: Vec<Made>,
    pub(super) kept: Option<Kept>,
    /// An id_token in the cookie `t`.
    pub(super) in_cookie: Option<Made>,
    pub(super) form: Option<Form>,
    pub(super) origin: Option<&'static str>,
}

/// A sign-in that was kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// What its token said.
    pub(super) claims: Value,
    /// How many seconds ago it was kept, and as much older is what the token says.
    pub(super) ago: i64,
    pub(super) spoilt: Spoilt,
}

/// What became of its cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoilt {
    Not,
    /// A character is another.
    Altered,
    /// It is of another host.
    OfOtherHost,
    /// Another gate sealed it.
    OfOtherKey,
    /// It was kept under a policy whose issuer had another name.
    OfOtherIssuer,
    /// It stands there twice.
    Twice,
    /// What stands there was never sealed.
    MadeUp,
    /// It is empty.
    Empty,
}

/// What is posted.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// A token under this name, between these.
    Token(Made, &'static str, &'static str, &'static str),
    /// This.
    Text(&'static str),
    /// So many bytes, with nothing in them.
    Long(usize),
}

fn kept() -> BoxedStrategy<Kept> {
    let id = || {
        let mut claims = strong();
        claims["aud"] = json!(CLIENT);
        claims
    };
    let claims = prop_oneof![
        8 => Just(id()),
        8 => one().prop_map(|(mut claims, _)| { claims["aud"] = json!(CLIENT); claims }),
        2 => one().prop_map(|(claims, _)| claims),
        1 => Just({ let mut claims = id(); claims["cnf"] = json!({ "jkt": "x" }); claims }),
        1 => Just({ let mut claims = id(); claims["scope"] = json!("s".repeat(4_000)); claims }),
    ];
    let ago = prop::sample::select(vec![0, 0, 0, 30, 700, 3_000, 3_700]);
    let spoilt = prop_oneof![
        14 => Just(Spoilt::Not),
        1 => Just(Spoilt::Altered),
        1 => Just(Spoilt::OfOtherHost),
        1 => Just(Spoilt::OfOtherKey),
        1 => Just(Spoilt::OfOtherIssuer),
        1 => Just(Spoilt::Twice),
        1 => Just(Spoilt::MadeUp),
        1 => Just(Spoilt::Empty),
    ];
    (claims, ago, spoilt).prop_map(|(claims, ago, spoilt)| Kept { claims, ago, spoilt }).boxed()
}

fn form() -> BoxedStrategy<Form> {
    let id = one().prop_map(|(mut claims, signed)| {
        claims["aud"] = json!(CLIENT);
        (claims, signed)
    });
    let good = Just({
        let mut claims = strong();
        claims["aud"] = json!(CLIENT);
        (claims, true)
    });
    let made = prop_oneof![6 => good, 6 => id, 1 => one()];
    let name = prop::sample::select(vec![
        "id_token",
        "id_token",
        "id_token",
        "id_token",
        "id%5Ftoken",
        "access_token",
        "Id_Token",
    ]);
    let before = prop::sample::select(vec!["", "", "state=x&", "state=%", "access_token=a.b.c&"]);
    let after =
        prop::sample::select(vec!["", "", "", "&iss=y", "&id_token=a", ";id_token=b", "+x", "&_charset_=latin1"]);
    let text = prop::sample::select(vec![
        "error=login_required&state=1",
        "error=login_required&state=1",
        "error=login_required&error_description=x",
        "error=access_denied",
        "error=a&code=x",
        "error=",
        "id_token=",
        "state=x",
        "id_token=%ff",
        "",
    ]);
    prop_oneof![
        10 => (made, name, before, after).prop_map(|(made, name, before, after)| Form::Token(made, name, before, after)),
        4 => text.prop_map(Form::Text),
        1 => prop::sample::select(vec![900_usize, 1_100, 5_000, 7_000]).prop_map(Form::Long),
    ]
    .boxed()
}

/// An access token beside what was kept, of one user or of two, of one session or of two.
fn paired() -> BoxedStrategy<Sent> {
    let (sid, sub) = (prop::sample::select(vec!["s1", "s2"]), prop::sample::select(vec!["u1", "u1", "u2"]));
    let one = |(sid, sub)| {
        let mut claims = strong();
        (claims["aud"], claims["sid"], claims["sub"]) = (json!(CLIENT), json!(sid), json!(sub));
        let kept = Some(Kept { claims, ago: 0, spoilt: Spoilt::Not });
        Sent { request: "GET https://app.example/both/7", tokens: vec![(strong(), true)], kept, ..Sent::default() }
    };
    (sid, sub).prop_map(one).boxed()
}

/// A request to the site where sign-ins are posted and kept.
pub(super) fn sent() -> BoxedStrategy<Sent> {
    let posted = prop::sample::select(vec![
        "POST https://app.example/signin",
        "POST https://app.example/signin",
        "POST https://app.example/signin",
        "POST https://app.example/signin?x=1",
        "POST https://app.example/signin?id_token=x",
        "POST https://app.example/signin?code=x",
        "PUT https://app.example/signin",
    ]);
    let visited = prop::sample::select(vec![
        "GET https://app.example/app/7",
        "GET https://app.example/app/7",
        "POST https://app.example/app/7",
        "GET https://app.example/app/bye",
        "GET https://app.example/both/7",
        "DELETE https://app.example/both/7",
        "GET https://app.example/logout",
        "POST https://app.example/logout",
        "GET https://app.example/elsewhere",
    ]);
    let origin = prop::sample::select(vec![
        None,
        None,
        None,
        Some("https://spa.example"),
        Some("https://evil.example"),
        Some("null"),
    ]);
    let access = prop_oneof![
        6 => Just(Vec::new()),
        2 => Just(vec![(strong(), true)]),
        // What is no access token the routes of the site look for nowhere but in a cookie.
        1 => one().prop_map(|(mut claims, signed)| {
            claims["aud"] = json!(API);
            vec![(claims, signed)]
        }),
    ];
    let in_cookie = prop::option::weighted(0.1, one());
    let posting = (posted, prop::option::weighted(0.95, form())).prop_map(|(request, form)| Sent {
        request,
        form,
        ..Sent::default()
    });
    let visiting =
        (visited, access, prop::option::weighted(0.95, kept()), in_cookie, prop::option::weighted(0.1, form()), origin);
    let visiting = visiting.prop_map(|(request, tokens, kept, in_cookie, form, origin)| Sent {
        request,
        tokens,
        kept,
        in_cookie,
        form,
        origin,
    });
    prop_oneof![4 => posting, 6 => visiting, 1 => paired()].boxed()
}

/// The same claims, so many seconds older.
pub(super) fn older(claims: &Value, seconds: i64) -> Value {
    let mut claims = claims.clone();
    for name in ["iat", "exp", "auth_time"] {
        if let Some(at) = claims[name].as_i64() {
            claims[name] = json!(at.saturating_sub(seconds));
        }
    }
    claims
}

/// The same claims as if those of the worlds, which are of another day, were made at `now`.
pub(super) fn today(claims: &Value, now: i64) -> Value {
    older(claims, NOW.seconds().saturating_sub(now))
}
