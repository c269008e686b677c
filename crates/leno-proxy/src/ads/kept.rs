//! The last good configuration on disk: what a proxy serves that starts while the control plane is away.
//!
//! One file, replaced by rename, readable by its owner only. It holds a checksum, then one delta response a type; a
//! file that does not fit is left alone and named in the log. Sealed where there is a key (ADR 9).

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use bytes::Bytes;
use leno_identity::{Seal, SealError, seal, sha256, unseal};
use leno_xds::ResourceType;
use leno_xds::client::Update;
use leno_xds::discovery::{Resource, Response, Variant};

use super::apply::Apply;

/// The file's name in the data directory.
const FILE: &str = "last-good.ads";

/// Its first bytes; the number is the format's.
const MAGIC: &[u8; 8] = b"LENOADS1";

/// Where it is kept, and what it is sealed with.
pub(super) type Place<'a> = (&'a Path, Option<&'a Seal>);

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Sealed(#[from] SealError),
    #[error("not a last-good file, or cut short")]
    Form,
    #[error("the checksum does not fit")]
    Checksum,
    #[error("refused: {0}")]
    Refused(String),
}

impl Apply {
    /// Puts in force what the last process kept, if there is anything.
    pub(super) fn restore(&mut self, (folder, key): Place<'_>) {
        let path = folder.join(FILE);
        match self.try_restore(&path, key) {
            Ok(()) => tracing::info!(path = %path.display(), "serving the last good configuration"),
            Err(Unusable::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "last good configuration left out")
            }
        }
    }

    fn try_restore(&mut self, path: &Path, key: Option<&Seal>) -> Result<(), Unusable> {
        let responses = read(&unseal(key, FILE, std::fs::read(path)?)?)?;
        // The machine takes them as it would from a stream; nothing is sent.
        self.client.connected();
        // Endpoints come first, so that the snapshot finds them.
        let order = |response: &Response| response.kind() != Some(ResourceType::Endpoint);
        let mut sorted = responses;
        sorted.sort_by_key(order);
        for response in sorted {
            self.restore_one(response)?;
        }
        self.publish_restored().map_err(Unusable::Refused)
    }

    fn restore_one(&mut self, response: Response) -> Result<(), Unusable> {
        let Some(kind) = response.kind() else { return Ok(()) };
        for resource in &response.resources {
            self.client.remember(kind, resource.name.clone(), resource.version.clone());
        }
        let update = Update::from_kept(kind, response.resources);
        let refusals = self.take(update);
        let lines: Vec<String> = refusals.into_values().flatten().collect();
        if lines.is_empty() { Ok(()) } else { Err(Unusable::Refused(lines.join("; "))) }
    }

    /// Writes what is in force, if it changed since the last time. A disk that is full costs only this file.
    pub(super) fn keep(&mut self, (folder, key): Place<'_>) {
        if !std::mem::take(&mut self.changed) || !self.is_configured() {
            return;
        }
        let path = folder.join(FILE);
        if let Err(error) = write(&path, key, &self.to_keep()) {
            tracing::warn!(path = %path.display(), %error, "the last good configuration was not kept");
        }
    }

    fn to_keep(&self) -> Vec<Response> {
        let good = self.good();
        let of = |kind: ResourceType, encoded: Vec<(&String, Vec<u8>)>| {
            let versions: std::collections::BTreeMap<&str, &str> =
                self.client.accepted(kind).collect();
            let resource = |(name, bytes): (&String, Vec<u8>)| Resource {
                name: name.clone(),
                version: versions.get(name.as_str()).copied().unwrap_or_default().to_owned(),
                bytes: Bytes::from(bytes),
            };
            Response {
                type_url: kind.type_url().to_owned(),
                resources: encoded.into_iter().map(resource).collect(),
                ..Response::default()
            }
        };
        let clusters =
            good.clusters.iter().map(|(name, value)| (name, leno_xds::encode_cluster(value)));
        let endpoints =
            self.endpoints.iter().map(|(name, value)| (name, leno_xds::encode_endpoints(value)));
        let listeners =
            good.listeners.iter().map(|(name, value)| (name, leno_xds::encode_listener(value)));
        let routes = good.routes.iter().map(|(name, value)| (name, leno_xds::encode_route(value)));
        let names = self.name_tables.iter().map(|(name, bytes)| (name, bytes.to_vec()));
        vec![
            of(ResourceType::Cluster, clusters.collect()),
            of(ResourceType::Endpoint, endpoints.collect()),
            of(ResourceType::Listener, listeners.collect()),
            of(ResourceType::Route, routes.collect()),
            of(ResourceType::NameTable, names.collect()),
        ]
    }
}

fn read(file: &[u8]) -> Result<Vec<Response>, Unusable> {
    let rest = file.strip_prefix(MAGIC).ok_or(Unusable::Form)?;
    let (checksum, mut body) = rest.split_at_checked(32).ok_or(Unusable::Form)?;
    if sha256(body) != checksum {
        return Err(Unusable::Checksum);
    }
    let mut responses = Vec::new();
    while !body.is_empty() {
        let (length, rest) = body.split_first_chunk::<4>().ok_or(Unusable::Form)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (message, rest) = rest.split_at_checked(length).ok_or(Unusable::Form)?;
        let message = Bytes::copy_from_slice(message);
        responses.push(Response::decode(Variant::Delta, message).map_err(|_| Unusable::Form)?);
        body = rest;
    }
    Ok(responses)
}

fn write(path: &Path, key: Option<&Seal>, responses: &[Response]) -> io::Result<()> {
    let mut body = Vec::new();
    for response in responses {
        let message = response.encode(Variant::Delta);
        let length = u32::try_from(message.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(&message);
    }
    let content = [MAGIC.as_slice(), &sha256(&body), &body].concat();
    let file_bytes = seal(key, FILE, content).map_err(io::Error::other)?;
    let partial = path.with_extension("partial");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(&file_bytes)?;
    file.sync_data()?;
    std::fs::rename(partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_survives_and_a_damaged_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let resource = Resource {
            name: "a".into(),
            version: "1".into(),
            bytes: Bytes::from_static(b"\x0a\x01a"),
        };
        let response = Response {
            type_url: ResourceType::Cluster.type_url().into(),
            resources: vec![resource],
            ..Response::default()
        };
        write(&path, None, std::slice::from_ref(&response)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(read(&whole).unwrap(), [response]);
        for cut in [0, 7, 20, whole.len() - 1] {
            assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let mut flipped = whole;
        if let Some(last) = flipped.last_mut() {
            *last ^= 1;
        }
        assert!(matches!(read(&flipped), Err(Unusable::Checksum)));
    }
}
