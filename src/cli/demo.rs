//! `stepgate demo`: everything on this machine, in one process.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use tokio::runtime::Runtime;

use crate::cli::gate;
use crate::cli::output::{Failure, say};
use crate::cli::parts;
use crate::config::SourceFile;
use crate::demo::mint::Mint;
use crate::demo::setting::{POLICY_NAME, issuer, policy, settings};
use crate::demo::{Ports, Story, echo, idp};

/// What `demo` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts the gate, a small identity provider that answers with whatever token is asked for, an application that echoes,
and the admin listener, all on 127.0.0.1, and prints requests to try. Nothing is written to disk.
A port of 0 is any that is free. Ctrl-C ends it.")]
pub(super) struct Arguments {
    /// The gate's port
    #[arg(long, value_name = "PORT", default_value_t = Ports::default().gate)]
    gate_port: u16,
    /// The identity provider's port
    #[arg(long, value_name = "PORT", default_value_t = Ports::default().idp)]
    idp_port: u16,
    /// The application's port
    #[arg(long, value_name = "PORT", default_value_t = Ports::default().echo)]
    echo_port: u16,
    /// The admin listener's port
    #[arg(long, value_name = "PORT", default_value_t = Ports::default().admin)]
    admin_port: u16,
    /// What is logged on standard error: error, warn, info, debug or a filter
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log: String,
}

/// Starts everything and prints the story.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { gate_port: gate, idp_port: idp, echo_port: echo, admin_port: admin, log } = arguments;
    let ports = Ports { gate: *gate, idp: *idp, echo: *echo, admin: *admin };
    let reserved = ports.reserve().map_err(Failure::could_not_run)?;
    let settings = settings(&reserved, log);
    let file =
        SourceFile { name: POLICY_NAME.to_owned(), folder: PathBuf::from("."), text: policy(reserved.idp_address) };
    let compiled = parts::policy(vec![file], &settings)?;
    let mint = Arc::new(Mint::new(issuer(reserved.idp_address)).map_err(Failure::could_not_run)?);
    let control = gate::control_runtime()?;
    answer(&control, reserved.idp, idp::router(mint))?;
    answer(&control, reserved.echo, echo::router())?;
    gate::run(&settings, compiled, &control, |addresses| {
        let gate = addresses.gate.first().copied().unwrap_or(reserved.gate);
        say(&Story::new(gate, reserved.idp_address, addresses.admin.unwrap_or(reserved.admin)).to_string())
    })
}

/// Answers on a bound socket for as long as the process lives.
fn answer(control: &Runtime, socket: TcpListener, router: Router) -> Result<(), Failure> {
    let _within = control.enter();
    let listener = tokio::net::TcpListener::from_std(socket).map_err(Failure::could_not_run)?;
    control.spawn(async move { axum::serve(listener, router).await });
    Ok(())
}
