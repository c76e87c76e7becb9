//! The addresses that clients connect to: taken before anything else starts, so that a busy one is a clear error.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::config::settings::Listener;

/// How many connections may wait to be accepted on one socket.
const BACKLOG: i32 = 1024;
/// No more than these are found waiting when a drain begins.
pub(in crate::proxy) const MOST_WAITING: usize = 4096;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody listens there.
    #[error("{0} is already in use by another program")]
    InUse(SocketAddr),
    /// The system forbids it.
    #[error("not allowed to listen on {0}; ports below 1024 need a privilege (on Linux: CAP_NET_BIND_SERVICE)")]
    Forbidden(SocketAddr),
    /// The address is not one of this machine.
    #[error("{0} is not an address of this machine")]
    NotOurs(SocketAddr),
    /// Anything else.
    #[error("failed to listen on {address}: {cause}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
}

impl BindError {
    fn new(address: SocketAddr, cause: io::Error) -> Self {
        let kind = cause.kind();
        if kind == io::ErrorKind::AddrInUse {
            Self::InUse(address)
        } else if kind == io::ErrorKind::PermissionDenied {
            Self::Forbidden(address)
        } else if kind == io::ErrorKind::AddrNotAvailable {
            Self::NotOurs(address)
        } else {
            Self::Other { address, cause }
        }
    }
}

/// Listening sockets: for each worker one for each listener, so that the kernel spreads connections over the workers.
#[derive(Debug)]
pub struct Bound {
    pub(in crate::proxy) workers: Vec<Vec<TcpListener>>,
    addresses: Vec<SocketAddr>,
}

impl Bound {
    /// The addresses, in the order of the listeners; where port 0 was asked for, with the port that was given.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// Takes the listeners' addresses for so many workers. Connections wait from here on, until [`crate::proxy::serve`].
///
/// # Errors
/// The first address that cannot be had.
pub fn bind(listeners: &[Listener], workers: usize) -> Result<Bound, BindError> {
    let workers = workers.max(1);
    let mut bound = Bound { workers: (0..workers).map(|_| Vec::new()).collect(), addresses: Vec::new() };
    for Listener { address, .. } in listeners {
        let fail = |cause| BindError::new(*address, cause);
        if address.port() != 0 {
            // Sockets that share a port would be given out a second time, to a second gate too: so ask once without sharing.
            drop(listen(*address, false).map_err(fail)?);
        }
        let mut taken = *address;
        for sockets in &mut bound.workers {
            let socket = listen(taken, true).map_err(fail)?;
            taken = socket.local_addr().map_err(fail)?;
            sockets.push(socket);
        }
        bound.addresses.push(taken);
    }
    Ok(bound)
}

fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    // Those who are connected inherit it: of a machine that is gone nobody says so, and a WebSocket has no limit for silence.
    let _unsupported = socket.set_tcp_keepalive(&keepalive());
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Finds out within a minute or two that a silent client's machine is gone.
fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10)).with_retries(4)
}

/// From now on connections are not begun on this socket; those that wait can still be accepted. A client that is turned
/// down asks again after a second, and then finds the socket closed or another gate behind the same address.
pub(in crate::proxy) fn take_no_more(socket: &TcpListener) {
    #[cfg(target_os = "linux")]
    {
        use socket2::{SockFilter, SockRef};
        // Drops what has SYN among its TCP flags: load byte 13; if bit 2 is set, take nothing; else take all.
        let no_syn = [
            SockFilter::new(0x30, 0, 0, 13),
            SockFilter::new(0x45, 0, 1, 2),
            SockFilter::new(0x06, 0, 0, 0),
            SockFilter::new(0x06, 0, 0, u32::MAX),
        ];
        // Where that is not allowed, a connection may be lost that is made in the very moment of closing.
        let _best_effort = SockRef::from(socket).attach_filter(&no_syn);
    }
    #[cfg(not(target_os = "linux"))]
    let _only_there = socket;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(address: &str) -> Result<Bound, BindError> {
        bind(&[Listener::plain(address.parse().unwrap())], 2)
    }

    #[test]
    fn a_busy_port_is_a_clear_error_even_between_two_gates() {
        let first = on("127.0.0.1:0").unwrap();
        let address = first.addresses()[0];
        let error = on(&address.to_string()).unwrap_err();
        assert_eq!(error.to_string(), format!("{address} is already in use by another program"));
        drop(first);
        assert_eq!(on(&address.to_string()).unwrap().addresses(), [address], "free again at once");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_socket_that_takes_no_more_still_gives_what_waits_and_begins_nothing() {
        use std::net::TcpStream;
        use std::time::Duration;
        let mut bound = on("127.0.0.1:0").unwrap();
        let (address, socket) = (bound.addresses()[0], bound.workers.remove(0).remove(0));
        bound.workers.clear();
        let waits = TcpStream::connect(address).unwrap();
        take_no_more(&socket);
        let error = TcpStream::connect_timeout(&address, Duration::from_millis(300)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let (_, peer) = socket.accept().unwrap();
        assert_eq!(peer, waits.local_addr().unwrap());
        assert_eq!(socket.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn those_who_are_connected_are_asked_whether_they_are_still_there_when_they_are_silent() {
        use socket2::SockRef;
        let mut bound = on("127.0.0.1:0").unwrap();
        let (address, socket) = (bound.addresses()[0], bound.workers.remove(0).remove(0));
        bound.workers.clear();
        let _client = std::net::TcpStream::connect(address).unwrap();
        let (accepted, _) = socket.accept().unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(accepted.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
    }

    #[test]
    fn an_address_of_another_machine_is_a_clear_error() {
        let error = on("192.0.2.1:8443").unwrap_err();
        assert_eq!(error.to_string(), "192.0.2.1:8443 is not an address of this machine");
    }
}
