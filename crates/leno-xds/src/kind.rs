//! The types of resources and their order on the stream.

use std::ops::{Index, IndexMut};

use serde::Serialize;

/// A type of resource that ADS carries here.
///
/// The order is the one in which changes must be made: what is referred to comes before what refers to it
/// (make before break), and removals go the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[expect(missing_docs, reason = "Envoy's words")]
pub enum ResourceType {
    Cluster,
    Endpoint,
    Listener,
    Route,
    /// Istio's: names for the DNS proxy.
    NameTable,
}

impl ResourceType {
    /// All of them, in the order of change.
    pub const ALL: [Self; 5] =
        [Self::Cluster, Self::Endpoint, Self::Listener, Self::Route, Self::NameTable];

    /// The name on the wire.
    #[must_use]
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::NameTable => "type.googleapis.com/istio.networking.nds.v1.NameTable",
        }
    }

    /// The type with that name on the wire.
    #[must_use]
    pub fn of_url(type_url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == type_url)
    }

    /// The word in messages to people: `clusters`, `endpoints`, `listeners`, `routes`.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Cluster => "clusters",
            Self::Endpoint => "endpoints",
            Self::Listener => "listeners",
            Self::Route => "routes",
            Self::NameTable => "names",
        }
    }

    /// Whether a subscription without names means "everything" (clusters, listeners, names), or names must be listed.
    #[must_use]
    pub fn has_wildcard(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener | Self::NameTable)
    }
}

/// One value for each type of resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByType<T>([T; 5]);

impl<T> ByType<T> {
    /// Makes each value from its type.
    pub fn from_fn(mut make: impl FnMut(ResourceType) -> T) -> Self {
        Self(ResourceType::ALL.map(&mut make))
    }

    /// Every value with its type, in the order of change.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (ResourceType, &T)> {
        ResourceType::ALL.into_iter().zip(&self.0)
    }
}

impl<T> Index<ResourceType> for ByType<T> {
    type Output = T;

    fn index(&self, kind: ResourceType) -> &T {
        &self.0[kind as usize]
    }
}

impl<T> IndexMut<ResourceType> for ByType<T> {
    fn index_mut(&mut self, kind: ResourceType) -> &mut T {
        &mut self.0[kind as usize]
    }
}
