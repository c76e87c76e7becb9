//! `stepgate.yaml` to [`Settings`].

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::config::problem::{Problem, Rejected, Report};
use crate::config::reader::{self, Fields, Keys as KeyList};
use crate::config::settings::{
    Audit, AuditTarget, Identity, Keys, Limits, Listener, LogFormat, Settings, Telemetry, Upstream, WhenBlocked,
};
use crate::config::source::{SourceFile, Sources};
use crate::config::url::{self, Url};
use crate::config::yaml::{self, Kind, Node};

const FILE: KeyList = KeyList {
    what: "stepgate.yaml",
    known: &[
        "version",
        "public_url",
        "listeners",
        "upstreams",
        "policies",
        "admin",
        "identity",
        "keys",
        "audit",
        "workers",
        "telemetry",
        "limits",
    ],
    later: &["integrations", "seal", "state", "events"],
};
const LISTENER: KeyList = KeyList {
    what: "a listener",
    known: &["address"],
    later: &["tls", "client_auth", "proxy_protocol", "trusted_peers"],
};
const UPSTREAM: KeyList =
    KeyList { what: "an upstream", known: &["url", "urls", "timeout"], later: &["tls", "health"] };
const ADMIN: KeyList = KeyList { what: "`admin`", known: &["address"], later: &["credential"] };
const IDENTITY: KeyList = KeyList { what: "`identity`", known: &["headers", "strip_token"], later: &["assertion"] };
const KEYS: KeyList = KeyList { what: "`keys`", known: &["max_stale", "allow_http", "cache_dir", "proxy"], later: &[] };
const AUDIT: KeyList = KeyList { what: "`audit`", known: &["to", "path", "when_blocked"], later: &[] };
const TELEMETRY: KeyList = KeyList { what: "`telemetry`", known: &["log", "format", "otlp"], later: &[] };
const LIMITS: KeyList = KeyList {
    what: "`limits`",
    known: &[
        "token",
        "head",
        "body",
        "token_cache",
        "connections",
        "drain",
        "head_read",
        "idle",
        "connect",
        "response_head",
    ],
    later: &["form"],
};

/// The settings, and what in them is taken but hardly means what it says.
#[derive(Clone, Debug)]
pub struct LoadedSettings {
    /// The settings.
    pub settings: Settings,
    /// Lints.
    pub lints: Vec<Problem>,
    /// The file, to show lints in.
    pub sources: Sources,
}

/// Reads `stepgate.yaml`.
///
/// # Errors
/// Every problem found, when one of them is an error.
pub fn load_settings(file: SourceFile) -> Result<LoadedSettings, Box<Rejected>> {
    let (mut sources, mut out) = (Sources::default(), Report::default());
    let (text, folder) = (file.text.clone(), file.folder.clone());
    let id = sources.add(file);
    let settings = match yaml::parse(id, &text, &mut out) {
        Some(root) => read(&root, &folder, &mut out),
        None => {
            if !out.has_errors() {
                let span = crate::config::Span { file: id, start: 0, end: 0 };
                out.add(Problem::error("missing_key", span, "the file is empty").help("it begins with `version: 1`"));
            }
            None
        }
    };
    match settings {
        Some(settings) if !out.has_errors() => Ok(LoadedSettings { settings, lints: out.into_problems(), sources }),
        Some(_) | None => Err(Box::new(Rejected { problems: out.into_problems(), sources })),
    }
}

fn read(root: &Node, folder: &Path, out: &mut Report) -> Option<Settings> {
    let fields = Fields::of(root, FILE, out)?;
    version(&fields, out);
    let public_url = fields.get_nullable("public_url").map(|node| public_url(node, out));
    let listeners = fields.required("listeners", out).and_then(|node| listeners(node, out));
    let upstreams = fields.required("upstreams", out).and_then(|node| upstreams(node, out));
    let policies = match fields.get("policies", out) {
        Some(node) => reader::text(node, "a folder", out),
        None => Some("policies"),
    };
    let admin = match fields.get_nullable("admin") {
        Some(node) => admin(node, out).map(Some),
        None => Some(None),
    };
    let identity = identity(&fields, out);
    let keys = keys(&fields, out);
    let audit = audit(&fields, folder, out);
    let telemetry = telemetry(&fields, out);
    let limits = limits(&fields, out);
    let workers = value(Some(&fields), "workers", None, workers, out);
    if let (Some(listeners), Some(Some(admin))) = (&listeners, admin)
        && listeners.iter().any(|listener| listener.address == admin && admin.port() != 0)
    {
        let message = format!("`{admin}` is a listener's address already");
        out.add(Problem::error("duplicate_address", fields.key_span("admin").unwrap_or(root.span), message));
    }
    Some(Settings {
        public_url: match public_url {
            Some(url) => Some(url?),
            None => None,
        },
        listeners: listeners?,
        upstreams: upstreams?,
        policies: folder.join(policies?),
        admin: admin?,
        identity: identity?,
        keys: keys?,
        audit: audit?,
        workers: workers?,
        telemetry: telemetry?,
        limits: limits?,
    })
}

