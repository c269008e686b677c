//! ClientHellos from arbitrary bytes: no panic, nothing taken back when more bytes arrive, nothing beyond the bounds.
#![no_main]

use client_hello::{PROTOCOLS_MAX, Tls, parse};
use libfuzzer_sys::fuzz_target;

/// Needs nothing of its crate, so that this build stays small.
#[path = "../../crates/leno-proxy/src/listener/sniff/client_hello.rs"]
mod client_hello;

/// Small, so that short inputs meet it.
const MAX: usize = 1024;

fuzz_target!(|data: &[u8]| {
    let whole = parse(data, MAX);
    for end in 0..data.len().min(MAX + 1) {
        let answer = parse(&data[..end], MAX);
        assert!(answer == Tls::More || answer == whole, "the first {end} bytes: {answer:?}");
    }
    if let Tls::Hello(hello) = whole {
        assert!(hello.alpn.len() <= PROTOCOLS_MAX);
        assert!(hello.alpn.iter().all(|name| !name.is_empty()));
        assert!(hello.server_name.is_none_or(|name| name.len() < 256 && !name.contains('\0')));
    }
});
