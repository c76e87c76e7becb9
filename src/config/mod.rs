//! "YAML text in, one policy or every reason why not out."
//!
//! The only room that knows the files' shape. Opens no file and reads no environment: `cli` hands it texts.

pub mod settings;

pub use settings::Settings;