/// The outer `None`: it is written wrong.
fn workers(node: &Node, out: &mut Report) -> Option<Option<usize>> {
    if reader::word(node) == Some("auto") {
        return Some(None);
    }
    let number = reader::whole(node, 1..=1024, "`auto` or a number of threads, 1 to 1024", out)?;
    usize::try_from(number).ok().map(Some)
}

fn version(fields: &Fields<'_>, out: &mut Report) {
    let Some(node) = fields.required("version", out) else { return };
    if reader::word(node) != Some("1") {
        let problem = reader::expected(node, "version `1`");
        out.add(Problem { code: "unknown_version", ..problem }.help("this version of stepgate reads `version: 1`"));
    }
}

fn public_url(node: &Node, out: &mut Report) -> Option<String> {
    let text = reader::text(node, "the URL that clients call", out)?;
    let plain = text.strip_suffix('/').unwrap_or(text);
    match Url::parse(plain) {
        Ok(url) if url.path.is_empty() => Some(plain.to_owned()),
        Ok(_) => {
            let message = format!("`{}` has more than a scheme and a host", url::shown(text));
            let problem = Problem::error("bad_url", node.span, message).help("leave out path and query");
            out.add(problem.secret(text.contains('@')));
            None
        }
        Err(mistake) => {
            let message = format!("`{}` is no URL: {mistake}", url::shown(text));
            out.add(Problem::error("bad_url", node.span, message).secret(text.contains('@')));
            None
        }
    }
}

fn address(node: &Node, out: &mut Report) -> Option<SocketAddr> {
    let text = reader::text(node, "an address", out)?;
    let address = text.parse().ok();
    if address.is_none() {
        let help = "write an IP address and a port, such as `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`";
        out.add(Problem::error("bad_address", node.span, format!("`{text}` is no address to listen on")).help(help));
    }
    address
}

fn listeners(node: &Node, out: &mut Report) -> Option<Vec<Listener>> {
    let mut listeners: Vec<Listener> = Vec::new();
    for item in reader::list(node, "a list of listeners", out)? {
        let Some(fields) = Fields::of(item, LISTENER, out) else { continue };
        let Some(node) = fields.required("address", out) else { continue };
        let Some(address) = address(node, out) else { continue };
        if address.port() != 0 && listeners.iter().any(|listener| listener.address == address) {
            out.add(Problem::error(
                "duplicate_address",
                node.span,
                format!("two listeners have the address `{address}`"),
            ));
        }
        listeners.push(Listener { address });
    }
    Some(listeners)
}

fn upstreams(node: &Node, out: &mut Report) -> Option<Vec<Upstream>> {
    let pairs = reader::mapping(node, "`upstreams`", out)?;
    if pairs.is_empty() {
        let help = "name one: `app: { url: \"http://127.0.0.1:8080\" }`";
        out.add(Problem::error("empty_list", node.span, "no upstream to forward to").help(help));
    }
    let upstream = |(key, node): &(yaml::Key, Node), out: &mut Report| {
        let fields = Fields::of(node, UPSTREAM, out)?;
        let timeout = match fields.get("timeout", out) {
            Some(node) => Some(positive(node, out)?),
            None => None,
        };
        let (host, port) = upstream_address(url_node(&fields, out)?, out)?;
        Some(Upstream { name: key.text.to_string(), host, port, timeout })
    };
    Some(pairs.iter().filter_map(|pair| upstream(pair, out)).collect())
}

fn url_node<'n>(fields: &Fields<'n>, out: &mut Report) -> Option<&'n Node> {
    match (fields.has("url"), fields.has("urls")) {
        (true, false) => fields.get("url", out),
        (false, true) => {
            let items = reader::list(fields.get("urls", out)?, "a list of URLs", out)?;
            if let Some(second) = items.get(1) {
                let message = "several URLs of one upstream are not supported by this version yet";
                out.add(Problem::error("not_supported_yet", second.span, message).help("name one"));
                return None;
            }
            items.first()
        }
        (both, _) => {
            let message = if both { "an upstream has `url` or `urls`, not both" } else { "an upstream needs `url`" };
            out.add(Problem::error("missing_key", fields.span, message));
            None
        }
    }
}

