//! A gate's day in half a minute: what gates see most, most often, and of everything else enough to be known.
//!
//! The compiler lays out well what was often executed, and builds for size what never was. So the request that counts, a
//! known token on a connection that is kept, is most of what is sent, and nothing that a gate does all day is left out.
//! Amounts are counts and not times: a slow machine learns the same as a fast one. Each answer's status is looked at, since
//! refusals are cheap, and a program that learnt from nothing but refusals would be laid out for them.

pub(crate) mod client;
mod day;
mod files;
pub(crate) mod gate;
mod tokens;
mod tunnels;
pub(crate) mod upstream;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use client::{Ask, Lanes, send};
use day::Part;
use gate::{Audit, Gate};
use tokens::Tokens;
use upstream::Upstream;

/// How long one kind may take: the longest takes some ten seconds.
const PATIENCE: Duration = Duration::from_secs(300);

/// Why a training is none.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How much is sent: of so many requests, one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amount(NonZeroUsize);

impl Amount {
    /// What a release is trained with.
    pub(crate) const WHOLE: Self = Self(NonZeroUsize::MIN);
    /// A few of each kind.
    pub(crate) const QUICK: Self = Self::WHOLE.one_of(1_000);
    /// What is done besides.
    const BESIDES: usize = 4;

    const fn one_of(self, times: usize) -> Self {
        match self.0.checked_mul(NonZeroUsize::MIN.saturating_add(times.saturating_sub(1))) {
            Some(less) => Self(less),
            None => self,
        }
    }

    /// How many of a kind of which a whole training has so many: of what is seldom, one.
    pub(crate) const fn of(self, whole: usize) -> usize {
        whole.div_ceil(self.0.get())
    }

    /// How many connections carry them at once.
    pub(crate) fn lanes(self) -> Lanes {
        Lanes(self.of(32).max(2))
    }
}

/// What was sent of one kind, for whoever reads along.
#[derive(Clone, Debug)]
pub(crate) struct Trained {
    pub(crate) name: &'static str,
    pub(crate) requests: usize,
    pub(crate) took: Duration,
}

impl fmt::Display for Trained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:7} {:32} {:6.2} s", self.requests, self.name, self.took.as_secs_f64())
    }
}

/// Runs the program twice: without an audit log, and for a shorter while with one. Its counts are written when it ends, so that it
/// has to end well.
pub(crate) fn train(program: &Path, amount: Amount) -> Result<Vec<Trained>, Failure> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let upstream = runtime.block_on(Upstream::start())?;
    let tokens = Tokens::new(&files::policy(0))?;
    let mut trained = Vec::new();
    for (audit, amount) in [(Audit::Off, amount), (Audit::File, amount.one_of(Amount::BESIDES))] {
        let mut gate = Gate::start(program, upstream, &tokens.key_set(), audit)?;
        gate.until(&runtime, &Ask::get("/accounts/7").bearer(&tokens.usual()?)?)?;
        trained.extend(a_day(&runtime, &mut gate, &tokens, amount)?);
        gate.stop()?;
    }
    Ok(trained)
}

fn a_day(runtime: &Runtime, gate: &mut Gate, tokens: &Tokens, amount: Amount) -> Result<Vec<Trained>, Failure> {
    let mut trained = Vec::new();
    for (number, Part { name, door, circle, count }) in day::parts(tokens, amount)?.into_iter().enumerate() {
        if number % 8 == 7 {
            gate.reload(runtime, number)?;
        }
        let started = Instant::now();
        let sent = send(gate.way(door)?, amount.lanes(), circle, count);
        let sent = runtime.block_on(async { timeout(PATIENCE, sent).await? });
        sent.map_err(|failure: Failure| format!("{name}: {failure}\n{}", gate.log()))?;
        trained.push(Trained { name, requests: count, took: started.elapsed() });
    }
    let (started, requests) = (Instant::now(), amount.of(200));
    tunnels::send(gate.address(), &tokens.usual()?, requests)?;
    trained.push(Trained { name: "WebSockets", requests, took: started.elapsed() });
    Ok(trained)
}
