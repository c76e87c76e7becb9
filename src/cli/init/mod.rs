//! `stepgate init`: a first policy for an issuer, with tests that it passes, to be read and changed.

mod command;
mod draft;
mod recognise;
mod sample;

pub(super) use command::{InitArgs, run};
