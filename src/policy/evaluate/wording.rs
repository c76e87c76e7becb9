//! Why a condition failed, in words for the operator. Only refusals come here, so it may take its time.
//!
//! Names what the policy asks and what the token's evidence says; never a token, a subject, or a claim that the policy
//! only compares.

use crate::assurance::{Caller, Fact, Method};
use crate::policy::evaluate::Case;
use crate::policy::requirement::{Condition, WantedCaller};
use crate::reason::Reason;

impl Case<'_> {
    /// One sentence on why this condition fails for this reason.
    pub(super) fn why(&self, condition: &Condition, reason: Reason) -> String {
        match condition {
            Condition::Issuers(_) => format!("tokens of issuer `{}` are not taken on this route", self.issuer.name),
            Condition::Audience(wanted) => {
                format!("the route asks for audience {}, the token has {}", list(wanted), list(&self.main.audiences))
            }
            Condition::Caller(_) | Condition::Level(_) | Condition::MaxAge(_) | Condition::Evidence(_)
                if reason == Reason::CallerWrong =>
            {
                self.who(matches!(condition, Condition::Caller(WantedCaller::Client))).to_owned()
            }
            Condition::Clients(wanted) => {
                let client = self.main.client.as_deref().unwrap_or("none");
                format!("the route takes the clients {}, the token's is `{client}`", list(wanted))
            }
            Condition::Level(needed) => {
                let ladders = self.policy.ladders();
                let reached = self.levels().into_iter().find(|rung| rung.ladder() == needed.ladder());
                let reached = reached.map_or("no level", |rung| ladders.name(rung));
                format!("reached {reached}, needs {}; {}", ladders.name(*needed), self.evidence())
            }
            Condition::Evidence(_) => self.evidence(),
            Condition::MaxAge(seconds) => match &self.witness.evidence.auth_time {
                Fact::Known(at) if reason == Reason::AuthTooOld => {
                    let age = self.now.seconds().saturating_sub(at.seconds());
                    format!("signed in {age} s ago, the route allows {seconds} s")
                }
                Fact::Known(_) => "`auth_time` is in the future".into(),
                Fact::Absent => "the token has no `auth_time`".into(),
                Fact::Malformed => "`auth_time` is not a date (a number of seconds)".into(),
            },
            Condition::Scopes { all, any } => {
                let lacks: Vec<Box<str>> = all.iter().filter(|one| !self.main.scopes.contains(one)).cloned().collect();
                if lacks.is_empty() {
                    format!("the token has none of the scopes {}", list(any))
                } else {
                    format!("the token lacks the scopes {}", list(&lacks))
                }
            }
            Condition::Bind { parameter, claim } => {
                let claim = self.policy.claims().name(*claim);
                format!("`{{{parameter}}}` in the path is not what the claim `{claim}` names")
            }
            Condition::Caller(_) | Condition::All(_) | Condition::Any(_) => String::new(),
        }
    }

    fn who(&self, client_wanted: bool) -> &'static str {
        match self.main.caller {
            Caller::Unclear => "the token's subject or client cannot be read, so who calls is not certain",
            Caller::User if client_wanted => "a user calls where only a client by itself may",
            Caller::User | Caller::Client => "a client calls for itself where a user must sign in",
        }
    }

    /// What the token says of the sign-in, and which of its methods count for nothing for want of a class.
    fn evidence(&self) -> String {
        let acr = match &self.witness.evidence.acr {
            Fact::Known(values) => list(values),
            Fact::Absent => "absent".into(),
            Fact::Malformed => "malformed".into(),
        };
        let (amr, unknown) = match &self.witness.evidence.amr {
            Fact::Known(methods) => {
                let values: Vec<Box<str>> = methods.iter().map(|method| method.value.clone()).collect();
                let unknown = |method: &&Method| self.issuer.methods.get(&method.value).is_none();
                (list(&values), methods.iter().filter(unknown).map(|method| method.value.clone()).collect::<Vec<_>>())
            }
            Fact::Absent => ("absent".into(), Vec::new()),
            Fact::Malformed => ("malformed".into(), Vec::new()),
        };
        let unknown =
            if unknown.is_empty() { String::new() } else { format!(" ({} has no factor class)", list(&unknown)) };
        format!("acr is {acr}, amr is {amr}{unknown}")
    }
}

/// Values in back-ticks, escaped and bounded: claims are the issuer's, but a log is ours.
pub(super) fn list(values: &[Box<str>]) -> String {
    const MOST: usize = 8;
    let mut text = String::new();
    for (number, value) in values.iter().take(MOST).enumerate() {
        text.push_str(if number == 0 { "`" } else { " `" });
        text.extend(value.chars().take(64).flat_map(char::escape_debug));
        text.push('`');
    }
    match values.len() {
        0 => "empty".into(),
        1..=MOST => text,
        _ => text + " …",
    }
}
