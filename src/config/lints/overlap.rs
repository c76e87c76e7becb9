//! Which routes stand in each other's way: for each path the routes that cover it, from the most specific host and path to
//! the least. A look-up costs the depth of the path; no two routes are compared that can't meet.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use crate::policy::{HostPattern, Methods, PathPattern, Route, Segment};

/// The routes of a policy, by host and path. Routes are places in the policy's list.
#[derive(Debug)]
pub(super) struct Overlap<'p> {
    routes: &'p [Route],
    trees: HashMap<&'p HostPattern, Tree<'p>>,
}

/// The paths of one host pattern.
#[derive(Debug, Default)]
pub(super) struct Tree<'p> {
    root: Node<'p>,
}

/// What begins with the same segments.
#[derive(Debug, Default)]
pub(super) struct Node<'p> {
    literals: BTreeMap<&'p str, Node<'p>>,
    /// Literals in whatever case, here in lower.
    folded: BTreeMap<&'p str, Node<'p>>,
    parameter: Option<Box<Node<'p>>>,
    /// Routes whose path ends here.
    ends: Vec<usize>,
    /// Routes whose path has `**` here.
    rests: Vec<usize>,
}

impl<'p> Overlap<'p> {
    pub(super) fn of(routes: &'p [Route]) -> Self {
        Self::at(routes, routes.iter().enumerate().map(|(place, route)| (place, &route.matches.path)))
    }

    /// Some of the routes, each at another path than its own.
    pub(super) fn at(routes: &'p [Route], paths: impl Iterator<Item = (usize, &'p PathPattern)>) -> Self {
        let mut trees: HashMap<&HostPattern, Tree<'_>> = HashMap::new();
        for (place, path) in paths {
            for host in routes.get(place).into_iter().flat_map(|route| &route.matches.hosts) {
                let mut node = &mut trees.entry(host).or_default().root;
                for segment in path.segments() {
                    node = match segment {
                        Segment::Literal(text) => node.literals.entry(text).or_default(),
                        Segment::Folded(text) => node.folded.entry(text).or_default(),
                        Segment::Parameter(_) => node.parameter.get_or_insert_default(),
                    };
                }
                if path.has_rest() { node.rests.push(place) } else { node.ends.push(place) }
            }
        }
        Self { routes, trees }
    }

    /// The route in a place.
    pub(super) fn route(&self, place: usize) -> Option<&'p Route> {
        self.routes.get(place)
    }

    /// All routes.
    pub(super) fn routes(&self) -> &'p [Route] {
        self.routes
    }

    /// The hosts that routes name, and how many there are.
    pub(super) fn hosts(&self) -> impl ExactSizeIterator<Item = &'p HostPattern> {
        self.trees.keys().copied()
    }

    /// The paths of one host.
    pub(super) fn tree(&self, host: &HostPattern) -> Option<&Tree<'p>> {
        self.trees.get(host)
    }

    /// The routes that cover a path on a host, from the most specific to the least, less specific hosts last.
    pub(super) fn covering<'o>(
        &'o self,
        host: &HostPattern,
        path: &'o PathPattern,
    ) -> impl Iterator<Item = usize> + 'o {
        let hosts: Vec<HostPattern> = std::iter::once(host.clone()).chain(wider(host)).collect();
        hosts.into_iter().filter_map(|host| self.trees.get(&host)).flat_map(move |tree| tree.covering(path))
    }

    /// The hosts that routes name and that a host pattern has some host in common with, in their order.
    pub(super) fn hosts_at(&self, host: &HostPattern) -> Vec<&'p HostPattern> {
        // All that mean one host are known by its name.
        let mut hosts: Vec<&HostPattern> = match host {
            HostPattern::Exact(_) => {
                let named = std::iter::once(host.clone()).chain(wider(host));
                named.filter_map(|host| self.trees.get_key_value(&host)).map(|(host, _)| *host).collect()
            }
            HostPattern::Suffix(_) | HostPattern::Any => self.hosts().filter(|other| host.overlaps(other)).collect(),
        };
        hosts.sort_unstable();
        hosts
    }
}

/// The patterns that mean all that a host pattern means, and more: from the longest to any.
pub(super) fn wider(host: &HostPattern) -> impl Iterator<Item = HostPattern> {
    let text = match host {
        HostPattern::Exact(text) | HostPattern::Suffix(text) => &**text,
        HostPattern::Any => "",
    };
    let shorter = text.char_indices().skip(1).filter(|(_, letter)| *letter == '.');
    let suffixes = shorter.filter_map(|(dot, _)| Some(HostPattern::Suffix(text.get(dot..)?.into())));
    suffixes.chain((*host != HostPattern::Any).then_some(HostPattern::Any))
}

