//! Tables for both inspectors; every prefix of a recognised input asks for more.

use super::{ClientHello, Http, Tls, http, tls};

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

#[test]
fn a_client_hello_gives_up_its_name_and_protocols() {
    let hello = client_hello(Some("Reviews.Default"), &["istio-peer-exchange", "h2"]);
    let expected = ClientHello {
        server_name: Some("reviews.default".into()),
        alpn: vec!["istio-peer-exchange".into(), "h2".into()],
    };
    assert_eq!(tls(&record(&hello)), Tls::Hello(expected.clone()), "one record");
    let (first, second) = hello.split_at(40);
    let split = [record(first), record(second)].concat();
    assert_eq!(tls(&split), Tls::Hello(expected), "two records");
    for end in 0..split.len() {
        assert_eq!(tls(&split[..end]), Tls::More, "prefix of {end}");
    }
    assert_eq!(tls(&record(&client_hello(None, &[]))), Tls::Hello(ClientHello::default()));
}

#[test]
fn what_is_not_a_client_hello_is_told_at_once() {
    let table: [(&str, &[u8]); 7] = [
        ("plaintext", b"GET / HTTP/1.1\r\n"),
        ("alert record", b"\x15\x03\x01\x00\x02"),
        ("version 2", b"\x16\x02\x00"),
        ("version 3.5", b"\x16\x03\x05"),
        ("empty record", b"\x16\x03\x01\x00\x00"),
        ("server hello", b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"),
        ("huge message", b"\x16\x03\x03\x00\x04\x01\xff\xff\xff"),
    ];
    for (case, bytes) in table {
        assert_eq!(tls(bytes), Tls::No, "{case}");
    }
    let mut broken = client_hello(Some("a"), &[]);
    let length = broken.len();
    broken[length - 12] = 0xff;
    assert_eq!(tls(&record(&broken)), Tls::No, "a length beyond the message");
}

fn record(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x16, 3, 1, length[0], length[1]], payload].concat()
}

fn prefixed(value: &[u8]) -> Vec<u8> {
    [&u16::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
}

fn client_hello(name: Option<&str>, alpn: &[&str]) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(name) = name {
        let entry = [&[0][..], &prefixed(name.as_bytes())].concat();
        extensions.extend([&[0, 0][..], &prefixed(&prefixed(&entry))].concat());
    }
    if !alpn.is_empty() {
        let list: Vec<u8> = alpn
            .iter()
            .flat_map(|p| [&[u8::try_from(p.len()).unwrap()], p.as_bytes()].concat())
            .collect();
        extensions.extend([&[0, 16][..], &prefixed(&prefixed(&list))].concat());
    }
    let body =
        [&[3, 3][..], &[7; 32], &[0], &prefixed(&[0x13, 0x01]), &[1, 0], &prefixed(&extensions)]
            .concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1, length[1], length[2], length[3]], &body[..]].concat()
}
