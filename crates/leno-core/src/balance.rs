//! Which endpoint takes a request.
//!
//! One [`Balancer`] per cluster and worker. It keeps a view of what is available, rebuilt only when the set, an ejection
//! or the end of one changes it; a pick then neither allocates nor looks at every endpoint. Priorities, panic and
//! locality weights are Envoy's (overprovisioning factor 1.4).

mod priority;
mod schedule;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use self::priority::{Level, loads};
use self::schedule::{Rotation, Shares};
use crate::cluster::Cluster;
use crate::config::LbPolicy;
use crate::endpoint::{Endpoint, EndpointSet, LocalityGroup};
use crate::random::Random;

/// Draws of a random endpoint before a retry that must avoid the tried ones looks at all of them.
const REDRAWS: usize = 3;

/// Picks endpoints of one cluster.
#[derive(Debug)]
pub struct Balancer {
    policy: LbPolicy,
    panic_percent: u32,
    view: Option<View>,
}

/// The circumstances of one pick.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'a> {
    /// The current time.
    pub now: Instant,
    /// Endpoints that earlier attempts of this request used; avoided while there is another.
    pub tried: &'a [Arc<Endpoint>],
}

/// What can be picked until something changes.
#[derive(Debug)]
struct View {
    set: Arc<EndpointSet>,
    changes: u32,
    /// When the first ejection ends.
    valid_until: Option<Instant>,
    levels: Vec<LevelView>,
}

#[derive(Debug)]
struct LevelView {
    /// Percent of the requests, summed up to and including this level.
    load_end: u32,
    /// One per locality if localities are weighted, else one for all.
    groups: Vec<GroupView>,
    group_rotation: Rotation,
}

#[derive(Debug)]
struct GroupView {
    /// Positions in the set.
    endpoints: Vec<u32>,
    rotation: Rotation,
    shares: Shares,
}

impl Balancer {
    /// A balancer for the cluster; make a new one when the cluster changes.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        Self {
            policy: cluster.source().lb_policy,
            panic_percent: cluster.panic_percent(),
            view: None,
        }
    }

    /// The endpoint for one attempt; `None` is answered with 503 and flag `UH`.
    pub fn pick<'s>(
        &mut self,
        set: &'s Arc<EndpointSet>,
        pick: Pick<'_>,
        random: &mut impl Random,
    ) -> Option<&'s Arc<Endpoint>> {
        let is_current = self.view.as_ref().is_some_and(|view| view.is_current(set, pick.now));
        if !is_current {
            self.view = Some(View::build(set, self.panic_percent, pick.now, random));
        }
        let view = self.view.as_mut()?;
        let level = view.draw_level(random)?;
        let mut drawn = level.draw(self.policy, set, random);
        if !pick.tried.is_empty() {
            for _ in 0..REDRAWS {
                if !is_tried(drawn, pick.tried) {
                    return Some(drawn);
                }
                drawn = level.draw(self.policy, set, random);
            }
            if is_tried(drawn, pick.tried) {
                drawn = level.find_untried(set, pick.tried, random).unwrap_or(drawn);
            }
        }
        Some(drawn)
    }
}

fn is_tried(endpoint: &Endpoint, tried: &[Arc<Endpoint>]) -> bool {
    tried.iter().any(|other| Arc::ptr_eq(&other.live, &endpoint.live))
}

impl View {
    fn is_current(&self, set: &Arc<EndpointSet>, now: Instant) -> bool {
        Arc::ptr_eq(&self.set, set)
            && self.changes == set.changes()
            && self.valid_until.is_none_or(|until| now < until)
    }

    fn build(
        set: &Arc<EndpointSet>,
        panic_percent: u32,
        now: Instant,
        random: &mut impl Random,
    ) -> Self {
        // Read first: an ejection that happens meanwhile makes the view stale again.
        let changes = set.changes();
        // Asked once: another worker may eject an endpoint while this view is built.
        let available: Vec<bool> =
            set.endpoints().iter().map(|endpoint| endpoint.is_available(now)).collect();
        let is_available = |at: &u32| available[*at as usize];
        let count = |groups: &[LocalityGroup]| {
            let all = || groups.iter().flat_map(|group| group.endpoints.clone());
            let available = all().filter(|at| is_available(at)).count();
            Level { available, total: all().count() }
        };
        let levels: Vec<Level> = set.priorities().map(count).collect();
        let mut load_end = 0;
        let levels = loads(&levels, panic_percent)
            .into_iter()
            .zip(set.priorities())
            .filter(|(load, _)| load.percent > 0)
            .map(|(load, groups)| {
                load_end += load.percent;
                let is_usable = |at: &u32| load.is_panic || is_available(at);
                LevelView::build(set, groups, load_end, is_usable, random)
            })
            .collect();
        let ends = set.endpoints().iter().filter_map(|endpoint| endpoint.live.ejected_until());
        let valid_until = ends.filter(|&end| end > now).min();
        Self { set: Arc::clone(set), changes, valid_until, levels }
    }

