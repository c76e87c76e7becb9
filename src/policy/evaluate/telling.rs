//! Steps of a decision as text, a line each: for people, and for whoever shows them.
//!
//! Names what the policy asks and what a token says of the sign-in; never a token or a subject.

use crate::assurance::{Assurance, Caller, Expression, Fact, Method, Truth};
use crate::policy::Policy;
use crate::policy::decision::{Denial, Grounds};
use crate::policy::evaluate::steps::{Asked, Step, What};
use crate::policy::evaluate::wording::list;
use crate::policy::exception::{Exception, Standing, Tried};
use crate::policy::host::HostPattern;
use crate::policy::observe::Mode;
use crate::policy::pattern::{Match, Methods};
use crate::policy::requirement::{Condition, Requirement, WantedCaller};
use crate::token::{Json, Timestamp, TokenKind};

impl Step<'_> {
    /// What kind of step it is, in one word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Route(_) => "route",
            Self::Floor(_) => "floor",
            Self::Token(_) => "token",
            Self::Evidence { .. } => "evidence",
            Self::Level { .. } => "level",
            Self::Asked(_) => "asks",
            Self::Exception(..) => "exception",
            Self::Decided(_) => "decided",
        }
    }

    /// What there is to say of it.
    #[must_use]
    pub fn text(&self, policy: &Policy) -> String {
        match self {
            Self::Route(route) => {
                let public = if route.require == Requirement::Public { ", public" } else { "" };
                let observed = if route.mode == Mode::Enforce { "" } else { ", mode " };
                let mode = if observed.is_empty() { "" } else { route.mode.name() };
                format!("{}, {}{public}{observed}{mode}", route.name, pattern(&route.matches, usize::MAX))
            }
            Self::Floor(floor) => format!("{}, {}", floor.name, pattern(&floor.matches, usize::MAX)),
            Self::Token(token) => {
                let issuer = policy.issuer(token.issuer).map_or("an unknown issuer", |issuer| &*issuer.name);
                let caller = match token.caller {
                    Caller::User => "a user",
                    Caller::Client => "a client for itself",
                    Caller::Unclear => "nobody who can be named",
                };
                format!("{} of {issuer}, for {caller}", kind(token.kind))
            }
            Self::Evidence { token, ignored, now } => evidence(policy, token, ignored, *now),
            Self::Level { witness, reached } => {
                let names: Vec<&str> = reached.iter().map(|rung| policy.ladders().name(*rung)).collect();
                let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                format!("{names}, by the {}", kind(*witness))
            }
            Self::Asked(asked) => asked.text(policy),
            Self::Exception(exception, tried) => excepting(policy, exception, tried),
            Self::Decided(Ok(permit)) => {
                let names: Vec<&str> = permit.levels().iter().map(|rung| policy.ladders().name(*rung)).collect();
                match permit.grounds() {
                    Grounds::Observed(denial) => format!("would_deny: {}", why(denial)),
                    Grounds::ErrorResponse => "allow, as the identity provider's error response".to_owned(),
                    Grounds::Preflight => "allow, as a preflight".to_owned(),
                    Grounds::Excepted(by) => {
                        let at = if names.is_empty() { String::new() } else { format!(", at {}", names.join(", ")) };
                        format!("allow{at}, by the exception {}; the route itself says {}", by.name, why(&by.refusal))
                    }
                    Grounds::Met if names.is_empty() => "allow".to_owned(),
                    Grounds::Met => format!("allow, at {}", names.join(", ")),
                }
            }
            Self::Decided(Err(denial)) => format!("deny: {}", why(denial)),
        }
    }
}

fn why(denial: &Denial) -> String {
    let why = if denial.detail.is_empty() { denial.reason.meaning() } else { &denial.detail };
    format!("{} ({why})", denial.reason)
}

