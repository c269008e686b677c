//! However a connection's bytes are cut into reads, they mean the same.

use std::time::Instant;

use leno_http::h2::{Connection, ConnectionError, PREFACE, Settings};
use proptest::collection::vec;
use proptest::prelude::*;

use super::pair::{End, Seen};
use super::wire::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, RST_STREAM, SETTINGS,
    WHOLE, WINDOW_UPDATE, block, frame, get, setting,
};

/// Frames that mostly make sense, and some that do not.
fn a_frame() -> impl Strategy<Value = Vec<u8>> {
    let id = || (0_u32..5).prop_map(|number| number * 2 + 1);
    let flags = prop_oneof![Just(0), Just(END_STREAM), Just(PADDED), Just(END_STREAM | PADDED)];
    prop_oneof![
        4 => (id(), any::<bool>()).prop_map(|(id, is_whole)| {
            frame(HEADERS, if is_whole { WHOLE } else { END_HEADERS }, id, &get(&[("a", "b")]))
        }),
        1 => id().prop_map(|id| {
            let first = frame(HEADERS, END_STREAM, id, &get(&[]));
            [first, frame(CONTINUATION, END_HEADERS, id, &block(&[("c", "d")]))].concat()
        }),
        1 => id().prop_map(|id| frame(HEADERS, WHOLE, id, &block(&[("x-trailer", "1")]))),
        4 => (id(), flags, vec(0_u8..4, 0..40))
            .prop_map(|(id, flags, bytes)| frame(DATA, flags, id, &bytes)),
        1 => id().prop_map(|id| frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())),
        1 => id().prop_map(|id| frame(WINDOW_UPDATE, 0, id, &99_u32.to_be_bytes())),
        1 => any::<u64>().prop_map(|opaque| frame(PING, 0, 0, &opaque.to_be_bytes())),
        1 => (0_u32..100_000).prop_map(|window| frame(SETTINGS, 0, 0, &setting(4, window))),
        1 => vec(any::<u8>(), 9..30),
    ]
}

/// What a connection's bytes meant, what was answered, and how it ended.
type Meaning = (Vec<Seen>, Vec<u8>, Option<ConnectionError>);

fn read(now: Instant, input: &[u8], reads: &[usize]) -> Meaning {
    let mut end = End::new(Connection::server(Settings::DEFAULT));
    let (mut seen, mut fed, mut turn) = (Vec::new(), 0, 0);
    while fed < input.len() {
        let length = reads[turn.min(reads.len() - 1)].clamp(1, input.len() - fed);
        match end.receive(now, &input[fed..fed + length]) {
            Ok(more) => more.into_iter().for_each(|next| join(&mut seen, next)),
            // What was seen before it is lost in either case: compare what was answered.
            Err(error) => return (Vec::new(), end.out, Some(error)),
        }
        (fed, turn) = (fed + length, turn + 1);
    }
    (seen, end.out, None)
}

/// Data of one stream that comes in a row is one piece.
fn join(seen: &mut Vec<Seen>, next: Seen) {
    use leno_http::h2::Then;
    if let (Some(Seen::Data(last, joined, so_far)), Seen::Data(stream, bytes, then)) =
        (seen.last_mut(), &next)
        && last == stream
        && *so_far == Then::More
    {
        joined.extend_from_slice(bytes);
        *so_far = *then;
        return;
    }
    seen.push(next);
}

proptest! {
    #[test]
    fn splits_change_nothing(
        frames in vec(a_frame(), 0..20),
        reads in vec(1_usize..30, 1..40),
    ) {
        let now = Instant::now();
        let start = [&PREFACE[..], &frame(SETTINGS, 0, 0, &[])].concat();
        let input = [start, frames.concat()].concat();
        let whole = read(now, &input, &[input.len()]);
        prop_assert_eq!(&read(now, &input, &reads), &whole);
        prop_assert_eq!(&read(now, &input, &[1]), &whole);
    }
}
