//! An issuer's entry and the profiles under it, made one mapping that says everything: what the issuer is compiled
//! from, what `stepgate profiles --expanded` prints, and what the policy's hash covers.
//!
//! Shipped profiles are written in the names of the default rungs and of ladders of their own; here their `proves` and
//! `challenge` are carried over to the policy's rungs. Local profiles and issuers speak the policy's names.

use crate::config::ladders::{Scale, place};
use crate::config::problem::{Problem, Report};
use crate::config::profile::{Head, Profile, Read, Shelf};
use crate::config::reader;
use crate::config::source::Sources;
use crate::config::yaml::{Key, Kind, Node};
use crate::reason::Hints;

/// The profiles that a policy can build on: its own and the shipped ones.
#[derive(Debug)]
pub struct Layers {
    shelf: Shelf,
    local: Vec<(Key, Node)>,
}

/// A shipped profile in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// Its name.
    pub name: Box<str>,
    /// Its version.
    pub version: u64,
    /// What it has an operator look at, by reason.
    pub hints: Hints,
}

/// A shipped profile, and the issuer that builds on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InUse {
    /// The policy's name for the issuer.
    pub issuer: Box<str>,
    /// The profile.
    pub profile: Used,
}

/// An issuer or a local profile with everything that stands under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// `issuers` or `profiles`.
    pub section: &'static str,
    /// Its name there.
    pub name: Box<str>,
    /// What it comes to.
    pub node: Node,
}

/// An entry with everything under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    /// The one mapping; it names no profile.
    pub node: Node,
    /// The shipped profile at the bottom.
    pub used: Option<Used>,
    /// The default rungs whose proofs found no rung of this policy.
    pub dropped: Vec<Box<str>>,
}

impl Layers {
    /// The local profiles over these shipped ones. Names that are taken are reported.
    pub fn new(shipped: &'static [Profile], local: Vec<(Key, Node)>, out: &mut Report) -> Self {
        let shelf = Shelf::of(shipped);
        for (key, _) in &local {
            if shelf.has(&key.text) {
                let message = format!("`{}` is a shipped profile, and no other can take its name", key.text);
                let help =
                    format!("call yours something else, and let it build on the shipped one: `profile: {}`", key.text);
                out.add(Problem::error("profile_shadowed", key.span, message).help(help));
            } else if key.text.is_empty() || key.text.contains('@') || key.text.chars().any(char::is_control) {
                let message = "a local profile needs a name, without `@`: it has no versions";
                out.add(Problem::error("bad_profile_name", key.span, message));
            }
        }
        Self { shelf, local }
    }

    /// The rungs of further ladders that the shipped profiles in use have.
    #[must_use]
    pub fn rungs(&self) -> Vec<&str> {
        self.shelf
            .in_use()
            .flat_map(|head| &head.ladders)
            .flat_map(|ladder| &ladder.rungs)
            .map(|rung| &**rung)
            .collect()
    }

    /// An issuer's entry over its profiles. `None`: there is no telling what it builds on.
    pub fn issuer(&mut self, own: &Node, scale: &Scale, sources: &mut Sources, out: &mut Report) -> Option<Expanded> {
        let mut expanded = self.expand(own, &mut Vec::new(), scale, sources, out)?;
        // Which kinds of token are taken at all is the operator's: a profile says only how they look.
        if let Kind::Map(pairs) = &mut expanded.node.kind {
            pairs.retain(|(key, _)| !matches!(&*key.text, "access" | "id") || own.member(&key.text).is_some());
        }
        Some(expanded)
    }

    /// A local profile over those under it.
    pub fn profile(
        &mut self,
        name: &str,
        own: &Node,
        scale: &Scale,
        sources: &mut Sources,
        out: &mut Report,
    ) -> Option<Expanded> {
        self.expand(own, &mut vec![name.into()], scale, sources, out)
    }

    /// `path`: the local profiles that lead here.
    fn expand(
        &mut self,
        own: &Node,
        path: &mut Vec<Box<str>>,
        scale: &Scale,
        sources: &mut Sources,
        out: &mut Report,
    ) -> Option<Expanded> {
        let Some(node) = own.member("profile").filter(|node| node.kind != Kind::Null) else {
            return Some(Expanded { node: own.clone(), used: None, dropped: Vec::new() });
        };
        let name = reader::text(node, "the name of a profile", out)?;
        let local = self.local.iter().find(|(key, _)| *key.text == *name).map(|(_, node)| node.clone());
        let below = match local {
            Some(_) if path.iter().any(|known| **known == *name) => {
                let ring: Vec<String> = path.iter().map(|name| format!("`{name}`")).collect();
                let message =
                    format!("profiles that build on each other in a ring: {} and again `{name}`", ring.join(", "));
                out.add(Problem::error("profile_cycle", node.span, message));
                return None;
            }
            Some(_) if path.len() >= DEEPEST => {
                let message = format!("more than {DEEPEST} local profiles build on each other here");
                out.add(Problem::error("profile_too_deep", node.span, message).help("make some of them one"));
                return None;
            }
            Some(local) => {
                path.push(name.into());
                self.expand(&local, path, scale, sources, out)?
            }
            None if self.shelf.has(name.split('@').next().unwrap_or(name)) => {
                let (read, _) = self.shelf.take(node, name, sources, out)?;
                let mut dropped = Vec::new();
                let Head { name, version, hints, .. } = &read.head;
                let used = Used { name: name.clone(), version: *version, hints: hints.clone() };
                let node = carried_over(&read, scale, &mut dropped, out);
                Expanded { node, used: Some(used), dropped }
            }
            None => {
                let mut names: Vec<&str> = self.local.iter().map(|(key, _)| &*key.text).collect();
                names.extend(self.shelf.names());
                let help = reader::suggest(name, names.into_iter());
                out.add(Problem::error("unknown_profile", node.span, format!("unknown profile `{name}`")).help(help));
                return None;
            }
        };
        Some(Expanded { node: merge(&below.node, own), ..below })
    }
}

