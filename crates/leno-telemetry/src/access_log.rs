//! Where access records go: each worker fills a buffer of its own, one thread per file writes.
//!
//! A worker never waits. When the sink stalls, a few buffers wait for it and then lines are dropped and counted.

mod queue;

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use self::queue::{Queue, Sender};
use crate::labels::lock;
use crate::record::{AccessRecord, line};

/// A buffer is handed over once it holds this much, or when the worker flushes.
const BUFFER_BYTES: usize = 64 * 1024;
/// Lines that wait in one worker beyond this are dropped.
const WAITING_BYTES_MAX: usize = 256 * 1024;
/// Buffers that wait for the thread.
const BUFFERS_WAITING_MAX: usize = 16;

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file.
    #[error("access log {path}: {source}")]
    Open {
        /// As configured.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The thread that writes it.
    #[error("access log {path}: no thread to write it: {source}")]
    Thread {
        /// As configured.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// The logs of a process by path: listeners that name one path share one thread and one file.
#[derive(Debug, Default)]
pub struct AccessLogs {
    open: Mutex<HashMap<String, AccessLog>>,
}

impl AccessLogs {
    /// The log at `path`; `/dev/stdout` and `/dev/stderr` are the process's own, a file is appended to.
    ///
    /// # Errors
    /// When it cannot be opened; the next call tries again.
    pub fn open(&self, path: &str) -> Result<AccessLog, LogError> {
        let mut open = lock(&self.open);
        if let Some(log) = open.get(path) {
            return Ok(log.clone());
        }
        let sink: Box<dyn Write + Send> = match path {
            "/dev/stdout" => Box::new(io::stdout()),
            "/dev/stderr" => Box::new(io::stderr()),
            _ => Box::new(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path)
                    .map_err(|source| LogError::Open { path: path.to_owned(), source })?,
            ),
        };
        let log = AccessLog::start(sink)
            .map_err(|source| LogError::Thread { path: path.to_owned(), source })?;
        open.insert(path.to_owned(), log.clone());
        Ok(log)
    }

    /// Lines dropped so far by all logs.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        lock(&self.open).values().map(AccessLog::dropped).sum()
    }

    /// Forgets the logs and waits until what workers flushed is written, at most `limit` each. Workers' writers must
    /// be gone, or the wait takes all of it.
    pub fn finish(&self, limit: Duration) {
        let logs: Vec<AccessLog> = lock(&self.open).drain().map(|(_, log)| log).collect();
        for log in logs {
            log.finish(limit);
        }
    }
}

/// One open log. Cheap to clone; the thread ends with the last clone and writer.
#[derive(Clone, Debug)]
pub struct AccessLog {
    full: Sender,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dropped: AtomicU64,
    ended: Mutex<Receiver<()>>,
}

impl AccessLog {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Arc::new(Queue::new());
        let (end, ended) = channel();
        let shared = Arc::new(Shared { dropped: AtomicU64::new(0), ended: Mutex::new(ended) });
        let for_thread = (Arc::clone(&queue), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || {
            write_all(sink, &for_thread.0, &for_thread.1);
            // Nobody may be waiting, and then nobody needs to know.
            let _ = end.send(());
        })?;
        Ok(Self { full: Sender::first(queue, thread.thread().clone()), shared })
    }

    /// A worker's own writer.
    #[must_use]
    pub fn writer(&self) -> AccessWriter {
        AccessWriter {
            full: self.full.clone(),
            shared: self.shared.clone(),
            buffer: Vec::new(),
            lines: 0,
        }
    }

    /// Lines dropped because the sink stalled or refused them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Waits until the thread has written everything; it ends once every writer and other clone is gone.
    pub fn finish(self, limit: Duration) {
        let Self { full, shared } = self;
        drop(full);
        // A sink that stalls for so long has lost its lines.
        let _ = lock(&shared.ended).recv_timeout(limit);
    }
}

fn write_all(mut sink: impl Write, queue: &Queue, shared: &Shared) {
    while let Some(buffer) = queue.next() {
        if sink.write_all(&buffer).and_then(|()| sink.flush()).is_err() {
            // A full disk or a closed pipe: these lines are gone, later ones may succeed.
            let lines = buffer.iter().filter(|byte| **byte == b'\n').count();
            shared.dropped.fetch_add(lines as u64, Relaxed);
        }
        queue.give_back(buffer);
    }
}

/// One worker's buffer for one log.
#[derive(Debug)]
pub struct AccessWriter {
    full: Sender,
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    /// Lines in the buffer.
    lines: u64,
}

impl AccessWriter {
    /// Appends one line. Never blocks.
    pub fn write(&mut self, record: &AccessRecord<'_>) {
        self.write_with(|out| line(record, out));
    }

    /// Appends what `line` appends, which is one line in another form. Never blocks.
    pub fn write_with(&mut self, line: impl FnOnce(&mut Vec<u8>)) {
        if self.has_room() {
            line(&mut self.buffer);
            self.appended();
        }
    }

    /// Whether one more line may wait; one that may not is counted as dropped.
    fn has_room(&mut self) -> bool {
        if self.buffer.len() >= WAITING_BYTES_MAX {
            self.flush();
        }
        if self.buffer.len() >= WAITING_BYTES_MAX {
            self.shared.dropped.fetch_add(1, Relaxed);
            return false;
        }
        true
    }

    fn appended(&mut self) {
        self.lines += 1;
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush();
        }
    }

    /// Hands over what is buffered; not now if somebody else is at the queue in this moment. Called by the worker when it is
    /// idle or some milliseconds have passed.
    pub fn flush(&mut self) {
        if !self.buffer.is_empty() && self.full.try_send(&mut self.buffer) {
            self.lines = 0;
        }
    }

    fn drop_lines(&mut self) {
        self.shared.dropped.fetch_add(std::mem::take(&mut self.lines), Relaxed);
    }
}

impl Drop for AccessWriter {
    fn drop(&mut self) {
        if self.buffer.is_empty() || self.full.send(&mut self.buffer) {
            return;
        }
        self.drop_lines();
    }
}

#[cfg(test)]
mod tests;
