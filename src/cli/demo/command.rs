//! The command: binds, starts what belongs to the demo, and runs the gate.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use tokio::runtime::Runtime;

use crate::cli::demo::pasted::{Pasted, answer_for_all};
use crate::cli::demo::stops::{self, Found};
use crate::cli::gate;
use crate::cli::output::{Failure, say};
use crate::cli::parts::{self, Compiled};
use crate::clock;
use crate::config::{Settings, SourceFile, log_filter};
use crate::demo::setting::{POLICY_NAME, issuer, policy, settings, usual};
use crate::demo::{Mint, Ports, Reserved, Story, Tour, Usual, echo, idp};

/// What `demo` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts the gate, a small identity provider that answers with whatever token is asked for, an application that echoes,
and the admin listener, all on 127.0.0.1, and prints requests to try. Nothing is written to disk.
With `--policies DIR` the gate is guarded by the policy in that folder, as it stands: the demo's provider then answers
for every issuer that it names, and every upstream that it names is the demo's application. Requests to try are those
of the *.test.yaml beside it. Nothing is fetched from outside.
A port of 0 is any that is free. Ctrl-C ends it.")]
pub(in crate::cli) struct Arguments {
    /// A policy of your own in place of the demo's
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
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

/// Starts everything and prints what there is to try.
pub(in crate::cli) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { policies, gate_port: gate, idp_port: idp, echo_port: echo, admin_port: admin, log } = arguments;
    log_filter::check(log).map_err(|mistake| {
        Failure::could_not_run(format!("`--log {log}` is no log filter: {mistake}; {}", log_filter::HELP))
    })?;
    let given = [("--gate-port", *gate), ("--idp-port", *idp), ("--echo-port", *echo), ("--admin-port", *admin)];
    if let Some((one, other, port)) = same_port(&given) {
        let way_out = "give each its own, or 0 for any that is free";
        return Err(Failure::could_not_run(format!("`{one}` and `{other}` are both {port}; {way_out}")));
    }
    let pasted = policies.as_deref().map(Pasted::read).transpose()?;
    let ports = Ports { gate: *gate, idp: *idp, echo: *echo, admin: *admin };
    let reserved = ports.reserve().map_err(Failure::could_not_run)?;
    match pasted {
        Some(pasted) => with_theirs(&pasted, reserved, log),
        None => with_ours(reserved, log),
    }
}

/// The demo with the policy that is shipped for it.
fn with_ours(reserved: Reserved, log: &str) -> Result<(), Failure> {
    let settings = settings(&reserved, log);
    let text = policy(reserved.idp_address);
    let file = SourceFile { name: POLICY_NAME.to_owned(), folder: PathBuf::from("."), text };
    let compiled = parts::policy(vec![file], &settings)?;
    let mint = Mint::new(&compiled.policy, usual()).map_err(Failure::could_not_run)?;
    let own = Some(issuer(reserved.idp_address));
    serve(&settings, compiled, reserved, mint, own, |gate, idp, admin| Story::new(gate, idp, admin).to_string())
}

/// The demo with an operator's own policy.
fn with_theirs(pasted: &Pasted, reserved: Reserved, log: &str) -> Result<(), Failure> {
    let mut settings = settings(&reserved, log);
    settings.upstreams = pasted.upstreams(reserved.echo_address)?;
    let mut compiled = parts::policy(pasted.files.clone(), &settings)?;
    answer_for_all(&mut compiled, reserved.idp_address);
    let mut mint = Mint::new(&compiled.policy, Usual::default()).map_err(Failure::could_not_run)?;
    let tests = pasted.tests(&compiled.policy)?;
    tests.iter().for_each(|tests| mint.learn(tests));
    let Found { stops, unseen, left_out } = stops::find(&compiled.policy, &tests, &mint, clock::now());
    let issuers = Tour::issuers(&mint);
    let from = pasted.folder.display().to_string();
    serve(&settings, compiled, reserved, mint, None, |gate, idp, admin| {
        Tour { from, gate, idp, admin, issuers, stops, unseen, left_out }.to_string()
    })
}

/// Runs the provider, the application and the gate, and says what there is to try. `own`: the provider's own name.
fn serve(
    settings: &Settings,
    compiled: Compiled,
    reserved: Reserved,
    mint: Mint,
    own: Option<String>,
    tell: impl FnOnce(SocketAddr, SocketAddr, SocketAddr) -> String,
) -> Result<(), Failure> {
    let control = gate::control_runtime()?;
    answer(&control, reserved.idp, idp::router(Arc::new(mint), own))?;
    answer(&control, reserved.echo, echo::router())?;
    gate::run(settings, compiled, None, &control, |addresses| {
        let gate = addresses.gate.first().copied().unwrap_or(reserved.gate);
        say(&tell(gate, reserved.idp_address, addresses.admin.unwrap_or(reserved.admin)))
    })
}

/// Two flags that ask for one port.
fn same_port(given: &[(&'static str, u16)]) -> Option<(&'static str, &'static str, u16)> {
    let fixed = || given.iter().filter(|(_, port)| *port != 0);
    fixed().enumerate().find_map(|(place, (one, port))| {
        let other = fixed().skip(place.saturating_add(1)).find(|(_, other)| other == port);
        other.map(|(other, _)| (*one, *other, *port))
    })
}

/// Answers on a bound socket for as long as the process lives.
fn answer(control: &Runtime, socket: TcpListener, router: Router) -> Result<(), Failure> {
    let _within = control.enter();
    let listener = tokio::net::TcpListener::from_std(socket).map_err(Failure::could_not_run)?;
    control.spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(gate_port: u16, idp_port: u16, log: &str) -> String {
        let arguments =
            Arguments { policies: None, gate_port, idp_port, echo_port: 0, admin_port: 0, log: log.to_owned() };
        match run(&arguments) {
            Err(Failure::CouldNotRun(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_equal_ports_are_said_by_their_flags() {
        let reason = refused(40001, 40001, "warn");
        assert!(reason.contains("`--gate-port` and `--idp-port` are both 40001"), "{reason}");
        assert_eq!(same_port(&[("a", 0), ("b", 0), ("c", 1)]), None, "0 is any");
    }

    #[test]
    fn a_filter_that_is_none_is_refused_before_anything_starts() {
        let reason = refused(0, 0, "loud");
        assert!(reason.contains("`loud` is no level") && reason.contains("`trace`"), "{reason}");
    }

    #[test]
    fn what_the_check_of_filters_lets_through_the_logs_take() {
        for filter in ["off", "info", "info,stepgate=debug", "stepgate::jwks=trace,warn", "warn,hyper=off"] {
            assert_eq!(log_filter::check(filter), Ok(()));
            assert!(tracing_subscriber::EnvFilter::try_new(filter).is_ok(), "{filter}");
        }
    }
}