fn upstream_address(node: &Node, out: &mut Report) -> Option<(String, u16)> {
    let text = reader::text(node, "an upstream's URL", out)?;
    if let Some(scheme) = ["https:", "h2c:", "unix:"].into_iter().find(|scheme| text.starts_with(scheme)) {
        let message = format!("upstreams over `{scheme}` are not supported by this version yet");
        let problem = Problem::error("not_supported_yet", node.span, message).help("use `http://host:port`");
        out.add(problem.secret(text.contains('@')));
        return None;
    }
    let bad = |mistake: &str| {
        let help = "write a scheme, a host and a port, such as `http://127.0.0.1:8080`";
        let message = format!("`{}` is no upstream: {mistake}", url::shown(text));
        Problem::error("bad_url", node.span, message).help(help).secret(text.contains('@'))
    };
    match Url::parse(text) {
        Ok(url) if url.path.is_empty() || url.path == "/" => Some((url.host.to_owned(), url.port.unwrap_or(80))),
        Ok(_) => {
            out.add(bad("it has a path, and requests keep their own"));
            None
        }
        Err(_) if !text.starts_with("http://") => {
            out.add(bad("it does not start with `http://`"));
            None
        }
        Err(mistake) => {
            out.add(bad(mistake));
            None
        }
    }
}

fn admin(node: &Node, out: &mut Report) -> Option<SocketAddr> {
    let fields = Fields::of(node, ADMIN, out)?;
    let address_node = fields.required("address", out)?;
    let found = address(address_node, out)?;
    if !found.ip().is_loopback() {
        let message = format!("the admin listener on `{found}` can be reached from other machines");
        let help =
            "it shows routes, issuers and metrics to whoever asks: use `127.0.0.1` unless the network is yours alone";
        out.add(Problem::lint("admin_exposed", address_node.span, message).help(help));
    }
    Some(found)
}

/// The mapping under a key; `None` when the key is left out.
fn section<'n>(fields: &Fields<'n>, name: &'static str, keys: KeyList, out: &mut Report) -> Option<Option<Fields<'n>>> {
    match fields.get(name, out) {
        Some(node) => Fields::of(node, keys, out).map(Some),
        None => Some(None),
    }
}

/// The value of a key, or what it is when left out.
fn value<T>(
    fields: Option<&Fields<'_>>,
    name: &'static str,
    default: T,
    read: impl FnOnce(&Node, &mut Report) -> Option<T>,
    out: &mut Report,
) -> Option<T> {
    match fields.and_then(|fields| fields.get(name, out)) {
        Some(node) => read(node, out),
        None => Some(default),
    }
}

fn positive(node: &Node, out: &mut Report) -> Option<Duration> {
    let duration = reader::duration(node, out)?;
    if duration.is_zero() {
        out.add(Problem::error("out_of_range", node.span, "nothing can be done in no time"));
        return None;
    }
    Some(duration)
}

fn identity(fields: &Fields<'_>, out: &mut Report) -> Option<Identity> {
    let fields = section(fields, "identity", IDENTITY, out)?;
    let headers = value(fields.as_ref(), "headers", true, reader::switch, out);
    let strip_token = value(fields.as_ref(), "strip_token", false, reader::switch, out);
    Some(Identity { headers: headers?, strip_token: strip_token? })
}

fn keys(fields: &Fields<'_>, out: &mut Report) -> Option<Keys> {
    let fields = section(fields, "keys", KEYS, out)?;
    for name in ["cache_dir", "proxy"] {
        if let Some(fields) = &fields
            && let Some((_, span)) = fields.get_nullable(name).zip(fields.key_span(name))
        {
            out.add(reader::unsupported(span, name));
        }
    }
    let max_stale = value(fields.as_ref(), "max_stale", Duration::from_secs(86_400), reader::duration, out);
    let allow_http = value(fields.as_ref(), "allow_http", false, reader::switch, out);
    Some(Keys { max_stale: max_stale?, allow_http: allow_http? })
}

