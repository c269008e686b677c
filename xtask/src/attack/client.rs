//! The good client, the server it wants, and what a process has cost so far.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::send;

/// Answers every read with 200, in a thread that ends with the process.
pub(super) fn serve() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 65536];
                while matches!(stream.read(&mut buffer), Ok(1..)) {
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    Ok(address)
}

/// One request after another, each on a new connection as a stranger's would be; the slowest of a hundred.
pub(super) fn p99_us(address: SocketAddr, http2: bool, time: Duration) -> Result<f64> {
    let end = Instant::now() + time;
    let mut seen = Vec::new();
    while Instant::now() < end {
        let begun = Instant::now();
        ask(address, http2)?;
        seen.push(begun.elapsed().as_secs_f64() * 1e6);
        std::thread::sleep(Duration::from_millis(5));
    }
    ensure!(!seen.is_empty(), "no answer");
    seen.sort_by(f64::total_cmp);
    Ok(seen[(seen.len() - 1) * 99 / 100])
}

fn ask(address: SocketAddr, http2: bool) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let plain = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let request = if http2 { send::one_request() } else { plain.to_vec() };
    stream.write_all(&request)?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while !is_answer(&answer, http2) {
        let length = stream.read(&mut buffer)?;
        ensure!(length > 0, "closed without an answer");
        answer.extend_from_slice(&buffer[..length]);
    }
    Ok(())
}

/// A status line, or a HEADERS frame.
fn is_answer(mut bytes: &[u8], http2: bool) -> bool {
    if !http2 {
        return bytes.starts_with(b"HTTP/1.1 ");
    }
    while let [high, middle, low, kind, ..] = *bytes {
        if kind == 1 {
            return true;
        }
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        bytes = bytes.get(9 + length..).unwrap_or_default();
    }
    false
}

/// Time on a core of this process.
pub(super) fn own_processor_us() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: f64 = text.split(' ').next().context("an empty schedstat")?.parse()?;
    Ok(nanoseconds / 1000.0)
}
