//! What the two processes of a handover say to each other, as bytes.
//!
//! One message is one packet: `LENO`, the protocol's version, a letter, and what belongs to it. `Refused` keeps its
//! form in every version, so that whoever comes with another one is told why it is sent away.

use std::net::SocketAddr;

use leno_sys::passing::DESCRIPTORS_MAX;

use super::HandoverError;

/// The version spoken.
pub(crate) const VERSION: u8 = 1;

const MAGIC: &[u8; 4] = b"LENO";

/// Longest listener name that can be handed over, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 1024;

/// Longest message: a full set of sockets with names of the greatest length.
pub(crate) const BYTES_MAX: usize = 32 * 1024;

/// Sockets handed over at most: a proxy with more listeners and workers is misconfigured.
pub(crate) const SOCKETS_MAX: usize = 4096;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The new process wants the sockets.
    Hello { pid: u32 },
    /// Some sockets, one descriptor each, in order.
    Sockets { entries: Vec<Entry>, is_last: bool },
    /// There will be no handover.
    Refused { reason: String },
    /// The new process could serve now.
    Ready,
    /// The running process accepts nothing any more.
    Yours,
    /// The new process accepts.
    Serving,
}

/// What one socket is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) role: Role,
    /// The listener's name, where it belongs to one.
    pub(crate) listener: String,
    /// The address that was asked for (the one it has may be chosen by the kernel).
    pub(crate) address: Option<SocketAddr>,
}

/// Kinds of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Role {
    /// Bound because the configuration says so.
    Configured = b'c',
    /// Given to the process at its start.
    Inherited = b'i',
    /// Bound for an inbound address of its own.
    Inbound = b'b',
    /// Admin pages or metrics.
    Admin = b'a',
    /// Where the next process will come.
    Meeting = b'm',
    /// The workload's DNS queries as datagrams.
    DnsUdp = b'u',
    /// The same as connections.
    DnsTcp = b't',
}

impl Role {
    const ALL: [Self; 7] = [
        Self::Configured,
        Self::Inherited,
        Self::Inbound,
        Self::Admin,
        Self::Meeting,
        Self::DnsUdp,
        Self::DnsTcp,
    ];
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        match self {
            Self::Hello { pid } => {
                out.push(b'H');
                out.extend(pid.to_be_bytes());
            }
            Self::Sockets { entries, is_last } => {
                out.extend([b'S', u8::from(*is_last)]);
                for entry in entries {
                    out.push(entry.role as u8);
                    put_text(&mut out, &entry.listener);
                    put_text(&mut out, &entry.address.map_or_else(String::new, |a| a.to_string()));
                }
            }
            Self::Refused { reason } => {
                out.push(b'X');
                out.extend(reason.as_bytes());
            }
            Self::Ready => out.push(b'R'),
            Self::Yours => out.push(b'Y'),
            Self::Serving => out.push(b'V'),
        }
        out
    }

    /// # Errors
    /// `Protocol` for anything that [`Message::encode`] of this version does not write.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HandoverError> {
        let wrong = HandoverError::Protocol;
        let rest = bytes.strip_prefix(MAGIC).ok_or(wrong("not a handover"))?;
        let [version, kind, payload @ ..] = rest else { return Err(wrong("cut short")) };
        if *kind == b'X' {
            return Ok(Self::Refused { reason: String::from_utf8_lossy(payload).into_owned() });
        }
        if *version != VERSION {
            return Err(wrong("another version"));
        }
        match (kind, payload) {
            (b'H', payload) => {
                let pid = payload.try_into().map_err(|_| wrong("a process id of four bytes"))?;
                Ok(Self::Hello { pid: u32::from_be_bytes(pid) })
            }
            (b'S', [is_last @ (0 | 1), payload @ ..]) => {
                let entries = entries(payload).ok_or(wrong("malformed sockets"))?;
                Ok(Self::Sockets { entries, is_last: *is_last == 1 })
            }
            (b'R', []) => Ok(Self::Ready),
            (b'Y', []) => Ok(Self::Yours),
            (b'V', []) => Ok(Self::Serving),
            _ => Err(wrong("an unknown message")),
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("names are cut to NAME_BYTES_MAX before");
    out.extend(length.to_be_bytes());
    out.extend(text.as_bytes());
}

fn entries(mut payload: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while let [role, rest @ ..] = payload {
        let role = *Role::ALL.iter().find(|known| **known as u8 == *role)?;
        payload = rest;
        let listener = text(&mut payload)?.to_owned();
        let address = match text(&mut payload)? {
            "" => None,
            text => Some(text.parse().ok()?),
        };
        entries.push(Entry { role, listener, address });
        if entries.len() > DESCRIPTORS_MAX {
            return None;
        }
    }
    Some(entries)
}

fn text<'a>(payload: &mut &'a [u8]) -> Option<&'a str> {
    let (length, rest) = payload.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *payload = rest;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Entry, Message, Role, VERSION};

    fn entry() -> impl Strategy<Value = Entry> {
        let address = proptest::option::of(any::<std::net::SocketAddrV4>());
        (proptest::sample::select(&Role::ALL[..]), ".{0,40}", address).prop_map(
            |(role, listener, address)| Entry { role, listener, address: address.map(Into::into) },
        )
    }

    fn message() -> impl Strategy<Value = Message> {
        prop_oneof![
            any::<u32>().prop_map(|pid| Message::Hello { pid }),
            (proptest::collection::vec(entry(), 0..=16), any::<bool>())
                .prop_map(|(entries, is_last)| Message::Sockets { entries, is_last }),
            ".{0,80}".prop_map(|reason| Message::Refused { reason }),
            Just(Message::Ready),
            Just(Message::Yours),
            Just(Message::Serving),
        ]
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(message in message()) {
            prop_assert_eq!(Message::decode(&message.encode()).unwrap(), message);
        }

        #[test]
        fn strange_bytes_are_refused_and_never_misread(
            message in message(), cut in any::<proptest::sample::Index>(),
        ) {
            let bytes = message.encode();
            let cut = cut.index(bytes.len());
            match Message::decode(&bytes[..cut]) {
                // A reason is for people: half a character of it is shown as best it can be.
                Err(_) | Ok(Message::Refused { .. }) => {}
                Ok(read) => prop_assert_eq!(read.encode(), &bytes[..cut]),
            }
        }
    }

    #[test]
    fn another_version_is_told_apart_and_its_refusal_understood() {
        let mut hello = Message::Hello { pid: 1 }.encode();
        hello[4] = VERSION + 1;
        let error = Message::decode(&hello).unwrap_err();
        assert_eq!(error.to_string(), "the other process speaks another protocol: another version");
        let refused = Message::Refused { reason: "why".into() };
        let mut bytes = refused.encode();
        bytes[4] = VERSION + 1;
        assert_eq!(Message::decode(&bytes).unwrap(), refused);
    }
}
