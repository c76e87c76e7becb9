//! One reason, with what is gathered for it: its guide, how `respond` answers it, and what the shipped profiles add.

use serde_json::{Value, json};

use crate::config::profile;
use crate::proxy::{Told, told};
use crate::reason::{Guide, Reason};

/// All about one reason.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) reason: Reason,
    pub(super) guide: &'static Guide,
    /// How the client is answered, with the case that each answer is for.
    pub(super) answers: Vec<(&'static str, Told)>,
    /// What shipped profiles have an operator look at, by their names.
    pub(super) profiles: Vec<(&'static str, String)>,
}

/// The shipped profiles, each in its newest version.
fn newest() -> impl Iterator<Item = &'static profile::Profile> {
    profile::ALL.iter().filter(|profile| profile.is_newest())
}

impl Entry {
    pub(super) fn of(reason: Reason) -> Self {
        let (mendable, hopeless) = (told(reason, true), told(reason, false));
        let answers = if mendable == hopeless {
            vec![("", mendable)]
        } else {
            vec![("a new sign-in could mend it", mendable), ("this issuer can never prove what is asked", hopeless)]
        };
        let hint = |profile: &profile::Profile| {
            let head = profile.head().ok()?;
            head.hints.get(reason).map(|hint| (profile.name(), hint.to_owned()))
        };
        Self { reason, guide: reason.guide(), answers, profiles: newest().filter_map(hint).collect() }
    }

    pub(super) fn json(&self) -> Value {
        let Guide { causes, remedy, hint, new_sign_in, sources } = self.guide;
        let answers: Vec<Value> = self
            .answers
            .iter()
            .map(|(when, told)| {
                json!({
                    "when": Some(*when).filter(|when| !when.is_empty()),
                    "status": told.status,
                    "challenge": told.challenged,
                    "error": told.error,
                    "reason_named": told.named,
                })
            })
            .collect();
        let profiles: serde_json::Map<String, Value> =
            self.profiles.iter().map(|(name, hint)| ((*name).to_owned(), hint.as_str().into())).collect();
        json!({
            "code": self.reason.code(),
            "meaning": self.reason.meaning(),
            "causes": causes,
            "remedy": remedy,
            "answers": answers,
            "new_sign_in": new_sign_in.name(),
            "hint": hint,
            "profiles": profiles,
            "sources": sources,
        })
    }

    /// The statuses with which it is answered: `401 or 403`.
    pub(super) fn statuses(&self) -> String {
        self.answers.iter().map(|(_, told)| told.status.to_string()).collect::<Vec<_>>().join(" or ")
    }

    /// How the client is answered, a sentence each.
    pub(super) fn answered(&self) -> impl Iterator<Item = String> {
        self.answers.iter().map(|(when, told)| {
            let challenge = match (told.challenged, told.error) {
                (_, Some(error)) => format!("with a challenge, error `{error}`"),
                (true, None) => "with a challenge that has no error code".to_owned(),
                (false, None) => "without a challenge".to_owned(),
            };
            let challenge = if told.status == 503 { format!("{challenge}, and `Retry-After`") } else { challenge };
            let named = if told.named { "the body names the reason" } else { "the body does not name the reason" };
            let when = if when.is_empty() { String::new() } else { format!(", where {when}") };
            format!("{} {challenge}{when}; {named}", told.status)
        })
    }
}
