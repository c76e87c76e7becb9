//! `take`: where a route looks for tokens.

use crate::config::keep;
use crate::config::matches::is_token;
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::url::Url;
use crate::config::yaml::Node;
use crate::policy::{Kinds, Origins, Place, TokenSource};

const SOURCE: Keys = Keys {
    what: "a source of tokens",
    known: &["header", "cookie", "form", "kept", "kind", "origins", "on_error"],
    later: &[],
};
const AUTHORIZATION: &str = "write `authorization` in the place of the mapping; it takes access tokens alone, so give id_tokens a header, cookie or form of their own";
const HELP: &str = "write `authorization`, `{ header: NAME, kind: .. }`, `{ cookie: NAME, kind: .. }`, `{ form: NAME, kind: .. }` or `{ kept: __Host-NAME }`";

/// What is taken where nothing is said: access tokens from `Authorization`.
#[must_use]
pub fn default() -> Box<[TokenSource]> {
    [TokenSource { place: Place::Authorization, kinds: Kinds::Access }].into()
}

/// Reads `take`.
pub fn read(node: &Node, out: &mut Report) -> Option<Box<[TokenSource]>> {
    let mut sources: Vec<TokenSource> = Vec::new();
    let mut complete = true;
    for item in reader::list(node, "a list of places to look for tokens in", out)? {
        let Some(source) = source(item, out) else {
            complete = false;
            continue;
        };
        let same = |known: &TokenSource| match (&known.place, &source.place) {
            (Place::Authorization, Place::Authorization) => true,
            (Place::Header(one), Place::Header(other))
            | (Place::Cookie(one, _), Place::Cookie(other, _))
            | (Place::Kept(one, _), Place::Kept(other, _))
            | (Place::Form { name: one, .. }, Place::Form { name: other, .. }) => one == other,
            (Place::Authorization | Place::Header(_) | Place::Cookie(..) | Place::Form { .. } | Place::Kept(..), _) => {
                false
            }
        };
        if sources.iter().any(same) {
            out.add(Problem::error("duplicate_source", item.span, "the same place stands twice in `take`"));
        }
        sources.push(source);
    }
    complete.then(|| sources.into())
}

/// Reads the `take` of the whole policy.
pub fn read_default(node: &Node, out: &mut Report) -> Option<Box<[TokenSource]>> {
    let sources = read(node, out)?;
    if sources.iter().any(|source| matches!(source.place, Place::Form { .. })) {
        // Else every body that is posted anywhere would be held and read, and refused where it is no form.
        let message = "a form is read for the routes that name it, and for no others";
        let help = "move it to the `take` of the route that the identity provider posts to";
        out.add(Problem::error("form_by_default", node.span, message).help(help));
        return None;
    }
    Some(sources)
}

fn source(node: &Node, out: &mut Report) -> Option<TokenSource> {
    if let Some(word) = reader::word(node) {
        if word == "authorization" {
            return Some(TokenSource { place: Place::Authorization, kinds: Kinds::Access });
        }
        out.add(Problem::error("wrong_type", node.span, format!("unknown source of tokens `{word}`")).help(HELP));
        return None;
    }
    let errors = out.errors();
    let fields = Fields::of(node, SOURCE, out)?;
    let kinds = fields.get("kind", out).and_then(|node| {
        reader::choice(node, &[("access", Kinds::Access), ("id", Kinds::Id), ("any", Kinds::Any)], out)
    });
    let origins = fields.get("origins", out).and_then(|node| origins(node, out));
    let header = fields.get("header", out).and_then(|node| header(node, out));
    let cookie = fields.get("cookie", out).and_then(|node| cookie(node, out));
    let form = fields.get("form", out).and_then(|node| parameter(node, out));
    let forwards_errors =
        fields.get("on_error", out).and_then(|node| reader::choice(node, &[("forward", true)], out)).unwrap_or(false);
    let kept = fields.get("kept", out).and_then(|node| keep::cookie(node, out));
    if let (Some(span), true) = (fields.key_span("kind"), fields.has("kept")) {
        let message = "what was kept is of the kind that the token was, and taken as such";
        out.add(Problem::error("unknown_key", span, message).help("take `kind` out"));
    }
    for (key, of, message) in [
        ("origins", ["cookie", "kept"].as_slice(), "`origins` is for cookies: nothing else comes along by itself"),
        ("on_error", &["form"], "`on_error` is for forms: nothing else is an identity provider's answer"),
    ] {
        if let (Some(span), false) = (fields.key_span(key), of.iter().any(|of| fields.has(of))) {
            out.add(Problem::error("unknown_key", span, message).help("take it out"));
        }
    }
    if out.errors() > errors {
        return None;
    }
    let origins = origins.unwrap_or(Origins::Same);
    let place = match (header, cookie, form, kept) {
        (Some(name), None, None, None) => Place::Header(name),
        (None, Some(name), None, None) => Place::Cookie(name, origins),
        (None, None, Some(name), None) => Place::Form { name, forwards_errors },
        (None, None, None, Some(name)) => Place::Kept(name, origins),
        _ => {
            out.add(Problem::error("missing_key", node.span, "a source of tokens is one place").help(HELP));
            return None;
        }
    };
    Some(TokenSource { place, kinds: kinds.unwrap_or(Kinds::Any) })
}

