//! The shipped profiles: issuer fragments for vendors and ecosystems, compiled in. Where a policy builds on one,
//! `layers` takes it from here.

use crate::assurance::{Ladder, Ladders};
use crate::config::hints;
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::source::{FileId, SourceFile, Sources};
use crate::config::yaml::{self, Node};
use crate::reason::Hints;

/// A shipped profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its file without `.yaml`: `NAME` is the newest version, `NAME@VERSION` an older one.
    pub stem: &'static str,
    /// The file's text.
    pub text: &'static str,
}

macro_rules! profiles {
    ($($stem:literal),+ $(,)?) => {
        &[$(Profile { stem: $stem, text: include_str!(concat!("../../policies/profiles/", $stem, ".yaml")) }),+]
    };
}

/// Every shipped profile, in the order of their names.
pub const ALL: &[Profile] = profiles![
    "auth0",
    "authelia",
    "authentik",
    "bundid",
    "cdr-australia",
    "cognito",
    "denmark-nsis",
    "digid",
    "eherkenning",
    "eidas",
    "entra-eam",
    "entra-v1",
    "entra-v2-acrs",
    "finland-ftn",
    "franceconnect",
    "govuk-one-login",
    "idporten",
    "itsme",
    "keycloak",
    "kobil",
    "login-gov",
    "nhs-cis2",
    "nist-aal",
    "okta",
    "openfinance-brasil",
    "pingone",
    "refeds",
    "rfc8176",
    "rsa-id-plus",
    "saml-classes",
    "secureauth",
    "singpass",
    "spid-cie",
    "sweden-connect",
    "uk-open-banking",
    "wso2",
    "zitadel",
];

const FILE: Keys = Keys {
    what: "a profile",
    known: &["profile", "version", "title", "about", "caveats", "sources", "sends", "ladders", "hints", "issuer"],
    later: &[],
};

/// A profile's head: what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its name.
    pub name: Box<str>,
    /// Its version.
    pub version: u64,
    /// One line on what it is for.
    pub title: Box<str>,
    /// What it is for and how it reads a sign-in, in a few lines.
    pub about: Box<str>,
    /// What an operator must know.
    pub caveats: Box<[Box<str>]>,
    /// What it was written from.
    pub sources: Box<[Box<str>]>,
    /// The claims that the vendor sends.
    pub sends: Box<[Box<str>]>,
    /// Further ladders whose rungs its proofs name.
    pub ladders: Box<[Ladder]>,
    /// What an operator should look at when its issuers' users are refused.
    pub hints: Hints,
}

/// A profile, read.
#[derive(Clone, Debug)]
pub struct Read {
    /// What it says of itself.
    pub head: Head,
    /// Its file.
    pub file: FileId,
    /// What it says of an issuer.
    pub issuer: Node,
    /// The whole file.
    pub root: Node,
}

impl Profile {
    /// The newest profile with this name, or the one that `NAME@VERSION` names.
    #[must_use]
    pub fn named(written: &str) -> Option<Self> {
        let newest = ALL.iter().copied().find(|profile| profile.stem == written);
        newest.or_else(|| {
            let (name, version) = written.split_once('@')?;
            let newest = Self::named(name)?;
            (newest.head().ok()?.version.to_string() == version).then_some(newest)
        })
    }

    /// Its name, without a version.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.stem.split_once('@').map_or(self.stem, |(name, _)| name)
    }

    /// Whether it is the newest of its name.
    #[must_use]
    pub fn is_newest(self) -> bool {
        !self.stem.contains('@')
    }

    /// Its head.
    ///
    /// # Errors
    /// What is wrong with the file; a test makes sure that nothing is.
    pub fn head(self) -> Result<Head, Vec<Problem>> {
        let (mut sources, mut out) = (Sources::default(), Report::default());
        match self.read(&mut sources, &mut out) {
            Some(read) if !out.has_errors() => Ok(read.head),
            Some(_) | None => Err(out.into_problems()),
        }
    }

    /// Reads its file, which is added to `sources`.
    pub fn read(self, sources: &mut Sources, out: &mut Report) -> Option<Read> {
        let name = format!("profiles/{}.yaml", self.stem);
        let file = sources.add(SourceFile { name, folder: std::path::PathBuf::new(), text: self.text.to_owned() });
        let root = yaml::parse(file, self.text, out)?;
        let fields = Fields::of(&root, FILE, out)?;
        let name = reader::text(fields.required("profile", out)?, "the profile's name", out);
        let version = reader::whole(fields.required("version", out)?, 1..=u64::MAX, "a version", out);
        let title = reader::text(fields.required("title", out)?, "a title", out);
        let about = fields.required("about", out).and_then(reader::word_or_text);
        let mut texts = |name, what| match fields.get(name, out) {
            Some(node) => reader::texts(node, what, out),
            None => Some(Box::default()),
        };
        let (caveats, from) = (texts("caveats", "a list of caveats"), texts("sources", "a list of sources"));
        let sends = fields.required("sends", out).and_then(|node| reader::texts(node, "a list of claims", out));
        let ladders = fields.get("ladders", out).map_or_else(|| Some(Box::default()), |node| ladders(node, out));
        let hints = fields.get("hints", out).map(|node| hints::read(node, out)).unwrap_or_default();
        let issuer = fields.required("issuer", out)?.clone();
        let head = Head {
            name: name?.into(),
            version: version?,
            title: title?.into(),
            about: about?.into(),
            caveats: caveats?,
            sources: from?,
            sends: sends?,
            ladders: ladders?,
            hints,
        };
        Some(Read { head, file, issuer, root })
    }
}

