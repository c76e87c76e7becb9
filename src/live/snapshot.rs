//! From a policy and the settings to what is put in force: each route's upstream found, or every reason why not.

use std::sync::Arc;

use crate::config::{Settings, SourceFile};
use crate::live::Snapshot;
use crate::policy::{Policy, ResourceMetadata, Route};

/// A route whose upstream `stepgate.yaml` does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoUpstream {
    /// It names one that is not there.
    #[error("route `{route}`: unknown upstream `{upstream}`; `stepgate.yaml` has {known}")]
    Unknown {
        /// The route.
        route: Box<str>,
        /// What it names.
        upstream: Box<str>,
        /// What there is.
        known: String,
    },
    /// It names none, and there is more than one.
    #[error("route `{route}`: name its upstream, since `stepgate.yaml` has more than one: {known}")]
    Unnamed {
        /// The route.
        route: Box<str>,
        /// What there is.
        known: String,
    },
}

impl Snapshot {
    /// Finds each route's upstream, and writes down what clients may find out.
    ///
    /// # Errors
    /// Every route that has none.
    pub fn new(policy: Policy, settings: &Settings) -> Result<Self, Vec<NoUpstream>> {
        let (mut upstream_of_route, mut missing) = (Vec::new(), Vec::new());
        for route in policy.routes() {
            match place(route, settings) {
                Ok(place) => upstream_of_route.push(place),
                Err(error) => missing.push(error),
            }
        }
        if !missing.is_empty() {
            return Err(missing);
        }
        let metadata = settings.public_url.as_deref().and_then(|url| ResourceMetadata::of(&policy, url));
        Ok(Self { policy, upstream_of_route, metadata, files: Arc::default() })
    }

    /// With the texts that its policy was made from.
    #[must_use]
    pub fn made_from(self, files: Vec<SourceFile>) -> Self {
        Self { files: files.into(), ..self }
    }
}

fn place(route: &Route, settings: &Settings) -> Result<usize, NoUpstream> {
    let known = || settings.upstreams.iter().map(|one| format!("`{}`", one.name)).collect::<Vec<_>>().join(", ");
    let route_name = route.name.clone();
    match (&route.upstream, settings.upstreams.as_slice()) {
        (None, [_only]) => Ok(0),
        (None, _) => Err(NoUpstream::Unnamed { route: route_name, known: known() }),
        (Some(name), upstreams) => {
            let place = upstreams.iter().position(|upstream| *upstream.name == **name);
            place.ok_or_else(|| NoUpstream::Unknown { route: route_name, upstream: name.clone(), known: known() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::policy_with_upstream;
    use crate::demo::Ports;
    use crate::demo::setting::settings;

    #[test]
    fn each_route_finds_its_upstream_or_says_what_there_is() {
        let mut settings = settings(&Ports { gate: 0, idp: 0, echo: 0, admin: 0 }.reserve().unwrap(), "info");
        let find = |settings: &Settings, name: Option<&str>| {
            Snapshot::new(policy_with_upstream(name), settings).map(|snapshot| snapshot.upstream_of_route)
        };
        assert_eq!(find(&settings, None), Ok(vec![0]));
        let mut ledger = settings.upstreams[0].clone();
        ledger.name = "ledger".into();
        settings.upstreams.push(ledger);
        assert_eq!(find(&settings, Some("ledger")), Ok(vec![1]));
        let said = |name| find(&settings, name).unwrap_err()[0].to_string();
        assert!(said(None).contains("more than one: `app`, `ledger`"), "{}", said(None));
        assert!(said(Some("ledgr")).contains("unknown upstream `ledgr`"), "{}", said(Some("ledgr")));
    }
}
