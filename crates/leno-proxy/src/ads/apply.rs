//! From responses to what is in force, and the answers to give.
//!
//! Clusters, listeners and routes are put in force together and only when they are warm: when every cluster has been
//! told its endpoints and every listener its routes, or [`WARM`] has passed. They are acknowledged then, not when they
//! arrive: an ACK means "in force". Endpoints and names take a shorter road. What is wrong gives way alone
//! ([`super::give_way`]): the rest of a response is in force when it is refused.

mod received;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leno_core::config::ClusterLoadAssignment;
use leno_core::snapshot::Resources;
use leno_xds::client::{Client, Update};
use leno_xds::discovery::{Request, Response, Variant};
use leno_xds::name_table::decode_name_table;
use leno_xds::{ByType, Node, ResourceType};
use tokio::time::{Instant, sleep_until};

pub(super) use self::received::rds_names;
use self::received::{Refusals, change, decode_all, eds_names, lines_of};
use super::give_way::{Place, give_way, places};
use crate::dns::{Entry, SharedTable, Table};
use crate::publish::{Publisher, Refused};

/// Clusters from which on what a change leaves behind is worth giving back.
const LARGE: usize = 500;

/// How long a change waits for what it refers to; Envoy's initial fetch timeout.
const WARM: Duration = Duration::from_secs(15);

/// The three types that are put in force together.
const SNAPSHOT: [ResourceType; 3] =
    [ResourceType::Cluster, ResourceType::Listener, ResourceType::Route];

/// The proxy's side of ADS between two messages.
pub(super) struct Apply {
    pub(super) client: Client,
    publisher: Arc<Publisher>,
    names: SharedTable,
    /// What a file says beside the stream; nothing that is received takes its place.
    base: Resources,
    /// What was received last; `good` is what is in force.
    desired: Resources,
    good: Resources,
    /// Endpoints by EDS name; empty ones are known to be so.
    pub(super) endpoints: BTreeMap<String, Arc<ClusterLoadAssignment>>,
    /// Name tables as they came, for the disk.
    pub(super) name_tables: BTreeMap<String, Bytes>,
    /// Types received and not answered yet.
    unanswered: BTreeSet<ResourceType>,
    /// When what is unanswered is put in force, warm or not.
    deadline: Option<Instant>,
    /// Of what is unanswered: what could not be read.
    unread: ByType<Refusals>,
    /// What was refused and not taken since.
    refused: ByType<Refusals>,
    /// Whether anything changed since it was last written to disk.
    pub(super) changed: bool,
}

impl Apply {
    pub(super) fn new(
        variant: Variant,
        node: Node,
        publisher: Arc<Publisher>,
        names: SharedTable,
        base: Resources,
    ) -> Self {
        let client = Client::new(variant, node);
        Self {
            client,
            publisher,
            names,
            base,
            desired: Resources::default(),
            good: Resources::default(),
            endpoints: BTreeMap::new(),
            name_tables: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            deadline: None,
            unread: ByType::default(),
            refused: ByType::default(),
            changed: false,
        }
    }

    pub(super) fn variant(&self) -> Variant {
        self.client.variant()
    }

    /// Whether listeners are in force.
    pub(super) fn is_configured(&self) -> bool {
        !self.good.listeners.is_empty()
    }

    /// What is refused at this moment.
    pub(super) fn refused(&self) -> Option<String> {
        let of_type = self.refused.iter().flat_map(|(_, refusals)| refusals.values());
        let all: Vec<&str> = of_type.flatten().map(String::as_str).collect();
        (!all.is_empty()).then(|| all.join("\n"))
    }

    /// What is in force, for the disk.
    pub(super) fn good(&self) -> &Resources {
        &self.good
    }

    /// What to say on a new stream.
    pub(super) fn connected(&mut self) -> Vec<Request> {
        // What was not answered on the old stream is sent again on this one.
        self.unanswered.clear();
        self.unread = ByType::default();
        self.deadline = None;
        self.desired = self.good.clone();
        self.client.connected()
    }

