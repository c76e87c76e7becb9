//! Makes the demo's tokens, in the name of any issuer of the policy, as a query asks for them.

use serde_json::{Map, Value};

use crate::config::cases::{TestToken, Tests};
use crate::demo::keys::Keys;
use crate::demo::ports::DemoError;
use crate::demo::vendor::Vendor;
use crate::demo::wish::{SignedIn, Wish};
use crate::policy::Policy;
use crate::token::{Algorithm, Timestamp, TokenKind};

/// Makes tokens and signs them with keys of its own.
#[derive(Debug)]
pub struct Mint {
    keys: Keys,
    issuers: Vec<Vendor>,
    tests: Vec<TestPiece>,
    usual: Usual,
}

/// What a token says that no query speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usual {
    /// The scopes of an access token; empty: none.
    pub scope: String,
    /// The client of an access token; empty: none.
    pub client: String,
}

/// A token of `*.test.yaml`, and the moment from which its dates count.
#[derive(Debug)]
struct TestPiece {
    name: String,
    typ: Option<String>,
    claims: Value,
    from: Timestamp,
}

/// What stands in a token.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// What it is signed by.
    pub algorithm: Algorithm,
    /// `typ` of its header.
    pub typ: Option<String>,
    /// Its claims.
    pub claims: Value,
}

/// The claims that tests count from their own `now`.
const DATES: [&str; 4] = ["iat", "nbf", "exp", "auth_time"];

impl Mint {
    /// One that answers for every issuer of this policy.
    ///
    /// # Errors
    /// When the crypto library fails.
    pub fn new(policy: &Policy, usual: Usual) -> Result<Self, DemoError> {
        let issuers: Vec<Vendor> = policy.issuers().iter().map(Vendor::of).collect();
        let keys = Keys::new(issuers.iter().map(|issuer| issuer.algorithm))?;
        Ok(Self { keys, issuers, tests: Vec::new(), usual })
    }

    /// Makes the tokens of a file of tests too. Of two with one name the first is the one.
    pub fn learn(&mut self, tests: &Tests) {
        let piece = |token: &TestToken| {
            Some(TestPiece {
                name: token.name.to_string(),
                typ: token.typ.as_deref().map(str::to_owned),
                claims: serde_json::to_value(&token.claims).ok()?,
                from: tests.now,
            })
        };
        let new = tests.tokens.iter().filter_map(piece);
        let new: Vec<TestPiece> = new.filter(|new| self.tests.iter().all(|known| known.name != new.name)).collect();
        self.tests.extend(new);
    }

    /// The issuers that it answers for.
    #[must_use]
    pub fn issuers(&self) -> &[Vendor] {
        &self.issuers
    }

    /// The names of the tests' tokens.
    pub fn tests(&self) -> impl Iterator<Item = &str> {
        self.tests.iter().map(|piece| &*piece.name)
    }

    /// What a token says where the query does not.
    #[must_use]
    pub const fn usual(&self) -> &Usual {
        &self.usual
    }

    /// The key set that verifies its tokens.
    #[must_use]
    pub fn key_set(&self) -> Value {
        self.keys.set()
    }

    /// A signed token that says what is wished, as of `now`.
    ///
    /// # Errors
    /// For a wish that cannot be met, in words for whoever wished.
    pub fn token(&self, wish: &Wish, now: Timestamp) -> Result<String, String> {
        let Content { algorithm, typ, claims } = self.content(wish, now)?;
        self.keys.sign(algorithm, typ.as_deref(), &claims).map_err(|error| error.to_string())
    }

    /// What such a token says.
    ///
    /// # Errors
    /// As [`Mint::token`].
    pub fn content(&self, wish: &Wish, now: Timestamp) -> Result<Content, String> {
        let mut content = match &wish.test {
            Some(name) => self.test(name, now)?,
            None => self.plain(wish, now)?,
        };
        if let Some(typ) = &wish.typ {
            content.typ.clone_from(typ);
        }
        if let Some(claims) = content.claims.as_object_mut() {
            wish.claims.iter().for_each(|(path, value)| put(claims, path, value.clone()));
        }
        Ok(content)
    }

