//! A tap on the way between two sidecars: a relay that keeps every byte the caller's side sends.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Result, bail, ensure};

/// Bytes of each connection, in the order they came.
type Kept = Arc<Mutex<Vec<Vec<u8>>>>;

/// A listening relay; its threads end with their connections, and the process.
pub(super) struct Wire {
    address: SocketAddr,
    kept: Kept,
}

impl Wire {
    /// Relays whatever connects to [`Self::address`] to `target`.
    pub(super) fn tap(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let kept = Kept::default();
        let keep = Arc::clone(&kept);
        thread::spawn(move || {
            for downstream in listener.incoming().flatten() {
                if let Ok(upstream) = TcpStream::connect(target) {
                    relay(downstream, upstream, &keep);
                }
            }
        });
        Ok(Self { address, kept })
    }

    /// Where the tap listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Checks that everything seen is TLS records and that `secret` is nowhere in it; says how much it was.
    pub(super) fn finish(&self, secret: &str) -> Result<String> {
        let connections = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ensure!(!connections.is_empty(), "nothing passed the tap");
        let mut records = 0;
        for bytes in &connections {
            records += tls_records(bytes)?;
            let shown = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            ensure!(!shown, "the request could be read between the sidecars");
        }
        let bytes: usize = connections.iter().map(Vec::len).sum();
        Ok(format!("{records} TLS records, {bytes} bytes"))
    }
}

fn relay(mut downstream: TcpStream, mut upstream: TcpStream, kept: &Kept) {
    let index = {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(Vec::new());
        kept.len() - 1
    };
    let keep = Arc::clone(kept);
    let back = (downstream.try_clone(), upstream.try_clone());
    thread::spawn(move || {
        let mut buffer = [0; 16384];
        while let Ok(count @ 1..) = downstream.read(&mut buffer) {
            keep.lock().unwrap_or_else(PoisonError::into_inner)[index]
                .extend_from_slice(&buffer[..count]);
            if upstream.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = upstream.shutdown(Shutdown::Write);
    });
    if let (Ok(mut downstream), Ok(mut upstream)) = back {
        thread::spawn(move || {
            let _ = std::io::copy(&mut upstream, &mut downstream);
            let _ = downstream.shutdown(Shutdown::Write);
        });
    }
}

/// Counts TLS records (RFC 8446 §5.1): type 20 to 23, version 3.x, length, and nothing between them.
fn tls_records(mut bytes: &[u8]) -> Result<usize> {
    let mut records = 0;
    while let [kind, major, _minor, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if !(20..=23).contains(kind) || *major != 3 || length > rest.len() {
            bail!("byte {kind:#04x} does not begin a TLS record");
        }
        bytes = &rest[length..];
        records += 1;
    }
    ensure!(bytes.is_empty() && records > 0, "{} bytes after {records} TLS records", bytes.len());
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_tls_records_count() {
        // (bytes, records)
        let table: [(&[u8], Option<usize>); 5] = [
            (&[22, 3, 1, 0, 2, 9, 9, 23, 3, 3, 0, 1, 7], Some(2)),
            (b"GET / HTTP/1.1\r\n", None),
            (&[22, 3, 1, 0, 2, 9], None),
            (&[22, 3, 1, 0, 0, 1], None),
            (&[], None),
        ];
        for (bytes, records) in table {
            assert_eq!(tls_records(bytes).ok(), records, "{bytes:?}");
        }
    }
}
