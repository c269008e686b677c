//! PROXY protocol headers from arbitrary bytes: no panic, nothing taken back when more bytes arrive, and whose connection
//! it is survives being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_protocol::{Parsed, V2_REST_MAX, Version, parse, write};

/// Needs nothing of its crate, so that this build stays small.
#[path = "../../crates/leno-proxy/src/listener/sniff/proxy_protocol.rs"]
mod proxy_protocol;

fuzz_target!(|data: &[u8]| {
    let whole = parse(data);
    for end in 0..data.len() {
        let answer = parse(&data[..end]);
        assert!(answer == Parsed::More || answer == whole, "the first {end} bytes: {answer:?}");
    }
    let Parsed::Header { ends, length } = whole else { return };
    assert!(length <= data.len() && length <= V2_REST_MAX + 16);
    let read = |version| {
        let mut bytes = Vec::new();
        write(version, ends, &mut bytes);
        let Parsed::Header { ends, length } = parse(&bytes) else { panic!("{bytes:?}") };
        assert_eq!(length, bytes.len());
        ends
    };
    // What is written is canonical: a mapped address comes back as the one it stands for.
    assert_eq!(read(Version::V1), read(Version::V2));
    assert_eq!(read(Version::V1).is_some(), ends.is_some());
});
