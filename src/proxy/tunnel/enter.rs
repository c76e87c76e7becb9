//! A tunnel is handed to the client's connection: as soon as the client was told that the upstream agreed, both are carried.

use std::rc::Rc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::proxy::downstream::connection::{Connection, LINGER};
use crate::proxy::downstream::lane::Lane;
use crate::proxy::downstream::turn::Turn;
use crate::proxy::forwarding::received::Received;
use crate::proxy::tunnel::ask::{Ask, accept_of};
use crate::proxy::tunnel::carry::{Counted, Share, Tunnel};
use crate::proxy::tunnel::end::Ending;
use crate::proxy::tunnel::switch::Over;
use crate::telemetry::Forwarding;

/// A request whose upstream went over.
pub(in crate::proxy) struct Entrance<'e> {
    pub(in crate::proxy) ask: &'e Ask,
    pub(in crate::proxy) over: Over,
    pub(in crate::proxy) lane: &'e Lane,
    /// The stream of an extended CONNECT, once the client was answered.
    pub(in crate::proxy) stream: Option<OnUpgrade>,
    pub(in crate::proxy) turn: Option<Turn>,
    pub(in crate::proxy) forwarding: Forwarding,
    pub(in crate::proxy) ending: Option<Ending>,
}

impl Entrance<'_> {
    /// Makes the answer what this client takes for agreement, and has the tunnel carried out once it is sent.
    pub(in crate::proxy) fn enter<V>(self, connection: &Connection<V>, response: &mut Response<Received>) {
        let worker = &connection.worker;
        let Over { io, early, slot, busy } = self.over;
        let counted = Counted::begin(&worker.gate.recorder);
        let tunnel = Box::new(Tunnel {
            kind: self.ask.kind,
            upstream: io,
            early,
            ending: self.ending,
            ticker: Rc::clone(&worker.ticker),
            scratch: Rc::clone(&worker.scratch),
            idle: worker.gate.limits.idle,
            share: Share {
                _turn: self.turn,
                _forwarding: self.forwarding,
                _slot: slot,
                _busy: busy,
                _counted: counted,
            },
        });
        let fields = response.headers_mut();
        // What agrees has no body (RFC 9110 sections 9.3.6 and 15.2.2), whatever it says of one.
        fields.remove(header::CONTENT_LENGTH);
        match self.lane {
            Lane::Alone(watch) => {
                fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                fields.insert(header::UPGRADE, self.ask.protocol.clone());
                // The upstream's own, which was checked; or none came, from one in HTTP/2.
                let accept = self.ask.key.as_ref().and_then(|key| HeaderValue::try_from(accept_of(key)).ok());
                if let Some(accept) = accept {
                    fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
                }
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                watch.leave_http(tunnel);
            }
            Lane::Stream(_) => {
                fields.remove(header::SEC_WEBSOCKET_ACCEPT);
                *response.status_mut() = StatusCode::OK;
                let Some(stream) = self.stream else { return };
                let lane = self.lane.clone();
                drop(tokio::task::spawn_local(async move {
                    // A client that left before has nothing to be carried.
                    if let Ok(client) = stream.await {
                        tunnel.carry(Box::new(TokioIo::new(client)), Bytes::new()).await;
                        // What was said and the client has not taken lies with hyper, which would wait for it without end.
                        lane.hurry(LINGER);
                    }
                }));
            }
        }
    }
}
