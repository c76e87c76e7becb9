//! The requests that the demo prints: each can be copied, each says what to look for.

use std::fmt;
use std::net::SocketAddr;

/// Requests to try, in the order in which they tell something.
#[derive(Clone, Debug)]
pub struct Story {
    gate: SocketAddr,
    idp: SocketAddr,
    admin: SocketAddr,
    /// The steps.
    pub steps: Vec<Step>,
}

/// One request to try.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it is about.
    pub title: &'static str,
    /// The command, for a POSIX shell.
    pub command: String,
    /// The status to expect.
    pub status: u16,
    /// What is worth looking at in the answer, and why.
    pub look_for: &'static str,
    /// A piece of text that the answer must contain: its head, or the body of the application.
    pub contains: &'static str,
}

impl Story {
    /// The story of a demo at these addresses.
    #[must_use]
    pub fn new(gate: SocketAddr, idp: SocketAddr, admin: SocketAddr) -> Self {
        let step = |title, method: &str, path: &str, token: Option<&str>, status, look_for, contains| {
            let method = if method == "GET" { String::new() } else { format!(" -X {method}") };
            let token = token.map_or_else(String::new, |query| {
                format!(" \\\n  -H \"Authorization: Bearer $(curl -s 'http://{idp}/token?{query}')\"")
            });
            Step { title, command: format!("curl -i{method} http://{gate}{path}{token}"), status, look_for, contains }
        };
        let strong = "amr=pwd,otp&acr=urn:example:loa:2";
        let stale = "amr=pwd,otp&acr=urn:example:loa:2&age=10m";
        let steps = vec![
            step(
                "Alice signed in with a password. That is enough to read her accounts.",
                "GET",
                "/accounts",
                Some("amr=pwd"),
                200,
                "the application sees who she is and how she signed in: x-stepgate-level: single-factor",
                "single-factor",
            ),
            step(
                "Paying asks for two factors. The same sign-in is refused, and told what would be enough.",
                "POST",
                "/payments/7",
                Some("amr=pwd"),
                401,
                "WWW-Authenticate: error=\"insufficient_user_authentication\", acr_values, max_age (RFC 9470)",
                "acr_values=\"urn:example:loa:2\"",
            ),
            step(
                "Her client signs her in again with the acr_values it was told: password and one-time code.",
                "POST",
                "/payments/7",
                Some(strong),
                200,
                "x-stepgate-level: multi-factor",
                "multi-factor",
            ),
            step(
                "Two factors, but ten minutes ago. The policy gives payments five.",
                "POST",
                "/payments/7",
                Some(stale),
                401,
                "max_age=\"300\" in the challenge, and \"auth_too_old\" in the audit line",
                "max_age=\"300\"",
            ),
            step(
                "No token at all.",
                "GET",
                "/accounts",
                None,
                401,
                "a challenge without an error code: the client just has to sign in",
                "Bearer realm=",
            ),
            step(
                "What the policy calls public needs none.",
                "GET",
                "/healthz",
                None,
                200,
                "the application answers, and no x-stepgate- header is set",
                "\"path\":\"/healthz\"",
            ),
        ];
        Self { gate, idp, admin, steps }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gate, idp, admin, steps } = self;
        writeln!(f, "Stepgate demo: http://{gate} is guarded by policies/examples/demo. Try, in another terminal:\n")?;
        for (number, step) in (1..).zip(steps) {
            writeln!(f, "# {number}. {}\n{}", step.title, step.command)?;
            writeln!(f, "#    expect {}: {}\n", step.status, step.look_for)?;
        }
        writeln!(
            f,
            "More tokens: http://{idp}/  How the gate is doing: http://{admin}/\nMetrics and readiness: http://{admin}/metrics, http://{admin}/readyz"
        )?;
        writeln!(f, "Each decision's audit line appears below. Ctrl-C ends the demo.\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_copied() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let story = Story::new(address(1), address(2), address(3));
        let printed = story.to_string();
        for step in &story.steps {
            assert!(printed.contains(&step.command), "{printed}");
            assert!(step.command.starts_with("curl -i"), "{}", step.command);
        }
        // Everything that is no command or remark stands outside the steps.
        let lines = printed.lines().skip_while(|line| !line.starts_with("# 1."));
        for line in lines.take_while(|line| !line.starts_with("More tokens")) {
            let fine =
                line.is_empty() || line.starts_with('#') || line.starts_with("curl ") || line.starts_with("  -H ");
            assert!(fine, "a shell would stumble over: {line}");
        }
    }
}
