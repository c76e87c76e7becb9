//! "YAML text in, one policy or every reason why not out."
//!
//! The only room that knows the files' shape. Opens no file and reads no environment: `cli` hands it texts.
//! [`load_policy`] takes a folder's files together; each file of this room reads one part of them.

pub mod addresses;
pub mod admin;
mod assertion;
pub mod audit;
pub mod cases;
pub mod catalogue;
pub mod claims_file;
pub mod classes;
pub mod exceptions;
pub mod expanded;
pub mod expression;
pub mod fetching;
pub mod hash;
pub mod health;
pub mod hints;
pub mod issuer;
pub mod keep;
pub mod keys;
pub mod kinds;
pub mod ladders;
pub mod layers;
pub mod limits;
pub mod lints;
pub mod listeners;
pub mod log_filter;
pub mod mapping;
pub mod matches;
pub mod moment;
pub mod on_deny;
pub mod onward;
pub mod peers;
mod places;
pub mod policy;
mod preflight;
pub mod problem;
pub mod profile;
pub mod proofs;
pub mod reader;
pub mod requirement;
pub mod routes;
pub mod schema;
pub mod secrets;
pub mod section;
pub mod settings;
pub mod source;
pub mod stepgate;
pub mod streams;
pub mod take;
mod unique;
pub mod units;
mod upgrades;
pub mod upstreams;
pub mod url;
pub mod write;
pub mod yaml;

pub use cases::{Tests, load_tests};
pub use layers::InUse;
#[cfg(test)]
pub use policy::load_policy_without_lints;
pub use policy::{IssuerKeys, Loaded, load_policy, load_policy_at, load_policy_over};
pub use problem::{Problem, Rejected, Report, Severity};
pub use profile::Profile;
pub use settings::Settings;
pub use source::{Excerpt, FileId, NamedFile, Position, Purpose, SourceFile, Sources, Span};
pub use stepgate::{LoadedSettings, is_settings, load_settings};

#[cfg(test)]
mod tests;
