//! The PROXY protocol, versions 1 and 2: what a load balancer says of a connection before the connection's own first byte.
//!
//! Called by `connection` for listeners that want it, before TLS. Not one byte behind the header is taken: the socket is
//! looked into first, and only what belongs to the header is read off it. Own code rather than a crate: what is asked of
//! it is bounds, strictness and an end to reading, and the parsers there are leave all three to their callers.

use std::future::{Future as _, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::str::FromStr;
use std::task::Poll;

use memchr::memchr;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::proxy::downstream::worker::Worker;
use crate::proxy::edge::peers::is_trusted;

/// The two ends of a client's connection.
pub(in crate::proxy) type Ends = (SocketAddr, SocketAddr);

/// Where a connection comes from and goes to: as the socket says or, on a listener with `proxy_protocol`, as the header
/// says that it has to begin with. `None`: it has none from a peer that may say so, and is to be closed without a word.
pub(in crate::proxy) async fn ends<V>(
    stream: &mut TcpStream,
    peer: SocketAddr,
    listener: usize,
    worker: &Rc<Worker<V>>,
) -> Option<Ends> {
    let own = (peer, stream.local_addr().ok()?);
    let listener = worker.gate.listeners.get(listener)?;
    if !listener.proxy_protocol {
        return Some(own);
    }
    let ip = peer.ip().to_canonical();
    let refused = |detail: &str| worker.gate.recorder.proxy_header_refused(ip, detail);
    if !is_trusted(&listener.trusted_peers, ip) {
        refused("the peer is none of `trusted_peers`");
        return None;
    }
    let by = worker.ticker.deadline();
    by.set(worker.gate.limits.head_read);
    let mut receiving = pin!(receive(stream));
    let unless_draining = poll_fn(|cx| {
        let outcome = receiving.as_mut().poll(cx);
        if outcome.is_pending() && worker.ticker.is_draining() { Poll::Ready(Err(Fault::Gone)) } else { outcome }
    });
    match by.bound(unless_draining).await {
        Ok(Ok(Header::Proxied(source, destination))) => return Some((source, destination)),
        Ok(Ok(Header::Local)) => return Some(own),
        Ok(Err(Fault::Malformed(detail))) => refused(detail),
        // A balancer that looks whether anybody listens, or that thought better of it. Nobody was turned away.
        Ok(Err(Fault::Gone)) => {}
        Err(_late) => refused("the header did not come within the limit for heads"),
    }
    None
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    /// The connection is the sender's own, or the ends of the one it stands for are no internet addresses.
    Local,
    /// The ends of the connection that it stands for.
    Proxied(SocketAddr, SocketAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// These bytes begin no header.
    Malformed(&'static str),
    /// The connection ended before the header did.
    Gone,
}

impl From<io::Error> for Fault {
    fn from(_broken: io::Error) -> Self {
        Self::Gone
    }
}

async fn receive(stream: &mut TcpStream) -> Result<Header, Fault> {
    const LOOK: usize = 512;
    let mut header = Vec::new();
    loop {
        let start = header.len();
        header.resize(start.saturating_add(LOOK), 0);
        let seen = stream.peek(header.get_mut(start..).unwrap_or_default()).await?;
        if seen == 0 {
            return Err(if start == 0 { Fault::Gone } else { Fault::Malformed("the header is cut short") });
        }
        header.truncate(start.saturating_add(seen));
        let parsed = parse(&header).map_err(Fault::Malformed)?;
        // What does not complete the header is all of it the header's.
        let end = parsed.map_or(header.len(), |(_, length)| length);
        stream.read_exact(header.get_mut(start..end).unwrap_or_default()).await?;
        if let Some((parsed, _)) = parsed {
            return Ok(parsed);
        }
    }
}

/// Reads the header that `bytes` begin with, and its length. `None`: there is more to come.
fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, &'static str> {
    if begins(bytes, TEXT) {
        text(bytes)
    } else if begins(bytes, BINARY) {
        binary(bytes)
    } else {
        Err("the connection does not begin with a PROXY protocol header")
    }
}

const TEXT: &[u8] = b"PROXY ";
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Whether `bytes` begin with `mark`, as far as there are any.
fn begins(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.iter().zip(mark).all(|(byte, wanted)| byte == wanted)
}

/// Version 1: a line of words.
fn text(bytes: &[u8]) -> Result<Option<(Header, usize)>, &'static str> {
    const MOST: usize = 107;
    let Some(end) = memchr(b'\n', bytes.get(..MOST).unwrap_or(bytes)) else {
        return if bytes.len() < MOST { Ok(None) } else { Err("the header line is longer than 107 bytes") };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or("the header line ends without CRLF")?;
    let mut words = line.split(|byte| *byte == b' ').skip(1);
    let header = match words.next() {
        // Whatever follows is to be ignored.
        Some(b"UNKNOWN") => Header::Local,
        Some(b"TCP4") => addresses::<Ipv4Addr>(words).ok_or("the header line names no two IPv4 addresses and ports")?,
        Some(b"TCP6") => addresses::<Ipv6Addr>(words).ok_or("the header line names no two IPv6 addresses and ports")?,
        Some(_) | None => return Err("the header line names no protocol that is known"),
    };
    Ok(Some((header, end.saturating_add(1))))
}

fn addresses<'a, A: FromStr + Into<IpAddr>>(words: impl Iterator<Item = &'a [u8]>) -> Option<Header> {
    let words: Vec<&str> = words.map(|word| std::str::from_utf8(word).ok()).collect::<Option<_>>()?;
    let [source, destination, from, to] = words.as_slice() else { return None };
    let address = |text: &str| text.parse::<A>().ok().map(Into::into);
    Some(proxied((address(source)?, port(from)?), (address(destination)?, port(to)?)))
}

fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn proxied(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Header {
    let end = |(ip, port): (IpAddr, u16)| SocketAddr::new(ip.to_canonical(), port);
    Header::Proxied(end(source), end(destination))
}

/// Version 2: bytes at fixed places, then whatever else the sender likes to tell.
fn binary(bytes: &[u8]) -> Result<Option<(Header, usize)>, &'static str> {
    /// The most that may follow the first 16 bytes. Addresses take 216 at the most; the rest is what we skip.
    const MOST: usize = 4 << 10;
    const FIXED: usize = 16;
    let Some([command, family, high, low]) = bytes.get(BINARY.len()..FIXED) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let end = FIXED.saturating_add(length);
    if !matches!(command, 0x20 | 0x21) {
        return Err("the header has a version or command that is not known");
    }
    if length > MOST {
        return Err("the header is longer than 4 KiB");
    }
    let Some(header) = bytes.get(..end) else { return Ok(None) };
    let rest = header.get(FIXED..).unwrap_or_default();
    if *command == 0x20 {
        return Ok(Some((Header::Local, end)));
    }
    let (said, more) = match family {
        0x00 => return Ok(Some((Header::Local, end))),
        0x11 => rest.split_at_checked(12).map(|(said, more)| (pair::<4>(said), more)),
        0x21 => rest.split_at_checked(36).map(|(said, more)| (pair::<16>(said), more)),
        0x31 => rest.split_at_checked(216).map(|(_paths, more)| (Some(Header::Local), more)),
        _ => return Err("the header has an address family or transport that no TCP connection has"),
    }
    .ok_or("the header is too short for its addresses")?;
    check_fields(header, more)?;
    Ok(Some((said.ok_or("the header is too short for its addresses")?, end)))
}

/// Two addresses of `N` bytes, then two ports.
fn pair<const N: usize>(mut bytes: &[u8]) -> Option<Header>
where
    [u8; N]: Into<IpAddr>,
{
    let (source, destination) = (bytes.split_off(..N)?, bytes.split_off(..N)?);
    let address = |bytes: &[u8]| <[u8; N]>::try_from(bytes).ok().map(Into::into);
    let (from, to) = bytes.split_at_checked(2)?;
    let port = |bytes: &[u8]| bytes.try_into().ok().map(u16::from_be_bytes);
    Some(proxied((address(source)?, port(from)?), (address(destination)?, port(to)?)))
}

/// The fields behind the addresses: none is believed, but their form must hold, and a checksum among them must be right.
fn check_fields(header: &[u8], mut fields: &[u8]) -> Result<(), &'static str> {
    const CHECKSUM: u8 = 0x03;
    while !fields.is_empty() {
        let field = fields.split_off(..3).and_then(|head| {
            let [kind, high, low] = *head else { return None };
            Some((kind, fields.split_off(..usize::from(u16::from_be_bytes([high, low])))?))
        });
        let (kind, value) = field.ok_or("a field of the header is cut short")?;
        if kind == CHECKSUM {
            // It is reckoned over the whole header with zeros in its own place.
            let at = header.len().saturating_sub(fields.len()).saturating_sub(value.len());
            let zeroed = header
                .iter()
                .enumerate()
                .map(|(place, byte)| if (at..at.saturating_add(value.len())).contains(&place) { 0 } else { *byte });
            if value != crc32c(zeroed).to_be_bytes() {
                return Err("the header's checksum is wrong");
            }
        }
    }
    Ok(())
}

fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(bytes: &[u8]) -> Result<Option<(Header, usize)>, &'static str> {
        parse(bytes)
    }

    fn ends(source: &str, destination: &str) -> Header {
        Header::Proxied(source.parse().unwrap(), destination.parse().unwrap())
    }

    fn version2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [BINARY, &[command, family], &length, rest].concat()
    }

    const TCP4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];

    #[test]
    fn a_line_of_version_1_tells_both_ends() {
        for (line, header) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", ends("192.0.2.1:56324", "198.51.100.1:443")),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n", ends("[2001:db8::1]:0", "[2001:db8::2]:65535")),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", ends("192.0.2.1:1", "[::1]:2")),
            ("PROXY UNKNOWN\r\n", Header::Local),
            ("PROXY UNKNOWN ffff:f...f:ffff whatever 65535\r\n", Header::Local),
        ] {
            let bytes = [line.as_bytes(), b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(parsed(&bytes), Ok(Some((header, line.len()))), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_not_exactly_so_is_refused() {
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.1 56324 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.1 56324 443\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +1 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 01 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 \r\n",
            "PROXY TCP4 192.0.2.1\r198.51.100.1 1 2\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY \r\n",
            "PROXY tcp4 192.0.2.1 198.51.100.1 1 2\r\n",
            "proxy TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
            " PROXY UNKNOWN\r\n",
            "GET / HTTP/1.1\r\n",
            "PROXYTCP4",
        ] {
            assert!(parsed(line.as_bytes()).is_err(), "{line}");
        }
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        assert_eq!(parsed(longest.as_bytes()), Ok(Some((Header::Local, 107))));
        let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        assert!(parsed(longer.as_bytes()).is_err());
        assert!(parsed(&longer.as_bytes()[..107]).is_err(), "nothing more is waited for");
    }

    #[test]
    fn the_bytes_of_version_2_tell_both_ends() {
        let tcp6 = [[0x20; 16], [0x30; 16]].concat();
        let tcp6 = [&tcp6[..], &[0, 1, 0, 2]].concat();
        let six = ends("[2020:2020:2020:2020:2020:2020:2020:2020]:1", "[3030:3030:3030:3030:3030:3030:3030:3030]:2");
        for (header, expected) in [
            (version2(0x21, 0x11, &TCP4), ends("192.0.2.1:56324", "198.51.100.1:443")),
            (
                version2(0x21, 0x11, &[&TCP4[..], &[4, 0, 2, 9, 9]].concat()),
                ends("192.0.2.1:56324", "198.51.100.1:443"),
            ),
            (version2(0x21, 0x21, &tcp6), six),
            (version2(0x21, 0x31, &[7; 216]), Header::Local),
            (version2(0x21, 0x00, &[7; 5]), Header::Local),
            (version2(0x20, 0x00, &[]), Header::Local),
            (version2(0x20, 0xff, &[7; 4096]), Header::Local),
        ] {
            let bytes = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(parsed(&bytes), Ok(Some((expected, header.len()))), "{header:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_exactly_so_are_refused() {
        for (what, header) in [
            ("version 1", version2(0x11, 0x11, &TCP4)),
            ("version 3", version2(0x31, 0x11, &TCP4)),
            ("an unknown command", version2(0x22, 0x11, &TCP4)),
            ("datagrams", version2(0x21, 0x12, &TCP4)),
            ("an unknown family", version2(0x21, 0x41, &TCP4)),
            ("no transport", version2(0x21, 0x10, &TCP4)),
            ("addresses cut short", version2(0x21, 0x11, &TCP4[..11])),
            ("IPv6 addresses cut short", version2(0x21, 0x21, &[0; 35])),
            ("paths cut short", version2(0x21, 0x31, &[0; 215])),
            ("a field cut short", version2(0x21, 0x11, &[&TCP4[..], &[4, 0, 3, 9, 9]].concat())),
            ("half a field", version2(0x21, 0x11, &[&TCP4[..], &[4, 0]].concat())),
            ("too much", version2(0x21, 0x11, &[0; 4097])),
            ("too much of nothing", version2(0x20, 0x00, &[0; 4097])),
        ] {
            assert!(parsed(&header).is_err(), "{what}");
        }
        assert!(parsed(&version2(0x21, 0x11, &[0; 4097])[..16]).is_err(), "and not waited for");
    }

    #[test]
    fn a_checksum_must_be_right_where_there_is_one() {
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
        let rest = |sum: [u8; 4]| [&TCP4[..], &[5, 0, 1, 9, 3, 0, 4], &sum, &[4, 0, 1, 0]].concat();
        let sum = crc32c(version2(0x21, 0x11, &rest([0; 4])).into_iter());
        assert!(parsed(&version2(0x21, 0x11, &rest(sum.to_be_bytes()))).is_ok());
        assert!(parsed(&version2(0x21, 0x11, &rest((sum ^ 1).to_be_bytes()))).is_err());
        assert!(parsed(&version2(0x21, 0x11, &[&TCP4[..], &[3, 0, 0]].concat())).is_err(), "one of no length");
    }

    #[test]
    fn a_header_cut_anywhere_is_waited_for_and_never_read_otherwise() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec();
        for header in [line, version2(0x21, 0x11, &[&TCP4[..], &[4, 0, 2, 9, 9]].concat()), version2(0x20, 0, &[1, 2])]
        {
            for cut in 0..header.len() {
                assert_eq!(parsed(&header[..cut]), Ok(None), "{cut} of {header:?}");
            }
            assert!(matches!(parsed(&header), Ok(Some((_, length))) if length == header.len()));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_wait_for_ever(
            mark in prop_oneof![Just(TEXT), Just(BINARY), Just(&b"PROXY TCP4 "[..]), Just(&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x20"[..])],
            rest in prop::collection::vec(any::<u8>(), 0..5000),
        ) {
            let bytes = [mark, &rest].concat();
            match parsed(&bytes) {
                Ok(Some((_, length))) => {
                    prop_assert!(length <= bytes.len());
                    prop_assert_eq!(parsed(&bytes[..length]), parsed(&bytes), "what follows plays no part");
                }
                Ok(None) => prop_assert!(bytes.len() < 16 + 4096),
                Err(_) => {}
            }
        }
    }
}
