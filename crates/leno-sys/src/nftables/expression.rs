//! The nf_tables expressions our rules are made of, each as its netlink bytes.
//!
//! Values travel through register 1; a comparison that fails ends the rule.
//! Attribute numbers are those of `linux/netfilter/nf_tables.h`.

use crate::netlink::{attribute, big_endian, nested, text};

const REGISTER_1: u32 = 1;
const REGISTER_VERDICT: u32 = 0;
const META_OUTPUT_DEVICE_NAME: u32 = 7;
const META_NETWORK_PROTOCOL: u32 = 15;
const META_TRANSPORT_PROTOCOL: u32 = 16;
const TRACK_DIRECTION: u32 = 1;
const TRACK_STATUS: u32 = 2;
/// `IPS_DST_NAT`: the connection's destination was rewritten.
const STATUS_REDIRECTED: u32 = 1 << 5;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const ACCEPT: u32 = 1;
const RETURN: u32 = (-5_i32).cast_unsigned();
const PROTOCOL_V4: u8 = 2;
const PROTOCOL_V6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// `NF_NAT_RANGE_PROTO_SPECIFIED`: the port in the register counts.
const PORT_GIVEN: u32 = 2;
const REJECT_ICMPX: u32 = 2;
const PORT_UNREACHABLE: u8 = 1;

/// One step of a rule.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    name: &'static str,
    attributes: Vec<u8>,
}

impl Expression {
    pub(super) fn encode(&self) -> Vec<u8> {
        // NFTA_LIST_ELEM { NFTA_EXPR_NAME, NFTA_EXPR_DATA }
        nested(1, &[text(1, self.name), nested(2, std::slice::from_ref(&self.attributes))])
    }

    pub(super) fn tcp() -> Vec<Self> {
        vec![Self::meta(META_TRANSPORT_PROTOCOL), Self::is(&[TCP])]
    }

    pub(super) fn udp() -> Vec<Self> {
        vec![Self::meta(META_TRANSPORT_PROTOCOL), Self::is(&[UDP])]
    }

    pub(super) fn destination_port(port: u16) -> Vec<Self> {
        vec![Self::payload(TRANSPORT_HEADER, 2, 2), Self::is(&port.to_be_bytes())]
    }

    pub(super) fn to_loopback_v4() -> Vec<Self> {
        let mut steps = vec![Self::meta(META_NETWORK_PROTOCOL), Self::is(&[PROTOCOL_V4])];
        steps.push(Self::payload(NETWORK_HEADER, 16, 4));
        steps.push(Self::mask(&[255, 0, 0, 0]));
        steps.push(Self::is(&[127, 0, 0, 0]));
        steps
    }

    pub(super) fn to_loopback_v6() -> Vec<Self> {
        let mut steps = vec![Self::meta(META_NETWORK_PROTOCOL), Self::is(&[PROTOCOL_V6])];
        steps.push(Self::payload(NETWORK_HEADER, 24, 16));
        steps.push(Self::is(&std::net::Ipv6Addr::LOCALHOST.octets()));
        steps
    }

    pub(super) fn through_loopback_device() -> Vec<Self> {
        // Interface names are compared whole: IFNAMSIZ bytes, zero padded.
        let mut name = [0_u8; 16];
        name[..2].copy_from_slice(b"lo");
        vec![Self::meta(META_OUTPUT_DEVICE_NAME), Self::is(&name)]
    }

    pub(super) fn was_redirected() -> Vec<Self> {
        let bit = STATUS_REDIRECTED.to_ne_bytes();
        vec![Self::track(TRACK_STATUS), Self::mask(&bit), Self::compare(NOT_EQUAL, &[0; 4])]
    }

    pub(super) fn original_direction() -> Vec<Self> {
        vec![Self::track(TRACK_DIRECTION), Self::is(&[0])]
    }

    pub(super) fn redirect(port: u16) -> Vec<Self> {
        let load = [big_endian(1, REGISTER_1), nested(2, &[attribute(1, &port.to_be_bytes())])];
        let to = [big_endian(1, REGISTER_1), big_endian(3, PORT_GIVEN)];
        vec![Self::new("immediate", &load), Self::new("redir", &to)]
    }

    pub(super) fn accept() -> Vec<Self> {
        Self::verdict(ACCEPT)
    }

    /// Ends this chain with its policy.
    pub(super) fn leave() -> Vec<Self> {
        Self::verdict(RETURN)
    }

    pub(super) fn reject() -> Vec<Self> {
        let code = attribute(2, &[PORT_UNREACHABLE]);
        vec![Self::new("reject", &[big_endian(1, REJECT_ICMPX), code])]
    }

    fn verdict(code: u32) -> Vec<Self> {
        let data = nested(2, &[nested(2, &[big_endian(1, code)])]);
        vec![Self::new("immediate", &[big_endian(1, REGISTER_VERDICT), data])]
    }

    fn meta(key: u32) -> Self {
        Self::new("meta", &[big_endian(2, key), big_endian(1, REGISTER_1)])
    }

    fn track(key: u32) -> Self {
        Self::new("ct", &[big_endian(1, REGISTER_1), big_endian(2, key)])
    }

    fn payload(base: u32, offset: u32, length: u32) -> Self {
        let place = [big_endian(2, base), big_endian(3, offset), big_endian(4, length)];
        Self::new("payload", &[&[big_endian(1, REGISTER_1)][..], &place[..]].concat())
    }

    fn mask(mask: &[u8]) -> Self {
        let registers = [big_endian(1, REGISTER_1), big_endian(2, REGISTER_1)];
        let length = big_endian(3, mask.len() as u32);
        let and = nested(4, &[attribute(1, mask)]);
        let xor = nested(5, &[attribute(1, &vec![0; mask.len()])]);
        Self::new("bitwise", &[&registers[..], &[length, and, xor][..]].concat())
    }

    fn is(value: &[u8]) -> Self {
        Self::compare(EQUAL, value)
    }

    fn compare(operator: u32, value: &[u8]) -> Self {
        let data = nested(3, &[attribute(1, value)]);
        Self::new("cmp", &[big_endian(1, REGISTER_1), big_endian(2, operator), data])
    }

    fn new(name: &'static str, attributes: &[Vec<u8>]) -> Self {
        Self { name, attributes: attributes.concat() }
    }
}
