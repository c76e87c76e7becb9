//! The audit line: one JSON object a decision, with what `replay` needs and never a token.

use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

use crate::assurance::{Fact, Method, Rung};
use crate::audit::timestamp::Rfc3339;
use crate::clock;
use crate::policy::{CanonicalPath, Permit, Target};
use crate::reason::Reason;
use crate::telemetry::Decision;
use crate::telemetry::sink::Gap;
use crate::token::{Json, Timestamp};

/// What is written of one decision. Serialized, its members stand in the documented order, all of them always.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Which way in the request took: `proxy`.
    pub via: &'a str,
    /// What was decided of it. Its path is written without what stands after a `?`.
    pub decision: Decision<'a>,
}

impl Line<'_> {
    fn levels(&self) -> &[Rung] {
        self.decision.outcome.map_or_else(|denial| denial.levels.as_slice(), Permit::levels)
    }

    fn issuer(&self) -> Option<&str> {
        self.decision.issuer().and_then(|id| self.decision.policy.issuer(id)).map(|issuer| &*issuer.name)
    }

    /// The name of the rung that was reached on the main ladder.
    fn level(&self) -> Option<&str> {
        let rung = self.levels().iter().find(|rung| rung.ladder() == 0)?;
        Some(self.decision.policy.ladders().name(*rung))
    }
}

/// The version of this format.
const VERSION: u8 = 1;
const ALLOW: &str = "allow";
const ENFORCE: &str = "enforce";

/// What is written when an allowed request's upstream failed it: a second, short line with the id of the first.
#[derive(Clone, Copy, Debug)]
pub struct FailureLine<'a> {
    /// When it failed.
    pub at: Timestamp,
    /// The request's id.
    pub id: &'a str,
    /// Which way in it took.
    pub via: &'a str,
    /// The route's name.
    pub route: &'a str,
    /// The upstream's name.
    pub upstream: &'a str,
    /// How it failed.
    pub reason: Reason,
    /// The status with which the gate answered in its place.
    pub status: u16,
}

/// What is written of lines that are missing, as soon as something can be written again.
#[derive(Clone, Copy, Debug)]
pub struct GapLine<'a> {
    at: Timestamp,
    gap: &'a Gap,
}

impl<'a> GapLine<'a> {
    /// One that is written now.
    #[must_use]
    pub fn now(gap: &'a Gap) -> Self {
        Self { at: clock::now(), gap }
    }

    /// Adds it to lines.
    pub fn append_to(&self, lines: &mut Vec<u8>) {
        let before = lines.len();
        // Numbers and moments can always be written; were that to change, half a line is worse than none.
        match serde_json::to_writer(&mut *lines, self) {
            Ok(()) => lines.push(b'\n'),
            Err(_never) => lines.truncate(before),
        }
    }
}

impl Serialize for GapLine<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Gap { lost, refused, doubtful, since, until } = *self.gap;
        let mut line = out.serialize_struct("GapLine", 7)?;
        line.serialize_field("v", &VERSION)?;
        line.serialize_field("ts", &Rfc3339(self.at))?;
        line.serialize_field("lost", &lost)?;
        line.serialize_field("refused", &refused)?;
        line.serialize_field("doubtful", &doubtful)?;
        line.serialize_field("since", &Rfc3339(since))?;
        line.serialize_field("until", &Rfc3339(until))?;
        line.end()
    }
}

