//! Real sockets, with a resolver of the host played by the test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::super::forward::{read_message, write_message};
use super::super::{Entry, Sockets, Table, serve};

struct Dns {
    udp: SocketAddr,
    tcp: SocketAddr,
    table: super::SharedTable,
}

#[tokio::test]
async fn services_and_foreign_names_over_both_transports() {
    let dns = start(vec![resolver().await]).await;
    for (name, expected) in
        [("reviews.", "NoError 240.240.0.1"), ("far.example.", "NoError 9.9.9.9")]
    {
        assert_eq!(ask_udp(dns.udp, name).await, expected);
        assert_eq!(ask_tcp(dns.tcp, name).await, expected);
    }
}

#[tokio::test]
async fn a_new_table_is_used_by_the_next_query() {
    let dns = start(vec![]).await;
    assert_eq!(ask_udp(dns.udp, "reviews.").await, "NoError 240.240.0.1");
    dns.table.store(Arc::new(table(7)));
    assert_eq!(ask_udp(dns.udp, "reviews.").await, "NoError 240.240.0.7");
}

#[tokio::test]
async fn without_a_resolver_foreign_names_fail_and_services_do_not() {
    let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let dns = start(vec![gone]).await;
    assert_eq!(ask_udp(dns.udp, "far.example.").await, "ServFail");
    assert_eq!(ask_tcp(dns.tcp, "far.example.").await, "ServFail");
    assert_eq!(ask_udp(dns.udp, "reviews.").await, "NoError 240.240.0.1");
}

#[tokio::test]
async fn the_second_resolver_is_asked_when_the_first_is_gone() {
    let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let dns = start(vec![gone, resolver().await]).await;
    assert_eq!(ask_udp(dns.udp, "far.example.").await, "NoError 9.9.9.9");
}

#[tokio::test]
async fn many_queries_share_one_connection() {
    let dns = start(vec![]).await;
    let mut stream = TcpStream::connect(dns.tcp).await.unwrap();
    for _ in 0..20 {
        write_message(&mut stream, &query("reviews.")).await.unwrap();
        let answer = read_message(&mut stream).await.unwrap();
        assert_eq!(said(&answer), "NoError 240.240.0.1");
    }
}

/// A resolver that knows every name, and first sends a forgery with another id.
async fn resolver() -> SocketAddr {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
            let mut forged = resolve(&buffer[..length], "6.6.6.6");
            forged[0] ^= 0xff;
            udp.send_to(&forged, from).await.unwrap();
            udp.send_to(&resolve(&buffer[..length], "9.9.9.9"), from).await.unwrap();
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let query = read_message(&mut stream).await.unwrap();
            write_message(&mut stream, &resolve(&query, "9.9.9.9")).await.unwrap();
        }
    });
    address
}

fn resolve(query: &[u8], address: &str) -> Vec<u8> {
    let mut message = Message::from_vec(query).unwrap().into_response();
    let name = message.queries[0].name().clone();
    let address: std::net::Ipv4Addr = address.parse().unwrap();
    message.add_answer(Record::from_rdata(name, 1, RData::A(address.into())));
    message.to_vec().unwrap()
}

async fn start(servers: Vec<SocketAddr>) -> Dns {
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let table: super::SharedTable = Arc::new(ArcSwap::from_pointee(table(1)));
    let dns = Dns {
        udp: udp.local_addr().unwrap(),
        tcp: tcp.local_addr().unwrap(),
        table: table.clone(),
    };
    let sockets = Sockets { udp: vec![udp], tcp: vec![tcp] };
    tokio::spawn(serve(sockets, table, servers).unwrap());
    dns
}

fn table(last: u8) -> Table {
    let entry = Entry {
        host: "reviews.default.svc.cluster.local".to_owned(),
        addresses: vec![[240, 240, 0, last].into()],
        short_name: Some("reviews".to_owned()),
        namespace: Some("default".to_owned()),
    };
    Table::new(&[entry], "default", "cluster.local", &[])
}

fn query(name: &str) -> Vec<u8> {
    let mut message = Message::new(99, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    message.to_vec().unwrap()
}

async fn ask_udp(server: SocketAddr, name: &str) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&query(name), server).await.unwrap();
    let mut buffer = [0; 1500];
    let received = tokio::time::timeout(Duration::from_secs(20), socket.recv(&mut buffer));
    let length = received.await.unwrap().unwrap();
    said(&buffer[..length])
}

async fn ask_tcp(server: SocketAddr, name: &str) -> String {
    let mut stream = TcpStream::connect(server).await.unwrap();
    write_message(&mut stream, &query(name)).await.unwrap();
    said(&read_message(&mut stream).await.unwrap())
}

fn said(bytes: &[u8]) -> String {
    let message = Message::from_vec(bytes).unwrap();
    assert_eq!(message.metadata.id, 99);
    let data = message.answers.iter().map(|record| format!(" {}", record.data));
    let code = match message.metadata.response_code {
        ResponseCode::NoError => "NoError".to_owned(),
        other => format!("{other:?}"),
    };
    code + &data.collect::<String>()
}
