//! What a form says: its parameters, and of them the token.

use std::collections::HashSet;

use bytes::Bytes;

use crate::policy::{Denial, Permit, Place, Policy, Route, Target, judge_error_response};
use crate::proxy::refusal::Refusal;
use crate::reason::Reason;

/// A form. Holds tokens, so it has no `Debug`.
pub(in crate::proxy) struct Form {
    body: Bytes,
    parameters: Vec<(String, String)>,
    /// Names of parameters that an application could find elsewhere: in the query, or after a `;` in the form.
    elsewhere: Vec<String>,
}

impl Form {
    /// Reads a form, beside the query of the address that it was posted to.
    ///
    /// # Errors
    /// `body_unsupported`.
    pub(super) fn parse(body: Bytes, query: Option<&str>) -> Result<Self, Refusal> {
        let undecodable = || unsupported("the form has a broken escape, or is not in UTF-8");
        let (mut parameters, mut elsewhere) = (Vec::new(), Vec::new());
        let asked = query.unwrap_or_default().split(['&', ';']);
        let in_query = asked.clone().count();
        if body.split(|byte| matches!(byte, b'&' | b';')).take(MOST + 1).count().saturating_add(in_query) > MOST {
            return Err(unsupported("the form and the query have more parameters than any application reads"));
        }
        for piece in body.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty()) {
            let (name, value) = pair(piece);
            parameters.push((decoded(name).ok_or_else(undecodable)?, decoded(value).ok_or_else(undecodable)?));
            let beyond = piece.split(|byte| *byte == b';').skip(1);
            elsewhere.extend(beyond.filter_map(|piece| decoded(pair(piece).0)));
        }
        // What can't be decoded there an application may make something of: it is read as far as it goes.
        elsewhere.extend(asked.map(|piece| lenient(pair(piece.as_bytes()).0)));
        // Some applications take it for the charset of all the rest.
        let charset = parameters.iter().find(|(name, _)| passes_for(name, "_charset_"));
        if charset.is_some_and(|(_, value)| !value.eq_ignore_ascii_case("utf-8")) {
            return Err(unsupported("the form says by `_charset_` that it is in another charset than UTF-8"));
        }
        Ok(Self { body, parameters, elsewhere })
    }

    /// The token under this name.
    ///
    /// # Errors
    /// `token_duplicate`: it stands there twice, or where an application might look for it too.
    pub(in crate::proxy) fn token(&self, wanted: &str) -> Result<Option<&[u8]>, Refusal> {
        let mut found = self.parameters.iter().filter(|(name, _)| passes_for(name, wanted));
        let (first, second) = (found.next(), found.next());
        let hidden = first.is_some_and(|(name, _)| *name != *wanted);
        if second.is_some() || hidden || self.elsewhere.iter().any(|name| passes_for(name, wanted)) {
            let detail =
                "the form's parameter with the token stands there twice, in another spelling, or in the query too";
            return Err(Refusal::new(Denial::because(Reason::TokenDuplicate), detail));
        }
        Ok(first.map(|(_, value)| value.as_bytes()).filter(|value| !value.is_empty()))
    }

    /// Whether it is an error response of an identity provider (RFC 6749 section 4.1.2.1) and nothing besides: beside other
    /// parameters an application might overlook the error, and sign somebody in whom nobody judged.
    fn is_error_response(&self, route: &Route) -> bool {
        let names: HashSet<&str> = self.parameters.iter().map(|(name, _)| &**name).collect();
        let names_error = self.parameters.iter().any(|(name, value)| name == "error" && is_error_code(value));
        let taken = route.take.iter().filter_map(|source| match &source.place {
            Place::Form { name, .. } => Some(&**name),
            Place::Authorization | Place::Header(_) | Place::Cookie(..) | Place::Kept(..) => None,
        });
        let mut answers = SIGNS_IN.iter().copied().chain(taken);
        names_error
            && names.len() == self.parameters.len()
            && names.into_iter().all(is_of_error)
            && !answers.any(|answer| self.elsewhere.iter().any(|name| passes_for(name, answer)))
    }

    /// The permit by which it passes where no token came: it is an error response, and its route has those forwarded.
    pub(in crate::proxy) fn passes_as_error(
        &self,
        refusal: &Refusal,
        policy: &Policy,
        route: &Route,
        target: &Target<'_>,
    ) -> Option<Permit> {
        if refusal.denial.reason != Reason::TokenMissing || !self.is_error_response(route) {
            return None;
        }
        judge_error_response(policy, route, target).ok()
    }

    /// Its pieces' names, each with whether it is told for certain from what it names. A piece without `=` is all name, and one
    /// that `=` ends may be base64 with its padding: a token itself, that somebody posted as it is.
    pub(in crate::proxy) fn names(&self) -> impl Iterator<Item = (&str, bool)> {
        self.parameters.iter().map(|(name, value)| (&**name, value.bytes().any(|byte| byte != b'=')))
    }

    /// What it says under `error`, where it is one such response's.
    pub(in crate::proxy) fn error(&self, route: &Route) -> Option<&str> {
        let error = self.parameters.iter().find(|(name, _)| name == "error");
        error.filter(|_| self.is_error_response(route)).map(|(_, value)| &**value)
    }

    /// As it came.
    pub(in crate::proxy) fn into_body(self) -> Bytes {
        self.body
    }
}

