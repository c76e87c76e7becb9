//! What differs between two policies, for the log: names and numbers, not meaning.

use std::collections::HashMap;

use crate::policy::{Policy, Route};

/// What differs between two policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// How many routes only the new one has.
    pub routes_added: usize,
    /// How many routes only the old one has.
    pub routes_removed: usize,
    /// How many routes both have, compiled otherwise. One that names issuers or claims counts too when their places in the
    /// policy changed.
    pub routes_changed: usize,
    /// The issuers that only the new one has.
    pub issuers_added: Vec<Box<str>>,
    /// The issuers that only the old one has.
    pub issuers_removed: Vec<Box<str>>,
    /// The issuers that both have, and whose tokens are verified or read otherwise: what was remembered of them is not used.
    pub issuers_changed: Vec<Box<str>>,
}

impl Changes {
    /// From one policy to the next.
    #[must_use]
    pub fn between(old: &Policy, new: &Policy) -> Self {
        let (before, after) = (routes(old), routes(new));
        let both = || before.iter().filter_map(|(name, was)| Some((*was, *after.get(name)?)));
        let (were, are) = (issuers(old), issuers(new));
        Self {
            routes_added: after.keys().filter(|name| !before.contains_key(*name)).count(),
            routes_removed: before.keys().filter(|name| !after.contains_key(*name)).count(),
            routes_changed: both().filter(|(was, is)| !alike(old, was, new, is)).count(),
            issuers_added: names(&are, |name, _| !were.contains_key(name)),
            issuers_removed: names(&were, |name, _| !are.contains_key(name)),
            issuers_changed: names(&are, |name, is| were.get(name).is_some_and(|was| *was != is)),
        }
    }
}

fn routes(policy: &Policy) -> HashMap<&str, &Route> {
    policy.routes().iter().map(|route| (&*route.name, route)).collect()
}

/// The fingerprint of each issuer by its name.
fn issuers(policy: &Policy) -> HashMap<&str, u64> {
    policy.issuers().iter().map(|issuer| (&*issuer.name, issuer.fingerprint)).collect()
}

fn names(all: &HashMap<&str, u64>, wanted: impl Fn(&str, u64) -> bool) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> =
        all.iter().filter(|(name, print)| wanted(name, **print)).map(|(name, _)| (*name).into()).collect();
    names.sort();
    names
}

/// Whether a route is the same in both, on the same floors, wherever those stand.
fn alike(old: &Policy, was: &Route, new: &Policy, is: &Route) -> bool {
    let floors = |policy: &Policy, route: &Route| -> Vec<_> {
        route.floors.iter().filter_map(|place| policy.floors().get(*place).cloned()).collect()
    };
    // Whether it reads a form follows from `take`.
    let Route {
        name,
        matches,
        take,
        reads_form: _,
        require,
        mode,
        upstream,
        floors: _,
        on_deny,
        keep,
        ends,
        timeout,
        max_body,
        rewrite,
        upgrades,
    } = was;
    (name, matches, take, require, mode, upstream)
        == (&is.name, &is.matches, &is.take, &is.require, &is.mode, &is.upstream)
        && (on_deny, keep, ends) == (&is.on_deny, &is.keep, &is.ends)
        && (timeout, max_body, rewrite, upgrades) == (&is.timeout, &is.max_body, &is.rewrite, &is.upgrades)
        && floors(old, was) == floors(new, is)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SourceFile, load_policy};

    fn policy(text: &str) -> Policy {
        let file = SourceFile { name: "p.yaml".into(), folder: ".".into(), text: format!("version: 1\n{text}") };
        load_policy(vec![file]).unwrap().policy
    }

    const ISSUERS: &str = "issuers:
  bank: { issuer: https://bank.example, access: { audiences: [api] }, proves: { single-factor: { factors: 1 } } }
  shop: { issuer: https://shop.example, access: { audiences: [api] } }
";

    #[test]
    fn what_came_what_went_and_what_changed_is_told_apart() {
        let old = policy(&format!(
            "{ISSUERS}routes:
  - {{ name: a, match: {{ path: /a }}, require: public }}
  - {{ name: b, match: {{ path: /b }}, require: authenticated }}
  - {{ name: c, match: {{ path: \"/c/**\" }}, require: authenticated }}
"
        ));
        assert_eq!(Changes::between(&old, &old), Changes::default());
        let new = policy(
            "issuers:
  club: { issuer: https://club.example, access: { audiences: [api] } }
  bank: { issuer: https://bank.example, access: { audiences: [api2] }, proves: { single-factor: { factors: 1 } } }
floors:
  - { name: f, match: { path: /c/d }, require: { level: single-factor } }
routes:
  - { name: b, match: { path: /b }, require: { level: single-factor } }
  - { name: c, match: { path: \"/c/**\" }, require: authenticated }
  - { name: d, match: { path: /d }, require: authenticated }
",
        );
        let told = Changes::between(&old, &new);
        assert_eq!((told.routes_added, told.routes_removed, told.routes_changed), (1, 1, 2));
        assert_eq!(told.issuers_added, ["club".into()]);
        assert_eq!(told.issuers_removed, ["shop".into()]);
        assert_eq!(told.issuers_changed, ["bank".into()]);
    }

    #[test]
    fn what_a_route_says_of_the_way_on_is_part_of_it() {
        let of =
            |says: &str| policy(&format!("routes: [{{ name: a, match: {{ path: /a }}, require: public{says} }}]\n"));
        for says in [", timeout: 5s", ", max_body: none", ", rewrite: { prefix: /b }"] {
            let told = Changes::between(&of(""), &of(says));
            assert_eq!((told.routes_changed, told.routes_added), (1, 0), "{says}");
            assert_ne!(of("").hash(), of(says).hash(), "{says}");
        }
    }

    #[test]
    fn an_issuer_that_another_was_put_before_did_not_change() {
        let routes = "routes: []\n";
        let before = "  aaa: { issuer: https://aaa.example, access: { audiences: [api] } }\n";
        let (old, new) = (format!("{ISSUERS}{routes}"), ISSUERS.replacen('\n', &format!("\n{before}"), 1) + routes);
        let told = Changes::between(&policy(&old), &policy(&new));
        assert_eq!(told, Changes { issuers_added: vec!["aaa".into()], ..Changes::default() });
    }
}
