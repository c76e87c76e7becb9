//! `stepgate schema`: lists the JSON Schemas, or prints one.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::output::{COULD_NOT_RUN, Failure};
use crate::config::reader::suggest;
use crate::config::schema::{ALL, Schema};

/// Arguments of `stepgate schema`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
An editor with a YAML language server completes and checks a file whose first line names its schema, as those that are
shipped do. For a policy in policies/ beside stepgate.yaml:

  stepgate schema policy > policy.schema.json
  stepgate schema config > config.schema.json
  stepgate schema test > test.schema.json")]
pub(super) struct SchemaArgs {
    /// The schema to print: policy, config, test or audit; without it, all are listed
    pub name: Option<String>,
}

/// Runs it: exit code 0, or 2 for a name that is none.
#[must_use]
pub(super) fn run(args: &SchemaArgs) -> ExitCode {
    let written = match &args.name {
        None => write!(io::stdout(), "{}", listing()),
        Some(name) => match Schema::named(name) {
            Some(schema) => write!(io::stdout(), "{}", schema.text),
            None => {
                let help = suggest(name, ALL.iter().map(|schema| schema.name));
                return Failure::could_not_run(format!("unknown schema `{name}`; {help}")).report();
            }
        },
    };
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(COULD_NOT_RUN) }
}

/// One line a schema.
fn listing() -> String {
    ALL.iter().map(|schema| format!("{:8}{}\n", schema.name, schema.about)).collect()
}
