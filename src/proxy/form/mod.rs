//! A posted form: read whole for the token in it, and kept as it came for the application (OAuth 2.0 Form Post Response Mode).
//!
//! Read only where the route names a parameter of a form, and within limits of size and time. What one application could read
//! otherwise than we do is refused: which token it takes would not be the one that was judged.

mod parameters;
mod read;

pub(super) use parameters::Form;
pub(super) use read::{is_posted, read, whole};