impl Head {
    /// The rungs of the ladder on which a rung stands that this profile speaks of, weakest first.
    #[must_use]
    pub fn ladder_of(&self, rung: &str) -> Option<Vec<&str>> {
        let own = || self.ladders.iter().map(|ladder| ladder.rungs.iter().map(|rung| &**rung).collect::<Vec<_>>());
        let mut all = std::iter::once(Ladders::DEFAULT.to_vec()).chain(own());
        all.find(|rungs| rungs.contains(&rung))
    }
}

fn ladders(node: &Node, out: &mut Report) -> Option<Box<[Ladder]>> {
    let pairs = reader::mapping(node, "`ladders`", out)?;
    let one = |(key, node): &(yaml::Key, Node)| {
        reader::texts(node, "a list of rungs, weakest first", out).map(|rungs| Ladder { name: key.text.clone(), rungs })
    };
    pairs.iter().map(one).collect::<Vec<_>>().into_iter().collect()
}

/// The shipped profiles that one policy uses, each read once.
#[derive(Debug)]
pub struct Shelf {
    shipped: &'static [Profile],
    read: Vec<(&'static str, Read)>,
}

impl Shelf {
    /// A shelf of these profiles, none of them read.
    #[must_use]
    pub fn of(shipped: &'static [Profile]) -> Self {
        Self { shipped, read: Vec::new() }
    }

    /// Whether a profile of this name is shipped.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.shipped.iter().any(|profile| profile.name() == name)
    }

    /// The names of the profiles, each once.
    pub fn names(&self) -> Vec<&str> {
        self.shipped.iter().filter(|profile| profile.is_newest()).map(|profile| profile.name()).collect()
    }

    /// What the profiles that were taken from it say of themselves.
    pub fn in_use(&self) -> impl Iterator<Item = &Head> {
        self.read.iter().map(|(_, read)| &read.head)
    }

    /// The profile that `NAME` or `NAME@VERSION` means, and the newest version of it. Unknown names are the caller's to
    /// report.
    pub fn take(&mut self, node: &Node, written: &str, sources: &mut Sources, out: &mut Report) -> Option<(Read, u64)> {
        let (name, version) = written.split_once('@').map_or((written, None), |(name, version)| (name, Some(version)));
        let newest = self.read(name, sources, out)?;
        let newest_version = newest.head.version;
        let Some(version) = version.filter(|version| *version != newest_version.to_string()) else {
            return Some((newest, newest_version));
        };
        if let Some(older) = self.shipped.iter().find(|profile| profile.stem == written) {
            let read = self.read(older.stem, sources, out)?;
            let message =
                format!("`{written}` is not the newest: this version of stepgate has `{name}@{newest_version}` too");
            let help = format!("read what changed with `stepgate profiles {name}`, then name the newest");
            out.add(Problem::lint("profile_outdated", node.span, message).help(help));
            return Some((read, newest_version));
        }
        let mut shipped: Vec<String> = vec![format!("{name}@{newest_version}")];
        let older = self.shipped.iter().filter(|profile| profile.name() == name && !profile.is_newest());
        shipped.extend(older.map(|profile| profile.stem.to_owned()));
        let message = format!(
            "this version ships {}, not `{name}@{version}`",
            reader::one_of(shipped.iter().map(String::as_str))
        );
        let help = format!("read what changed with `stepgate profiles {name}`, then name the version shipped");
        out.add(Problem::error("profile_version", node.span, message).help(help));
        None
    }

    fn read(&mut self, stem: &str, sources: &mut Sources, out: &mut Report) -> Option<Read> {
        if let Some((_, read)) = self.read.iter().find(|(known, _)| *known == stem) {
            return Some(read.clone());
        }
        let profile = self.shipped.iter().find(|profile| profile.stem == stem)?;
        let read = profile.read(sources, out)?;
        self.read.push((profile.stem, read.clone()));
        Some(read)
    }
}
