//! `streams`: what ends a long-lived stream of a route.

use crate::config::problem::{Problem, Report};
use crate::config::reader::{self, Fields, Keys};
use crate::config::yaml::Node;
use crate::policy::{AtPolicy, Requirement, Streams};

const STREAMS: Keys = Keys {
    what: "`streams`",
    known: &["at_exp", "at_max_age", "at_policy", "renew_by"],
    // There is nothing yet that revokes.
    later: &["at_revoked"],
};

/// `streams` as one place of a policy says it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    at_exp: Option<bool>,
    at_max_age: Option<bool>,
    at_policy: Option<AtPolicy>,
    renew_by: Option<bool>,
}

/// Reads `streams`.
pub fn read(node: &Node, out: &mut Report) -> Option<Written> {
    const CLOSES: [(&str, bool); 2] = [("close", true), ("keep", false)];
    const AT_POLICY: [(&str, AtPolicy); 3] =
        [("judge", AtPolicy::Judge), ("close", AtPolicy::Close), ("keep", AtPolicy::Keep)];
    let fields = Fields::of(node, STREAMS, out)?;
    let errors = out.errors();
    let at_exp = fields.get("at_exp", out).and_then(|node| reader::choice(node, &CLOSES, out));
    let at_max_age = fields.get("at_max_age", out).and_then(|node| reader::choice(node, &CLOSES, out));
    let at_policy = fields.get("at_policy", out).and_then(|node| reader::choice(node, &AT_POLICY, out));
    let renew_by = fields.get("renew_by", out).and_then(|node| reader::choice(node, &[("sid", true)], out));
    (out.errors() == errors).then_some(Written { at_exp, at_max_age, at_policy, renew_by })
}

/// What a route says of its own.
pub fn own(route: &Fields<'_>, out: &mut Report) -> Option<Written> {
    match route.get("streams", out) {
        Some(node) => read(node, out),
        None => Some(Written::default()),
    }
}

/// What holds for a route: its own keys, and under them those of `defaults`. A public one has nothing to watch.
pub fn of_route(
    own: Written,
    defaults: Written,
    route: &Fields<'_>,
    require: &Requirement,
    out: &mut Report,
) -> Option<Streams> {
    if *require != Requirement::Public {
        return Some(over(own, defaults));
    }
    if let Some(span) = route.key_span("streams") {
        let message = "a public route lets everybody in at any time, so there is nothing to watch";
        out.add(Problem::error("public_streams", span, message).help("take `streams` out, or ask for something"));
        return None;
    }
    Some(Streams::UNWATCHED)
}

fn over(own: Written, defaults: Written) -> Streams {
    let base = Streams::default();
    Streams {
        closes_at_exp: own.at_exp.or(defaults.at_exp).unwrap_or(base.closes_at_exp),
        closes_at_max_age: own.at_max_age.or(defaults.at_max_age).unwrap_or(base.closes_at_max_age),
        at_policy: own.at_policy.or(defaults.at_policy).unwrap_or(base.at_policy),
        renews_by_sid: own.renew_by.or(defaults.renew_by).unwrap_or(base.renews_by_sid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SourceFile, load_policy};

    fn of(defaults: &str, own: &str) -> Streams {
        let text = format!(
            "version: 1
defaults: {{ streams: {defaults} }}
issuers:
  bank: {{ issuer: https://bank.example, access: {{ audiences: [api] }} }}
routes:
  - {{ name: a, match: {{ path: /a }}, require: authenticated, streams: {own} }}
  - {{ name: open, match: {{ path: /open }}, require: public }}
"
        );
        let file = SourceFile { name: "p.yaml".into(), folder: ".".into(), text };
        let policy = load_policy(vec![file]).unwrap().policy;
        let of = |name: &str| policy.routes().iter().find(|route| *route.name == *name).unwrap().streams;
        assert_eq!(of("open"), Streams::UNWATCHED, "a public route has nothing to watch");
        of("a")
    }

    #[test]
    fn what_is_not_said_is_the_default_and_a_routes_own_keys_go_over_the_policys_one_by_one() {
        let base = Streams::default();
        assert_eq!((base.closes_at_exp, base.closes_at_max_age, base.at_policy), (true, false, AtPolicy::Judge));
        assert_eq!(of("{}", "{}"), base);
        assert_eq!(
            of("{ at_exp: keep }", "{ at_max_age: close }"),
            Streams { closes_at_exp: false, closes_at_max_age: true, ..base }
        );
        assert_eq!(
            of("{ at_exp: keep, at_policy: keep }", "{ at_exp: close, renew_by: sid }"),
            Streams { at_policy: AtPolicy::Keep, renews_by_sid: true, ..base }
        );
        assert_eq!(
            of("{ renew_by: sid, at_max_age: close }", "{ at_policy: close, at_max_age: keep }"),
            Streams { at_policy: AtPolicy::Close, renews_by_sid: true, ..base }
        );
    }
}
