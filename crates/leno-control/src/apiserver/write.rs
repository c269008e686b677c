//! Create, update and patch: from a request to a commit.
//!
//! Each reads the live document, works out the new one by pure rules, and commits on the condition that the live one
//! is still that; a patch without a `resourceVersion` tries again with the newest state, everything else is told 409.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::admission;
use super::body::{self, Parsed, Syntax};
use super::managed_fields::{Managers, Operation};
use super::metadata;
use super::patch::apply;
use super::path::{Part, Target};
use super::query::Query;
use super::read::key;
use super::status::{Failure, MODIFIED};
use crate::store::{CommitError, Expect, Key, Store, Write};

/// How often a patch is worked out anew when somebody else was faster.
const ATTEMPTS_MAX: usize = 8;

mod checks;
mod rules;

pub(crate) use rules::patch_types;
use rules::{check_preconditions, generate_name, is_core, note_last_applied, patched};

/// One write while it is worked out.
pub(crate) struct Call<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) target: &'a Target,
    pub(crate) query: &'a Query,
    pub(crate) headers: &'a HeaderMap,
    /// For whoever wrote it, in `Warning` headers.
    pub(crate) warnings: Vec<String>,
}

/// The new document and whether it was there before.
pub(crate) type Written = (StatusCode, Value);

/// What a request asks to make of the live document.
enum Wish {
    Replace(Parsed),
    Merge(Value),
    JsonPatch(Value),
    Strategic(Value),
    Apply(Parsed),
}

