//! Just enough of a client for a bench: one server-side apply per connection, and a watch read line by line.
//!
//! Plain HTTP, which the front door takes from loopback.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// An API server.
pub(crate) struct Api {
    address: String,
    token: Option<String>,
}

/// A watch that is open.
pub(super) struct Watch {
    stream: BufReader<TcpStream>,
    /// Bytes of events that hold no whole line yet.
    rest: Vec<u8>,
}

impl Api {
    /// Reads the two lines that matter of a kubeconfig.
    pub(crate) fn from_kubeconfig(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let field = |name: &str| {
            let mut lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
            lines
                .find_map(|line| line.strip_prefix(name))
                .map(|value| value.trim().trim_matches('"').to_owned())
        };
        let server = field("server:").context("the kubeconfig names no server")?;
        // The door takes plain HTTP from loopback as well; TLS is not what is measured.
        let address = server.split_once("://").map_or(server.as_str(), |(_, address)| address);
        Ok(Self { address: address.trim_end_matches('/').to_owned(), token: field("token:") })
    }

    /// Makes the document so, as `kubectl apply --server-side` does, and returns what is stored.
    pub(crate) fn apply(&self, path: &str, document: &Value) -> Result<Value> {
        let body = serde_json::to_vec(document)?;
        let path = format!("{path}?fieldManager=bench&force=true");
        let head = format!(
            "Content-Type: application/apply-patch+yaml\r\nContent-Length: {}\r\nConnection: close\r\n",
            body.len()
        );
        let mut stream = self.open("PATCH", &path, &head)?;
        stream.get_mut().write_all(&body)?;
        let status = read_status(&mut stream)?;
        let is_chunked = skip_fields(&mut stream)?;
        let mut answer = Vec::new();
        if is_chunked {
            while read_chunk(&mut stream, &mut answer)? {}
        } else {
            stream.read_to_end(&mut answer)?;
        }
        ensure!(
            status == 200 || status == 201,
            "apply: {status} {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Watches a collection from now on.
    pub(super) fn watch(&self, path: &str) -> Result<Watch> {
        let mut stream = self.open("GET", &format!("{path}?watch=true"), "")?;
        let status = read_status(&mut stream)?;
        ensure!(status == 200, "watch: {status}");
        ensure!(skip_fields(&mut stream)?, "a watch is chunked");
        Ok(Watch { stream, rest: Vec::new() })
    }

    fn open(&self, method: &str, path: &str, fields: &str) -> Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(&self.address)
            .with_context(|| format!("connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n{}{fields}\r\n",
            self.address,
            token.unwrap_or_default()
        );
        (&stream).write_all(head.as_bytes())?;
        Ok(BufReader::new(stream))
    }
}

impl Watch {
    /// The next event, `None` when `end` comes first.
    pub(super) fn next(&mut self, end: Instant) -> Result<Option<Value>> {
        loop {
            if let Some(at) = self.rest.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=at).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // A chunk is read whole once it begins, so the limit applies between chunks.
            self.stream.get_ref().set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match self.stream.fill_buf() {
                Ok([]) => bail!("the watch ended"),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            ensure!(read_chunk(&mut self.stream, &mut self.rest)?, "the watch ended");
        }
    }
}

fn read_status(stream: &mut BufReader<TcpStream>) -> Result<u16> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let code = line.split(' ').nth(1).with_context(|| format!("the API server said {line:?}"))?;
    Ok(code.parse()?)
}

/// Reads to the empty line; whether the body is chunked.
fn skip_fields(stream: &mut BufReader<TcpStream>) -> Result<bool> {
    let mut is_chunked = false;
    loop {
        let mut line = String::new();
        ensure!(stream.read_line(&mut line)? > 0, "the API server closed inside a head");
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            return Ok(is_chunked);
        }
        is_chunked |= line == "transfer-encoding: chunked";
    }
}

/// Appends one chunk; false at the last.
fn read_chunk(stream: &mut BufReader<TcpStream>, into: &mut Vec<u8>) -> Result<bool> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let length =
        usize::from_str_radix(line.trim(), 16).with_context(|| format!("chunk size {line:?}"))?;
    let start = into.len();
    into.resize(start + length, 0);
    stream.read_exact(&mut into[start..])?;
    let mut end = [0; 2];
    stream.read_exact(&mut end)?;
    Ok(length > 0)
}
