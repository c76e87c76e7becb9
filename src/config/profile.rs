//! The shipped profiles: issuer fragments for vendors and ecosystems, compiled in, and how an issuer goes over one.

use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::source::{FileId, SourceFile, Sources};
use crate::config::yaml::{self, Kind, Node};
use crate::reason::{Hints, Reason};

/// A shipped profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// The file's text.
    pub text: &'static str,
}

macro_rules! profiles {
    ($($name:literal),+ $(,)?) => {
        &[$(Profile { name: $name, text: include_str!(concat!("../../policies/profiles/", $name, ".yaml")) }),+]
    };
}

/// Every shipped profile, in the order of their names.
pub const ALL: &[Profile] = profiles!["kobil", "okta", "openfinance-brasil", "rfc8176"];

const FILE: Keys = Keys {
    what: "a profile",
    known: &["profile", "version", "title", "about", "caveats", "sources", "hints", "issuer"],
    later: &[],
};

/// A profile's head, for lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its name.
    pub name: Box<str>,
    /// Its version.
    pub version: u64,
    /// One line on what it is for.
    pub title: Box<str>,
    /// What an operator should look at when its issuers' users are refused.
    pub hints: Hints,
}

/// A profile, read.
#[derive(Clone, Debug)]
pub struct Loaded {
    name: &'static str,
    version: u64,
    /// Its file.
    pub file: FileId,
    /// What an operator should look at when its issuers' users are refused.
    pub hints: Hints,
    /// What it says of an issuer.
    pub issuer: Node,
}

impl Profile {
    /// The profile with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().copied().find(|profile| profile.name == name)
    }

    /// Its head.
    ///
    /// # Errors
    /// What is wrong with the file; a test makes sure that nothing is.
    pub fn head(self) -> Result<Head, Vec<Problem>> {
        let (mut sources, mut out) = (Sources::default(), Report::default());
        match self.read(&mut sources, &mut out) {
            Some((head, _, _)) if !out.has_errors() => Ok(head),
            Some(_) | None => Err(out.into_problems()),
        }
    }

    fn read(self, sources: &mut Sources, out: &mut Report) -> Option<(Head, FileId, Node)> {
        let name = format!("profiles/{}.yaml", self.name);
        let file = sources.add(SourceFile { name, folder: std::path::PathBuf::new(), text: self.text.to_owned() });
        let root = yaml::parse(file, self.text, out)?;
        let fields = Fields::of(&root, FILE, out)?;
        let name = reader::text(fields.required("profile", out)?, "the profile's name", out);
        let version = reader::whole(fields.required("version", out)?, 1..=u64::MAX, "a version", out);
        let title = reader::text(fields.required("title", out)?, "a title", out);
        let hints = fields.get("hints", out).map(|node| hints(node, out)).unwrap_or_default();
        let issuer = fields.required("issuer", out)?.clone();
        let head = Head { name: name?.into(), version: version?, title: title?.into(), hints };
        Some((head, file, issuer))
    }
}

/// `hints`: by the codes of reasons, one line each.
fn hints(node: &Node, out: &mut Report) -> Hints {
    let written = reader::mapping(node, "`hints`", out).unwrap_or_default();
    let hint = |(key, node): &(yaml::Key, Node)| {
        let reason = Reason::from_code(&key.text);
        if reason.is_none() {
            let help = reader::suggest(&key.text, Reason::ALL.iter().map(|reason| reason.code()));
            out.add(Problem::error("unknown_reason", key.span, format!("unknown reason `{}`", key.text)).help(help));
        }
        Some((reason?, reader::text(node, "a hint of one line", out)?.into()))
    };
    written.iter().filter_map(hint).collect()
}

/// The profiles that one policy uses, each read once.
#[derive(Debug, Default)]
pub struct Profiles {
    loaded: Vec<Loaded>,
}

