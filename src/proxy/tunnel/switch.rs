//! Has an upstream go over to another protocol, and checks that it did, and to that one.
//!
//! To an upstream in HTTP/1.1 it is an `Upgrade` on a connection of its own. One in HTTP/2 gets an extended CONNECT if it says
//! that it takes them (RFC 8441); if not, and it is spoken to in TLS, a connection of its own in HTTP/1.1. Of one in the clear
//! nobody knows whether it speaks HTTP/1.1 too: there it is refused.

use std::borrow::Cow;
use std::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode, Uri, Version};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use crate::proxy::downstream::timing::{Deadline, Passed};
use crate::proxy::fields::Fields;
use crate::proxy::forwarding::body::RequestBody;
use crate::proxy::forwarding::exchange::{Failure, Head, Undone, broken, cleaned, unconnected};
use crate::proxy::forwarding::multiplexed::Slot;
use crate::proxy::forwarding::pool::{Lease, Pool, READ, Whole};
use crate::proxy::forwarding::reach::{ConnectError, Reached, notice_death};
use crate::proxy::forwarding::received::Received;
use crate::proxy::forwarding::several::Busy;
use crate::proxy::headers;
use crate::proxy::tunnel::Kind;
use crate::proxy::tunnel::ask::Ask;
use crate::proxy::tunnel::end::Io;

/// An upstream's side of a connection that has left HTTP.
pub(in crate::proxy) struct Over {
    pub(super) io: Box<dyn Io>,
    /// What it said right behind its agreement.
    pub(super) early: Bytes,
    pub(super) slot: Option<Slot>,
    /// Where the upstream is in several places: it counts at this one.
    pub(super) busy: Option<Busy>,
}

impl Over {
    pub(in crate::proxy) fn counted(self, busy: Busy) -> Self {
        Self { busy: Some(busy), ..self }
    }
}

impl std::fmt::Debug for Over {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Over").finish_non_exhaustive()
    }
}

/// Sends a request that asks for another protocol. The upstream may agree ([`Lease::Over`]) or answer as to any request.
/// `only_over`: an answer that reads as agreement to a client, and is none, is a failure.
pub(in crate::proxy) async fn forward(
    pool: &Rc<Pool>,
    head: Head<'_>,
    ask: &Ask,
    answer_by: &Deadline,
    only_over: bool,
) -> Result<(Response<Received>, Lease), Failure> {
    let outcome = match pool.several() {
        None => answer_by.bound(pin!(send(pool, &head, ask))).await.map(|sent| sent.map_err(|undone| undone.failure)),
        Some(several) => {
            let send = async |pool: &Rc<Pool>, _none| send(pool, &head, ask).await;
            let body = RequestBody::read(Bytes::new());
            Box::pin(several.forward(send, body, answer_by, Instant::now())).await
        }
    };
    let outcome = outcome.unwrap_or_else(|Passed| Err(Failure::late("no response head within the limit")));
    match outcome? {
        (response, Lease::Over(over)) => Ok((response, Lease::Over(over))),
        (response, _) if only_over && response.status().is_success() => Err(Failure::unreachable(format!(
            "the upstream answered {} and did not switch protocols",
            response.status()
        ))),
        (response, lease) => Ok((cleaned(response, false)?, lease)),
    }
}

async fn send(pool: &Rc<Pool>, head: &Head<'_>, ask: &Ask) -> Result<(Response<Received>, Lease), Undone> {
    if !pool.upstream().http2 {
        return by_upgrade(pool, head, ask).await;
    }
    let slot = pool.slot().await.map_err(|error| unconnected(pool, error, RequestBody::read(Bytes::new())))?;
    if slot.takes_connect() {
        return Ok(by_connect(slot, head, ask).await?);
    }
    drop(slot);
    if pool.upstream().tls.is_none() {
        let detail = "the upstream speaks HTTP/2 in the clear and takes no extended CONNECT (RFC 8441), so nothing can be upgraded there";
        return Err(Failure::unreachable(detail).into());
    }
    let query = head.uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let uri: Uri = format!("{}{query}", head.uri.path())
        .parse()
        .map_err(|error| Failure::unreachable(format!("the target cannot be written: {error}")))?;
    let uri = Cow::Owned(uri);
    let head = Head { uri, fields: Fields { version: Version::HTTP_11, ..head.fields.clone() }, method: head.method };
    by_upgrade(pool, &head, ask).await
}

