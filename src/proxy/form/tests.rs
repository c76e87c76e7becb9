use http::HeaderValue;
use http::header::HeaderName;
use proptest::prelude::*;

use super::*;
use crate::policy::{HostPattern, Kinds, Match, Methods, Mode, Origins, PathPattern, Requirement, TokenSource};

fn form(body: &str) -> Result<Form, Reason> {
    asked(body, None)
}

fn asked(body: &str, query: Option<&str>) -> Result<Form, Reason> {
    Form::parse(Bytes::copy_from_slice(body.as_bytes()), query).map_err(|refusal| refusal.denial.reason)
}

fn token(body: &str) -> Result<Option<String>, Reason> {
    token_of(&form(body)?)
}

fn token_of(form: &Form) -> Result<Option<String>, Reason> {
    let token = form.token("id_token").map_err(|refusal| refusal.denial.reason)?;
    Ok(token.map(|token| String::from_utf8(token.to_vec()).unwrap()))
}

fn fields(given: &[(&'static str, &'static str)]) -> HeaderMap {
    given.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

#[test]
fn a_form_is_urlencoded_in_utf8_and_nothing_else_is_one() {
    const FORM: &str = "application/x-www-form-urlencoded";
    for written in [
        FORM,
        "Application/X-WWW-Form-URLEncoded",
        "application/x-www-form-urlencoded;charset=utf-8",
        "application/x-www-form-urlencoded ; Charset=\"UTF-8\";",
    ] {
        assert!(check_type(&fields(&[("content-type", written)])).is_ok(), "{written}");
    }
    for written in [
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
        "",
        "application/x-www-form-urlencoded2",
        "application/x-www-form-urlencoded, application/json",
        "application/x-www-form-urlencoded; charset=iso-8859-1",
        "application/x-www-form-urlencoded; charset=utf-7; charset=utf-8",
        "application/x-www-form-urlencoded; charset=\"utf-8",
        "application/x-www-form-urlencoded; charset",
        "application/x-www-form-urlencoded; boundary=x",
    ] {
        assert!(check_type(&fields(&[("content-type", written)])).is_err(), "{written}");
    }
    assert!(check_type(&fields(&[])).is_err(), "nothing says what it is");
    assert!(check_type(&fields(&[("content-type", FORM), ("content-type", FORM)])).is_err(), "it is said twice");
    for coding in ["gzip", "identity", ""] {
        assert!(check_type(&fields(&[("content-type", FORM), ("content-encoding", coding)])).is_err(), "{coding}");
    }
}

#[test]
fn the_parameter_with_the_name_is_the_token() {
    for (body, found) in [
        ("id_token=a.b.c", Some("a.b.c")),
        ("state=x&id_token=a.b.c&iss=y", Some("a.b.c")),
        ("&&id%5Ftoken=a%2eb%2Ec&", Some("a.b.c")),
        ("id_token=a=b==", Some("a=b==")),
        ("id_token=", None),
        ("id_token", None),
        ("", None),
        ("id_token2=a&x=id_token=b&my.id_token=c", None),
    ] {
        assert_eq!(token(body), Ok(found.map(Into::into)), "{body}");
    }
    // What no token has in it is left for whoever looks at tokens.
    assert_eq!(token("id_token=a+b"), Ok(Some("a b".into())));
}

#[test]
fn what_an_application_may_take_for_the_token_beside_it_or_in_its_place_is_refused() {
    for body in [
        "id_token=a&id_token=a",
        "id_token=a&id_token=",
        "id_token=a&id%5ftoken=b",
        "id_token=a&ID_TOKEN=b",
        "Id_Token=b",
        "id_token=a&id_token[]=b",
        "id_token%5B0%5D=b",
        "id.token=b",
        "id+token=b",
        "id[token=b",
        "+id_token=b",
        "id_token%00x=b",
        "id_token+=b",
        "x=1;id_token=b",
        "id_token=a;id_token=b",
        "x;id.token=b",
    ] {
        assert_eq!(token(body), Err(Reason::TokenDuplicate), "{body}");
    }
    for query in ["id_token=b", "x=1&ID_TOKEN=b", "id%5Ftoken", "a;id_token=b", "id_token[]=b"] {
        for body in ["id_token=a", "error=access_denied", "x=1"] {
            let form = asked(body, Some(query)).ok().unwrap();
            assert_eq!(token_of(&form), Err(Reason::TokenDuplicate), "{query} {body}");
        }
    }
    let form = asked("id_token=a", Some("tenant=7&x=id_token&%zz=1")).ok().unwrap();
    assert_eq!(token_of(&form), Ok(Some("a".into())));
}

#[test]
fn what_is_not_whole_or_not_in_utf8_is_unsupported() {
    for body in ["id_token=%", "id_token=%4", "%zz=1", "x=%ff&id_token=a", "x=%c3%28", "a=1&b=%e2%82", "x=%2 "] {
        assert_eq!(form(body).err(), Some(Reason::BodyUnsupported), "{body}");
    }
    let raw = Form::parse(Bytes::from_static(b"x=\xff&id_token=a"), None).map_err(|refusal| refusal.denial.reason);
    assert_eq!(raw.err(), Some(Reason::BodyUnsupported));
    assert_eq!(token("x=%E2%82%AC&id_token=a"), Ok(Some("a".into())));
    assert_eq!(form("id_token=a&_charset_=utf-16").err(), Some(Reason::BodyUnsupported));
    assert_eq!(token("id_token=a&_charset_=UTF-8"), Ok(Some("a".into())));
}

fn callback() -> Route {
    let place = Place::Form { name: "assertion_jwt".into(), forwards_errors: true };
    Route {
        name: "callback".into(),
        matches: Match {
            hosts: [HostPattern::Any].into(),
            path: PathPattern::parse("/cb").unwrap(),
            path_written: "/cb".into(),
            methods: Methods::Any,
        },
        take: [
            TokenSource { place, kinds: Kinds::Id },
            TokenSource { place: Place::Cookie("c".into(), Origins::Same), kinds: Kinds::Any },
        ]
        .into(),
        reads_form: true,
        require: Requirement::Authenticated,
        mode: Mode::Enforce,
        upstream: None,
        floors: Box::default(),
    }
}

#[test]
fn an_error_response_has_one_error_and_nothing_by_which_somebody_is_signed_in() {
    let is_error = |body: &str, query| asked(body, query).ok().unwrap().is_error_response(&callback());
    for body in [
        "error=access_denied",
        "error=login_required&error_description=The+user%2E&error_uri=https%3A%2F%2Fidp&state=x&iss=https%3A%2F%2Fidp",
        "error=x&error_codes=%5B50105%5D&error_subcode=cancel&trace_id=1&correlation_id=2&timestamp=3&session_state=4",
    ] {
        assert!(is_error(body, None) && is_error(body, Some("tenant=7")), "{body}");
    }
    for body in [
        "",
        "state=x",
        "error=",
        "error",
        "Error=access_denied",
        "error_description=x",
        "error=a&error=b",
        "error=a&state=1&state=2",
        "error=%3Cscript%3E%22",
        "error=a%0Ab",
        "error=a&code=x",
        "error=a&assertion_jwt=",
        "error=a&id_token=x",
        "error=a&access_token=x",
        "error=a&user=admin",
        "error=a;code=x",
    ] {
        assert!(!is_error(body, None), "{body}");
    }
    for query in
        ["code=x", "ID_TOKEN=x", "id_token[]=x", "assertion_jwt=x", "Assertion.jwt=x", "a&token", "SAMLResponse=x"]
    {
        assert!(!is_error("error=access_denied", Some(query)), "{query}");
    }
}

proptest! {
    #[test]
    fn any_body_is_parsed_or_refused_and_stays_as_it_came(body in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(form) = Form::parse(Bytes::from(body.clone()), None) {
            let _token = form.token("id_token").is_ok();
            prop_assert_eq!(&form.into_body()[..], &body[..]);
        }
    }

    #[test]
    fn what_is_written_as_browsers_write_it_is_read_again(value in "\\PC{0,20}", name in "[a-z]{1,8}") {
        let written: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let form = form(&format!("{name}={written}&last=1")).ok().unwrap();
        prop_assert_eq!(&form.parameters[0], &(name, value));
    }
}
