use http::Request;

use super::*;
use crate::policy::{Allowances, HostPattern, Kinds, Match, Methods, Origins, PathPattern, Requirement};
use crate::proxy::edge::forwarded::Scheme;

#[test]
fn a_token_that_came_before_is_looked_at_like_any_other() {
    let reason = |token: &[u8], limit| checked(token, limit).err().map(|refusal| refusal.denial.reason);
    for _ in 0..2 {
        assert_eq!(reason(b"aaaa.bbbb.cccccccccccc", 100), None);
        assert_eq!(checked(b"aaab.bbbb.cccccccccccc", 100).unwrap().expose(), "aaab.bbbb.cccccccccccc");
        assert_eq!(reason(b"aa a.bbbb.cccccccccccc", 100), Some(Reason::TokenMalformed), "the same end");
        assert_eq!(reason(b"aaaa.bbbb.cccccccccccc", 10), Some(Reason::TokenTooLarge));
    }
}

fn route(places: impl IntoIterator<Item = Place>) -> Route {
    let source = |place| TokenSource { place, kinds: Kinds::Any };
    Route {
        take: places.into_iter().map(source).collect(),
        ..Route::new(
            "r",
            Match {
                hosts: [HostPattern::Any].into(),
                path: PathPattern::parse("/**").unwrap(),
                path_written: "/**".into(),
                methods: Methods::Any,
                ignore_case: false,
                allows: Allowances::default(),
            },
            Requirement::Authenticated,
        )
    }
}

fn all_places() -> Route {
    route([Place::Authorization, Place::Header("x-id".into()), Place::Cookie("t".into(), Origins::Same)])
}

fn taken(method: &str, uri: &str, fields: &[(&'static str, &str)]) -> Result<Vec<String>, Reason> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let head = request.body(()).unwrap().into_parts().0;
    let own = origin::Own { public_url: None, scheme: Scheme::Http };
    match credentials(&all_places(), &head, 8, own, Posted::Unseen(Ok(()))) {
        Ok(found) => Ok(found.iter().map(|found| found.credential.expose().to_owned()).collect()),
        Err(refusal) => Err(refusal.denial.reason),
    }
}

#[test]
fn what_a_token_is_written_in_is_told_byte_by_byte() {
    for byte in 0..=u8::MAX {
        let expected = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        assert_eq!(all_legal(&[b'a', byte, b'a']), expected, "{byte:#x}");
    }
}

#[test]
fn tokens_are_taken_from_where_the_route_looks() {
    for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c", "DPoP a.b.c", "dpop a.b.c"] {
        assert_eq!(taken("GET", "/", &[("authorization", value)]), Ok(vec!["a.b.c".into()]), "{value}");
    }
    assert_eq!(taken("GET", "/", &[("x-id", "a.b.c")]), Ok(vec!["a.b.c".into()]));
    assert_eq!(taken("GET", "/", &[("cookie", "s=1; t=a.b.c;u")]), Ok(vec!["a.b.c".into()]));
    assert_eq!(taken("GET", "/", &[("cookie", "s=1"), ("cookie", "t=a.b=")]), Ok(vec!["a.b=".into()]));
    assert_eq!(taken("GET", "/", &[("authorization", "Bearer a"), ("x-id", "b")]), Ok(vec!["a".into(), "b".into()]));
}

#[test]
fn what_is_no_token_is_none() {
    for fields in [
        &[][..],
        &[("authorization", "Basic dTpw")],
        &[("authorization", "Bearerx")],
        &[("cookie", "T=a.b.c")],
        &[("cookie", "tt=a.b.c")],
        &[("cookie", "t=")],
        &[("x-id", "")],
        &[("x-other", "a.b.c")],
    ] {
        assert_eq!(taken("GET", "/", fields), Err(Reason::TokenMissing), "{fields:?}");
    }
    assert_eq!(taken("GET", "/?access_token=a.b.c", &[]), Err(Reason::TokenMissing), "the query is never read");
}

#[test]
fn t24_two_tokens_in_one_place_are_refused_even_if_equal() {
    for fields in [
        &[("authorization", "Bearer a"), ("authorization", "Bearer a")][..],
        &[("authorization", "Bearer a"), ("authorization", "Basic dTpw")],
        &[("x-id", "a"), ("x-id", "b")],
        &[("cookie", "t=a; t=b")],
        &[("cookie", "t=a"), ("cookie", "t=a")],
    ] {
        assert_eq!(taken("GET", "/", fields), Err(Reason::TokenDuplicate), "{fields:?}");
    }
}

#[test]
fn what_cannot_be_a_token_is_malformed_or_too_large() {
    for value in
        ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer \"a\"", "Bearer\ta", "Bearer ==", "Bearer a=b"]
    {
        assert_eq!(taken("GET", "/", &[("authorization", value)]), Err(Reason::TokenMalformed), "{value}");
    }
    assert_eq!(taken("GET", "/", &[("x-id", "Bearer a")]), Err(Reason::TokenMalformed));
    assert_eq!(taken("GET", "/", &[("cookie", "t=\"a\"")]), Err(Reason::TokenMalformed));
    assert_eq!(taken("GET", "/", &[("authorization", "Bearer 12345678")]), Ok(vec!["12345678".into()]));
    assert_eq!(taken("GET", "/", &[("authorization", "Bearer 123456789")]), Err(Reason::TokenTooLarge));
}

#[test]
fn of_several_faults_the_first_reason_is_told() {
    let fields = [("authorization", "Bearer a b"), ("x-id", "123456789"), ("cookie", "t=a; t=b")];
    assert_eq!(taken("GET", "/", &fields), Err(Reason::TokenDuplicate));
    assert_eq!(taken("GET", "/", &fields[..2]), Err(Reason::TokenTooLarge));
    let foreign = |cookie| taken("POST", "/", &[("cookie", cookie), ("origin", "https://evil.example")]);
    assert_eq!(foreign("t=a"), Err(Reason::OriginRefused));
    assert_eq!(foreign("t=123456789"), Err(Reason::TokenTooLarge));
    assert_eq!(foreign("t=a b"), Err(Reason::OriginRefused));
}

#[test]
fn of_the_cookies_only_those_go_that_are_named() {
    let mut fields = HeaderMap::new();
    let other = |fields: &HeaderMap| other_cookies(fields, |name| name == b"t");
    assert_eq!(other(&fields), None);
    fields.append(header::COOKIE, HeaderValue::from_static(" t=a.b.c ;;"));
    assert_eq!(other(&fields), None, "where none is left there is no field");
    fields.append(header::COOKIE, HeaderValue::from_static("s=1; t=a.b.c; u=2; tt=4; T=5; t"));
    fields.append(header::COOKIE, HeaderValue::from_static("v=3"));
    assert_eq!(other(&fields).unwrap(), "s=1; u=2; tt=4; T=5; t; v=3");
}
