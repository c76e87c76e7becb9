//! `trusted_peers` of a listener: whose word about other clients is taken. Never everybody's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::problem::{Problem, Report};
use crate::config::reader;
use crate::config::source::Span;
use crate::config::yaml::Node;

const HELP: &str = "name the addresses of the proxies in front of the gate, such as `10.0.0.7` or `10.1.0.0/16`";

/// Reads the list. IPv4 addresses written as IPv6 ones are the IPv4 addresses that they are.
pub(crate) fn trusted(node: &Node, out: &mut Report) -> Option<Box<[IpNet]>> {
    let mut found: Vec<(IpNet, Span)> = Vec::new();
    let mut sound = true;
    for item in reader::list(node, "a list of addresses and networks", out)? {
        let Some(net) = peer(item, out) else {
            sound = false;
            continue;
        };
        match found.iter().find(|(other, _)| other.contains(&net) || net.contains(other)) {
            Some((other, _)) if *other == net => {
                let message = format!("`{net}` stands twice in this list");
                out.add(Problem::error("duplicate_value", item.span, message));
            }
            Some((other, place)) => {
                let (inner, outer) = if other.contains(&net) { (net, *other) } else { (*other, net) };
                let message = format!("`{inner}` is a part of `{outer}`, which is trusted as a whole");
                let problem = Problem::lint("covered_peer", item.span, message);
                out.add(problem.help("take one of them out").related(*place, "the other one"));
            }
            None => {}
        }
        found.push((net, item.span));
    }
    let nets: Vec<IpNet> = found.iter().map(|(net, _)| *net).collect();
    if let Some(whom) = nearly_everybody(&nets) {
        let everybody = |problem: String, span: Span| Problem::error("trusts_everybody", span, problem).help(HELP);
        let all: Vec<&(IpNet, Span)> = found.iter().filter(|(net, _)| net.prefix_len() == 0).collect();
        for (net, span) in &all {
            let message = format!("`{net}` in `trusted_peers` is everybody: any client could say that it is another");
            out.add(everybody(message, *span));
        }
        if all.is_empty() {
            out.add(everybody(format!("`trusted_peers` holds half of all {whom} addresses or more"), node.span));
        }
        return None;
    }
    for (net, span) in found.iter().filter(|(net, _)| is_wide(net)) {
        let message = format!("`{net}` is wider than any operator's own network");
        out.add(Problem::lint("wide_peers", *span, message).help(HELP));
    }
    sound.then(|| nets.into())
}

fn peer(node: &Node, out: &mut Report) -> Option<IpNet> {
    let text = reader::text(node, "an address or a network", out)?;
    let Ok(net) = text.parse::<IpNet>().or_else(|_no_net| text.parse::<IpAddr>().map(IpNet::from)) else {
        let message = format!("`{text}` is neither an address nor a network");
        out.add(Problem::error("bad_peer", node.span, message).help(HELP));
        return None;
    };
    // No network is offered to whoever wrote all of them: the list is refused.
    if net.trunc() != net && net.prefix_len() > 0 {
        let message = format!("`{text}` has more bits than its {} of the network", net.prefix_len());
        let help = format!("write `{}` for the network, or `{}` for the address alone", net.trunc(), net.addr());
        out.add(Problem::error("bad_peer", node.span, message).help(help));
        return None;
    }
    let net = mapped(net.trunc());
    if net.addr().is_unspecified() && net.prefix_len() == net.max_prefix_len() {
        let message = format!("`{text}` is the address of nobody");
        out.add(Problem::error("bad_peer", node.span, message).help(HELP));
        return None;
    }
    Some(net)
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
fn mapped(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let short = v6.prefix_len().checked_sub(96);
    let v4 = v6.addr().to_ipv4_mapped().zip(short).and_then(|(ip, length)| Ipv4Net::new(ip, length).ok());
    v4.map_or(net, IpNet::V4)
}

fn is_wide(net: &IpNet) -> bool {
    match net {
        IpNet::V4(net) => net.prefix_len() < 8,
        IpNet::V6(net) => {
            net.prefix_len() < 16 && net.addr().segments().first().is_some_and(|first| first & 0xfe00 != 0xfc00)
        }
    }
}

/// Whose addresses are trusted so widely, taken together, that the list means nothing. Of IPv6, those count that are in use
/// (`2000::/3`).
fn nearly_everybody(nets: &[IpNet]) -> Option<&'static str> {
    let v4: Vec<Ipv4Net> =
        nets.iter().filter_map(|net| if let IpNet::V4(net) = net { Some(*net) } else { None }).collect();
    let v6: Vec<Ipv6Net> =
        nets.iter().filter_map(|net| if let IpNet::V6(net) = net { Some(*net) } else { None }).collect();
    let size = |bits: u8, prefix: u8| 1u128.checked_shl(u32::from(bits.saturating_sub(prefix))).unwrap_or(u128::MAX);
    let in_use = Ipv6Net::new(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3).ok();
    let of_v6 = |net: &Ipv6Net| match in_use {
        Some(in_use) if net.contains(&in_use) => size(128, 3),
        Some(in_use) if in_use.contains(net) => size(128, net.prefix_len()),
        Some(_) | None => 0,
    };
    // Merged first, so that what two of them hold counts once.
    let v4 = Ipv4Net::aggregate(&v4).iter().fold(0u128, |sum, net| sum.saturating_add(size(32, net.prefix_len())));
    let v6 = Ipv6Net::aggregate(&v6).iter().fold(0u128, |sum, net| sum.saturating_add(of_v6(net)));
    match (v4 >= size(32, 1), v6 >= size(128, 4)) {
        (true, _) => Some("IPv4"),
        (false, true) => Some("IPv6"),
        (false, false) => None,
    }
}