    /// Resolves when what is unanswered has waited long enough.
    pub(super) async fn overdue(&self) {
        match self.deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    /// Takes a response; gives what to send now.
    pub(super) fn response(&mut self, response: Response) -> Vec<Request> {
        let Some(update) = self.client.response(response) else { return Vec::new() };
        let kind = update.kind;
        let unread = self.take(update);
        let is_whole = SNAPSHOT.contains(&kind);
        let mut requests = Vec::new();
        if is_whole {
            self.unread[kind] = unread;
            self.unanswered.insert(kind);
            self.deadline.get_or_insert_with(|| Instant::now() + WARM);
            requests = self.subscribe();
        } else {
            requests.extend(self.answer(kind, unread));
        }
        if !self.unanswered.is_empty() && self.is_warm() {
            requests.extend(self.settle());
        }
        requests
    }

    /// Puts in force what is unanswered. What is wrong of it gives way to what it was, and is refused.
    pub(super) fn settle(&mut self) -> Vec<Request> {
        self.deadline = None;
        let mut refusals = std::mem::take(&mut self.unread);
        let mut is_last = false;
        while let Err(refused) = self.publisher.publish(self.whole().into_owned()) {
            if is_last {
                // What was in force is refused now: something outside has changed, and it stays in force.
                tracing::error!(%refused, "the last good configuration does not pass any more");
                break;
            }
            if !self.yield_to(&refused, &mut refusals) {
                is_last = true;
                self.yield_everything(&refused, &mut refusals);
            }
        }
        let gave_way = refusals.iter().any(|(_, refusals)| !refusals.is_empty());
        let mut requests = Vec::new();
        for kind in std::mem::take(&mut self.unanswered) {
            requests.extend(self.answer(kind, std::mem::take(&mut refusals[kind])));
        }
        if gave_way {
            requests.extend(self.subscribe());
        }
        self.good = self.desired.clone();
        if self.good.clusters.len() >= LARGE {
            leno_sys::memory::release_heap();
        }
        requests
    }

    /// What is wrong gives way where its place says which resource it is; whether anything did.
    fn yield_to(&mut self, refused: &Refused, refusals: &mut ByType<Refusals>) -> bool {
        let places: Vec<(Place, String)> = places(refused, &self.desired);
        let mut moved = false;
        // All lines about a resource belong to its refusal, though the first makes it give way.
        let before = self.desired.clone();
        for (place, line) in places {
            if place.has_changed(&before, &self.good) {
                moved |= give_way(&place, &mut self.desired, &self.good);
                refusals[place.kind].entry(place.name).or_default().push(line);
            }
        }
        moved
    }

    /// Nobody can say what is wrong: everything that is unanswered gives way.
    fn yield_everything(&mut self, refused: &Refused, refusals: &mut ByType<Refusals>) {
        self.desired = self.good.clone();
        for kind in &self.unanswered {
            for name in self.client.pending(*kind) {
                refusals[*kind].entry(name.to_owned()).or_default();
            }
            refusals[*kind].entry(String::new()).or_default().push(refused.to_string());
        }
    }

    /// Puts in force what was read from disk; nobody is answered.
    pub(super) fn publish_restored(&mut self) -> Result<(), String> {
        // Names are remembered now, so that the first stream asks for them.
        self.subscribe();
        self.publisher.publish(self.whole().into_owned()).map_err(|refused| refused.to_string())?;
        self.good = self.desired.clone();
        Ok(())
    }

    /// What was received, with what the file says.
    fn whole(&self) -> Cow<'_, Resources> {
        if self.base == Resources::default() {
            return Cow::Borrowed(&self.desired);
        }
        let mut whole = self.desired.clone();
        let base = self.base.clone();
        whole.listeners.extend(base.listeners);
        whole.clusters.extend(base.clusters);
        whole.routes.extend(base.routes);
        Cow::Owned(whole)
    }

