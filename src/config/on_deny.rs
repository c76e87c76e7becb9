//! `on_deny`: where a refused browser is sent, and whether it may be sent there again and again.

use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::routes::Spans;
use crate::config::source::Span;
use crate::config::url::{self, Url};
use crate::config::yaml::Node;
use crate::policy::on_deny::{OnDeny, Origin, Part, Placeholder, Repeat, Template};
use crate::policy::{CanonicalPath, HostPattern, Policy, Route, Target};

const ON_DENY: Keys = Keys { what: "`on_deny`", known: &["redirect", "repeat"], later: &[] };
const HELP: &str = "write `https://` and a host, or a path that begins with one `/`, which is then one of ours";
/// In the place of a template: no redirect, whatever stands in `defaults`.
const NONE: &str = "none";

/// `on_deny` as one place of a policy says it.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Where to sign in; the inner `None`: nowhere.
    redirect: Option<(Option<Template>, Span)>,
    repeat: Option<Repeat>,
}

/// Reads `on_deny`.
pub fn read(node: &Node, out: &mut Report) -> Option<Written> {
    let fields = Fields::of(node, ON_DENY, out)?;
    let errors = out.errors();
    let redirect = fields.get("redirect", out).and_then(|node| Some((redirect(node, out)?, node.span)));
    let words = [("forbid", Repeat::Forbid), ("allow", Repeat::Allow)];
    let repeat = fields.get("repeat", out).and_then(|node| reader::choice(node, &words, out));
    (out.errors() == errors).then_some(Written { redirect, repeat })
}

/// What holds for a route: its own keys, and under them those of `defaults`. With it, where its redirect stands.
#[must_use]
pub fn of_route(own: &Written, defaults: &Written) -> (Option<Box<OnDeny>>, Option<Span>) {
    let redirect = own.redirect.as_ref().or(defaults.redirect.as_ref());
    let (redirect, span) = match redirect {
        Some((Some(template), span)) => (Some(template.clone()), Some(*span)),
        Some((None, _)) | None => (None, None),
    };
    let on_deny = OnDeny { redirect, repeat: own.repeat.or(defaults.repeat).unwrap_or_default() };
    ((on_deny != OnDeny::default()).then(|| Box::new(on_deny)), span)
}

/// Says of a redirect that it can't be made without a `public_url`.
pub fn check_public_url(on_deny: Option<&OnDeny>, span: Option<Span>, public_url: Option<&str>, out: &mut Report) {
    let template = on_deny.and_then(|on_deny| on_deny.redirect.as_ref());
    if let (Some(template), Some(span), None) = (template, span, public_url)
        && template.needs_public_url()
    {
        let what = if template.at == Origin::PublicUrl { "a path of ours" } else { "`{url}`" };
        let message = format!("this redirect names {what}, and nothing says what clients call us");
        let help = "set `public_url` in stepgate.yaml: what a client calls us is not to be believed here";
        out.add(Problem::error("no_public_url", span, message).help(help));
    }
}

/// A route whose own requests are what its redirect leads to: whoever is refused there goes round for ever.
pub fn circles(policy: &Policy, spans: &[Spans], out: &mut Report) {
    for (route, spans) in policy.routes().iter().zip(spans) {
        let template = route.on_deny.as_ref().and_then(|on_deny| on_deny.redirect.as_ref());
        let (Some(path), Some(span)) = (template.and_then(own_path), spans.redirect) else { continue };
        let leads_back = |host: &HostPattern| {
            let host = match host {
                HostPattern::Exact(host) => host,
                HostPattern::Any => "",
                HostPattern::Suffix(_) => return false,
            };
            let target = Target { method: "GET", host, path: &path };
            policy.route(&target).is_ok_and(|there| there.name == route.name)
        };
        // Under which host `public_url` is, the policy can't know; a route that lets people in there may be the one.
        let opens = |other: &Route| {
            let redirects = other.on_deny.as_ref().is_some_and(|on_deny| on_deny.redirect.is_some());
            !redirects && other.matches.path.matches(&path)
        };
        if !policy.routes().iter().any(opens) && route.matches.hosts.iter().any(leads_back) {
            let message = format!(
                "the route `{}` sends whoever is not signed in to `{path}`, which it guards itself",
                route.name
            );
            let help =
                format!("give `{path}` a route of its own: `require: public`, or `on_deny: {{ redirect: none }}`");
            out.add(Problem::lint("redirect_circle", span, message).help(help));
        }
    }
}