/// Whether one of these peers can be the other end of a connection to a listener.
pub(crate) fn can_reach(nets: &[IpNet], listener: SocketAddr) -> bool {
    let loopback = |net: &IpNet| {
        let v4 = Ipv4Net::new(Ipv4Addr::new(127, 0, 0, 0), 8).is_ok_and(|ours| match net {
            IpNet::V4(net) => ours.contains(net) || net.contains(&ours),
            IpNet::V6(_) => false,
        });
        v4 || net.contains(&IpAddr::from(Ipv6Addr::LOCALHOST))
    };
    match listener.ip().to_canonical() {
        ip if ip.is_loopback() => nets.iter().any(loopback),
        IpAddr::V4(_) => nets.iter().any(|net| matches!(net, IpNet::V4(_))),
        // It hears IPv4 too.
        IpAddr::V6(ip) if ip.is_unspecified() => true,
        IpAddr::V6(_) => nets.iter().any(|net| matches!(net, IpNet::V6(_))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn half_of_the_world_is_everybody_however_it_is_written() {
        for everybody in [
            &["0.0.0.0/1"] as &[&str],
            &["0.0.0.0/2", "128.0.0.0/2"],
            &["0.0.0.0/3", "32.0.0.0/3", "64.0.0.0/3", "96.0.0.0/3", "64.0.0.0/2"],
            &["::/1"],
            &["2000::/3"],
            &["2000::/4"],
            &["2000::/5", "3000::/5"],
        ] {
            assert!(nearly_everybody(&nets(everybody)).is_some(), "{everybody:?}");
        }
        for few in [
            &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "::1/128"] as &[&str],
            &["0.0.0.0/2", "0.0.0.0/3", "64.0.0.0/3"],
            &["8000::/1"],
            &["2000::/5", "2000::/6"],
        ] {
            assert_eq!(nearly_everybody(&nets(few)), None, "{few:?}");
        }
    }

    #[test]
    fn an_ipv4_network_in_ipv6_clothes_is_an_ipv4_network() {
        for (written, is) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.7/128", "10.0.0.7/32"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:0.0.0.0/95", "::fffe:0:0/95"),
        ] {
            let net: IpNet = written.parse().unwrap();
            assert_eq!(mapped(net.trunc()).to_string(), is, "{written}");
        }
    }

    #[test]
    fn a_peer_that_can_never_connect_is_noticed() {
        let reach = |nets_: &[&str], listener: &str| can_reach(&nets(nets_), listener.parse().unwrap());
        assert!(!reach(&["10.0.0.0/8"], "127.0.0.1:80") && reach(&["10.0.0.0/8", "127.0.0.1/32"], "127.0.0.1:80"));
        assert!(!reach(&["10.0.0.0/8"], "[::1]:80") && reach(&["::1/128"], "[::1]:80"));
        assert!(!reach(&["2001:db8::/32"], "0.0.0.0:80") && reach(&["10.0.0.0/8"], "0.0.0.0:80"));
        assert!(reach(&["10.0.0.0/8"], "[::]:80") && !reach(&["10.0.0.0/8"], "[2001:db8::1]:80"));
    }
}
