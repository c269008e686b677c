//! Tables, and that no prefix contradicts the whole.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{ClientHello, PROTOCOLS_MAX, Tls, parse};

const MAX: usize = 16 * 1024;

/// What a ClientHello is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Made {
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) alpn: Vec<Vec<u8>>,
    versions: Vec<u16>,
    session: Vec<u8>,
    ticket: Option<Vec<u8>>,
    has_pre_shared_key: bool,
    padding: usize,
}

fn short(value: &[u8]) -> Vec<u8> {
    [&[u8::try_from(value.len()).unwrap()], value].concat()
}

fn long(value: &[u8]) -> Vec<u8> {
    [&u16::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
}

fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &long(value)].concat()
}

fn name_extension(name: &[u8]) -> Vec<u8> {
    extension(0, &long(&[&[0][..], &long(name)].concat()))
}

impl Made {
    fn extensions(&self) -> Vec<u8> {
        let mut all = Vec::new();
        if self.padding > 0 {
            all.extend(extension(21, &vec![0; self.padding]));
        }
        if let Some(name) = &self.name {
            all.extend(name_extension(name));
        }
        if !self.alpn.is_empty() {
            let list: Vec<u8> = self.alpn.iter().flat_map(|name| short(name)).collect();
            all.extend(extension(16, &long(&list)));
        }
        if !self.versions.is_empty() {
            let list: Vec<u8> = self.versions.iter().flat_map(|v| v.to_be_bytes()).collect();
            all.extend(extension(43, &short(&list)));
        }
        if let Some(ticket) = &self.ticket {
            all.extend(extension(35, ticket));
        }
        if self.has_pre_shared_key {
            all.extend(extension(41, &[0; 8]));
        }
        all
    }

    pub(crate) fn message(&self) -> Vec<u8> {
        message(&self.session, &self.extensions())
    }
}

fn message(session: &[u8], extensions: &[u8]) -> Vec<u8> {
    let rest = [&long(&[0x13, 0x01])[..], &[1, 0], &long(extensions)].concat();
    let body = [&[3, 3][..], &[7; 32], &short(session), &rest].concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1, length[1], length[2], length[3]], &body[..]].concat()
}

/// The message in records of at most `size` bytes.
pub(crate) fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[0x16, 3, 1][..], &long(part)].concat();
    message.chunks(size).flat_map(record).collect()
}

