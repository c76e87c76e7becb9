//! `*.test.yaml`: what a policy promises, case by case (docs/policy.md).

use crate::assurance::{Issuer, IssuerId};
use crate::config::expression;
use crate::config::moment;
use crate::config::preflight::preflight;
use crate::config::problem::{Problem, Rejected, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::source::{SourceFile, Sources, Span};
use crate::config::units;
use crate::config::yaml::{self, Kind, Node};
use crate::policy::Policy;
use crate::reason::Reason;
use crate::token::{Json, KindRule, Timestamp, TokenKind};

const FILE: Keys = Keys { what: "a file of tests", known: &["version", "now", "tokens", "cases"], later: &[] };
const TOKEN: Keys = Keys { what: "a token", known: &["issuer", "kind", "typ", "claims"], later: &[] };
const CASE: Keys = Keys {
    what: "a case",
    known: &["name", "request", "token", "tokens", "preflight", "expect", "reason"],
    later: &["headers"],
};

/// A file of tests.
#[derive(Clone, Debug)]
pub struct Tests {
    /// The moment at which all cases are judged.
    pub now: Timestamp,
    /// The tokens, by name.
    pub tokens: Vec<TestToken>,
    /// The cases, in the order in which they stand.
    pub cases: Vec<Case>,
    /// The file.
    pub sources: Sources,
}

/// A token as a test writes it, with what it leaves out filled in.
#[derive(Clone, Debug)]
pub struct TestToken {
    /// Its name in the file.
    pub name: Box<str>,
    /// `typ` of its header.
    pub typ: Option<Box<str>>,
    /// Its claims.
    pub claims: Json,
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Where it stands.
    pub span: Span,
    /// What it is called, where it has a name.
    pub name: Option<Box<str>>,
    /// The method.
    pub method: Box<str>,
    /// Host and port.
    pub authority: Box<str>,
    /// The path, without query.
    pub path: Box<str>,
    /// As it was written.
    pub request: Box<str>,
    /// The tokens that come with it: places in [`Tests::tokens`].
    pub tokens: Vec<usize>,
    /// The method that a page asks for, where it is a browser's preflight.
    pub preflight: Option<Box<str>>,
    /// What must come of it.
    pub expect: Expected,
}

/// What must come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The request goes through.
    Allow,
    /// It is refused; for this reason, where one is given.
    Deny(Option<Reason>),
    /// It goes through, since its route only observes; would it be refused for this reason, where one is given.
    WouldDeny(Option<Reason>),
}

impl Expected {
    /// As a case writes it.
    #[must_use]
    pub const fn decision(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny(_) => "deny",
            Self::WouldDeny(_) => "would_deny",
        }
    }

    /// The reason, where one is given.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Allow => None,
            Self::Deny(reason) | Self::WouldDeny(reason) => reason,
        }
    }
}

/// Reads a file of tests for a policy.
///
/// # Errors
/// Every problem found.
pub fn load_tests(file: SourceFile, policy: &Policy) -> Result<Tests, Box<Rejected>> {
    let (mut sources, mut out) = (Sources::default(), Report::default());
    let text = file.text.clone();
    let id = sources.add(file);
    let tests = match yaml::parse(id, &text, &mut out) {
        Some(root) => read(&root, policy, &mut out),
        None if !out.has_errors() => {
            out.add(Problem::error("missing_key", Span { file: id, start: 0, end: 0 }, "the file is empty"));
            None
        }
        None => None,
    };
    match tests {
        Some(tests) if !out.has_errors() => Ok(Tests { sources, ..tests }),
        Some(_) | None => Err(Box::new(Rejected { problems: out.into_problems(), sources })),
    }
}

fn read(root: &Node, policy: &Policy, out: &mut Report) -> Option<Tests> {
    let fields = Fields::of(root, FILE, out)?;
    if let Some(node) = fields.required("version", out)
        && reader::word(node) != Some("1")
    {
        out.add(reader::expected(node, "version `1`"));
    }
    let now = fields.required("now", out).and_then(|node| moment::read(node, out))?;
    let mut tokens = Vec::new();
    let written = fields.get("tokens", out).and_then(|node| reader::mapping(node, "`tokens`", out)).unwrap_or_default();
    for (key, node) in written {
        // A token that is wrong still has its name, so that cases may call it.
        let token = token(&key.text, node, policy, now, out);
        tokens.push(token.unwrap_or(TestToken { name: key.text.clone(), typ: None, claims: Json::Null }));
    }
    let items = fields.required("cases", out).and_then(|node| reader::list(node, "a list of cases", out))?;
    let cases = items.iter().filter_map(|item| case(item, &tokens, out)).collect();
    Some(Tests { now, tokens, cases, sources: Sources::default() })
}

