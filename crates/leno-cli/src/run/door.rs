//! Where a run is asked to replace its sidecar (`leno proxy upgrade`): a socket in the run's private folder.
//!
//! Whoever asks says which program is to be the next sidecar, normally itself, in one line, and hears in one line what
//! came of it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Duration, timeout};

/// The socket's name in the run's folder.
pub(crate) const NAME: &str = "upgrade.sock";

/// How long a visitor may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest path of a program.
const LINE_BYTES_MAX: u64 = 8192;

/// The door of one run.
#[derive(Debug)]
pub(super) struct Door {
    listener: UnixListener,
    path: PathBuf,
}

/// Somebody who waits for another sidecar.
#[derive(Debug)]
pub(super) struct Visitor {
    stream: UnixStream,
    /// What the next sidecar is to be.
    pub(super) program: PathBuf,
}

impl Door {
    /// Opens it in the run's folder; only its user can reach in there.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let listener = UnixListener::bind(&path);
        let listener = listener.with_context(|| format!("listening at {}", path.display()))?;
        Ok(Self { listener, path })
    }

    /// The next visitor that knows what it wants.
    pub(super) async fn visitor(&self) -> Visitor {
        loop {
            let Ok((mut stream, _)) = self.listener.accept().await else {
                // Out of descriptors, most likely: it is tried again.
                tokio::time::sleep(PATIENCE).await;
                continue;
            };
            let mut line = String::new();
            let read = async {
                BufReader::new(&mut stream).take(LINE_BYTES_MAX).read_line(&mut line).await
            };
            if let Ok(Ok(1..)) = timeout(PATIENCE, read).await {
                let program = PathBuf::from(line.trim_end_matches('\n'));
                return Visitor { stream, program };
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // It goes with the folder at the latest.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Visitor {
    /// Tells what came of it.
    pub(super) async fn answer(mut self, outcome: &Result<String>) {
        let line = match outcome {
            Ok(done) => format!("ok {done}\n"),
            Err(error) => format!("error {}\n", format!("{error:#}").replace('\n', "; ")),
        };
        // One that did not wait does not want to know.
        let _ = self.stream.write_all(line.as_bytes()).await;
    }
}
