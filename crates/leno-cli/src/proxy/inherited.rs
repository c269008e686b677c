//! What a proxy is given as descriptors: sockets that stay open when proxies change, and the key that nobody else reads.

use std::fs;
use std::io::Read as _;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use leno_proxy::Seal;
use leno_proxy::dns::Sockets;
use leno_proxy::listener::socket::Inherited;
use leno_sys::capture::SocketSupply;
use leno_sys::passing::adopt;

use super::Serve;

/// What came by inheritance.
pub(super) struct Adopted {
    pub(super) listeners: Vec<Inherited>,
    pub(super) dns: Sockets,
    pub(super) supply: Option<SocketSupply>,
}

/// Takes over every descriptor that the command line names.
pub(super) fn adopt_all(args: &Serve) -> Result<Adopted> {
    let take = |flag: &str, number: RawFd| -> Result<OwnedFd> {
        adopt(number).with_context(|| format!("{flag} {number}: not an inherited descriptor"))
    };
    let listener = |word: &String| {
        let wrong = || anyhow!("--listen-fd {word}: write it as NAME=FD");
        let (name, number) = word.split_once('=').ok_or_else(wrong)?;
        let number = number.parse().map_err(|_| wrong())?;
        Ok(Inherited::new(name.to_owned(), take("--listen-fd", number)?))
    };
    let listeners = args.listen_fd.iter().map(listener).collect::<Result<_>>()?;
    let udp = args.dns_udp_fd.iter().map(|number| take("--dns-udp-fd", *number).map(Into::into));
    let tcp = args.dns_tcp_fd.iter().map(|number| take("--dns-tcp-fd", *number).map(Into::into));
    let dns = Sockets { udp: udp.collect::<Result<_>>()?, tcp: tcp.collect::<Result<_>>()? };
    let supply = args.supply_fd.map(|number| {
        let line = take("--supply-fd", number)?;
        SocketSupply::new(line).with_context(|| format!("--supply-fd {number}"))
    });
    Ok(Adopted { listeners, dns, supply: supply.transpose()? })
}

/// Reads the key; nobody else can read it after.
pub(super) fn seal(number: RawFd) -> Result<Arc<Seal>> {
    let line = adopt(number);
    let line = line.with_context(|| format!("--seal-fd {number}: not an inherited descriptor"))?;
    let mut key = Vec::with_capacity(Seal::KEY_BYTES);
    // One more than there should be: too long is as wrong as too short.
    let limit = Seal::KEY_BYTES as u64 + 1;
    let read = fs::File::from(line).take(limit).read_to_end(&mut key);
    read.with_context(|| format!("--seal-fd {number}"))?;
    let key: [u8; Seal::KEY_BYTES] = key.try_into().map_err(|key: Vec<u8>| {
        anyhow!("--seal-fd {number}: a key is {} bytes, not {}", Seal::KEY_BYTES, key.len())
    })?;
    Ok(Arc::new(Seal::new(&key)?))
}
