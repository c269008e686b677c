//! Get and list, with selectors and paging.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::path::Target;
use super::query::{Match, Query};
use super::status::Failure;
use super::table::View;
use crate::store::{Compacted, Key, Range, Store};

/// Where a list goes on: after this document, in the state of this revision.
#[derive(Debug, Serialize, Deserialize)]
struct Resume {
    v: String,
    rv: u64,
    after: (String, String),
}

const RESUME_VERSION: &str = "leno.dev/v1";

/// One document.
pub(crate) fn get(store: &dyn Store, target: &Target, view: &View) -> Result<Value, Failure> {
    let name = target.one()?;
    let document = store.get(&key(target, name));
    let document = document.ok_or_else(|| Failure::not_found(target.kind, name))?;
    Ok(view.one(&document.value))
}

/// Where the document `name` of `target`'s collection is.
pub(crate) fn key(target: &Target, name: &str) -> Key {
    Key::new(target.kind.group, target.kind.plural, &target.namespace, name)
}

/// Which documents `target`'s collection has.
pub(crate) fn range(target: &Target) -> Range<'_> {
    let namespace = Some(target.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    Range { group: target.kind.group, plural: target.kind.plural, namespace }
}

/// The documents of a collection that the query selects, in the order of namespace and name.
pub(crate) fn list(
    store: &dyn Store,
    target: &Target,
    query: &Query,
    view: &View,
) -> Result<Value, Failure> {
    query.fields.check(target.kind)?;
    let resume = query.resume.as_deref().map(decode).transpose()?;
    let revision = match (&resume, query.revision) {
        (Some(_), Some(_)) => {
            let why = "resourceVersion and continue exclude each other";
            return Err(Failure::bad_request(why));
        }
        (Some(resume), None) => Some(resume.rv),
        (None, Some(revision)) if query.revision_match == Match::Exact => Some(revision),
        (None, Some(_)) => None,
        (None, None) if query.revision_match != Match::Unset => {
            let why = "resourceVersionMatch needs a resourceVersion";
            return Err(Failure::bad_request(why));
        }
        (None, None) => None,
    };
    let current = store.revision();
    let asked = query.revision.or(revision).unwrap_or(0);
    if asked > current {
        return Err(Failure::too_new(asked, current));
    }
    let listing = match revision {
        Some(revision) => store.list_at(range(target), revision).map_err(|compacted| {
            expired(&compacted, resume.map(|resume| Resume { rv: current, ..resume }))
        }),
        None => Ok(store.list(range(target))),
    };
    let (after, listing) = match (query.resume.as_deref().map(decode).transpose()?, listing) {
        (resume, Ok(listing)) => (resume.map(|resume| resume.after), listing),
        (_, Err(failure)) => return Err(failure),
    };
    let place = |key: &Key| (key.namespace.clone(), key.name.clone());
    let remaining: Vec<_> = listing
        .documents
        .iter()
        .filter(|found| after.as_ref().is_none_or(|after| place(&found.key) > *after))
        .filter(|found| query.labels.selects(&found.value) && query.fields.selects(&found.value))
        .collect();
    let page = if query.limit == 0 { remaining.len() } else { query.limit.min(remaining.len()) };
    let mut metadata = json!({"resourceVersion": listing.revision.to_string()});
    if let Some(last) = remaining[..page].last().filter(|_| page < remaining.len()) {
        let after = place(&last.key);
        let resume = Resume { v: RESUME_VERSION.to_owned(), rv: listing.revision, after };
        metadata["continue"] = encode(&resume).into();
        metadata["remainingItemCount"] = (remaining.len() - page).into();
    }
    let documents: Vec<&Value> = remaining[..page].iter().map(|found| &found.value).collect();
    Ok(view.list(&documents, metadata))
}

/// 410: with a place to go on from in the newest state, where the list had begun.
fn expired(compacted: &Compacted, resume: Option<Resume>) -> Failure {
    let message = match resume {
        Some(_) => {
            "The provided continue parameter is too old to display a consistent list result. \
             You can start a new list without the continue parameter, or use the continue token \
             in this response to retrieve the remainder of the results. Continuing with the \
             provided token results in an inconsistent list"
                .to_owned()
        }
        None => format!("too old resource version: {compacted}"),
    };
    Failure::expired(message, resume.as_ref().map(encode))
}

fn encode(resume: &Resume) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(resume).expect("plain text and numbers"))
}

fn decode(text: &str) -> Result<Resume, Failure> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let resume: Option<Resume> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    resume
        .filter(|resume| resume.v == RESUME_VERSION)
        .ok_or_else(|| Failure::bad_request("continue: not a token this server gave"))
}