fn excepting(policy: &Policy, exception: &Exception, tried: &Tried) -> String {
    let Exception { name, until_written, .. } = exception;
    let came = match tried {
        Tried::Not(Standing::Over) => format!("ended at {until_written}"),
        Tried::Not(Standing::Ahead | Standing::InForce) => {
            format!("has not begun: it holds for the last 7 days before {until_written}")
        }
        Tried::ForOthers => "is for others".to_owned(),
        Tried::Refused(denial) => format!("does not let it in either: {}", why(denial)),
        Tried::Lets(_) => {
            let asks = exception.instead.as_ref().map(|instead| {
                let asks: Vec<String> = instead.conditions.iter().map(|condition| asked(policy, condition)).collect();
                asks.join(" and ")
            });
            let asks = asks.unwrap_or_else(|| "any valid token".to_owned());
            format!("lets it in until {until_written}: asked instead is {asks}")
        }
    };
    format!("{name} {came}")
}

impl Asked<'_> {
    fn text(&self, policy: &Policy) -> String {
        let held = match self.holds {
            Truth::True => "met",
            Truth::False => "not met",
            Truth::Unknown => "not certain",
        };
        let what = match self.what {
            What::ValidToken => "any valid token".to_owned(),
            What::Condition(condition) => asked(policy, condition),
            What::Part(number) => format!("part {number}"),
            What::Proof(proof) => {
                format!("{} is proved by {}", policy.ladders().name(proof.rung), expression(policy, &proof.evidence))
            }
        };
        let by = self.by.filter(|_| self.depth == 0).map(|floor| format!(", asked by the floor {}", floor.name));
        let why = match &self.because {
            None => String::new(),
            Some((reason, why)) if why.is_empty() => format!(" ({reason})"),
            Some((reason, why)) => format!(" ({reason}: {why})"),
        };
        format!("{:indent$}{held}: {what}{}{why}", "", by.unwrap_or_default(), indent = self.depth.saturating_mul(2))
    }
}

impl Condition {
    /// What it asks, in words; of `all` and `any` not what their parts ask.
    #[must_use]
    pub fn text(&self, policy: &Policy) -> String {
        asked(policy, self)
    }
}

impl Match {
    /// What it matches, in words: of many hosts and of many methods so many at the most.
    #[must_use]
    pub fn text(&self, most: usize) -> String {
        pattern(self, most)
    }
}

const fn kind(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Access => "access token",
        TokenKind::Id => "id_token",
    }
}

fn pattern(matches: &Match, most: usize) -> String {
    let more = |all: usize| match all.saturating_sub(most) {
        0 => String::new(),
        left => format!(" and {left} more"),
    };
    let methods = match &matches.methods {
        Methods::Any => "any method".to_owned(),
        Methods::Named(names) => {
            let first: Vec<&str> = names.iter().take(most).map(|name| &**name).collect();
            first.join(" ") + &more(names.len())
        }
    };
    let hosts: Vec<String> = matches
        .hosts
        .iter()
        .take(most)
        .map(|host| match host {
            HostPattern::Any => "any host".to_owned(),
            HostPattern::Exact(name) => name.to_string(),
            HostPattern::Suffix(suffix) => format!("*{suffix}"),
        })
        .collect();
    format!("{methods} on {}{}, path {}", hosts.join(" "), more(matches.hosts.len()), matches.path_written)
}

fn evidence(policy: &Policy, token: &Assurance, ignored: &[Box<str>], now: Timestamp) -> String {
    let acr = match &token.evidence.acr {
        Fact::Known(values) => list(values),
        Fact::Absent => "absent".to_owned(),
        Fact::Malformed => "malformed".to_owned(),
    };
    let amr = match &token.evidence.amr {
        Fact::Known(methods) if methods.is_empty() => "empty".to_owned(),
        Fact::Known(methods) => {
            methods.iter().map(|method| worth(policy, token, method, ignored)).collect::<Vec<_>>().join(" ")
        }
        Fact::Absent => "absent".to_owned(),
        Fact::Malformed => "malformed".to_owned(),
    };
    let signed_in = match &token.evidence.auth_time {
        Fact::Known(at) => format!("signed in {} s ago", now.seconds().saturating_sub(at.seconds())),
        Fact::Absent => "auth_time absent".to_owned(),
        Fact::Malformed => "auth_time malformed".to_owned(),
    };
    format!("acr {acr}; amr {amr}; {signed_in}")
}

