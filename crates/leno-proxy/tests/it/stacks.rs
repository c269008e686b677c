//! Listeners with several addresses, and sockets of IPv6 where IPv4 is taken too.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

use leno_core::config::{Listener, ListenerAddress};
use leno_core::snapshot::Resources;

use crate::basic::{GET, OK};
use crate::config::{LISTENER, cluster, forward, http_listener, route, start, with_listener};
use crate::envoy::{Pair, file_at, http, log, poll, text};
use crate::origin::{Peer, answering};

/// Who came, and by which of the listener's addresses.
const FORMAT: &str = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% \
                      %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %RESPONSE_CODE%";

fn file(address: &str, path: &Path) -> String {
    let settings = format!("use_remote_address: true\n{}", log(path, &text(FORMAT)));
    let route = "{ match: { prefix: / }, direct_response: { status: 200, body: { inline_string: served } } }";
    file_at(address, &http("", &settings, route, ""), &[])
}

fn called(address: SocketAddr) -> bool {
    std::net::TcpStream::connect(address)
        .is_ok_and(|_| Peer::connect(address).call(GET).ends_with("served"))
}

#[test]
fn a_socket_of_ipv6_takes_ipv4_as_with_envoy() {
    let address = |more: &str| {
        format!("address: {{ socket_address: {{ address: '::', port_value: 0{more} }} }}")
    };
    for addresses in [address(", ipv4_compat: true"), address("")] {
        let Some(pair) = Pair::start(|log| file(&addresses, log)) else { return };
        let [ours, theirs] = pair.addresses.map(|address| {
            let port = address.port();
            let clients: [SocketAddr; 2] =
                [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
            clients.map(called)
        });
        assert_eq!(ours, theirs, "{addresses}");
        assert_eq!(ours, [addresses.contains("compat"), true], "{addresses}");
        let [ours, theirs] = pair.logged(ours.iter().filter(|served| **served).count());
        assert_eq!(ours, theirs, "{addresses}");
    }
}

/// A listener at these addresses, all requests to `origin`.
fn at(addresses: &[ListenerAddress], origin: SocketAddr) -> Resources {
    let (first, more) = addresses.split_first().unwrap();
    let listener = Listener {
        address: first.clone(),
        additional_addresses: more.to_vec(),
        ..http_listener(vec![route("/", forward("c"))])
    };
    with_listener(listener, vec![cluster("c", &[origin])])
}

fn socket(text: &str) -> ListenerAddress {
    text.parse::<SocketAddr>().unwrap().into()
}

/// Connects until that is refused.
fn is_gone(address: SocketAddr) {
    poll("the end of a socket", || std::net::TcpStream::connect(address).err());
}

#[test]
fn every_address_is_served_and_they_move_together() {
    let (origin, _requests) = answering(OK);
    let dual_stack = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0);
    let three =
        [socket("127.0.0.1:0"), socket("[::1]:0"), ListenerAddress::DualStack { dual_stack }];
    let (proxy, first) = start(at(&three, origin));
    let bound = proxy.addresses(LISTENER);
    assert_eq!((bound.len(), bound[0]), (3, first));
    let any = bound[2].port();
    let last = [([127, 0, 0, 1], any).into(), (Ipv6Addr::LOCALHOST, any).into()];
    for address in bound[..2].iter().chain(&last) {
        assert_eq!(Peer::connect(*address).call(GET), OK, "{address}");
    }
    // One goes: connections that came by it stay, as its filter chains do.
    let mut kept = Peer::connect(bound[1]);
    assert_eq!(kept.call(GET), OK);
    proxy.publish(at(&[three[0].clone(), three[2].clone()], origin)).unwrap();
    is_gone(bound[1]);
    assert_eq!(kept.call(GET), OK);
    assert_eq!(proxy.addresses(LISTENER), [bound[0], bound[2]], "the others are as they were");
    // The first one goes, and another is there.
    proxy.publish(at(&[three[2].clone(), three[1].clone()], origin)).unwrap();
    is_gone(bound[0]);
    let moved = proxy.addresses(LISTENER);
    assert_eq!((moved.len(), moved[0]), (2, bound[2]));
    assert_eq!(Peer::connect(moved[1]).call(GET), OK);
    // All end together.
    proxy.publish(Resources::default()).unwrap();
    assert_eq!(kept.rest(), "");
    is_gone(last[0]);
    is_gone(moved[1]);
}

#[test]
fn an_address_that_is_taken_is_named_and_nothing_moves() {
    let (origin, _requests) = answering(OK);
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let (proxy, address) = start(at(&[socket("127.0.0.1:0")], origin));
    let more = [socket("127.0.0.1:0"), socket("[::1]:0"), taken.into()];
    let refused = proxy.publish(at(&more, origin)).unwrap_err().to_string();
    let place =
        format!("listeners[{LISTENER}].additional_addresses[1].address: {taken} cannot be bound");
    assert!(refused.starts_with(&place), "{refused}");
    assert_eq!(proxy.addresses(LISTENER), [address]);
    assert_eq!(Peer::connect(address).call(GET), OK);
}

/// A connection that reaches the old socket while it is closed is reset by the kernel; the next one finds the new.
fn answer_after_move(address: SocketAddr) -> String {
    let ask = |_| {
        let mut peer = Peer::new(std::net::TcpStream::connect(address).ok()?);
        peer.write(GET);
        peer.message()
    };
    (0..100).find_map(ask).expect("an answer")
}

#[test]
fn a_listener_that_moves_to_an_overlapping_address_is_not_in_its_own_way() {
    let (origin, _requests) = answering(OK);
    let (proxy, address) = start(at(&[socket("127.0.0.1:0")], origin));
    let own: ListenerAddress = address.into();
    proxy.publish(at(std::slice::from_ref(&own), origin)).unwrap();
    let any = SocketAddr::from(([0, 0, 0, 0], address.port()));
    proxy.publish(at(&[any.into()], origin)).unwrap();
    assert_eq!(answer_after_move(address), OK);
    let mut renamed = at(&[any.into()], origin);
    let (_, mut listener) = renamed.listeners.pop_first().unwrap();
    std::sync::Arc::make_mut(&mut listener).name = "other".into();
    renamed.listeners.insert("other".into(), listener);
    proxy.publish(renamed).unwrap();
    assert_eq!(answer_after_move(address), OK);
}

#[test]
fn a_drain_ends_every_address() {
    let (origin, _requests) = answering(OK);
    let (proxy, _) = start(at(&[socket("127.0.0.1:0"), socket("[::1]:0")], origin));
    let bound = proxy.addresses(LISTENER);
    proxy.drain();
    bound.into_iter().for_each(is_gone);
    proxy.wait();
}
