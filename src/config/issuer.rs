//! `issuers`: one entry, with its profiles under it, to one compiled issuer.

use crate::assurance::{Challenge, ClaimTable, Dialect, Expression, Issuer, IssuerId, Pair, Reading};
use crate::config::ladders::Scale;
use crate::config::layers::{InUse, Layers, Used, Written};
use crate::config::mapping::{self, Trust};
use crate::config::problem::{Problem, Report};
use crate::config::proofs;
use crate::config::reader::{self, Fields, Keys};
use crate::config::source::{NamedFile, Sources, Span};
use crate::config::url::{self, PlainHttp, Url};
use crate::config::yaml::{Key, Kind, Node};
use crate::config::{classes, expression, keys, kinds};
use crate::token::{Algorithm, Expectation, KeySource, KindRule, TokenKind};

const ISSUER: Keys = Keys {
    what: "an issuer",
    known: &[
        "issuer",
        "profile",
        "access",
        "id",
        "client_when",
        "algorithms",
        "keys",
        "trust",
        "mapping",
        "factor_classes",
        "user_verification",
        "ignore_amr",
        "mfa",
        "proves",
        "challenge",
        "dialect",
        "pair",
    ],
    later: LATER,
};
const LATER: &[&str] = &["introspection", "userinfo"];
/// Who an issuer is stands in `issuers` alone.
const LOCAL: Keys = Keys {
    what: "a local profile",
    known: &[
        "profile",
        "access",
        "id",
        "client_when",
        "algorithms",
        "keys",
        "trust",
        "mapping",
        "factor_classes",
        "user_verification",
        "ignore_amr",
        "mfa",
        "proves",
        "challenge",
        "dialect",
        "pair",
    ],
    later: LATER,
};
const TRUST: Keys = Keys { what: "`trust`", known: &["acr", "amr", "max_level"], later: &[] };

/// An issuer, compiled, and what of it is not the policy's business.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The issuer; its fingerprint is set when the whole policy is known.
    pub issuer: Issuer,
    /// Where its keys come from.
    pub keys: KeySource,
    /// Where `iss` stands.
    pub iss_span: Span,
    /// The entry with its profiles under it.
    pub written: Node,
    /// The shipped profile that it builds on.
    pub used: Option<Used>,
}

/// Everything that issuers are compiled with.
#[derive(Debug)]
pub struct Workshop<'w> {
    /// The ladders.
    pub scale: &'w Scale,
    /// The profiles that there are.
    pub layers: &'w mut Layers,
    /// The texts.
    pub sources: &'w mut Sources,
    /// The claims that the policy reads.
    pub claims: &'w mut ClaimTable,
    /// The URLs that need `allow_http`.
    pub plain: &'w mut Vec<PlainHttp>,
    /// The files that keys name.
    pub files: &'w mut Vec<NamedFile>,
    /// What was found wrong.
    pub out: &'w mut Report,
}

