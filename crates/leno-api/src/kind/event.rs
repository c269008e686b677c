//! `v1 Event`: something that happened to a document, for `kubectl describe` and `kubectl get events`.

use serde_json::Value;

use super::{Access, Cell, Column, Kind, Scope, StatusWrites, no_defaults, no_remarks, schema};
use crate::field::{Field, Findings};
use crate::problem::Problem;

const FIELDS: &str = "
involvedObject* {} The document it is about.
involvedObject.kind string Its kind.
involvedObject.namespace string Its namespace.
involvedObject.name string Its name.
involvedObject.uid string Its uid.
involvedObject.apiVersion string Its version.
involvedObject.resourceVersion string The state it was seen in.
involvedObject.fieldPath string A part of it.
reason string One word.
message string For people.
type enum:Normal,Warning Whether somebody should look.
count integer How often it was seen.
firstTimestamp time When it was first seen.
lastTimestamp time When it was last seen.
eventTime string When it was first seen, to the microsecond.
action string What was done.
reportingComponent string Who says so.
reportingInstance string Which of them.
source.component string Who says so.
source.host string From where.
series.count integer How often in this series.
series.lastObservedTime string When last in this series.
related any Another document.
";

const COLUMNS: &[Column] = &[
    Column {
        name: "Last Seen",
        kind: "string",
        description: "When it was last seen.",
        priority: 0,
        cell: Cell::AgeOf(".lastTimestamp"),
    },
    Column::path("Type", ".type").described("Whether somebody should look."),
    Column::path("Reason", ".reason").described("One word."),
    Column::of("Object", object).described("The document it is about."),
    Column::path("Message", ".message").described("For people."),
    Column::path("Source", ".source.component").wide().described("Who says so."),
    Column::path("Count", ".count").wide().integer().described("How often it was seen."),
];

pub(super) fn kind() -> Kind {
    Kind {
        group: "",
        versions: &["v1"],
        kind: "Event",
        list_kind: "EventList",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        categories: &[],
        scope: Scope::Namespaced,
        access: Access::ReadWrite,
        status: StatusWrites::Inline,
        schema: schema(FIELDS, &[]),
        columns: COLUMNS,
        default: no_defaults,
        validate,
        remarks: no_remarks,
    }
}

fn object(document: &Value) -> Value {
    let object = &document["involvedObject"];
    let kind = object["kind"].as_str().unwrap_or("").to_ascii_lowercase();
    format!("{kind}/{}", object["name"].as_str().unwrap_or("")).into()
}

fn validate(document: &Value) -> Vec<Problem> {
    let mut findings = Findings::default();
    let document = Field::document(document);
    let about = document.below("involvedObject.namespace");
    let own = document.below("metadata.namespace");
    // Events about documents without a namespace are kept in `default`, as in Kubernetes.
    if about.has_content() && own.has_content() && about.text() != own.text() {
        let message =
            format!("{:?}: must be the event's own namespace, {:?}", about.text(), own.text());
        findings.invalid(&about, message);
    }
    findings.into_problems()
}
