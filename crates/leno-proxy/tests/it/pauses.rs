//! HTTP/2 peers that pause and go on: nothing that was on its way is lost, and who moves is not idle.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use http::Response;
use tokio::net::TcpSocket;

use crate::config::{forward, resources, route, start};
use crate::h2::{Client, echo, origin, read, request};
use crate::http2::{http2_cluster, over_http2};

/// Sends as the windows allow, and the end in a frame of its own.
async fn send_then_end(mut stream: SendStream<Bytes>, mut body: Bytes) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else {
            return;
        };
        let piece = body.split_to(room.min(body.len()));
        if stream.send_data(piece, false).is_err() {
            return;
        }
    }
    // A stream that was reset has its end already.
    let _ = stream.send_data(Bytes::new(), true);
}

/// Answers with as many bytes as the path says.
async fn counted() -> SocketAddr {
    origin(|request, mut respond| async move {
        let size = request.uri().path()[1..].parse().unwrap();
        let Ok(stream) = respond.send_response(Response::new(()), false) else { return };
        send_then_end(stream, Bytes::from(vec![b'x'; size])).await;
    })
    .await
}

/// Asks for so many bytes through wide windows, does not read while others are served, and reads on then.
async fn read_late(address: SocketAddr, size: usize, others: &mut Client) -> usize {
    const WIDE: u32 = 8 << 20;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(WIDE).initial_connection_window_size(WIDE);
    let (sender, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    let mut connection = std::pin::pin!(connection);
    let mut sender = sender.ready().await.unwrap();
    let (response, _) = sender.send_request(request("GET", &format!("/{size}")), true).unwrap();
    let response = tokio::select! {
        response = response => response.unwrap(),
        ended = &mut connection => panic!("the connection ended: {ended:?}"),
    };
    for _ in 0..8 {
        assert_eq!(others.get("/1").await.unwrap().body.len(), 1);
    }
    tokio::select! {
        body = read(response.into_body()) => body.unwrap().0.len(),
        ended = &mut connection => panic!("the connection ended: {ended:?}"),
    }
}

#[tokio::test]
async fn an_end_behind_whatever_filled_up_arrives() {
    let (_proxy, address) = start(over_http2(counted().await));
    let mut others = Client::connect(address).await;
    for n in 0..48 {
        let size = n * (20_000 + n);
        let read =
            tokio::time::timeout(Duration::from_secs(10), read_late(address, size, &mut others));
        assert_eq!(read.await.expect("the end"), size);
    }
}

#[tokio::test]
async fn an_upload_that_moves_is_not_idle() {
    const IDLE: Duration = Duration::from_secs(3);
    let mut forward = forward("origin");
    forward.idle_timeout = Some(IDLE);
    let routes = vec![route("/", forward)];
    let (_proxy, address) = start(resources(routes, vec![http2_cluster("origin", echo().await)]));
    let mut client = Client::connect(address).await;
    let (response, mut stream) = client.begin(request("POST", "/"), false).await;
    for _ in 0..8 {
        stream.send_data(Bytes::from_static(b"piece"), false).unwrap();
        // Time that passes is what this tests: longer in all than the stream may idle.
        tokio::time::sleep(IDLE / 6).await;
    }
    stream.send_data(Bytes::new(), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(read(response.into_body()).await.unwrap().0.len(), 8 * 5);
}
