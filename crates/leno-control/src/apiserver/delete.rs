//! Delete one document or a whole collection, and what deletion waits for.

use std::sync::Arc;

use axum::body::Body;
use leno_api::kind::Access;
use serde_json::{Value, json};

use super::body;
use super::metadata;
use super::path::Target;
use super::query::{Query, dry_run};
use super::read::{key, range};
use super::status::{self, Failure};
use super::table::View;
use super::write::Call;
use crate::store::{CommitError, Document, Expect, Write};

/// Set while dependents are deleted first.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Set while dependents are let go.
pub(crate) const ORPHAN: &str = "orphan";

const ATTEMPTS_MAX: usize = 8;

/// Deletions that are handed to the store before the first is waited for.
const TOGETHER_MAX: usize = 128;

/// What to do with documents that name this one as their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// `DeleteOptions`, from the body or the query.
#[derive(Debug)]
struct Options {
    propagation: Propagation,
    uid: Option<String>,
    version: Option<String>,
    dry_run: bool,
}

impl Options {
    fn parse(document: &Value, query: &Query) -> Result<Self, Failure> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let propagation =
            text(&document["propagationPolicy"]).or_else(|| query.propagation.clone());
        let propagation = match propagation.as_deref() {
            None | Some("Background") => Propagation::Background,
            Some("Foreground") => Propagation::Foreground,
            Some("Orphan") => Propagation::Orphan,
            Some(other) => {
                return Err(Failure::bad_request(format!(
                    "propagationPolicy: {other:?} must be Background, Foreground or Orphan"
                )));
            }
        };
        let orphans = document["orphanDependents"] == true;
        let conditions = &document["preconditions"];
        let asked = dry_run(document["dryRun"][0].as_str())?;
        Ok(Self {
            propagation: if orphans { Propagation::Orphan } else { propagation },
            uid: text(&conditions["uid"]),
            version: text(&conditions["resourceVersion"]),
            dry_run: asked || query.dry_run,
        })
    }
}

impl Call<'_> {
    /// `DELETE` of one document.
    pub(crate) async fn delete(&mut self, body: Body, view: &View) -> Result<Value, Failure> {
        let (target, name) = (self.target, self.target.one()?);
        let options = self.delete_options(body).await?;
        for _ in 0..ATTEMPTS_MAX {
            let live = self.store.get(&key(target, name));
            let live = live.ok_or_else(|| Failure::not_found(target.kind, name))?;
            check_preconditions(target, &options, &live.value)?;
            match self.delete_one(&live, &options).await {
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(Failure::commit(target.kind, name, &error)),
                Ok(Some(waiting)) => return Ok(view.whole(&waiting)),
                Ok(None) => {
                    return Ok(status::deleted(target.kind, name, &live.value["metadata"]["uid"]));
                }
            }
        }
        Err(Failure::conflict(target.kind, name, status::MODIFIED))
    }

    /// `DELETE` of everything in a collection that the query selects.
    pub(crate) async fn delete_collection(
        &mut self,
        body: Body,
        view: &View,
    ) -> Result<Value, Failure> {
        let target = self.target;
        if target.kind.is_namespaced() && target.namespace.is_empty() {
            return Err(Failure::method_not_allowed(
                "a collection is deleted namespace by namespace",
            ));
        }
        let options = self.delete_options(body).await?;
        self.query.fields.check(target.kind)?;
        let listing = self.store.list(range(target));
        let selected: Vec<_> = listing
            .documents
            .into_iter()
            .filter(|found| self.query.labels.selects(&found.value))
            .filter(|found| self.query.fields.selects(&found.value))
            .collect();
        for found in &selected {
            check_protected(target, &found.value)?;
        }
        let mut left: Vec<Arc<Document>> = selected.clone();
        while !left.is_empty() {
            left = self.delete_round(&left, &options).await?;
        }
        let documents: Vec<&Value> = selected.iter().map(|found| &found.value).collect();
        let version = json!({"resourceVersion": self.store.revision().to_string()});
        Ok(view.list(&documents, version))
    }

    async fn delete_options(&self, body: Body) -> Result<Options, Failure> {
        if self.target.kind.access == Access::ReadOnly {
            return Err(Failure::method_not_allowed(format!(
                "every {} is generated: read only",
                self.target.kind.kind
            )));
        }
        let bytes = body::read(body).await?;
        let document = if bytes.is_empty() {
            json!({})
        } else {
            body::parse(&bytes, body::syntax(self.headers)?)?.value
        };
        Options::parse(&document, self.query)
    }

    /// Deletes many at once, so that they share the store's transactions; gives those that changed in between.
    async fn delete_round(
        &self,
        documents: &[Arc<Document>],
        options: &Options,
    ) -> Result<Vec<Arc<Document>>, Failure> {
        let mut left = Vec::new();
        for part in documents.chunks(TOGETHER_MAX) {
            let writes = part.iter().map(|live| plan(live, options.propagation).into_write());
            let writes = writes.filter(|_| !options.dry_run);
            let commits: Vec<_> =
                writes.map(|write| write.map(|write| self.store.commit(vec![write]))).collect();
            for (live, commit) in part.iter().zip(commits) {
                let Some(commit) = commit else { continue };
                match commit.await {
                    Ok(_) | Err(CommitError::Missing { .. }) => {}
                    Err(CommitError::Conflict { .. }) => left.extend(self.store.get(&live.key)),
                    Err(error) => {
                        return Err(Failure::commit(self.target.kind, &live.key.name, &error));
                    }
                }
            }
        }
        Ok(left)
    }

    /// Removes the document, or marks it while something holds it: then its new state.
    async fn delete_one(
        &self,
        live: &Document,
        options: &Options,
    ) -> Result<Option<Value>, CommitError> {
        let plan = plan(live, options.propagation);
        match &plan {
            Plan::Wait => return Ok(Some(live.value.clone())),
            Plan::Mark(Write::Put { value, .. }) if options.dry_run => {
                return Ok(Some(value.clone()));
            }
            _ if options.dry_run => return Ok(None),
            Plan::Mark(_) | Plan::Remove(_) => {}
        }
        let is_marked = matches!(plan, Plan::Mark(_));
        let written = self.store.commit(plan.into_write().into_iter().collect()).await?;
        Ok(written.first().filter(|_| is_marked).map(|document| document.value.clone()))
    }
}

