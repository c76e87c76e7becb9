//! The command line: arguments in, exit code out. One file a command; holds no rules of its own.

mod catalogue;
mod check;
mod demo;
mod descriptors;
mod explain;
mod files;
mod gate;
mod healthcheck;
mod named;
mod output;
mod parts;
mod profiles;
mod reasons;
mod reload;
pub mod render;
mod run;
mod schema;
mod secret;
mod signals;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use output::Failure;

/// Stepgate enforces how a user signed in: it stands in front of an application and lets a request through only when the
/// sign-in behind its token is as strong, and as fresh, as the route's policy asks.
#[derive(Debug, Parser)]
#[command(name = "stepgate", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  it worked; nothing was found
  1  problems were found in what was read or asked
  2  it could not run: a wrong argument, a missing file, a busy port

Start with `stepgate demo`; it needs no set-up.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gate
    Run(run::Arguments),
    /// Run everything on this machine, in one process, and print requests to try
    Demo(demo::Arguments),
    /// Check policies: every problem at once, with its place and a remedy
    Check(check::CheckArgs),
    /// Judge the cases of *.test.yaml by the functions that judge requests
    Test(test::TestArgs),
    /// Tell step by step what would become of a request with a token, why, and what would have been enough
    Explain(Box<explain::ExplainArgs>),
    /// List the shipped profiles, or print one
    Profiles(profiles::ProfilesArgs),
    /// List the reasons for which requests are refused, or tell all about one
    Reasons(reasons::ReasonsArgs),
    /// List the JSON Schemas of the files, or print one; for editors
    Schema(schema::SchemaArgs),
    /// Ask a running gate whether it is ready; for containers without a shell
    Healthcheck(healthcheck::Arguments),
}

/// Runs the command that the process was called with.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are asked for, the rest is a mistake; clap knows which stream each belongs to.
            let code = if error.use_stderr() { output::COULD_NOT_RUN } else { 0 };
            return error.print().map_or(ExitCode::from(output::COULD_NOT_RUN), |()| ExitCode::from(code));
        }
    };
    let ended = |result: Result<(), Failure>| result.map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS);
    match arguments.command {
        Command::Run(arguments) => ended(run::run(&arguments)),
        Command::Demo(arguments) => ended(demo::run(&arguments)),
        Command::Check(arguments) => check::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Profiles(arguments) => profiles::run(&arguments),
        Command::Reasons(arguments) => reasons::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Healthcheck(arguments) => ended(healthcheck::run(&arguments)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent_and_every_command_says_what_it_does() {
        let mut command = Arguments::command();
        command.build();
        command.clone().debug_assert();
        for sub in command.get_subcommands() {
            assert!(sub.get_about().is_some(), "{}", sub.get_name());
            for argument in sub.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", sub.get_name(), argument.get_id());
            }
        }
    }
}
