//! The demo's sockets: all bound before anything starts, each port changeable by its own flag.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// The ports that are asked for; 0 is any that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The gate's.
    pub gate: u16,
    /// The identity provider's.
    pub idp: u16,
    /// The application's.
    pub echo: u16,
    /// The admin listener's.
    pub admin: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { gate: 8080, idp: 8081, echo: 8082, admin: 9901 }
    }
}

/// Why the demo does not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A port is taken.
    #[error(
        "port {port} ({what}) is in use by another process; choose another with `{flag} PORT`, or `{flag} 0` for any"
    )]
    Busy {
        /// The port.
        port: u16,
        /// What it was for.
        what: &'static str,
        /// The flag that changes it.
        flag: &'static str,
    },
    /// A port cannot be had for another reason.
    #[error("failed to listen on port {port} ({what}): {error}; another can be chosen with `{flag} PORT`")]
    Bind {
        /// The port.
        port: u16,
        /// What it was for.
        what: &'static str,
        /// The flag that changes it.
        flag: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// No key could be made.
    #[error("failed to make a signing key for the demo's identity provider")]
    Key,
}

/// The sockets and addresses of one demo.
#[derive(Debug)]
pub struct Reserved {
    /// The gate's address; the gate binds it itself.
    pub gate: SocketAddr,
    /// The identity provider's socket.
    pub idp: TcpListener,
    /// Its address.
    pub idp_address: SocketAddr,
    /// The application's socket.
    pub echo: TcpListener,
    /// Its address.
    pub echo_address: SocketAddr,
    /// The admin listener's address; it is bound by the admin room.
    pub admin: SocketAddr,
}

impl Ports {
    /// Binds what the demo itself serves, and finds out whether the gate and the admin listener can have their ports.
    ///
    /// # Errors
    /// For the first port that cannot be had.
    pub fn reserve(self) -> Result<Reserved, DemoError> {
        let gate = bind(self.gate, "the gate", "--gate-port")?;
        let idp = bind(self.idp, "the identity provider", "--idp-port")?;
        let echo = bind(self.echo, "the application", "--echo-port")?;
        let admin = bind(self.admin, "the admin listener", "--admin-port")?;
        // The gate and the admin listener bind for themselves, with options of their own. Until here all four were held
        // together, so that no two got the same free port.
        Ok(Reserved {
            gate: gate.1,
            idp: idp.0,
            idp_address: idp.1,
            echo: echo.0,
            echo_address: echo.1,
            admin: admin.1,
        })
    }
}

fn bind(port: u16, what: &'static str, flag: &'static str) -> Result<(TcpListener, SocketAddr), DemoError> {
    let bind = || -> io::Result<_> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok((socket, address))
    };
    bind().map_err(|error| {
        if error.kind() == io::ErrorKind::AddrInUse {
            DemoError::Busy { port, what, flag }
        } else {
            DemoError::Bind { port, what, flag, error }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_named_with_the_flag_that_changes_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let free = Ports { gate: 0, idp: 0, echo: 0, admin: 0 };
        for (ports, flag) in [
            (Ports { gate: port, ..free }, "--gate-port"),
            (Ports { idp: port, ..free }, "--idp-port"),
            (Ports { echo: port, ..free }, "--echo-port"),
            (Ports { admin: port, ..free }, "--admin-port"),
        ] {
            let error = ports.reserve().unwrap_err().to_string();
            assert!(error.contains(&format!("port {port} ")) && error.contains(flag), "{error}");
        }
        let reserved = free.reserve().unwrap();
        let ports = [reserved.gate, reserved.idp_address, reserved.echo_address, reserved.admin].map(|a| a.port());
        assert!(ports.iter().all(|port| *port != 0));
    }
}
