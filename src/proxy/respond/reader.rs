//! Who reads a refusal: a program, a gRPC client, or a person at a browser, whom a page helps more than a problem document.

use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method};
use memchr::memchr3;

use crate::policy::on_deny::{Filling, Template};
use crate::policy::{CanonicalPath, Route};
use crate::proxy::respond::problem::Wanted;
use crate::proxy::respond::{accept, grpc};

/// Who reads a refusal.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::proxy) struct Reader<'l> {
    /// Whether another reader of the same might have got another answer.
    pub(super) varies: bool,
    /// Whether it is a browser that is to show what comes.
    pub(super) is_browser: bool,
    /// Whether it is a gRPC client, which reads no HTTP status.
    pub(super) is_grpc: bool,
    /// Where it is sent if a sign-in would help.
    sign_in: Option<&'l Template>,
}

/// What was asked for: by whom, and under which URL they could come back.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Asked<'a> {
    pub(in crate::proxy) head: &'a Parts,
    /// As far as it was found.
    pub(in crate::proxy) path: Option<&'a CanonicalPath>,
    pub(in crate::proxy) public_url: Option<&'a str>,
}

impl<'l> Reader<'l> {
    /// `route`: as far as one was found.
    pub(in crate::proxy) fn of(asked: &Asked<'_>, route: Option<&'l Route>) -> Self {
        if !matches!(asked.head.method, Method::GET | Method::HEAD) {
            return Self { is_grpc: grpc::is_call(asked.head), ..Self::default() };
        }
        let is_browser = is_browser(&asked.head.headers);
        let template = route.and_then(|route| route.on_deny.as_ref()?.redirect.as_ref());
        let can_be_filled = |template: &&Template| asked.public_url.is_some() || !template.needs_public_url();
        let sign_in = template.filter(|_| is_browser && asked.path.is_some()).filter(can_be_filled);
        Self { varies: true, is_browser, is_grpc: false, sign_in }
    }

    /// Whether a refusal that a sign-in would mend sends it there.
    pub(super) fn is_sent_to_sign_in(&self) -> bool {
        self.sign_in.is_some()
    }

    /// Where it is sent.
    pub(super) fn way(&self, asked: &Asked<'_>, wanted: &Wanted<'_>) -> Option<String> {
        self.sign_in?.fill(&Filling {
            public_url: asked.public_url,
            path: asked.path?.as_str(),
            query: asked.head.uri.query(),
            acr_values: wanted.acr_values,
            max_age: wanted.max_age,
            scope: wanted.scope,
        })
    }
}

/// Whether what is answered will be shown: to one who says so by `Sec-Fetch-Mode` (which no script can write), or who wants
/// HTML more than JSON. A script's own request is never a browser's in this sense: it would follow a redirect in silence.
fn is_browser(fields: &HeaderMap) -> bool {
    // Most programs name one type alone, which can be told at a glance not to be HTML or a range with it.
    let mut accept = fields.get_all(header::ACCEPT).iter();
    let is_no_html = |line: &HeaderValue| memchr3(b'*', b'h', b'H', line.as_bytes()).is_none();
    if accept.next().is_some_and(is_no_html) && accept.all(is_no_html) {
        return false;
    }
    let [html, problem, json] = accept::weights(fields, ["text/html", "application/problem+json", "application/json"]);
    if html == 0 {
        return false;
    }
    let likes = match single(fields, &SEC_FETCH_MODE) {
        Ok(None) => html > problem.max(json),
        // It shows whatever comes, so that it need not have said what it likes best.
        Ok(Some(b"navigate")) => html >= problem.max(json),
        Ok(Some(_)) | Err(Twice) => false,
    };
    likes
        && match single(fields, &SEC_FETCH_DEST) {
            Ok(to) => to.is_none_or(|to| [&b"document"[..], b"iframe", b"frame"].contains(&to)),
            Err(Twice) => false,
        }
}

struct Twice;

fn single<'h>(fields: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h [u8]>, Twice> {
    let mut values = fields.get_all(name).iter().map(HeaderValue::as_bytes);
    match (values.next(), values.next()) {
        (one, None) => Ok(one),
        (_, Some(_)) => Err(Twice),
    }
}

static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

#[cfg(test)]
mod tests {
    use super::*;

    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    fn wants_a_page(given: &[(&'static str, &'static str)]) -> bool {
        let mut fields = HeaderMap::new();
        for (name, value) in given {
            fields.append(*name, HeaderValue::from_static(value));
        }
        is_browser(&fields)
    }

    #[test]
    fn a_browser_is_told_by_what_it_wants_and_never_a_script_of_its_page() {
        let (mode, to) = ("sec-fetch-mode", "sec-fetch-dest");
        for (given, is) in [
            (&[("accept", BROWSER)][..], true),
            (&[("accept", BROWSER), (mode, "navigate"), (to, "document")], true),
            (&[("accept", BROWSER), (mode, "navigate"), (to, "iframe")], true),
            (&[("accept", "*/*"), (mode, "navigate"), (to, "document")], true),
            (&[(mode, "navigate"), (to, "document")], true),
            (&[], false),
            (&[("accept", "*/*")], false),
            (&[("accept", "application/json")], false),
            (&[("accept", "application/json"), (mode, "navigate"), (to, "document")], false),
            (&[("accept", "text/html, application/json")], false),
            (&[("accept", "text/html;q=0.9, application/problem+json")], false),
            (&[("accept", "text/html;q=0, */*")], false),
            (&[("accept", "image/png")], false),
            (&[("accept", "image/png"), ("accept", "text/HTML")], true),
            (&[("accept", "")], false),
            (&[("accept", BROWSER), (mode, "cors"), (to, "empty")], false),
            (&[("accept", BROWSER), (mode, "same-origin")], false),
            (&[("accept", BROWSER), (mode, "no-cors"), (to, "image")], false),
            (&[("accept", BROWSER), (mode, "websocket")], false),
            (&[("accept", BROWSER), (to, "empty")], false),
            (&[("accept", BROWSER), (mode, "navigate"), (to, "object")], false),
            (&[("accept", BROWSER), (mode, "navigate"), (mode, "cors")], false),
            (&[("accept", BROWSER), (to, "document"), (to, "empty")], false),
        ] {
            assert_eq!(wants_a_page(given), is, "{given:?}");
        }
    }
}
