//! The SVID on disk: key, chain and roots in one file, 0600, replaced in one step.
//!
//! Sealed where whoever started us handed over a key (ADR 9). Without one it is in the plain: what could open it would
//! lie beside it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leno_identity::{Expected, PrivateKey, Role, Seal, Svid, TrustBundle, seal, unseal, verify};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::bundle_for;

/// Far more than a chain and a few roots.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Between the chain and the roots.
const ROOTS: &str = "# roots\n";

/// Why a file is not used or not written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KeepError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} has mode {mode:04o}, so others may have read the key")]
    Mode { path: PathBuf, mode: u32 },
    #[error("{path} is not usable: {reason}")]
    Content { path: PathBuf, reason: String },
}

/// Also what the seal says is in it.
const FILE: &str = "svid.pem";

/// Where it is kept, and what it is sealed with.
pub(super) type Place<'a> = (&'a Path, Option<&'a Seal>);

fn file(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// Replaces what is kept.
pub(super) fn store(
    (directory, key): Place<'_>,
    svid: &Svid,
    bundle: &TrustBundle,
) -> Result<(), KeepError> {
    let path = file(directory);
    let mut text = pem("PRIVATE KEY", svid.key().secret_der());
    for certificate in svid.chain() {
        text.push_str(&pem("CERTIFICATE", certificate));
    }
    text.push_str(ROOTS);
    for root in bundle.certificates() {
        text.push_str(&pem("CERTIFICATE", root));
    }
    let bytes = seal(key, FILE, text.into_bytes())
        .map_err(|error| KeepError::Content { path: path.clone(), reason: error.to_string() })?;
    let temporary = path.with_extension("pem.new");
    let write = || {
        fs::create_dir_all(directory)?;
        let _ = fs::remove_file(&temporary);
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    write().map_err(|source| KeepError::Io { path: path.clone(), source })
}

/// What is kept and still passes verification; `None` where there is nothing or it has expired.
pub(super) fn load(
    (directory, key): Place<'_>,
    now: SystemTime,
) -> Result<Option<(Svid, TrustBundle)>, KeepError> {
    let path = file(directory);
    let io = |source| KeepError::Io { path: path.clone(), source };
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeepError::Mode { path, mode });
    }
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        let reason = "not a plain file of a sensible size".to_owned();
        return Err(KeepError::Content { path, reason });
    }
    let bytes = fs::read(&path).map_err(io)?;
    let opened = unseal(key, FILE, bytes).map_err(|error| error.to_string());
    let text = opened.and_then(|text| String::from_utf8(text).map_err(|error| error.to_string()));
    let (svid, bundle) = text
        .and_then(|text| parse(&text))
        .map_err(|reason| KeepError::Content { path: path.clone(), reason })?;
    if svid.facts().not_after <= now {
        return Ok(None);
    }
    verify(svid.chain(), Role::Server, &bundle, &Expected::anyone(), now)
        .map_err(|error| KeepError::Content { path, reason: error.to_string() })?;
    Ok(Some((svid, bundle)))
}

fn parse(text: &str) -> Result<(Svid, TrustBundle), String> {
    let (own, roots) = text.split_once(ROOTS).ok_or("it ends before the roots")?;
    let key = PrivateKey::from_pem(own.as_bytes()).map_err(|error| error.to_string())?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(own.as_bytes()).collect();
    let chain = chain.map_err(|error| error.to_string())?;
    let svid = Svid::new(chain, key).map_err(|error| error.to_string())?;
    let bundle = bundle_for(&svid, roots.as_bytes()).map_err(|error| error.to_string())?;
    Ok((svid, bundle))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}