    fn draw_level(&mut self, random: &mut impl Random) -> Option<&mut LevelView> {
        if self.levels.len() <= 1 {
            return self.levels.first_mut();
        }
        let total = self.levels.last()?.load_end;
        let point = random.below(u64::from(total));
        self.levels.iter_mut().find(|level| point < u64::from(level.load_end))
    }
}

impl LevelView {
    fn build(
        set: &EndpointSet,
        groups: &[LocalityGroup],
        load_end: u32,
        is_usable: impl Fn(&u32) -> bool,
        random: &mut impl Random,
    ) -> Self {
        let filled = || groups.iter().filter(|group| !group.endpoints.is_empty());
        let is_weighted = filled().all(|group| group.weight.is_some());
        let usable = |group: &LocalityGroup| -> Vec<u32> {
            group.endpoints.clone().filter(|at| is_usable(at)).collect()
        };
        let (mut views, mut weights) = (Vec::new(), Vec::new());
        if is_weighted {
            for group in filled() {
                let endpoints = usable(group);
                let weight = effective_weight(group, endpoints.len());
                if weight > 0 {
                    views.push(GroupView::build(set, endpoints, random));
                    weights.push(weight);
                }
            }
        }
        // Without weights, or with none left, places do not matter.
        if views.is_empty() {
            let endpoints = filled().flat_map(usable).collect();
            views.push(GroupView::build(set, endpoints, random));
            weights.push(1);
        }
        Self { load_end, groups: views, group_rotation: Rotation::new(&weights, random) }
    }

    fn draw<'s>(
        &mut self,
        policy: LbPolicy,
        set: &'s EndpointSet,
        random: &mut impl Random,
    ) -> &'s Arc<Endpoint> {
        let group = self.group_rotation.advance();
        self.groups[group].draw(policy, set, random)
    }

    fn find_untried<'s>(
        &self,
        set: &'s EndpointSet,
        tried: &[Arc<Endpoint>],
        random: &mut impl Random,
    ) -> Option<&'s Arc<Endpoint>> {
        let all = || self.groups.iter().flat_map(|group| &group.endpoints);
        let untried = || {
            let endpoints = all().map(|at| &set.endpoints()[*at as usize]);
            endpoints.filter(|endpoint| !is_tried(endpoint, tried))
        };
        let count = untried().count();
        let chosen = usize::try_from(random.below(count as u64)).ok()?;
        untried().nth(chosen)
    }
}

/// Envoy's locality weight: less when more than 1/1.4 of the locality is gone.
fn effective_weight(group: &LocalityGroup, usable: usize) -> u64 {
    let total = group.endpoints.len() as u64;
    let share = (1400 * usable as u64 / total.max(1)).min(1000);
    u64::from(group.weight.unwrap_or(0)) * share
}

impl GroupView {
    fn build(set: &EndpointSet, endpoints: Vec<u32>, random: &mut impl Random) -> Self {
        let weight = |at: &u32| u64::from(set.endpoints()[*at as usize].weight);
        let weights: Vec<u64> = endpoints.iter().map(weight).collect();
        Self { rotation: Rotation::new(&weights, random), shares: Shares::new(&weights), endpoints }
    }

    fn draw<'s>(
        &mut self,
        policy: LbPolicy,
        set: &'s EndpointSet,
        random: &mut impl Random,
    ) -> &'s Arc<Endpoint> {
        let endpoint = |at: usize| &set.endpoints()[self.endpoints[at] as usize];
        match policy {
            // A provided cluster has no list; should it have one after all, it is used in turn.
            LbPolicy::RoundRobin | LbPolicy::ClusterProvided => endpoint(self.rotation.advance()),
            LbPolicy::Random => endpoint(self.shares.draw(random)),
            LbPolicy::LeastRequest { choices } => {
                let mut least = endpoint(self.shares.draw(random));
                // More draws than twice the endpoints tell nothing new, however many are asked for.
                let choices = (choices as usize).min(self.endpoints.len() * 2);
                for _ in 1..choices {
                    let other = endpoint(self.shares.draw(random));
                    if load(other, least) < load(least, other) {
                        least = other;
                    }
                }
                least
            }
        }
    }
}

/// Requests in flight per weight, over the common denominator. Draws are by weight already, so an idle cluster splits by
/// weight too.
fn load(of: &Endpoint, against: &Endpoint) -> u64 {
    u64::from(of.live.active()) * u64::from(against.weight)
}
