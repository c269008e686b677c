//! What is asked of a request before anything is written: whether it may, where to, and who writes.

use axum::http::header;
use leno_api::kind::Access;

use super::Call;
use crate::apiserver::managed_fields::{Operation, Writer};
use crate::apiserver::metadata;
use crate::apiserver::path::Part;
use crate::apiserver::status::Failure;
use crate::store::Key;

/// Namespaces themselves, in the store.
const NAMESPACES: (&str, &str) = ("", "namespaces");

impl Call<'_> {
    pub(super) fn check_writable(&self) -> Result<(), Failure> {
        if self.target.kind.access == Access::ReadOnly {
            let kind = self.target.kind.kind;
            let why = format!("every {kind} is generated from what this server knows: read only");
            return Err(Failure::method_not_allowed(why));
        }
        if self.target.kind.is_namespaced() && self.target.namespace.is_empty() {
            return Err(Failure::method_not_allowed("name the namespace in the path to write"));
        }
        Ok(())
    }

    /// Nothing is created in a namespace that is not there or is going away.
    pub(super) fn check_namespace(&self, name: &str) -> Result<(), Failure> {
        if !self.target.kind.is_namespaced() {
            return Ok(());
        }
        let namespace = &self.target.namespace;
        let found = self.store.get(&Key::new(NAMESPACES.0, NAMESPACES.1, "", namespace));
        match found {
            Some(found) if metadata::is_terminating(&found.value) => {
                let why = format!(
                    "unable to create new content in namespace {namespace} because it is being terminated"
                );
                Err(Failure::forbidden(self.target.kind, name, why))
            }
            Some(_) => Ok(()),
            None => {
                let kind = leno_api::kind_of("", "Namespace").expect("a kind of the registry");
                Err(Failure::not_found(kind, namespace))
            }
        }
    }

    pub(super) fn writer(&self, operation: Operation) -> Result<Writer, Failure> {
        let agent = self.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let named = match (&self.query.manager, operation) {
            (Some(name), _) => Some(name.clone()),
            (None, Operation::Apply) => None,
            // As Kubernetes: the program's name, without its version.
            (None, Operation::Update) => {
                let program = agent.unwrap_or("unknown").split(['/', ' ']).next();
                program.map(str::to_owned)
            }
        };
        let name = named.ok_or_else(|| {
            Failure::bad_request("fieldManager is required for an apply patch: say who applies")
        })?;
        Ok(Writer {
            name,
            operation,
            api_version: self.target.api_version(),
            subresource: if self.target.part == Part::Status { "status" } else { "" },
        })
    }
}
