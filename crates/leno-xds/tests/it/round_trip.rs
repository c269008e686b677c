//! `decode(encode(x)) == x` for every type, and no input panics.

use std::fmt::Debug;

use leno_xds::{Decoded, Problem};
use proptest::prelude::*;

use crate::generate;

type Decode<T> = fn(&[u8]) -> Result<Decoded<T>, Vec<Problem>>;

fn check<T: Debug + PartialEq>(value: &T, encode: fn(&T) -> Vec<u8>, decode: Decode<T>) {
    let bytes = encode(value);
    let decoded = decode(&bytes).unwrap_or_else(|problems| panic!("{problems:#?}\nin {value:#?}"));
    assert_eq!(decoded.value, *value);
    assert_eq!(encode(&decoded.value), bytes, "the same value gives the same bytes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn listener(value in generate::listener()) {
        check(&value, leno_xds::encode_listener, leno_xds::decode_listener);
    }

    #[test]
    fn route(value in generate::route_configuration()) {
        check(&value, leno_xds::encode_route, leno_xds::decode_route);
    }

    #[test]
    fn cluster(value in generate::cluster()) {
        check(&value, leno_xds::encode_cluster, leno_xds::decode_cluster);
    }

    #[test]
    fn endpoints(value in generate::load_assignment()) {
        check(&value, leno_xds::encode_endpoints, leno_xds::decode_endpoints);
    }

    /// Bytes that are nearly right: one is changed, or the end is missing.
    #[test]
    fn damaged_bytes_are_read_or_refused(
        value in generate::listener(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = leno_xds::encode_listener(&value);
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        if let Err(problems) = leno_xds::decode_listener(&bytes) {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn random_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = leno_xds::decode_listener(&bytes);
        let _ = leno_xds::decode_cluster(&bytes);
        let _ = leno_xds::decode_route(&bytes);
        let _ = leno_xds::decode_endpoints(&bytes);
    }
}
