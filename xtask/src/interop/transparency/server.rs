//! A server that answers with the bytes it was given and keeps the last request.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use super::message::Message;

/// What it was given, and what it got.
#[derive(Default)]
struct Held {
    answer: Vec<u8>,
    request: Option<Vec<u8>>,
}

/// One exchange at a time.
pub(super) struct Server {
    address: SocketAddr,
    held: Arc<Mutex<Held>>,
}

impl Server {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let held = Arc::<Mutex<Held>>::default();
        let shared = Arc::clone(&held);
        // It ends with the process: nobody is left then to ask it.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Ok(Self { address, held })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next request gets these bytes.
    pub(super) fn answer_with(&self, bytes: &[u8]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Held { answer: bytes.to_vec(), request: None };
    }

    /// The request that came, whole.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).request.take()
    }
}

fn serve(mut stream: TcpStream, shared: &Mutex<Held>) {
    let (mut received, mut buffer) = (Vec::new(), vec![0; 65536]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(length) => received.extend_from_slice(&buffer[..length]),
        }
        if Message::request(&received).is_none() {
            continue;
        }
        let answer = {
            let mut held = shared.lock().unwrap_or_else(PoisonError::into_inner);
            held.request = Some(std::mem::take(&mut received));
            held.answer.clone()
        };
        if stream.write_all(&answer).is_err() {
            return;
        }
        // An answer without a length lasts until the connection ends.
        if Message::responses(&answer, false, false).is_none() {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}
