//! The `inet leno` table that sends everything an app dials to its proxy.
//!
//! One netlink batch, so the table appears whole or not at all. Called once by
//! the captured child. The number of rules never grows with services or peers:
//!
//! ```text
//! table inet leno {
//!   chain out_nat    { type nat hook output priority -100
//!     udp dport 53 redirect to :DNS      tcp dport 53 redirect to :DNS
//!     ip daddr 127.0.0.0/8 return        ip6 daddr ::1 return
//!     meta l4proto tcp redirect to :OUTBOUND }
//!   chain out_filter { type filter hook output priority 0
//!     oifname "lo" ct status dnat accept
//!     ip daddr 127.0.0.0/8 accept        ip6 daddr ::1 accept
//!     meta l4proto udp ct direction original reject }
//! }
//! ```

use std::io;

use rustix::net::netlink;

use crate::netlink::{CREATE, CREATE_LAST, Reply, Request, big_endian, nested, text, transact};

mod expression;
use expression::Expression;

const TABLE: &str = "leno";
const NAT_CHAIN: &str = "out_nat";
const FILTER_CHAIN: &str = "out_filter";
const DNS: u16 = 53;

const SUBSYSTEM_NFTABLES: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = 0;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const FAMILY_INET: u8 = 1;
const HOOK_OUTPUT: u32 = 3;
const POLICY_ACCEPT: u32 = 1;
const PRIORITY_NAT: i32 = -100;
const PRIORITY_FILTER: i32 = 0;

/// Installs the table into this network namespace.
pub(crate) fn install(outbound_port: u16, dns_port: u16) -> io::Result<()> {
    transact(Some(netlink::NETFILTER), &batch(outbound_port, dns_port))
}

fn batch(outbound_port: u16, dns_port: u16) -> Vec<Request> {
    let mut requests = vec![edge(BATCH_BEGIN), table()];
    requests.push(chain(NAT_CHAIN, "nat", PRIORITY_NAT));
    requests.push(chain(FILTER_CHAIN, "filter", PRIORITY_FILTER));
    requests.extend(nat_rules(outbound_port, dns_port).iter().map(|r| rule(NAT_CHAIN, r)));
    requests.extend(filter_rules().iter().map(|r| rule(FILTER_CHAIN, r)));
    requests.push(edge(BATCH_END));
    requests
}

/// DNS stands before the loopback returns: a resolver on 127.0.0.53 is
/// captured too, and so is the default one of a host without `nameserver`.
fn nat_rules(outbound_port: u16, dns_port: u16) -> [Vec<Expression>; 5] {
    use Expression as E;
    [
        [E::udp(), E::destination_port(DNS), E::redirect(dns_port)].concat(),
        [E::tcp(), E::destination_port(DNS), E::redirect(dns_port)].concat(),
        [E::to_loopback_v4(), E::leave()].concat(),
        [E::to_loopback_v6(), E::leave()].concat(),
        [E::tcp(), E::redirect(outbound_port)].concat(),
    ]
}

/// What is neither redirected nor loopback is UDP that would vanish: refuse it,
/// so that the app notices at once (QUIC falls back to TCP).
fn filter_rules() -> [Vec<Expression>; 4] {
    use Expression as E;
    [
        [E::through_loopback_device(), E::was_redirected(), E::accept()].concat(),
        [E::to_loopback_v4(), E::accept()].concat(),
        [E::to_loopback_v6(), E::accept()].concat(),
        [E::udp(), E::original_direction(), E::reject()].concat(),
    ]
}

fn edge(kind: u16) -> Request {
    // struct nfgenmsg: family unspecified, version 0, subsystem in network order.
    let body = vec![0, 0, 0, 10];
    Request { kind, flags: 0, reply: Reply::Silent, body }
}

fn table() -> Request {
    request(NEW_TABLE, CREATE, &[text(1, TABLE), big_endian(2, 0)])
}

fn chain(name: &str, kind: &str, priority: i32) -> Request {
    let hook = [big_endian(1, HOOK_OUTPUT), big_endian(2, priority.cast_unsigned())];
    let policy = big_endian(5, POLICY_ACCEPT);
    let attributes = [text(1, TABLE), text(3, name), nested(4, &hook), policy, text(7, kind)];
    request(NEW_CHAIN, CREATE, &attributes)
}

fn rule(chain: &str, expressions: &[Expression]) -> Request {
    let encoded: Vec<Vec<u8>> = expressions.iter().map(Expression::encode).collect();
    request(NEW_RULE, CREATE_LAST, &[text(1, TABLE), text(2, chain), nested(4, &encoded)])
}

fn request(kind: u16, flags: u16, attributes: &[Vec<u8>]) -> Request {
    let mut body = vec![FAMILY_INET, 0, 0, 0];
    body.extend(attributes.concat());
    Request { kind: SUBSYSTEM_NFTABLES | kind, flags, reply: Reply::Acknowledged, body }
}

#[cfg(test)]
mod tests {
    use super::{Reply, batch};

    #[test]
    fn the_batch_is_closed_and_its_size_does_not_depend_on_ports() {
        let requests = batch(15001, 15053);
        let silent: Vec<usize> =
            (0..requests.len()).filter(|index| requests[*index].reply == Reply::Silent).collect();
        assert_eq!(silent, [0, requests.len() - 1]);
        assert_eq!(requests.len(), 2 + 3 + 9);
        let bytes = |requests: &[super::Request]| -> usize {
            requests.iter().map(|request| request.body.len()).sum()
        };
        assert_eq!(bytes(&requests), bytes(&batch(1, 65535)));
    }
}
