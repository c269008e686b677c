//! What the launching process and its waiting child say to each other.
//!
//! One message per line of the conversation: `Ready` or `Refused` from the
//! child, the environment to it, then silence (the exec closed the channel) or
//! `NotExecuted`.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::{SocketSupply, Sockets};

/// The environment of an exec is limited by the kernel to a quarter of the
/// stack; what we add is a few lines.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// One step of the setup, in the order they are done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// `unshare(CLONE_NEWUSER | CLONE_NEWNET)`.
    Unshare,
    /// Writing the user and group maps.
    MapUser,
    /// Bringing `lo` up.
    Loopback,
    /// The local default routes.
    Routes,
    /// The nf_tables batch.
    Rules,
    /// Letting the app bind ports below 1024.
    LowPorts,
    /// Making the proxy's sockets.
    Sockets,
    /// Starting the process that makes sockets later.
    Supply,
    /// Dropping capabilities.
    Capabilities,
}

impl Step {
    const ALL: [Self; 9] = [
        Self::Unshare,
        Self::MapUser,
        Self::Loopback,
        Self::Routes,
        Self::Rules,
        Self::LowPorts,
        Self::Sockets,
        Self::Supply,
        Self::Capabilities,
    ];
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Unshare => "making a user and network namespace",
            Self::MapUser => "mapping the user into its namespace",
            Self::Loopback => "bringing up the loopback interface inside",
            Self::Routes => "routing every address to the loopback interface inside",
            Self::Rules => "installing the nf_tables redirect inside",
            Self::LowPorts => "allowing ports below 1024 inside",
            Self::Sockets => "listening inside",
            Self::Supply => "starting the socket supply inside",
            Self::Capabilities => "dropping capabilities inside",
        })
    }
}

/// What a passed descriptor is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Outbound = 1,
    DnsUdp = 2,
    DnsTcp = 3,
    Supply = 4,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Outbound, Self::DnsUdp, Self::DnsTcp, Self::Supply]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A line from the child.
#[derive(Debug, PartialEq)]
pub(super) enum FromChild {
    Ready { kinds: Vec<Kind> },
    Refused { step: Step, errno: i32 },
    NotExecuted { errno: i32 },
}

impl FromChild {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ready { kinds } => {
                let mut bytes = vec![b'R'];
                bytes.extend(kinds.iter().map(|kind| *kind as u8));
                bytes
            }
            Self::Refused { step, errno } => {
                let mut bytes = vec![b'E', *step as u8];
                bytes.extend(errno.to_ne_bytes());
                bytes
            }
            Self::NotExecuted { errno } => {
                let mut bytes = vec![b'X'];
                bytes.extend(errno.to_ne_bytes());
                bytes
            }
        }
    }

    /// An empty line means that the child died; it says `UnexpectedEof`.
    pub(super) fn decode(bytes: &[u8]) -> io::Result<Self> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let errno = |rest: &[u8]| rest.try_into().map(i32::from_ne_bytes).map_err(|_| invalid());
        match bytes {
            [] => Err(io::ErrorKind::UnexpectedEof.into()),
            [b'R', kinds @ ..] => {
                let kinds = kinds.iter().map(|byte| Kind::from_byte(*byte)).collect::<Option<_>>();
                Ok(Self::Ready { kinds: kinds.ok_or_else(invalid)? })
            }
            [b'E', step, rest @ ..] => {
                let known = Step::ALL.get(usize::from(*step)).copied().ok_or_else(invalid)?;
                Ok(Self::Refused { step: known, errno: errno(rest)? })
            }
            [b'X', rest @ ..] => Ok(Self::NotExecuted { errno: errno(rest)? }),
            _ => Err(invalid()),
        }
    }
}

/// Puts passed descriptors where their kinds say.
pub(super) fn sort(
    kinds: &[Kind],
    descriptors: Vec<OwnedFd>,
) -> io::Result<(Sockets, Option<SocketSupply>)> {
    if kinds.len() != descriptors.len() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut sockets = Sockets::default();
    let mut supply = None;
    for (kind, descriptor) in kinds.iter().zip(descriptors) {
        match kind {
            Kind::Outbound => sockets.outbound.push(descriptor.into()),
            Kind::DnsUdp => sockets.dns_udp.push(descriptor.into()),
            Kind::DnsTcp => sockets.dns_tcp.push(descriptor.into()),
            Kind::Supply => supply = Some(SocketSupply::new(descriptor)?),
        }
    }
    Ok((sockets, supply))
}

/// A line to the child: `NAME=VALUE` pairs, each ended by a NUL.
pub(super) struct ToChild;

impl ToChild {
    /// Fails with `InvalidInput` when a name is empty or holds `=`, when either
    /// part holds a NUL, or when all is longer than a message.
    pub(super) fn encode_environment(pairs: &[(OsString, OsString)]) -> io::Result<Vec<u8>> {
        let mut bytes = vec![b'G'];
        for (name, value) in pairs {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            let wrong = name.is_empty() || name.contains(&b'=');
            if wrong || name.contains(&0) || value.contains(&0) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            bytes.extend([name, b"=", value, b"\0"].concat());
        }
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(bytes)
    }

    /// `None` when the line is not an environment: the parent is gone.
    pub(super) fn decode_environment(bytes: &[u8]) -> Option<Vec<(OsString, OsString)>> {
        let [b'G', lines @ ..] = bytes else { return None };
        let lines = lines.split(|byte| *byte == 0).filter(|line| !line.is_empty());
        lines.map(split_pair).collect()
    }
}

fn split_pair(line: &[u8]) -> Option<(OsString, OsString)> {
    let at = line.iter().position(|byte| *byte == b'=')?;
    let name = OsStr::from_bytes(&line[..at]).to_owned();
    Some((name, OsString::from_vec(line[at + 1..].to_vec())))
}

#[cfg(test)]
mod tests {
    use super::{FromChild, Kind, Step, ToChild};
    use std::ffi::OsString;

    #[test]
    fn decoding_undoes_encoding() {
        let refused = Step::ALL.map(|step| FromChild::Refused { step, errno: 28 });
        let mut lines = Vec::from(refused);
        lines.push(FromChild::Ready { kinds: vec![Kind::Outbound, Kind::Supply, Kind::DnsTcp] });
        lines.push(FromChild::Ready { kinds: vec![] });
        lines.push(FromChild::NotExecuted { errno: 2 });
        for line in lines {
            assert_eq!(FromChild::decode(&line.encode()).unwrap(), line);
        }
    }

    #[test]
    fn lines_nobody_sends_are_refused() {
        for bytes in [&b""[..], b"R\x09", b"E", b"E\x09\0\0\0\0", b"X\0", b"?"] {
            assert!(FromChild::decode(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn an_environment_travels_whole_or_not_at_all() {
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let pairs = [pair("A", "1=2"), pair("EMPTY", ""), pair("B", "x y\n")];
        let bytes = ToChild::encode_environment(&pairs).unwrap();
        assert_eq!(ToChild::decode_environment(&bytes).unwrap(), pairs);
        assert_eq!(ToChild::decode_environment(b""), None);
        for wrong in [pair("", "x"), pair("A=B", "x"), pair("A", "\0")] {
            assert!(ToChild::encode_environment(&[wrong]).is_err());
        }
    }
}
