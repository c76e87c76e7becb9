//! `keys` of `stepgate.yaml`: how issuers are asked for their keys, and where those are kept.

use std::time::Duration;

use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys as KeyList};
use crate::config::section::{Paths, Section};
use crate::config::settings::Keys;
use crate::config::source::Purpose;
use crate::config::url::{self, Url};
use crate::config::yaml::Node;

pub(super) const KEYS: KeyList =
    KeyList { what: "`keys`", known: &["max_stale", "allow_http", "cache_dir", "proxy"], later: &[] };

/// `keys`.
pub(crate) fn keys(fields: &Fields<'_>, paths: &mut Paths<'_>, out: &mut Report) -> Option<Keys> {
    let section = Section::of(fields, "keys", KEYS, out)?;
    let max_stale = section.value("max_stale", Duration::from_secs(86_400), reader::duration, out);
    let allow_http = section.value("allow_http", false, reader::switch, out);
    let cache_dir = section.nullable("cache_dir", |node, out| paths.read(node, Purpose::KeyCache, out), out);
    let proxy = section.nullable("proxy", proxy, out);
    Some(Keys { max_stale: max_stale?, allow_http: allow_http?, cache_dir: cache_dir?, proxy: proxy? })
}

fn proxy(node: &Node, out: &mut Report) -> Option<String> {
    let text = reader::text(node, "the URL of a proxy", out)?;
    let plain = text.strip_suffix('/').unwrap_or(text);
    let mistake = match Url::parse(plain) {
        Err(mistake) if plain.starts_with("http://") => mistake,
        Err(_) | Ok(Url { secure: true, .. }) => "it does not start with `http://`",
        Ok(url) if !url.path.is_empty() => "it has more than a host and a port",
        Ok(Url { port: None, .. }) => "it has no port",
        Ok(Url { port: Some(0), .. }) => "nobody listens on port 0",
        Ok(_) => return Some(plain.to_owned()),
    };
    let message = format!("`{}` is no proxy: {mistake}", url::shown(text));
    // What passes through it is TLS of our own, except where `allow_http` says otherwise.
    let help = "write `http://host:port`, without a user; `https` issuers are asked through a tunnel, so nothing is read there";
    out.add(Problem::error("bad_url", node.span, message).help(help).secret(text.contains('@')));
    None
}