impl Workshop<'_> {
    /// Compiles one entry of `issuers`.
    pub fn issuer(&mut self, id: IssuerId, name: &str, name_span: Span, own: &Node) -> Option<Compiled> {
        let own_fields = Fields::of(own, ISSUER, self.out)?;
        own_fields.get("profile", self.out);
        let expanded = self.layers.issuer(own, self.scale, self.sources, self.out)?;
        self.lint_dropped(&expanded.dropped, &own_fields);
        let compiled = self.compile(id, name, name_span, expanded.node, expanded.used)?;
        self.lint_challenge(own, &compiled.issuer);
        Some(compiled)
    }

    /// Looks a local profile over, whether or not an issuer builds on it; gives what it comes to.
    pub fn profile(&mut self, name: &Key, own: &Node) -> Option<Node> {
        let fields = Fields::of(own, LOCAL, self.out)?;
        fields.get("profile", self.out);
        let expanded = self.layers.profile(&name.text, own, self.scale, self.sources, self.out)?;
        // As an issuer would have it that says no more than who it is and whom its tokens are for.
        let compiled = self.compile(IssuerId(0), &name.text, name.span, stand_in(&expanded.node, name.span), None);
        if let Some(compiled) = compiled {
            self.lint_challenge(own, &compiled.issuer);
        }
        Some(expanded.node)
    }

    /// Compiles an entry that says everything.
    fn compile(
        &mut self,
        id: IssuerId,
        name: &str,
        name_span: Span,
        written: Node,
        used: Option<Used>,
    ) -> Option<Compiled> {
        let fields = Fields::of(&written, ISSUER, self.out)?;
        let folder = self.sources.file(written.span.file).map(|file| file.folder.clone()).unwrap_or_default();

        let iss_node = fields.required("issuer", self.out);
        let iss = iss_node.and_then(|node| self.iss(node));
        let key_source = match fields.get("keys", self.out) {
            Some(node) => keys::read(node, &folder, self.plain, self.files, self.out),
            None => Some(KeySource::discovery()),
        };
        let kinds = self.kinds(&fields, name, name_span);
        let algorithms = match fields.get("algorithms", self.out) {
            Some(node) => algorithms(node, self.out).map(Some),
            None => Some(None),
        };
        let trust = match fields.get("trust", self.out) {
            Some(node) => self.trust(node),
            None => Some(Trust { acr: true, amr: true }),
        };
        let mapping = mapping::read(fields.get("mapping", self.out), trust.unwrap_or(BELIEVED), self.out);
        let methods = classes::read(fields.get("factor_classes", self.out), self.out);
        let ignore_amr = match fields.get("ignore_amr", self.out) {
            Some(node) => reader::texts(node, "a list of `amr` values", self.out),
            None => Some(Box::default()),
        };
        let words = [("unknown", false), ("trusted", true)];
        let user_verification_trusted = self.choice(&fields, "user_verification", &words);
        let mfa_derived = self.choice(&fields, "mfa", &[("claimed", false), ("derived", true)]);
        let dialect = self.choice(&fields, "dialect", &Dialect::NAMED);
        let pair = self.choice(&fields, "pair", &[("bound", Pair::Bound), ("subject", Pair::Subject)]);
        let mut proofs =
            proofs::read(proofs_written(&fields, dialect.flatten(), self.out), self.scale, self.claims, self.out);
        if let Some(mapping) = &mapping {
            // A provider is asked in its own words.
            for proof in proofs.proofs.iter_mut() {
                if let Challenge::Derived(values) = &mut proof.challenge {
                    *values = values.iter().flat_map(|value| mapping.acr.theirs(value)).collect();
                }
            }
        }
        let client_when = match fields.get("client_when", self.out) {
            Some(node) => self.client_when(node).map(Some),
            None => Some(None),
        };

        let (access, id_rule) = kinds?;
        let issuer = Issuer {
            id,
            name: name.into(),
            expectation: Expectation { issuer: iss?, algorithms: algorithms?, access, id: id_rule },
            mapping: mapping?,
            client_when: client_when?,
            methods,
            ignore_amr: ignore_amr?,
            reading: Reading {
                user_verification_trusted: user_verification_trusted?.unwrap_or(false),
                mfa_derived: mfa_derived?.unwrap_or(false),
            },
            proofs: proofs.proofs,
            challenges: proofs.challenges,
            dialect: dialect?.unwrap_or_default(),
            pair: pair?.unwrap_or_default(),
            hints: used.as_ref().map(|used| used.hints.clone()).unwrap_or_default(),
            fingerprint: 0,
        };
        let iss_span = iss_node?.span;
        Some(Compiled { issuer, keys: key_source?, iss_span, written, used })
    }

    fn iss(&mut self, node: &Node) -> Option<Box<str>> {
        let iss = url::read(node, "the URL of an issuer", self.plain, self.out)?;
        if iss.contains(['?', '#']) {
            let message = format!("`{iss}` has a query or a fragment, which no issuer has");
            self.out.add(Problem::error("bad_url", node.span, message));
            return None;
        }
        Url::parse(&iss).is_ok().then_some(iss)
    }

    /// The outer `None`: something is wrong with them.
    fn kinds(&mut self, fields: &Fields<'_>, name: &str, span: Span) -> Option<(Option<KindRule>, Option<KindRule>)> {
        let mut rule = |key, kind| match fields.get(key, self.out) {
            Some(node) => kinds::read(node, kind, self.out).map(|rule| Some((node, rule))),
            None => Some(None),
        };
        let (access, id) = (rule("access", TokenKind::Access), rule("id", TokenKind::Id));
        if !fields.has("access") && !fields.has("id") {
            let message =
                format!("the issuer `{name}` has neither `access` nor `id`, so none of its tokens would be taken");
            let help = "write `access: { audiences: [..] }`, `id: { audiences: [..] }` or both";
            self.out.add(Problem::error("no_kind", span, message).help(help));
        }
        let (access, id) = (access?, id?);
        if let (Some((access_node, access)), Some((id_node, id))) = (&access, &id) {
            kinds::check_apart((access_node, access), (id_node, id), self.out);
        }
        Some((access.map(|(_, rule)| rule), id.map(|(_, rule)| rule)))
    }

    /// Evidence has no part in it: what absent evidence stands for depends on who calls.
    fn client_when(&mut self, node: &Node) -> Option<Expression> {
        let rule = expression::read(node, self.claims, self.out)?;
        if rule.consults().is_empty() {
            return Some(rule);
        }
        let message = "`client_when` looks at `acr` or `amr`, and only a user has evidence of a sign-in";
        let help = "ask for a claim that only a client's own token has: `client_when: { claims: { idtyp: app } }`";
        self.out.add(Problem::error("client_by_evidence", node.span, message).help(help));
        None
    }

    fn trust(&mut self, node: &Node) -> Option<Trust> {
        let fields = Fields::of(node, TRUST, self.out)?;
        let mut believed = |name| match fields.get(name, self.out) {
            Some(node) => reader::switch(node, self.out),
            None => Some(true),
        };
        let (acr, amr) = (believed("acr"), believed("amr"));
        Some(Trust { acr: acr?, amr: amr? })
    }

    /// One of a few words; the inner `None`: the key is left out.
    fn choice<T: Copy>(&mut self, fields: &Fields<'_>, name: &'static str, words: &[(&str, T)]) -> Option<Option<T>> {
        match fields.get(name, self.out) {
            Some(node) => reader::choice(node, words, self.out).map(Some),
            None => Some(None),
        }
    }

    /// An entry's own proof, under which a profile's `challenge` stayed that asks for something else: the user would come
    /// back with what proves nothing.
    fn lint_challenge(&mut self, own: &Node, issuer: &Issuer) {
        let Some(Kind::Map(pairs)) = own.member("proves").map(|node| &node.kind) else { return };
        for (key, _) in pairs {
            let is_own = own.member("challenge").is_some_and(|node| node.member(&key.text).is_some());
            let Some(rung) = self.scale.ladders.rung(&key.text).filter(|_| !is_own) else { continue };
            let Some(listed) = issuer.challenges.iter().find(|listed| listed.rung == rung) else { continue };
            let mut own_proofs = issuer.proofs.iter().filter(|proof| proof.rung == rung);
            let names_none = own_proofs.all(|proof| proof.evidence.acr_values().is_empty());
            let counts = listed.acr_values.iter().any(|value| {
                let value = issuer.mapping.acr.renamed(value);
                issuer.proofs_of(rung).any(|proof| proof.names_acr(value))
            });
            if names_none || counts {
                continue;
            }
            let message = format!(
                "a challenge for `{}` still asks for the profile's {}, which this proof does not name",
                key.text,
                reader::one_of(listed.acr_values.iter().map(|value| &**value))
            );
            let help = format!("say what to ask for: `challenge: {{ {}: [..] }}`", key.text);
            self.out.add(Problem::lint("challenge_stale", key.span, message).help(help));
        }
    }

    fn lint_dropped(&mut self, dropped: &[Box<str>], own: &Fields<'_>) {
        let Some((first, span)) = dropped.first().zip(own.key_span("profile")) else { return };
        let message = format!("the profile's proof of `{first}` reaches no level of this policy");
        let help = format!("say under `levels` which of them is `like: {first}` or like a weaker one");
        self.out.add(Problem::lint("profile_proof_dropped", span, message).help(help));
    }
}

