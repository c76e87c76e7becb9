//! Where requests are carried out: in boxes that a worker keeps, apart from the connections that they come on.
//!
//! Handling a request takes several KiB of state. hyper moves whatever a service returns, twice, and keeps room for it on
//! each connection. So it is given a pointer: the state stays in a box, the one that was used last is used next, which
//! finds it in the processor's cache, and a connection that idles has none.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;

use crate::proxy::answer::ResponseBody;
use crate::proxy::downstream::connection::Connection;
use crate::proxy::downstream::lane::Exchange;
use crate::proxy::handler;
use crate::proxy::verify::Verify;

/// How many a worker keeps that have nothing to do. More are made when more requests are under way, and go with them.
const KEPT: usize = 64;

/// Those of a worker that have nothing to do.
pub(in crate::proxy) struct Clerks<V>(RefCell<Vec<Clerk<V>>>);

/// Carries out one request after another, and never ends.
struct Clerk<V> {
    desk: Rc<Desk<V>>,
    work: Pin<Box<dyn Future<Output = Infallible>>>,
}

/// What lies before a clerk, and what it has done.
struct Desk<V> {
    asked: Cell<Option<Asked<V>>>,
    answer: Cell<Option<Response<ResponseBody>>>,
}

type Asked<V> = (Rc<Connection<V>>, Request<Incoming>, Exchange);

/// A request that a clerk has. Dropped before it is answered, its handling ends there, as if it were handled here.
pub(in crate::proxy) struct Handling<V> {
    connection: Rc<Connection<V>>,
    clerk: Option<Clerk<V>>,
}

impl<V> Default for Clerks<V> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<V: Verify> Clerks<V> {
    fn hire(&self) -> Clerk<V> {
        let idle = self.0.borrow_mut().pop();
        idle.unwrap_or_else(|| {
            let desk = Rc::new(Desk { asked: Cell::new(None), answer: Cell::new(None) });
            Clerk { work: Box::pin(work(Rc::clone(&desk))), desk }
        })
    }

    fn dismiss(&self, clerk: Clerk<V>) {
        let mut idle = self.0.borrow_mut();
        if idle.len() < KEPT {
            idle.push(clerk);
        }
    }
}

/// Has a request carried out.
pub(in crate::proxy) fn handle<V: Verify>(
    connection: &Rc<Connection<V>>,
    request: Request<Incoming>,
    exchange: Exchange,
) -> Handling<V> {
    let clerk = connection.worker.clerks.hire();
    clerk.desk.asked.set(Some((Rc::clone(connection), request, exchange)));
    Handling { connection: Rc::clone(connection), clerk: Some(clerk) }
}

async fn work<V: Verify>(desk: Rc<Desk<V>>) -> Infallible {
    loop {
        let asked = poll_fn(|_| desk.asked.take().map_or(Poll::Pending, Poll::Ready));
        let (connection, request, exchange) = asked.await;
        desk.answer.set(Some(handler::handle(&connection, request, exchange).await));
    }
}

impl<V: Verify> Future for Handling<V> {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(clerk) = &mut this.clerk else { return Poll::Pending };
        let Poll::Pending = clerk.work.as_mut().poll(cx);
        let Some(answer) = clerk.desk.answer.take() else { return Poll::Pending };
        if let Some(clerk) = this.clerk.take() {
            this.connection.worker.clerks.dismiss(clerk);
        }
        Poll::Ready(Ok(answer))
    }
}
