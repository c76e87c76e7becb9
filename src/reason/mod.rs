//! Why a request was refused: a closed list of stable codes, and what there is to say of each to an operator.
//!
//! A leaf of the core: every room may name a reason. What the client is answered is not here; `proxy::respond` picks it.

pub mod code;
pub mod guide;
pub mod hints;

pub use code::Reason;
pub use guide::{Guide, NewSignIn};
pub use hints::Hints;
