//! A request's head in, what it asks for in canonical form out; or the finding that it can't be told for certain.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};
use hyper::ext::Protocol;

use crate::config::settings::Upstream;
use crate::policy::{CanonicalPath, Denial, canonical_host};
use crate::proxy::downstream::wire::Seen;
use crate::proxy::glance::Glance;
use crate::proxy::refusal::Refusal;
use crate::reason::Reason;

fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(Denial::because(Reason::RequestMalformed), detail)
}

/// The canonical host that a request names.
///
/// # Errors
/// `request_malformed`: none, several, or one that the target contradicts.
pub(super) fn host(head: &Parts) -> Result<Cow<'_, str>, Refusal> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(malformed("not exactly one `Host`"));
    };
    let text = host.to_str().map_err(|_not_text| malformed("`Host` is not text"))?;
    let canonical = canonical_host(text).ok_or_else(|| malformed("`Host` is no host"))?;
    match head.uri.authority() {
        Some(authority) if !authority.as_str().eq_ignore_ascii_case(text) => {
            Err(malformed("`Host` differs from the host in the request target"))
        }
        // As in HTTP/2; what another scheme means by a path nobody here knows.
        Some(_) if !matches!(head.uri.scheme_str(), None | Some("http" | "https")) => Err(malformed(NO_SCHEME)),
        Some(_) | None => Ok(canonical),
    }
}

const NO_SCHEME: &str = "a scheme other than `http` and `https`";

/// Makes the head of a request in HTTP/2 what the same request's would be in HTTP/1.1, which all stages read and which is
/// forwarded: the host in `Host` (RFC 9113 section 8.3.1), the cookies in one field (section 8.2.3).
///
/// # Errors
/// `request_malformed`: a scheme that is not HTTP's; a value in blanks (section 8.2.1). In HTTP/1.1 blanks around a value are
/// none of it, so that an upstream would read a field, a token even, that was not read here.
pub(super) fn of_http2(head: &mut Parts) -> Result<(), Refusal> {
    if let Some(authority) = head.uri.authority()
        && !head.headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.insert(header::HOST, host);
    }
    if head.headers.get_all(header::COOKIE).iter().nth(1).is_some() {
        let pairs: Vec<&[u8]> = head.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
        let cookies = HeaderValue::from_bytes(&pairs.join(&b"; "[..]));
        // Values of fields, joined by what may stand in one, are the value of a field.
        head.headers.insert(header::COOKIE, cookies.map_err(|_never| malformed("the cookies cannot be joined"))?);
    }
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let in_blanks = |value: &HeaderValue| is_blank(value.as_bytes().first()) || is_blank(value.as_bytes().last());
    if head.headers.values().any(in_blanks) {
        return Err(malformed("a field's value begins or ends with a blank"));
    }
    match head.uri.scheme_str() {
        None | Some("http" | "https") => extended_connect(head),
        Some(_) => Err(malformed(NO_SCHEME)),
    }
}

/// Makes an extended CONNECT (RFC 8441) the GET with `Upgrade` that it stands for. What it asks for is told by its
/// `:protocol`, which only the HTTP/2 library can have put there.
fn extended_connect(head: &mut Parts) -> Result<(), Refusal> {
    let Some(protocol) = head.extensions.get::<Protocol>() else { return Ok(()) };
    if head.method != Method::CONNECT || head.uri.scheme().is_none() || head.uri.path_and_query().is_none() {
        return Err(malformed("`:protocol` without CONNECT, `:scheme` and `:path`"));
    }
    let upgrade = HeaderValue::from_str(protocol.as_str()).map_err(|_not_text| malformed("`:protocol` is not text"))?;
    head.headers.insert(header::UPGRADE, upgrade);
    head.method = Method::GET;
    Ok(())
}

