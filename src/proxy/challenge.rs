//! `WWW-Authenticate` (RFC 6750 section 3, RFC 9470 section 3, RFC 9728 section 5.1), in the dialect of the issuer whose user
//! is to sign in anew: only characters that are allowed, every parameter quoted but where a dialect has it bare.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use smallvec::SmallVec;

use crate::assurance::Dialect;
use crate::telemetry::json;

/// Values of a list that a challenge names: as written by the policy, and each of them harmless. Rarely more than a few.
pub(super) type Values<'v> = SmallVec<[&'v str; 4]>;

/// The error code of a challenge for another sign-in, as RFC 9470 calls it.
pub(super) const STEP_UP: &str = "insufficient_user_authentication";

/// What another sign-in is asked for by, in the words of an issuer's dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked<'v> {
    pub(super) dialect: Dialect,
    /// Left out when the request brought no token at all (RFC 6750 section 3.1).
    pub(super) error: Option<&'static str>,
    /// Any one of which is enough.
    pub(super) acr_values: Values<'v>,
    /// Entra's claims request, in base64: stands in the place of the values.
    pub(super) claims: Option<String>,
    pub(super) max_age: Option<u32>,
}

impl<'v> Asked<'v> {
    /// Puts an error code, values and an age into a dialect. What the dialect cannot write is left out.
    pub(super) fn new(
        dialect: Dialect,
        error: Option<&'static str>,
        mut acr_values: Values<'v>,
        max_age: Option<u32>,
    ) -> Self {
        acr_values.retain(|value| can_be_written(value));
        let asked = Self { dialect, error, acr_values, claims: None, max_age };
        match dialect {
            _ if error != Some(STEP_UP) => Self { dialect: Dialect::Rfc9470, ..asked },
            Dialect::Rfc9470 => asked,
            Dialect::Okta => Self { error: Some("insufficient_authentication_context"), ..asked },
            Dialect::Entra => asked.of_entra(),
        }
    }

    /// Entra is asked for one context, so the one that the policy prefers. With none to ask for there is no claims challenge,
    /// and what lacks is said as anywhere else.
    fn of_entra(mut self) -> Self {
        self.acr_values.retain(|value| Dialect::Entra.can_name(value));
        self.acr_values.truncate(1);
        let Some(context) = self.acr_values.first() else { return Self { dialect: Dialect::Rfc9470, ..self } };
        let claims = format!("{{\"access_token\":{{\"acrs\":{{\"essential\":true,\"value\":\"{context}\"}}}}}}");
        Self { error: Some("insufficient_claims"), claims: Some(BASE64_STANDARD.encode(claims)), ..self }
    }
}

/// One challenge for the `Bearer` scheme.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scheme<'a, 'v> {
    pub(super) realm: &'a str,
    /// Where our metadata stands, if it is to be named.
    pub(super) resource_metadata: Option<&'a str>,
    pub(super) asked: &'a Asked<'v>,
    pub(super) scope: &'a [&'a str],
}

impl Scheme<'_, '_> {
    pub(super) fn to_value(self) -> HeaderValue {
        let Asked { dialect, error, acr_values, claims, max_age } = self.asked;
        let lists = acr_values.iter().chain(self.scope).map(|value| value.len().saturating_add(1));
        let metadata = self.resource_metadata.filter(|url| can_be_written(url));
        let others = [self.realm.len(), metadata.map_or(0, str::len), claims.as_ref().map_or(0, String::len), 160];
        let mut text = String::with_capacity(lists.chain(others).fold(0, usize::saturating_add));
        text.push_str("Bearer realm=\"");
        if self.realm.bytes().all(|byte| is_writable(byte.into())) {
            text.push_str(self.realm);
        } else {
            text.extend(self.realm.chars().filter(|c| is_writable(*c) || *c == ' '));
        }
        text.push('"');
        if let Some(url) = metadata {
            parameter(&mut text, "resource_metadata", &[url]);
        }
        if let Some(error) = error {
            parameter(&mut text, "error", &[error]);
        }
        if let Some(claims) = claims {
            parameter(&mut text, "claims", &[claims]);
            parameter(&mut text, "cc_type", &["authcontext"]);
        } else if !acr_values.is_empty() {
            parameter(&mut text, "acr_values", acr_values);
        }
        if let Some(max_age) = max_age {
            let (before, after) = if *dialect == Dialect::Okta { ("", "") } else { ("\"", "\"") };
            text.push_str(", max_age=");
            text.push_str(before);
            json::number(&mut text, (*max_age).into());
            text.push_str(after);
        }
        if !self.scope.is_empty() {
            parameter(&mut text, "scope", self.scope);
        }
        HeaderValue::try_from(text).unwrap_or_else(|_never| HeaderValue::from_static("Bearer"))
    }
}

