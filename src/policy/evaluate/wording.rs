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
        let mut text = String::with_capacity(128);
        self.add_evidence(&mut text);
        text
    }

    fn add_evidence(&self, text: &mut String) {
        text.push_str("acr is ");
        match &self.witness.evidence.acr {
            Fact::Known(values) => add_list(text, values.iter().map(|value| &**value)),
            Fact::Absent => text.push_str("absent"),
            Fact::Malformed => text.push_str("malformed"),
        }
        text.push_str(", amr is ");
        let methods = match &self.witness.evidence.amr {
            Fact::Known(methods) => methods,
            Fact::Absent => return text.push_str("absent"),
            Fact::Malformed => return text.push_str("malformed"),
        };
        add_list(text, methods.iter().map(|method| &*method.value));
        let known = |method: &&Method| self.issuer.methods.get(&method.value).is_some();
        let mut unknown = methods.iter().filter(|method| !known(method)).map(|method| &*method.value).peekable();
        if unknown.peek().is_some() {
            text.push_str(" (");
            add_list(text, unknown);
            text.push_str(" has no factor class)");
        }
    }
}

pub(super) fn list(values: &[Box<str>]) -> String {
    let mut text = String::new();
    add_list(&mut text, values.iter().map(|value| &**value));
    text
}

/// Adds values in back-ticks, escaped and bounded: claims are the issuer's, but a log is ours.
fn add_list<'v>(text: &mut String, values: impl Iterator<Item = &'v str>) {
    const MOST: usize = 8;
    let mut values = values.enumerate().peekable();
    if values.peek().is_none() {
        text.push_str("empty");
    }
    for (number, value) in values {
        if number == MOST {
            return text.push_str(" …");
        }
        text.push_str(if number == 0 { "`" } else { " `" });
        let plain =
            value.len() <= LONGEST && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !ESCAPED.contains(&byte));
        if plain {
            text.push_str(value);
        } else {
            text.extend(value.chars().take(LONGEST).flat_map(char::escape_debug));
        }
        text.push('`');
    }
}

/// The most characters that are shown of one value.
const LONGEST: usize = 64;
/// What `escape_debug` changes of the characters that ASCII shows.
const ESCAPED: &[u8] = b"\\\"'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_escaped_and_bounded() {
        let of = |values: &[&str]| list(&values.iter().map(|value| Box::from(*value)).collect::<Vec<_>>());
        assert_eq!(of(&[]), "empty");
        assert_eq!(of(&["pwd", "urn:a b"]), "`pwd` `urn:a b`");
        for mark in ["\n", "\"", "'", "\\", "\u{7f}", "é\u{301}", "\u{200b}"] {
            assert_eq!(of(&[mark]), format!("`{}`", mark.chars().flat_map(char::escape_debug).collect::<String>()));
        }
        assert_eq!(of(&[&"x".repeat(64)]), format!("`{}`", "x".repeat(64)));
        assert_eq!(of(&[&"x".repeat(65)]), format!("`{}`", "x".repeat(64)));
        assert_eq!(of(&["v"; 8]), ["`v`"; 8].join(" "));
        assert_eq!(of(&["v"; 9]), format!("{} …", ["`v`"; 8].join(" ")));
    }
}