impl<'p> Tree<'p> {
    /// The routes of this host that cover a path, from the most specific to the least.
    pub(super) fn covering(&self, path: &PathPattern) -> Vec<usize> {
        let mut found = Vec::new();
        self.root.covering(path.segments(), path.has_rest(), &mut found);
        found
    }

    /// Calls `visit` for the routes of this host that have some path in common with a pattern, until it breaks.
    pub(super) fn meeting<B>(
        &self,
        path: &PathPattern,
        visit: &mut impl FnMut(usize) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.root.meeting(path.segments(), path.has_rest(), visit)
    }

    /// The node of a path, whatever its parameters are called.
    pub(super) fn node(&self, segments: &[Segment]) -> Option<&Node<'p>> {
        segments.iter().try_fold(&self.root, |node, segment| match segment {
            Segment::Literal(text) => node.literals.get(&**text),
            Segment::Folded(text) => node.folded.get(&**text),
            Segment::Parameter(_) => node.parameter.as_deref(),
        })
    }
}

impl Node<'_> {
    fn covering(&self, segments: &[Segment], rest: bool, found: &mut Vec<usize>) {
        match segments.split_first() {
            // Where anything may follow, only what lets anything follow covers it.
            None if rest => {}
            None => found.extend(&self.ends),
            Some((segment, after)) => {
                let literal = match segment {
                    Segment::Literal(text) => self.literals.get(&**text),
                    Segment::Folded(_) | Segment::Parameter(_) => None,
                };
                let folded = segment.text().filter(|_| !self.folded.is_empty());
                let folded = folded.and_then(|text| self.folded.get(&*text.to_ascii_lowercase()));
                literal
                    .into_iter()
                    .chain(folded)
                    .chain(self.parameter.as_deref())
                    .for_each(|node| node.covering(after, rest, found));
            }
        }
        found.extend(&self.rests);
    }

    fn meeting<B>(
        &self,
        segments: &[Segment],
        rest: bool,
        visit: &mut impl FnMut(usize) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.rests.iter().try_for_each(|place| visit(*place))?;
        let Some((segment, after)) = segments.split_first() else {
            self.ends.iter().try_for_each(|place| visit(*place))?;
            // Where anything may follow, all that is longer is met.
            return if rest {
                self.below().try_for_each(|node| node.meeting(&[], rest, visit))
            } else {
                ControlFlow::Continue(())
            };
        };
        match segment {
            Segment::Literal(text) => {
                let folded = if self.folded.is_empty() { None } else { self.folded.get(&*text.to_ascii_lowercase()) };
                let nodes = self.literals.get(&**text).into_iter().chain(folded).chain(self.parameter.as_deref());
                nodes.into_iter().try_for_each(|node| node.meeting(after, rest, visit))
            }
            Segment::Folded(text) => {
                let alike = self.literals.iter().filter(|(name, _)| name.eq_ignore_ascii_case(text));
                let nodes =
                    alike.map(|(_, node)| node).chain(self.folded.get(&**text)).chain(self.parameter.as_deref());
                nodes.into_iter().try_for_each(|node| node.meeting(after, rest, visit))
            }
            Segment::Parameter(_) => self.below().try_for_each(|node| node.meeting(after, rest, visit)),
        }
    }

    /// What may follow.
    fn below(&self) -> impl Iterator<Item = &Self> {
        self.literals().chain(self.parameter.as_deref())
    }

    /// Routes whose path ends here.
    pub(super) fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// Routes whose path has `**` here.
    pub(super) fn rests(&self) -> &[usize] {
        &self.rests
    }

    /// What follows when the next segment is this literal, in the order of the letters.
    pub(super) fn literals(&self) -> impl Iterator<Item = &Self> {
        self.literals.values().chain(self.folded.values())
    }

    /// Whether more specific routes than one with `**` here take everything that it means, with one of these methods.
    pub(super) fn is_taken(&self, routes: &[Route], method: Option<&str>) -> bool {
        let takes = |places: &[usize]| {
            places.iter().filter_map(|place| routes.get(*place)).any(|route| match (&route.matches.methods, method) {
                (Methods::Any, _) => true,
                (Methods::Named(_), None) => false,
                (methods @ Methods::Named(_), Some(method)) => methods.matches(method),
            })
        };
        let below = |node: &Self| takes(&node.rests) || node.is_taken(routes, method);
        takes(&self.ends) && self.parameter.as_deref().is_some_and(below)
    }
}