fn parameter(text: &mut String, name: &str, values: &[&str]) {
    text.push_str(", ");
    text.push_str(name);
    text.push_str("=\"");
    join(text, values);
    text.push('"');
}

/// Adds the values with a space between each two.
pub(super) fn join(text: &mut String, values: &[&str]) {
    for (place, value) in values.iter().enumerate() {
        text.push_str(if place > 0 { " " } else { "" });
        text.push_str(value);
    }
}

/// RFC 6750 section 3: what may stand in a value of a list. A space would make two of one; a quote would end the parameter.
fn is_writable(c: char) -> bool {
    c.is_ascii_graphic() && c != '"' && c != '\\'
}

/// Whether a value can be written. One that can't is left out: half of it would ask for something else.
pub(super) fn can_be_written(value: &str) -> bool {
    Dialect::Rfc9470.can_name(value)
}

/// The scopes to name, each once; only where the challenge is about the sign-in or the scope.
pub(super) fn scopes<'a>(scope: &'a [Box<str>], error: Option<&str>) -> Values<'a> {
    let mut named = Values::new();
    if matches!(error, Some("insufficient_scope" | STEP_UP)) {
        for one in scope.iter().filter(|one| can_be_written(one)) {
            if !named.contains(&&**one) {
                named.push(one);
            }
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes a challenge apart as RFC 9110 section 11.2 has it, and nothing that is not one: a scheme, and parameters of a
    /// token and a token or a quoted string, each name once.
    fn parse(text: &str) -> Option<(String, Vec<(String, String)>)> {
        let is_token = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        };
        let (scheme, mut rest) = text.split_once(' ')?;
        let mut found: Vec<(String, String)> = Vec::new();
        loop {
            let (name, after) = rest.split_once('=')?;
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => unquote(quoted)?,
                None => {
                    let (value, after) = after.split_at(after.find(',').unwrap_or(after.len()));
                    (Some(value.to_owned()).filter(|value| is_token(value))?, after)
                }
            };
            if !is_token(name) || found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                return None;
            }
            found.push((name.to_owned(), value));
            match after {
                "" => return is_token(scheme).then(|| (scheme.to_owned(), found)),
                more => rest = more.strip_prefix(", ")?,
            }
        }
    }

    /// What stands up to the closing quote, and what follows it.
    fn unquote(text: &str) -> Option<(String, &str)> {
        let (mut value, mut rest) = (String::new(), text.chars());
        loop {
            match rest.next()? {
                '"' => return Some((value, rest.as_str())),
                '\\' => value.push(rest.next().filter(|c| matches!(c, '\t' | ' '..='~'))?),
                c @ ('\t' | ' '..='~') => value.push(c),
                _ => return None,
            }
        }
    }

    #[test]
    fn the_parser_of_these_tests_is_strict() {
        let taken = |text: &str| parse(text).is_some();
        assert!(taken("Bearer a=\"b\", c=d") && taken("Bearer a=\"\""));
        for bad in [
            "Bearer",
            "Bearer ",
            "Bearer a",
            "Bearer a=",
            "Bearer a=\"b",
            "Bearer a=\"b\"c",
            "Bearer a=b, A=c",
            "Bearer a=b,",
            "Bearer a=b c=d",
            "Bearer a b=c",
            "Bearer a=\"\u{e9}\"",
            "Bearer a=\"\r\n\"",
            "Be,rer a=b",
        ] {
            assert!(!taken(bad), "{bad}");
        }
    }

    /// Values as policies hold them: mostly fine, some that break out of whatever they are put in.
    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            3 => "[a-zA-Z0-9:/._?=,;-]{1,20}",
            2 => "c[0-9]{1,3}",
            1 => "[ -~]{0,8}",
            1 => any::<String>(),
        ]
    }

    fn values() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec(value(), 0..5)
    }

    fn dialect() -> impl Strategy<Value = Dialect> {
        proptest::sample::select(Dialect::NAMED.map(|(_, dialect)| dialect).to_vec())
    }

    proptest! {
        #[test]
        fn every_challenge_reads_back_as_the_values_that_it_was_made_from(
            dialect in dialect(), acr in values(), scope in values(), max_age in any::<Option<u32>>(), realm in value(),
            url in proptest::option::of(value()), error in 0..3usize,
        ) {
            let error = [None, Some("invalid_token"), Some(STEP_UP)][error];
            let scope: Vec<&str> = scope.iter().map(String::as_str).filter(|one| can_be_written(one)).collect();
            let asked = Asked::new(dialect, error, acr.iter().map(String::as_str).collect(), max_age);
            let scheme = Scheme { realm: &realm, resource_metadata: url.as_deref(), asked: &asked, scope: &scope };
            let field = scheme.to_value();
            let text = field.to_str().unwrap();
            let (scheme, found) = parse(text).unwrap_or_else(|| panic!("no challenge: {text}"));
            let get = |name: &str| found.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str());
            prop_assert_eq!(scheme, "Bearer");

            let clean: String = realm.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect();
            prop_assert_eq!(get("realm"), Some(&*clean));
            prop_assert_eq!(get("resource_metadata"), url.as_deref().filter(|url| can_be_written(url)));
            let joined = |values: &[&str]| Some(values.join(" ")).filter(|text| !text.is_empty());
            prop_assert_eq!(get("scope").map(str::to_owned), joined(&scope));
            prop_assert_eq!(get("max_age").map(str::to_owned), max_age.map(|age| age.to_string()));
            let bare = max_age.is_some_and(|age| text.contains(&format!("max_age={age}")));
            prop_assert_eq!(bare, max_age.is_some() && dialect == Dialect::Okta && error == Some(STEP_UP));

            let writable: Vec<&str> = acr.iter().map(String::as_str).filter(|one| can_be_written(one)).collect();
            let context = writable.iter().find(|one| {
                one.strip_prefix('c').and_then(|n| n.parse::<u8>().ok()).is_some_and(|n| (1..100).contains(&n) && **one == format!("c{n}"))
            });
            let (code, named, claims) = match (dialect, error == Some(STEP_UP), context) {
                (Dialect::Entra, true, Some(context)) => (Some("insufficient_claims"), None, Some(*context)),
                (Dialect::Entra, true, None) => (error, None, None),
                (Dialect::Okta, true, _) => (Some("insufficient_authentication_context"), joined(&writable), None),
                _ => (error, joined(&writable), None),
            };
            prop_assert_eq!(get("error"), code);
            prop_assert_eq!(get("acr_values").map(str::to_owned), named);
            let read = get("claims").map(|claims| {
                serde_json::from_slice::<serde_json::Value>(&BASE64_STANDARD.decode(claims).unwrap()).unwrap()
            });
            let expected = claims.map(|value| serde_json::json!({
                "access_token": { "acrs": { "essential": true, "value": value } },
            }));
            prop_assert_eq!(read, expected);
            prop_assert_eq!(get("cc_type"), claims.map(|_| "authcontext"));
        }
    }
}
