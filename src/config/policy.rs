//! A folder's policy files, together, to one compiled policy.

use crate::assurance::{ClaimTable, Issuer};
use crate::config::exceptions::{self, Around};
use crate::config::hash;
use crate::config::issuer::{self, Compiled, Workshop};
use crate::config::keep;
use crate::config::ladders::Scale;
use crate::config::layers::{InUse, Layers, Written};
use crate::config::lints;
use crate::config::on_deny;
use crate::config::onward;
use crate::config::problem::{Problem, Rejected, Report};
use crate::config::profile::{self, Profile};
use crate::config::reader::{self, Fields, Keys};
use crate::config::requirement::Requirements;
use crate::config::routes::{self, Inherited, Spans};
use crate::config::settings::Settings;
use crate::config::source::{FileId, NamedFile, SourceFile, Sources, Span};
use crate::config::stepgate;
use crate::config::streams;
use crate::config::take;
use crate::config::unique::{issuer_names, unique_iss, unique_names};
use crate::config::url::PlainHttp;
use crate::config::yaml::{self, Node};
use crate::policy::{Floor, Policy, PolicyParts, Route, Tie};
use crate::token::{KeySource, Timestamp};

const FILE: Keys = Keys {
    what: "a policy",
    known: &[
        "version",
        "levels",
        "ladders",
        "profiles",
        "issuers",
        "take",
        "defaults",
        "floors",
        "routes",
        "exceptions",
    ],
    later: &[],
};
const DEFAULTS: Keys = Keys {
    what: "`defaults`",
    known: &["on_deny", "streams", "timeout", "max_body"],
    later: &["mode", "cors", "upgrades"],
};

/// A policy, and what of its files is not the policy's own business.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// Where each issuer's keys come from, in the order of the policy's issuers.
    pub keys: Vec<IssuerKeys>,
    /// What is taken but hardly means what it says.
    pub lints: Vec<Problem>,
    /// The files, and the profiles that they use.
    pub sources: Sources,
    /// The files that they name, for whoever may look whether they are there.
    pub files: Vec<NamedFile>,
    /// The shipped profiles that issuers build on, in the order of the issuers.
    pub in_use: Vec<InUse>,
    /// Issuers and local profiles with everything that stands under them.
    pub expanded: Vec<Written>,
    /// `levels` and `ladders`, as written.
    pub axes: Vec<(&'static str, Node)>,
    routes: Vec<Spans>,
    plain: Vec<PlainHttp>,
    /// The policy's own files.
    own: Vec<FileId>,
}

/// Where one issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerKeys {
    /// The policy's name for the issuer.
    pub name: Box<str>,
    /// Its `iss`.
    pub iss: Box<str>,
    /// The source.
    pub source: KeySource,
}

/// Reads all policy files of one folder as one policy.
///
/// # Errors
/// Every problem found, when one of them is an error.
pub fn load_policy(files: Vec<SourceFile>) -> Result<Loaded, Box<Rejected>> {
    load(files, By { shipped: profile::ALL, now: None, lints: true })
}

/// The same where somebody has a clock: exceptions are held against it.
///
/// # Errors
/// Every problem found, when one of them is an error.
pub fn load_policy_at(files: Vec<SourceFile>, now: Timestamp) -> Result<Loaded, Box<Rejected>> {
    load(files, By { shipped: profile::ALL, now: Some(now), lints: true })
}

/// The same with other profiles than those that are shipped.
///
/// # Errors
/// Every problem found, when one of them is an error.
pub fn load_policy_over(files: Vec<SourceFile>, shipped: &'static [Profile]) -> Result<Loaded, Box<Rejected>> {
    load(files, By { shipped, now: None, lints: true })
}

/// What a policy is loaded by.
#[derive(Clone, Copy, Debug)]
struct By {
    shipped: &'static [Profile],
    /// Exceptions are held against it.
    now: Option<Timestamp>,
    /// Whether it is looked over, once nothing is wrong with it.
    lints: bool,
}

fn load(mut files: Vec<SourceFile>, by: By) -> Result<Loaded, Box<Rejected>> {
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut sources, mut out) = (Sources::default(), Report::default());
    let ids: Vec<FileId> = files.into_iter().map(|file| sources.add(file)).collect();
    let texts: Vec<(FileId, String)> =
        ids.iter().filter_map(|id| sources.file(*id).map(|file| (*id, file.text.clone()))).collect();
    let roots: Vec<Node> = texts.iter().filter_map(|(id, text)| root(*id, text, &mut out)).collect();
    let unread = roots.len() < texts.len();
    let parts = Parts::gather(&roots, &mut out);
    match compile(&parts, unread, by, &mut sources, &mut out) {
        Some(mut loaded) if !out.has_errors() => {
            loaded.lints = lints::settle(out.into_problems(), &sources, true);
            loaded.sources = sources;
            Ok(loaded)
        }
        Some(_) | None => Err(lints::rejected(out, sources)),
    }
}

