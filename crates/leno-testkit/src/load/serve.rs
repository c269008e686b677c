//! An HTTP/1.1 server that answers every request, unread, with the same bytes.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, EventData, EventFlags};

use super::connection::{self, Connection, Received};

const LISTENER: u64 = 0;

/// Answers until the process ends, on one thread.
///
/// Requests must have no body: each empty line is taken for the end of one.
pub fn serve(listener: &TcpListener, body_bytes: usize) -> anyhow::Result<()> {
    let response = response(body_bytes);
    let set = connection::set()?;
    listener.set_nonblocking(true)?;
    epoll::add(&set, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut clients = HashMap::new();
    let mut next_token = LISTENER + 1;
    let (mut events, mut buffer) = (Vec::with_capacity(1024), vec![0; 64 * 1024]);
    loop {
        connection::wait(&set, &mut events, None)?;
        for event in &events {
            let token = event.data.u64();
            if token == LISTENER {
                accept(listener, &set, &mut clients, &mut next_token)?;
            } else if let Some(client) = clients.get_mut(&token) {
                // A client that went away is nothing to stop for.
                if !matches!(client.turn(&mut buffer, &response), Ok(true)) {
                    clients.remove(&token);
                }
            }
        }
    }
}

fn response(body_bytes: usize) -> Vec<u8> {
    let mut response = format!(
        "HTTP/1.1 200 OK\r\nServer: load\r\nContent-Type: application/json\r\nContent-Length: {body_bytes}\r\n\r\n"
    )
    .into_bytes();
    response.resize(response.len() + body_bytes, b'x');
    response
}

fn accept(
    listener: &TcpListener,
    set: &OwnedFd,
    clients: &mut HashMap<u64, Client>,
    next_token: &mut u64,
) -> anyhow::Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let connection = Connection::add(set, stream, *next_token)?;
                clients.insert(*next_token, Client { connection, line_end: LineEnd::default() });
                *next_token += 1;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

struct Client {
    connection: Connection,
    line_end: LineEnd,
}

impl Client {
    /// Answers what has come; false when the peer closed.
    fn turn(&mut self, buffer: &mut [u8], response: &[u8]) -> anyhow::Result<bool> {
        self.connection.flush()?;
        loop {
            match self.connection.receive(buffer)? {
                Received::Bytes(length) => {
                    for _ in 0..self.line_end.requests(&buffer[..length]) {
                        self.connection.send(response)?;
                    }
                    if length < buffer.len() {
                        return Ok(true);
                    }
                }
                Received::Nothing => return Ok(true),
                Received::End => return Ok(false),
            }
        }
    }
}

/// Counts empty lines across reads.
#[derive(Default)]
struct LineEnd {
    /// Bytes since the last LF, saturating: 0 or 1 (a CR) before the next LF make an empty line.
    since: usize,
}

impl LineEnd {
    fn requests(&mut self, bytes: &[u8]) -> usize {
        let (mut requests, mut start) = (0, 0);
        for at in memchr::memchr_iter(b'\n', bytes) {
            requests += usize::from(self.since + (at - start) <= 1);
            (self.since, start) = (0, at + 1);
        }
        self.since += bytes.len() - start;
        requests
    }
}

#[cfg(test)]
mod tests {
    use super::LineEnd;

    #[test]
    fn requests_are_counted_whatever_the_reads() {
        let input = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for read in 1..input.len() {
            let mut line_end = LineEnd { since: 9 };
            let count: usize = input.chunks(read).map(|bytes| line_end.requests(bytes)).sum();
            assert_eq!(count, 2, "{read}");
        }
    }
}
