//! How far a client's side of an HTTP/2 connection has come, as far as time limits need to know.
//!
//! The h2 library reads the frames; what it does not tell is whether a head has begun and not ended, which may take no
//! longer here than in HTTP/1.1. So frame headers are followed on their way to it, and nothing is judged by them.

/// What a client that speaks HTTP/2 sends first (RFC 9113 section 3.4). It is no request in HTTP/1.
pub(in crate::proxy) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// HEADERS and CONTINUATION, and the flag that a head ends with.
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// A place in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Frames {
    at: At,
    /// A head has begun and not ended.
    head: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// So many bytes of the preface have come.
    Preface(usize),
    /// In a frame's nine bytes of length, type, flags and stream.
    Header { seen: u8, length: u32, kind: u8, flags: u8 },
    /// So many bytes of a frame's payload are left; whether a head ends with it.
    Payload { left: usize, ends: bool },
}

impl Frames {
    pub(in crate::proxy) const START: Self = Self { at: At::Preface(0), head: false };
    const BETWEEN: At = At::Header { seen: 0, length: 0, kind: 0, flags: 0 };

    /// Whether something was begun that the client has to go on with at once: the preface, a frame's header, a head.
    pub(in crate::proxy) fn is_amid(self) -> bool {
        self.head
            || match self.at {
                At::Preface(_) => true,
                At::Header { seen, .. } => seen > 0,
                At::Payload { .. } => false,
            }
    }

    /// Reads on. True when somewhere in these bytes nothing was left begun: what is amid now has begun since.
    pub(in crate::proxy) fn follow(&mut self, mut bytes: &[u8]) -> bool {
        let mut ended = false;
        while let Some((first, rest)) = bytes.split_first() {
            match self.at {
                At::Preface(seen) => {
                    let here = PREFACE.len().saturating_sub(seen).min(bytes.len());
                    let seen = seen.saturating_add(here);
                    self.at = if seen < PREFACE.len() { At::Preface(seen) } else { Self::BETWEEN };
                    bytes = bytes.get(here..).unwrap_or_default();
                }
                At::Header { seen, length, kind, flags } => {
                    bytes = rest;
                    self.at = match seen {
                        0..=2 => At::Header {
                            seen: seen.saturating_add(1),
                            length: length << 8 | u32::from(*first),
                            kind,
                            flags,
                        },
                        3 => At::Header { seen: 4, length, kind: *first, flags },
                        4 => At::Header { seen: 5, length, kind, flags: *first },
                        5..=7 => At::Header { seen: seen.saturating_add(1), length, kind, flags },
                        8.. => {
                            let of_head = matches!(kind, HEADERS | CONTINUATION);
                            self.head = self.head || of_head;
                            At::Payload {
                                left: usize::try_from(length).unwrap_or(usize::MAX),
                                ends: of_head && flags & END_HEADERS != 0,
                            }
                        }
                    };
                }
                At::Payload { left, ends } => {
                    let here = left.min(bytes.len());
                    bytes = bytes.get(here..).unwrap_or_default();
                    self.at = At::Payload { left: left.saturating_sub(here), ends };
                }
            }
            if let At::Payload { left: 0, ends } = self.at {
                self.head = self.head && !ends;
                self.at = Self::BETWEEN;
            }
            ended = ended || !self.is_amid();
        }
        ended
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "lengths of test input")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let mut frame = u32::try_from(payload).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.resize(9 + payload, b'x');
        frame
    }

    fn after(parts: &[Vec<u8>]) -> Frames {
        let mut frames = Frames::START;
        frames.follow(&[PREFACE, &parts.concat()].concat());
        frames
    }

    #[test]
    fn a_head_is_begun_until_its_last_frame_has_come_whole() {
        let whole = frame(HEADERS, END_HEADERS, 3);
        for (parts, amid) in [
            (&[][..], false),
            (std::slice::from_ref(&whole), false),
            (&[whole[..11].to_vec()], true),
            (&[whole[..4].to_vec()], true),
            (&[frame(HEADERS, 0, 3)], true),
            (&[frame(HEADERS, 0, 3), frame(CONTINUATION, 0, 0)], true),
            (&[frame(HEADERS, 0, 3), frame(CONTINUATION, END_HEADERS, 0)], false),
            (&[frame(HEADERS, END_HEADERS, 0)], false),
            (&[whole.clone(), frame(0, 0, 9)[..12].to_vec()], false),
            (&[whole.clone(), frame(6, END_HEADERS, 8)], false),
        ] {
            assert_eq!(after(parts).is_amid(), amid, "{parts:?}");
        }
        assert!(Frames::START.is_amid(), "the preface comes at once");
        let mut frames = Frames::START;
        assert!(!frames.follow(&PREFACE[..23]) && frames.follow(&PREFACE[23..]) && !frames.is_amid());
    }

    proptest! {
        #[test]
        fn how_frames_are_cut_into_reads_makes_no_difference(
            kinds in prop::collection::vec((0u8..10, any::<bool>(), 0usize..12), 0..8), cut in 0usize..140,
        ) {
            let parts: Vec<Vec<u8>> = kinds.iter().map(|(kind, ends, size)| frame(*kind, u8::from(*ends) * 4, *size)).collect();
            let bytes = [PREFACE, &parts.concat()].concat();
            let cut = cut.min(bytes.len());
            let (mut whole, mut joined) = (Frames::START, Frames::START);
            whole.follow(&bytes);
            joined.follow(&bytes[..cut]);
            joined.follow(&bytes[cut..]);
            prop_assert_eq!(joined, whole);
        }
    }
}
