//! Virtual addresses of services: from 240.240.0.0/16, which nobody routes.
//!
//! The API server calls [`allocate`] when it admits a Service whose `spec.clusterIP` is empty, and writes the outcome
//! into the document; there it stays. The address is a hash of the name, moved on only where it is taken, so the same
//! service gets the same address in every mesh that does not fill the range.

use std::collections::HashSet;
use std::net::Ipv4Addr;

/// 240.240.0.0/16 without its first and last address.
const ADDRESSES: u32 = 65_534;
const FIRST: u32 = u32::from_be_bytes([240, 240, 0, 1]);

/// An address that is not in `taken`; `None` when all are.
#[must_use]
pub fn allocate<S: std::hash::BuildHasher>(
    namespace: &str,
    name: &str,
    taken: &HashSet<Ipv4Addr, S>,
) -> Option<Ipv4Addr> {
    let start = hash(namespace, name) % ADDRESSES;
    let candidates = (0..ADDRESSES).map(|step| FIRST + (start + step) % ADDRESSES);
    candidates.map(Ipv4Addr::from).find(|address| !taken.contains(address))
}

/// FNV-1a: the same on every machine and in every version.
fn hash(namespace: &str, name: &str) -> u32 {
    let bytes = namespace.bytes().chain([b'/']).chain(name.bytes());
    let hash = bytes
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_stable_distinct_and_of_the_range() {
        let mut taken = HashSet::new();
        let first = allocate("default", "reviews", &taken).unwrap();
        assert_eq!(allocate("default", "reviews", &taken), Some(first));
        assert_eq!(first.octets()[..2], [240, 240]);
        taken.insert(first);
        let second = allocate("default", "reviews", &taken).unwrap();
        assert_ne!(first, second);
        assert_eq!(u32::from(second), u32::from(first) + 1);
    }

    #[test]
    fn a_full_range_gives_nothing() {
        let mut taken: HashSet<Ipv4Addr> = (0..ADDRESSES).map(|n| (FIRST + n).into()).collect();
        assert_eq!(allocate("a", "b", &taken), None);
        let freed = Ipv4Addr::from(FIRST + 77);
        taken.remove(&freed);
        assert_eq!(allocate("a", "b", &taken), Some(freed));
    }
}
