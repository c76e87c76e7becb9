//! The walk for people: a line a step.

use crate::assurance::Truth;
use crate::cli::explain::told::{Explained, Keeps, Mapped, Named, ReckonedTold, Signature, TokenTold};
use crate::policy::{Asking, Branch, METADATA_ROUTE};
use crate::proxy::PreviewOfGrpc;
use crate::telemetry::timestamp::Rfc3339;
use crate::token::{Held, Json};

/// How many routes that nearly match are named.
pub(super) const MOST_NEAR: usize = 5;

/// What is said of what was kept, and may have been ended since.
pub(super) const NO_END: &str = "WHETHER A LOGOUT ENDED IT WAS NOT CHECKED of";

/// The whole text.
pub(super) fn text(told: &Explained) -> String {
    let mut out = Out(String::new());
    out.line("request", &told.request);
    out.line("at", &Rfc3339(told.now).to_string());
    if let Some(gate) = &told.gate {
        out.line("gate", &format!("{}, stepgate {}, policy {}", gate.url, gate.version, told.policy));
    }
    if let Some((host, path)) = &told.canonical {
        out.line("path", &format!("{path} on {host}"));
    }
    routes(told, &mut out);
    for floor in &told.floors {
        out.line("floor", &floor.text);
    }
    for place in &told.takes {
        out.line("looks at", place);
    }
    if let Some(form) = &told.form {
        out.line("form", &format!("{}: {}", form.name, form.text));
    }
    for unread in &told.unread {
        out.line("unread", &format!("{}: {}", unread.name, unread.text));
    }
    match (told.tokens.is_empty(), told.takes.is_empty()) {
        (true, false) if told.unread.is_empty() => out.line("token", "none was given"),
        (true, false) => out.line("token", "none where the route looks"),
        (true, true) => out.line("token", "none is looked at"),
        (false, _) => told.tokens.iter().for_each(|one| token(one, &mut out)),
    }
    if let Some((holds, text)) = &told.pair {
        out.line("pair", &format!("{}{text}", if *holds { "" } else { "FAILS: " }));
    }
    told.reckoned.iter().for_each(|one| reckoned(one, told.reckoned.len() > 1, &mut out));
    told.asks.iter().for_each(|one| asking(one, &mut out));
    told.exceptions.iter().for_each(|exception| out.line("exception", &exception.text));
    out.line("decided", &told.decided);
    for (name, why) in told.unchecked() {
        out.line("", &format!("!! THE SIGNATURE WAS NOT CHECKED of {name}: {why}"));
    }
    for name in told.perhaps_ended() {
        out.line("", &format!("!! {NO_END} {name}"));
    }
    answer(told, &mut out);
    for text in told.client.iter().flat_map(|client| &client.text) {
        out.line("client", text);
    }
    if let Some(operator) = &told.operator {
        out.line("operator", &operator.hint);
        operator.remedy.iter().for_each(|remedy| out.line("", &format!("- {remedy}")));
        out.line("", &format!("See {}.", operator.sources.join("; ")));
    }
    out.0
}

/// What the client is answered, and what becomes of kept cookies by it.
fn answer(told: &Explained, out: &mut Out) {
    match &told.response {
        None if told.route.as_ref().is_some_and(|route| route.name == METADATA_ROUTE) => {
            out.line("answer", "the gate's own: its metadata for clients");
        }
        None => out.line("answer", "the application's: the request is forwarded"),
        Some(response) => {
            out.line("answer", &response.status.to_string());
            if let Some(PreviewOfGrpc { status, message }) = &response.grpc {
                out.line("", &format!("grpc-status: {} ({})", status.code, status.name));
                out.line("", &format!("grpc-message: {message}"));
            }
            for (name, value) in [("WWW-Authenticate", &response.challenge), ("Retry-After", &response.retry_after)] {
                if let Some(value) = value {
                    out.line("", &format!("{name}: {value}"));
                }
            }
            out.line("", response.body.trim_end());
        }
    }
    for cookie in &told.deletes {
        out.line("", &format!("deletes the cookie {cookie}"));
    }
    match &told.keeps {
        Some(Keeps { cookie, until: Ok(until) }) => {
            let until = Rfc3339(*until);
            out.line(
                "keeps",
                &format!("the sign-in, in the cookie {cookie} until {until}, if the application answers below 400"),
            );
        }
        Some(Keeps { cookie, until: Err(why) }) => out.line("keeps", &format!("nothing in the cookie {cookie}: {why}")),
        None => {}
    }
}

