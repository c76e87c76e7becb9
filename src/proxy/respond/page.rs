//! A refusal as a page, which people read: what the challenge says, in plain words and no more, and an id to quote.

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};

use crate::proxy::challenge::STEP_UP;
use crate::proxy::respond::face::Face;
use crate::proxy::respond::problem::Wanted;
use crate::reason::Reason;
use crate::telemetry::json;

/// The page. Everything that is not one of our own words is escaped.
pub(super) fn text(face: Face, reason: Reason, id: &HeaderValue, wanted: &Wanted<'_>) -> String {
    let Words { title, text: words } = words(face);
    let mut text = begin(title);
    text.push_str("<p>");
    text.push_str(words);
    text.push_str("</p>\n");
    if is_told(face) {
        text.push_str("<p>");
        escape(&mut text, reason.meaning());
        text.push_str(".</p>\n");
    }
    list(&mut text, "Kind of sign-in asked for, any one of", wanted.acr_values);
    if let Some(max_age) = wanted.max_age {
        text.push_str("<p>Seconds since the sign-in, at most: <code>");
        json::number(&mut text, max_age.into());
        text.push_str("</code></p>\n");
    }
    list(&mut text, "Permissions asked for", wanted.scope);
    end(&mut text, id);
    text
}

/// Whether the reason adds something: where it is about the sign-in, the words say all that may be said.
fn is_told(face: Face) -> bool {
    face.named && !matches!(face.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

fn list(text: &mut String, what: &str, values: &[&str]) {
    if values.is_empty() {
        return;
    }
    text.push_str("<p>");
    text.push_str(what);
    text.push(':');
    for value in values {
        text.push_str(" <code>");
        escape(text, value);
        text.push_str("</code>");
    }
    text.push_str("</p>\n");
}

/// What people are told of a status.
struct Words {
    title: &'static str,
    text: &'static str,
}

fn words(face: Face) -> Words {
    let of = |title, text| Words { title, text };
    match (face.status, face.error) {
        (StatusCode::UNAUTHORIZED, None) => of("Sign in first", "This page is for people who are signed in."),
        (_, Some(STEP_UP)) => of(
            "Sign in again",
            "This page asks for a stronger or more recent sign-in than yours. Sign in again, in the way that it asks for.",
        ),
        (StatusCode::UNAUTHORIZED, Some(_)) => {
            of("Sign in again", "Your sign-in is not accepted here. It may have ended: sign in again.")
        }
        (StatusCode::FORBIDDEN, Some(_)) => of(
            "Permission is missing",
            "You are signed in, and what you allowed the application does not cover this page.",
        ),
        (StatusCode::FORBIDDEN, None) => of(
            "You may not open this page",
            "Signing in again in the same way would not change that. If you think it should be open to you, ask whoever \
             runs this service.",
        ),
        (StatusCode::PAYLOAD_TOO_LARGE, _) => of("Too much was sent", "The request is larger than this service takes."),
        (StatusCode::SERVICE_UNAVAILABLE, _) => {
            of("Not available at the moment", "This service cannot answer right now. Try again in a moment.")
        }
        (StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT, _) => of(
            "The application does not answer",
            "The application behind this address does not answer. Try again later.",
        ),
        (_, _) => of("The request was not understood", "What your browser sent could not be taken as it is."),
    }
}

/// The beginning of a page, up to and with its heading.
pub(super) fn begin(title: &str) -> String {
    let mut text = String::with_capacity(PAGE);
    text.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    text.push_str("<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    escape(&mut text, title);
    text.push_str("</title>\n<style>");
    text.push_str(STYLE);
    text.push_str("</style>\n</head>\n<body>\n<h1>");
    escape(&mut text, title);
    text.push_str("</h1>\n");
    text
}

/// The end of a page, with the request's id.
pub(super) fn end(text: &mut String, id: &HeaderValue) {
    text.push_str("<p class=\"id\">If you ask for help, quote this number: <code>");
    escape(text, &String::from_utf8_lossy(id.as_bytes()));
    text.push_str("</code></p>\n</body>\n</html>\n");
}

/// Adds what a page has in its head besides what every refusal has: nothing is loaded or run, and nobody else frames it.
pub(super) fn add_fields(fields: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, SECURITY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
}

/// Adds a text as HTML shows it, between tags and within quotes.
pub(super) fn escape(text: &mut String, plain: &str) {
    for c in plain.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            c => text.push(c),
        }
    }
}

const STYLE: &str = "body{max-width:34rem;margin:15vh auto 0;padding:0 1.5rem;font:1.05rem/1.5 system-ui,sans-serif;\
color:#1b1f24;background:#fff}h1{font-size:1.5rem}code{overflow-wrap:anywhere}.id{margin-top:2.5rem;color:#57606a;\
font-size:.9rem}@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}.id{color:#9198a1}a{color:#79b8ff}}";

/// The style is allowed by its hash, and nothing else is.
const SECURITY: &str = "default-src 'none'; style-src 'sha256-aY68N6Vyvj4UMD9K+0+X2QIMbqp6lY+4hs2IQk0M1j4='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the usual page has room in.
const PAGE: usize = 1536;

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn the_one_style_that_is_allowed_is_the_pages_own() {
        let hash = STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
        assert!(SECURITY.contains(&format!("style-src 'sha256-{hash}';")), "{hash}");
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains('<'));
    }

    #[test]
    fn whatever_is_filled_in_stays_text() {
        let face = Face { status: StatusCode::UNAUTHORIZED, error: Some("e"), challenged: true, named: false };
        let hostile = "</code><script>alert('1')</script>\"&";
        let id = HeaderValue::from_bytes(b"<b>\"\xff").unwrap();
        let wanted =
            Wanted { acr_values: &[hostile, "fine"], max_age: Some(300), scope: &[hostile], ..Wanted::default() };
        let page = text(face, Reason::LevelTooLow, &id, &wanted);
        let escaped = "&lt;/code&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;";
        assert_eq!(page.matches(escaped).count(), 2, "{page}");
        assert!(page.contains("<code>fine</code>") && page.contains("<code>300</code>"));
        assert!(page.contains("<code>&lt;b&gt;&quot;\u{fffd}</code>"));
        assert!(!page.contains("<script") && !page.contains("<b>"));
        assert!(page.is_ascii() || page.contains('\u{fffd}'));
    }

    #[test]
    fn every_refusal_has_words_of_its_own_and_the_reason_stands_there_only_where_it_may_be_named() {
        let mut titles = std::collections::BTreeSet::new();
        for reason in Reason::ALL {
            for step_up in [None, Some(crate::policy::StepUp::default())] {
                let face = crate::proxy::respond::face::face_of(*reason, step_up.as_ref());
                let page = text(face, *reason, &HeaderValue::from_static("id-1"), &Wanted::default());
                let mut meaning = String::new();
                escape(&mut meaning, reason.meaning());
                assert_eq!(page.contains(&meaning), is_told(face), "{reason}");
                assert!(face.named || !is_told(face));
                assert!(!page.contains(reason.code()), "{reason}: a code is for programs");
                titles.insert(words(face).title);
            }
        }
        assert_eq!(titles.len(), 8, "{titles:?}");
    }

    #[test]
    fn a_page_runs_and_loads_nothing() {
        for reason in Reason::ALL {
            let face = crate::proxy::respond::face::face_of(*reason, None);
            let page = text(face, *reason, &HeaderValue::from_static("id-1"), &Wanted::default());
            for outside in ["<script", "http", "src=", "<link", "url(", "<img", "<form", " on"] {
                let bare = page.replace("font:", "");
                assert!(
                    !bare.contains(outside) || outside == " on" && !bare.contains("=\"on"),
                    "{reason}: {outside}\n{page}"
                );
            }
        }
    }
}
