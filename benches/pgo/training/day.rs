//! What is sent in a day, by how often gates see it.

use http::Method;

use super::client::Ask;
use super::gate::Door;
use super::tokens::{BANK, CLUB, Tokens};
use super::{Amount, Failure};

/// Requests of one kind.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) door: Door,
    /// Those that are sent, one after another and again from the first.
    pub(crate) circle: Vec<Ask>,
    pub(crate) count: usize,
}

/// Each part in its turn. What lasts longest, and is to be laid out best, is a known token on a connection that is kept.
pub(crate) fn parts(tokens: &Tokens, amount: Amount) -> Result<Vec<Part>, Failure> {
    let mut parts = Vec::new();
    let mut add = |name, door, whole, circle: Vec<Ask>| {
        // Each of them once, whatever the amount.
        let count = amount.of(whole).max(circle.len());
        parts.push(Part { name, door, circle, count });
    };
    let usual = tokens.usual()?;
    let hot = Ask::get("/accounts/7").bearer(&usual)?;
    let club = Ask::get("/methods/7").bearer(&tokens.strong(CLUB, 1)?)?;
    add("one token, RS256", Door::Http1, 40_000, vec![hot.clone()]);
    add("one token, ES256", Door::Http1, 10_000, vec![club.clone()]);
    add("the fields that browsers send", Door::Http1, 8_000, vec![talkative(hot.clone())?]);
    add("a public route", Door::Http1, 6_000, vec![Ask::get("/open/7"), Ask::get("/healthz")]);

    let circle = |issuer, from, whole, path: &str| -> Result<Vec<Ask>, Failure> {
        tokens.many(issuer, from, amount.of(whole))?.iter().map(|token| Ask::get(path).bearer(token)).collect()
    };
    add("1,000 tokens in a circle", Door::Http1, 10_000, circle(BANK, 1_000, 1_000, "/accounts/7?page=2&size=20")?);
    add("new tokens, RS256", Door::Http1, 1_500, circle(BANK, 10_000, 1_500, "/accounts/7")?);
    add("new tokens, ES256", Door::Http1, 1_500, circle(CLUB, 20_000, 1_500, "/methods/7")?);
    refused(tokens, amount, &mut add)?;

    let [post, put, delete] = [Method::POST, Method::PUT, Method::DELETE]
        .map(|method| Ask::get("/transfers/7").method(method).bearer(&usual));
    let (post, put, delete) = (post?.expects(201)?, put?, delete?.expects(204)?);
    add("POST of 1 KiB, PUT, DELETE", Door::Http1, 6_000, vec![post.clone().body(1 << 10), put.body(1 << 10), delete]);
    add("POST of 100 KiB", Door::Http1, 400, vec![post.body(100 << 10)]);
    let answered = |path: &str, status| Ask::get(path).bearer(&usual)?.expects(status);
    add("answers in chunks", Door::Http1, 3_000, vec![answered("/accounts/stream/7", 200)?]);
    add("answers of 64 KiB", Door::Http1, 800, vec![answered("/accounts/large/7", 200)?]);
    let failed = vec![answered("/accounts/gone/7", 404)?, answered("/accounts/broken/7", 500)?];
    add("answers that tell of failures", Door::Http1, 1_500, failed);
    add("HEAD", Door::Http1, 500, vec![hot.clone().method(Method::HEAD)]);
    let cookie = |name, value: String| talkative(Ask::get("/portal/home").header(name, &value)?);
    let id = tokens.id(1)?;
    add("an id_token in a cookie", Door::Http1, 3_000, vec![cookie("cookie", format!("theme=dark; portal_id={id}"))?]);
    add("an id_token in a field", Door::Http1, 1_000, vec![cookie("x-id-token", id)?]);
    add("an upstream in HTTP/2", Door::Http1, 3_000, vec![Ask::get("/ledger/7").bearer(&usual)?]);

    let mixed = [hot.clone(), talkative(hot)?, club, answered("/accounts/stream/7", 200)?, answered("/ledger/7", 200)?];
    add("HTTP/2", Door::Http2, 10_000, mixed.to_vec());
    add("TLS", Door::Tls, 4_000, mixed.to_vec());
    add("HTTP/2 in TLS", Door::TlsHttp2, 4_000, mixed.to_vec());
    add(
        "metrics and readiness",
        Door::Admin,
        20,
        vec![Ask::get("/metrics"), Ask::get("/readyz?verbose"), Ask::get("/livez")],
    );
    Ok(parts)
}

/// What never reaches the upstream.
fn refused(
    tokens: &Tokens,
    amount: Amount,
    add: &mut impl FnMut(&'static str, Door, usize, Vec<Ask>),
) -> Result<(), Failure> {
    let path = "/accounts/7";
    let with = |token: &str| Ask::get(path).bearer(token)?.expects(401);
    let several = |made: &dyn Fn(usize) -> Result<String, Failure>| -> Result<Vec<Ask>, Failure> {
        (0..amount.of(50)).map(|user| with(&made(user)?)).collect()
    };
    add("too weak a sign-in", Door::Http1, 10_000, vec![with(&tokens.weak(1)?)?]);
    add("no token", Door::Http1, 3_000, vec![Ask::get(path).expects(401)?]);
    add("expired", Door::Http1, 1_500, several(&|user| tokens.expired(user))?);
    add("forged", Door::Http1, 1_500, several(&|user| tokens.forged(user))?);
    add("for somebody else", Door::Http1, 500, several(&|user| tokens.of_others(user))?);
    add("not a token", Door::Http1, 500, vec![with("not-a-token")?]);
    let nowhere = ["/", "/accountz/7", "/services-1/resources-9", "/a/b/c/d/e/f/g"];
    let nowhere = nowhere.into_iter().map(|path| Ask::get(path).expects(403)).collect::<Result<_, _>>()?;
    add("no such route", Door::Http1, 3_000, nowhere);
    add("a page for a browser", Door::Http1, 500, vec![Ask::page("/portal/home").expects(401)?]);
    Ok(())
}

/// With the fields that browsers and load balancers add.
fn talkative(ask: Ask) -> Result<Ask, Failure> {
    let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
    let fields = [
        ("user-agent", agent),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
        ("referer", "https://app.example/accounts"),
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "same-site"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "4f8a1f0e-6c1d-4d6e-9b8b-2f0f4a1c9d11"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    fields.into_iter().try_fold(ask, |ask, (name, value)| ask.header(name, value))
}
