//! What the demo prints for an operator's own policy: who answers for its issuers, and requests to try.

use std::fmt;
use std::net::SocketAddr;

use crate::demo::mint::Mint;

/// What there is to see.
#[derive(Clone, Debug)]
pub struct Tour {
    /// Where the policy was read.
    pub from: String,
    /// The gate.
    pub gate: SocketAddr,
    /// The identity provider.
    pub idp: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
    /// The issuers that the provider answers for: name, `iss`, and what is taken of them.
    pub issuers: Vec<(String, String)>,
    /// Requests to try.
    pub stops: Vec<Stop>,
    /// The routes of which no request was found that goes through.
    pub unseen: Vec<String>,
    /// How many requests are left out, since nobody would read them all.
    pub left_out: usize,
}

/// One request to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The route.
    pub route: String,
    /// The method.
    pub method: String,
    /// The host, where the route asks for one.
    pub host: Option<String>,
    /// The path.
    pub path: String,
    /// The tokens: what each is carried by, and the query that makes it.
    pub tokens: Vec<(Carrier, String)>,
    /// What the tokens say of the sign-in.
    pub says: Vec<String>,
    /// What becomes of it: `None`: it goes through; else the reason.
    pub refused: Option<String>,
}

/// What carries a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// `Authorization: Bearer`.
    Authorization,
    /// A header of this name.
    Header(String),
    /// A cookie of this name.
    Cookie(String),
    /// The parameter of this name in a posted form.
    Form(String),
    /// The cookie of this name, which the gate sets where the token was brought before.
    Kept(String, Box<SignIn>),
}

/// A request that signs in: what the gate keeps of its token is the cookie of a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// What carries the token there.
    pub carrier: Carrier,
}

impl Tour {
    /// The lines about issuers, from who makes their tokens.
    #[must_use]
    pub fn issuers(mint: &Mint) -> Vec<(String, String)> {
        mint.issuers().iter().map(|issuer| (issuer.name.clone(), issuer.iss.clone())).collect()
    }

    /// The command of a stop, for a POSIX shell.
    #[must_use]
    pub fn command(&self, stop: &Stop) -> String {
        let mut command = format!("curl -i{}", self.request(&stop.method, stop.host.as_deref(), &stop.path));
        for (carrier, query) in &stop.tokens {
            command.push_str(&format!(" \\\n  {}", self.argument(carrier, query, stop.host.as_deref())));
        }
        command
    }

    /// What follows `curl -i`, but for the token.
    fn request(&self, method: &str, host: Option<&str>, path: &str) -> String {
        let method = if method == "GET" { String::new() } else { format!(" -X {method}") };
        let host = host.map(|host| format!(" -H {}", quoted(&format!("Host: {host}"))));
        let url = quoted(&format!("http://{}{path}", self.gate));
        format!("{method}{} {url}", host.unwrap_or_default())
    }

    /// What brings a token, made when the command runs.
    fn argument(&self, carrier: &Carrier, query: &str, host: Option<&str>) -> String {
        let token = format!("$(curl -s {})", quoted(&format!("http://{}/token?{query}", self.idp)));
        match carrier {
            Carrier::Authorization => format!("-H \"Authorization: Bearer {token}\""),
            Carrier::Header(name) => format!("-H \"{name}: {token}\""),
            Carrier::Cookie(name) => format!("-H \"Cookie: {name}={token}\""),
            Carrier::Form(name) => format!("-d \"{name}={token}\""),
            // By hand: curl's own jar would send a `Secure` cookie over plain HTTP to loopback names alone.
            Carrier::Kept(name, sign_in) => {
                let request = self.request(&sign_in.method, host, &sign_in.path);
                let inner = self.argument(&sign_in.carrier, query, host);
                format!(
                    "-H \"Cookie: $(curl -si{request} \\\n    {inner} | grep -o {})\"",
                    quoted(&format!("{name}=[^;]*"))
                )
            }
        }
    }
}

/// A word that a shell takes as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

