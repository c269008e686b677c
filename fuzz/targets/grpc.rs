//! What is read of gRPC: message prefixes however they are cut, deadlines, and words for `grpc-message`.
#![no_main]

use leno_core::grpc::{MessageCount, is_grpc, message, timeout};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [split, body @ ..] = data else { return };
    let mut whole = MessageCount::default();
    whole.on_data(body);
    let mut cut = MessageCount::default();
    for bytes in body.chunks(1 + usize::from(*split)) {
        cut.on_data(bytes);
    }
    assert_eq!(cut, whole, "reads of {} bytes", 1 + usize::from(*split));
    assert_eq!(whole.messages(), count(body));
    if let Some(deadline) = timeout(body) {
        assert!(body.len() <= 9 && deadline.as_secs() <= 99_999_999 * 3600);
    }
    if is_grpc(body) {
        assert!(body.starts_with(b"application/grpc"));
    }
    let said = message(&String::from_utf8_lossy(body));
    assert!(said.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{said:?}");
});

/// The same by the definition: five bytes of prefix, then as many as they say.
fn count(mut body: &[u8]) -> u64 {
    let mut messages = 0;
    while let Some((prefix, rest)) = body.split_first_chunk::<5>() {
        messages += 1;
        let [_, length @ ..] = *prefix;
        let length = u32::from_be_bytes(length) as usize;
        body = rest.get(length..).unwrap_or_default();
    }
    messages
}