/// The path of ours that a template leads to, where nothing is filled into it.
fn own_path(template: &Template) -> Option<CanonicalPath> {
    let (Origin::PublicUrl, Some(Part::Literal(text))) = (&template.at, template.parts.first()) else { return None };
    let end = text.find(['?', '#']);
    let path = end.map_or(Some(&**text).filter(|_| template.parts.len() == 1), |end| text.get(..end))?;
    CanonicalPath::parse(path).ok()
}

/// A template, taken apart. The outer `None`: it is written wrong.
fn redirect(node: &Node, out: &mut Report) -> Option<Option<Template>> {
    let text = reader::text(node, "a URL to sign in at", out)?;
    if text == NONE {
        return Some(None);
    }
    match template(text) {
        Ok(template) => Some(Some(template)),
        Err(Mistake { what, help }) => {
            let message = format!("`{}` is no URL to sign in at: {what}", url::shown(text));
            out.add(Problem::error("bad_redirect", node.span, message).help(help).secret(text.contains('@')));
            None
        }
    }
}

/// What is wrong with a template, and how to mend it.
#[derive(Debug)]
struct Mistake {
    what: String,
    help: String,
}

fn mistake(what: impl Into<String>, help: impl Into<String>) -> Mistake {
    Mistake { what: what.into(), help: help.into() }
}

fn template(text: &str) -> Result<Template, Mistake> {
    if text.starts_with('/') {
        if text.starts_with("//") || text.starts_with("/\\") {
            return Err(mistake("browsers take what begins so for another host", HELP));
        }
        return Ok(Template { at: Origin::PublicUrl, parts: parts(text)? });
    }
    // Up to here nothing is filled in, so that only the policy says where a browser is sent.
    let scheme = text.find("://").map_or(0, |at| at.saturating_add("://".len()));
    let rest = text.get(scheme..).unwrap_or_default();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len()).saturating_add(scheme);
    let (origin, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    if origin.contains(['{', '}']) {
        let help =
            "write scheme and host out; placeholders stand after them, as in `https://app.example/login?to={url}`";
        return Err(mistake("a placeholder stands in its scheme or host", help));
    }
    let url = Url::parse(origin).map_err(|mistake_in_url| mistake(mistake_in_url, HELP))?;
    if !url.secure && !url.is_loopback() {
        let help = "write `https://`; plain `http` is for loopback addresses, to try things out";
        return Err(mistake("it is not `https`, and whoever sits between would see where the user was going", help));
    }
    Ok(Template { at: Origin::Named(origin.into()), parts: parts(rest)? })
}

/// What follows the host, taken apart at its placeholders.
fn parts(text: &str) -> Result<Box<[Part]>, Mistake> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at_checked(at).unwrap_or((rest, ""));
        literal(before, &mut parts)?;
        let inner = brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let Some((name, after)) = inner.filter(|(name, _)| !name.contains('{')) else {
            let what = if brace.starts_with('{') { "a `{` without its `}`" } else { "a `}` without its `{`" };
            return Err(mistake(
                what,
                "braces stand around placeholders alone; a brace of the URL's own is `%7B` or `%7D`",
            ));
        };
        let Some((_, placeholder)) = Placeholder::ALL.iter().find(|(known, _)| *known == name) else {
            let help = reader::suggest(name, Placeholder::ALL.iter().map(|(known, _)| *known));
            return Err(mistake(format!("unknown placeholder `{name}`"), help));
        };
        parts.push(Part::Filled(*placeholder));
        rest = after;
    }
    literal(rest, &mut parts)?;
    Ok(parts.into())
}