pub(super) fn token(name: &str, node: &Node, policy: &Policy, now: Timestamp, out: &mut Report) -> Option<TestToken> {
    let fields = Fields::of(node, TOKEN, out)?;
    let issuer = fields.required("issuer", out).and_then(|node| {
        let name = reader::text(node, "an issuer's name", out)?;
        let found = policy.issuers().iter().find(|issuer| *issuer.name == *name);
        if found.is_none() {
            let help = reader::suggest(name, policy.issuers().iter().map(|issuer| &*issuer.name));
            out.add(Problem::error("unknown_issuer", node.span, format!("unknown issuer `{name}`")).help(help));
        }
        found
    });
    let kind = match fields.get("kind", out) {
        Some(node) => reader::choice(node, &[("access", TokenKind::Access), ("id", TokenKind::Id)], out),
        None => Some(TokenKind::Access),
    };
    let own = match fields.get("claims", out) {
        Some(node) => members(node, now, out),
        None => Some(Vec::new()),
    };
    let typ = fields.get("typ", out).map(|node| reader::text(node, "a `typ` value, or `none`", out));
    let (issuer, kind, own) = (issuer?, kind?, own?);
    let rule = rule(issuer, kind);
    let typ = match typ {
        Some(written) => Some(written?).filter(|typ| *typ != "none").map(Box::from),
        None => rule.and_then(|rule| rule.types.first().cloned().flatten()),
    };
    Some(TestToken { name: name.into(), typ, claims: with_defaults(own, issuer, rule, now) })
}

fn rule(issuer: &Issuer, kind: TokenKind) -> Option<&KindRule> {
    match kind {
        TokenKind::Access => issuer.expectation.access.as_ref(),
        TokenKind::Id => issuer.expectation.id.as_ref(),
    }
}

/// A claim, `None` when the test takes a default out.
pub(super) type Member = (Box<str>, Option<Json>);

fn with_defaults(own: Vec<Member>, issuer: &Issuer, rule: Option<&KindRule>, now: Timestamp) -> Json {
    let second = |offset: i64| Json::Number(now.plus_seconds(offset).seconds().into());
    let mut all: Vec<Member> = vec![
        ("iss".into(), Some((&*issuer.expectation.issuer).into())),
        ("sub".into(), Some("user".into())),
        ("iat".into(), Some(second(0))),
        ("exp".into(), Some(second(300))),
    ];
    if let Some(rule) = rule
        && let Some(audience) = rule.audiences.first()
    {
        // Under a pointer the test has to write the audience itself.
        let name = rule.audience_from.as_written();
        if !name.starts_with('/') {
            all.push((name.into(), Some((&**audience).into())));
        }
    }
    all.retain(|(name, _)| !own.iter().any(|(known, _)| known == name));
    all.extend(own);
    Json::object(all.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))))
}

pub(super) fn members(node: &Node, now: Timestamp, out: &mut Report) -> Option<Vec<Member>> {
    let pairs = reader::mapping(node, "`claims`", out)?;
    let member = |(key, node): &(yaml::Key, Node), out: &mut Report| {
        if node.kind == Kind::Null {
            return Some((key.text.clone(), None));
        }
        let is_date = matches!(&*key.text, "exp" | "nbf" | "iat" | "auth_time");
        if let Some(number) = reader::word(node).filter(|_| is_date).and_then(|word| word.strip_prefix(['-', '+']))
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            let word = reader::word(node).unwrap_or_default();
            let message =
                format!("`{word}` seconds since 1970, or from `now`? a time before or after `now` needs a unit");
            let help = format!("write `{word}s`, or a number without sign for seconds since 1970");
            out.add(Problem::error("bad_unit", node.span, message).help(help));
            return None;
        }
        let date = is_date.then(|| offset(node)).flatten();
        let value = match date {
            Some(seconds) => Json::Number(now.plus_seconds(seconds).seconds().into()),
            None => json(node, out)?,
        };
        Some((key.text.clone(), Some(value)))
    };
    pairs.iter().map(|pair| member(pair, out)).collect::<Vec<_>>().into_iter().collect()
}

