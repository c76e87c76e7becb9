//! The texts of a first policy and its tests.

use crate::assurance::{Ladder, Ladders, Rung};
use crate::cli::init::recognise::Recognised;
use crate::cli::init::sample;
use crate::config::profile::Profile;
use crate::config::{Loaded, SourceFile, load_policy, moment, write};
use crate::reason::Reason;
use crate::token::{Json, Timestamp, TokenKind};

/// What a first policy is made of.
#[derive(Debug)]
pub(super) struct Draft<'d> {
    /// `iss`.
    pub(super) issuer: &'d str,
    pub(super) recognised: &'d Recognised,
    pub(super) kind: TokenKind,
    /// Whom the tokens must be meant for, where that was said.
    pub(super) audience: Option<&'d str>,
    /// The certificate of a private CA: the gate needs it as whoever asked did.
    pub(super) ca: Option<&'d str>,
}

/// The two files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) policy: String,
    pub(super) tests: String,
}

/// When the tests are judged, and how it is written.
const NOW: &str = "2026-01-01T12:00:00Z";

/// Where one rung is below another that the issuer can prove too.
struct Rungs {
    low: Rung,
    high: Rung,
}

/// A policy with nothing but one issuer of this profile.
pub(super) fn bare(profile: &Profile) -> String {
    let issuer = format!(
        "issuers:\n  idp:\n    issuer: https://idp.example\n    profile: {}\n    access: {{ audiences: [a], typ: [at+jwt] }}\n    \
         id: {{ audiences: [b] }}\n",
        profile.stem
    );
    format!("version: 1\n{}{issuer}", ladders(profile))
}

/// Further ladders on which the profile's rungs stand.
fn ladders(profile: &Profile) -> String {
    let Ok(head) = profile.head() else { return String::new() };
    let line = |ladder: &Ladder| {
        let rungs: Vec<String> = ladder.rungs.iter().map(|rung| write::text(rung)).collect();
        format!("  {}: [{}]\n", write::text(&ladder.name), rungs.join(", "))
    };
    let lines: String = head.ladders.iter().map(line).collect();
    if lines.is_empty() {
        lines
    } else {
        format!("# What this issuer says besides: not how, but who.\nladders:\n{lines}\n")
    }
}

pub(super) fn load(text: &str) -> Result<Loaded, String> {
    let file = SourceFile { name: "policy.yaml".into(), folder: "".into(), text: text.to_owned() };
    load_policy(vec![file]).map_err(|rejected| rejected.lines().join("\n"))
}