/// A text without placeholders: the characters of a URL (RFC 3986), each `%` with its two digits.
fn literal(text: &str, parts: &mut Vec<Part>) -> Result<(), Mistake> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c);
    if let Some(c) = text.chars().find(|c| !is_legal(*c)) {
        let help = "write it as its escape, `%` and two hex digits for each byte of UTF-8";
        return Err(mistake(format!("`{c}` stands in no URL"), help));
    }
    let is_escape = |after: &str| after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(is_escape) {
        return Err(mistake("a `%` without two hex digits behind it", "write `%25` for a `%` of its own"));
    }
    if !text.is_empty() {
        parts.push(Part::Literal(text.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_host_are_taken_apart_from_what_is_filled_in() {
        let read = |text: &str| template(text).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}"));
        let url = || Part::Filled(Placeholder::Url);
        let literal = |text: &str| Part::Literal(text.into());
        for (text, at, parts) in [
            ("https://app.example", Some("https://app.example"), vec![]),
            ("https://app.example:8443/{url}", Some("https://app.example:8443"), vec![literal("/"), url()]),
            ("https://app.example?to={url}", Some("https://app.example"), vec![literal("?to="), url()]),
            ("http://127.0.0.1:81/#{url}{url}", Some("http://127.0.0.1:81"), vec![literal("/#"), url(), url()]),
            ("http://[::1]/%7B", Some("http://[::1]"), vec![literal("/%7B")]),
            ("/login?to={url}&x", None, vec![literal("/login?to="), url(), literal("&x")]),
            ("/", None, vec![literal("/")]),
        ] {
            let at = at.map_or(Origin::PublicUrl, |at| Origin::Named(at.into()));
            assert_eq!(read(text), Template { at, parts: parts.into() }, "{text}");
        }
    }

    #[test]
    fn whatever_could_lead_elsewhere_or_means_nothing_is_refused() {
        for text in [
            "//evil.example",
            "/\\evil.example",
            "login",
            "{url}",
            "https:",
            "https:/app.example",
            "https:app.example",
            "https://",
            "https:///x",
            "HTTPS://app.example",
            "ftp://app.example",
            "javascript:alert(1)//",
            "data:text/html,x",
            "http://app.example",
            "http://localhost.example",
            "http://127.0.0.1.example/",
            "https://{url}",
            "https://{url}.example/",
            "https://app.example{url}",
            "https://app.example:{max_age}/",
            "{scope}://app.example/",
            "https://user@app.example/",
            "https://user:secret@app.example/",
            "https://app.example\\@evil.example/",
            "https://app.example%2eevil.example/",
            "https://app.example:/",
            "https://app.example:99999/",
            "https://app.example/\\x",
            "https://app.example/ x",
            "https://app.example/<x>",
            "https://app.example/é",
            "https://app.example/\u{7f}",
            "https://app.example/%",
            "https://app.example/%2",
            "https://app.example/%zz",
            "https://app.example/%{url}",
            "https://app.example/{url",
            "https://app.example/url}",
            "https://app.example/{{url}}",
            "https://app.example/{}",
            "https://app.example/{ url }",
            "https://app.example/{URL}",
            "https://app.example/{reason}",
            "/a{url}}",
        ] {
            assert!(template(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_routes_own_keys_go_over_the_defaults_one_by_one() {
        let mut sources = crate::config::Sources::default();
        let file = crate::config::SourceFile { name: "p".into(), folder: ".".into(), text: String::new() };
        let at = Span { file: sources.add(file), start: 1, end: 2 };
        let there = |path: &str| Some((Some(template(path).unwrap()), at));
        let defaults = Written { redirect: there("/login"), repeat: Some(Repeat::Forbid) };
        let redirect = |on_deny: &OnDeny| on_deny.redirect.clone();
        let (inherited, span) = of_route(&Written::default(), &defaults);
        assert_eq!(
            inherited.map(|on_deny| *on_deny),
            Some(OnDeny { redirect: template("/login").ok(), repeat: Repeat::Forbid })
        );
        assert_eq!(span, Some(at));
        let (own, _) = of_route(&Written { redirect: there("/in"), repeat: None }, &defaults);
        assert_eq!(own.map(|own| (redirect(&own), own.repeat)), Some((template("/in").ok(), Repeat::Forbid)));
        let (own, span) = of_route(&Written { redirect: Some((None, at)), repeat: None }, &defaults);
        assert_eq!((own.map(|own| (redirect(&own), own.repeat)), span), (Some((None, Repeat::Forbid)), None));
        let nothing = Written { redirect: Some((None, at)), repeat: Some(Repeat::Allow) };
        assert_eq!(of_route(&nothing, &defaults), (None, None), "a route that asks for nothing costs nothing");
        assert_eq!(of_route(&Written::default(), &Written::default()), (None, None));
    }
}
