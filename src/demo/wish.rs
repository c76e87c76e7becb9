//! What a query of `/token` asks for, read strictly: a slip of the pen makes no surprising token.

use serde_json::Value;

use crate::token::TokenKind;

/// What a token shall say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wish {
    /// A token of `*.test.yaml`, by its name: then the rest is that token's.
    pub test: Option<String>,
    /// The policy's name for the issuer; `None`: the only one.
    pub issuer: Option<String>,
    /// Access token or `id_token`; `None`: what this issuer's tokens mostly are.
    pub kind: Option<TokenKind>,
    /// `typ` of the header. `Some(None)`: without.
    pub typ: Option<Option<String>>,
    /// `sub`.
    pub subject: Option<String>,
    /// `acr`; `None`: the claim is left out.
    pub acr: Option<String>,
    /// `amr`; empty: the claim is left out.
    pub amr: Vec<String>,
    /// When the user signed in.
    pub signed_in: SignedIn,
    /// The scopes of an access token; `None`: as usual; empty: the claim is left out.
    pub scope: Option<String>,
    /// The client of an access token; `None`: as usual.
    pub client: Option<String>,
    /// The audience; `None`: what the policy expects of this kind.
    pub audience: Option<String>,
    /// For how many seconds it is valid; `None`: five minutes.
    pub lifetime: Option<i64>,
    /// Other claims, by name or pointer, each as it shall stand; `None`: taken out. They go over all others.
    pub claims: Vec<(String, Option<Value>)>,
}

/// When the user signed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignedIn {
    /// Just now.
    #[default]
    Now,
    /// So many seconds ago.
    Ago(i64),
    /// `auth_time` is left out.
    Unsaid,
}

impl Wish {
    /// Reads the pairs of a query.
    ///
    /// # Errors
    /// For a name that is not known, given twice, or has a value that makes no sense.
    pub fn read(query: &[(String, String)]) -> Result<Self, String> {
        let mut wish = Self::default();
        for (place, (name, value)) in query.iter().enumerate() {
            if query.iter().take(place).any(|(before, _)| before == name) {
                return Err(format!("`{name}` is given twice"));
            }
            wish.add(name, value)?;
        }
        if wish.test.is_some() {
            let beside = |name: &str| ["test", "typ", "claims"].contains(&name) || name.starts_with("claim.");
            if let Some((name, _)) = query.iter().find(|(name, _)| !beside(name)) {
                return Err(format!(
                    "`test` names a whole token: beside it only `typ`, `claims` and `claim.NAME` are taken, not `{name}`"
                ));
            }
        }
        Ok(wish)
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        let given = || Some(value.to_owned()).filter(|value| !value.is_empty());
        match name {
            "test" => self.test = given(),
            "issuer" => self.issuer = given(),
            "kind" => {
                self.kind = match value {
                    "access" => Some(TokenKind::Access),
                    "id" => Some(TokenKind::Id),
                    _ => return Err(format!("`kind={value}`: use `access` or `id`")),
                };
            }
            "typ" => self.typ = Some(given().filter(|typ| typ != "none")),
            "amr" => self.amr = value.split(',').filter(|value| !value.is_empty()).map(str::to_owned).collect(),
            "acr" => self.acr = given(),
            "age" if value == "none" => self.signed_in = SignedIn::Unsaid,
            "age" => self.signed_in = SignedIn::Ago(seconds(value).ok_or_else(|| no_duration(name, value))?),
            "lifetime" => self.lifetime = Some(seconds(value).ok_or_else(|| no_duration(name, value))?),
            "scope" => self.scope = Some(value.to_owned()),
            "sub" => self.subject = Some(value.to_owned()),
            "client" => self.client = Some(value.to_owned()),
            "aud" => self.audience = given(),
            "claims" => match serde_json::from_str(value) {
                Ok(Value::Object(claims)) => {
                    self.claims.extend(claims.into_iter().map(|(name, value)| (verbatim(&name), Some(value))));
                }
                Ok(_) | Err(_) => return Err(format!("`claims={value}` is no JSON object")),
            },
            _ => match name.strip_prefix("claim.") {
                Some(path) if !path.is_empty() => self.claims.push((path.to_owned(), json_or_text(value))),
                Some(_) | None => return Err(format!("`{name}` is not known")),
            },
        }
        Ok(())
    }
}

/// A name that is a name, even if it looks like a pointer.
fn verbatim(name: &str) -> String {
    if name.starts_with('/') { format!("/{}", name.replace('~', "~0").replace('/', "~1")) } else { name.to_owned() }
}

/// What reads as JSON is taken for it, anything else for text; nothing at all takes the claim out.
fn json_or_text(value: &str) -> Option<Value> {
    (!value.is_empty()).then(|| serde_json::from_str(value).unwrap_or_else(|_not_json| value.into()))
}

fn no_duration(name: &str, value: &str) -> String {
    format!("`{name}={value}` is no duration: use a number and a unit, such as `30s`, `10m` or `2h`")
}

/// A number and a unit, at most ten years either way.
fn seconds(text: &str) -> Option<i64> {
    let at = text.len().checked_sub(1)?;
    let (number, unit) = text.split_at_checked(at)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = number.parse::<i64>().ok()?.checked_mul(unit)?;
    (-315_360_000..=315_360_000).contains(&seconds).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(query: &str) -> Result<Wish, String> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Wish::read(&pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>())
    }

    #[test]
    fn a_token_is_what_was_asked_for() {
        let wish = read("kind=id&amr=pwd,otp&acr=urn:example:loa:2&age=10m&scope=&sub=bob&lifetime=-1m").unwrap();
        let asked = Wish {
            kind: Some(TokenKind::Id),
            subject: Some("bob".into()),
            acr: Some("urn:example:loa:2".into()),
            amr: vec!["pwd".into(), "otp".into()],
            signed_in: SignedIn::Ago(600),
            scope: Some(String::new()),
            lifetime: Some(-60),
            ..Wish::default()
        };
        assert_eq!(wish, asked);
        assert_eq!(read("age=none").unwrap().signed_in, SignedIn::Unsaid);
        assert_eq!(read("amr=").unwrap().amr, Vec::<String>::new());
        assert_eq!(read("typ=none").unwrap().typ, Some(None));
    }

    #[test]
    fn a_claim_is_json_where_it_reads_as_json_and_text_otherwise() {
        let wish = read(r#"claim.a=2&claim.b="2"&claim.c=two words&claim.d=&claim./ext/e=["x"]"#).unwrap();
        let claims = [
            ("a", Some(json!(2))),
            ("b", Some(json!("2"))),
            ("c", Some(json!("two words"))),
            ("d", None),
            ("/ext/e", Some(json!(["x"]))),
        ];
        assert_eq!(wish.claims, claims.map(|(name, value)| (name.to_owned(), value)));
        let whole = read(r#"claims={"amr":null,"/ext":{"m":1}}"#).unwrap().claims;
        assert_eq!(whole, [("/~1ext".to_owned(), Some(json!({ "m": 1 }))), ("amr".to_owned(), Some(Value::Null))]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for query in [
            "kind=refresh",
            "age=10",
            "age=",
            "age=m",
            "age=1e9h",
            "age=99999999999h",
            "arm=pwd",
            "age=10µ",
            "acr=1&acr=2",
            "claims=[]",
            "claims={",
            "claim.=x",
            "test=a&amr=pwd",
        ] {
            assert!(read(query).is_err(), "{query}");
        }
    }
}