const BELIEVED: Trust = Trust { acr: true, amr: true };

/// The shipped profiles that issuers build on, and the issuers with their profiles under them.
pub(super) fn written(compiled: &[Compiled]) -> (Vec<InUse>, Vec<Written>) {
    let name = |one: &Compiled| one.issuer.name.clone();
    let used = |one: &Compiled| one.used.clone().map(|profile| InUse { issuer: name(one), profile });
    let entry = |one: &Compiled| Written { section: "issuers", name: name(one), node: one.written.clone() };
    (compiled.iter().filter_map(used).collect(), compiled.iter().map(entry).collect())
}

/// Looks the local profiles over, each by itself; what it reads of claims and files is an issuer's to keep.
pub(super) fn local_profiles(
    profiles: &[(&Key, &Node)],
    scale: &Scale,
    layers: &mut Layers,
    sources: &mut Sources,
    out: &mut Report,
) -> Vec<Written> {
    let (mut claims, mut plain, mut files) = (ClaimTable::default(), Vec::new(), Vec::new());
    let (claims, plain, files) = (&mut claims, &mut plain, &mut files);
    let mut workshop = Workshop { scale, layers, sources, claims, plain, files, out };
    let written = profiles.iter().filter_map(|(key, node)| {
        let node = workshop.profile(key, node)?;
        Some(Written { section: "profiles", name: key.text.clone(), node })
    });
    written.collect()
}

