//! The audit line: one JSON object a decision, with what `replay` needs and never a token.

use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};
use smallvec::SmallVec;

use crate::assurance::{Fact, Rung};
use crate::audit::timestamp::Rfc3339;
use crate::clock;
use crate::policy::{CanonicalPath, Condition, Demand, Grounds, Mode, Permit, Target};
use crate::reason::Reason;
use crate::telemetry::Decision;
use crate::telemetry::json;
use crate::telemetry::sink::Gap;
use crate::token::{Json, Timestamp};

/// What is written to the audit log: one JSON object, without its newline.
pub trait Record {
    /// Adds it to a text.
    ///
    /// # Errors
    /// When some part of it cannot be written; what was added so far is then of no use.
    fn append_to(&self, out: &mut String) -> serde_json::Result<()>;
}

/// What is written of one decision: its members in the documented order, all of them always.
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

    /// What was let through in the place of a token.
    fn answer(&self) -> Option<&'static str> {
        match self.decision.outcome.ok()?.grounds() {
            Grounds::ErrorResponse => Some(ERROR_RESPONSE),
            Grounds::Preflight => Some(PREFLIGHT),
            Grounds::Met | Grounds::Observed(_) | Grounds::Excepted(_) => None,
        }
    }

    /// The name of the rung that was reached on the main ladder.
    fn level(&self) -> Option<&str> {
        let rung = self.levels().iter().find(|rung| rung.ladder() == 0)?;
        Some(self.decision.policy.ladders().name(*rung))
    }

    /// The rungs that the route asks for, and the floors under this request, each once.
    fn required(&self) -> SmallVec<[&str; 8]> {
        let Decision { policy, route, method, host, path, .. } = self.decision;
        let mut names = SmallVec::new();
        let Some(route) = route else { return names };
        let mut add = |demand: &Demand| {
            demand.walk(&mut |condition| {
                if let Condition::Level(rung) = condition {
                    let name = policy.ladders().name(*rung);
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            });
        };
        route.require.demand().into_iter().for_each(&mut add);
        if !route.floors.is_empty()
            && let Ok(path) = CanonicalPath::of_request(without_query(path))
        {
            let target = Target { method, host, path: &path };
            let floors = policy.floors_under(route, &target);
            floors.filter_map(|floor| floor.demand.as_ref()).for_each(add);
        }
        names
    }

    /// The other claims that the policy reads: scopes and audiences under their usual names, then those of `claims` and `bind`
    /// under the names that the policy writes, which win where they are the same.
    fn facts(&self, out: &mut String) -> serde_json::Result<()> {
        let Some(token) = self.decision.assurance else {
            out.push_str("{}");
            return Ok(());
        };
        let table = self.decision.policy.claims();
        let read = |name: &str| token.claims.iter().any(|(slot, _)| table.name(slot) == name);
        let mut before = '{';
        for (name, values) in [("scope", &token.scopes), ("aud", &token.audiences)] {
            if !values.is_empty() && !read(name) {
                out.push(std::mem::replace(&mut before, ','));
                json::text(out, name);
                out.push(':');
                json::texts(out, values.iter().map(|value| &**value));
            }
        }
        for (slot, value) in token.claims.iter() {
            out.push(std::mem::replace(&mut before, ','));
            json::text(out, table.name(slot));
            out.push(':');
            match value {
                Json::String(text) if !is_token(text) => json::text(out, text),
                Json::String(_) | Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                    out.push_str(&serde_json::to_string(&Scrubbed(value))?)
                }
            }
        }
        out.push_str(if before == '{' { "{}" } else { "}" });
        Ok(())
    }
}

/// The version of this format.
pub(super) const VERSION: u8 = 1;
const ALLOW: &str = "allow";
const WOULD_DENY: &str = "would_deny";
/// `kind` of what is no token but an identity provider's word that there is none.
const ERROR_RESPONSE: &str = "error_response";
/// The same where it is a preflight.
const PREFLIGHT: &str = "preflight";

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
    /// The route's mode.
    pub mode: Mode,
    /// Whether it would have been refused, did the route enforce what it asks.
    pub would_deny: bool,
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
        line.serialize_field("mode", self.mode.name())?;
        line.serialize_field("decision", if self.would_deny { WOULD_DENY } else { ALLOW })?;
        line.serialize_field("reason", self.reason.code())?;
        line.serialize_field("status", &self.status)?;
        line.serialize_field("upstream", self.upstream)?;
        line.end()
    }
}

