//! A stream of changes: one JSON document per line.

use bytes::{Buf as _, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;

use super::{ClientError, Refusal};

/// The longest line that is read.
const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What happened to one document.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The document afterwards (before, when it was deleted).
    pub document: Value,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Kubernetes' words")]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
    /// Nothing: the document only carries a resourceVersion to go on from.
    Bookmark,
}

/// Changes as they come.
#[derive(Debug)]
pub struct Watch {
    server: String,
    body: Incoming,
    buffer: BytesMut,
}

impl Watch {
    pub(super) fn new(server: &str, body: Incoming) -> Self {
        Self { server: server.to_owned(), body, buffer: BytesMut::new() }
    }

    /// The next change; `None` when the server ended the stream. After an error there is no more.
    pub async fn next(&mut self) -> Option<Result<Change, ClientError>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                if line.is_empty() {
                    continue;
                }
                return Some(self.change(&line));
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Some(Err(
                    self.broken(format!("a line of more than {LINE_BYTES_MAX} bytes"))
                ));
            }
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Err(error) => return Some(Err(self.broken(error))),
            }
        }
    }

    fn change(&self, line: &[u8]) -> Result<Change, ClientError> {
        let mut event: Value = serde_json::from_slice(line).map_err(|error| self.broken(error))?;
        let document = event["object"].take();
        let kind = match event["type"].as_str() {
            Some("ADDED") => ChangeKind::Added,
            Some("MODIFIED") => ChangeKind::Modified,
            Some("DELETED") => ChangeKind::Deleted,
            Some("BOOKMARK") => ChangeKind::Bookmark,
            Some("ERROR") => {
                let code = document["code"].as_u64().and_then(|code| u16::try_from(code).ok());
                let status = code.and_then(|code| http::StatusCode::from_u16(code).ok());
                let status = status.unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
                let refusal = Refusal::new(status, document.to_string().as_bytes());
                return Err(ClientError::Refused(Box::new(refusal)));
            }
            other => return Err(self.broken(format!("a change of type {other:?}"))),
        };
        Ok(Change { kind, document })
    }

    fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Broken { server: self.server.clone(), source: source.into() }
    }
}
