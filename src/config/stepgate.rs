//! `stepgate.yaml` to [`Settings`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::addresses;
use crate::config::log_filter;
use crate::config::problem::{Problem, Rejected, Report};
use crate::config::reader::{self, Fields, Keys as KeyList};
use crate::config::settings::{
    Admin, Audit, AuditTarget, Identity, Keys, Limits, LogFormat, Settings, Telemetry, WhenBlocked,
};
use crate::config::source::{NamedFile, Purpose, SourceFile, Sources, Span};
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
    /// The files that they name, for whoever may look whether they are there.
    pub files: Vec<NamedFile>,
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
                let span = Span { file: id, start: 0, end: 0 };
                out.add(Problem::error("missing_key", span, "the file is empty").help("it begins with `version: 1`"));
            }
            None
        }
    };
    match settings {
        Some((settings, audit)) if !out.has_errors() => {
            let files = audit.into_iter().collect();
            Ok(LoadedSettings { settings, lints: out.into_problems(), sources, files })
        }
        Some(_) | None => Err(Box::new(Rejected { problems: out.into_problems(), sources })),
    }
}

/// Where a key stands that only settings have, if this is a settings file that was taken for a policy.
pub(crate) fn settings_key(root: &Node) -> Option<Span> {
    let Kind::Map(pairs) = &root.kind else { return None };
    pairs.iter().find(|(key, _)| matches!(&*key.text, "listeners" | "upstreams")).map(|(key, _)| key.span)
}

/// Whether a text is that of a settings file.
#[must_use]
pub fn is_settings(file: &SourceFile) -> bool {
    let (mut sources, text) = (Sources::default(), &file.text);
    let id = sources.add(SourceFile { name: String::new(), folder: PathBuf::new(), text: String::new() });
    yaml::parse(id, text, &mut Report::default()).is_some_and(|root| settings_key(&root).is_some())
}

fn read(root: &Node, folder: &Path, out: &mut Report) -> Option<(Settings, Option<NamedFile>)> {
    let fields = Fields::of(root, FILE, out)?;
    version(&fields, out);
    let public_url = fields.get_nullable("public_url").map(|node| public_url(node, out));
    let listeners = fields.required("listeners", out).and_then(|node| addresses::listeners(node, out));
    let upstreams = fields.required("upstreams", out).and_then(|node| addresses::upstreams(node, out));
    let policies = match fields.get("policies", out) {
        Some(node) => reader::text(node, "a folder", out),
        None => Some("policies"),
    };
    let admin = match fields.get_nullable("admin") {
        Some(node) => addresses::admin(node, out).map(|address| Some(Admin { address, credential: None })),
        None => Some(None),
    };
    let identity = identity(&fields, out);
    let keys = keys(&fields, out);
    let audit = audit(&fields, folder, out);
    let telemetry = telemetry(&fields, out);
    let limits = limits(&fields, out);
    let workers = value(Some(&fields), "workers", None, workers, out);
    if let (Some(listeners), Some(Some(Admin { address: admin, .. }))) = (&listeners, &admin)
        && listeners.iter().any(|listener| listener.address == *admin && admin.port() != 0)
    {
        let message = format!("`{admin}` is a listener's address already");
        out.add(Problem::error("duplicate_address", fields.key_span("admin").unwrap_or(root.span), message));
    }
    if let (Some(listeners), Some(upstreams)) = (&listeners, &upstreams) {
        addresses::never_ourselves(listeners, upstreams, out);
    }
    let (audit, audit_path) = audit?;
    let settings = Settings {
        public_url: match public_url {
            Some(url) => Some(url?),
            None => None,
        },
        listeners: listeners?,
        upstreams: upstreams?.into_iter().map(|(upstream, _)| upstream).collect(),
        policies: folder.join(policies?),
        admin: admin?,
        identity: identity?,
        keys: keys?,
        audit,
        workers: workers?,
        telemetry: telemetry?,
        limits: limits?,
    };
    let file = |(span, path)| NamedFile { span, path, purpose: Purpose::AuditLog };
    Some((settings, audit_path.map(file)))
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
    Some(Keys { max_stale: max_stale?, allow_http: allow_http?, cache_dir: None, proxy: None })
}

fn audit(fields: &Fields<'_>, folder: &Path, out: &mut Report) -> Option<(Audit, Option<(Span, PathBuf)>)> {
    let node = fields.get("audit", out);
    if node.and_then(reader::word) == Some("off") {
        return Some((Audit::new(AuditTarget::Off, WhenBlocked::Refuse), None));
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
            let help = "name the file: `audit: { to: file, path: audit.jsonl }`";
            out.add(Problem::error("missing_key", span, "`to: file` needs `path`").help(help));
            return None;
        }
        (false, Some(node)) => {
            let message = "there is a `path`, but the audit log goes to standard output";
            out.add(Problem::error("ambiguous_audit", node.span, message).help("write `to: file`, or take `path` out"));
            return None;
        }
    };
    let named = match &to {
        AuditTarget::File(file) => path.map(|node| (node.span, file.clone())),
        AuditTarget::Off | AuditTarget::Stdout => None,
    };
    Some((Audit::new(to, when_blocked?), named))
}

fn telemetry(fields: &Fields<'_>, out: &mut Report) -> Option<Telemetry> {
    let fields = section(fields, "telemetry", TELEMETRY, out)?;
    if let Some(fields) = &fields
        && let Some((_, span)) = fields.get_nullable("otlp").zip(fields.key_span("otlp"))
    {
        out.add(reader::unsupported(span, "otlp"));
    }
    let text = |node: &Node, out: &mut Report| {
        let text = reader::text(node, "a level or a filter", out)?;
        match log_filter::check(text) {
            Ok(()) => Some(text.to_owned()),
            Err(mistake) => {
                let message = format!("`{text}` is no log filter: {mistake}");
                out.add(Problem::error("bad_log_filter", node.span, message).help(log_filter::HELP));
                None
            }
        }
    };
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
    let head_read = value(fields, "head_read", base.head_read, reader::positive, out);
    let idle = value(fields, "idle", base.idle, reader::positive, out);
    let connect = value(fields, "connect", base.connect, reader::positive, out);
    let response_head = value(fields, "response_head", base.response_head, reader::positive, out);
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
        requests: base.requests,
        headers: base.headers,
        streams: base.streams,
        jwks: base.jwks,
        jwks_keys: base.jwks_keys,
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
