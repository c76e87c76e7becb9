//! An upstream in several places: which one a request goes to, and to which other when that is out of reach.
//!
//! Each worker counts what it has under way at each place and takes the one with the least; of equals the one that was not
//! taken for the longest time, in each worker from a beginning of its own. All places are looked at, for there are few of them. A place that is left out
//! (`standing`) gets nothing but now and then a request that tries it again, unless all are: then all are used.
//! A request goes on to another place only where nothing can happen twice. What has one place never comes here.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::Response;

use crate::proxy::downstream::timing::{Deadline, Passed};
use crate::proxy::forwarding::body::{End, RequestBody};
use crate::proxy::forwarding::exchange::{Failure, Undone};
use crate::proxy::forwarding::pool::{Lease, Pool};
use crate::proxy::forwarding::received::Received;
use crate::proxy::forwarding::standing::{Look, Standing, Terms};

/// The places of one upstream, as one worker knows them.
#[derive(Debug)]
pub(in crate::proxy) struct Several {
    places: Box<[Place]>,
    /// How many requests were sent, beginning so that it is more than any place has at first.
    turn: Cell<u64>,
}

#[derive(Debug)]
struct Place {
    pool: Rc<Pool>,
    standing: Arc<Standing>,
    busy: Rc<Cell<usize>>,
    /// The turn in which it was taken last.
    last: Cell<u64>,
}

/// A request under way at a place, until its answer is passed on or given up.
#[derive(Debug)]
pub(in crate::proxy) struct Busy(Rc<Cell<usize>>);

impl Busy {
    fn begin(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get().saturating_add(1));
        Self(Rc::clone(count))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// The places that a request was sent to already.
#[derive(Clone, Copy, Debug, Default)]
struct Tried(u64);

impl Tried {
    fn has(self, place: usize) -> bool {
        u32::try_from(place).ok().and_then(|place| self.0.checked_shr(place)).is_none_or(|bits| bits & 1 == 1)
    }

    fn add(&mut self, place: usize) {
        self.0 |= u32::try_from(place).ok().and_then(|place| 1_u64.checked_shl(place)).unwrap_or_default();
    }

    fn count(self) -> u32 {
        self.0.count_ones()
    }
}

impl Several {
    pub(in crate::proxy) fn new(pools: impl Iterator<Item = (Rc<Pool>, Arc<Standing>)>) -> Self {
        let mut random = [0; 64];
        // Without randomness the workers begin alike, and go apart with their requests.
        let _unlikely = getrandom::fill(&mut random);
        let place =
            |((pool, standing), last)| Place { pool, standing, busy: Rc::default(), last: Cell::new(u64::from(last)) };
        Self { places: pools.zip(random).map(place).collect(), turn: Cell::new(1 << 8) }
    }

    pub(in crate::proxy) fn pools(&self) -> impl Iterator<Item = &Rc<Pool>> {
        self.places.iter().map(|place| &place.pool)
    }

    /// The connections to the place that a request would go to now.
    pub(in crate::proxy) fn nearest(&self) -> Option<&Rc<Pool>> {
        let (number, _) = self.choose(Tried::default(), Instant::now())?;
        self.places.get(number).map(|place| &place.pool)
    }

    /// Sends a request by `send` and waits for the head of its response, at the longest until `answer_by`, wherever it goes.
    pub(in crate::proxy) async fn forward(
        &self,
        send: impl AsyncFn(&Rc<Pool>, RequestBody) -> Result<(Response<Received>, Lease), Undone>,
        body: RequestBody,
        answer_by: &Deadline,
        now: Instant,
    ) -> Result<Result<(Response<Received>, Lease), Failure>, Passed> {
        let (asked, end) = (Cell::new(None), body.end());
        let outcome = answer_by.bound(Box::pin(self.anywhere(send, body, &asked))).await;
        if let (Err(Passed), Some((number, terms))) = (&outcome, asked.get())
            && let Some(place) = self.places.get(number)
        {
            place.pool.doubt(now);
            if end.get() != End::Broken {
                place.standing.failed(terms, Instant::now(), "no response head within the limit");
            }
        }
        outcome
    }

    async fn anywhere(
        &self,
        send: impl AsyncFn(&Rc<Pool>, RequestBody) -> Result<(Response<Received>, Lease), Undone>,
        mut body: RequestBody,
        asked: &Cell<Option<(usize, Terms)>>,
    ) -> Result<(Response<Received>, Lease), Failure> {
        let (end, mut tried, mut was_sent) = (body.end(), Tried::default(), false);
        let mut before = None;
        while let Some((number, terms)) = self.choose(tried, Instant::now())
            && let Some(Place { pool, standing, busy, .. }) = self.places.get(number)
        {
            tried.add(number);
            let busy = Busy::begin(busy);
            asked.set(Some((number, terms)));
            let Undone { failure, again, is_unsent } = match send(pool, body).await {
                Ok((response, lease)) => {
                    standing.answered(terms);
                    return Ok((response, lease.counted(busy)));
                }
                Err(undone) => undone,
            };
            asked.set(None);
            // What breaks for the client's body says nothing of the upstream.
            match end.get() {
                End::Open | End::Whole if is_unsent => {
                    standing.unreachable(terms, Instant::now(), &failure.detail);
                }
                End::Open | End::Whole => standing.failed(terms, Instant::now(), &failure.detail),
                End::TooLarge | End::Broken => return Err(failure),
            }
            // What may have been taken up somewhere is sent once more at the most.
            let again = again.filter(|_| is_unsent || !was_sent);
            was_sent |= !is_unsent;
            let failure = failure.after(before);
            let Some(again) = again else { return Err(failure) };
            body = again;
            before = Some(failure);
        }
        Err(before.unwrap_or_else(|| Failure::unreachable("the upstream has no place to send it to")))
    }