impl Profiles {
    /// The profile that `profile: NAME` or `profile: NAME@VERSION` means.
    pub fn named(&mut self, node: &Node, sources: &mut Sources, out: &mut Report) -> Option<Loaded> {
        let written = reader::text(node, "the name of a profile", out)?;
        let (name, version) = written.split_once('@').map_or((written, None), |(name, version)| (name, Some(version)));
        let Some(profile) = Profile::named(name) else {
            let help = reader::suggest(name, ALL.iter().map(|profile| profile.name));
            out.add(Problem::error("unknown_profile", node.span, format!("unknown profile `{name}`")).help(help));
            return None;
        };
        let loaded = match self.loaded.iter().find(|loaded| loaded.name == profile.name) {
            Some(loaded) => loaded.clone(),
            None => {
                let (head, file, issuer) = profile.read(sources, out)?;
                let loaded = Loaded { name: profile.name, version: head.version, file, hints: head.hints, issuer };
                self.loaded.push(loaded.clone());
                loaded
            }
        };
        if version.is_some_and(|version| version != loaded.version.to_string()) {
            let message = format!("this version ships `{name}@{}`, not `{written}`", loaded.version);
            let help = format!("read what changed with `stepgate profiles {name}`, then name the version shipped");
            out.add(Problem::error("profile_version", node.span, message).help(help));
            return None;
        }
        Some(loaded)
    }

    /// Those that are used.
    pub fn iter(&self) -> impl Iterator<Item = &Loaded> {
        self.loaded.iter()
    }
}

/// How many levels of mappings below an issuer's key merge key by key; at the last one values are replaced whole.
fn merging_depth(key: &str) -> usize {
    match key {
        "access" | "id" | "trust" | "factor_classes" => 1,
        // mapping, acr, rename
        "mapping" => 3,
        _ => 0,
    }
}

/// An issuer's own keys over its profile's: maps merge per key, lists and expressions are replaced whole.
#[must_use]
pub fn merge(profile: &Node, own: &Node) -> Node {
    over(profile, own, None)
}

/// `depth`: how many more levels merge; `None`: each key says for itself.
fn over(below: &Node, above: &Node, depth: Option<usize>) -> Node {
    let (Kind::Map(under), Kind::Map(upper)) = (&below.kind, &above.kind) else { return above.clone() };
    let merged = upper.iter().map(|(key, node)| {
        let beneath = under.iter().find(|(known, _)| known.text == key.text).map(|(_, node)| node);
        let left = depth.unwrap_or_else(|| merging_depth(&key.text));
        let node = match beneath {
            Some(beneath) if left > 0 => over(beneath, node, Some(left.saturating_sub(1))),
            Some(_) | None => node.clone(),
        };
        (key.clone(), node)
    });
    let rest = under.iter().filter(|(key, _)| !upper.iter().any(|(known, _)| known.text == key.text)).cloned();
    Node { span: above.span, kind: Kind::Map(merged.chain(rest).collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(hints: &str) -> Result<Head, Vec<String>> {
        let text = format!("profile: x\nversion: 1\ntitle: t\n{hints}\nissuer: {{}}\n");
        let (mut sources, mut out) = (Sources::default(), Report::default());
        let profile = Profile { name: "x", text: Box::leak(text.into_boxed_str()) };
        let read = profile.read(&mut sources, &mut out);
        let problems: Vec<String> = out.into_problems().into_iter().map(|problem| problem.message).collect();
        if problems.is_empty() { Ok(read.unwrap().0) } else { Err(problems) }
    }

    #[test]
    fn hints_are_by_reason_and_one_line_each() {
        let hints = head("hints: { amr_missing: look there, expired: \"and: there\" }").unwrap().hints;
        let all: Vec<(Reason, &str)> = hints.iter().collect();
        assert_eq!(all, [(Reason::Expired, "and: there"), (Reason::AmrMissing, "look there")]);
        assert!(head("").unwrap().hints.iter().next().is_none());
        for (wrong, said) in [
            ("hints: { amr_mising: x }", "unknown reason `amr_mising`"),
            ("hints: { expired: \"\" }", "an empty text"),
            ("hints: { expired: \"a\\nb\" }", "a control character"),
            ("hints: { expired: [a] }", "a hint of one line"),
            ("hints: [expired]", "`hints` as a mapping"),
        ] {
            let problems = head(wrong).unwrap_err();
            assert!(problems.iter().any(|problem| problem.contains(said)), "{wrong}: {problems:?}");
        }
    }
}
