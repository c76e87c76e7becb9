//! `stepgate.yaml` to [`Settings`].

use std::path::{Path, PathBuf};

use crate::config::addresses;
use crate::config::admin::{self, admin};
use crate::config::assertion;
use crate::config::audit::{self, audit};
use crate::config::fetching::{self, keys};
use crate::config::health;
use crate::config::keep;
use crate::config::limits::{self, limits};
use crate::config::lints;
use crate::config::listeners::{self, listeners};
use crate::config::log_filter;
use crate::config::problem::{Problem, Rejected, Report};
use crate::config::reader::{self, Fields, Keys as KeyList};
use crate::config::section::{Paths, Section};
use crate::config::settings::{Listener, LogFormat, Settings, Telemetry};
use crate::config::source::{NamedFile, SourceFile, Sources, Span};
use crate::config::upstreams::{self, upstreams};
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
        "seal",
        "keys",
        "audit",
        "workers",
        "telemetry",
        "limits",
    ],
    later: &["integrations", "state", "events"],
};
const TELEMETRY: KeyList = KeyList { what: "`telemetry`", known: &["log", "format", "otlp"], later: &[] };
/// Every mapping of `stepgate.yaml` with the keys that it may have, by its place in the file. What documents say of keys is
/// held against it.
pub const SECTIONS: &[(&str, KeyList)] = &[
    ("", FILE),
    ("listeners[]", listeners::LISTENER),
    ("listeners[].tls", listeners::TLS),
    ("listeners[].client_auth", listeners::CLIENT_AUTH),
    ("upstreams.NAME", upstreams::UPSTREAM),
    ("upstreams.NAME.tls", upstreams::TLS),
    ("upstreams.NAME.health", health::HEALTH),
    ("admin", admin::ADMIN),
    ("admin.credential", admin::SECRET),
    ("identity", assertion::IDENTITY),
    ("identity.assertion", assertion::ASSERTION),
    ("seal", keep::SEAL),
    ("seal.keys[]", admin::SECRET),
    ("keys", fetching::KEYS),
    ("audit", audit::AUDIT),
    ("audit.rotate", audit::ROTATE),
    ("telemetry", TELEMETRY),
    ("limits", limits::LIMITS),
];

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
        Some((settings, files)) if !out.has_errors() => {
            let lints = lints::settle(out.into_problems(), &sources, true);
            Ok(LoadedSettings { settings, lints, sources, files })
        }
        Some(_) | None => Err(lints::rejected(out, sources)),
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

fn read(root: &Node, folder: &Path, out: &mut Report) -> Option<(Settings, Vec<NamedFile>)> {
    let fields = Fields::of(root, FILE, out)?;
    let mut paths = Paths::new(folder);
    version(&fields, out);
    let public_url = match fields.get_nullable("public_url") {
        Some(node) => public_url(node, out).map(Some),
        None => Some(None),
    };
    let listeners = fields.required("listeners", out).and_then(|node| listeners(node, &mut paths, out));
    let upstreams = fields.required("upstreams", out).and_then(|node| upstreams(node, &mut paths, out));
    let policies = match fields.get("policies", out) {
        Some(node) => reader::text(node, "a folder", out),
        None => Some("policies"),
    };
    let admin = match fields.get_nullable("admin") {
        Some(node) => admin(node, &mut paths, out).map(Some),
        None => Some(None),
    };
    let identity = assertion::identity(&fields, &mut paths, out);
    let seal = keep::seal(&fields, &mut paths, out);
    let keys = keys(&fields, &mut paths, out);
    let audit = audit(&fields, &mut paths, out);
    let telemetry = telemetry(&fields, out);
    let limits = limits(&fields, out);
    let workers = match fields.get("workers", out) {
        Some(node) => workers(node, out),
        None => Some(None),
    };
    let taken = listeners.as_deref().unwrap_or_default();
    let known_admin = admin.as_ref().and_then(Option::as_ref);
    addresses::each_its_own(taken, known_admin, out);
    addresses::never_ourselves(taken, known_admin, upstreams.as_deref().unwrap_or_default(), out);
    if let (Some(Some(url)), Some(span)) = (&public_url, fields.key_span("public_url")) {
        speaks_otherwise(url, span, taken, out);
    }
    let (identity, assertion) = identity?;
    let settings = Settings {
        public_url: public_url?,
        listeners: listeners?.into_iter().map(|(listener, _)| listener).collect(),
        upstreams: upstreams?.into_iter().map(|(upstream, _)| upstream).collect(),
        policies: folder.join(policies?),
        admin: admin?.map(|(admin, _)| admin),
        identity,
        assertion,
        seal: seal?,
        keys: keys?,
        audit: audit?,
        workers: workers?,
        telemetry: telemetry?,
        limits: limits?,
    };
    Some((settings, paths.into_named()))
}

/// Links and the origin of requests would be those of plain HTTP, while clients come by TLS.
fn speaks_otherwise(url: &str, span: Span, listeners: &[(Listener, Span)], out: &mut Report) {
    let speaks_tls = listeners.iter().find(|(listener, _)| listener.tls.is_some());
    if let (true, Some((_, place))) = (url.starts_with("http://"), speaks_tls) {
        let message = "`public_url` is plain `http`, and a listener speaks TLS";
        let help = "write `https://`, as clients do; a page of the other scheme counts as another origin";
        out.add(Problem::lint("public_url_plain", span, message).help(help).related(*place, "TLS is spoken here"));
    }
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

fn telemetry(fields: &Fields<'_>, out: &mut Report) -> Option<Telemetry> {
    let section = Section::of(fields, "telemetry", TELEMETRY, out)?;
    if let Some(fields) = section.fields()
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
    let log = section.value("log", "info".to_owned(), text, out);
    let words = [("json", LogFormat::Json), ("text", LogFormat::Text)];
    let format = section.value("format", LogFormat::Json, |node, out| reader::choice(node, &words, out), out);
    Some(Telemetry { log: log?, format: format? })
}