/// A text that cannot move the cursor, or turn the direction of what follows it.
pub(super) fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns =
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || turns {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

struct Out(String);

impl Out {
    fn line(&mut self, name: &str, text: &str) {
        let line = format!("{name:10}{}", safe(text));
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    fn inner(&mut self, mark: &str, text: &str) {
        self.line("", &format!("{mark:8}{text}"));
    }
}

fn routes(told: &Explained, out: &mut Out) {
    match &told.route {
        Some(route) => out.line("route", &route.text),
        None => out.line("route", "none is taken"),
    }
    let list = |mark: &str, routes: &[Named], out: &mut Out| {
        for route in routes.iter().take(MOST_NEAR) {
            out.inner(mark, &format!("{}: {}", route.name, route.text));
        }
        if let Some(more) = routes.len().checked_sub(MOST_NEAR).filter(|more| *more > 0) {
            out.inner("", &format!("and {more} more"));
        }
    };
    list("less", &told.passed_over, out);
    list("nearly", &told.nearly, out);
}

fn token(token: &TokenTold, out: &mut Out) {
    let kind = token.kind.map_or("", |kind| kind.name());
    let whose = match (&token.issuer, kind) {
        (Some(issuer), "") => format!(", of {issuer}"),
        (Some(issuer), kind) => format!(", of {issuer}, kind {kind}"),
        (None, _) => String::new(),
    };
    out.line("token", &format!("{}{whose}", token.name));
    match &token.signature {
        Signature::NotChecked(why) => out.inner("!!", &format!("THE SIGNATURE WAS NOT CHECKED: {why}")),
        Signature::Unsigned => out.inner("!!", "THE SIGNATURE WAS NOT CHECKED: claims that nobody signed were given"),
        Signature::Checked(from) => out.inner("keys", &format!("those in {from}")),
        Signature::NotAsked => {}
    }
    if let Some(kept) = &token.kept {
        let at = kept.at.map(|at| format!(" at {}", Rfc3339(at))).unwrap_or_default();
        let until = kept.until.map(|until| format!(", until {}", Rfc3339(until))).unwrap_or_default();
        out.inner("kept", &format!("in the cookie {}{at}{until}", kept.cookie));
        if kept.may_have_ended {
            out.inner("!!", "WHETHER A LOGOUT ENDED IT WAS NOT CHECKED: the running gate alone remembers that");
        }
    }
    for (name, part) in [("header", &token.header), ("claims", &token.claims)] {
        if let Some(part) = part {
            out.inner(name, &shown(part));
        }
    }
    for check in &token.checks {
        let (mark, reason) = match check.held {
            Held::Yes => ("holds", String::new()),
            Held::No(reason) => ("FAILS", format!(" ({reason})")),
            Held::NotChecked => ("--", String::new()),
        };
        out.inner(mark, &format!("{}: {}{reason}", check.what, check.found));
    }
    if let Some((reason, why)) = &token.refused {
        out.inner("REFUSED", &format!("{reason}: {why}"));
    }
    for mapped in &token.mapping {
        out.line("mapping", &map(mapped));
    }
}

fn map(mapped: &Mapped) -> String {
    let looked = mapped.looked.iter().map(|(claim, found)| {
        let found = found.as_ref().map_or_else(|| "absent".to_owned(), shown);
        format!("claim `{claim}` {found}")
    });
    let looked =
        if mapped.looked.is_empty() { "no claim is read".to_owned() } else { looked.collect::<Vec<_>>().join(", ") };
    let steps: String = mapped.steps.iter().map(|step| format!("; {step}")).collect();
    let came = match mapped.state {
        "known" => mapped.values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" "),
        state => state.to_owned(),
    };
    format!("{}: {looked}{steps}: {came}", mapped.what)
}

fn shown(value: &Json) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn reckoned(told: &ReckonedTold, named: bool, out: &mut Out) {
    if named {
        out.line("by", &format!("the {} token's evidence", told.reckoned.witness.name()));
    }
    out.line("evidence", &told.evidence);
    if let Some((certain, perhaps)) = &told.classes {
        let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let perhaps = if perhaps.is_empty() { String::new() } else { format!("; perhaps {}", list(perhaps)) };
        out.line("classes", &format!("{} for certain: {}{perhaps}", certain.len(), list(certain)));
    }
    out.line("level", &if told.levels.is_empty() { "none".to_owned() } else { told.levels.join(", ") });
    for (name, missed) in told.missed.iter().zip(&told.reckoned.missed) {
        let lacks = match (missed.proofs.is_empty(), missed.lacks.as_slice()) {
            (true, _) => "nothing that this issuer says proves it".to_owned(),
            (false, lacks) => format!("lacks {}", lacks.join(", and ")),
        };
        out.line("missed", &format!("{name}: {lacks}"));
    }
    told.reckoned.asks.iter().for_each(|one| asking(one, out));
}

fn asking(asking: &Asking, out: &mut Out) {
    let by = asking.floor.as_ref().map_or_else(|| "the route".to_owned(), |name| format!("the floor {name}"));
    out.line("asks", &by);
    asking.parts.iter().for_each(|part| branch(part, 0, out));
}

fn branch(part: &Branch, depth: usize, out: &mut Out) {
    let why = match &part.because {
        None => String::new(),
        Some((reason, why)) if why.is_empty() => format!(" ({reason})"),
        Some((reason, why)) => format!(" ({reason}: {why})"),
    };
    let indent = depth.saturating_mul(2);
    out.line("", &format!("{:9}{:indent$}{}{why}", mark(part.holds), "", part.what));
    part.parts.iter().for_each(|part| branch(part, depth.saturating_add(1), out));
}

/// How a mark is written.
pub(super) const fn mark(holds: Truth) -> &'static str {
    match holds {
        Truth::True => "holds",
        Truth::False => "fails",
        Truth::Unknown => "unknown",
    }
}
