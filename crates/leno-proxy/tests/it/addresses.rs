//! IPv6, Unix sockets, and endpoints with several addresses.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use leno_core::config::{Address, Cluster, Discovery};

use crate::basic::{GET, OK};
use crate::config::{cluster, forward, http_listener, listener, route, start, tcp, with_listener};
use crate::origin::{Peer, answering};

/// The cluster's one endpoint, changed.
fn edited(mut cluster: Cluster, edit: impl FnOnce(&mut leno_core::config::LbEndpoint)) -> Cluster {
    let Discovery::Static(assignment) = &mut cluster.discovery else { panic!("static") };
    edit(&mut Arc::make_mut(assignment).localities[0].endpoints[0]);
    cluster
}

#[test]
fn listeners_and_endpoints_may_be_ipv6() {
    let socket = std::net::TcpListener::bind("[::1]:0").unwrap();
    let endpoint = socket.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let mut peer = Peer::new(socket.accept().unwrap().0);
        let request = peer.message().unwrap();
        peer.write(OK);
        request
    });
    let mut listener = http_listener(vec![route("/", forward("c"))]);
    listener.address = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0)).into();
    let (_proxy, address) = start(with_listener(listener, vec![cluster("c", &[endpoint])]));
    assert!(address.is_ipv6());
    assert_eq!(Peer::connect(address).call(GET), OK);
    assert!(server.join().unwrap().starts_with("GET / "));
}

#[test]
fn an_endpoint_may_be_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let socket = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = socket.accept().unwrap();
        let mut question = String::new();
        stream.read_to_string(&mut question).unwrap();
        stream.write_all(question.to_uppercase().as_bytes()).unwrap();
    });
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let piped = edited(cluster("c", &[nowhere]), |endpoint| {
        endpoint.address = Address::Pipe(path.to_str().unwrap().into());
    });
    let (_proxy, address) = start(with_listener(listener(tcp("c")), vec![piped]));
    let mut client = Peer::connect(address);
    client.write("half-closed");
    client.end();
    assert_eq!(client.rest(), "HALF-CLOSED");
    server.join().unwrap();
}

#[test]
fn the_address_that_answers_is_used() {
    let (web, _requests) = answering(OK);
    let closed = std::net::TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap();
    let dual = edited(cluster("c", &[closed]), |endpoint| {
        endpoint.additional_addresses = vec![web];
    });
    let listener = http_listener(vec![route("/", forward("c"))]);
    let (_proxy, address) = start(with_listener(listener, vec![dual]));
    // The other family at once, as the first refuses.
    assert_eq!(Peer::connect(address).call(GET), OK);
}
