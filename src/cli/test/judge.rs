//! A case's way: that of a request, without sockets and signatures, with each step told.

use crate::assurance::{Assurance, IssuerId, pair};
use crate::config::cases::{Case, TestToken, Tests};
use crate::policy::{
    self, CanonicalPath, Denial, Permit, Policy, Reckoned, Requirement, Route, Step, Target, Tokens, canonical_host,
    ground, judge_preflight, overlook, reckon, retell,
};
use crate::reason::Reason;
use crate::token::{Timestamp, TokenKind, danger_assume_signed};

/// What came of a case, and how.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) struct Judged {
    /// What was decided.
    pub(in crate::cli) decision: Decision,
    /// The decision in a line.
    pub(super) text: String,
    /// The steps before it.
    pub(super) steps: Vec<Told>,
    /// What an operator would be told to look at.
    pub(super) hint: Option<String>,
    /// What of the policy it came by.
    pub(super) seen: Seen,
}

/// What of a policy a case came by.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    /// The route: its place in the policy.
    pub(super) route: Option<usize>,
    /// The names of the floors under it.
    pub(super) floors: Vec<Box<str>>,
    /// The issuer of the tokens that were believed, and what each of them came to.
    pub(super) reckoned: Option<(IssuerId, Vec<Reckoned>)>,
}

/// What was decided of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Decision {
    Allow,
    Deny(Reason),
    /// It is let through, since its route only observes.
    WouldDeny(Reason),
}

impl Decision {
    /// As the audit log has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny(_) => "deny",
            Self::WouldDeny(_) => "would_deny",
        }
    }

    pub(super) const fn reason(self) -> Option<Reason> {
        match self {
            Self::Allow => None,
            Self::Deny(reason) | Self::WouldDeny(reason) => Some(reason),
        }
    }
}

/// A step, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) name: &'static str,
    pub(super) text: String,
}

impl Told {
    fn of(step: &Step<'_>, policy: &Policy) -> Self {
        Self { name: step.name(), text: step.text(policy) }
    }
}

/// Judges a case.
pub(in crate::cli) fn judge(case: &Case, tokens: &[&TestToken], policy: &Policy, now: Timestamp) -> Judged {
    let (mut steps, mut seen) = (Vec::new(), Seen::default());
    let outcome = walk(case, tokens, policy, now, &mut steps, &mut seen);
    let (decision, denial) = match &outcome {
        Ok(permit) => {
            (permit.would_deny().map_or(Decision::Allow, |d| Decision::WouldDeny(d.reason)), permit.would_deny())
        }
        Err(denial) => (Decision::Deny(denial.reason), Some(denial)),
    };
    let hint = denial.map(|denial| policy.hint(denial.reason, denial.issuer).to_owned());
    Judged { decision, text: Step::Decided(outcome).text(policy), steps, hint, seen }
}

fn refused(reason: Reason, detail: impl Into<String>) -> Denial {
    Denial { detail: detail.into(), ..Denial::because(reason) }
}