/// `-60s`, `5m`: so many seconds from now.
fn offset(node: &Node) -> Option<i64> {
    let word = reader::word(node)?;
    let (sign, length) = match word.strip_prefix('-') {
        Some(length) => (-1, length),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let seconds = i64::try_from(units::duration(length).ok()?.as_secs()).ok()?;
    seconds.checked_mul(sign)
}

fn json(node: &Node, out: &mut Report) -> Option<Json> {
    match &node.kind {
        Kind::Null => Some(Json::Null),
        Kind::Scalar { .. } => expression::value(node, out),
        Kind::List(items) => {
            let items = items.iter().map(|item| json(item, out)).collect::<Vec<_>>();
            items.into_iter().collect::<Option<Vec<_>>>().map(|items| Json::Array(items.into()))
        }
        Kind::Map(pairs) => {
            let members = pairs.iter().map(|(key, node)| json(node, out).map(|value| (key.text.clone(), value)));
            members.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>().map(Json::object)
        }
    }
}

fn case(node: &Node, tokens: &[TestToken], out: &mut Report) -> Option<Case> {
    let fields = Fields::of(node, CASE, out)?;
    let request = fields.required("request", out).and_then(|node| {
        let text = reader::text(node, "a request", out)?;
        let parts = request(text);
        if parts.is_none() {
            let help = "write a method and a URL, such as `GET https://api.example/accounts`";
            out.add(Problem::error("bad_request", node.span, format!("`{text}` is no request")).help(help));
        }
        if let Some((method, _, _)) = parts
            && method.bytes().any(|byte| byte.is_ascii_lowercase())
        {
            let help = format!("methods are case-sensitive: did you mean `{}`?", method.to_ascii_uppercase());
            out.add(Problem::error("bad_method", node.span, format!("`{method}` is not in upper case")).help(help));
            return None;
        }
        parts.map(|parts| (text, parts))
    });
    let find = |node: &Node, out: &mut Report| {
        let name = reader::text(node, "a token's name", out)?;
        let place = tokens.iter().position(|token| *token.name == *name);
        if place.is_none() {
            let help = reader::suggest(name, tokens.iter().map(|token| &*token.name));
            out.add(Problem::error("unknown_token", node.span, format!("unknown token `{name}`")).help(help));
        }
        place
    };
    let one = fields.get("token", out).map(|node| find(node, out));
    let several = fields.get("tokens", out).and_then(|node| reader::list(node, "a list of tokens' names", out));
    if one.is_some() && fields.has("tokens") {
        out.add(Problem::error("ambiguous_tokens", fields.span, "a case has `token` or `tokens`, not both"));
    }
    let found: Vec<Option<usize>> =
        one.into_iter().chain(several.unwrap_or_default().iter().map(|node| find(node, out))).collect();
    let expect = expected(&fields, out);
    let name = match fields.get("name", out) {
        Some(node) => Some(reader::text(node, "a case's name", out)?.into()),
        None => None,
    };
    let preflight = match fields.get("preflight", out) {
        Some(node) => Some(preflight(node, &found, request, out)?),
        None => None,
    };
    let (text, (method, authority, path)) = request?;
    Some(Case {
        preflight,
        span: fields.span,
        name,
        method: method.into(),
        authority: authority.into(),
        path: path.into(),
        request: text.into(),
        tokens: found.into_iter().collect::<Option<Vec<_>>>()?,
        expect: expect?,
    })
}

fn expected(fields: &Fields<'_>, out: &mut Report) -> Option<Expected> {
    let known = [Expected::Allow, Expected::Deny(None), Expected::WouldDeny(None)].map(|one| (one.decision(), one));
    let expected = reader::choice(fields.required("expect", out)?, &known, out)?;
    let Some(node) = fields.get("reason", out) else { return Some(expected) };
    if expected == Expected::Allow {
        out.add(Problem::error("ambiguous_case", node.span, "what is allowed has no reason").help("take `reason` out"));
        return None;
    }
    let code = reader::text(node, "a reason", out)?;
    let reason = Reason::from_code(code);
    if reason.is_none() {
        let help = reader::suggest(code, Reason::ALL.iter().map(|reason| reason.code()));
        out.add(Problem::error("unknown_reason", node.span, format!("unknown reason `{code}`")).help(help));
    }
    let reason = Some(reason?);
    Some(if expected == Expected::Deny(None) { Expected::Deny(reason) } else { Expected::WouldDeny(reason) })
}

/// Method, authority and path of `GET https://api.example/a?b`.
pub(crate) fn request(text: &str) -> Option<(&str, &str, &str)> {
    let (method, url) = text.split_once(' ')?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(end)?;
    let path = target.split('?').next().unwrap_or_default();
    let sound = !method.is_empty() && !authority.is_empty() && !rest.contains(' ');
    sound.then_some((method, authority, if path.is_empty() { "/" } else { path }))
}

impl Tests {
    /// The issuer that a token says it is of, if the policy has it.
    #[must_use]
    pub fn issuer_of(token: &TestToken, policy: &Policy) -> Option<IssuerId> {
        let iss = token.claims.member("iss").and_then(Json::as_str)?;
        policy.issuer_of(iss).map(|issuer| issuer.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_method_and_a_url() {
        assert_eq!(request("GET https://a.example:8443/b/c?d=/e"), Some(("GET", "a.example:8443", "/b/c")));
        assert_eq!(request("GET http://a"), Some(("GET", "a", "/")));
        for bad in ["GET", "GET /a", "https://a/b", "GET https:///b", "GET ftp://a/b", "GET https://a/b c"] {
            assert_eq!(request(bad), None, "{bad}");
        }
    }
}
