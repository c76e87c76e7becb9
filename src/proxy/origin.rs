//! The origin rule for cookies: a browser sends them along whoever made it send the request, so for requests that change
//! something, somebody has to say that the page that made it is ours.

use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, Method};

use crate::policy::{Denial, Origins};
use crate::proxy::edge::forwarded::Scheme;
use crate::proxy::refusal::Refusal;
use crate::reason::Reason;

/// What this gate's own origin is to clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own<'a> {
    /// The configured one.
    pub(super) public_url: Option<&'a str>,
    /// Without it: how the client speaks, to the host that the request names.
    pub(super) scheme: Scheme,
}

/// Checks where a request that brings a token in a cookie was made.
///
/// # Errors
/// `origin_refused`: it can change something, and was not made by a page of an origin that the route takes it from.
pub(super) fn check(head: &Parts, origins: &Origins, own: Own<'_>) -> Result<(), Refusal> {
    let safe = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if safe && !head.headers.contains_key(header::UPGRADE) {
        return Ok(());
    }
    if is_taken(&head.headers, origins, own) {
        return Ok(());
    }
    let detail = "a cookie came with an unsafe method, and neither `Origin` nor `Sec-Fetch-Site` names an origin it is taken from";
    Err(Refusal::new(Denial::because(Reason::OriginRefused), detail))
}

/// A browser that sends `Sec-Fetch-Site` knows whether the origins are the same, and no page can write the field. Without
/// it `Origin` is compared. A request with neither was made by no browser that can be told apart from a forged one.
fn is_taken(fields: &HeaderMap, origins: &Origins, own: Own<'_>) -> bool {
    let (Ok(site), Ok(origin)) = (single(fields, &SEC_FETCH_SITE), single(fields, &header::ORIGIN)) else {
        return false;
    };
    let listed = |origin: &str| match origins {
        Origins::Same => false,
        Origins::Listed(listed) => listed.iter().any(|listed| listed.eq_ignore_ascii_case(origin)),
    };
    match (site, origin) {
        (_, Some(origin)) if listed(origin) => true,
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => is_own(origin, fields, own),
        (None, None) => false,
    }
}

fn is_own(origin: &str, fields: &HeaderMap, own: Own<'_>) -> bool {
    if let Some(url) = own.public_url {
        // Of the URL, which may have a path, the scheme and the authority.
        let end = url.find("://").and_then(|scheme| {
            let authority = scheme.saturating_add(3);
            url.get(authority..)?.find('/').map(|slash| authority.saturating_add(slash))
        });
        return url.get(..end.unwrap_or(url.len())).is_some_and(|own| own.eq_ignore_ascii_case(origin));
    }
    let host = fields.get(header::HOST).and_then(|host| host.to_str().ok());
    let default = format!(":{}", own.scheme.port());
    let authority = origin.strip_prefix(own.scheme.name()).and_then(|rest| rest.strip_prefix("://"));
    let without_port = |authority: &'_ str| authority.strip_suffix(&*default).unwrap_or(authority).to_ascii_lowercase();
    authority.map(without_port).is_some_and(|own| host.map(without_port) == Some(own))
}

/// The one value of a field; an error if there are several or it is not text.
fn single<'h>(fields: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    let mut values = fields.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_not_text| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn taken(
        method: &str,
        fields: &[(&'static str, &'static str)],
        origins: &Origins,
        public_url: Option<&str>,
    ) -> bool {
        let mut request = Request::builder().method(method).header("host", "app.example");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let own = Own { public_url, scheme: Scheme::Http };
        check(&request.body(()).unwrap().into_parts().0, origins, own).is_ok()
    }

    #[test]
    fn the_own_origin_has_the_scheme_that_the_client_speaks() {
        let taken = |origin: &str, host: &str, scheme| {
            let request = Request::builder().method("POST").header("host", host).header("origin", origin);
            let own = Own { public_url: None, scheme };
            check(&request.body(()).unwrap().into_parts().0, &Origins::Same, own).is_ok()
        };
        for (origin, host, https, http) in [
            ("https://app.example", "app.example", true, false),
            ("http://app.example", "app.example", false, true),
            ("https://app.example", "APP.example:443", true, false),
            ("https://app.example:443", "app.example", true, false),
            ("https://app.example:80", "app.example", false, false),
            ("https://app.example:8443", "app.example:8443", true, false),
            ("https://app.example", "app.example:8443", false, false),
            ("https:app.example", "app.example", false, false),
        ] {
            assert_eq!(taken(origin, host, Scheme::Https), https, "{origin} {host}");
            assert_eq!(taken(origin, host, Scheme::Http), http, "{origin} {host}");
        }
    }

    #[test]
    fn an_unsafe_request_with_a_cookie_must_come_from_the_same_origin() {
        for (fields, expected) in [
            (&[("origin", "http://app.example")][..], true),
            (&[("origin", "http://APP.example:80")], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://app.example")], true),
            (&[], false),
            (&[("origin", "null")], false),
            (&[("origin", "http://evil.example")], false),
            (&[("origin", "https://app.example")], false),
            (&[("origin", "http://app.example.evil")], false),
            (&[("origin", "http://app.example:8080")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://app.example")], false),
            (&[("origin", "http://app.example"), ("origin", "http://evil.example")], false),
        ] {
            assert_eq!(taken("POST", fields, &Origins::Same, None), expected, "{fields:?}");
        }
    }

    #[test]
    fn safe_methods_are_free_and_upgrades_are_not() {
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(taken(method, &[], &Origins::Same, None), "{method}");
        }
        assert!(!taken("GET", &[("upgrade", "websocket")], &Origins::Same, None));
        assert!(!taken("DELETE", &[], &Origins::Same, None));
    }

    #[test]
    fn listed_origins_and_the_public_url_are_taken() {
        let listed = Origins::Listed(["https://spa.example".into()].into());
        assert!(taken("POST", &[("origin", "https://spa.example"), ("sec-fetch-site", "cross-site")], &listed, None));
        assert!(!taken("POST", &[("origin", "https://spa.example.evil")], &listed, None));
        let public = Some("https://app.example/base");
        assert!(taken("POST", &[("origin", "https://app.example")], &Origins::Same, public));
        assert!(!taken("POST", &[("origin", "http://app.example")], &Origins::Same, public));
    }
}
