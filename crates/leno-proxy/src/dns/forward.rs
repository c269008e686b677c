//! Passing a query on to a resolver of the host and its answer back.
//!
//! The message goes through unread but for its id: each attempt has a random
//! one and a port of its own, and an answer must repeat both id and question.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rand::RngExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::answer::{Transport, question};

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// Each server is asked this often before the query has failed.
const ROUNDS: usize = 2;
const MESSAGE_BYTES_MAX: usize = 65535;

/// The first true answer, or `None` when no server gave one.
pub(super) async fn forward(
    query: &[u8],
    servers: &[SocketAddr],
    transport: Transport,
) -> Option<Vec<u8>> {
    let asked = question(query)?;
    for server in (0..ROUNDS).flat_map(|_| servers) {
        let id: u16 = rand::rng().random();
        let mut attempt = query.to_vec();
        attempt[..2].copy_from_slice(&id.to_be_bytes());
        let expected = (id, asked.1.clone(), asked.2);
        let is_true = |answer: &[u8]| question(answer).as_ref() == Some(&expected);
        let exchange = async {
            match transport {
                Transport::Datagram => over_udp(&attempt, *server, is_true).await,
                Transport::Stream => over_tcp(&attempt, *server, is_true).await,
            }
        };
        if let Ok(Ok(mut answer)) = timeout(ATTEMPT_TIMEOUT, exchange).await {
            answer[..2].copy_from_slice(&query[..2]);
            return Some(answer);
        }
    }
    None
}

async fn over_udp(
    query: &[u8],
    server: SocketAddr,
    is_true: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if is_true(&buffer[..length]) {
            return Ok(buffer[..length].to_vec());
        }
    }
}

async fn over_tcp(
    query: &[u8],
    server: SocketAddr,
    is_true: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_message(&mut stream, query).await?;
    let answer = read_message(&mut stream).await?;
    if is_true(&answer) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// One message with its length before it (RFC 1035 §4.2.2).
pub(super) async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Length and message in one write, so that they share a segment.
pub(super) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    stream.write_all(&[&length.to_be_bytes()[..], message].concat()).await
}