    fn test(&self, name: &str, now: Timestamp) -> Result<Content, String> {
        let piece = self.tests.iter().find(|piece| piece.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.tests().collect();
            match known.as_slice() {
                [] => "there are no tests beside this policy, so no token has a name".to_owned(),
                known => format!("no test beside the policy has a token `{name}`; there are {}", known.join(", ")),
            }
        })?;
        let mut claims = piece.claims.clone();
        for date in DATES {
            let Some(seconds) = claims.get(date).and_then(Value::as_i64) else { continue };
            let offset = seconds.saturating_sub(piece.from.seconds());
            if let Some(claims) = claims.as_object_mut() {
                claims.insert(date.to_owned(), now.plus_seconds(offset).seconds().into());
            }
        }
        // A token that claims to be nobody's is signed all the same: it is the gate that has to refuse it.
        let of = |issuer: &&Vendor| claims.get("iss").and_then(Value::as_str) == Some(issuer.iss.as_str());
        let issuer = self.issuers.iter().find(of).or(self.issuers.first());
        let algorithm = issuer.map_or(Algorithm::Es256, |issuer| issuer.algorithm);
        Ok(Content { algorithm, typ: piece.typ.clone(), claims })
    }

    fn plain(&self, wish: &Wish, now: Timestamp) -> Result<Content, String> {
        let issuer = self.issuer(wish.issuer.as_deref())?;
        let kind = wish.kind.unwrap_or_else(|| issuer.usual_kind());
        let shape = issuer.shape(kind);
        if shape.is_none() && wish.audience.is_none() {
            let (kind, key) = (kind.name(), kind.name());
            return Err(format!(
                "the policy takes no {kind} tokens of `{}`: it has no `{key}` under this issuer, so no audience for \
                 them is known; name one with `aud=` to see such a token refused",
                issuer.name
            ));
        }
        let mut claims = Map::new();
        let mut say = |path: &str, value: Value| put(&mut claims, path, Some(value));
        say("iss", issuer.iss.as_str().into());
        say("sub", wish.subject.as_deref().unwrap_or("alice").into());
        say("iat", now.seconds().into());
        say("exp", now.plus_seconds(wish.lifetime.unwrap_or(300)).seconds().into());
        for (path, value) in shape.iter().flat_map(|shape| &shape.has) {
            say(path, value.clone());
        }
        let audience = wish.audience.as_deref().or(shape.map(|shape| shape.audience.as_str()));
        say(shape.map_or("aud", |shape| &shape.audience_from), audience.unwrap_or_default().into());
        if kind == TokenKind::Access {
            let client = wish.client.as_deref().unwrap_or(&self.usual.client);
            if !client.is_empty() {
                say(&issuer.client, client.into());
            }
            let scope = wish.scope.as_deref().unwrap_or(&self.usual.scope);
            if !scope.is_empty() {
                // `scope` is a string with spaces (RFC 8693 section 4.2); what vendors call otherwise is mostly a list.
                let list = || Value::from(scope.split(' ').collect::<Vec<_>>());
                say(&issuer.scopes, if issuer.scopes == "scope" { scope.into() } else { list() });
            }
        }
        if let Some(acr) = &wish.acr {
            say("acr", acr.as_str().into());
        }
        if !wish.amr.is_empty() {
            say("amr", wish.amr.as_slice().into());
        }
        let ago = match wish.signed_in {
            SignedIn::Now => Some(0),
            SignedIn::Ago(seconds) => Some(seconds),
            SignedIn::Unsaid => None,
        };
        if let Some(ago) = ago {
            say("auth_time", now.plus_seconds(ago.saturating_neg()).seconds().into());
        }
        let typ = shape.and_then(|shape| shape.typ.clone());
        Ok(Content { algorithm: issuer.algorithm, typ, claims: Value::Object(claims) })
    }

    fn issuer(&self, name: Option<&str>) -> Result<&Vendor, String> {
        let known = || self.issuers.iter().map(|issuer| &*issuer.name).collect::<Vec<_>>().join(", ");
        match (name, self.issuers.as_slice()) {
            (_, []) => Err("the policy names no issuer, so there is nobody to make a token for".to_owned()),
            (None, [only]) => Ok(only),
            (None, _) => Err(format!("whose token? say `issuer=NAME`: {}", known())),
            (Some(name), issuers) => issuers
                .iter()
                .find(|issuer| issuer.name == name)
                .ok_or_else(|| format!("the policy has no issuer `{name}`; it has {}", known())),
        }
    }
}

