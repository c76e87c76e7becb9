//! How a tunnel ends that nobody in it wanted to end, and what is said then.

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

/// One side of a tunnel, whatever is below.
pub(in crate::proxy) trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// Why a tunnel has to end, as WebSocket tells it (RFC 6455 section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct End {
    pub(in crate::proxy) code: u16,
    /// At the most 123 bytes, which is all that a close frame has room for.
    pub(in crate::proxy) text: &'static str,
}

impl End {
    /// The gate is going away.
    pub(in crate::proxy) const DRAINS: Self = Self { code: 1001, text: "going away" };

    /// The close frame that says so. `mask`: towards an upstream, for which we are a client (RFC 6455 section 5.1).
    pub(super) fn frame(self, mask: Option<[u8; 4]>) -> Bytes {
        const MOST: usize = 123;
        const CLOSE: u8 = 0x88;
        const MASKED: u8 = 0x80;
        let text = self.text.get(..self.text.floor_char_boundary(MOST)).unwrap_or_default();
        let mut payload = BytesMut::with_capacity(text.len().saturating_add(2));
        payload.put_u16(self.code);
        payload.put_slice(text.as_bytes());
        let length = u8::try_from(payload.len()).unwrap_or_default();
        let mut frame = BytesMut::with_capacity(payload.len().saturating_add(6));
        frame.put_u8(CLOSE);
        match mask {
            None => frame.put_u8(length),
            Some(mask) => {
                frame.put_u8(MASKED | length);
                frame.put_slice(&mask);
                payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
            }
        }
        frame.put_slice(&payload);
        frame.freeze()
    }
}

/// Completes when a tunnel must end, and says why. Polled beside the copying; dropped when the tunnel ends otherwise.
pub(in crate::proxy) type Ending = std::pin::Pin<Box<dyn Future<Output = End>>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_close_frame_is_masked_towards_an_upstream_alone() {
        let end = End { code: 1008, text: "no" };
        assert_eq!(&*end.frame(None), b"\x88\x04\x03\xf0no");
        assert_eq!(&*end.frame(Some([1, 2, 3, 4])), b"\x88\x84\x01\x02\x03\x04\x02\xf2mk");
    }

    #[test]
    fn a_reason_that_is_too_long_is_cut_to_what_a_close_frame_has_room_for() {
        let long: &'static str = Box::leak("ä".repeat(100).into_boxed_str());
        let frame = End { code: 1008, text: long }.frame(None);
        assert_eq!((frame.len(), frame[1]), (2 + 2 + 122, 124));
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}
