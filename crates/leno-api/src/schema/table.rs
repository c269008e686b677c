//! From lines to [`Node`]s. Called once per kind, when the registry is first used.

use super::{Effect, Identity, Node, Presence, Shape};

/// The fields of one kind and the groups of lines that recur in them.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// One field per line; see [`crate::schema`].
    pub fields: &'static str,
    /// Name and lines of what `@Name` pastes; a group may use groups.
    pub groups: &'static [(&'static str, &'static str)],
}

impl Table {
    /// The tree these lines describe, rooted at the document. `apiVersion`, `kind` and `metadata` are added.
    pub(crate) fn to_node(self) -> Node {
        let mut root = Node::new(Shape::Object(Vec::new()));
        for line in META.lines() {
            self.add(&mut root, line);
        }
        for line in self.fields.lines() {
            self.add(&mut root, line);
        }
        root
    }

    fn add(self, root: &mut Node, line: &'static str) {
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        let (effect, line) = match line.strip_prefix('~') {
            Some(rest) => (Effect::NotEnforced, rest),
            None => (Effect::Enforced, line),
        };
        let mut words = line.splitn(3, ' ');
        let path = words.next().expect("a line that is not empty has a first word");
        let kind = words.next().unwrap_or_else(|| malformed(line, "no type"));
        let description = words.next().unwrap_or("").trim();

        let mut node = &mut *root;
        let mut components = path.split('.').peekable();
        while let Some(component) = components.next() {
            let component = Component::parse(component, line);
            let outer = property(node, component.name, line);
            if component.presence == Presence::Required {
                outer.presence = Presence::Required;
            }
            if components.peek().is_none() {
                outer.effect = effect;
                if outer.description.is_empty() {
                    outer.description = description;
                }
            }
            node = component.wraps.iter().fold(outer, |node, wrap| inner(node, wrap, line));
        }
        self.set_shape(node, kind, line);
    }

    fn set_shape(self, node: &mut Node, kind: &'static str, line: &str) {
        if let Some(group) = kind.strip_prefix('@') {
            let lines = GROUPS.iter().chain(self.groups).find(|(name, _)| *name == group);
            let (_, lines) = lines.unwrap_or_else(|| malformed(line, "no such group"));
            open_object(node);
            for line in lines.lines() {
                self.add(node, line);
            }
            return;
        }
        if kind == "{}" {
            open_object(node);
            return;
        }
        node.shape = leaf(kind).unwrap_or_else(|| malformed(line, "no such type"));
    }
}

fn leaf(kind: &'static str) -> Option<Shape> {
    if let Some(words) = kind.strip_prefix("enum:") {
        return Some(Shape::Enum(words.split(',').collect()));
    }
    if let Some(item) = kind.strip_prefix("map<").and_then(|rest| rest.strip_suffix('>')) {
        return Some(Shape::Map(Box::new(Node::new(leaf(item)?))));
    }
    Some(match kind {
        "string" => Shape::String,
        "integer" => Shape::Integer,
        "int64" => Shape::Int64,
        "number" => Shape::Number,
        "boolean" => Shape::Boolean,
        "duration" => Shape::Duration,
        "time" => Shape::Time,
        "bytes" => Shape::Bytes,
        "int-or-string" => Shape::IntOrString,
        "any" => Shape::Any,
        _ => return None,
    })
}

/// One step of a path: `name`, then what wraps the element it leads to.
struct Component {
    name: &'static str,
    wraps: Vec<Wrap>,
    presence: Presence,
}

enum Wrap {
    List(Identity),
    Map,
}

impl Component {
    fn parse(text: &'static str, line: &str) -> Self {
        let (text, presence) = match text.strip_suffix('*') {
            Some(text) => (text, Presence::Required),
            None => (text, Presence::Optional),
        };
        let end = text.find(['[', '{']).unwrap_or(text.len());
        let (name, mut rest) = text.split_at(end);
        let mut wraps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("{}") {
                wraps.push(Wrap::Map);
                rest = after;
                continue;
            }
            let inside = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let (inside, after) = inside.unwrap_or_else(|| malformed(line, "bracket"));
            wraps.push(Wrap::List(match inside {
                "" => Identity::Atomic,
                "=" => Identity::Set,
                keys => Identity::Keys(keys.split(',').collect()),
            }));
            rest = after;
        }
        Self { name, wraps, presence }
    }
}