impl fmt::Display for Tour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, gate, idp, admin, issuers, stops, unseen, left_out } = self;
        writeln!(f, "Stepgate demo: http://{gate} is guarded by the policy in {from}, as it stands.\n")?;
        writeln!(
            f,
            "THESE ARE NOT THE REAL ISSUERS. The demo's own identity provider answers for each of them, with keys made\n\
             just now, and gives anybody any token. Nothing is fetched from outside, and no file of keys is read.\n"
        )?;
        let width = issuers.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, iss) in issuers {
            writeln!(f, "  {name:width$}  {iss}")?;
        }
        if stops.is_empty() {
            writeln!(f, "\nNo request to try could be made from this policy: see http://{idp}/ for tokens.\n")?;
        } else {
            writeln!(f, "\nTry, in another terminal:\n")?;
        }
        for (number, stop) in (1..).zip(stops) {
            let (what, expect) = match &stop.refused {
                None => ("goes through", "expect 200: the application answers".to_owned()),
                Some(reason) => ("is refused", format!("expect a refusal, and \"{reason}\" in the audit line")),
            };
            writeln!(f, "# {number}. {}: {what}", stop.route)?;
            for says in &stop.says {
                writeln!(f, "#    {says}")?;
            }
            writeln!(f, "{}\n#    {expect}\n", self.command(stop))?;
        }
        if !unseen.is_empty() {
            writeln!(f, "No request was found that goes through: {}.\n", unseen.join(", "))?;
        }
        if *left_out > 0 {
            writeln!(f, "{left_out} more requests are left out; their tokens are named on the provider's page.\n")?;
        }
        writeln!(
            f,
            "More tokens: http://{idp}/  How the gate is doing: http://{admin}/\nMetrics and readiness: http://{admin}/metrics, http://{admin}/readyz"
        )?;
        writeln!(f, "A changed policy is taken at the next start.")?;
        writeln!(f, "Each decision's audit line appears below. Ctrl-C ends the demo.\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_safe_for_a_shell() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let sign_in = SignIn {
            method: "POST".to_owned(),
            path: "/callback".to_owned(),
            carrier: Carrier::Form("id_token".to_owned()),
        };
        let stop = Stop {
            route: "pay".to_owned(),
            method: "POST".to_owned(),
            host: Some("api.example".to_owned()),
            path: "/o'clock".to_owned(),
            tokens: vec![
                (Carrier::Authorization, "issuer=a".to_owned()),
                (Carrier::Header("x-id-token".to_owned()), "kind=id".to_owned()),
                (Carrier::Cookie("id".to_owned()), "kind=id".to_owned()),
                (Carrier::Form("id_token".to_owned()), "kind=id".to_owned()),
                (Carrier::Kept("__Host-a".to_owned(), Box::new(sign_in)), "kind=id".to_owned()),
            ],
            says: vec!["amr pwd".to_owned()],
            refused: Some("level_too_low".to_owned()),
        };
        let tour = Tour {
            from: "policies".to_owned(),
            gate: address(1),
            idp: address(2),
            admin: address(3),
            issuers: vec![("a".to_owned(), "https://a.example".to_owned())],
            stops: vec![stop.clone()],
            unseen: vec!["batch".to_owned()],
            left_out: 3,
        };
        assert_eq!(
            tour.command(&stop),
            "curl -i -X POST -H 'Host: api.example' 'http://127.0.0.1:1/o'\\''clock' \\\n  \
             -H \"Authorization: Bearer $(curl -s 'http://127.0.0.1:2/token?issuer=a')\" \\\n  \
             -H \"x-id-token: $(curl -s 'http://127.0.0.1:2/token?kind=id')\" \\\n  \
             -H \"Cookie: id=$(curl -s 'http://127.0.0.1:2/token?kind=id')\" \\\n  \
             -d \"id_token=$(curl -s 'http://127.0.0.1:2/token?kind=id')\" \\\n  \
             -H \"Cookie: $(curl -si -X POST -H 'Host: api.example' 'http://127.0.0.1:1/callback' \\\n    \
             -d \"id_token=$(curl -s 'http://127.0.0.1:2/token?kind=id')\" | grep -o '__Host-a=[^;]*')\""
        );
        let printed = tour.to_string();
        assert!(printed.contains("THESE ARE NOT THE REAL ISSUERS") && printed.contains("https://a.example"));
        assert!(printed.contains("\"level_too_low\"") && printed.contains("goes through: batch."), "{printed}");
        assert!(printed.contains("3 more requests are left out"), "{printed}");
    }
}
