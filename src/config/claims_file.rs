//! One token as a file of its own: for whoever has claims and wants to know what a policy makes of them.

use crate::assurance::Issuer;
use crate::config::cases::{Member, TestToken, members, token};
use crate::config::problem::{Problem, Rejected, Report};
use crate::config::source::{SourceFile, Sources, Span};
use crate::config::yaml::{self, Kind};
use crate::policy::Policy;
use crate::token::{Json, KindRule, Timestamp};

/// Reads one token as tests write them, or claims alone as a decoded token has them: those with their `iss`, and nothing is
/// filled in.
///
/// # Errors
/// Every problem found.
pub fn load_token(file: SourceFile, policy: &Policy, now: Timestamp) -> Result<TestToken, Box<Rejected>> {
    let (mut sources, mut out) = (Sources::default(), Report::default());
    let text = file.text.clone();
    let id = sources.add(file);
    let root = yaml::parse(id, &text, &mut out);
    if root.is_none() && !out.has_errors() {
        out.add(Problem::error("missing_key", Span { file: id, start: 0, end: 0 }, "the file is empty"));
    }
    let token = root.and_then(|root| {
        let has =
            |name: &str| matches!(&root.kind, Kind::Map(pairs) if pairs.iter().any(|(key, _)| *key.text == *name));
        if has("claims") || !has("iss") {
            return token("the token", &root, policy, now, &mut out);
        }
        // What is JSON is taken as a token would have it, to the last digit.
        let exact = Json::parse(&text).ok();
        let claims = match exact {
            Some(claims) => claims,
            None => with_no_defaults(members(&root, now, &mut out)?),
        };
        let iss = claims.member("iss").and_then(Json::as_str).unwrap_or_default();
        let typ = policy.issuer_of(iss).and_then(|issuer| usual_typ(issuer, &claims));
        Some(TestToken { name: "the token".into(), typ, claims })
    });
    match token {
        Some(token) if !out.has_errors() => Ok(token),
        Some(_) | None => Err(Box::new(Rejected { problems: out.into_problems(), sources })),
    }
}

fn with_no_defaults(members: Vec<Member>) -> Json {
    Json::object(members.into_iter().map(|(name, value)| (name, value.unwrap_or(Json::Null))))
}

/// The `typ` that tokens for this audience mostly have.
fn usual_typ(issuer: &Issuer, claims: &Json) -> Option<Box<str>> {
    let rules = [&issuer.expectation.access, &issuer.expectation.id];
    let is_for = |rule: &&KindRule| {
        let named = rule.audience_from.find(claims);
        let ours = |value: &Json| rule.audiences.iter().any(|ours| value.as_str() == Some(ours));
        named.is_some_and(|named| ours(named) || named.as_array().is_some_and(|all| all.iter().any(ours)))
    };
    let rule = rules.into_iter().flatten().find(is_for)?;
    rule.types.first().cloned().flatten()
}
