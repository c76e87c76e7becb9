//! `levels` and `ladders`: the operator's names for rungs, and which of the default rungs each is like.

use crate::assurance::{Ladder, Ladders, Rung};
use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::source::Span;
use crate::config::yaml::{Kind, Node};

/// The ladders of a policy, and how the profiles' rungs are carried over to them.
#[derive(Clone, Debug, Default)]
pub struct Scale {
    /// The ladders.
    pub ladders: Ladders,
    /// What profiles call the rungs that they are carried over to: their name, and the policy's.
    likes: Vec<(Box<str>, Box<str>)>,
    /// Where the policy names rungs; those of the default ladder stand nowhere.
    pub spans: Vec<(Box<str>, Span)>,
}

const RUNG: Keys = Keys { what: "a rung of a further ladder", known: &["name", "like"], later: &[] };
const LEVEL: Keys = Keys { what: "a level", known: &["name", "like"], later: &[] };

impl Scale {
    /// Reads `levels` and `ladders`; the default ladder when there is no `levels`. What is wrong is reported, and as much
    /// as can be is kept.
    pub fn read(levels: Option<&Node>, ladders: Option<&Node>, out: &mut Report) -> Self {
        let mut names = Names::default();
        let mut scale = Self::default();
        let mut all: Vec<Ladder> = scale.ladders.all().to_vec();
        match levels {
            Some(node) => {
                if let Some(rungs) = scale.read_levels(node, &mut names, out) {
                    all = vec![Ladder { name: MAIN.into(), rungs }];
                }
            }
            None => {
                names.0.extend(Ladders::DEFAULT.map(|name| (name.into(), None)));
                scale.likes = Ladders::DEFAULT.map(|name| (name.into(), name.into())).into();
            }
        }
        let pairs = ladders.and_then(|node| reader::mapping(node, "`ladders`", out)).unwrap_or_default();
        for (key, node) in pairs {
            if *key.text == *MAIN {
                let message = format!("a ladder can't be called `{MAIN}`: that is the main one, under `levels`");
                out.add(Problem::error("duplicate_name", key.span, message));
            }
            let rungs = scale.read_rungs(node, &mut names, out);
            all.extend(rungs.map(|rungs| Ladder { name: key.text.clone(), rungs }));
        }
        scale.spans = names.0.into_iter().filter_map(|(name, span)| span.map(|span| (name, span))).collect();
        match Ladders::new(all) {
            Some(ladders) => scale.ladders = ladders,
            None => {
                if let Some(node) = levels.or(ladders).filter(|_| !out.has_errors()) {
                    let message = format!("more than {} ladders, or rungs of one", Ladders::MAX);
                    out.add(Problem::error("out_of_range", node.span, message));
                }
            }
        }
        scale
    }

    fn read_levels(&mut self, node: &Node, names: &mut Names, out: &mut Report) -> Option<Box<[Box<str>]>> {
        let mut rungs = Vec::new();
        let mut alike: Vec<(usize, Span)> = Vec::new();
        for item in reader::list(node, "a list of levels, weakest first", out)? {
            let Some((name, span, like)) = read_level(item, out) else { continue };
            names.add(&name, span, out);
            // A level that has a default rung's name and no `like` is that rung.
            let like = like.or_else(|| place(&name).map(|place| (place, span)));
            if let Some((place, span)) = like {
                let rung = Ladders::DEFAULT.get(place).copied().unwrap_or_default();
                if let Some((_, first)) = alike.iter().find(|(known, _)| *known == place) {
                    let message = format!("two levels are like `{rung}`");
                    out.add(
                        Problem::error("duplicate_like", span, message)
                            .label("again here")
                            .related(*first, "first here"),
                    );
                } else if let Some((_, above)) = alike.iter().find(|(known, _)| *known > place) {
                    let message =
                        format!("the order is turned round: a level like `{rung}` stands above a stronger one");
                    let help = "levels are written weakest first";
                    out.add(Problem::error("like_order", span, message).help(help).related(*above, "the stronger one"));
                }
                alike.push((place, span));
                self.likes.push((rung.into(), name.clone()));
            }
            rungs.push(name);
        }
        (!rungs.is_empty()).then(|| rungs.into())
    }

