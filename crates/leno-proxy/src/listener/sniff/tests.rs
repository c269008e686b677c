//! The HTTP inspector's table.

use super::{Http, http};

#[test]
fn http_is_told_from_its_first_line() {
    let table: [(&[u8], Http); 19] = [
        (b"", Http::More),
        (b"G", Http::More),
        (b"GET", Http::More),
        (b"GET /a b", Http::More),
        (b"GET / HTTP/1.1\r\n", Http::V11),
        (b"\r\nGET / HTTP/1.1\r\n", Http::V11),
        (b"GET / HTTP/1.1\n", Http::V11),
        (b"POST /x HTTP/1.0\r\nHost: a\r\n", Http::V10),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Http::H2c),
        (b"PRI * HTTP/2.0\r\n", Http::More),
        (b"PING\r\n", Http::No),
        (b"*1\r\n$4\r\nPING\r\n", Http::No),
        (b"EHLO example.com\r\n", Http::No),
        (b"GET /\r\n", Http::No),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", Http::No),
        (b"\x16\x03\x01\x02\x00\x01", Http::No),
        (b"\x00\x00\x00\x54\x00\x03\x00\x00", Http::No),
        (b" GET / HTTP/1.1\r\n", Http::No),
        (b"\r\n\r\n\r\n\r\n", Http::No),
    ];
    for (bytes, expected) in table {
        assert_eq!(http(bytes), expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_request_line_without_end_is_given_up() {
    let mut endless = b"GET /".to_vec();
    endless.resize(crate::limits::SNIFF_REQUEST_LINE_BYTES - 1, b'a');
    assert_eq!(http(&endless), Http::More);
    endless.push(b'a');
    assert_eq!(http(&endless), Http::No);
    assert_eq!(http(&[b'A'; 65]), Http::No, "no method is that long");
}
