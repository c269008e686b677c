//! The query of a request, read once into options. Pure.

use std::time::Duration;

use axum::extract::Query as UriQuery;
use axum::http::Uri;

use super::selector::{FieldSelector, LabelSelector};
use super::status::Failure;

/// What to do about fields a kind does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// Drop them.
    Ignore,
    /// Drop them and say so.
    Warn,
    /// Refuse the document.
    Strict,
}

/// How `resourceVersion` is meant in a list or a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// As Kubernetes takes it when nothing is said.
    Unset,
    /// That revision itself.
    Exact,
    /// That revision or a later one.
    NotOlderThan,
}

/// Everything a request may say in its query.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
    /// Absent and 0 are the same to us: the newest state is always at hand.
    pub(crate) revision: Option<u64>,
    pub(crate) revision_match: Match,
    pub(crate) limit: usize,
    pub(crate) resume: Option<String>,
    pub(crate) watch: bool,
    pub(crate) bookmarks: bool,
    pub(crate) send_initial: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) dry_run: bool,
    pub(crate) manager: Option<String>,
    pub(crate) force: bool,
    pub(crate) validation: FieldValidation,
    /// `includeObject` of tables.
    pub(crate) include_object: Option<String>,
    pub(crate) propagation: Option<String>,
}

/// Kubernetes' limit on the name of a field manager.
const MANAGER_CHARS_MAX: usize = 128;

impl Query {
    /// Reads the query of `uri`; what is not known is ignored, as in Kubernetes.
    pub(crate) fn parse(uri: &Uri) -> Result<Self, Failure> {
        let pairs = UriQuery::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Failure::bad_request(format!("query: {error}")))?;
        let value = |name: &str| {
            let pair = pairs.iter().find(|(key, value)| key == name && !value.is_empty());
            pair.map(|(_, value)| value.as_str())
        };
        let number = |name: &str| {
            let parse = |text: &str| {
                let wrong =
                    || Failure::bad_request(format!("{name}: {text:?} is not a whole number"));
                text.parse::<u64>().map_err(|_| wrong())
            };
            value(name).map(parse).transpose()
        };
        let flag = |name: &str| {
            let wrong =
                |text: &str| Failure::bad_request(format!("{name}: {text:?} is not true or false"));
            match value(name) {
                None | Some("0" | "false" | "False" | "FALSE" | "f") => Ok(false),
                Some("1" | "true" | "True" | "TRUE" | "t") => Ok(true),
                Some(other) => Err(wrong(other)),
            }
        };
        let manager = value("fieldManager").map(str::to_owned);
        if manager.as_ref().is_some_and(|name| {
            name.chars().count() > MANAGER_CHARS_MAX || name.chars().any(char::is_control)
        }) {
            return Err(Failure::bad_request(format!(
                "fieldManager: must be printable and have at most {MANAGER_CHARS_MAX} characters"
            )));
        }
        Ok(Self {
            labels: LabelSelector::parse(value("labelSelector").unwrap_or(""))?,
            fields: FieldSelector::parse(value("fieldSelector").unwrap_or(""))?,
            revision: number("resourceVersion")?.filter(|revision| *revision > 0),
            revision_match: revision_match(value("resourceVersionMatch"))?,
            limit: usize::try_from(number("limit")?.unwrap_or(0)).unwrap_or(0),
            resume: value("continue").map(str::to_owned),
            watch: flag("watch")?,
            bookmarks: flag("allowWatchBookmarks")?,
            send_initial: flag("sendInitialEvents")?,
            timeout: number("timeoutSeconds")?.filter(|s| *s > 0).map(Duration::from_secs),
            dry_run: dry_run(value("dryRun"))?,
            manager,
            force: flag("force")?,
            validation: validation(value("fieldValidation"))?,
            include_object: value("includeObject").map(str::to_owned),
            propagation: value("propagationPolicy").map(str::to_owned),
        })
    }
}

fn revision_match(text: Option<&str>) -> Result<Match, Failure> {
    match text {
        None => Ok(Match::Unset),
        Some("Exact") => Ok(Match::Exact),
        Some("NotOlderThan") => Ok(Match::NotOlderThan),
        Some(other) => Err(Failure::bad_request(format!(
            "resourceVersionMatch: {other:?} must be Exact or NotOlderThan"
        ))),
    }
}

/// `dryRun` of a query or of delete options.
pub(crate) fn dry_run(text: Option<&str>) -> Result<bool, Failure> {
    match text {
        None => Ok(false),
        Some("All") => Ok(true),
        Some(other) => Err(Failure::bad_request(format!("dryRun: {other:?} must be All"))),
    }
}

fn validation(text: Option<&str>) -> Result<FieldValidation, Failure> {
    match text {
        // Kubernetes' default.
        None | Some("Warn") => Ok(FieldValidation::Warn),
        Some("Ignore") => Ok(FieldValidation::Ignore),
        Some("Strict") => Ok(FieldValidation::Strict),
        Some(other) => Err(Failure::bad_request(format!(
            "fieldValidation: {other:?} must be Ignore, Warn or Strict"
        ))),
    }
}
