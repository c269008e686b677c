//! The run's own directory: what its sidecar reads and writes, gone when the run ends.
//!
//! Private to the user: the join token and the sidecar's last certificates are in it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Removed with everything in it when dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Makes `parent/name`.
    pub(super) fn make(parent: &Path, name: &str) -> Result<Self> {
        let path = parent.join(name);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&path).with_context(|| format!("making {}", path.display()))?;
        // Names in it are given to other processes, which may run elsewhere.
        let path = fs::canonicalize(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path })
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts `contents` in place whole: a reader finds the old or the new.
    pub(super) fn write(&self, name: &str, contents: &[u8]) -> Result<PathBuf> {
        let (path, draft) = (self.file(name), self.file(&format!("{name}.new")));
        let write = || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.open(&draft)?.write_all(contents)?;
            fs::rename(&draft, &path)
        };
        write().with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// The last lines of a file, for telling why something failed.
    pub(super) fn tail(&self, name: &str, lines: usize) -> String {
        let text = fs::read_to_string(self.file(name)).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed harms nothing: its names are never used again.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn files_are_private_whole_and_gone_at_the_end() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::make(&parent.path().join("a/b"), "pod").unwrap();
        let path = directory.write("token", b"first").unwrap();
        directory.write("token", b"one\ntwo\nthree").unwrap();
        assert_eq!(directory.tail("token", 2), "two\nthree");
        assert_eq!(directory.tail("absent", 2), "");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(directory.path())), (0o600, 0o700));
        drop(directory);
        assert!(!path.exists());
    }
}
