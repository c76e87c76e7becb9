//! A head that is no request: recorded and answered like any other refusal, though no policy ever sees it.
//!
//! hyper would answer with a bare status, and nobody would know. `wire` keeps that back, and `connection` calls this.

use http::StatusCode;

use crate::clock;
use crate::policy::Denial;
use crate::proxy::downstream::connection::Connection;
use crate::proxy::refusal::Refusal;
use crate::proxy::respond;
use crate::proxy::verify::Verify;
use crate::reason::Reason;
use crate::telemetry::{Blocked, Decision};

/// Records that a head could not be read, and makes the answer with which its connection ends. `found` is what hyper would
/// have answered.
pub(in crate::proxy) fn answer<V: Verify>(connection: &Connection<V>, found: StatusCode, detail: &str) -> Vec<u8> {
    let gate = &connection.worker.gate;
    let (id, now, peer) = (connection.worker.ids.make(), clock::now(), connection.peer.ip().to_canonical());
    let mut refusal = Refusal::new(Denial::because(Reason::RequestMalformed), "");
    let mut status = respond::unreadable_status(&refusal, found);
    let recorded = gate.recorder.decided(&Decision {
        id: id.to_str().unwrap_or_default(),
        trace: None,
        at: now,
        peer,
        method: "",
        host: "",
        path: "",
        policy: &gate.live.current().policy,
        route: None,
        assurance: None,
        kept: false,
        outcome: Err(&refusal.denial),
        status: Some(status.as_u16()),
        detail,
        micros: 0,
    });
    gate.recorder.request_unreadable(peer, detail);
    if recorded == Err(Blocked) {
        refusal = Refusal::because(Reason::Overloaded);
        status = respond::status(&refusal);
    }
    respond::refuse_unreadable(&refusal, status, &id, now)
}
