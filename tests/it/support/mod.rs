//! What the tests stand on: keys and tokens made here, an issuer's key server, and a world of gate and upstream.

mod idp;
mod keys;
mod token;
mod world;

pub(crate) use crate::shared::gate::Gate;
pub(crate) use crate::shared::http::{Request, Response, Wire};
pub(crate) use crate::shared::upstream::{Answer, Upstream};
pub(crate) use crate::shared::{eventually, free_port};
pub(crate) use idp::{Idp, Mood};
pub(crate) use keys::{Alg, Key, base64_url, jwks};
pub(crate) use token::{Token, at_hash, now};
pub(crate) use world::{POLICY, World};
