//! A refusal in, a response out: the only room that picks a status.
//!
//! [`face`] says what a refusal looks like from outside, [`reader`] who reads it, and so whether it is put as a problem
//! document, as a page, as a way to sign in or as a gRPC status; [`refuse`] puts it. The challenge says what would be enough and no more (RFC
//! 6750 section 3, RFC 9470 section 3); what is written beside it says no more than the challenge, in whatever form. What was
//! wrong in detail goes to the operator, through the record.

mod accept;
mod face;
mod grpc;
mod page;
mod problem;
mod reader;
mod redirect;
mod refuse;
#[cfg(test)]
mod tests;
mod unreadable;

pub(crate) use face::{Told, told};
pub(super) use face::{grpc_status, status};
pub(crate) use grpc::GrpcStatus;
pub(super) use reader::{Asked, Reader};
pub(super) use refuse::{Context, asks_what_is_supported, refuse, status_for};
pub(super) use unreadable::{refuse_unreadable, unreadable_status};