/// In HTTP/1.1, on a new connection: one that was used before may be closed in the very moment, and an upgrade is not to be
/// sent twice.
async fn by_upgrade(pool: &Rc<Pool>, head: &Head<'_>, ask: &Ask) -> Result<(Response<Received>, Lease), Undone> {
    let body = RequestBody::read(Bytes::new());
    let (sender, leaves) = match connect(pool).await {
        Ok(begun) => begun,
        Err(error) => return Err(unconnected(pool, error, body)),
    };
    let mut whole = Whole::new(sender, pool);
    let mut request = head.with(body);
    let fields = request.headers_mut();
    fields.remove(header::TE);
    fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(header::UPGRADE, ask.protocol.clone());
    if let Some(key) = &ask.key {
        fields.insert(header::SEC_WEBSOCKET_KEY, key.clone());
        fields.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    let sending = whole.sender(request.body()).send_request(request);
    let mut response = sending.await.map_err(|error| broken(&error))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok((response.map(Received::Hyper), Lease::Whole(whole)));
    }
    ask.check(response.headers()).map_err(Failure::unreachable)?;
    headers::remove_hop_by_hop(response.headers_mut());
    let left = leaves.await.map_err(|_gone| Failure::unreachable("the connection broke as it switched protocols"))?;
    let (io, early) = left;
    let over = Over { io, early, slot: None, busy: None };
    Ok((response.map(Received::Hyper), Lease::Over(Box::new(over))))
}

/// What is left of a connection when HTTP has left it: with what was read of it already.
type Left = (Box<dyn Io>, Bytes);

async fn connect(pool: &Pool) -> Result<(SendRequest<RequestBody>, oneshot::Receiver<Left>), ConnectError> {
    let begun = match pool.reach_http1().await? {
        Reached::Tcp(socket) => {
            notice_death(&socket);
            begin(socket).await
        }
        Reached::Unix(socket) => begin(socket).await,
        Reached::Tls(stream) => {
            notice_death(stream.get_ref().0);
            begin(*stream).await
        }
    };
    pool.meter().connected();
    begun
}

async fn begin<T: Io + 'static>(io: T) -> Result<(SendRequest<RequestBody>, oneshot::Receiver<Left>), ConnectError> {
    let begun = Builder::new().max_buf_size(READ).handshake(TokioIo::new(io)).await;
    let (sender, mut connection) = begun.map_err(|error| ConnectError::Failed(error.to_string()))?;
    let (tell, leaves) = oneshot::channel::<Left>();
    drop(tokio::task::spawn_local(async move {
        // Its errors reach whoever waits for a response; whoever waits for what is left learns that there is nothing.
        if (&mut connection).await.is_ok() {
            let parts = connection.into_parts();
            let _unwanted = tell.send((Box::new(parts.io.into_inner()), parts.read_buf));
        }
    }));
    Ok((sender, leaves))
}

/// In HTTP/2, on a stream of a connection that others use too.
async fn by_connect(slot: Slot, head: &Head<'_>, ask: &Ask) -> Result<(Response<Received>, Lease), Failure> {
    let body = RequestBody::read(Bytes::new());
    let ending = body.end();
    let mut request = head.with(body);
    *request.method_mut() = Method::CONNECT;
    let protocol = ask.protocol.to_str().unwrap_or_default();
    request.extensions_mut().insert(Protocol::from(protocol));
    let fields = request.headers_mut();
    fields.remove(header::CONTENT_LENGTH);
    if ask.kind == Kind::WebSocket {
        fields.remove(header::SEC_WEBSOCKET_KEY);
        fields.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    let sent = slot.sender().send_request(request).await;
    let mut response = sent.map_err(|error| broken(&error))?;
    slot.heard();
    if !response.status().is_success() {
        return Ok((response.map(Received::Hyper), Lease::Slot(slot, ending)));
    }
    let over = hyper::upgrade::on(&mut response).await.map_err(|error| broken(&error))?;
    headers::remove_hop_by_hop(response.headers_mut());
    Ok((
        response.map(Received::Hyper),
        Lease::Over(Box::new(Over {
            io: Box::new(TokioIo::new(over)),
            early: Bytes::new(),
            slot: Some(slot),
            busy: None,
        })),
    ))
}