impl Record for FailureLine<'_> {
    fn append_to(&self, out: &mut String) -> serde_json::Result<()> {
        out.push_str(&serde_json::to_string(self)?);
        Ok(())
    }
}

impl Record for Line<'_> {
    /// One is written for every request, so that it is put together by hand: see [`json`].
    fn append_to(&self, out: &mut String) -> serde_json::Result<()> {
        let Decision { at, id, trace, method, host, path, policy, route, outcome, status, micros, .. } = self.decision;
        let token = self.decision.assurance;
        out.push_str("{\"v\":1,\"ts\":\"");
        Rfc3339(at).append_to(out);
        member(out, "\",\"id\":", id);
        optional(out, ",\"trace\":", trace);
        member(out, ",\"via\":", self.via);
        member(out, ",\"method\":", method);
        member(out, ",\"host\":", host);
        member(out, ",\"path\":", without_query(path));
        optional(out, ",\"route\":", route.map(|route| &*route.name));
        out.push_str(match self.decision.mode() {
            Mode::Enforce => ",\"mode\":\"enforce\",\"decision\":",
            Mode::Observe => ",\"mode\":\"observe\",\"decision\":",
            Mode::ObserveAll => ",\"mode\":\"observe-all\",\"decision\":",
        });
        out.push_str(match outcome.map(Permit::grounds) {
            Ok(Grounds::Met | Grounds::ErrorResponse | Grounds::Preflight | Grounds::Excepted(_)) => "\"allow\"",
            Ok(Grounds::Observed(_)) => "\"would_deny\"",
            Err(_) => "\"deny\"",
        });
        optional(out, ",\"reason\":", self.decision.denial().map(|denial| denial.reason.code()));
        optional(out, ",\"hint\":", self.decision.hint());
        whole(out, ",\"status\":", status.map(i64::from));
        optional(out, ",\"issuer\":", self.issuer());
        optional(out, ",\"kind\":", token.map(|token| token.kind.name()).or_else(|| self.answer()));
        // In one piece with the next name: most lines say `false`.
        let subject = if self.decision.kept { ",\"kept\":true,\"subject\":" } else { ",\"kept\":false,\"subject\":" };
        optional(out, subject, token.and_then(|token| token.subject.as_deref()));
        optional(out, ",\"client\":", token.and_then(|token| token.client.as_deref()));
        let acr = token.and_then(|token| token.evidence.acr.known());
        list(out, ",\"acr\":", acr.map(|acr| acr.iter().map(|value| &**value)));
        // `amr` as the issuer sent it, after renaming.
        let amr = token.and_then(|token| token.evidence.amr.known());
        list(out, ",\"amr\":", amr.map(|amr| amr.iter().map(|method| &*method.value)));
        let auth_time = token.and_then(|token| match &token.evidence.auth_time {
            Fact::Known(at) => Some(at.seconds()),
            Fact::Absent | Fact::Malformed => None,
        });
        whole(out, ",\"auth_time\":", auth_time);
        optional(out, ",\"level\":", self.level());
        list(out, ",\"required\":", Some(self.required()));
        out.push_str(",\"facts\":");
        self.facts(out)?;
        // In one piece with the next name: few lines have one.
        match outcome.ok().and_then(Permit::excepted) {
            None => out.push_str(",\"exception\":null,\"policy\":"),
            Some(by) => {
                member(out, ",\"exception\":", &by.name);
                out.push_str(",\"policy\":");
            }
        }
        json::text(out, policy.hash());
        out.push_str(",\"micros\":");
        json::number(out, micros);
        out.push('}');
        Ok(())
    }
}

/// Adds a member, whose name comes with all that stands around it.
fn member(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    json::text(out, value);
}

fn optional(out: &mut String, name: &str, value: Option<&str>) {
    out.push_str(name);
    json::optional(out, value);
}

fn list<'t>(out: &mut String, name: &str, values: Option<impl IntoIterator<Item = &'t str>>) {
    out.push_str(name);
    match values {
        Some(values) => json::texts(out, values),
        None => out.push_str("null"),
    }
}

fn whole(out: &mut String, name: &str, value: Option<i64>) {
    out.push_str(name);
    match value {
        Some(value) => json::signed(out, value),
        None => out.push_str("null"),
    }
}

/// A query may carry anything, tokens too.
fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
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