impl Serialize for FailureLine<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut line = out.serialize_struct("FailureLine", 10)?;
        line.serialize_field("v", &VERSION)?;
        line.serialize_field("ts", &Rfc3339(self.at))?;
        line.serialize_field("id", self.id)?;
        line.serialize_field("via", self.via)?;
        line.serialize_field("route", self.route)?;
        line.serialize_field("mode", ENFORCE)?;
        line.serialize_field("decision", ALLOW)?;
        line.serialize_field("reason", self.reason.code())?;
        line.serialize_field("status", &self.status)?;
        line.serialize_field("upstream", self.upstream)?;
        line.end()
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Decision { at, id, trace, method, host, path, policy, route, outcome, status, micros, .. } = self.decision;
        let token = self.decision.assurance;
        let mut line = out.serialize_struct("Line", 26)?;
        line.serialize_field("v", &VERSION)?;
        line.serialize_field("ts", &Rfc3339(at))?;
        line.serialize_field("id", id)?;
        line.serialize_field("trace", &trace)?;
        line.serialize_field("via", self.via)?;
        line.serialize_field("method", method)?;
        line.serialize_field("host", host)?;
        line.serialize_field("path", without_query(path))?;
        line.serialize_field("route", &route.map(|route| &*route.name))?;
        line.serialize_field("mode", ENFORCE)?;
        line.serialize_field("decision", if outcome.is_ok() { ALLOW } else { "deny" })?;
        line.serialize_field("reason", &outcome.err().map(|denial| denial.reason.code()))?;
        line.serialize_field("hint", &self.decision.hint())?;
        line.serialize_field("status", &status)?;
        line.serialize_field("issuer", &self.issuer())?;
        line.serialize_field("kind", &token.map(|token| token.kind.name()))?;
        line.serialize_field("subject", &token.and_then(|token| token.subject.as_deref()))?;
        line.serialize_field("client", &token.and_then(|token| token.client.as_deref()))?;
        line.serialize_field("acr", &token.and_then(|token| token.evidence.acr.known()))?;
        line.serialize_field("amr", &token.and_then(|token| token.evidence.amr.known()).map(|amr| Methods(amr)))?;
        let auth_time = token.and_then(|token| match &token.evidence.auth_time {
            Fact::Known(at) => Some(at.seconds()),
            Fact::Absent | Fact::Malformed => None,
        });
        line.serialize_field("auth_time", &auth_time)?;
        line.serialize_field("level", &self.level())?;
        line.serialize_field("required", &Required(&self.decision))?;
        line.serialize_field("facts", &Facts(&self.decision))?;
        line.serialize_field("policy", policy.hash())?;
        line.serialize_field("micros", &micros)?;
        line.end()
    }
}

/// A query may carry anything, tokens too.
fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
}

/// `amr` as the issuer sent it, after renaming.
struct Methods<'a>(&'a [Method]);

impl Serialize for Methods<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(self.0.iter().map(|method| &method.value))
    }
}

/// The rungs that the route asks for, and the floors under this request, each once.
struct Required<'a>(&'a Decision<'a>);

impl Serialize for Required<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Decision { policy, route, method, host, path, .. } = *self.0;
        let Some(route) = route else { return out.serialize_seq(Some(0))?.end() };
        let mut rungs = route.require.demand().map(|demand| demand.rungs()).unwrap_or_default();
        if !route.floors.is_empty()
            && let Ok(path) = CanonicalPath::parse(without_query(path))
        {
            for floor in policy.floors_under(route, &Target { method, host, path: &path }) {
                rungs.extend(floor.demand.iter().flat_map(|demand| demand.rungs()));
            }
        }
        let mut names: Vec<&str> = Vec::with_capacity(rungs.len());
        for name in rungs.iter().map(|rung| policy.ladders().name(*rung)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.serialize(out)
    }
}

/// The other claims that the policy reads: scopes and audiences under their usual names, then those of `claims` and `bind`
/// under the names that the policy writes, which win where they are the same.
struct Facts<'a>(&'a Decision<'a>);

impl Serialize for Facts<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Some(token) = self.0.assurance else { return out.serialize_map(Some(0))?.end() };
        let table = self.0.policy.claims();
        let read = |name: &str| token.claims.iter().any(|(slot, _)| table.name(slot) == name);
        let mut facts = out.serialize_map(None)?;
        for (name, values) in [("scope", &token.scopes), ("aud", &token.audiences)] {
            if !values.is_empty() && !read(name) {
                facts.serialize_entry(name, values)?;
            }
        }
        for (slot, value) in token.claims.iter() {
            facts.serialize_entry(table.name(slot), &Scrubbed(value))?;
        }
        facts.end()
    }
}

/// A claim's value; a token inside it (an embedded assertion, say) is left out and its place kept.
struct Scrubbed<'a>(&'a Json);

impl Serialize for Scrubbed<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Json::String(text) if is_token(text) => out.serialize_str("[token]"),
            Json::Array(items) => {
                let mut list = out.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Scrubbed(item))?;
                }
                list.end()
            }
            Json::Object(members) => {
                let mut map = out.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, &Scrubbed(value))?;
                }
                map.end()
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => self.0.serialize(out),
        }
    }
}

/// Whether a text has the form of a JWT: two dots or more, and a header that begins with `{"` in base64url.
fn is_token(text: &str) -> bool {
    text.starts_with("eyJ") && text.bytes().filter(|byte| *byte == b'.').count() >= 2
}
