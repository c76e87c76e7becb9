//! Whose word is taken: the networks that a listener names as `trusted_peers`.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether an address is one of these. An IPv4 address is one and the same, however it is written.
pub(in crate::proxy) fn is_trusted(peers: &[IpNet], address: IpAddr) -> bool {
    const MAPPED: u8 = 96;
    let address = address.to_canonical();
    peers.iter().any(|net| match (net, address) {
        // `::ffff:10.0.0.0/104` means 10.0.0.0/8; a wider IPv6 network means no IPv4 address.
        (IpNet::V6(net), IpAddr::V4(address)) => net.prefix_len() >= MAPPED && net.contains(&address.to_ipv6_mapped()),
        _ => net.contains(&address),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_is_the_same_however_it_is_written() {
        let nets = |net: &str| [net.parse::<IpNet>().unwrap()];
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (net, address, trusted) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "11.1.2.3", false),
            ("::/1", "10.1.2.3", false),
            ("::/1", "2001:db8::1", true),
            ("10.0.0.0/8", "::10.1.2.3", false),
        ] {
            assert_eq!(is_trusted(&nets(net), ip(address)), trusted, "{address} in {net}");
        }
    }
}