fn root(file: FileId, text: &str, out: &mut Report) -> Option<Node> {
    let node = yaml::parse(file, text, out);
    if node.is_none() && !out.has_errors() {
        let span = Span { file, start: 0, end: 0 };
        out.add(Problem::error("missing_key", span, "the file is empty").help("a policy begins with `version: 1`"));
    }
    node
}

/// The sections of all files.
#[derive(Debug, Default)]
struct Parts<'n> {
    levels: Option<&'n Node>,
    ladders: Option<&'n Node>,
    take: Option<&'n Node>,
    on_deny: on_deny::Written,
    onward: onward::Written,
    streams: streams::Written,
    profiles: Vec<(&'n yaml::Key, &'n Node)>,
    issuers: Vec<(&'n yaml::Key, &'n Node)>,
    floors: Vec<&'n Node>,
    routes: Vec<&'n Node>,
    exceptions: Vec<&'n Node>,
    /// Where `routes` stands, or the first file begins.
    routes_key: Option<Span>,
}

impl<'n> Parts<'n> {
    fn gather(roots: &'n [Node], out: &mut Report) -> Self {
        let mut parts = Self::default();
        let mut defaults = None;
        for root in roots {
            if let Some(key) = stepgate::settings_key(root) {
                let message = "this is a settings file; check it with --config";
                let help = "write `stepgate check --config FILE`, and keep the file out of the policy folder";
                out.add(Problem::error("settings_file", key, message).help(help));
                continue;
            }
            let Some(fields) = Fields::of(root, FILE, out) else { continue };
            version(&fields, out);
            parts.routes_key = parts.routes_key.or(Some(fields.span));
            parts.routes_key = fields.key_span("routes").or(parts.routes_key);
            once(&fields, "levels", &mut parts.levels, out);
            once(&fields, "ladders", &mut parts.ladders, out);
            once(&fields, "take", &mut parts.take, out);
            once(&fields, "defaults", &mut defaults, out);
            for (name, pairs) in [("profiles", &mut parts.profiles), ("issuers", &mut parts.issuers)] {
                if let Some(node) = fields.get(name, out) {
                    let named = reader::mapping(node, &format!("`{name}`"), out).unwrap_or_default();
                    pairs.extend(named.iter().map(|(key, node)| (key, node)));
                }
            }
            let lists =
                [("floors", &mut parts.floors), ("routes", &mut parts.routes), ("exceptions", &mut parts.exceptions)];
            for (name, list) in lists {
                if let Some(node) = fields.get(name, out) {
                    // An empty list of routes lets nothing through, which is what it says.
                    match &node.kind {
                        yaml::Kind::List(items) => list.extend(items),
                        yaml::Kind::Null | yaml::Kind::Scalar { .. } | yaml::Kind::Map(_) => {
                            out.add(reader::expected(node, &format!("a list of {name}")));
                        }
                    }
                }
            }
        }
        let defaults = defaults.and_then(|node| Fields::of(node, DEFAULTS, out));
        let of = |name: &'static str, out: &mut Report| defaults.as_ref().and_then(|fields| fields.get(name, out));
        // What is written wrong was reported, and the policy is not taken.
        parts.on_deny = of("on_deny", out).and_then(|node| on_deny::read(node, out)).unwrap_or_default();
        parts.streams = of("streams", out).and_then(|node| streams::read(node, out)).unwrap_or_default();
        parts.onward = defaults.and_then(|fields| onward::Written::read(&fields, out)).unwrap_or_default();
        parts
    }

    fn inherited(&self, out: &mut Report) -> Inherited {
        let take = self.take.and_then(|node| take::read_default(node, out)).unwrap_or_else(take::default);
        Inherited { take, on_deny: self.on_deny.clone(), streams: self.streams, onward: self.onward }
    }
}

fn version(fields: &Fields<'_>, out: &mut Report) {
    if !fields.has("version") {
        let message = "the file does not say which version of the language it is written in";
        out.add(Problem::error("missing_version", fields.span, message).help("begin it with `version: 1`"));
        return;
    }
    let Some(node) = fields.get("version", out) else { return };
    if reader::word(node) != Some("1") {
        let problem = reader::expected(node, "version `1`");
        out.add(Problem { code: "unknown_version", ..problem }.help("this version of stepgate reads `version: 1`"));
    }
}

