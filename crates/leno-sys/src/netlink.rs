//! Netlink messages as bytes, and one exchange of them with the kernel.
//!
//! Used by `loopback` and `nftables`; both build [`Request`]s and call
//! [`transact`]. Invariant: every wait is bounded by [`REPLY_TIMEOUT`].

use std::io;
use std::time::Duration;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto,
    socket_with,
};

/// The kernel answers from within `sendto`; this only guards against a kernel
/// that never does.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const NLA_F_NESTED: u16 = 0x8000;
const HEADER_BYTES: usize = 16;

/// Makes the object; it must not exist before (`NLM_F_CREATE | NLM_F_EXCL`).
pub(crate) const CREATE_NEW: u16 = 0x400 | 0x200;
/// Makes the object (`NLM_F_CREATE`).
pub(crate) const CREATE: u16 = 0x400;
/// Makes the object behind those of its kind (`NLM_F_CREATE | NLM_F_APPEND`).
pub(crate) const CREATE_LAST: u16 = 0x400 | 0x800;

/// Whether the kernel reports the outcome of a request on its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reply {
    Acknowledged,
    Silent,
}

/// One netlink request before it has a sequence number.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) reply: Reply,
    pub(crate) body: Vec<u8>,
}

/// Sends all `requests` in one datagram and waits until each that asked for an
/// acknowledgement has one. The first refusal becomes the error. No protocol
/// means protocol 0, rtnetlink.
pub(crate) fn transact(protocol: Option<Protocol>, requests: &[Request]) -> io::Result<()> {
    let kind = SocketType::RAW;
    let socket = socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, protocol)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(REPLY_TIMEOUT))?;
    let bytes = encode(requests);
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&socket, &bytes, SendFlags::empty(), &kernel)?;

    let mut missing = requests.iter().filter(|r| r.reply == Reply::Acknowledged).count();
    let mut buffer = vec![0_u8; 32 * 1024];
    while missing > 0 {
        let (_, received) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        for outcome in outcomes(&buffer[..received.min(buffer.len())]) {
            outcome?;
            missing = missing.saturating_sub(1);
        }
    }
    Ok(())
}

fn encode(requests: &[Request]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4096);
    for (sequence, request) in (1_u32..).zip(requests) {
        let ack = match request.reply {
            Reply::Acknowledged => NLM_F_ACK,
            Reply::Silent => 0,
        };
        let length = (HEADER_BYTES + request.body.len()) as u32;
        bytes.extend(length.to_ne_bytes());
        bytes.extend(request.kind.to_ne_bytes());
        bytes.extend((request.flags | NLM_F_REQUEST | ack).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(&request.body);
        pad(&mut bytes);
    }
    bytes
}

/// What each error message in a datagram from the kernel says; `Ok` is an
/// acknowledgement. Messages of other kinds are skipped.
fn outcomes(datagram: &[u8]) -> Vec<io::Result<()>> {
    let mut found = Vec::new();
    let mut rest = datagram;
    while let (Some(length), Some(kind)) = (word(rest, 0), rest.get(4..6)) {
        let is_error = kind == NLMSG_ERROR.to_ne_bytes();
        if let (true, Some(code)) = (is_error, word(rest, HEADER_BYTES)) {
            let errno = (code as i32).wrapping_neg();
            found.push(if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) });
        }
        let step = (length as usize).max(HEADER_BYTES).next_multiple_of(4);
        rest = rest.get(step..).unwrap_or_default();
    }
    found
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// One attribute: length, kind, payload, padding to four bytes.
pub(crate) fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 8);
    bytes.extend(((4 + payload.len()) as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(payload);
    pad(&mut bytes);
    bytes
}

/// An attribute whose payload is attributes.
pub(crate) fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NLA_F_NESTED, &parts.concat())
}

/// A NUL-terminated string attribute.
pub(crate) fn text(kind: u16, value: &str) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    attribute(kind, &bytes)
}

/// A 32-bit attribute in network order, as nf_tables has them.
pub(crate) fn big_endian(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::{Reply, Request, attribute, encode, nested, outcomes, text};

    #[test]
    fn attributes_are_padded_but_their_length_is_not() {
        // (case, bytes, expected on a little-endian machine)
        let table: [(&str, Vec<u8>, &[u8]); 3] = [
            ("empty", attribute(3, &[]), &[4, 0, 3, 0]),
            ("padded", text(1, "lo"), &[7, 0, 1, 0, b'l', b'o', 0, 0]),
            ("nested", nested(2, &[attribute(1, &[9])]), &[12, 0, 2, 0x80, 5, 0, 1, 0, 9, 0, 0, 0]),
        ];
        for (case, bytes, expected) in table {
            if cfg!(target_endian = "little") {
                assert_eq!(bytes, expected, "{case}");
            }
        }
    }

    #[test]
    fn requests_are_numbered_from_one_and_aligned() {
        let request = |body: &[u8]| Request {
            kind: 16,
            flags: 0,
            reply: Reply::Acknowledged,
            body: body.to_vec(),
        };
        let bytes = encode(&[request(&[1, 2, 3]), request(&[])]);
        assert_eq!(bytes.len(), 20 + 16);
        assert_eq!(bytes[..4], 19_u32.to_ne_bytes());
        assert_eq!(bytes[28..32], 2_u32.to_ne_bytes());
    }

    #[test]
    fn a_cut_datagram_ends_the_walk() {
        let mut error = vec![0_u8; 36];
        error[..4].copy_from_slice(&36_u32.to_ne_bytes());
        error[4..6].copy_from_slice(&2_u16.to_ne_bytes());
        error[16..20].copy_from_slice(&(-1_i32).to_ne_bytes());
        let refused = outcomes(&error);
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].as_ref().unwrap_err().raw_os_error(), Some(1));
        for cut in 0..error.len() {
            assert!(outcomes(&error[..cut]).len() <= 1);
        }
        assert!(outcomes(&[0; 64]).is_empty());
    }
}
