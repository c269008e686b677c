use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use super::*;

/// A sink that takes nothing until it is told to.
#[derive(Clone, Default)]
struct Stalling {
    open: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Write for Stalling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        while !self.open.load(Relaxed) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        lock(&self.taken).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[test]
fn a_stalled_sink_costs_lines_but_never_a_wait() {
    let sink = Stalling::default();
    let log = AccessLog::start(sink.clone()).unwrap();
    let mut writer = log.writer();
    let record = AccessRecord::at(SystemTime::UNIX_EPOCH);
    let total = 10_000;
    for _ in 0..total {
        writer.write(&record);
    }
    let dropped = log.dropped();
    assert!(dropped > 0, "the buffers are bounded");
    sink.open.store(true, Relaxed);
    let shared = log.shared.clone();
    drop(writer);
    log.finish(Duration::from_secs(10));
    let (written, dropped) = (lines(&lock(&sink.taken)), shared.dropped.load(Relaxed));
    assert_eq!(written + dropped, total, "every line is written or counted");
}

#[test]
fn one_path_is_one_file_and_every_line_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let path = path.to_str().unwrap();
    let logs = AccessLogs::default();
    let mut writers = [logs.open(path).unwrap().writer(), logs.open(path).unwrap().writer()];
    for writer in &mut writers {
        writer.write(&AccessRecord::at(SystemTime::UNIX_EPOCH));
        writer.flush();
    }
    drop(writers);
    logs.finish(Duration::from_secs(10));
    assert_eq!(lines(&std::fs::read(path).unwrap()), 2);
}

#[test]
fn a_path_that_cannot_be_opened_is_named() {
    let error = AccessLogs::default().open("/nonexistent/access.log").unwrap_err();
    assert!(error.to_string().starts_with("access log /nonexistent/access.log: "), "{error}");
}