    /// The rung that a node names.
    pub fn rung(&self, node: &Node, out: &mut Report) -> Option<Rung> {
        let name = reader::text(node, "the name of a level", out)?;
        self.named(name, node.span, out)
    }

    /// The rung with this name.
    pub fn named(&self, name: &str, span: Span, out: &mut Report) -> Option<Rung> {
        let rung = self.ladders.rung(name);
        if rung.is_none() {
            let names: Vec<&str> = self.ladders.rungs().map(|rung| self.ladders.name(rung)).collect();
            let help = reader::suggest(name, names.into_iter());
            out.add(Problem::error("unknown_level", span, format!("unknown level `{name}`")).help(help));
        }
        rung
    }

    /// One rung, or a list with at most one of each ladder.
    pub fn rungs(&self, node: &Node, out: &mut Report) -> Option<Vec<Rung>> {
        let Kind::List(_) = &node.kind else { return self.rung(node, out).map(|rung| vec![rung]) };
        let mut rungs: Vec<Rung> = Vec::new();
        for item in reader::list(node, "a level, or one of each ladder", out)? {
            let Some(rung) = self.rung(item, out) else { continue };
            if rungs.iter().any(|known| known.ladder() == rung.ladder()) {
                let message = "two rungs of one ladder: the stronger one includes the weaker";
                out.add(Problem::error("duplicate_ladder", item.span, message).help("name one rung of each ladder"));
            }
            rungs.push(rung);
        }
        Some(rungs)
    }

    /// The rung that is like one that a profile speaks of.
    #[must_use]
    pub fn like(&self, theirs: &str) -> Option<Rung> {
        // Default rungs are carried over to the main ladder alone, others to further ladders alone.
        let main = place(theirs).is_some();
        let names = self.likes.iter().filter(|(known, _)| **known == *theirs).map(|(_, name)| name);
        names.filter_map(|name| self.ladders.rung(name)).find(|rung| (rung.ladder() == 0) == main)
    }

    /// The same, else the rung that is like the nearest weaker one of their ladder.
    #[must_use]
    pub fn at_most_like(&self, ladder: &[&str], theirs: &str) -> Option<Rung> {
        let upto = ladder.iter().position(|rung| *rung == theirs)?;
        ladder.iter().take(upto.saturating_add(1)).rev().find_map(|name| self.like(name))
    }

    /// Whether the policy has the rungs of a profile's ladder in the profile's order, all on one ladder: a weaker proof
    /// would else count for a stronger rung. Where it has not, that is reported.
    pub fn check_order(&self, ladder: &[&str], profile: &str, out: &mut Report) -> bool {
        let carried: Vec<(&str, Rung)> = ladder.iter().filter_map(|name| Some((*name, self.like(name)?))).collect();
        for pair in carried.windows(2) {
            let [(weaker, below), (stronger, above)] = pair else { continue };
            if above.ladder() == below.ladder() && above.rank() > below.rank() {
                continue;
            }
            let name = self.ladders.name(*above);
            let Some((_, span)) = self.spans.iter().find(|(known, _)| **known == *name) else { continue };
            let message =
                format!("for the profile `{profile}`, `{stronger}` is stronger than `{weaker}` and on the same ladder");
            out.add(Problem::error("like_order", *span, message).help("write its rungs on one ladder, weakest first"));
            return false;
        }
        true
    }

