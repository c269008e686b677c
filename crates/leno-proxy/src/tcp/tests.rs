//! The relay over real loopback sockets.

use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Bounds, Early, End, Relayed, relay};
use crate::buffers::Buffers;
use crate::lifecycle::Lifecycle;
use crate::wire::Wire;

/// One end for the test, the other for the relay.
async fn pair() -> (TcpStream, Wire) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), Wire::Tcp(far.unwrap().0.into()))
}

/// Runs `client` and `server` against both ends of one relay.
async fn check<C, S>(
    early: Early,
    idle: Duration,
    client: impl FnOnce(TcpStream) -> C,
    server: impl FnOnce(TcpStream) -> S,
) -> (Relayed, C::Output, S::Output)
where
    C: Future,
    S: Future,
{
    let (near, mut downstream) = pair().await;
    let (far, mut upstream) = pair().await;
    let buffers = Buffers::default();
    let life = Rc::new(Lifecycle::default()).watch();
    tokio::join!(
        async move {
            let upstream_buffer_max = usize::MAX;
            let bounds = Bounds { idle, until: None, life: &life, upstream_buffer_max, mask: None };
            relay(&mut downstream, &mut upstream, early, bounds, &buffers).await
        },
        client(near),
        server(far),
    )
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn half_close_travels_and_the_other_direction_goes_on() {
    let early = Early { downstream: b"early ".to_vec(), upstream: Vec::new() };
    let (relayed, reply, request) = check(
        early,
        LONG,
        async |mut client| {
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            let mut reply = String::new();
            client.read_to_string(&mut reply).await.unwrap();
            reply
        },
        async |mut server| {
            let mut request = String::new();
            server.read_to_string(&mut request).await.unwrap();
            server.write_all(b"answer after the end").await.unwrap();
            request
        },
    )
    .await;
    assert_eq!((request.as_str(), reply.as_str()), ("early question", "answer after the end"));
    assert_eq!((relayed.received, relayed.sent), (14, 20));
    assert!(matches!(relayed.end, End::Finished), "{:?}", relayed.end);
}

#[tokio::test]
async fn large_streams_pass_both_ways_at_once() {
    const BYTES: usize = 3_000_000;
    let pump = async |stream: TcpStream| {
        let (mut reader, mut writer) = stream.into_split();
        let write = async move {
            writer.write_all(&vec![7; BYTES]).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let read = async move {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).await.unwrap();
            all.len()
        };
        tokio::join!(write, read).1
    };
    let (relayed, there, back) = check(Early::default(), LONG, pump, pump).await;
    assert_eq!((there, back), (BYTES, BYTES));
    assert_eq!((relayed.received, relayed.sent), (BYTES as u64, BYTES as u64));
}

#[tokio::test]
async fn a_silent_pair_is_given_up_after_the_idle_timeout() {
    let idle = Duration::from_millis(50);
    let read_to_end = async |mut stream: TcpStream| stream.read(&mut [0; 8]).await.unwrap_or(0);
    let (relayed, ..) = check(Early::default(), idle, read_to_end, read_to_end).await;
    assert!(matches!(relayed.end, End::Idle), "{:?}", relayed.end);
}

#[tokio::test]
async fn a_reset_travels_as_a_reset() {
    let (relayed, (), error) = check(
        Early::default(),
        LONG,
        async |client| {
            socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            drop(client);
        },
        async |mut server| server.read(&mut [0; 8]).await.unwrap_err().kind(),
    )
    .await;
    assert!(matches!(relayed.end, End::Downstream(_)), "{:?}", relayed.end);
    assert_eq!(error, std::io::ErrorKind::ConnectionReset);
}
