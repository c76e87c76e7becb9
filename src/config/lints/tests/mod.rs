//! What the table says holds, and what is said where.

mod onward;
mod said;
mod table;
mod work;

use crate::config::{Problem, SourceFile, load_policy, load_settings};

fn found(text: &str, settings: bool) -> Vec<Problem> {
    let file = SourceFile { name: "example.yaml".into(), folder: ".".into(), text: text.into() };
    let loaded = match settings {
        true => load_settings(file).map(|loaded| loaded.lints),
        false => load_policy(vec![file]).map(|loaded| loaded.lints),
    };
    loaded.unwrap_or_else(|rejected| panic!("{}", rejected.lines().join("\n")))
}