    /// The ACK or NACK to the last response of a type.
    fn answer(&mut self, kind: ResourceType, refusals: Refusals) -> Option<Request> {
        let standing = &mut self.refused[kind];
        standing.remove("");
        for name in self.client.pending(kind) {
            standing.remove(name);
        }
        self.changed = true;
        if refusals.is_empty() {
            return self.client.accept(kind);
        }
        let lines: Vec<&str> = refusals.values().flatten().map(String::as_str).collect();
        let problems = lines.join("\n");
        tracing::warn!(
            kind = kind.plural(),
            problems,
            "refused; the last good one of each stays in force"
        );
        let names: BTreeSet<String> = refusals.keys().cloned().collect();
        standing.extend(refusals);
        self.client.refuse(kind, problems, &names)
    }

    /// Decodes; gives what cannot be read, and takes the rest.
    pub(super) fn take(&mut self, update: Update) -> Refusals {
        let mut refusals = Refusals::new();
        let Update { kind, upserts, removed, .. } = &update;
        match kind {
            ResourceType::Cluster => {
                let decoded = decode_all(&update, leno_xds::decode_cluster, &mut refusals);
                change(&mut self.desired.clusters, decoded, removed);
            }
            ResourceType::Listener => {
                let decoded = decode_all(&update, leno_xds::decode_listener, &mut refusals);
                change(&mut self.desired.listeners, decoded, removed);
            }
            ResourceType::Route => {
                let decoded = decode_all(&update, leno_xds::decode_route, &mut refusals);
                change(&mut self.desired.routes, decoded, removed);
            }
            ResourceType::Endpoint => {
                let decoded = decode_all(&update, leno_xds::decode_endpoints, &mut refusals);
                let empty = |name: &String| {
                    let none = ClusterLoadAssignment {
                        cluster_name: name.clone(),
                        localities: Vec::new(),
                    };
                    (name.clone(), Arc::new(none))
                };
                for (name, assignment) in decoded.into_iter().chain(removed.iter().map(empty)) {
                    match self.publisher.publish_endpoints((*assignment).clone()) {
                        Ok(()) => drop(self.endpoints.insert(name, assignment)),
                        Err(refused) => drop(refusals.insert(name, lines_of(&refused))),
                    }
                }
            }
            ResourceType::NameTable => {
                for resource in upserts {
                    match self.take_names(&resource.bytes) {
                        Ok(()) => {
                            let (name, bytes) = (resource.name.clone(), resource.bytes.clone());
                            self.name_tables.insert(name, bytes);
                        }
                        Err(problem) => {
                            refusals.insert(resource.name.clone(), vec![problem]);
                        }
                    }
                }
            }
        }
        refusals
    }

    fn take_names(&self, bytes: &[u8]) -> Result<(), String> {
        let table = decode_name_table(bytes).map_err(|error| format!("names: {error}"))?;
        let some = |text: String| (!text.is_empty()).then_some(text);
        let entry = |(host, entry): (String, leno_xds::name_table::NameEntry)| Entry {
            host,
            addresses: entry.addresses,
            short_name: some(entry.short_name),
            namespace: some(entry.namespace),
        };
        let entries: Vec<Entry> = table.into_iter().map(entry).collect();
        self.names.store(Arc::new(Table::from_mesh(&self.names.load(), &entries)));
        Ok(())
    }

    /// Names that follow from what was received: endpoints of clusters, routes of listeners.
    pub(super) fn subscribe(&mut self) -> Vec<Request> {
        let whole = self.whole();
        let (endpoints, routes) = (eds_names(&whole), rds_names(&whole));
        self.endpoints.retain(|name, _| endpoints.contains(name));
        self.desired.routes.retain(|name, _| routes.contains(name));
        let endpoints = self.client.subscribe(ResourceType::Endpoint, endpoints);
        let routes = self.client.subscribe(ResourceType::Route, routes);
        endpoints.into_iter().chain(routes).collect()
    }

    fn is_warm(&self) -> bool {
        let whole = self.whole();
        let mut endpoints = eds_names(&whole).into_iter();
        let mut routes = rds_names(&whole).into_iter();
        endpoints.all(|name| self.endpoints.contains_key(&name))
            && routes.all(|name| whole.routes.contains_key(&name))
    }
}
