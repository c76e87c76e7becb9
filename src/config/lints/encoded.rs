//! A lint of a path that takes a weaker route because a slash in it is escaped.

use crate::config::lints::sample::{self, ANYTHING};
use crate::config::lints::weaker::Weaker;
use crate::config::problem::{Problem, Report};
use crate::policy::{CanonicalPath, HostPattern, Methods, Route, Segment, Target};

/// In the place of a parameter: two segments to whoever reads `%2F` as a slash.
const TWO: &str = "~%2F~";

impl Weaker<'_> {
    /// A route that takes `%2F` for a part of a segment, over a stricter one that has the path where it is a slash: that is all the
    /// same to the gate, and an application that decodes it serves what the stricter one guards.
    pub(super) fn encoded_slashes(&self, out: &mut Report) {
        for (place, route, spans) in self.routes().filter(|(_, route, _)| route.matches.allows.encoded_slash) {
            let mut hosts = route.matches.hosts.iter();
            let Some(found) = hosts.find_map(|host| self.decoded(place, route, host)) else { continue };
            let Some((strict, strict_spans)) = self.overlap.route(found).zip(self.spans.get(found)) else { continue };
            let message = format!(
                "`{}` takes `%2F` for a part of a segment: an application that reads a slash there serves what the stricter `{}` guards",
                route.name, strict.name
            );
            let help = format!("let it ask for what `{}` asks, or take `encoded_slash` out", strict.name);
            let problem = Problem::lint("weaker_by_encoded_slash", spans.path, message).help(help);
            out.add(problem.label(self.words(place)).related(strict_spans.name, self.words(found)));
        }
    }

    /// The stricter route that has a path of this one on a host, where its `%2F` is read as a slash.
    fn decoded(&self, place: usize, route: &Route, host: &HostPattern) -> Option<usize> {
        let (own, _) = self.asks.get(place)?;
        let path = &route.matches.path;
        let mut wider = self.overlap.covering(host, path);
        // Tried is only what may be found.
        if !wider.any(|wide| self.asks.get(wide).is_some_and(|(_, most)| own.is_weaker_than(most))) {
            return None;
        }
        let host = sample::host(host, host);
        let parameters = path.segments().iter().enumerate().filter(|(_, segment)| segment.text().is_none());
        // Or the slash stands in the pattern itself.
        let places = parameters.map(|(at, _)| at).chain(std::iter::once(path.segments().len()));
        let samples = places.filter_map(|two| {
            let text = |(at, segment): (usize, &Segment)| match segment.text() {
                Some(text) => text.to_owned(),
                None => if at == two { TWO } else { ANYTHING }.to_owned(),
            };
            let texts: Vec<String> = path.segments().iter().enumerate().map(text).collect();
            let taken = sample::path(texts.iter().map(String::as_str)).filter(|path| path.needs().encoded_slash)?;
            let read = CanonicalPath::parse(&taken.as_str().replace("%2F", "/")).ok()?;
            Some((taken, read))
        });
        samples.into_iter().find_map(|(taken, read)| {
            sample::methods(&route.matches.methods, &Methods::Any).find_map(|method| {
                let target = |path| Target { method, host: &host, path };
                let (at, asks) = self.asked(&target(&taken))?;
                let (strict, more) = self.asked(&target(&read))?;
                (at == place && asks.is_weaker_than(&more)).then_some(strict)
            })
        })
    }
}