impl Draft<'_> {
    /// Writes both, and makes sure that the policy loads.
    ///
    /// # Errors
    /// What keeps it from loading: what was given is no issuer, or a bug.
    pub(super) fn write(&self) -> Result<Written, String> {
        let name = self.name();
        let alone = self.policy(&name, None, false);
        let loaded = load(&alone)?;
        let rungs = rungs(&loaded);
        let levels = loaded.policy.ladders();
        let dated =
            self.recognised.profile.head().is_ok_and(|head| head.sends.iter().any(|claim| **claim == *"auth_time"));
        let policy = silenced(&self.policy(&name, Some((levels, rungs.as_ref())), dated))?;
        let loaded = load(&policy)?;
        let tests = self.tests(&name, &loaded)?;
        Ok(Written { policy, tests })
    }

    /// What the policy calls the issuer: the first telling part of its host.
    fn name(&self) -> String {
        let rest = self.issuer.split_once("://").map_or(self.issuer, |(_, rest)| rest);
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        let common = ["www", "login", "auth", "id", "idp", "sso", "accounts", "oidc"];
        let mut labels = host.split('.').filter(|label| !common.contains(label));
        let label = labels.next().filter(|label| label.starts_with(|first: char| first.is_ascii_lowercase()));
        label.unwrap_or("idp").to_owned()
    }

    fn policy(&self, name: &str, routes: Option<(&Ladders, Option<&Rungs>)>, dated: bool) -> String {
        let Recognised { profile, by } = self.recognised;
        let version = profile.head().map(|head| head.version).unwrap_or(1);
        let recognised = by.as_ref().map_or_else(
            || "Not recognised: this one reads `amr` as RFC 8176 means it. See `stepgate profiles`".to_owned(),
            |by| format!("Recognised by {by}. Read `stepgate profiles {}`", profile.name()),
        );
        let (kind, whose, placeholder) = match self.kind {
            TokenKind::Access => ("access", "your API is called at the issuer", "https://api.example"),
            TokenKind::Id => ("id", "your application is called at the issuer (its client_id)", "client-id"),
        };
        let (audience, what) = self.audience.map_or((placeholder, "CHANGE THIS: what"), |audience| (audience, "What"));
        let take = match self.kind {
            TokenKind::Access => String::new(),
            TokenKind::Id => "\n# Where the id_token is. It may also be in a cookie, or in the form that the issuer posts (docs/kept.md).\n\
                              take: [ { header: x-id-token, kind: id } ]\n"
                .to_owned(),
        };
        let text = format!(
            "# yaml-language-server: $schema=policy.schema.json\n\
             # A first policy, made by `stepgate init`. Read it, change it, and try it: `stepgate check`, `stepgate test`.\n\
             version: 1\n\n\
             {ladders}issuers:\n  {name}:\n    issuer: {issuer}\n    \
             # {recognised}.\n    profile: {profile}@{version}\n{keys}    \
             # {what} {whose}.\n    {kind}: {{ audiences: [{audience}] }}\n{take}",
            ladders = ladders(profile),
            keys = self.ca.map(|ca| format!("    keys: {{ ca: {} }}\n", write::text(ca))).unwrap_or_default(),
            issuer = write::text(self.issuer),
            profile = profile.name(),
            audience = write::text(audience),
        );
        let Some((levels, rungs)) = routes else { return text };
        let head = "\n# The most specific route wins; what no route matches is refused.\nroutes:\n";
        let tail = "  # For load balancers and monitors: no token is needed here, and nowhere else.\n  \
                    - { name: health, match: { path: /healthz }, require: public }\n";
        let Some(rungs) = rungs else {
            let unproved = format!(
                "  # CHANGE THIS: any valid token is enough as it stands. The values of this issuer prove no level until you say under\n  \
                 # `proves` what yours mean: `stepgate profiles {}` has the lines. Then ask for `{{ level: multi-factor }}`.\n  \
                 - {{ name: use, match: {{ path: \"/**\", methods: [GET, POST, PUT, PATCH, DELETE] }}, require: authenticated }}\n",
                profile.name()
            );
            return text + head + &unproved + tail;
        };
        let age = if dated { ", max_age: 8h" } else { "" };
        let (low, high) = (write::text(levels.name(rungs.low)), write::text(levels.name(rungs.high)));
        let mut text = text + head;
        if low == high && age.is_empty() {
            text += &format!(
                "  # Whoever signed in at all.\n  \
                 - {{ name: use, match: {{ path: \"/**\", methods: [GET, POST, PUT, PATCH, DELETE] }}, require: {{ level: {low} }} }}\n"
            );
        } else {
            let (better, age_too) = (if low == high { "" } else { " better" }, if dated { ", and today" } else { "" });
            text += &format!(
                "  # Whoever signed in at all may read.\n  \
                 - {{ name: read, match: {{ path: \"/**\", methods: [GET] }}, require: {{ level: {low} }} }}\n  \
                 # Whoever changes something must have signed in{better}{age_too}.\n  \
                 - {{ name: change, match: {{ path: \"/**\", methods: [POST, PUT, PATCH, DELETE] }}, require: {{ level: {high}{age} }} }}\n"
            );
        }
        text + tail
    }

    fn tests(&self, name: &str, loaded: &Loaded) -> Result<String, String> {
        let now = moment::parse(NOW).ok_or("the tests' moment cannot be read")?;
        let sample = |method| sample::claims(loaded, self.kind, method, "/accounts/7", now);
        let kind = self.kind.name();
        let head = "# yaml-language-server: $schema=test.schema.json\n\
                    # What policy.yaml promises. Add a case for each route that you write; `stepgate test --coverage` says what lacks.\n\
                    version: 1\n";
        let written = |claims: &Json| -> String {
            let members: Vec<String> = match claims {
                Json::Object(members) => members.iter().map(|(key, value)| member(key, value, now)).collect(),
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => Vec::new(),
            };
            format!("{{ issuer: {name}, kind: {kind}, claims: {{ {} }} }}", members.join(", "))
        };
        let (weak, strong) = (sample("GET"), sample("POST"));
        let mut tokens = String::new();
        let mut cases = case("GET", "/healthz", None, "allow", None);
        for (method, path) in [("GET", "/accounts/7"), ("POST", "/accounts/7")] {
            cases += &case(method, path, None, "deny", Some(Reason::TokenMissing));
        }
        if let Some(weak) = &weak {
            tokens += &format!("  weak: {}\n", written(weak));
            cases += &case("GET", "/accounts/7", Some("weak"), "allow", None);
            if let Some(Err(reason)) = sample::judged(loaded, self.kind, weak, "POST", "/accounts/7", now) {
                cases += &case("POST", "/accounts/7", Some("weak"), "deny", Some(reason));
            }
        }
        if let Some(strong) = &strong {
            tokens += &format!("  strong: {}\n", written(strong));
            cases += &case("GET", "/accounts/7", Some("strong"), "allow", None);
            cases += &case("POST", "/accounts/7", Some("strong"), "allow", None);
        }
        let tokens = if tokens.is_empty() { tokens } else { format!("tokens:\n{tokens}") };
        Ok(format!("{head}now: \"{NOW}\"\n{tokens}cases:\n{cases}"))
    }
}

