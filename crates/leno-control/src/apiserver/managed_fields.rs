//! Who set which field: `metadata.managedFields`, kept by the rules of server-side apply. Pure.

use leno_api::kind::StatusWrites;
use leno_api::schema::Node;
use serde_json::{Value, json};

use super::field_set::{Difference, FieldSet};
use super::path::{Part, Target};

/// Managers of plain updates beyond this many are gathered into one, as in Kubernetes.
const UPDATERS_MAX: usize = 10;

/// Who writes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    /// Its name.
    pub(crate) name: String,
    /// Applying, or changing by any other verb.
    pub(crate) operation: Operation,
    /// The version it writes in.
    pub(crate) api_version: String,
    /// `status` or empty.
    pub(crate) subresource: &'static str,
}

/// `managedFields[].operation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Server-side apply: the manager says what it wants, and owns just that.
    Apply,
    /// Any other write: the manager owns what it changed.
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    manager: String,
    operation: Operation,
    api_version: String,
    subresource: String,
    time: String,
    set: FieldSet,
}

impl Entry {
    fn is_of(&self, writer: &Writer) -> bool {
        // Who applies is the same manager in every version.
        self.manager == writer.name
            && self.operation == writer.operation
            && self.subresource == writer.subresource
            && (self.operation == Operation::Apply || self.api_version == writer.api_version)
    }

    fn shown(&self) -> String {
        let mut shown = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            shown.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            shown.push_str(&format!(" using {}", self.api_version));
        }
        shown
    }
}

/// Every manager of one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Managers(Vec<Entry>);

impl Managers {
    /// Reads `metadata.managedFields`; `None` when there are none or they make no sense.
    pub(crate) fn of(document: &Value) -> Option<Self> {
        let entries = document["metadata"]["managedFields"].as_array()?;
        let entry = |value: &Value| {
            let text = |name: &str| value[name].as_str().unwrap_or("").to_owned();
            Some(Entry {
                manager: text("manager"),
                operation: match value["operation"].as_str()? {
                    "Apply" => Operation::Apply,
                    "Update" => Operation::Update,
                    _ => return None,
                },
                api_version: text("apiVersion"),
                subresource: text("subresource"),
                time: text("time"),
                set: FieldSet::from_json(&value["fieldsV1"])?,
            })
        };
        let entries: Option<Vec<Entry>> = entries.iter().map(entry).collect();
        entries.filter(|entries| !entries.is_empty()).map(Self)
    }

    /// Whether a document asks for a fresh start: `managedFields: [{}]` or an empty list.
    pub(crate) fn are_reset_by(document: &Value) -> bool {
        match document["metadata"]["managedFields"].as_array().map(Vec::as_slice) {
            Some([]) => true,
            Some([only]) => only.as_object().is_some_and(serde_json::Map::is_empty),
            _ => false,
        }
    }

