//! Addresses of `stepgate.yaml`: what one is, which cannot be had together, and which lead back to ourselves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::problem::{Problem, Report};
use crate::config::reader;
use crate::config::settings::{Admin, Endpoint, Listener, Upstream};
use crate::config::source::Span;
use crate::config::yaml::Node;

/// An address to listen on.
pub(crate) fn address(node: &Node, out: &mut Report) -> Option<SocketAddr> {
    let text = reader::text(node, "an address", out)?;
    let help = "write an IP address and a port, such as `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`";
    let Ok(address) = text.parse::<SocketAddr>() else {
        out.add(Problem::error("bad_address", node.span, format!("`{text}` is no address to listen on")).help(help));
        return None;
    };
    let ip = address.ip().to_canonical();
    if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        let message = format!("`{text}` is the address of many, and nobody can listen on it");
        out.add(Problem::error("bad_address", node.span, message).help(help));
        return None;
    }
    Some(address)
}

/// The listeners and the admin listener have an address each. Two that the system would not give together are refused,
/// since a listener on all addresses leaves none of them to another on the same port.
pub(crate) fn each_its_own(listeners: &[(Listener, Span)], admin: Option<&(Admin, Span)>, out: &mut Report) {
    let mut taken: Vec<(SocketAddr, Span)> = Vec::new();
    for (listener, span) in listeners {
        let address = listener.address;
        match taken.iter().find(|(other, _)| collide(*other, address)) {
            Some((other, _)) if *other == address => {
                let message = format!("two listeners have the address `{address}`");
                out.add(Problem::error("duplicate_address", *span, message));
            }
            Some((other, place)) => {
                let message =
                    format!("`{address}` cannot be had beside the listener `{other}`, which takes it already");
                let help = "give one of them another port, or keep the wider one alone";
                let problem = Problem::error("duplicate_address", *span, message).help(help);
                out.add(problem.related(*place, "it is taken here"));
            }
            None => taken.push((address, *span)),
        }
    }
    if let Some((admin, span)) = admin
        && let Some((other, place)) = taken.iter().find(|(other, _)| collide(*other, admin.address))
    {
        let (admin, by) = (admin.address, if *other == admin.address { "a listener's" } else { "taken by a listener" });
        let message = match *other == admin {
            true => format!("`{admin}` is {by} address already"),
            false => format!("`{admin}` is {by} on `{other}` already"),
        };
        let problem = Problem::error("duplicate_address", *span, message).help("give one of them another port");
        out.add(problem.related(*place, "it is taken here"));
    }
}

/// Whether the system refuses the one address while the other is taken.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    if one.port() == 0 || one.port() != other.port() {
        return false;
    }
    let scope = |address: SocketAddr| match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    };
    let (first, second) = (one.ip().to_canonical(), other.ip().to_canonical());
    if first == second {
        return scope(one) == scope(other);
    }
    // `[::]` hears IPv4 too, unless the system was told otherwise.
    let all = |ip: IpAddr, of: IpAddr| ip.is_unspecified() && (ip.is_ipv6() || of.is_ipv4());
    all(first, second) || all(second, first)
}

/// An upstream that is one of our own listeners would have the gate forward to itself, and refuse or go round in circles.
/// One that is the admin listener shows strangers what is for the operator.
pub(crate) fn never_ourselves(
    listeners: &[(Listener, Span)],
    admin: Option<&(Admin, Span)>,
    upstreams: &[(Upstream, Vec<Span>)],
    out: &mut Report,
) {
    let places = upstreams.iter().flat_map(|(upstream, spans)| {
        upstream.endpoints().zip(spans).map(move |(endpoint, span)| (upstream, endpoint, span))
    });
    for (upstream, endpoint, span) in places {
        let Endpoint::Tcp(host, port) = endpoint else { continue };
        let targets = targets(host);
        let leads_to = |address: SocketAddr| {
            address.port() == *port && targets.iter().any(|target| reaches(address.ip(), *target))
        };
        if let Some((own, _)) = listeners.iter().find(|(listener, _)| leads_to(listener.address)) {
            let message = format!(
                "the upstream `{}` is our own listener `{}`: the gate would forward to itself",
                upstream.name, own.address
            );
            let help = "name the address on which the application itself listens, or give the listener another port";
            out.add(Problem::error("forwards_to_itself", *span, message).help(help));
        }
        if let Some((admin, _)) = admin.filter(|(admin, _)| leads_to(admin.address)) {
            let message = format!(
                "the upstream `{}` is the admin listener `{}`: requests would come to it as if from this machine",
                upstream.name, admin.address
            );
            let help = "name the address on which the application itself listens";
            out.add(Problem::error("forwards_to_itself", *span, message).help(help));
        }
    }
}

/// The addresses that a connection to a host leads to, as far as that is known without asking anybody.
fn targets(host: &str) -> Vec<IpAddr> {
    let (v4, v6) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    // RFC 6761 section 6.3.
    if name == "localhost" || name.ends_with(".localhost") {
        return vec![v4, v6];
    }
    match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        // Connecting to the unspecified address is connecting to this machine.
        Ok(ip) if ip.is_unspecified() => vec![v4, v6],
        Ok(ip) => vec![ip],
        Err(_name) => Vec::new(),
    }
}

/// Whether a listener hears what is sent to an address.
fn reaches(listener: IpAddr, target: IpAddr) -> bool {
    match listener.to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => target.is_ipv4() && target.is_loopback(),
        // It hears IPv4 too, unless the system says otherwise.
        IpAddr::V6(ip) if ip.is_unspecified() => target.is_loopback(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip == target,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Of which two addresses the second cannot be had: what the system itself says, asked with a port of its choice.
    #[test]
    fn addresses_collide_as_the_system_has_it() {
        let ips = ["0.0.0.0", "127.0.0.1", "127.0.0.2", "::", "::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0"];
        let listen = |ip: &str, port: u16| TcpListener::bind((ip.parse::<IpAddr>().unwrap(), port));
        let mut asked = 0;
        for (one, other) in ips.iter().flat_map(|one| ips.iter().map(move |other| (one, other))) {
            let Ok(first) = listen(one, 0) else { continue };
            let taken = first.local_addr().unwrap();
            let together = listen(other, taken.port()).is_ok();
            drop(first);
            // Else there is no IPv6 here, or another program has the port.
            if listen(other, taken.port()).is_ok() {
                let wanted = SocketAddr::new(other.parse().unwrap(), taken.port());
                assert_eq!(collide(taken, wanted), !together, "{one} {other}");
                asked += 1;
            }
        }
        assert!(asked >= 5, "{asked} pairs could be asked for");
        let two = |one: &str, other: &str| collide(one.parse().unwrap(), other.parse().unwrap());
        assert!(!two("127.0.0.1:0", "127.0.0.1:0") && !two("0.0.0.0:80", "127.0.0.1:81"));
        assert!(!two("[fe80::1%1]:80", "[fe80::1%2]:80") && two("[fe80::1%1]:80", "[fe80::1%1]:80"));
    }
}
