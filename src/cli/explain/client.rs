//! What the client of a refused request could do.

use crate::cli::explain::told::Client;
use crate::policy::{Denial, Mend};
use crate::reason::NewSignIn;

/// What the client could do about a refusal. `mend`: a sign-in that would be let in. `spent`: its answer deletes a kept cookie.
pub(super) fn client(denial: &Denial, mend: Option<Mend>, spent: bool) -> Client {
    let new_sign_in = denial.reason.guide().new_sign_in;
    let scope: Vec<&str> = denial.scope.iter().map(|scope| &**scope).collect();
    let text = match (&denial.step_up, &mend, new_sign_in) {
        (Some(_), Some(mend), _) => vec![sign_in(mend)],
        (Some(_), None, _) => vec![
            "The answer asks for another sign-in, but none was found that this route would let in: look at what it asks."
                .to_owned(),
        ],
        (None, _, _) if spent => vec![
            "Sign in again: what was kept is good for nothing any more, the answer deletes it, and a new sign-in is kept anew."
                .to_owned(),
        ],
        (None, _, NewSignIn::Mends) => {
            vec!["Nothing: no sign-in at this issuer would be enough, so none is asked for.".to_owned()]
        }
        (None, _, NewSignIn::BringsToken) => {
            vec!["Get a token: any new one will do, of a new sign-in or refreshed, if it holds what is asked.".to_owned()]
        }
        (None, _, NewSignIn::DoesNot) if !scope.is_empty() => {
            vec![format!("Ask for a token with the scope {}; no new sign-in is needed for that.", scope.join(" "))]
        }
        (None, _, NewSignIn::DoesNot) => vec!["Nothing by signing in again: something else has to change.".to_owned()],
    };
    Client { new_sign_in, mend, text }
}

fn sign_in(mend: &Mend) -> String {
    let claims: Vec<String> = mend
        .claims
        .iter()
        .map(|(path, value)| format!("`{path}` {}", serde_json::to_string(value).unwrap_or_default()))
        .collect();
    let claims = if claims.is_empty() { String::new() } else { format!(", whose token says {}", claims.join(" and ")) };
    let scopes =
        if mend.scopes.is_empty() { String::new() } else { format!(", with the scope {}", mend.scopes.join(" ")) };
    format!("Sign in again: a new sign-in now{claims}{scopes} is let in (all else as it is).")
}