/// What deleting a document takes.
enum Plan {
    /// Nothing holds it.
    Remove(Write),
    /// Something does: it is marked, and goes when that lets it.
    Mark(Write),
    /// It is marked already.
    Wait,
}

impl Plan {
    fn into_write(self) -> Option<Write> {
        match self {
            Self::Remove(write) | Self::Mark(write) => Some(write),
            Self::Wait => None,
        }
    }
}

fn plan(live: &Document, propagation: Propagation) -> Plan {
    let (key, expect) = (live.key.clone(), Expect::Revision(live.revision));
    let mut value = live.value.clone();
    add_finalizer(&mut value, propagation);
    if !metadata::has_finalizers(&value) {
        return Plan::Remove(Write::Delete { key, expect });
    }
    if metadata::is_terminating(&value) {
        return if value == live.value {
            Plan::Wait
        } else {
            Plan::Mark(Write::Put { key, value, expect })
        };
    }
    value["metadata"]["deletionTimestamp"] = metadata::now().into();
    value["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    if let Some(generation) = value["metadata"]["generation"].as_u64() {
        value["metadata"]["generation"] = (generation + 1).into();
    }
    if value["kind"] == "Namespace" {
        value["status"]["phase"] = "Terminating".into();
    }
    Plan::Mark(Write::Put { key, value, expect })
}

fn add_finalizer(document: &mut Value, propagation: Propagation) {
    let finalizer = match propagation {
        Propagation::Background => return,
        Propagation::Foreground => FOREGROUND,
        Propagation::Orphan => ORPHAN,
    };
    let finalizers = &mut document["metadata"]["finalizers"];
    if !finalizers.is_array() {
        *finalizers = json!([]);
    }
    if let Value::Array(list) = finalizers
        && !list.iter().any(|known| known == finalizer)
    {
        list.push(finalizer.into());
    }
}

fn check_preconditions(target: &Target, options: &Options, live: &Value) -> Result<(), Failure> {
    check_protected(target, live)?;
    let held = &live["metadata"];
    let conditions =
        [("UID", &options.uid, "uid"), ("ResourceVersion", &options.version, "resourceVersion")];
    for (what, wanted, field) in conditions {
        if let Some(wanted) = wanted
            && held[field] != *wanted
        {
            let name = held["name"].as_str().unwrap_or("");
            let found = held[field].as_str().unwrap_or("");
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The object might have been deleted and then recreated"
            );
            return Err(Failure::conflict(target.kind, name, why));
        }
    }
    Ok(())
}

fn check_protected(target: &Target, live: &Value) -> Result<(), Failure> {
    if target.kind.kind == "Namespace" && live["metadata"]["name"] == "default" {
        return Err(Failure::forbidden(
            target.kind,
            "default",
            "this namespace may not be deleted",
        ));
    }
    Ok(())
}
