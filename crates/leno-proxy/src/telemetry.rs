//! One worker's part of the telemetry: its shard of the counters, its access-log buffers, its wall clock.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use leno_core::config;
use leno_core::format::LogLine;
use leno_telemetry::{AccessLogs, AccessWriter, Metrics, ResponseFlag, Shard};

use crate::access_log::{self, Log};
use crate::limits;

/// A log that several sessions of one worker write to.
pub(crate) type SharedWriter = Rc<RefCell<AccessWriter>>;

/// One worker's telemetry.
pub(crate) struct WorkerTelemetry {
    pub(crate) shard: Shard,
    logs: Arc<AccessLogs>,
    writers: RefCell<HashMap<String, SharedWriter>>,
    lines: RefCell<HashMap<config::LogFormat, Option<Rc<LogLine>>>>,
    /// Both clocks read at one moment: a record's start needs no second clock.
    origin: (Instant, SystemTime),
    /// The wall clock then, in nanoseconds since the Unix epoch.
    origin_nanos: u64,
    swept: Cell<Instant>,
}

impl WorkerTelemetry {
    pub(crate) fn new(metrics: &Arc<Metrics>, logs: Arc<AccessLogs>) -> Self {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let since_epoch = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            shard: metrics.shard(),
            logs,
            writers: RefCell::default(),
            lines: RefCell::default(),
            origin: (now, wall),
            origin_nanos: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
            swept: Cell::new(Instant::now()),
        }
    }

    /// The writers of a filter's access logs; one that cannot be opened is reported and left out.
    pub(crate) fn writers(&self, logs: &[config::AccessLog]) -> Vec<Log> {
        let mut writers = self.writers.borrow_mut();
        let mut found = Vec::with_capacity(logs.len());
        for log in logs {
            let line = self.line(&log.format);
            if let Some(known) = writers.get(&log.path) {
                found.push(Log { writer: Rc::clone(known), line });
                continue;
            }
            match self.logs.open(&log.path) {
                Ok(opened) => {
                    let writer = Rc::new(RefCell::new(opened.writer()));
                    writers.insert(log.path.clone(), Rc::clone(&writer));
                    found.push(Log { writer, line });
                }
                Err(error) => tracing::error!(%error, "access log"),
            }
        }
        found
    }

    /// Lets series that are idle make room, every minute.
    pub(crate) fn sweep(&self, now: Instant) {
        if now.saturating_duration_since(self.swept.get()) >= limits::SERIES_SWEEP {
            self.swept.set(now);
            self.shard.sweep(now);
        }
    }

    /// Compiled once for each form; one that cannot be is reported, and records are written in ours. What came over xDS
    /// or from a file was checked there.
    fn line(&self, format: &config::LogFormat) -> Option<Rc<LogLine>> {
        if *format == config::LogFormat::Default {
            return None;
        }
        let mut lines = self.lines.borrow_mut();
        if let Some(known) = lines.get(format) {
            return known.clone();
        }
        let compiled = LogLine::compile(format).unwrap_or_else(|wrong| {
            for (at, what) in wrong {
                tracing::error!("access log format{at}: {what}");
            }
            None
        });
        let line = compiled.map(|mut line| {
            line.number(access_log::number_of);
            Rc::new(line)
        });
        lines.insert(format.clone(), line.clone());
        line
    }

    /// Hands over what is buffered.
    pub(crate) fn flush(&self) {
        for writer in self.writers.borrow().values() {
            writer.borrow_mut().flush();
        }
    }

    /// The wall clock at a monotonic moment. Drifts with the wall clock's corrections since the worker began.
    pub(crate) fn wall_clock(&self, at: Instant) -> SystemTime {
        let (instant, wall) = self.origin;
        match at.checked_duration_since(instant) {
            Some(since) => wall + since,
            None => wall - instant.duration_since(at),
        }
    }

    /// The same in nanoseconds since the Unix epoch.
    pub(crate) fn wall_nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin.0).as_nanos();
        self.origin_nanos.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}

/// The flag with this code in the table of failures; an empty code is none.
pub(crate) fn flag(code: &str) -> Option<ResponseFlag> {
    ResponseFlag::ALL.iter().copied().find(|flag| flag.code() == code)
}

#[cfg(test)]
mod tests {
    use leno_core::reply;

    use super::flag;

    #[test]
    fn every_flag_of_the_table_of_failures_is_known() {
        for failure in reply::ALL {
            let code = failure.reaction().flag;
            assert_eq!(flag(code).is_none(), code.is_empty(), "{failure:?}");
        }
    }
}
