//! The walk as one JSON object, version 1: docs/explain.md says what each member is.

use serde_json::{Map, Value, json};

use crate::cli::explain::human::mark;
use crate::cli::explain::told::{Explained, Mapped, Named, ReckonedTold, Signature, TokenTold};
use crate::policy::{Asking, Branch, Mend};
use crate::telemetry::timestamp::Rfc3339;
use crate::token::{Held, Json};

/// The version of its form. Members may be added under it; none goes or changes its meaning.
const VERSION: u32 = 1;

/// The whole object.
pub(super) fn value(told: &Explained) -> Value {
    let checked = told.unchecked().next().is_none();
    let denial = told.denial.as_ref().or(told.would_deny.as_ref());
    let decision = match (&told.denial, &told.would_deny) {
        (Some(_), _) => "deny",
        (None, Some(_)) => "would_deny",
        (None, None) => "allow",
    };
    json!({
        "v": VERSION,
        "now": Rfc3339(told.now).to_string(),
        "policy": told.policy,
        "gate": told.gate.as_ref().map(|gate| json!({ "url": gate.url, "version": gate.version })),
        "request": told.request,
        "host": told.canonical.as_ref().map(|(host, _)| host),
        "path": told.canonical.as_ref().map(|(_, path)| path),
        "route": told.route.as_ref().map(named),
        "less_specific": told.passed_over.iter().map(named).collect::<Vec<_>>(),
        "nearly": told.nearly.iter().map(named).collect::<Vec<_>>(),
        "floors": told.floors.iter().map(named).collect::<Vec<_>>(),
        "takes": told.takes,
        "form": told.form.as_ref().map(named),
        "unread": told.unread.iter().map(named).collect::<Vec<_>>(),
        "signatures_checked": checked,
        "tokens": told.tokens.iter().map(token).collect::<Vec<_>>(),
        "pair": told.pair.as_ref().map(|(holds, text)| json!({ "holds": holds, "text": text })),
        "evidence": told.reckoned.iter().map(reckoned).collect::<Vec<_>>(),
        "asks": told.asks.iter().map(asking).collect::<Vec<_>>(),
        "exceptions": told.exceptions.iter().map(named).collect::<Vec<_>>(),
        "exception": told.exception,
        "decision": decision,
        "reason": denial.map(|denial| denial.reason.code()),
        "detail": denial.map(|denial| &denial.detail),
        "text": told.decided,
        "levels": told.levels,
        "response": response(told),
        "keeps": told.keeps.as_ref().map(|keeps| {
            let until = keeps.until.as_ref().ok().map(|until| Rfc3339(*until).to_string());
            json!({ "cookie": keeps.cookie, "until": until, "why_not": keeps.until.as_ref().err() })
        }),
        "deletes": told.deletes,
        "client": told.client.as_ref().map(|client| {
            json!({
                "new_sign_in": client.new_sign_in.name(),
                "sign_in": client.mend.as_ref().map(mend),
                "text": client.text,
            })
        }),
        "operator": told.operator.as_ref().map(|operator| {
            json!({ "hint": operator.hint, "remedy": operator.remedy, "sources": operator.sources })
        }),
    })
}

fn named(named: &Named) -> Value {
    json!({ "name": named.name, "text": named.text })
}

fn token(token: &TokenTold) -> Value {
    let (signature, from) = match &token.signature {
        Signature::Checked(from) => ("checked", Some(from)),
        Signature::NotChecked(why) => ("not_checked", Some(why)),
        Signature::Unsigned => ("unsigned", None),
        Signature::NotAsked => ("not_asked", None),
    };
    let checks: Vec<Value> = token
        .checks
        .iter()
        .map(|check| {
            let (held, reason) = match check.held {
                Held::Yes => ("holds", None),
                Held::No(reason) => ("fails", Some(reason.code())),
                Held::NotChecked => ("not_checked", None),
            };
            json!({ "what": check.what, "outcome": held, "reason": reason, "found": check.found })
        })
        .collect();
    json!({
        "name": token.name,
        "signature": signature,
        "keys": from,
        "issuer": token.issuer,
        "kind": token.kind.map(|kind| kind.name()),
        "header": token.header,
        "claims": token.claims,
        "checks": checks,
        "kept": token.kept.as_ref().map(|kept| {
            let [at, until] = [kept.at, kept.until].map(|at| at.map(|at| Rfc3339(at).to_string()));
            json!({ "cookie": kept.cookie, "at": at, "until": until, "logout_checked": !kept.may_have_ended })
        }),
        "refused": token.refused.as_ref().map(|(reason, why)| json!({ "reason": reason.code(), "why": why })),
        "mapping": token.mapping.iter().map(mapped).collect::<Vec<_>>(),
    })
}

fn mapped(mapped: &Mapped) -> Value {
    let looked: Vec<Value> =
        mapped.looked.iter().map(|(claim, found)| json!({ "claim": claim, "found": found })).collect();
    json!({
        "what": mapped.what, "looked": looked, "steps": mapped.steps, "state": mapped.state, "values": mapped.values,
    })
}

fn reckoned(told: &ReckonedTold) -> Value {
    let classes = told.classes.as_ref();
    let classes = classes.map(|(certain, perhaps)| json!({ "certain": certain, "perhaps": perhaps }));
    let missed: Vec<Value> = told
        .missed
        .iter()
        .zip(&told.reckoned.missed)
        .map(|(name, missed)| {
            let proofs: Vec<Value> = missed.proofs.iter().map(branch).collect();
            json!({ "level": name, "lacks": missed.lacks, "proofs": proofs })
        })
        .collect();
    let asks: Vec<Value> = told.reckoned.asks.iter().map(asking).collect();
    json!({
        "token": told.reckoned.witness.name(), "text": told.evidence, "ignored": told.reckoned.ignored,
        "classes": classes, "levels": told.levels, "missed": missed, "asks": asks,
    })
}

fn asking(asking: &Asking) -> Value {
    let parts: Vec<Value> = asking.parts.iter().map(branch).collect();
    json!({ "floor": asking.floor, "holds": asking.holds(), "parts": parts })
}

fn branch(part: &Branch) -> Value {
    let (reason, why) = part.because.as_ref().map_or((None, None), |(reason, why)| (Some(reason.code()), Some(why)));
    let parts: Vec<Value> = part.parts.iter().map(branch).collect();
    json!({ "what": part.what, "outcome": mark(part.holds), "reason": reason, "why": why, "parts": parts })
}

fn response(told: &Explained) -> Value {
    let Some(response) = &told.response else { return Value::Null };
    let body: Value = serde_json::from_str(&response.body).unwrap_or(Value::Null);
    let member = |name: &str| body.get(name).cloned().unwrap_or(Value::Null);
    json!({
        "status": response.status,
        "www_authenticate": response.challenge,
        "retry_after": response.retry_after,
        "error": member("error"),
        "acr_values": member("acr_values"),
        "max_age": member("max_age"),
        "scope": member("scope"),
        "body": body,
        "grpc": response.grpc.as_ref().map(|grpc| {
            json!({ "status": grpc.status.code, "name": grpc.status.name, "message": grpc.message })
        }),
    })
}

fn mend(mend: &Mend) -> Value {
    let mut claims = Map::new();
    for (path, value) in &mend.claims {
        claims.insert(path.to_string(), claim(value));
    }
    json!({ "acr": mend.acr, "amr": mend.amr, "scopes": mend.scopes, "claims": claims })
}

fn claim(value: &Json) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}
