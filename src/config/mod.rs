//! "YAML text in, one policy or every reason why not out."
//!
//! The only room that knows the files' shape. Opens no file and reads no environment: `cli` hands it texts.

pub mod problem;
pub mod settings;
pub mod source;
pub mod yaml;

pub use problem::{Problem, Rejected, Report, Severity};
pub use settings::Settings;
pub use source::{FileId, Position, SourceFile, Sources, Span};