/// A local profile with an issuer's name and audiences, where it says none itself.
fn stand_in(profile: &Node, span: Span) -> Node {
    let Kind::Map(pairs) = &profile.kind else { return profile.clone() };
    let text = |text: &str| Node { span, kind: Kind::Scalar { text: text.into(), plain: false } };
    let key = |text: &str| Key { text: text.into(), span };
    let audiences = |own: &str| (key("audiences"), Node { span, kind: Kind::List(vec![text(own)]) });
    let mut pairs = pairs.clone();
    pairs.push((key("issuer"), text("https://issuer.invalid")));
    for kind in ["access", "id"] {
        match pairs.iter_mut().find(|(known, _)| *known.text == *kind) {
            Some((_, Node { kind: Kind::Map(rule), .. })) if !rule.iter().any(|(key, _)| *key.text == *"audiences") => {
                rule.push(audiences(kind));
            }
            Some(_) => {}
            None => pairs.push((key(kind), Node { span, kind: Kind::Map(vec![audiences(kind)]) })),
        }
    }
    Node { span: profile.span, kind: Kind::Map(pairs) }
}

fn proofs_written<'n>(fields: &Fields<'n>, dialect: Option<Dialect>, out: &mut Report) -> proofs::Written<'n> {
    let max_level = fields.get_nullable("trust").and_then(|node| node.member("max_level"));
    let (proves, challenge) = (fields.get("proves", out), fields.get("challenge", out));
    proofs::Written { proves, challenge, dialect: dialect.unwrap_or_default(), max_level }
}

fn algorithms(node: &Node, out: &mut Report) -> Option<Box<[Algorithm]>> {
    let mut algorithms = Vec::new();
    for item in reader::list(node, "a list of algorithms", out)? {
        let name = reader::text(item, "an algorithm", out)?;
        match Algorithm::named(name) {
            Some(algorithm) if algorithms.contains(&algorithm) => {
                out.add(Problem::error("duplicate_value", item.span, format!("`{name}` stands twice in this list")));
            }
            Some(algorithm) => algorithms.push(algorithm),
            None => {
                let names = Algorithm::ALL.iter().map(|algorithm| algorithm.name());
                let problem = match name {
                    _ if name.eq_ignore_ascii_case("none") => {
                        Problem::error("algorithm_refused", item.span, "`none` is no signature and is never accepted")
                    }
                    "HS256" | "HS384" | "HS512" => {
                        let message = format!("`{name}` is symmetric: whoever can check such a token can make one");
                        Problem::error("algorithm_refused", item.span, message)
                    }
                    _ => Problem::error("unknown_algorithm", item.span, format!("unknown algorithm `{name}`")),
                };
                out.add(problem.help(format!("use {}", reader::one_of(names))));
            }
        }
    }
    Some(algorithms.into())
}