fn once<'n>(fields: &Fields<'n>, name: &'static str, slot: &mut Option<&'n Node>, out: &mut Report) {
    let Some(node) = fields.get(name, out) else { return };
    match slot {
        None => *slot = Some(node),
        Some(first) => {
            let message = format!("`{name}` stands in two files; it holds for the whole folder, so one file has it");
            let span = fields.key_span(name).unwrap_or(node.span);
            out.add(
                Problem::error("duplicate_section", span, message)
                    .label("again here")
                    .related(first.span, "first here"),
            );
        }
    }
}

/// Compiles what was gathered. `unread`: some file could not be read, so what is missing may stand there.
fn compile(parts: &Parts<'_>, unread: bool, by: By, sources: &mut Sources, out: &mut Report) -> Option<Loaded> {
    let own = sources.iter().count();
    let scale = Scale::read(parts.levels, parts.ladders, out);
    let (mut claims, mut plain, mut files) = (ClaimTable::default(), Vec::new(), Vec::new());

    unique_names(parts.profiles.iter().map(|(key, _)| (&key.text, key.span)), "profile", out);
    let local = parts.profiles.iter().map(|(key, node)| ((*key).clone(), (*node).clone()));
    let mut layers = Layers::new(by.shipped, local.collect(), out);
    let mut expanded = issuer::local_profiles(&parts.profiles, &scale, &mut layers, sources, out);
    let names = issuer_names(&parts.issuers, out);
    let mut workshop = Workshop {
        scale: &scale,
        layers: &mut layers,
        sources,
        claims: &mut claims,
        plain: &mut plain,
        files: &mut files,
        out,
    };
    let ids = names.iter().zip(&parts.issuers);
    let compiled: Vec<Option<Compiled>> =
        ids.map(|((name, id), (key, node))| workshop.issuer(*id, name, key.span, node)).collect();
    unique_iss(&compiled, out);
    scale.check_likes(&layers.rungs(), out);
    let issuers: Vec<Option<Issuer>> = compiled.iter().map(|one| one.as_ref().map(|one| one.issuer.clone())).collect();
    // With a file unread nobody knows all issuers, so nothing is said of those that seem to be missing.
    if unread {
        return None;
    }

    let inherited = parts.inherited(out);
    let mut needs = Requirements { scale: &scale, names: &names, issuers: &issuers, claims: &mut claims, out };
    let floors: Vec<(Floor, Spans)> = parts.floors.iter().filter_map(|node| routes::floor(node, &mut needs)).collect();
    let routes: Vec<(Route, Spans)> =
        parts.routes.iter().filter_map(|node| routes::route(node, &inherited, &mut needs)).collect();
    let around = Around::of(&routes, parts.routes.len(), by.now);
    let (exceptions, exception_spans) = exceptions::read_all(&parts.exceptions, &around, &mut needs);
    among_themselves(&routes, &floors, parts.routes.len(), out);

    let spans: Vec<Spans> = routes.iter().map(|(_, spans)| spans.clone()).collect();
    let floor_spans: Vec<Spans> = floors.iter().map(|(_, spans)| spans.clone()).collect();
    let own_files: Vec<FileId> = sources.iter().take(own).map(|(id, _)| id).collect();
    let routes: Vec<Route> = routes.into_iter().map(|(route, _)| route).collect();
    let compiled = compiled.into_iter().collect::<Option<Vec<Compiled>>>().unwrap_or_default();
    let (in_use, entries) = issuer::written(&compiled);
    expanded.extend(entries);
    let (issuers, keys) = finish_issuers(compiled, &claims);
    let floors: Vec<Floor> = floors.into_iter().map(|(floor, _)| floor).collect();
    let hash = hash::policy(sources.iter().take(own).map(|(_, file)| file), &issuers, &expanded, &in_use);
    let all = PolicyParts { ladders: scale.ladders, issuers, claims, floors, routes, hash };
    let names: Vec<Box<str>> = all.routes.iter().map(|route| route.name.clone()).collect();
    match Policy::new(all) {
        Ok(policy) => {
            let policy = policy.with_exceptions(exceptions);
            // Of what is wrong anyway nothing more need be said.
            if by.lints && !out.has_errors() {
                let places = lints::Places {
                    routes_key: parts.routes_key,
                    routes: &spans,
                    floors: &floor_spans,
                    exceptions: &exception_spans,
                    rungs: &scale.spans,
                    written: &expanded,
                    own: &own_files,
                };
                lints::check(&policy, &places, out);
            }
            let axes = [("levels", parts.levels), ("ladders", parts.ladders)];
            let axes = axes.into_iter().filter_map(|(name, node)| Some((name, node?.clone()))).collect();
            let (lints, sources, own) = (Vec::new(), Sources::default(), own_files);
            Some(Loaded { policy, keys, lints, sources, files, in_use, expanded, axes, routes: spans, plain, own })
        }
        Err(ties) => {
            say_ties(&ties, &names, &spans, out);
            None
        }
    }
}