/// What error responses have: RFC 6749 section 4.1.2.1, RFC 9207, OpenID Connect Session Management, and what identity
/// providers add for their support.
fn is_of_error(name: &str) -> bool {
    const OTHERS: &[&str] = &[
        "state",
        "iss",
        "session_state",
        "client_info",
        "suberror",
        "trace_id",
        "correlation_id",
        "timestamp",
        "claims",
    ];
    name == "error" || name.starts_with("error_") || OTHERS.contains(&name)
}

/// What an application signs somebody in by, wherever it finds it.
const SIGNS_IN: &[&str] = &["code", "id_token", "access_token", "token", "response", "samlresponse", "assertion"];

/// RFC 6749 section 4.1.2.1.
fn is_error_code(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\')
}

fn pair(piece: &[u8]) -> (&[u8], &[u8]) {
    let equals = piece.iter().position(|byte| *byte == b'=');
    match equals.and_then(|equals| piece.split_at_checked(equals)) {
        Some((name, value)) => (name, value.get(1..).unwrap_or_default()),
        None => (piece, b""),
    }
}

/// Text without its escapes; broken ones stay as they are.
fn lenient(text: &[u8]) -> String {
    decoded(text).unwrap_or_else(|| {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text;
        while let [byte, after @ ..] = rest {
            let escape = rest.get(..3).filter(|escape| escape.starts_with(b"%"));
            let digits = escape.and_then(|escape| std::str::from_utf8(escape.get(1..)?).ok());
            let plain = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
            let (byte, after) = match plain.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                Some(byte) => (byte, rest.get(3..).unwrap_or_default()),
                None => (if *byte == b'+' { b' ' } else { *byte }, after),
            };
            bytes.push(byte);
            rest = after;
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Text without its escapes; `None`: one is broken, or it is not in UTF-8.
fn decoded(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(*byte).to_digit(16));
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high << 4 | low).ok()?
            }
            byte => *byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Whether an application might take this name for the wanted one. ASP.NET does not tell case apart; PHP drops blanks before a
/// name, ends it with a NUL, and makes `_` of `.`, blank and a `[` that nothing closes; many take `name[]` for `name`.
fn passes_for(name: &str, wanted: &str) -> bool {
    let plain = |text: &str| text.replace([' ', '.', '['], "_");
    let name = name.split('\0').next().unwrap_or_default().trim().to_lowercase();
    let wanted = plain(&wanted.to_lowercase());
    let bare = name.split('[').next().unwrap_or_default();
    plain(&name) == wanted || plain(bare.trim_end()) == wanted
}

/// How many parameters a form and its query may have. Whoever has shown no token yet shall not have us look at thousands, and
/// what an application leaves out past its own limit (PHP and many others: 1,000) it may not be judged by.
const MOST: usize = 1_000;

pub(super) fn unsupported(detail: &'static str) -> Refusal {
    Refusal::new(Denial::because(Reason::BodyUnsupported), detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{
        Allowances, HostPattern, Kinds, Match, Methods, Origins, PathPattern, Requirement, TokenSource,
    };

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
        for query in ["id_token=b", "x=1&ID_TOKEN=b", "id%5Ftoken", "a;id_token=b", "id_token[]=b", "id_token%00%ff=b"]
        {
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

    #[test]
    fn a_form_of_more_parameters_than_applications_read_is_refused_before_they_are_looked_at() {
        let of = |count: usize| (0..count).map(|n| format!("error_{n}")).collect::<Vec<_>>().join("&");
        assert!(asked(&of(MOST - 1), Some("x")).is_ok());
        assert_eq!(asked(&of(MOST), Some("x")).err(), Some(Reason::BodyUnsupported));
        assert_eq!(asked(&of(1), Some(&of(MOST))).err(), Some(Reason::BodyUnsupported));
        assert_eq!(form(&of(MOST + 1).replace('&', ";")).err(), Some(Reason::BodyUnsupported));
        assert_eq!(form(&"&".repeat(60_000)).err(), Some(Reason::BodyUnsupported));
    }

    fn callback() -> Route {
        let place = Place::Form { name: "assertion_jwt".into(), forwards_errors: true };
        Route {
            take: [
                TokenSource { place, kinds: Kinds::Id },
                TokenSource { place: Place::Cookie("c".into(), Origins::Same), kinds: Kinds::Any },
            ]
            .into(),
            reads_form: true,
            ..Route::new(
                "callback",
                Match {
                    hosts: [HostPattern::Any].into(),
                    path: PathPattern::parse("/cb").unwrap(),
                    path_written: "/cb".into(),
                    methods: Methods::Any,
                    ignore_case: false,
                    allows: Allowances::default(),
                },
                Requirement::Authenticated,
            )
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
}