fn case(method: &str, path: &str, token: Option<&str>, expect: &str, reason: Option<Reason>) -> String {
    let token = token.map(|token| format!(", token: {token}")).unwrap_or_default();
    let reason = reason.map(|reason| format!(", reason: {reason}")).unwrap_or_default();
    format!("  - {{ request: \"{method} https://{}{path}\"{token}, expect: {expect}{reason} }}\n", sample::HOST)
}

/// A claim as a test writes it. A sign-in of this very moment is made one of a minute ago.
fn member(key: &str, value: &Json, now: Timestamp) -> String {
    let just_now = key == "auth_time" && *value == Json::Number(now.seconds().into());
    let text = if just_now { "-60s".to_owned() } else { serde_json::to_string(value).unwrap_or_default() };
    format!("{}: {text}", write::text(key))
}

/// The weakest rung that can be proved, and the next above it: on the first ladder that has two such, else the first with one.
fn rungs(loaded: &Loaded) -> Option<Rungs> {
    let issuer = loaded.policy.issuers().first()?;
    let ladders = loaded.policy.ladders();
    let provable =
        |ladder: usize| ladders.rungs().filter(move |rung| rung.ladder() == ladder && issuer.can_prove(*rung));
    let ladder = |least: usize| (0..ladders.all().len()).find(|ladder| provable(*ladder).nth(least).is_some());
    let mut found = provable(ladder(1).or_else(|| ladder(0))?);
    let low = found.next()?;
    Some(Rungs { low, high: found.next().unwrap_or(low) })
}

/// With a word on each lint that such a policy can't help.
fn silenced(text: &str) -> Result<String, String> {
    let loaded = load(text)?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut found: Vec<(usize, &str, &str)> = Vec::new();
    for lint in &loaded.lints {
        let because = match lint.code {
            "max_age_missing" => "this issuer does not say when a user signed in",
            "route_unchallengeable" => "this issuer knows no acr value to ask for",
            _ => continue,
        };
        found.push((loaded.sources.position(lint.span).line, lint.code, because));
    }
    // From the last line up, so that the places of the others stay.
    found.sort_unstable();
    found.dedup();
    for (line, code, because) in found.into_iter().rev() {
        let at = line.saturating_sub(1).min(lines.len());
        lines.insert(at, format!("  # stepgate: allow {code} because {because}"));
    }
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::init::recognise::kind;
    use crate::cli::test::judge::{Decision, judge};
    use crate::config::cases::Expected;
    use crate::config::load_tests;
    use crate::config::profile::ALL;

    #[test]
    fn the_first_policy_of_every_profile_is_clean_and_keeps_what_its_tests_promise() {
        for profile in ALL {
            let recognised = Recognised { profile, by: Some("a test".to_owned()) };
            for audience in [None, Some("urn:mine: #1")] {
                let (issuer, kind) = ("https://login.bank.example/realm", kind(profile));
                let draft = Draft { issuer, recognised: &recognised, kind, audience, ca: None };
                let Written { policy, tests } = draft.write().unwrap_or_else(|why| panic!("{}: {why}", profile.stem));
                let loaded = load(&policy).unwrap();
                assert!(loaded.lints.is_empty(), "{}: {:?}\n{policy}", profile.stem, loaded.lints);
                let file = SourceFile { name: "policy.test.yaml".into(), folder: "".into(), text: tests.clone() };
                let read = load_tests(file, &loaded.policy).unwrap_or_else(|why| panic!("{:?}\n{tests}", why.lines()));
                assert!(read.tokens.len() == 2, "{}: no sign-in was found\n{policy}{tests}", profile.stem);
                let mut allowed = 0;
                for case in &read.cases {
                    let tokens: Vec<_> = case.tokens.iter().map(|place| &read.tokens[*place]).collect();
                    let got = judge(case, &tokens, &loaded.policy, read.now).decision;
                    let expected = match case.expect {
                        Expected::Allow => Decision::Allow,
                        Expected::Deny(reason) | Expected::WouldDeny(reason) => Decision::Deny(reason.unwrap()),
                    };
                    assert_eq!(got, expected, "{}: {}\n{policy}{tests}", profile.stem, case.request);
                    allowed += usize::from(got == Decision::Allow);
                }
                assert!(allowed >= 4, "{}", profile.stem);
            }
        }
    }

    #[test]
    fn an_issuer_is_called_by_what_its_host_tells() {
        let recognised = Recognised { profile: &ALL[0], by: None };
        let name = |issuer| {
            Draft { issuer, recognised: &recognised, kind: TokenKind::Access, audience: None, ca: None }.name()
        };
        for (issuer, wanted) in [
            ("https://auth.bank.example/x", "bank"),
            ("https://acme.okta.com", "acme"),
            ("http://127.0.0.1:8081", "idp"),
            ("https://login.example", "example"),
            ("https://idp", "idp"),
        ] {
            assert_eq!(name(issuer), wanted, "{issuer}");
        }
    }
}
