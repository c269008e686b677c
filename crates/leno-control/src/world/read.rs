//! Documents become typed here, once; one that cannot is remembered with the reason and left out.

use std::net::IpAddr;
use std::sync::Arc;

use leno_api::spec::core::{EndpointSlice, Metadata, PodSpec, PodStatus, ServiceSpec};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::service::KubernetesService;
use super::{Changed, DocumentRef, Documents, Place, Rule, Workload, World};

/// An EndpointSlice with its addresses parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) namespace: Arc<str>,
    /// The service it belongs to.
    pub(super) service: Option<String>,
    pub(super) endpoints: Vec<SliceAddress>,
    /// Name and number.
    pub(super) ports: Vec<(String, u16)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SliceAddress {
    pub(super) address: IpAddr,
    pub(super) is_ready: bool,
    pub(super) pod: Option<Place>,
    pub(super) zone: String,
}

/// Which part of a world a change touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Touched {
    Services,
    Endpoints,
    VirtualServices,
    DestinationRules,
    PeerAuthentications,
}

impl World {
    /// Takes one change in; says what it touched: nothing for kinds that do not shape the mesh, nor for a document that
    /// says the same as before (its status changed, say).
    pub(super) fn take(&mut self, change: Changed<'_>) -> Option<Touched> {
        let (touched, changed) = match (change.group, change.plural) {
            ("", "services") => {
                let read = |document: &Value| {
                    let (metadata, spec) = parts::<ServiceSpec>(document)?;
                    Ok(KubernetesService::new(&metadata, spec))
                };
                let changed =
                    self.store(change, "Service", read, |world| &mut world.kubernetes_services);
                (Touched::Services, changed)
            }
            ("", "pods") => {
                let changed = self.store(change, "Pod", pod, |world| &mut world.workloads);
                (Touched::Endpoints, changed)
            }
            ("discovery.k8s.io", "endpointslices") => {
                let changed = self.store(change, "EndpointSlice", slice, |world| &mut world.slices);
                (Touched::Endpoints, changed)
            }
            ("networking.istio.io", "serviceentries") => {
                let changed =
                    self.store_rule(change, "ServiceEntry", |world| &mut world.service_entries);
                (Touched::Services, changed)
            }
            ("networking.istio.io", "virtualservices") => {
                let changed =
                    self.store_rule(change, "VirtualService", |world| &mut world.virtual_services);
                (Touched::VirtualServices, changed)
            }
            ("networking.istio.io", "destinationrules") => {
                let changed = self
                    .store_rule(change, "DestinationRule", |world| &mut world.destination_rules);
                (Touched::DestinationRules, changed)
            }
            ("security.istio.io", "peerauthentications") => {
                let changed = self.store_rule(change, "PeerAuthentication", |world| {
                    &mut world.peer_authentications
                });
                (Touched::PeerAuthentications, changed)
            }
            _ => return None,
        };
        changed.then_some(touched)
    }

    fn store_rule<S: DeserializeOwned + Default + PartialEq>(
        &mut self,
        change: Changed<'_>,
        kind: &'static str,
        documents: impl FnOnce(&mut Self) -> &mut Documents<Rule<S>>,
    ) -> bool {
        let read = |document: &Value| {
            let (metadata, spec) = parts(document)?;
            Ok(Rule::new(kind, &metadata, spec))
        };
        self.store(change, kind, read, documents)
    }

    fn store<T: PartialEq>(
        &mut self,
        change: Changed<'_>,
        kind: &'static str,
        read: impl FnOnce(&Value) -> Result<T, serde_json::Error>,
        documents: impl FnOnce(&mut Self) -> &mut Documents<T>,
    ) -> bool {
        let place: Place = (change.namespace.into(), change.name.into());
        let reference = DocumentRef { kind, namespace: place.0.clone(), name: place.1.clone() };
        let parsed = change.document.map(read).transpose();
        let failure = parsed.as_ref().err().map(ToString::to_string);
        if let Some(reason) = failure {
            Arc::make_mut(&mut self.unreadable).insert(reference, reason);
        } else if self.unreadable.contains_key(&reference) {
            Arc::make_mut(&mut self.unreadable).remove(&reference);
        }
        let documents = documents(self);
        match parsed.ok().flatten() {
            // Its status changed, or its annotations: nothing that counts here.
            Some(same) if documents.get(&place).is_some_and(|known| **known == same) => false,
            Some(parsed) => {
                Arc::make_mut(documents).insert(place, Arc::new(parsed));
                true
            }
            None if documents.contains_key(&place) => {
                Arc::make_mut(documents).remove(&place);
                true
            }
            None => false,
        }
    }
}

fn parts<S: DeserializeOwned + Default>(
    document: &Value,
) -> Result<(Metadata, S), serde_json::Error> {
    let metadata = Metadata::deserialize(&document["metadata"])?;
    let spec = match &document["spec"] {
        Value::Null => S::default(),
        spec => S::deserialize(spec)?,
    };
    Ok((metadata, spec))
}

fn pod(document: &Value) -> Result<Workload, serde_json::Error> {
    let (metadata, spec) = parts::<PodSpec>(document)?;
    let status = match &document["status"] {
        Value::Null => PodStatus::default(),
        status => PodStatus::deserialize(status)?,
    };
    Ok(Workload::new(&metadata, &spec, &status))
}

fn slice(document: &Value) -> Result<Slice, serde_json::Error> {
    let slice = EndpointSlice::deserialize(document)?;
    let namespace: Arc<str> = slice.metadata.namespace.as_str().into();
    let endpoints = slice.endpoints.iter().filter_map(|endpoint| {
        let pod = endpoint.target_ref.as_ref().filter(|target| target.kind == "Pod");
        let pod_namespace = |name: &str| match name {
            "" => namespace.clone(),
            name => name.into(),
        };
        Some(SliceAddress {
            address: endpoint.addresses.first()?.parse().ok()?,
            is_ready: endpoint.conditions.ready != Some(false),
            pod: pod.map(|pod| (pod_namespace(&pod.namespace), pod.name.as_str().into())),
            zone: endpoint.zone.clone().unwrap_or_default(),
        })
    });
    let ports = slice.ports.iter().filter_map(|port| Some((port.name.clone(), port.port?)));
    Ok(Slice {
        service: slice.metadata.labels.get("kubernetes.io/service-name").cloned(),
        endpoints: endpoints.collect(),
        ports: ports.collect(),
        namespace: namespace.clone(),
    })
}