/// Sets what a name or a pointer (RFC 6901) names, or takes it out.
fn put(claims: &mut Map<String, Value>, path: &str, value: Option<Value>) {
    let steps: Vec<String> = match path.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
        None => vec![path.to_owned()],
    };
    descend(claims, &steps, value);
}

fn descend(claims: &mut Map<String, Value>, steps: &[String], value: Option<Value>) {
    match (steps, value) {
        ([], _) => {}
        ([last], Some(value)) => drop(claims.insert(last.clone(), value)),
        ([last], None) => drop(claims.remove(last)),
        ([first, rest @ ..], value) => {
            let below = claims.entry(first.clone()).or_insert(Value::Null);
            if !below.is_object() {
                *below = Value::Object(Map::new());
            }
            if let Some(below) = below.as_object_mut() {
                descend(below, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;
    use crate::config::{SourceFile, load_policy, load_tests};

    const POLICY: &str = "\
version: 1
issuers:
  okta:
    issuer: https://example.okta.com/oauth2/default
    profile: okta
    access: { audiences: [\"api://hr\"] }
  bank:
    issuer: https://auth.bank.example
    profile: openfinance-brasil
    algorithms: [PS256]
    id: { audiences: [client-1] }
routes: []
";

    fn file(name: &str, text: &str) -> SourceFile {
        SourceFile { name: name.to_owned(), folder: PathBuf::from("."), text: text.to_owned() }
    }

    fn mint() -> Mint {
        let policy = load_policy(vec![file("policy.yaml", POLICY)]).unwrap().policy;
        let mut mint = Mint::new(&policy, Usual::default()).unwrap();
        let tests = "\
version: 1
now: \"2026-01-01T12:00:00Z\"
tokens: { old: { issuer: okta, claims: { amr: [pwd], auth_time: -2h, nbf: 5m } } }
cases: [ { request: \"GET https://hr.example/\", token: old, expect: deny } ]
";
        mint.learn(&load_tests(file("policy.test.yaml", tests), &policy).unwrap());
        mint
    }

    fn content(query: &[(&str, &str)]) -> Result<Content, String> {
        let pairs: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        mint().content(&Wish::read(&pairs)?, Timestamp::from_seconds(10_000))
    }

    #[test]
    fn a_token_has_its_issuers_shape() {
        let okta = content(&[("issuer", "okta"), ("scope", "a b"), ("client", "c"), ("amr", "pwd,otp")]).unwrap();
        let claims = json!({
            "iss": "https://example.okta.com/oauth2/default", "aud": "api://hr", "sub": "alice", "cid": "c",
            "scp": ["a", "b"], "amr": ["pwd", "otp"], "iat": 10_000, "exp": 10_300, "auth_time": 10_000,
        });
        assert_eq!(okta.claims, claims);
        let bank = content(&[("issuer", "bank"), ("claim./a/b", "1"), ("claim.sub", ""), ("typ", "x")]).unwrap();
        assert_eq!((bank.algorithm, bank.typ.as_deref()), (Algorithm::Ps256, Some("x")));
        assert_eq!((&bank.claims["aud"], &bank.claims["a"]), (&json!("client-1"), &json!({ "b": 1 })));
        assert_eq!(bank.claims.get("sub"), None);
    }

    #[test]
    fn a_token_of_the_tests_says_the_same_as_of_now() {
        let old = content(&[("test", "old"), ("claim.amr", "[\"swk\"]")]).unwrap().claims;
        let dates = ["iat", "exp", "auth_time", "nbf"].map(|name| old[name].as_i64().unwrap());
        assert_eq!(dates, [10_000, 10_300, 2_800, 10_300]);
        assert_eq!((&old["amr"], &old["sub"]), (&json!(["swk"]), &json!("user")));
    }

    #[test]
    fn what_cannot_be_made_is_said_with_a_way_out() {
        for (query, said) in [
            (vec![], "`issuer=NAME`: okta, bank"),
            (vec![("issuer", "entra")], "no issuer `entra`; it has okta, bank"),
            (vec![("issuer", "bank"), ("kind", "access")], "takes no access tokens of `bank`"),
            (vec![("test", "new")], "there are old"),
        ] {
            let problem = content(&query).unwrap_err();
            assert!(problem.contains(said), "{problem}");
        }
        assert!(content(&[("issuer", "bank"), ("kind", "access"), ("aud", "x")]).is_ok());
    }
}
