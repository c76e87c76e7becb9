//! Promises of this room that take more than one of its files to keep.

mod keys;
mod properties;
mod verify;
