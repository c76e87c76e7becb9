//! "May this go on?" Who looks after a response or an upload that is still under way when what let it in may hold no more.
//!
//! `watch` is what a stream has of it: told once that it is over, it ends as its protocol has things end. `overseer` looks at
//! all streams of a worker with each tick of its coarse clock, at those whose moment has come, and at all when another policy
//! was put in force. `standing` holds what let a stream in and has it judged anew, by the one decision function; `renewals` is
//! what later requests of the same session brought. What is answered at once is in no list and in nobody's way. Called by
//! `handler`, by the bodies both ways and by the worker's clock. Decides nothing by itself.

mod overseer;
mod renewals;
mod standing;
mod watch;

pub(in crate::proxy) use overseer::Overseer;
pub(in crate::proxy) use renewals::Renewals;
pub(in crate::proxy) use standing::{Case, Quiet};
pub(in crate::proxy) use watch::{Side, Watching, unless_ended};
