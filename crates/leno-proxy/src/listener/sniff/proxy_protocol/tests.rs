//! Tables by section of the specification, and that reading undoes writing.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Ends, Fault, Parsed, V2_REST_MAX, Version, parse, write};

fn ends(source: &str, destination: &str) -> Ends {
    Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

#[test]
fn lines_of_version_1() {
    let v4 = Some(ends("192.168.0.1:56324", "192.168.0.11:443"));
    let v6 = Some(ends("[::1]:1", "[2001:db8::2]:65535"));
    let whole = |ends, line: &str| Parsed::Header { ends, length: line.len() };
    let invalid = Parsed::Invalid(Fault::Line);
    // (line, what follows it, answer)
    let lines = [
        ("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", v4),
        ("PROXY TCP6 ::1 2001:db8::2 1 65535\r\n", v6),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\n", None),
    ];
    for (line, ends) in lines {
        assert_eq!(parse(line.as_bytes()), whole(ends, line), "{line}");
        assert_eq!(parse(format!("{line}GET /").as_bytes()), whole(ends, line), "{line}");
    }
    let wrong = [
        "PROXY TCP4 192.168.0.1 192.168.0.11 56324\r\n",
        "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443 9\r\n",
        "PROXY TCP4 ::1 ::1 1 1\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +1 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY TCP4 1.2.3.400 1.2.3.4 1 1\r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n",
        "PROXY \r\n",
    ];
    for line in wrong {
        assert_eq!(parse(line.as_bytes()), invalid, "{line}");
    }
    let endless = format!("PROXY UNKNOWN {}", "x".repeat(93));
    assert_eq!((endless.len(), parse(endless.as_bytes())), (107, invalid));
    assert_eq!(parse(&endless.as_bytes()[..106]), Parsed::More);
    // (bytes, answer)
    let table: [(&[u8], Parsed); 5] = [
        (b"", Parsed::More),
        (b"PROX", Parsed::More),
        (b"PROXY TCP4 1", Parsed::More),
        (b"PROPFIND / HTTP/1.1\r\n", Parsed::Absent),
        (b"\x16\x03\x01", Parsed::Absent),
    ];
    for (bytes, answer) in table {
        assert_eq!(parse(bytes), answer, "{}", bytes.escape_ascii());
    }
}

/// Version 2 with these four bytes and what follows.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family, length[0], length[1]], rest].concat()
}

#[test]
fn headers_of_version_2() {
    let v4 = [1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 1, 0];
    let known = Some(ends("1.2.3.4:80", "5.6.7.8:256"));
    let with_values = [&v4[..], &[4, 0, 1, 0]].concat();
    let whole = |ends, rest: &[u8]| Parsed::Header { ends, length: 16 + rest.len() };
    let invalid = Parsed::Invalid(Fault::Binary);
    // (case, command, family, rest, answer)
    let table: [(&str, u8, u8, &[u8], Parsed); 12] = [
        ("IPv4", 0x21, 0x11, &v4, whole(known, &v4)),
        ("values behind", 0x21, 0x11, &with_values, whole(known, &with_values)),
        ("our neighbour's own", 0x20, 0, &[], whole(None, &[])),
        ("its addresses are skipped", 0x20, 0x11, &v4, whole(None, &v4)),
        ("unspecified", 0x21, 0, &[], whole(None, &[])),
        ("a Unix socket", 0x21, 0x31, &[0; 216], whole(None, &[0; 216])),
        ("datagrams", 0x21, 0x12, &v4, whole(None, &v4)),
        ("addresses cut short", 0x21, 0x11, &v4[..11], invalid),
        ("IPv6 cut short", 0x21, 0x21, &v4, invalid),
        ("version 3", 0x31, 0x11, &v4, invalid),
        ("another command", 0x22, 0x11, &v4, invalid),
        ("another family", 0x21, 0x41, &v4, invalid),
    ];
    for (case, command, family, rest, answer) in table {
        let bytes = binary(command, family, rest);
        assert_eq!(parse(&bytes), answer, "{case}");
        assert_eq!(parse(&[&bytes[..], b"more"].concat()), answer, "{case}, and more");
    }
    let long = binary(0x20, 0, &vec![0; V2_REST_MAX + 1]);
    assert_eq!(parse(&long[..16]), Parsed::Invalid(Fault::TooLong), "refused before it is read");
}

#[test]
fn ends_of_two_families_are_written_as_ipv6() {
    let mut line = Vec::new();
    write(Version::V1, Some(ends("1.2.3.4:5", "[::1]:6")), &mut line);
    assert_eq!(line, b"PROXY TCP6 ::ffff:1.2.3.4 ::1 5 6\r\n");
    let mut line = Vec::new();
    write(Version::V1, Some(ends("[::ffff:1.2.3.4]:5", "127.0.0.1:6")), &mut line);
    assert_eq!(line, b"PROXY TCP4 1.2.3.4 127.0.0.1 5 6\r\n");
}

fn some_ends() -> impl Strategy<Value = Ends> {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    let v4 = (any::<Ipv4Addr>(), any::<u16>(), any::<Ipv4Addr>(), any::<u16>())
        .prop_map(|(a, b, c, d)| (IpAddr::V4(a), b, IpAddr::V4(c), d));
    // One that is no mapped IPv4 address comes back as it is.
    let ip = || {
        any::<[u16; 8]>().prop_map(|mut parts| {
            parts[0] |= 0x2000;
            IpAddr::from(parts)
        })
    };
    let v6 = (ip(), any::<u16>(), ip(), any::<u16>());
    prop_oneof![v4, v6].prop_map(|(a, b, c, d)| Ends {
        source: SocketAddr::new(a, b),
        destination: SocketAddr::new(c, d),
    })
}

fn check_prefixes(bytes: &[u8]) -> Result<(), TestCaseError> {
    let whole = parse(bytes);
    for end in 0..bytes.len() {
        match parse(&bytes[..end]) {
            Parsed::More => {}
            answer => prop_assert_eq!(answer, whole, "the first {} bytes", end),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_written_is_read(
        ends in proptest::option::of(some_ends()),
        is_text in any::<bool>(),
        after in vec(any::<u8>(), 0..8),
    ) {
        let mut bytes = Vec::new();
        write(if is_text { Version::V1 } else { Version::V2 }, ends, &mut bytes);
        let length = bytes.len();
        bytes.extend(&after);
        prop_assert_eq!(parse(&bytes), Parsed::Header { ends, length });
        check_prefixes(&bytes)?;
    }

    #[test]
    fn any_prefix_asks_for_more_or_says_the_same(
        is_text in any::<bool>(),
        rest in vec(any::<u8>(), 0..64),
        keep in 0..17_usize,
    ) {
        let begin = if is_text { b"PROXY TCP4 1.2.3".to_vec() } else { binary(0x21, 0x11, &[]) };
        let keep = keep.min(begin.len());
        check_prefixes(&[&begin[..keep], &rest].concat())?;
    }

    #[test]
    fn lines_of_the_right_letters(line in "PROXY (TCP[46]|UNKNOWN)( [0-9:.af]{0,6}){0,5}\r?\n?") {
        check_prefixes(line.as_bytes())?;
    }
}