fn walk(
    case: &Case,
    tokens: &[&TestToken],
    policy: &Policy,
    now: Timestamp,
    told: &mut Vec<Told>,
    seen: &mut Seen,
) -> Result<Permit, Denial> {
    if matches!(&*case.method, "CONNECT" | "TRACE") {
        return Err(refused(Reason::RequestMalformed, format!("{} is never forwarded", case.method)));
    }
    let host = canonical_host(&case.authority)
        .ok_or_else(|| refused(Reason::RequestMalformed, format!("`{}` is no host", case.authority)))?;
    let path = CanonicalPath::of_request(&case.path)
        .map_err(|ambiguity| refused(Reason::PathAmbiguous, ambiguity.to_string()))?;
    let target = Target { method: &case.method, host: &host, path: &path };
    if let Some((place, route, permit)) =
        case.preflight.as_deref().and_then(|asked| judge_preflight(policy, &target, asked))
    {
        seen.route = Some(place);
        told.extend(ground(policy, route, &target).iter().map(|step| Told::of(step, policy)));
        return Ok(permit);
    }
    let (place, route) = policy.route_at(&target)?;
    seen.route = Some(place);
    seen.floors = policy.floors_under(route, &target).map(|floor| floor.name.clone()).collect();
    let mut rejected = Vec::new();
    let verified = if route.require == Requirement::Public {
        Vec::new()
    } else {
        match verify(tokens, route, policy, now, &mut rejected) {
            Ok(verified) => verified,
            Err(denial) => {
                told.extend(ground(policy, route, &target).iter().map(|step| Told::of(step, policy)));
                told.append(&mut rejected);
                return overlook(policy, route, &target, denial);
            }
        }
    };
    let of = |kind: TokenKind| verified.iter().find(|token| token.kind == kind);
    let tokens = match (of(TokenKind::Access), of(TokenKind::Id)) {
        (Some(access), Some(id)) => {
            // No text was ever signed, so an `at_hash` fits nothing here: `sid` or `pair: subject` ties a pair.
            let tied = policy.issuer(access.issuer).is_some_and(|issuer| pair::belong(issuer, access, "", id));
            if !tied {
                told.extend(ground(policy, route, &target).iter().map(|step| Told::of(step, policy)));
                let denial = Denial { issuer: Some(access.issuer), ..Denial::because(Reason::TokensDisagree) };
                return overlook(policy, route, &target, denial);
            }
            Some(Tokens::Pair { access, id })
        }
        (Some(one), None) | (None, Some(one)) => Some(Tokens::One(one)),
        (None, None) => None,
    };
    seen.reckoned = tokens.map(|tokens| {
        let issuer = match tokens {
            Tokens::One(token) | Tokens::Pair { access: token, .. } => token.issuer,
        };
        (issuer, reckon(policy, route, &target, tokens, now))
    });
    let steps = retell(policy, route, &target, tokens, now);
    told.extend(steps.iter().filter(|step| !matches!(step, Step::Decided(_))).map(|step| Told::of(step, policy)));
    policy::judge(policy, route, &target, tokens, now).map_err(|denial| {
        let main = verified.first().map(|token| token.issuer);
        Denial { issuer: denial.issuer.or(main), ..denial }
    })
}

/// Verifies all tokens; of several reasons the first in precedence is the one. Each that is rejected is told.
fn verify(
    tokens: &[&TestToken],
    route: &Route,
    policy: &Policy,
    now: Timestamp,
    rejected: &mut Vec<Told>,
) -> Result<Vec<Assurance>, Denial> {
    let mut verified: Vec<Assurance> = Vec::new();
    let mut refused: Option<Denial> = None;
    for token in tokens {
        let outcome = verify_one(token, route, policy, now).and_then(|assurance| {
            if verified.iter().any(|known| known.kind == assurance.kind) {
                let issuer = Some(assurance.issuer);
                return Err(Denial { issuer, ..Denial::because(Reason::TokenDuplicate) });
            }
            Ok(assurance)
        });
        match outcome {
            Ok(assurance) => verified.push(assurance),
            Err(denial) => {
                let why = if denial.detail.is_empty() { denial.reason.meaning() } else { &denial.detail };
                let text = format!("{} is not taken ({}: {why})", token.name, denial.reason);
                rejected.push(Told { name: "token", text });
                if refused.as_ref().is_none_or(|first| denial.reason < first.reason) {
                    refused = Some(denial);
                }
            }
        }
    }
    refused.map_or(Ok(verified), Err)
}

fn verify_one(token: &TestToken, route: &Route, policy: &Policy, now: Timestamp) -> Result<Assurance, Denial> {
    let id: IssuerId =
        Tests::issuer_of(token, policy).ok_or_else(|| refused(Reason::IssuerUnknown, "no issuer has this `iss`"))?;
    let of_issuer = |denial: Denial| Denial { issuer: Some(id), ..denial };
    let issuer = policy.issuer(id).ok_or_else(|| Denial::because(Reason::IssuerUnknown))?;
    let believed = danger_assume_signed(token.claims.clone(), token.typ.as_deref(), &issuer.expectation, now)
        .map_err(|rejection| of_issuer(refused(rejection.reason, rejection.detail.into_owned())))?;
    let assurance = issuer.assess(&believed, policy.claims());
    if !route.take.iter().any(|source| source.kinds.takes(assurance.kind)) {
        let detail = format!("this route takes no {} token", assurance.kind.name());
        return Err(of_issuer(refused(Reason::TokenKindWrong, detail)));
    }
    Ok(assurance)
}