/// The host as it was sent, for the record of a request that names none in a canonical form: cut short, and without what
/// could be a password.
pub(super) fn raw_host(head: &Parts) -> Cow<'_, str> {
    let field = head.headers.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
    let host = field.or_else(|| head.uri.host().map(Cow::Borrowed)).unwrap_or_default();
    // What is no host may be a URL that someone pasted, with a user, a password and a query in it.
    let host_alone = |text: &str| {
        let text = text.rsplit('@').next().unwrap_or_default();
        let end = text.find(['/', '?', '#']).unwrap_or(text.len());
        short(text.get(..end).unwrap_or_default()).to_owned()
    };
    Cow::Owned(host_alone(&host))
}

/// The path as it was sent, never the query, for the record of a request whose path has no canonical form: cut short.
pub(super) fn raw_path(head: &Parts) -> &str {
    short(head.uri.path())
}

fn short(text: &str) -> &str {
    const MOST: usize = 512;
    text.get(..text.floor_char_boundary(MOST)).unwrap_or(text)
}

/// Checks the rest of a head and reads its path.
///
/// # Errors
/// `request_malformed` or `path_ambiguous`.
pub(super) fn path(head: &Parts, seen: Seen) -> Result<CanonicalPath, Refusal> {
    match seen {
        Seen::Plain => {}
        Seen::Fragment => {
            return Err(Refusal::new(Denial::because(Reason::PathAmbiguous), "the request target has a `#`"));
        }
        Seen::BareLf => return Err(malformed("a line of the head ends without a CR")),
        Seen::Disagreement => return Err(malformed("the request can be read in two ways")),
    }
    check_method(&head.method)?;
    // In the form with a host that stands for `/`; by itself it is no target (RFC 9112 section 3.2.1, RFC 9113 section 8.3.1).
    let has_no_path = head.uri.path_and_query().is_some_and(|target| target.as_str().starts_with('?'));
    if has_no_path && (head.uri.authority().is_none() || head.version == Version::HTTP_2) {
        return Err(Refusal::new(
            Denial::because(Reason::PathAmbiguous),
            "the request target has no path before its query",
        ));
    }
    CanonicalPath::of_request(head.uri.path()).map_err(|ambiguity| {
        if head.method == Method::OPTIONS && head.uri.path() == "*" {
            // There is nothing ambiguous about it; but routes name paths, and what none names is refused.
            return Refusal::new(Denial::because(Reason::RouteNone), "`OPTIONS *` names no path, so no route names it");
        }
        Refusal::new(Denial::because(Reason::PathAmbiguous), ambiguity.to_string())
    })
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    if matches!(*method, Method::GET | Method::POST | Method::HEAD) {
        return Ok(());
    }
    if *method == Method::CONNECT || *method == Method::TRACE {
        return Err(malformed("CONNECT and TRACE are never forwarded"));
    }
    // Methods are case-sensitive, but not every application knows: `get` must not find a looser route than `GET`.
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS];
    let others = [Method::CONNECT, Method::TRACE];
    let disguised = |known: &Method| method != known && method.as_str().eq_ignore_ascii_case(known.as_str());
    if known.iter().chain(&others).any(disguised) {
        return Err(malformed("the method is a known one in lower case"));
    }
    Ok(())
}

/// Checks what says how long the body is, and when it is sent. hyper has refused what contradicts itself, and closes the
/// connection where a length stands beside a coding. What is left is what is lost on the way, or what others read otherwise.
///
/// # Errors
/// `request_malformed`.
pub(super) fn check_framing(head: &Parts, glance: Glance) -> Result<(), Refusal> {
    if glance.framing {
        let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
        match (codings.next(), codings.next()) {
            (None, _) => {}
            (Some(coding), None)
                if head.version == Version::HTTP_11 && coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {}
            (Some(_), _) => return Err(malformed("a transfer coding other than `chunked`")),
        }
        let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
        match (lengths.next().map(HeaderValue::as_bytes), lengths.next()) {
            // Eight to whoever takes it for octal.
            (Some([b'0', _, ..]), _) => return Err(malformed("a `Content-Length` with leading zeros")),
            (_, Some(_)) => return Err(malformed("more than one `Content-Length`")),
            (_, None) => {}
        }
    }
    // What is expected is not passed on, so it has to be what we do ourselves (RFC 9110 section 10.1.1).
    let is_known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if glance.expect && !head.headers.get_all(header::EXPECT).iter().all(is_known) {
        return Err(malformed("an `Expect` other than `100-continue`"));
    }
    Ok(())
}