    /// Writes `metadata.managedFields`.
    pub(crate) fn write_to(&self, document: &mut Value) {
        let entry = |entry: &Entry| {
            let mut value = json!({
                "manager": entry.manager,
                "operation": entry.operation.as_str(),
                "apiVersion": entry.api_version,
                "time": entry.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": entry.set.to_json(),
            });
            if !entry.subresource.is_empty() {
                value["subresource"] = entry.subresource.clone().into();
            }
            value
        };
        let Some(metadata) = document["metadata"].as_object_mut() else { return };
        if self.0.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".into(), self.0.iter().map(entry).collect());
        }
    }

    /// The fields `writer` applied last.
    pub(crate) fn applied_by(&self, writer: &Writer) -> FieldSet {
        self.0
            .iter()
            .find(|entry| entry.is_of(writer))
            .map_or_else(FieldSet::default, |entry| entry.set.clone())
    }

    /// The fields anybody but `writer` owns.
    pub(crate) fn owned_by_others(&self, writer: &Writer) -> FieldSet {
        let mut owned = FieldSet::default();
        for entry in self.0.iter().filter(|entry| !entry.is_of(writer)) {
            owned.add(&entry.set);
        }
        owned
    }

    /// Fields among `changed` that others own: `(field, manager)`.
    pub(crate) fn conflicts(&self, writer: &Writer, changed: &FieldSet) -> Vec<(String, String)> {
        let others = self.0.iter().filter(|entry| !entry.is_of(writer));
        others
            .flat_map(|entry| {
                let paths = entry.set.intersection(changed).paths();
                paths.into_iter().map(|path| (path, entry.shown()))
            })
            .collect()
    }

    /// After an update from `old` to `new`: what changed is the writer's now, what is gone is nobody's.
    pub(crate) fn record_update(
        &mut self,
        target: &Target,
        writer: &Writer,
        (old, new): (&Value, &Value),
        now: &str,
    ) {
        let difference = difference(target, old, new);
        let changed = difference.changed();
        self.take_from_others(writer, &changed, &difference.removed);
        match self.0.iter_mut().find(|entry| entry.is_of(writer)) {
            Some(entry) => {
                let mut set = entry.set.clone();
                set.remove(&difference.removed);
                set.add(&changed);
                if set != entry.set {
                    entry.set = set;
                    now.clone_into(&mut entry.time);
                }
            }
            None if changed.is_empty() => {}
            None => self.push(writer, changed, now),
        }
        self.0.retain(|entry| !entry.set.is_empty());
        self.cap();
    }

    /// After an apply from `old` to `new`: the writer owns just what it `applied`.
    pub(crate) fn record_apply(
        &mut self,
        target: &Target,
        writer: &Writer,
        (old, new): (&Value, &Value),
        (applied, now): (FieldSet, &str),
    ) {
        let difference = difference(target, old, new);
        self.take_from_others(writer, &difference.changed(), &difference.removed);
        match self.0.iter_mut().find(|entry| entry.is_of(writer)) {
            Some(entry) => {
                if entry.set != applied || entry.api_version != writer.api_version {
                    entry.set = applied;
                    entry.api_version.clone_from(&writer.api_version);
                    now.clone_into(&mut entry.time);
                }
            }
            None => self.push(writer, applied, now),
        }
        self.0.retain(|entry| !entry.set.is_empty());
    }

    fn push(&mut self, writer: &Writer, set: FieldSet, now: &str) {
        self.0.push(Entry {
            manager: writer.name.clone(),
            operation: writer.operation,
            api_version: writer.api_version.clone(),
            subresource: writer.subresource.to_owned(),
            time: now.to_owned(),
            set,
        });
    }

    fn take_from_others(&mut self, writer: &Writer, changed: &FieldSet, removed: &FieldSet) {
        for entry in self.0.iter_mut().filter(|entry| !entry.is_of(writer)) {
            entry.set.remove(changed);
            entry.set.remove(removed);
        }
    }

    fn cap(&mut self) {
        const GATHERED: &str = "ancient-changes";
        while self.0.iter().filter(|entry| entry.operation == Operation::Update).count()
            > UPDATERS_MAX
        {
            let updates = self.0.iter().enumerate().filter(|(_, entry)| {
                entry.operation == Operation::Update && entry.manager != GATHERED
            });
            let oldest = updates.min_by(|(_, a), (_, b)| a.time.cmp(&b.time)).map(|(i, _)| i);
            let Some(oldest) = oldest else { return };
            let oldest = self.0.remove(oldest);
            let same = |entry: &&mut Entry| {
                entry.manager == GATHERED
                    && entry.api_version == oldest.api_version
                    && entry.subresource == oldest.subresource
            };
            match self.0.iter_mut().find(same) {
                Some(entry) => entry.set.add(&oldest.set),
                None => self.0.push(Entry { manager: GATHERED.to_owned(), ..oldest }),
            }
        }
    }
}

fn difference(target: &Target, old: &Value, new: &Value) -> Difference {
    let mut difference = Difference::between(&target.kind.schema, old, new);
    for set in [&mut difference.added, &mut difference.modified, &mut difference.removed] {
        strip(target, set);
    }
    difference
}

/// The fields a document owns when applied through `target`.
pub(crate) fn applied_fields(target: &Target, document: &Value) -> FieldSet {
    let schema: &Node = &target.kind.schema;
    let mut set = FieldSet::of(Some(schema), document);
    strip(target, &mut set);
    set
}

/// Nobody owns what the server writes, or what a write through this path leaves alone.
fn strip(target: &Target, set: &mut FieldSet) {
    const SERVERS: &[&str] = &[
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
        "selfLink",
        "managedFields",
        "generateName",
    ];
    set.member = false;
    set.cut(&["apiVersion"]);
    set.cut(&["kind"]);
    for field in SERVERS {
        set.cut(&["metadata", field]);
    }
    if let Some(metadata) = set.below.get_mut(&super::field_set::Step::Field("metadata".to_owned()))
    {
        metadata.member = false;
        if metadata.is_empty() {
            set.cut(&["metadata"]);
        }
    }
    match target.part {
        Part::Status => {
            set.below.retain(|step, _| *step == super::field_set::Step::Field("status".to_owned()));
        }
        Part::Whole if target.kind.status == StatusWrites::Subresource => set.cut(&["status"]),
        Part::Whole => {}
    }
}