impl Call<'_> {
    /// `POST` to a collection.
    pub(crate) async fn create(&mut self, body: Body) -> Result<Written, Failure> {
        self.check_writable()?;
        if self.target.name.is_some() {
            return Err(Failure::method_not_allowed("documents are created in their collection"));
        }
        let bytes = body::read(body).await?;
        let Parsed { value: mut document, duplicates } =
            body::parse(&bytes, body::syntax(self.headers)?)?;
        admission::identify(self.target, &mut document)?;
        self.prune(&mut document, &duplicates)?;
        if document["metadata"]["resourceVersion"].as_str().is_some_and(|text| !text.is_empty()) {
            let why = "resourceVersion should not be set on objects to be created";
            return Err(Failure::bad_request(why));
        }
        let generated = generate_name(&mut document);
        for _ in 0..ATTEMPTS_MAX {
            let mut attempt = document.clone();
            if let Some(prefix) = &generated {
                let suffix = metadata::name_suffix();
                attempt["metadata"]["name"] = format!("{prefix}{suffix}").into();
            }
            let writer = self.writer(Operation::Update)?;
            match self
                .insert(attempt, |managers, target, pair, now| {
                    managers.record_update(target, &writer, pair, now);
                })
                .await
            {
                Err(failure)
                    if generated.is_some() && failure.status()["reason"] == "AlreadyExists" => {}
                other => return other.map(|document| (StatusCode::CREATED, document)),
            }
        }
        let prefix = generated.unwrap_or_default();
        Err(Failure::conflict(self.target.kind, &prefix, "no free name was found for generateName"))
    }

    /// `PUT` of one document.
    pub(crate) async fn update(&mut self, body: Body) -> Result<Written, Failure> {
        self.check_writable()?;
        let bytes = body::read(body).await?;
        let parsed = body::parse(&bytes, body::syntax(self.headers)?)?;
        self.change(&Wish::Replace(parsed)).await
    }

    /// `PATCH` of one document.
    pub(crate) async fn patch(&mut self, body: Body) -> Result<Written, Failure> {
        self.check_writable()?;
        let media = body::media_type(self.headers).to_owned();
        let bytes = body::read(body).await?;
        let json = || body::parse(&bytes, Syntax::Json).map(|parsed| parsed.value);
        let wish = match media.as_str() {
            "application/merge-patch+json" => Wish::Merge(json()?),
            "application/json-patch+json" => Wish::JsonPatch(json()?),
            "application/strategic-merge-patch+json" if is_core(self.target.kind) => {
                Wish::Strategic(json()?)
            }
            "application/apply-patch+yaml" => Wish::Apply(body::parse(&bytes, Syntax::Yaml)?),
            other => {
                let served = patch_types(self.target.kind).join(", ");
                let why = format!("{other:?} is not a patch served here: there are {served}");
                return Err(Failure::unsupported_media_type(why));
            }
        };
        self.change(&wish).await
    }

    async fn change(&mut self, wish: &Wish) -> Result<Written, Failure> {
        let name = self.target.one()?;
        let key = key(self.target, name);
        let warnings = self.warnings.clone();
        for _ in 0..ATTEMPTS_MAX {
            self.warnings.clone_from(&warnings);
            let Some(live) = self.store.get(&key) else {
                return match wish {
                    Wish::Apply(parsed) if self.target.part == Part::Whole => {
                        self.create_by_apply(parsed).await
                    }
                    _ => Err(Failure::not_found(self.target.kind, name)),
                };
            };
            // Worked out anew each time, so that a named revision is checked against the newest state.
            let document = self.work_out(wish, &live.value)?;
            match self.replace(&key, document, (&live.value, live.revision)).await {
                Err(failure) if failure.is_conflict() => {}
                other => return other.map(|document| (StatusCode::OK, document)),
            }
        }
        Err(Failure::conflict(self.target.kind, name, MODIFIED))
    }

    /// The new document.
    fn work_out(&mut self, wish: &Wish, live: &Value) -> Result<Value, Failure> {
        let target = self.target;
        let now = metadata::now();
        if let Wish::Apply(parsed) = wish {
            return self.work_out_apply(parsed, live, &now);
        }
        let (mut document, duplicates) = match wish {
            Wish::Replace(parsed) => (parsed.value.clone(), parsed.duplicates.as_slice()),
            other => (patched(target, other, live)?, &[][..]),
        };
        admission::identify(target, &mut document)?;
        self.prune(&mut document, duplicates)?;
        check_preconditions(target, &document, live)?;
        let replaced_managers = Managers::of(&document);
        let reset = Managers::are_reset_by(&document);
        admission::keep_other_part(target, &mut document, Some(live));
        metadata::carry(&mut document, live);
        admission::check(target, &mut document, Some(live), &mut self.warnings, self.store)?;
        // Once more: defaults belong to the wish too.
        metadata::carry(&mut document, live);

        let mut managers = match (reset, replaced_managers) {
            (true, _) => Managers::default(),
            (false, Some(given)) => given,
            (false, None) => Managers::of(live).unwrap_or_default(),
        };
        let writer = self.writer(Operation::Update)?;
        managers.record_update(target, &writer, (live, &document), &now);
        managers.write_to(&mut document);
        Ok(document)
    }

    fn work_out_apply(
        &mut self,
        parsed: &Parsed,
        live: &Value,
        now: &str,
    ) -> Result<Value, Failure> {
        let target = self.target;
        let wanted = self.wanted(parsed)?;
        check_preconditions(target, &wanted, live)?;
        let writer = self.writer(Operation::Apply)?;
        let mut managers = Managers::of(live).unwrap_or_default();
        let conflicts =
            if self.query.force { apply::Conflicts::Force } else { apply::Conflicts::Refuse };
        let (mut document, applied) =
            apply::apply(target, &writer, live, &managers, (&wanted, conflicts))?;
        admission::keep_other_part(target, &mut document, Some(live));
        metadata::carry(&mut document, live);
        admission::check(target, &mut document, Some(live), &mut self.warnings, self.store)?;
        metadata::carry(&mut document, live);
        managers.record_apply(target, &writer, (live, &document), (applied, now));
        // Not a change of anybody's: whoever owned the annotation still does.
        note_last_applied(&writer, &mut document, &wanted);
        managers.write_to(&mut document);
        Ok(document)
    }

    /// What a manager applies, checked as far as it can be alone.
    fn wanted(&mut self, parsed: &Parsed) -> Result<Value, Failure> {
        let mut wanted = parsed.value.clone();
        admission::identify(self.target, &mut wanted)?;
        if wanted["metadata"].get("managedFields").is_some_and(|managed| !managed.is_null()) {
            return Err(Failure::bad_request("metadata.managedFields must be nil when applying"));
        }
        self.prune(&mut wanted, &parsed.duplicates)?;
        Ok(wanted)
    }

    async fn create_by_apply(&mut self, parsed: &Parsed) -> Result<Written, Failure> {
        let wanted = self.wanted(parsed)?;
        if wanted["metadata"]["uid"].is_string() {
            let name = self.target.one()?;
            return Err(Failure::conflict(
                self.target.kind,
                name,
                "uid mismatch: there is none yet",
            ));
        }
        let writer = self.writer(Operation::Apply)?;
        let applied = super::managed_fields::applied_fields(self.target, &wanted);
        let document = self
            .insert(wanted, |managers, target, pair, now| {
                managers.record_apply(target, &writer, pair, (applied, now));
            })
            .await?;
        Ok((StatusCode::CREATED, document))
    }

    /// Stores a document that was not there before.
    async fn insert(
        &mut self,
        mut document: Value,
        record: impl FnOnce(&mut Managers, &Target, (&Value, &Value), &str),
    ) -> Result<Value, Failure> {
        let (target, now) = (self.target, metadata::now());
        admission::keep_other_part(target, &mut document, None);
        metadata::unset(&mut document["metadata"], "managedFields");
        admission::check(target, &mut document, None, &mut self.warnings, self.store)?;
        metadata::begin(&mut document, &now);
        let nothing = json!({"metadata": {}});
        let mut managers = Managers::default();
        record(&mut managers, target, (&nothing, &document), &now);
        managers.write_to(&mut document);
        let name = document["metadata"]["name"].as_str().unwrap_or("").to_owned();
        self.check_namespace(&name)?;
        let key = key(target, &name);
        if self.query.dry_run {
            if self.store.get(&key).is_some() {
                return Err(Failure::exists(target.kind, &name));
            }
            return Ok(document);
        }
        let write = Write::Put { key, value: document, expect: Expect::Absent };
        self.commit(write, &name).await
    }

    /// Stores a document in the place of its live state, or lets it go when nothing holds it any more.
    async fn replace(
        &self,
        key: &Key,
        document: Value,
        (live, revision): (&Value, u64),
    ) -> Result<Value, Failure> {
        if &document == live {
            return Ok(document);
        }
        if self.query.dry_run {
            return Ok(document);
        }
        let expect = Expect::Revision(revision);
        if metadata::is_terminating(&document) && !metadata::has_finalizers(&document) {
            self.commit(Write::Delete { key: key.clone(), expect }, &key.name).await?;
            return Ok(document);
        }
        self.commit(Write::Put { key: key.clone(), value: document, expect }, &key.name).await
    }

    async fn commit(&self, write: Write, name: &str) -> Result<Value, Failure> {
        let written = self.store.commit(vec![write]).await;
        let missing = |error: &CommitError| match error {
            // It went away between the read and the write.
            CommitError::Missing { .. } => Failure::conflict(self.target.kind, name, MODIFIED),
            other => Failure::commit(self.target.kind, name, other),
        };
        let documents = written.map_err(|error| missing(&error))?;
        Ok(documents.first().map_or(Value::Null, |document| document.value.clone()))
    }

    fn prune(&mut self, document: &mut Value, duplicates: &[String]) -> Result<(), Failure> {
        let how = (self.query.validation, &mut self.warnings);
        admission::prune(self.target, document, duplicates, how)
    }
}