/// How many local profiles may stand on each other: nobody can read more, and each is merged again for each above it.
const DEEPEST: usize = 16;

/// How many levels of mappings below an issuer's key merge key by key; at the last one values are replaced whole.
fn merging_depth(key: &str) -> usize {
    match key {
        "trust" | "factor_classes" | "proves" | "challenge" => 1,
        // access, has: what a profile has its tokens told by stays beside what the operator asks
        "access" | "id" => 2,
        // mapping, acr, rename
        "mapping" => 3,
        _ => 0,
    }
}

/// An entry's own keys over those below it: maps merge per key, lists and expressions are replaced whole.
pub(super) fn merge(below: &Node, own: &Node) -> Node {
    let mut merged = over(below, own, None);
    if let Kind::Map(pairs) = &mut merged.kind {
        pairs.retain(|(key, _)| *key.text != *"profile");
    }
    merged
}

/// `depth`: how many more levels merge; `None`: each key says for itself.
fn over(below: &Node, above: &Node, depth: Option<usize>) -> Node {
    let (Kind::Map(under), Kind::Map(upper)) = (&below.kind, &above.kind) else { return above.clone() };
    let merged = upper.iter().map(|(key, node)| {
        let left = depth.unwrap_or_else(|| merging_depth(&key.text));
        let node = match below.member(&key.text) {
            Some(beneath) if left > 0 => over(beneath, node, Some(left.saturating_sub(1))),
            Some(_) | None => node.clone(),
        };
        (key.clone(), node)
    });
    let rest = under.iter().filter(|(key, _)| above.member(&key.text).is_none()).cloned();
    Node { span: above.span, kind: Kind::Map(merged.chain(rest).collect()) }
}

/// What a shipped profile says of an issuer, in the names of this policy's rungs.
fn carried_over(read: &Read, scale: &Scale, dropped: &mut Vec<Box<str>>, out: &mut Report) -> Node {
    let Kind::Map(pairs) = &read.issuer.kind else { return read.issuer.clone() };
    let carried = pairs.iter().map(|(key, node)| {
        let node = match (&*key.text, &node.kind) {
            ("proves", Kind::Map(pairs)) => proofs(pairs, node, &read.head, scale, dropped, out),
            ("challenge", Kind::Map(pairs)) => challenges(pairs, node, &read.head, scale, out),
            _ => node.clone(),
        };
        (key.clone(), node)
    });
    Node { span: read.issuer.span, kind: Kind::Map(carried.collect()) }
}

/// A proof counts for the rung that is like its own, else for the nearest weaker one. Several for one rung become `any`.
fn proofs(
    pairs: &[(Key, Node)],
    node: &Node,
    head: &Head,
    scale: &Scale,
    dropped: &mut Vec<Box<str>>,
    out: &mut Report,
) -> Node {
    let mut placed: Vec<(Key, Vec<(usize, Node)>)> = Vec::new();
    for (key, proof) in pairs {
        let Some(ladder) = ladder(key, head, scale, out) else { continue };
        let strength = ladder.iter().position(|rung| *rung == &*key.text).unwrap_or_default();
        let Some(rung) = scale.at_most_like(&ladder, &key.text) else {
            // A further ladder that the policy does not have is one that it does not ask about.
            dropped.extend(place(&key.text).map(|_| key.text.clone()));
            continue;
        };
        let name: Box<str> = scale.ladders.name(rung).into();
        match placed.iter_mut().find(|(known, _)| known.text == name) {
            Some((_, proofs)) => proofs.push((strength, proof.clone())),
            None => placed.push((Key { text: name, span: key.span }, vec![(strength, proof.clone())])),
        }
    }
    let joined = placed.into_iter().map(|(key, mut proofs)| {
        proofs.sort_by_key(|(strength, _)| *strength);
        let mut proofs: Vec<Node> = proofs.into_iter().map(|(_, proof)| proof).collect();
        let proof = match (proofs.len(), proofs.pop()) {
            (1, Some(only)) => only,
            (_, last) => {
                proofs.extend(last);
                let any = Key { text: "any".into(), span: key.span };
                let list = Node { span: key.span, kind: Kind::List(proofs) };
                Node { span: key.span, kind: Kind::Map(vec![(any, list)]) }
            }
        };
        (key, proof)
    });
    Node { span: node.span, kind: Kind::Map(joined.collect()) }
}

/// What to ask for is carried over to the rung that is like its own and to no other.
fn challenges(pairs: &[(Key, Node)], node: &Node, head: &Head, scale: &Scale, out: &mut Report) -> Node {
    let mut carried = Vec::new();
    for (key, values) in pairs {
        if ladder(key, head, scale, out).is_none() {
            continue;
        }
        if let Some(rung) = scale.like(&key.text) {
            carried.push((Key { text: scale.ladders.name(rung).into(), span: key.span }, values.clone()));
        }
    }
    Node { span: node.span, kind: Kind::Map(carried) }
}

/// The rungs of the ladder that a profile's rung stands on, weakest first.
fn ladder<'h>(key: &Key, head: &'h Head, scale: &Scale, out: &mut Report) -> Option<Vec<&'h str>> {
    let Some(rungs) = head.ladder_of(&key.text) else {
        let message =
            format!("a profile speaks of default levels and of its own `ladders`, and `{}` is none of these", key.text);
        out.add(Problem::error("unknown_level", key.span, message));
        return None;
    };
    scale.check_order(&rungs, &head.name, out).then_some(rungs)
}
