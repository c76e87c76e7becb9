//! The admin listener's socket: bound before anything starts, on loopback alone.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};

use axum::Router;

/// A bound admin listener that does not answer yet.
#[derive(Debug)]
pub struct AdminListener {
    socket: TcpListener,
    address: SocketAddr,
}

/// Why there is no admin listener.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Others than this machine could reach it.
    #[error(
        "the admin address `{0}` is not a loopback address; nobody is asked for a credential there, so use `127.0.0.1` or `[::1]`"
    )]
    NotLoopback(SocketAddr),
    /// Something listens there already.
    #[error("the admin address `{0}` is in use by another process; stop it or choose another port")]
    InUse(SocketAddr),
    /// It cannot be bound for another reason.
    #[error("failed to listen on the admin address `{address}`: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
}

impl AdminListener {
    /// Binds the address.
    ///
    /// # Errors
    /// When it is not a loopback address, is in use or cannot be bound.
    pub fn bind(address: SocketAddr) -> Result<Self, AdminError> {
        if !address.ip().is_loopback() {
            return Err(AdminError::NotLoopback(address));
        }
        let bind = || -> io::Result<Self> {
            let socket = TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok(Self { address: socket.local_addr()?, socket })
        };
        bind().map_err(|error| {
            if error.kind() == io::ErrorKind::AddrInUse {
                AdminError::InUse(address)
            } else {
                AdminError::Bind { address, error }
            }
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` is done. To be called within a runtime.
    ///
    /// # Errors
    /// When the runtime cannot take the socket.
    pub async fn serve(self, router: Router, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.socket)?;
        axum::serve(listener, router).with_graceful_shutdown(shutdown).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_can_reach_it_and_a_busy_port_is_named() {
        let error = AdminListener::bind("0.0.0.0:0".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("`0.0.0.0:0` is not a loopback address"), "{error}");
        let first = AdminListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = AdminListener::bind(first.address()).unwrap_err();
        assert!(matches!(error, AdminError::InUse(address) if address == first.address()), "{error}");
    }
}