fn hello(made: &Made) -> ClientHello {
    match parse(&records(&made.message(), MAX), MAX) {
        Tls::Hello(hello) => *hello,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_hello_gives_up_what_chains_are_chosen_by() {
    let plain = Made::default();
    let none = ClientHello { version: 0x0303, ..ClientHello::default() };
    let bytes = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
    // (case, made of, what is read)
    let table = [
        ("nothing said", plain.clone(), none.clone()),
        (
            "a name in any case, and protocols in order",
            Made {
                name: Some(b"Reviews.Default".to_vec()),
                alpn: bytes(&["istio-peer-exchange", "h2"]),
                ..plain.clone()
            },
            ClientHello {
                server_name: Some("reviews.default".into()),
                alpn: bytes(&["istio-peer-exchange", "h2"]),
                ..none.clone()
            },
        ),
        (
            "a name with a NUL is none",
            Made { name: Some(b"a\0b".to_vec()), ..plain.clone() },
            none.clone(),
        ),
        (
            "reserved versions are not versions",
            Made { versions: vec![0x5a5a, 0x0304, 0x0303], ..plain.clone() },
            ClientHello { version: 0x0304, ..none.clone() },
        ),
        (
            "an empty ticket asks for one",
            Made { ticket: Some(Vec::new()), ..plain.clone() },
            none.clone(),
        ),
        (
            "a ticket resumes",
            Made { ticket: Some(vec![1]), ..plain.clone() },
            ClientHello { resumes: true, ..none.clone() },
        ),
        (
            "a session id resumes in TLS 1.2",
            Made { session: vec![1; 32], ..plain.clone() },
            ClientHello { resumes: true, ..none.clone() },
        ),
        (
            "and is only for show in TLS 1.3",
            Made { session: vec![1; 32], versions: vec![0x0304], ..plain.clone() },
            ClientHello { version: 0x0304, ..none.clone() },
        ),
        (
            "a pre-shared key resumes",
            Made { versions: vec![0x0304], has_pre_shared_key: true, ..plain },
            ClientHello { version: 0x0304, resumes: true, ..none },
        ),
    ];
    for (case, made, expected) in table {
        assert_eq!(hello(&made), expected, "{case}");
    }
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
        assert_eq!(parse(bytes, MAX), Tls::No, "{case}");
    }
    let twice = [name_extension(b"a"), name_extension(b"b")].concat();
    let two_names = [&[0][..], &long(b"a"), &[0], &long(b"b")].concat();
    let no_protocol = extension(16, &long(&[0]));
    let cut_short = [0, 0, 0, 9, 0];
    // (case, extensions)
    let table: [(&str, &[u8]); 4] = [
        ("the name twice", &twice),
        ("two names", &extension(0, &long(&two_names))),
        ("a protocol without a name", &no_protocol),
        ("a length beyond the message", &cut_short),
    ];
    for (case, extensions) in table {
        assert_eq!(parse(&records(&message(&[], extensions), MAX), MAX), Tls::No, "{case}");
    }
}

#[test]
fn what_a_peer_can_make_us_hold_is_bounded() {
    let many = Made { alpn: vec![b"x".to_vec(); 4 * PROTOCOLS_MAX], ..Made::default() };
    assert_eq!(hello(&many).alpn.len(), PROTOCOLS_MAX);
    let long = records(&Made { padding: 2000, ..Made::default() }.message(), MAX);
    assert_eq!(parse(&long, long.len() - 1), Tls::No, "longer than is looked at");
    assert_eq!(parse(&long[..long.len() - 1], MAX), Tls::More);
    // One byte a record: six bytes on the wire for each of the message.
    let dripped = records(&Made::default().message(), 1);
    assert!(matches!(parse(&dripped, MAX), Tls::Hello(_)));
}

fn made() -> impl Strategy<Value = Made> {
    let bytes = |most| vec(any::<u8>(), 0..most);
    let alpn = vec(vec(any::<u8>(), 1..8), 0..4);
    let versions = vec(prop_oneof![Just(0x0304_u16), Just(0x0303), any::<u16>()], 0..4);
    let name =
        proptest::option::of(
            prop_oneof!["[a-z*.-]{1,20}".prop_map(String::into_bytes), bytes(20),],
        );
    let ticket = proptest::option::of(bytes(40));
    (name, alpn, versions, bytes(33), ticket, any::<bool>(), 0..300_usize).prop_map(
        |(name, alpn, versions, session, ticket, has_pre_shared_key, padding)| Made {
            name,
            alpn,
            versions,
            session,
            ticket,
            has_pre_shared_key,
            padding,
        },
    )
}

/// No prefix says what a longer one takes back.
fn check_prefixes(bytes: &[u8], max: usize) -> Result<(), TestCaseError> {
    let whole = parse(bytes, max);
    for end in 0..bytes.len() {
        match parse(&bytes[..end], max) {
            Tls::More => {}
            answer => prop_assert_eq!(&answer, &whole, "the first {} bytes", end),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_prefix_asks_for_more_or_says_the_same(
        made in made(),
        size in 1..200_usize,
        damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        after in vec(any::<u8>(), 0..20),
        max in prop_oneof![Just(MAX), 1..400_usize],
    ) {
        let mut bytes = [records(&made.message(), size), after].concat();
        if let Some((at, value)) = damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        check_prefixes(&bytes, max)?;
    }

    #[test]
    fn how_it_is_cut_into_records_makes_no_difference(made in made(), size in 1..200_usize) {
        let message = made.message();
        prop_assert_eq!(parse(&records(&message, size), MAX), parse(&records(&message, MAX), MAX));
    }

    #[test]
    fn arbitrary_bytes_are_never_taken_back(bytes in vec(any::<u8>(), 0..64)) {
        check_prefixes(&[&[0x16, 3, 1][..], &bytes].concat(), MAX)?;
    }
}
