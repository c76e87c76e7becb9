//! Where WebSocket's frames begin and end (RFC 6455 section 5.2), in one direction. Headers are read, payloads are skipped.

/// A place in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frames {
    at: At,
    /// A close frame has gone by whole: after it nobody says anything more in this direction.
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// So many bytes of a header have come.
    Header { seen: u8, first: u8, second: u8, length: u64 },
    /// So many bytes of a payload are left; whether it is a close frame's.
    Payload { left: u64, closes: bool },
}

/// These are no frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost;

impl Frames {
    pub(super) const START: Self = Self { at: Self::BETWEEN, closed: false };
    const BETWEEN: At = At::Header { seen: 0, first: 0, second: 0, length: 0 };

    /// Reads on.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> Result<(), Lost> {
        while let Some((byte, rest)) = bytes.split_first() {
            match self.at {
                At::Header { seen, first, second, length } => {
                    bytes = rest;
                    self.at = header(seen, first, second, length, *byte)?;
                }
                At::Payload { left, closes } => {
                    let here = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    bytes = bytes.get(here..).unwrap_or_default();
                    self.at =
                        At::Payload { left: left.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX)), closes };
                }
            }
            if let At::Payload { left: 0, closes } = self.at {
                self.closed |= closes;
                self.at = Self::BETWEEN;
            }
        }
        Ok(())
    }

    /// How many bytes are certain to come before a frame ends; none between two frames.
    pub(super) fn missing(self) -> u64 {
        match self.at {
            At::Header { seen: 0, .. } => 0,
            At::Header { .. } => 1,
            At::Payload { left, .. } => left,
        }
    }

    /// Whether a close frame has gone by.
    pub(super) fn has_closed(self) -> bool {
        self.closed
    }
}

/// One more byte of a header, after `seen`.
fn header(seen: u8, first: u8, second: u8, length: u64, byte: u8) -> Result<At, Lost> {
    const CLOSE: u8 = 8;
    let (first, second) = match seen {
        0 => (byte, 0),
        1 => (first, byte),
        2.. => (first, second),
    };
    let short = second & 0x7f;
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0u8,
    };
    let masked = if second & 0x80 == 0 { 0 } else { 4u8 };
    let measured = extended.saturating_add(2);
    let length = match seen {
        0 => 0,
        1 if extended == 0 => u64::from(short),
        1 => 0,
        _ if seen < measured => length << 8 | u64::from(byte),
        // A byte of the mask.
        _ => length,
    };
    if length >> 63 != 0 {
        return Err(Lost);
    }
    let seen = seen.saturating_add(1);
    Ok(if seen < 2 || seen < measured.saturating_add(masked) {
        At::Header { seen, first, second, length }
    } else {
        At::Payload { left: length, closes: first & 0x0f == CLOSE }
    })
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "lengths of test input")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(opcode: u8, masked: bool, payload: usize) -> Vec<u8> {
        let mask = u8::from(masked) << 7;
        let mut frame = vec![0x80 | opcode];
        match payload {
            0..126 => frame.push(mask | u8::try_from(payload).unwrap()),
            126..0x1_0000 => {
                frame.push(mask | 126);
                frame.extend(u16::try_from(payload).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend(u64::try_from(payload).unwrap().to_be_bytes());
            }
        }
        frame.extend(std::iter::repeat_n(0xff, if masked { 4 } else { 0 } + payload));
        frame
    }

    fn after(bytes: &[u8]) -> Frames {
        let mut frames = Frames::START;
        frames.follow(bytes).unwrap();
        frames
    }

    #[test]
    fn the_end_of_a_frame_is_found_whatever_its_length_is_written_in() {
        for payload in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, 0x1_0001] {
            for masked in [false, true] {
                let frame = frame(2, masked, payload);
                assert_eq!(after(&frame), Frames::START, "{payload} {masked}");
                for short in 1..frame.len().min(16) {
                    let cut = after(&frame[..short]);
                    let missing = usize::try_from(cut.missing()).unwrap();
                    assert!(missing > 0 && missing <= frame.len() - short, "{payload} {masked} {short}");
                }
            }
        }
        assert_eq!(after(&frame(1, true, 300)[..100]).missing(), 208);
    }

    #[test]
    fn a_close_frame_counts_once_it_is_whole_and_nothing_else_does() {
        let close = frame(8, true, 2);
        assert!(after(&close).has_closed() && after(&frame(8, false, 0)).has_closed());
        assert!(!after(&close[..close.len() - 1]).has_closed());
        for opcode in (0..16).filter(|opcode| *opcode != 8) {
            assert!(!after(&frame(opcode, true, 2)).has_closed(), "{opcode}");
        }
    }

    #[test]
    fn a_length_that_no_frame_can_have_is_no_frame() {
        let mut frames = Frames::START;
        assert_eq!(frames.follow(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]), Err(Lost));
    }

    proptest! {
        #[test]
        fn how_frames_are_cut_into_reads_makes_no_difference(
            sizes in prop::collection::vec((0u8..16, any::<bool>(), 0usize..300), 0..6), cut in 0usize..1000,
        ) {
            let bytes: Vec<u8> = sizes.iter().flat_map(|(opcode, masked, size)| frame(*opcode, *masked, *size)).collect();
            let cut = cut.min(bytes.len());
            let mut joined = Frames::START;
            joined.follow(&bytes[..cut]).unwrap();
            joined.follow(&bytes[cut..]).unwrap();
            prop_assert_eq!(joined, after(&bytes));
            prop_assert_eq!(joined.missing(), 0);
        }
    }
}