fn open_object(node: &mut Node) {
    if !matches!(node.shape, Shape::Object(_)) {
        node.shape = Shape::Object(Vec::new());
    }
}

/// The field `name` of `node`, made if it is not there yet.
fn property<'a>(node: &'a mut Node, name: &'static str, line: &str) -> &'a mut Node {
    open_object(node);
    let Shape::Object(fields) = &mut node.shape else { malformed(line, "not an object") };
    let index = fields.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
        fields.push((name, Node::new(Shape::Object(Vec::new()))));
        fields.len() - 1
    });
    &mut fields[index].1
}

/// The element inside a list or map, made if it is not there yet.
fn inner<'a>(node: &'a mut Node, wrap: &Wrap, line: &str) -> &'a mut Node {
    if !matches!(node.shape, Shape::List { .. } | Shape::Map(_)) {
        let item = Box::new(Node::new(Shape::Object(Vec::new())));
        node.shape = match wrap {
            Wrap::Map => Shape::Map(item),
            Wrap::List(identity) => Shape::List { item, identity: identity.clone() },
        };
    }
    match &mut node.shape {
        Shape::Map(item) | Shape::List { item, .. } => item,
        _ => malformed(line, "neither list nor map"),
    }
}

#[expect(clippy::panic, reason = "tables are constants of this crate, and a test reads each")]
fn malformed(line: &str, what: &str) -> ! {
    panic!("table of fields, line {line:?}: {what}")
}

/// What every document has.
const META: &str = "
apiVersion string The group and version this document is written in.
kind string The kind of document.
metadata {} Name, labels and bookkeeping.
metadata.name string Unique per kind and namespace.
metadata.generateName string A prefix to which the server adds a unique suffix when no name is given.
metadata.namespace string Where the name is unique; `default` when empty.
metadata.labels map<string> What selectors match.
metadata.annotations map<string> Notes of tools.
metadata.uid string Set by the server; never reused.
metadata.resourceVersion string Set by the server; changes with every write.
metadata.generation int64 Set by the server; changes when the desired state does.
metadata.creationTimestamp time Set by the server.
metadata.deletionTimestamp time Set by the server when deletion waits for finalizers.
metadata.deletionGracePeriodSeconds int64 Set by the server.
metadata.selfLink string No longer set.
metadata.finalizers[=] string Must be empty before the document goes away.
metadata.ownerReferences[uid] {} Documents that this one goes away with.
metadata.ownerReferences[uid].apiVersion* string Group and version of the owner.
metadata.ownerReferences[uid].kind* string Kind of the owner.
metadata.ownerReferences[uid].name* string Name of the owner.
metadata.ownerReferences[uid].uid* string Uid of the owner.
metadata.ownerReferences[uid].controller boolean Whether the owner controls this document.
metadata.ownerReferences[uid].blockOwnerDeletion boolean Whether the owner waits for this document to go.
metadata.managedFields[] any Which manager set which field; written by the server.
";

/// What several kinds use.
const GROUPS: &[(&str, &str)] = &[
    (
        "StringMatch",
        "
exact string The whole string.
prefix string How it starts.
regex string RE2 syntax; must match the whole string.
",
    ),
    (
        "Condition",
        "
type* string What this condition is about.
status* enum:True,False,Unknown Whether it holds.
reason string One word why.
message string For people.
lastTransitionTime time When the status changed.
lastProbeTime time When it was looked at.
lastUpdateTime time When it was written.
observedGeneration int64 The metadata.generation it speaks about.
",
    ),
    (
        "IstioStatus",
        "
conditions[type] @Condition What became of this document.
observedGeneration int64 The metadata.generation it speaks about.
validationMessages[] any Findings of analysis.
enforcement any Which proxies enforce it: revision, proxies, enforcedBy, refusedBy.
",
    ),
];
