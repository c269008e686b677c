//! Where the demo's mesh keeps its files.
//!
//! What the demo made it removes: the whole folder if it was not there before, else only its own part of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// What the demo itself writes into a folder that was there before.
const OWN: [&str; 4] = ["logs", "run", "try", "prometheus"];

/// Cleaned up when dropped.
pub(super) struct Folder {
    path: PathBuf,
    is_ours: bool,
}

impl Folder {
    /// `path`, or a temporary one.
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let temporary = || std::env::temp_dir().join(format!("leno-demo-{}", std::process::id()));
        let path = path.map_or_else(temporary, Path::to_owned);
        let is_ours = !path.exists();
        fs::create_dir_all(path.join("logs"))
            .with_context(|| format!("making {}", path.display()))?;
        let path = fs::canonicalize(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path, is_ours })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What `name` says on its standard streams.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(format!("{name}.log"))
    }

    /// The access log of the sidecar of `name`.
    pub(super) fn access_log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(format!("{name}.access.log"))
    }

    /// Writes a file below the folder.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        let parent = path.parent().unwrap_or(&self.path);
        let write = || fs::create_dir_all(parent).and_then(|()| fs::write(&path, text));
        write().with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A file that cannot be removed is the user's to see; there is nobody left to tell.
        if self.is_ours {
            let _ = fs::remove_dir_all(&self.path);
        } else {
            for name in OWN {
                let _ = fs::remove_dir_all(self.path.join(name));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_there_keeps_what_is_not_ours() {
        let base = tempfile::tempdir().unwrap();
        let (old, new) = (base.path().join("old"), base.path().join("new"));
        fs::create_dir(&old).unwrap();
        fs::write(old.join("store.redb"), "kept").unwrap();
        for path in [&old, &new] {
            let folder = Folder::open(Some(path)).unwrap();
            folder.write("try/1.yaml", "x").unwrap();
            fs::write(folder.log("a"), "x").unwrap();
        }
        assert!(!new.exists());
        let left: Vec<_> = fs::read_dir(&old).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["store.redb"]);
    }
}