/// Headers in which no token can stand, since they have another meaning, or are taken away before anyone looks.
const OTHER_USE: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn header(node: &Node, out: &mut Report) -> Option<Box<str>> {
    let name = reader::text(node, "a header's name", out)?;
    let lower = name.to_ascii_lowercase();
    let bad = |message: String| Problem::error("bad_header", node.span, message);
    let problem = match lower.as_str() {
        _ if !is_token(name) => Some(bad(format!("`{name}` is no header's name"))),
        "authorization" => Some(bad(format!("`{name}` has its own rules")).help(AUTHORIZATION)),
        "cookie" => Some(bad(format!("`{name}` holds many values")).help("name the cookie: `{ cookie: NAME }`")),
        _ if lower.replace('_', "-").starts_with("x-stepgate-") => {
            Some(bad(format!("`{name}` is one of our own headers, which are stripped from every client")))
        }
        _ if OTHER_USE.contains(&lower.as_str()) => Some(bad(format!("`{name}` carries no token"))),
        _ => None,
    };
    match problem {
        Some(problem) => {
            out.add(problem);
            None
        }
        None => Some(lower.into()),
    }
}

fn cookie(node: &Node, out: &mut Report) -> Option<Box<str>> {
    let name = reader::text(node, "a cookie's name", out)?;
    if !is_token(name) {
        out.add(Problem::error("bad_cookie", node.span, format!("`{name}` is no cookie's name")));
        return None;
    }
    Some(name.into())
}

/// Parameters of an identity provider's answer that are no token, whatever stands in them.
const NO_TOKEN: &[&str] = &["error", "error_description", "error_uri", "state", "iss", "session_state", "scope"];

fn parameter(node: &Node, out: &mut Report) -> Option<Box<str>> {
    let name = reader::text(node, "a form parameter's name", out)?;
    let problem = if !is_token(name) {
        Some(format!("`{name}` is no name that a form parameter with a token in it has"))
    } else if NO_TOKEN.contains(&name) {
        Some(format!("`{name}` carries no token"))
    } else {
        None
    };
    match problem {
        Some(message) => {
            let help = "identity providers post `id_token`";
            out.add(Problem::error("bad_form", node.span, message).help(help));
            None
        }
        None => Some(name.into()),
    }
}

fn origins(node: &Node, out: &mut Report) -> Option<Origins> {
    let mut origins: Vec<Box<str>> = Vec::new();
    for item in reader::list(node, "a list of origins", out)? {
        let written = reader::text(item, "an origin", out)?;
        let sound = Url::parse(written).is_ok_and(|url| url.path.is_empty())
            && !written.bytes().any(|b| b.is_ascii_uppercase());
        let default_port = written.starts_with("https://") && written.ends_with(":443")
            || written.starts_with("http://") && written.ends_with(":80");
        if !sound || default_port {
            let help = "write it as browsers do: scheme, host in lower case and a port unless it is the scheme's own, such as `https://app.example`";
            out.add(Problem::error("bad_origin", item.span, format!("`{written}` is no origin")).help(help));
        }
        origins.push(written.into());
    }
    Some(Origins::Listed(origins.into()))
}