    /// Says which rungs of further ladders are like one that no profile in use has: mostly its name is misspelt, and the
    /// profile's proof would then count for a weaker rung, or for none.
    pub fn check_likes(&self, theirs: &[&str], out: &mut Report) {
        // Where a profile could not be had, nobody knows its rungs.
        if out.has_errors() {
            return;
        }
        for (like, name) in self.likes.iter().filter(|(like, name)| like != name && place(like).is_none()) {
            let span = self.spans.iter().find(|(known, _)| known == name).map(|(_, span)| *span);
            if let Some(span) = span.filter(|_| !theirs.contains(&&**like)) {
                let message = format!("`{name}` is like `{like}`, which no profile in use has");
                let help = reader::suggest(like, theirs.iter().copied());
                out.add(Problem::lint("like_unknown", span, message).help(help));
            }
        }
    }

    fn read_rungs(&mut self, node: &Node, names: &mut Names, out: &mut Report) -> Option<Box<[Box<str>]>> {
        let mut rungs: Vec<Box<str>> = Vec::new();
        for item in reader::list(node, "a list of rungs, weakest first", out)? {
            let Some((name, span, like)) = read_rung(item, out) else { continue };
            names.add(&name, span, out);
            let like = like.unwrap_or_else(|| name.clone());
            if self.likes.iter().any(|(known, other)| *known == like && *other != name) {
                let message = format!("two rungs are like `{like}`");
                out.add(Problem::error("duplicate_like", span, message));
            }
            self.likes.push((like, name.clone()));
            rungs.push(name);
        }
        (!rungs.is_empty()).then(|| rungs.into())
    }
}

/// What the main ladder is called.
const MAIN: &str = "level";

/// How many default rungs are weaker than this one; `None`: it is none.
#[must_use]
pub fn place(default: &str) -> Option<usize> {
    Ladders::DEFAULT.iter().position(|name| *name == default)
}

/// A level's name, where it stands, and the default rung that it is said to be like.
type Level = (Box<str>, Span, Option<(usize, Span)>);

fn read_level(item: &Node, out: &mut Report) -> Option<Level> {
    if let Kind::Scalar { .. } = &item.kind {
        return reader::text(item, "the name of a level", out).map(|name| (name.into(), item.span, None));
    }
    let fields = Fields::of(item, LEVEL, out)?;
    let node = fields.required("name", out)?;
    let name = reader::text(node, "the name of a level", out)?;
    let like = fields.get("like", out).and_then(|like| {
        let written = reader::text(like, "the name of a default level", out)?;
        let found = place(written).map(|place| (place, like.span));
        if found.is_none() {
            let help = reader::suggest(written, Ladders::DEFAULT.into_iter());
            let message = format!("`like` names one of the default levels, and `{written}` is none");
            out.add(Problem::error("unknown_level", like.span, message).help(help));
        }
        found
    });
    Some((name.into(), node.span, like))
}

/// A further ladder's rung: its name, where it stands, and what profiles call it.
fn read_rung(item: &Node, out: &mut Report) -> Option<(Box<str>, Span, Option<Box<str>>)> {
    if let Kind::Scalar { .. } = &item.kind {
        return reader::text(item, "the name of a rung", out).map(|name| (name.into(), item.span, None));
    }
    let fields = Fields::of(item, RUNG, out)?;
    let node = fields.required("name", out)?;
    let name = reader::text(node, "the name of a rung", out)?;
    let like = match fields.get("like", out) {
        Some(like) => Some(reader::text(like, "the name of a profile's rung", out)?.into()),
        None => None,
    };
    Some((name.into(), node.span, like))
}

/// Every rung's name and where it stands; those of the default ladder stand nowhere.
#[derive(Default)]
struct Names(Vec<(Box<str>, Option<Span>)>);

impl Names {
    fn add(&mut self, name: &str, span: Span, out: &mut Report) {
        if let Some((_, first)) = self.0.iter().find(|(known, _)| **known == *name) {
            let message = format!("two rungs are called `{name}`; names are unique across all ladders");
            let problem = Problem::error("duplicate_name", span, message).label("again here");
            out.add(match first {
                Some(first) => problem.related(*first, "first here"),
                None => problem.help("the default ladder has it already; rename it, or write `levels`"),
            });
        }
        self.0.push((name.into(), Some(span)));
    }
}