/// The target as it is forwarded: the path that was judged, the query as it was sent.
pub(super) fn forwarded<'u>(path: &CanonicalPath, uri: &'u Uri) -> Result<Cow<'u, Uri>, http::uri::InvalidUri> {
    if uri.authority().is_none() && uri.path() == path.as_str() {
        return Ok(Cow::Borrowed(uri));
    }
    rewritten(path.as_str(), uri).map(Cow::Owned)
}

/// The same with the path that a route makes of the one that was judged.
pub(super) fn rewritten(path: &str, uri: &Uri) -> Result<Uri, http::uri::InvalidUri> {
    match uri.query() {
        None => path.parse(),
        Some(query) => format!("{path}?{query}").parse(),
    }
}

/// A target as HTTP/2 wants it: with scheme and authority, which is what `Host` says (RFC 9113 section 8.3.1).
pub(super) fn absolute(target: &Uri, fields: &HeaderMap, upstream: &Upstream) -> Result<Uri, http::Error> {
    let scheme = if upstream.tls.is_some() { "https" } else { "http" };
    let mut uri = Uri::builder().scheme(scheme);
    uri = match fields.get(header::HOST) {
        Some(host) => uri.authority(host.as_bytes()),
        // An old client need not have named one.
        None => uri.authority(upstream.endpoint.to_string()),
    };
    uri.path_and_query(target.path_and_query().map_or("/", PathAndQuery::as_str)).build()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::config::settings::ClientTls;

    fn head(method: &str, uri: &str, fields: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn framed(fields: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
        let head = head("POST", "/", fields);
        check_framing(&head, Glance::at(&head.headers))
    }

    fn reason<T>(outcome: Result<T, Refusal>) -> Option<Reason> {
        outcome.err().map(|refusal| refusal.denial.reason)
    }

    #[test]
    fn t6_the_host_is_one_and_canonical() {
        for (fields, is) in [
            (&[("host", "API.Example.:8443")][..], Some("api.example")),
            (&[("host", "[::1]:80")], Some("[::1]")),
            (&[], None),
            (&[("host", "a"), ("host", "a")], None),
            (&[("host", "")], None),
            (&[("host", "a b")], None),
            (&[("host", "user@a")], None),
            (&[("host", "a/b")], None),
            (&[("host", "a,b")], None),
        ] {
            assert_eq!(host(&head("GET", "/", fields)).ok().as_deref(), is, "{fields:?}");
        }
        let absolute = |uri| host(&head("GET", uri, &[("host", "a.example")])).map(Cow::into_owned);
        assert_eq!(absolute("http://A.example/x").ok().as_deref(), Some("a.example"));
        assert_eq!(reason(absolute("http://b.example/x")), Some(Reason::RequestMalformed));
        assert_eq!(reason(absolute("http://u@a.example/x")), Some(Reason::RequestMalformed));
        assert_eq!(reason(absolute("ftp://a.example/x")), Some(Reason::RequestMalformed));
    }

    #[test]
    fn a_head_in_http_2_is_read_as_one_in_http_1() {
        let mut both = head("GET", "https://a.example/x", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]);
        of_http2(&mut both).unwrap();
        assert_eq!(host(&both).ok().as_deref(), Some("a.example"));
        assert_eq!(both.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        let mut other = head("GET", "https://a.example/x", &[("host", "b.example")]);
        of_http2(&mut other).unwrap();
        assert_eq!(reason(host(&other)), Some(Reason::RequestMalformed));
        let mut user = head("GET", "https://u@a.example/x", &[]);
        of_http2(&mut user).unwrap();
        assert_eq!(reason(host(&user)), Some(Reason::RequestMalformed));
        assert_eq!(reason(of_http2(&mut head("GET", "ftp://a.example/x", &[]))), Some(Reason::RequestMalformed));
    }

    #[test]
    fn t11_an_extended_connect_is_read_as_the_get_with_upgrade_that_it_stands_for_and_nothing_else_is() {
        let with_protocol = |method, uri| {
            let mut head = head(method, uri, &[]);
            head.extensions.insert(Protocol::from_static("websocket"));
            head
        };
        let mut whole = with_protocol("CONNECT", "https://a.example/x?y");
        of_http2(&mut whole).unwrap();
        assert_eq!((&whole.method, &whole.headers["upgrade"]), (&Method::GET, &"websocket".parse().unwrap()));
        for (method, uri) in
            [("GET", "https://a.example/x"), ("POST", "https://a.example/x"), ("CONNECT", "a.example:80")]
        {
            assert_eq!(
                reason(of_http2(&mut with_protocol(method, uri))),
                Some(Reason::RequestMalformed),
                "{method} {uri}"
            );
        }
        let mut plain = head("CONNECT", "a.example:80", &[]);
        of_http2(&mut plain).unwrap();
        assert_eq!(reason(path(&plain, Seen::Plain)), Some(Reason::RequestMalformed));
    }

    #[test]
    fn t11_methods_that_are_never_forwarded_are_refused() {
        for method in ["TRACE", "get", "Post", "trace"] {
            assert_eq!(reason(path(&head(method, "/", &[]), Seen::Plain)), Some(Reason::RequestMalformed), "{method}");
        }
        for method in ["GET", "PROPFIND", "purge"] {
            assert_eq!(reason(path(&head(method, "/", &[]), Seen::Plain)), None, "{method}");
        }
        assert_eq!(reason(path(&head("OPTIONS", "*", &[]), Seen::Plain)), Some(Reason::RouteNone));
        assert_eq!(reason(path(&head("GET", "*", &[]), Seen::Plain)), Some(Reason::PathAmbiguous));
    }

    #[test]
    fn t17_a_coding_that_would_be_lost_is_refused() {
        for (fields, refused) in [
            (&[("transfer-encoding", "chunked")][..], false),
            (&[("transfer-encoding", "Chunked")], false),
            (&[("transfer-encoding", "gzip, chunked")], true),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], true),
            (&[("content-length", "10")], false),
            (&[("content-length", "0")], false),
            (&[("content-length", "010")], true),
            (&[("content-length", "00")], true),
            (&[("content-length", "1"), ("content-length", "1")], true),
            (&[("expect", "100-Continue")], false),
            (&[("expect", "100-continue, x")], true),
            (&[("expect", "100-continue"), ("expect", "")], true),
            (&[("expect", "200-ok")], true),
        ] {
            assert_eq!(reason(framed(fields)).is_some(), refused, "{fields:?}");
        }
    }

    #[test]
    fn over_http_2_the_host_that_was_judged_is_the_authority() {
        let plain = Upstream::plain("app".into(), "10.0.0.1".into(), 80);
        let tls = Upstream { tls: Some(ClientTls::default()), ..plain.clone() };
        for (upstream, fields, is) in [
            (&plain, &[("host", "api.example:8080")][..], "http://api.example:8080/a?b"),
            (&tls, &[("host", "[::1]")], "https://[::1]/a?b"),
            (&plain, &[], "http://10.0.0.1:80/a?b"),
        ] {
            let head = head("GET", "/a?b", fields);
            assert_eq!(absolute(&head.uri, &head.headers, upstream).unwrap().to_string(), is);
        }
    }

    #[test]
    fn t7_the_query_is_forwarded_as_it_was_sent_and_never_judged() {
        for (uri, is) in [
            ("/a/../b?x=%2e%2e/&y", "/b?x=%2e%2e/&y"),
            ("/b?", "/b?"),
            ("http://a.example/%61", "/a"),
            ("http://a.example", "/"),
        ] {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(*forwarded(&CanonicalPath::parse(uri.path()).unwrap(), &uri).unwrap(), is);
        }
    }
}
