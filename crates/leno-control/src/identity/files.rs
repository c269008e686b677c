//! Secrets on disk: 0600, made in one step, refused when others may read them, never overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// More than any file of ours holds.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum FileError {
    #[error("{path} cannot be read or written")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{path} has mode {mode:04o}, so others may read a secret; run `chmod 600 {path}` if nobody did, or remove it to start anew"
    )]
    Mode { path: PathBuf, mode: u32 },
    #[error("{path} is not a plain file")]
    NotAFile { path: PathBuf },
    #[error(
        "{path} is corrupt: {reason}; restore it from a backup, or move it away to start anew (every proxy then has to join again)"
    )]
    Corrupt { path: PathBuf, reason: String },
}

impl FileError {
    pub(super) fn corrupt(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Corrupt { path: path.to_owned(), reason: reason.to_string() }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError::Io { path: path.to_owned(), source }
}

/// Makes the directory 0700 if it is not there.
pub(super) fn make_directory(path: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))
}

/// The secret at `path`, or what `make` gives, stored there. Two processes that start at once agree on one.
pub(super) fn load_or_create<E: From<FileError>>(
    path: &Path,
    make: impl FnOnce() -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    if let Some(bytes) = load(path)? {
        return Ok(bytes);
    }
    let bytes = make()?;
    let temporary = temporary(path);
    write_new(&temporary, &bytes, 0o600)?;
    // A link, unlike a rename, does not replace what somebody else made meanwhile.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(at(&temporary))?;
    match linked {
        Ok(()) => {
            sync_directory(path)?;
            Ok(bytes)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let gone = || FileError::NotAFile { path: path.to_owned() };
            Ok(load(path)?.ok_or_else(gone)?)
        }
        Err(error) => Err(at(path)(error).into()),
    }
}

/// Replaces a file that everybody may read, in one step.
pub(super) fn publish(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let temporary = temporary(path);
    write_new(&temporary, bytes, 0o644)?;
    fs::rename(&temporary, path).map_err(at(path))
}

fn load(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    if !metadata.is_file() {
        return Err(FileError::NotAFile { path: path.to_owned() });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::Mode { path: path.to_owned(), mode });
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(FileError::corrupt(path, format_args!("it has {} bytes", metadata.len())));
    }
    fs::read(path).map(Some).map_err(at(path))
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    name.into()
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    // Left by a process with our id that died here.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(path)(error)),
        _ => {}
    }
    let mut file: File =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(at(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(path))
}

fn sync_directory(path: &Path) -> Result<(), FileError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory).and_then(|file| file.sync_all()).map_err(at(directory))
}
