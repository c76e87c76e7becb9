//! Health checks: each place of an upstream that has `health` is asked now and then how it is.
//!
//! Once for the process, not by each worker, and not on a worker's thread: a place that hangs holds up nobody. Each check makes
//! a connection of its own in the way that requests would, so that it also finds out whether a new one can be made. What comes
//! of it is noted in `standing`, which workers read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use http::{Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::Handle;
use tokio::time::MissedTickBehavior;

use crate::config::settings::{Endpoint, HealthCheck, Upstream};
use crate::proxy::forwarding::reach::{ConnectError, Reached, reach};
use crate::proxy::forwarding::standing::{Standing, Standings, jittered};
use crate::tls::UpstreamTls;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("stepgate-health/", env!("CARGO_PKG_VERSION")));

/// Begins to ask the places of all upstreams that are to be asked, on this runtime, for as long as it lives.
pub fn check_health(upstreams: &[Upstream], tls: &[Option<Arc<UpstreamTls>>], standings: &Standings, on: &Handle) {
    for (number, upstream) in upstreams.iter().enumerate() {
        let Some(check) = &upstream.health else { continue };
        let files = tls.get(number).and_then(Option::as_ref);
        for (place, (endpoint, standing)) in upstream.endpoints().zip(standings.places(number)).enumerate() {
            let place = Place {
                upstream: Upstream { endpoint: endpoint.clone(), others: Box::default(), ..upstream.clone() },
                tls: files.and_then(|tls| tls.at(place)),
                check: check.clone(),
            };
            on.spawn(place.watch(Arc::clone(standing)));
        }
    }
}

struct Place {
    /// In this place alone.
    upstream: Upstream,
    tls: Option<Arc<UpstreamTls>>,
    check: HealthCheck,
}

impl Place {
    async fn watch(self, standing: Arc<Standing>) {
        // Not all places in one moment, and neither all gates.
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let every = Duration::from_millis(jittered(millis(self.check.every)));
        let mut ticks = tokio::time::interval(every.max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let asked = tokio::time::timeout(self.check.timeout, self.ask()).await;
            standing.checked(asked.unwrap_or_else(|_late| Err("no answer within the limit".into())));
        }
    }

    async fn ask(&self) -> Result<(), String> {
        let reached =
            reach(&self.upstream, self.tls.as_ref(), self.check.timeout).await.map_err(|error| match error {
                ConnectError::Late => "no connection within the limit".to_owned(),
                ConnectError::Failed(cause) => format!("no connection: {cause}"),
            })?;
        let status = match reached {
            Reached::Tcp(socket) => self.converse(TokioIo::new(socket)).await,
            Reached::Unix(socket) => self.converse(TokioIo::new(socket)).await,
            Reached::Tls(stream) => self.converse(TokioIo::new(*stream)).await,
        }?;
        let is_well = match &*self.check.status {
            [] => (200..300).contains(&status),
            listed => listed.contains(&status),
        };
        if is_well { Ok(()) } else { Err(format!("it answers with {status}")) }
    }

    /// Asks on a connection, which ends with it. The body of the answer is left where it is.
    async fn converse<T>(&self, io: T) -> Result<u16, String>
    where
        T: Read + Write + Unpin + Send + 'static,
    {
        let request = self.request().map_err(|error| format!("it cannot be asked: {error}"))?;
        let failed = |error: hyper::Error| format!("the connection broke: {error}");
        if self.upstream.http2 {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(failed)?;
            let driven = Driven(tokio::spawn(async move { drop(connection.await) }));
            let status = sender.send_request(request).await.map_err(failed)?.status().as_u16();
            drop(driven);
            return Ok(status);
        }
        let (mut sender, connection) = http1::handshake(io).await.map_err(failed)?;
        let driven = Driven(tokio::spawn(async move { drop(connection.await) }));
        let status = sender.send_request(request).await.map_err(failed)?.status().as_u16();
        drop(driven);
        Ok(status)
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, http::Error> {
        let authority = self.authority();
        if !self.upstream.http2 {
            let request = Request::get(&self.check.path).header(HOST, &authority).header(CONNECTION, "close");
            return request.header(USER_AGENT, AGENT).body(Empty::new());
        }
        let scheme = if self.upstream.tls.is_some() { "https" } else { "http" };
        let uri =
            Uri::builder().scheme(scheme).authority(authority.as_str()).path_and_query(&*self.check.path).build()?;
        Request::get(uri).header(USER_AGENT, AGENT).body(Empty::new())
    }

    /// As the URL says, under the name that its certificate must have.
    fn authority(&self) -> String {
        let name = self.upstream.tls.as_ref().and_then(|tls| tls.server_name.clone());
        match &self.upstream.endpoint {
            Endpoint::Unix(_) => "localhost".to_owned(),
            Endpoint::Tcp(host, port) => Endpoint::Tcp(name.unwrap_or_else(|| host.clone()), *port).to_string(),
        }
    }
}

/// A connection that is given up with the check, however that ends.
struct Driven(tokio::task::JoinHandle<()>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}