fn audit(fields: &Fields<'_>, folder: &Path, out: &mut Report) -> Option<Audit> {
    let node = fields.get("audit", out);
    if node.and_then(reader::word) == Some("off") {
        return Some(Audit { to: AuditTarget::Off, when_blocked: WhenBlocked::Refuse });
    }
    if let Some(Node { kind: Kind::Scalar { .. } | Kind::List(_), .. }) = node {
        out.add(reader::expected(node?, "`off` or a mapping such as `{ to: stdout }`"));
        return None;
    }
    let fields = section(fields, "audit", AUDIT, out)?;
    let file = value(
        fields.as_ref(),
        "to",
        false,
        |node, out| reader::choice(node, &[("stdout", false), ("file", true)], out),
        out,
    );
    let words = [("refuse", WhenBlocked::Refuse), ("drop", WhenBlocked::Drop)];
    let blocked = |node: &Node, out: &mut Report| reader::choice(node, &words, out);
    let when_blocked = value(fields.as_ref(), "when_blocked", WhenBlocked::Refuse, blocked, out);
    let path = fields.as_ref().and_then(|fields| fields.get("path", out));
    let to = match (file?, path) {
        (true, Some(node)) => AuditTarget::File(folder.join(reader::text(node, "a file", out)?)),
        (false, None) => AuditTarget::Stdout,
        (true, None) => {
            let span = fields.as_ref()?.key_span("to")?;
            out.add(Problem::error("missing_key", span, "`to: file` needs `path`"));
            return None;
        }
        (false, Some(node)) => {
            let message = "there is a `path`, but the audit log goes to standard output";
            out.add(Problem::error("ambiguous_audit", node.span, message).help("write `to: file`, or take `path` out"));
            return None;
        }
    };
    Some(Audit { to, when_blocked: when_blocked? })
}

fn telemetry(fields: &Fields<'_>, out: &mut Report) -> Option<Telemetry> {
    let fields = section(fields, "telemetry", TELEMETRY, out)?;
    if let Some(fields) = &fields
        && let Some((_, span)) = fields.get_nullable("otlp").zip(fields.key_span("otlp"))
    {
        out.add(reader::unsupported(span, "otlp"));
    }
    let text = |node: &Node, out: &mut Report| reader::text(node, "a level or a filter", out).map(str::to_owned);
    let log = value(fields.as_ref(), "log", "info".to_owned(), text, out);
    let words = [("json", LogFormat::Json), ("text", LogFormat::Text)];
    let format = value(fields.as_ref(), "format", LogFormat::Json, |node, out| reader::choice(node, &words, out), out);
    Some(Telemetry { log: log?, format: format? })
}

fn limits(fields: &Fields<'_>, out: &mut Report) -> Option<Limits> {
    let base = Limits::default();
    let fields = section(fields, "limits", LIMITS, out)?;
    let fields = fields.as_ref();
    let bytes = |least: u64, most: u64| {
        move |node: &Node, out: &mut Report| {
            let size = reader::size(node, out)?;
            if !(least..=most).contains(&size) {
                let message = format!("{size} bytes are out of range: from {least} up to {most}");
                out.add(Problem::error("out_of_range", node.span, message));
                return None;
            }
            usize::try_from(size).ok()
        }
    };
    let token = value(fields, "token", base.token, bytes(256, 1 << 20), out);
    let head = value(fields, "head", base.head, bytes(1 << 10, 1 << 20), out);
    let body = value(fields, "body", base.body, body, out);
    let token_cache = value(fields, "token_cache", base.token_cache, reader::size, out);
    let number = |node: &Node, out: &mut Report| {
        let what = "a number of connections, 1 to 1000000";
        reader::whole(node, 1..=1_000_000, what, out).and_then(|number| usize::try_from(number).ok())
    };
    let connections = value(fields, "connections", base.connections, number, out);
    let drain = value(fields, "drain", base.drain, reader::duration, out);
    let head_read = value(fields, "head_read", base.head_read, positive, out);
    let idle = value(fields, "idle", base.idle, positive, out);
    let connect = value(fields, "connect", base.connect, positive, out);
    let response_head = value(fields, "response_head", base.response_head, positive, out);
    if let (Some(token), Some(head)) = (token, head)
        && let Some(span) = fields.and_then(|fields| fields.key_span("token"))
        && token > head
    {
        let message = "a token longer than a whole head never arrives";
        out.add(Problem::lint("token_over_head", span, message).help("raise `head` too"));
    }
    Some(Limits {
        token: token?,
        head: head?,
        body: body?,
        token_cache: token_cache?,
        connections: connections?,
        drain: drain?,
        head_read: head_read?,
        idle: idle?,
        connect: connect?,
        response_head: response_head?,
    })
}

/// The outer `None`: it is written wrong.
fn body(node: &Node, out: &mut Report) -> Option<Option<u64>> {
    if reader::word(node) == Some("none") {
        return Some(None);
    }
    reader::size(node, out).map(Some)
}