fn say_ties(ties: &[Tie], names: &[Box<str>], spans: &[Spans], out: &mut Report) {
    let place = |number: usize| names.get(number).zip(spans.get(number));
    for tie in ties {
        if let Some(((one, first), (other, second))) = place(tie.first).zip(place(tie.second)) {
            let message = format!("`{one}` and `{other}` match some of the same requests and neither is more specific");
            let help = "narrow one of them by host, path or method so that all it matches the other matches too";
            let problem = Problem::error("route_tie", second.name, message).help(help);
            out.add(problem.related(first.name, "the other route"));
        }
    }
}

/// Holds routes and floors against each other. `written`: how many routes there are, whether or not they could be read.
fn among_themselves(routes: &[(Route, Spans)], floors: &[(Floor, Spans)], written: usize, out: &mut Report) {
    unique_names(routes.iter().map(|(route, spans)| (&route.name, spans.name)), "route", out);
    unique_names(floors.iter().map(|(floor, spans)| (&floor.name, spans.name)), "floor", out);
    routes::tokenless_over_floor(routes, floors, out);
    // With a route unread nobody knows what it keeps or takes.
    if routes.len() == written {
        keep::check(routes, out);
    }
}

fn finish_issuers(compiled: Vec<Compiled>, claims: &ClaimTable) -> (Vec<Issuer>, Vec<IssuerKeys>) {
    let mut keys = Vec::with_capacity(compiled.len());
    let finished = compiled.into_iter().map(|Compiled { mut issuer, keys: source, .. }| {
        let iss = issuer.expectation.issuer.clone();
        issuer.fingerprint = hash::fingerprint(&issuer, &source, claims);
        keys.push(IssuerKeys { name: issuer.name.clone(), iss, source });
        issuer
    });
    (finished.collect(), keys)
}

impl Loaded {
    /// Whether the policy wrote this itself; else a shipped profile did.
    pub(in crate::config) fn is_own(&self, span: Span) -> bool {
        self.own.contains(&span.file)
    }

    /// What does not fit the process's own settings: upstreams that are not there, and issuers that may not be asked
    /// without TLS.
    #[must_use]
    pub fn check_against(&self, settings: &Settings) -> Vec<Problem> {
        let names: Vec<&str> = settings.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
        let mut out = Report::default();
        for (route, spans) in self.policy.routes().iter().zip(&self.routes) {
            match &route.upstream {
                Some(name) if !names.contains(&&**name) => {
                    let help = reader::suggest(name, names.iter().copied());
                    let span = spans.upstream.unwrap_or(spans.name);
                    out.add(Problem::error("unknown_upstream", span, format!("unknown upstream `{name}`")).help(help));
                }
                None if names.len() > 1 => {
                    let message = format!(
                        "the route `{}` does not say where it leads, and there are {} upstreams",
                        route.name,
                        names.len()
                    );
                    let help = format!("name one: `upstream: {}`", names.first().unwrap_or(&""));
                    out.add(Problem::error("no_upstream", spans.name, message).help(help));
                }
                Some(_) | None => {}
            }
            on_deny::check_public_url(
                route.on_deny.as_deref(),
                spans.redirect,
                settings.public_url.as_deref(),
                &mut out,
            );
        }
        keep::check_against(self.policy.routes(), &self.routes, &settings.seal, &mut out);
        for plain in self.plain.iter().filter(|_| !settings.keys.allow_http) {
            let message =
                format!("`{}` is not `https`, so whoever sits between could send keys of their own", plain.url);
            let help = "use `https`; plain `http` is taken for loopback addresses, and elsewhere only with `keys: { allow_http: true }` in stepgate.yaml";
            out.add(Problem::error("plain_http", plain.span, message).help(help));
        }
        out.into_problems()
    }

    /// The URLs that keys are asked from without TLS, as lints: for a check that knows no `stepgate.yaml`.
    #[must_use]
    pub fn plain_http_lints(&self) -> Vec<Problem> {
        let lint = |plain: &PlainHttp| {
            let message = format!(
                "`{}` is not `https`: taken only with `keys: {{ allow_http: true }}` in stepgate.yaml",
                plain.url
            );
            Problem::lint("plain_http", plain.span, message)
        };
        self.plain.iter().map(lint).collect()
    }
}

/// As [`load_policy`], without lints, which try thousands of sign-ins: for tests that take hundreds of policies and ask nothing of those.
#[cfg(test)]
pub fn load_policy_without_lints(files: Vec<SourceFile>) -> Result<Loaded, Box<Rejected>> {
    load(files, By { shipped: profile::ALL, now: None, lints: false })
}
