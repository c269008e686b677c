//! Whether somebody listens: the program inside its namespace, and the sidecar's `/ready`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use leno_sys::capture::{Family, SocketSupply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

const ATTEMPT: Duration = Duration::from_secs(1);
const BETWEEN: Duration = Duration::from_millis(20);
const ANSWER_BYTES_MAX: u64 = 4096;

/// Where the program is reached from.
pub(super) enum Side {
    /// Inside its namespace, by sockets made there.
    Inside(SocketSupply),
    /// On this host, at the address it was told or at the usual one.
    Host(IpAddr),
}

/// Waits until a connection to the program's port is accepted.
pub(super) async fn listens(side: &mut Side, port: u16) {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    loop {
        if let Ok(Ok(())) = timeout(ATTEMPT, dial(side, address)).await {
            return;
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

async fn dial(side: &mut Side, address: SocketAddr) -> std::io::Result<()> {
    match side {
        Side::Host(ip) => {
            let told = SocketAddr::new(*ip, address.port());
            TcpStream::connect(&[told, address][..]).await.map(drop)
        }
        Side::Inside(supply) => {
            let socket: std::net::TcpStream = supply.take(Family::V4)?.into();
            TcpSocket::from_std_stream(socket).connect(address).await.map(drop)
        }
    }
}

/// Waits until `GET /ready` at `address` is answered with 200.
pub(super) async fn is_ready(address: SocketAddr) {
    while !matches!(timeout(ATTEMPT, ask(address)).await, Ok(Ok(true))) {
        tokio::time::sleep(BETWEEN).await;
    }
}

async fn ask(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}