/// A method with its classes: `pop` (possession, perhaps inherence, phishing-resistant).
fn worth(policy: &Policy, token: &Assurance, method: &Method, ignored: &[Box<str>]) -> String {
    let known = policy.issuer(token.issuer).is_some_and(|issuer| issuer.methods.get(&method.value).is_some());
    let mut words: Vec<String> = method.class.is.names().map(str::to_owned).collect();
    words.extend(method.class.may.names().map(|name| format!("perhaps {name}")));
    if words.is_empty() {
        words.push(if known { "no factor" } else { "no factor class here" }.to_owned());
    }
    if method.class.phishing_resistant == Some(true) {
        words.push("phishing-resistant".to_owned());
    }
    if method.class.hardware == Some(true) {
        words.push("hardware".to_owned());
    }
    if method.ignored || ignored.contains(&method.value) {
        words.push("ignored".to_owned());
    }
    format!("{} ({})", list(std::slice::from_ref(&method.value)), words.join(", "))
}

pub(super) fn asked(policy: &Policy, condition: &Condition) -> String {
    match condition {
        Condition::Issuers(ids) => {
            let names = ids.iter().filter_map(|id| policy.issuer(*id)).map(|issuer| issuer.name.clone());
            format!("issuers {}", list(&names.collect::<Vec<_>>()))
        }
        Condition::Audience(values) => format!("audience {}", list(values)),
        Condition::Caller(WantedCaller::User) => "caller user".to_owned(),
        Condition::Caller(WantedCaller::Client) => "caller client".to_owned(),
        Condition::Clients(values) => format!("clients {}", list(values)),
        Condition::Level(rung) => format!("level {}", policy.ladders().name(*rung)),
        Condition::Evidence(evidence) => expression(policy, evidence),
        Condition::MaxAge(seconds) => format!("max_age {seconds} s"),
        Condition::Scopes { all, any } => {
            let all = (!all.is_empty()).then(|| format!("all scopes of {}", list(all)));
            let any = (!any.is_empty()).then(|| format!("any scope of {}", list(any)));
            all.into_iter().chain(any).collect::<Vec<_>>().join(" and ")
        }
        Condition::Bind { parameter, claim } => {
            format!("{{{parameter}}} of the path is what `{}` names", policy.claims().name(*claim))
        }
        Condition::All(_) => "all of these".to_owned(),
        Condition::Any(_) => "any of these".to_owned(),
    }
}

pub(super) fn expression(policy: &Policy, evidence: &Expression) -> String {
    let parts = |parts: &[Expression], word: &str| {
        let parts: Vec<String> = parts.iter().map(|part| expression(policy, part)).collect();
        format!("({})", parts.join(word))
    };
    match evidence {
        Expression::All(all) => parts(all, " and "),
        Expression::Any(any) => parts(any, " or "),
        Expression::Not(part) => format!("not {}", expression(policy, part)),
        Expression::Acr(values) => format!("acr any of {}", list(values)),
        Expression::AcrAtLeast(least) => format!("acr at least {least}"),
        Expression::AmrAny(values) => format!("amr any of {}", list(values)),
        Expression::AmrAll(values) => format!("amr all of {}", list(values)),
        Expression::AmrNone(values) => format!("amr none of {}", list(values)),
        Expression::AmrOnly(values) => format!("amr only {}", list(values)),
        Expression::AmrCount(least) => format!("amr count {least}"),
        Expression::Factors(needed) => format!("factors {needed}"),
        Expression::PhishingResistant => "phishing_resistant".to_owned(),
        Expression::Hardware => "hardware".to_owned(),
        Expression::Claim(slot, wanted) => {
            let text = |value: &Json| match value {
                Json::String(text) => (**text).into(),
                other @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
                    serde_json::to_string(other).unwrap_or_default().into()
                }
            };
            let wanted: Vec<Box<str>> = wanted.iter().map(text).collect();
            format!("claim `{}` any of {}", policy.claims().name(*slot), list(&wanted))
        }
        Expression::Present(slot) => format!("claim `{}` is there", policy.claims().name(*slot)),
    }
}
