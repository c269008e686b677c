//! rtnetlink for a fresh network namespace: `lo` up, and every address local.
//!
//! Called by the captured child once. With `local default dev lo` in the local
//! table each address is "here": a connect to any address reaches the redirect,
//! the app may bind any pod address, and a socket may carry any source address.

use std::io;

use crate::netlink::{CREATE_NEW, Reply, Request, attribute, transact};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWROUTE: u16 = 24;
const RTA_OIF: u16 = 4;
const IFF_UP: u32 = 1;
/// `lo` is the first interface of every network namespace.
const LOOPBACK_INDEX: u32 = 1;
const TABLE_LOCAL: u8 = 255;
const PROTOCOL_BOOT: u8 = 3;
const SCOPE_HOST: u8 = 254;
const TYPE_LOCAL: u8 = 2;

/// Address families as the kernel numbers them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Family {
    V4 = 2,
    V6 = 10,
}

/// Brings the loopback interface up.
pub(crate) fn bring_up() -> io::Result<()> {
    // struct ifinfomsg: family, pad, type, index, flags, change mask.
    let mut body = vec![0_u8; 4];
    for word in [LOOPBACK_INDEX, IFF_UP, IFF_UP] {
        body.extend(word.to_ne_bytes());
    }
    send(Request { kind: RTM_NEWLINK, flags: 0, reply: Reply::Acknowledged, body })
}

/// Makes every address of `family` local to this namespace.
pub(crate) fn make_everything_local(family: Family) -> io::Result<()> {
    // struct rtmsg: family, prefix lengths, tos, table, protocol, scope, type, flags.
    let mut body =
        vec![family as u8, 0, 0, 0, TABLE_LOCAL, PROTOCOL_BOOT, SCOPE_HOST, TYPE_LOCAL, 0, 0, 0, 0];
    body.extend(attribute(RTA_OIF, &LOOPBACK_INDEX.to_ne_bytes()));
    send(Request { kind: RTM_NEWROUTE, flags: CREATE_NEW, reply: Reply::Acknowledged, body })
}

fn send(request: Request) -> io::Result<()> {
    transact(None, &[request])
}