    /// The place for a request that was at some already. Of those that are left out one that may be tried again comes first,
    /// or it never would; the rest of them come last.
    fn choose(&self, tried: Tried, now: Instant) -> Option<(usize, Terms)> {
        let (mut least, mut last) = (None, None);
        for (number, place) in self.places.iter().enumerate().filter(|(number, _)| !tried.has(*number)) {
            let look = place.standing.look(now);
            // A request that failed elsewhere is not the one to try things with.
            if look == Look::Due && tried.count() == 0 && place.standing.try_again(now) {
                return Some(self.take(number, Terms::Trial));
            }
            let best = if look == Look::In { &mut least } else { &mut last };
            let load = (place.busy.get(), place.last.get(), number);
            if best.is_none_or(|best| load < best) {
                *best = Some(load);
            }
        }
        match (least, last) {
            (Some((.., number)), _) => Some(self.take(number, Terms::Ordinary)),
            (None, Some((.., number))) => Some(self.take(number, Terms::LastResort)),
            (None, None) => None,
        }
    }

    fn take(&self, number: usize, terms: Terms) -> (usize, Terms) {
        self.turn.set(self.turn.get().saturating_add(1));
        if let Some(place) = self.places.get(number) {
            place.last.set(self.turn.get());
        }
        (number, terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{Endpoint, Limits, Upstream};
    use crate::proxy::forwarding::standing::Standings;
    use crate::telemetry::UpstreamMeter;

    fn several(places: usize) -> Several {
        let others = (1..places).map(|place| Endpoint::Tcp(format!("host-{place}"), 1)).collect();
        let upstream = Upstream { others, ..Upstream::plain("app".into(), "host-0".into(), 1) };
        let standings = Standings::of(std::slice::from_ref(&upstream));
        let pools = standings.places(0).iter().map(|standing| {
            let pool = Pool::new(&upstream, None, &Limits::default(), UpstreamMeter::default(), &[]);
            (pool, Arc::clone(standing))
        });
        Several::new(pools)
    }

    fn chosen(several: &Several, tried: Tried) -> Option<(usize, Terms)> {
        several.choose(tried, Instant::now())
    }

    #[test]
    fn requests_go_where_the_least_is_under_way_and_take_turns_among_equals() {
        let several = several(3);
        let mut counts = [0; 3];
        for _ in 0..300 {
            counts[chosen(&several, Tried::default()).unwrap().0] += 1;
        }
        assert_eq!(counts, [100; 3], "idle places take turns");
        several.places[1].standing.unreachable(Terms::Ordinary, Instant::now(), "");
        let mut counts = [0; 3];
        for _ in 0..200 {
            counts[chosen(&several, Tried::default()).unwrap().0] += 1;
        }
        assert_eq!(counts, [100, 0, 100], "what is left out leaves its turns to all others");
        several.places[1].standing.answered(Terms::Trial);
        let _two = [Busy::begin(&several.places[0].busy), Busy::begin(&several.places[2].busy)];
        for _ in 0..10 {
            assert_eq!(chosen(&several, Tried::default()), Some((1, Terms::Ordinary)));
        }
        drop(Busy::begin(&several.places[1].busy));
        assert_eq!(several.places[1].busy.get(), 0, "what has ended counts no more");
    }

    #[test]
    fn workers_do_not_all_begin_at_the_first_place() {
        let firsts: Vec<usize> =
            (0..64).filter_map(|_| chosen(&several(4), Tried::default())).map(|(number, _)| number).collect();
        assert!((0..4).all(|number| firsts.contains(&number)), "{firsts:?}");
    }

    #[test]
    fn what_is_left_out_gets_nothing_until_all_are() {
        let several = several(3);
        let now = Instant::now();
        several.places[1].standing.unreachable(Terms::Ordinary, now, "");
        for _ in 0..20 {
            assert_ne!(several.choose(Tried::default(), now).unwrap().0, 1);
        }
        let _busy = Busy::begin(&several.places[0].busy);
        several.places[0].standing.unreachable(Terms::Ordinary, now, "");
        (0..3).for_each(|_| several.places[2].standing.checked(Err("503".into())));
        let mut used = [false; 3];
        for _ in 0..20 {
            let (number, terms) = several.choose(Tried::default(), now).unwrap();
            assert_eq!(terms, Terms::LastResort);
            used[number] = true;
        }
        assert_eq!(used, [false, true, true], "all are out, so the least busy of all is asked");
    }

    #[test]
    fn a_request_comes_to_each_place_once_and_to_those_left_out_last() {
        let several = several(3);
        let now = Instant::now();
        several.places[0].standing.unreachable(Terms::Ordinary, now, "");
        let mut tried = Tried::default();
        let mut order = Vec::new();
        while let Some((number, terms)) = several.choose(tried, now) {
            tried.add(number);
            order.push((number, terms));
        }
        assert_eq!(order.len(), 3);
        assert_eq!(order[2], (0, Terms::LastResort));
    }

    #[test]
    fn one_request_tries_a_place_again_when_it_is_due() {
        let several = several(2);
        let now = Instant::now();
        several.places[1].standing.unreachable(Terms::Ordinary, now, "");
        let due = now + std::time::Duration::from_secs(2);
        let chosen: Vec<_> = (0..10).map(|_| several.choose(Tried::default(), due).unwrap()).collect();
        assert_eq!(chosen.iter().filter(|(_, terms)| *terms == Terms::Trial).count(), 1, "{chosen:?}");
        let mut tried = Tried::default();
        tried.add(0);
        let again = due + std::time::Duration::from_secs(10);
        assert_eq!(several.choose(tried, again), Some((1, Terms::LastResort)), "not with one that failed elsewhere");
    }
}
