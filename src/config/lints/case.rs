//! A lint of a request that takes a weaker route because it is spelt in another case.

use crate::config::lints::weaker::Weaker;
use crate::config::problem::{Problem, Report};
use crate::policy::Segment;
use crate::policy::path::unescape;

impl Weaker<'_> {
    /// A route in one case alone, over a weaker one that ignores case: its upstream serves the same to whoever spells the path
    /// otherwise, and asks for less.
    pub(super) fn case(&self, out: &mut Report) {
        for (place, route, spans) in self.routes().filter(|(_, route, _)| !route.matches.ignore_case) {
            let own = &route.matches.path;
            // One with letters beyond a to z can't ignore case itself.
            let cased = |text: String| text.to_lowercase() != text.to_uppercase();
            let in_any_case = match own.ignoring_case() {
                Ok(same) if same == *own => continue,
                Ok(in_any_case) => in_any_case,
                Err(_) if own.segments().iter().filter_map(Segment::text).any(|text| cased(unescape(text))) => {
                    own.clone()
                }
                Err(_) => continue,
            };
            for host in &route.matches.hosts {
                let mut covering = self.overlap.covering(host, &in_any_case).filter(|other| *other != place);
                let taking = covering.find_map(|other| {
                    let weak = self.overlap.route(other).zip(self.spans.get(other))?;
                    weak.0.matches.methods.overlaps(&route.matches.methods).then_some((other, weak))
                });
                let Some((other, (weak, weak_spans))) = taking else { continue };
                if !weak.matches.ignore_case || !self.is_weaker(other, place) {
                    continue;
                }
                let message = format!(
                    "`{}` is for one spelling of `{}` alone: in another case the path takes the weaker route `{}`",
                    route.name, route.matches.path_written, weak.name
                );
                let help = "write `ignore_case: true` under its `match` too, or make it a floor";
                let problem = Problem::lint("weaker_by_case", spans.path, message).help(help);
                let words = format!("the weaker route, which ignores case, {}", self.words(other));
                out.add(problem.related(weak_spans.name, words));
                break;
            }
        }
    }
}
