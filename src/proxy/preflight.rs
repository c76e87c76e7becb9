//! Which requests are preflights: those that browsers make, by the Fetch standard, and nothing that only looks like one.
//!
//! Whether one passes is the policy's to say. What is not certainly a preflight is judged as any other request.

use http::HeaderMap;
use http::header::{self, HeaderName};
use http::request::Parts;

use crate::config::matches::is_token;
use crate::policy::{Permit, Place, Policy, Route, Target, judge_preflight};

/// Judges a request with OPTIONS, if it is a preflight. `length`: that of its body, where it is announced.
pub(super) fn judge<'p>(
    head: &Parts,
    length: Option<u64>,
    policy: &'p Policy,
    target: &Target<'_>,
) -> Option<(usize, &'p Route, Permit)> {
    let asked = asked(&head.headers, length)?;
    let found = judge_preflight(policy, target, asked)?;
    // A browser writes no field of a page into a preflight, so that one of these is somebody's token.
    let brings_token = found
        .1
        .take
        .iter()
        .any(|source| matches!(&source.place, Place::Header(name) if head.headers.contains_key(&**name)));
    (!brings_token).then_some(found)
}

/// The method that a preflight asks for; `None`: it is none. It names an origin and a method, each once, and has neither a
/// body nor credentials.
fn asked(fields: &HeaderMap, length: Option<u64>) -> Option<&str> {
    if length != Some(0) || NEVER.iter().any(|name| fields.contains_key(name)) {
        return None;
    }
    let origin = single(fields, &header::ORIGIN)?;
    let is_origin = origin == "null"
        || origin.split_once("://").is_some_and(|(scheme, host)| !scheme.is_empty() && !host.is_empty())
            && origin.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    single(fields, &header::ACCESS_CONTROL_REQUEST_METHOD).filter(|method| is_origin && is_token(method))
}

/// The one value of a field, where it is text.
fn single<'h>(fields: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = fields.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(only), None) => only.to_str().ok(),
        (_, _) => None,
    }
}

/// What no preflight has: credentials, and what would make more of a connection than an answer.
static NEVER: [HeaderName; 4] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION, header::UPGRADE];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_preflight_is_what_browsers_send_and_nothing_else() {
        let (origin, method) = (("origin", "https://app.example"), ("access-control-request-method", "POST"));
        let ask = |given: &[(&'static str, &'static str)], length| {
            let mut fields = HeaderMap::new();
            for (name, value) in given {
                fields.append(*name, HeaderValue::from_static(value));
            }
            asked(&fields, length).map(str::to_owned)
        };
        for given in [
            &[origin, method][..],
            &[("origin", "null"), method],
            &[("origin", "http://localhost:3000"), method, ("access-control-request-headers", "authorization")],
        ] {
            assert_eq!(ask(given, Some(0)).as_deref(), Some("POST"), "{given:?}");
        }
        for given in [
            &[origin][..],
            &[method],
            &[],
            &[origin, origin, method],
            &[origin, method, method],
            &[("origin", ""), method],
            &[("origin", "app.example"), method],
            &[("origin", "https://"), method],
            &[("origin", "https://a.example, https://b.example"), method],
            &[origin, ("access-control-request-method", "")],
            &[origin, ("access-control-request-method", "POST, PUT")],
            &[origin, method, ("authorization", "Bearer x")],
            &[origin, method, ("cookie", "a=b")],
            &[origin, method, ("proxy-authorization", "Basic eA==")],
            &[origin, method, ("upgrade", "websocket")],
        ] {
            assert_eq!(ask(given, Some(0)), None, "{given:?}");
        }
        for length in [None, Some(1)] {
            assert_eq!(ask(&[origin, method], length), None, "it has a body: {length:?}");
        }
    }
}
