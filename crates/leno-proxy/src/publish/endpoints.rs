//! The shorter road of endpoints: into the clusters that are in force, without a new snapshot.

use std::sync::Arc;
use std::time::Instant;

use leno_core::cluster::Cluster;
use leno_core::config::{ClusterLoadAssignment, Discovery};
use leno_core::endpoint::EndpointSet;
use leno_core::problem::Problem;
use leno_core::snapshot::Snapshot;

use super::{Publisher, Refused, State};

impl Publisher {
    /// Gives every cluster that asked for `assignment` its endpoints.
    ///
    /// # Errors
    /// Every problem; the endpoints before stay in force.
    pub fn publish_endpoints(&self, assignment: ClusterLoadAssignment) -> Result<(), Refused> {
        let mut state = self.lock();
        let assignment = Arc::new(assignment);
        let current = self.in_force();
        let mut compiled = Vec::new();
        for (cluster, shared) in current.snapshot.clusters().iter().zip(&current.clusters) {
            if cluster.eds_name() != Some(assignment.cluster_name.as_str()) {
                continue;
            }
            let previous = shared.endpoints.load();
            let set = EndpointSet::compile(cluster, &assignment, Some(&previous), Instant::now())
                .map_err(Refused::Problems)?;
            compiled.push((shared, set));
        }
        for (shared, set) in compiled {
            shared.endpoints.store(Arc::new(set));
        }
        state.assignments.insert(assignment.cluster_name.clone(), assignment);
        Ok(())
    }

    /// Gives one cluster endpoints that were found in another way (names resolved).
    pub(crate) fn publish_resolved(
        &self,
        cluster: &str,
        assignment: ClusterLoadAssignment,
    ) -> Result<(), Refused> {
        let current = self.in_force();
        let found = current.snapshot.clusters().iter().zip(&current.clusters);
        for (cluster, shared) in found.filter(|(known, _)| known.name().as_str() == cluster) {
            let previous = shared.endpoints.load();
            let assignment = Arc::new(assignment.clone());
            let set = EndpointSet::compile(cluster, &assignment, Some(&previous), Instant::now())
                .map_err(Refused::Problems)?;
            shared.endpoints.store(Arc::new(set));
        }
        Ok(())
    }
}

/// The endpoint sets to store: `None` leaves a cluster's as they are.
pub(super) fn compile_endpoints(
    state: &State,
    snapshot: &Snapshot,
) -> Result<Vec<Option<EndpointSet>>, Refused> {
    let mut problems = Vec::new();
    let mut sets = Vec::new();
    for cluster in snapshot.clusters() {
        let set = compile_set(state, cluster).transpose();
        sets.push(set.unwrap_or_else(|mut found| {
            problems.append(&mut found);
            None
        }));
    }
    if problems.is_empty() { Ok(sets) } else { Err(Refused::Problems(problems)) }
}

fn compile_set(state: &State, cluster: &Arc<Cluster>) -> Option<Result<EndpointSet, Vec<Problem>>> {
    let name = cluster.name().as_str();
    let assignment = match &cluster.source().discovery {
        Discovery::Static(assignment) => Arc::clone(assignment),
        Discovery::Eds { .. } => Arc::clone(state.assignments.get(cluster.eds_name()?)?),
        Discovery::StrictDns(_)
        | Discovery::LogicalDns(_)
        | Discovery::OriginalDst { .. }
        | Discovery::DynamicForwardProxy => return None,
    };
    let previous = state.shared.get(name).map(|shared| shared.endpoints.load_full());
    Some(EndpointSet::compile(cluster, &assignment, previous.as_deref(), Instant::now()))
}
