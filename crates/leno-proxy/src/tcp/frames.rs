//! Where the frames of a WebSocket end (RFC 6455 §5.2): only there can something be said in between.

/// Going away (RFC 6455 §7.4.1).
const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();

const CLOSE: u8 = 0x8;

/// A close frame as a server sends it.
pub(crate) const FROM_SERVER: [u8; 4] = [0x80 | CLOSE, 2, GOING_AWAY[0], GOING_AWAY[1]];

/// The same as a client sends it, masked by `key`.
pub(crate) fn from_client(key: [u8; 4]) -> [u8; 8] {
    let [one, two] = [GOING_AWAY[0] ^ key[0], GOING_AWAY[1] ^ key[1]];
    [0x80 | CLOSE, 0x80 | 2, key[0], key[1], key[2], key[3], one, two]
}

/// One direction, byte by byte. Nothing here refuses anything: that is the endpoints' part.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frames {
    head: [u8; 10],
    /// Bytes of the head that are there; none between two frames.
    have: usize,
    /// Bytes of mask and payload that are still to come, once the head is there.
    left: Option<u64>,
    /// A close frame has passed: nothing follows it.
    has_closed: bool,
}

impl Frames {
    /// Whether a frame has just ended, or none begun.
    pub(crate) fn is_boundary(&self) -> bool {
        self.have == 0
    }

    /// Whether a close frame has begun or passed.
    pub(crate) fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// Bytes that passed.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = self.frame(bytes);
            bytes = &bytes[count..];
        }
    }

    /// How many of these bytes belong to the frame that has begun; none between two frames.
    pub(crate) fn rest_of_frame(&self, bytes: &[u8]) -> usize {
        let mut frames = *self;
        if frames.is_boundary() { 0 } else { frames.frame(bytes) }
    }

    /// Passes bytes up to the end of one frame; how many.
    fn frame(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while self.left.is_none() && passed < bytes.len() {
            self.head[self.have] = bytes[passed];
            self.have += 1;
            passed += 1;
            self.left = self.rest_by_head();
        }
        let Some(left) = self.left else { return passed };
        self.has_closed |= self.head[0] & 0x0f == CLOSE;
        let there = bytes.len() - passed;
        let more = usize::try_from(left).map_or(there, |left| left.min(there));
        if left == more as u64 {
            (self.have, self.left) = (0, None);
        } else {
            self.left = Some(left - more as u64);
        }
        passed + more
    }

    /// Mask and payload, once the head is complete.
    fn rest_by_head(&self) -> Option<u64> {
        let [_, second, rest @ ..] = &self.head[..self.have] else { return None };
        let payload = match (second & 0x7f, rest) {
            (126, [a, b]) => u16::from_be_bytes([*a, *b]).into(),
            (127, [a, b, c, d, e, f, g, h]) => u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
            (126 | 127, _) => return None,
            (short, _) => u64::from(short),
        };
        Some(payload.saturating_add(if second & 0x80 == 0 { 0 } else { 4 }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FROM_SERVER, Frames, from_client};

    fn frame(first: u8, payload: usize, is_masked: bool) -> Vec<u8> {
        let mask = if is_masked { 0x80 } else { 0 };
        let mut frame = match payload {
            0..126 => vec![first, mask | u8::try_from(payload).unwrap()],
            126..65536 => {
                [&[first, mask | 126][..], &u16::try_from(payload).unwrap().to_be_bytes()].concat()
            }
            _ => [&[first, mask | 127][..], &(payload as u64).to_be_bytes()].concat(),
        };
        frame.resize(frame.len() + payload + if is_masked { 4 } else { 0 }, 0x88);
        frame
    }

    proptest! {
        #[test]
        fn a_boundary_is_found_wherever_the_bytes_are_cut(
            frames in proptest::collection::vec((any::<bool>(), 0_usize..300, any::<bool>()), 1..8),
            large in 65_500_usize..65_600,
            cuts in proptest::collection::vec(1_usize..400, 1..40),
        ) {
            let mut all = Vec::new();
            let mut ends = vec![0];
            let all_frames = frames.into_iter().chain([(true, large, true)]);
            for (is_text, payload, is_masked) in all_frames {
                all.extend(frame(if is_text { 0x81 } else { 0x02 }, payload, is_masked));
                ends.push(all.len());
            }
            let mut passing = Frames::default();
            let (mut at, mut cuts) = (0, cuts.iter().cycle());
            while at < all.len() {
                let end = (at + cuts.next().unwrap()).min(all.len());
                let next = *ends.iter().find(|next| **next >= at).unwrap();
                prop_assert_eq!(passing.is_boundary(), next == at);
                prop_assert_eq!(passing.rest_of_frame(&all[at..]), next - at);
                passing.pass(&all[at..end]);
                at = end;
            }
            prop_assert!(passing.is_boundary() && !passing.has_closed());
        }
    }

    #[test]
    fn a_close_frame_is_known_and_ours_is_one() {
        let masked = from_client([9, 8, 7, 6]);
        assert_eq!([masked[6] ^ 9, masked[7] ^ 8], [0x03, 0xe9]);
        for close in [&FROM_SERVER[..], &masked] {
            let mut frames = Frames::default();
            frames.pass(&close[..1]);
            assert!(!frames.is_boundary());
            frames.pass(&close[1..]);
            assert!(frames.is_boundary() && frames.has_closed());
        }
    }
}
