//! From responses to what is in force, and the answers to give.
//!
//! Clusters, listeners and routes are put in force together and only when they are warm: when every cluster has been
//! told its endpoints and every listener its routes, or [`WARM`] has passed. They are acknowledged then, not when they
//! arrive: an ACK means "in force". Endpoints and names take a shorter road.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leno_core::config::{ClusterLoadAssignment, Discovery, NetworkFilter, RouteSource};
use leno_core::snapshot::Resources;
use leno_xds::client::{Client, Update};
use leno_xds::discovery::{Request, Response, Variant};
use leno_xds::name_table::decode_name_table;
use leno_xds::{Decoded, Node, Problem, ResourceType};
use tokio::time::{Instant, sleep_until};

use crate::dns::{Entry, SharedTable, Table};
use crate::publish::{Publisher, Refused};

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
    refused: BTreeMap<ResourceType, String>,
    /// Whether anything changed since it was last written to disk.
    pub(super) changed: bool,
}

impl Apply {
    pub(super) fn new(
        variant: Variant,
        node: Node,
        publisher: Arc<Publisher>,
        names: SharedTable,
    ) -> Self {
        let client = Client::new(variant, node);
        Self {
            client,
            publisher,
            names,
            desired: Resources::default(),
            good: Resources::default(),
            endpoints: BTreeMap::new(),
            name_tables: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            deadline: None,
            refused: BTreeMap::new(),
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
        let all: Vec<&str> = self.refused.values().map(String::as_str).collect();
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
        match self.take(update) {
            Err(problems) => self.refuse(kind, problems).into_iter().collect(),
            Ok(()) if SNAPSHOT.contains(&kind) => {
                self.unanswered.insert(kind);
                self.deadline.get_or_insert_with(|| Instant::now() + WARM);
                let mut requests = self.subscribe();
                if self.is_warm() {
                    requests.extend(self.settle());
                }
                requests
            }
            Ok(()) => {
                let mut requests: Vec<Request> = self.accept(kind).into_iter().collect();
                if !self.unanswered.is_empty() && self.is_warm() {
                    requests.extend(self.settle());
                }
                requests
            }
        }
    }

    /// Puts in force what is unanswered, or refuses what is wrong of it and puts the rest in force.
    pub(super) fn settle(&mut self) -> Vec<Request> {
        self.deadline = None;
        let mut requests = Vec::new();
        while !self.unanswered.is_empty() {
            let Err(refused) = self.publisher.publish(self.desired.clone()) else {
                self.good = self.desired.clone();
                for kind in std::mem::take(&mut self.unanswered) {
                    requests.extend(self.accept(kind));
                }
                break;
            };
            for (kind, problems) in self.blame(&refused) {
                self.unanswered.remove(&kind);
                self.roll_back(kind);
                requests.extend(self.refuse(kind, problems));
            }
        }
        requests
    }

    /// Puts in force what was read from disk; nobody is answered.
    pub(super) fn publish_restored(&mut self) -> Result<(), String> {
        // Names are remembered now, so that the first stream asks for them.
        self.subscribe();
        self.publisher.publish(self.desired.clone()).map_err(|refused| refused.to_string())?;
        self.good = self.desired.clone();
        Ok(())
    }

    /// Which of the unanswered types a refusal is about: the one its paths begin with, or all if none is named.
    fn blame(&self, refused: &Refused) -> Vec<(ResourceType, String)> {
        let text = refused.to_string();
        let about = |kind: &ResourceType| {
            let lines: Vec<&str> =
                text.lines().filter(|line| line.starts_with(kind.plural())).collect();
            (*kind, lines.join("\n"))
        };
        let mut blamed: Vec<(ResourceType, String)> = self.unanswered.iter().map(about).collect();
        blamed.retain(|(_, problems)| !problems.is_empty());
        if blamed.is_empty() {
            blamed = self.unanswered.iter().map(|kind| (*kind, text.clone())).collect();
        }
        blamed
    }

    fn roll_back(&mut self, kind: ResourceType) {
        match kind {
            ResourceType::Cluster => self.desired.clusters.clone_from(&self.good.clusters),
            ResourceType::Listener => self.desired.listeners.clone_from(&self.good.listeners),
            ResourceType::Route => self.desired.routes.clone_from(&self.good.routes),
            ResourceType::Endpoint | ResourceType::NameTable => {}
        }
    }

    fn accept(&mut self, kind: ResourceType) -> Option<Request> {
        self.refused.remove(&kind);
        self.changed = true;
        self.client.accept(kind)
    }

    fn refuse(&mut self, kind: ResourceType, problems: String) -> Option<Request> {
        tracing::warn!(
            kind = kind.plural(),
            problems,
            "refused; the last good configuration stays"
        );
        self.refused.insert(kind, problems.clone());
        self.client.refuse(kind, problems)
    }

    /// Decodes everything first: a response is taken whole or not at all.
    pub(super) fn take(&mut self, update: Update) -> Result<(), String> {
        let Update { kind, upserts, removed, .. } = &update;
        match kind {
            ResourceType::Cluster => {
                let decoded = decode_all(&update, leno_xds::decode_cluster)?;
                change(&mut self.desired.clusters, decoded, removed);
            }
            ResourceType::Listener => {
                let decoded = decode_all(&update, leno_xds::decode_listener)?;
                change(&mut self.desired.listeners, decoded, removed);
            }
            ResourceType::Route => {
                let decoded = decode_all(&update, leno_xds::decode_route)?;
                change(&mut self.desired.routes, decoded, removed);
            }
            ResourceType::Endpoint => {
                let decoded = decode_all(&update, leno_xds::decode_endpoints)?;
                let empty = |name: &String| {
                    let none = ClusterLoadAssignment {
                        cluster_name: name.clone(),
                        localities: Vec::new(),
                    };
                    (name.clone(), Arc::new(none))
                };
                let all: Vec<_> = decoded.into_iter().chain(removed.iter().map(empty)).collect();
                for (_, assignment) in &all {
                    let published = self.publisher.publish_endpoints((**assignment).clone());
                    published.map_err(|refused| refused.to_string())?;
                }
                self.endpoints.extend(all);
            }
            ResourceType::NameTable => {
                for resource in upserts {
                    self.take_names(&resource.bytes)?;
                    self.name_tables.insert(resource.name.clone(), resource.bytes.clone());
                }
            }
        }
        Ok(())
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
        let (endpoints, routes) = (eds_names(&self.desired), rds_names(&self.desired));
        self.endpoints.retain(|name, _| endpoints.contains(name));
        self.desired.routes.retain(|name, _| routes.contains(name));
        let endpoints = self.client.subscribe(ResourceType::Endpoint, endpoints);
        let routes = self.client.subscribe(ResourceType::Route, routes);
        endpoints.into_iter().chain(routes).collect()
    }

    fn is_warm(&self) -> bool {
        let mut endpoints = eds_names(&self.desired).into_iter();
        let mut routes = rds_names(&self.desired).into_iter();
        endpoints.all(|name| self.endpoints.contains_key(&name))
            && routes.all(|name| self.desired.routes.contains_key(&name))
    }
}

fn eds_names(resources: &Resources) -> BTreeSet<String> {
    let clusters = resources.clusters.values();
    let named = clusters.filter_map(|cluster| match &cluster.discovery {
        Discovery::Eds { service_name } => {
            Some(service_name.as_ref().unwrap_or(&cluster.name).clone())
        }
        _ => None,
    });
    named.collect()
}

fn rds_names(resources: &Resources) -> BTreeSet<String> {
    let chains = resources
        .listeners
        .values()
        .flat_map(|listener| listener.filter_chains.iter().chain(&listener.default_filter_chain));
    let named = chains.filter_map(|chain| match &chain.filter {
        NetworkFilter::Http(manager) => match &manager.routes {
            RouteSource::Rds(name) => Some(name.clone()),
            RouteSource::Inline(_) => None,
        },
        NetworkFilter::Tcp(_) => None,
    });
    named.collect()
}

type Decode<T> = fn(&[u8]) -> Result<Decoded<T>, Vec<Problem>>;

fn decode_all<T>(update: &Update, decode: Decode<T>) -> Result<Vec<(String, Arc<T>)>, String> {
    let mut decoded = Vec::with_capacity(update.upserts.len());
    let mut problems = Vec::new();
    for resource in &update.upserts {
        match decode(&resource.bytes) {
            Ok(one) => {
                for finding in &one.unsupported {
                    let (kind, name) = (update.kind.plural(), &resource.name);
                    tracing::info!("not acted on: {kind}[{name}].{finding}");
                }
                decoded.push((resource.name.clone(), Arc::new(one.value)));
            }
            Err(found) => {
                let at = format!("{}[{}]", update.kind.plural(), resource.name);
                problems.extend(found.iter().map(|problem| format!("{at}.{problem}")));
            }
        }
    }
    if problems.is_empty() { Ok(decoded) } else { Err(problems.join("\n")) }
}

fn change<T>(
    map: &mut BTreeMap<String, Arc<T>>,
    decoded: Vec<(String, Arc<T>)>,
    removed: &[String],
) {
    map.extend(decoded);
    for name in removed {
        map.remove(name);
    }
}
