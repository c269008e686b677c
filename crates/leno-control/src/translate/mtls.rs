//! Whether a workload's port takes plain text, mutual TLS, or both: PeerAuthentication.
//!
//! Closest first: the port of a rule that selects the workload, the rule itself, the namespace's rule, the root
//! namespace's. The oldest wins among equals. Nothing said is PERMISSIVE.

use leno_api::spec::peer_authentication::{Mode, PeerAuthentication};
use leno_api::spec::{Labels, is_subset};

use crate::world::{ROOT_NAMESPACE, Rule, World};

/// What a port takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "Istio's words")]
pub enum MutualTlsMode {
    Disable,
    Permissive,
    Strict,
}

/// What the workload's port takes; `None` asks for ports that nobody names.
#[must_use]
pub fn mode_of(
    world: &World,
    namespace: &str,
    labels: &Labels,
    port: Option<u16>,
) -> MutualTlsMode {
    let rules = world.peer_authentications();
    let selects = |rule: &Rule<PeerAuthentication>| {
        let selector = rule.spec.selector.as_ref();
        selector
            .filter(|selector| !selector.match_labels.is_empty())
            .is_some_and(|selector| is_subset(&selector.match_labels, labels))
    };
    let selects_all = |rule: &Rule<PeerAuthentication>| {
        rule.spec.selector.as_ref().is_none_or(|selector| selector.match_labels.is_empty())
    };
    let own = rules.iter().find(|rule| rule.namespace() == namespace && selects(rule));
    let of_port = own.and_then(|rule| {
        let port = port?.to_string();
        rule.spec.port_level_mtls.get(&port).map(|mtls| mtls.mode)
    });
    let of_namespace =
        |home: &str| rules.iter().find(|rule| rule.namespace() == home && selects_all(rule));
    let candidates = [
        of_port,
        own.map(|rule| rule.spec.mtls.mode),
        of_namespace(namespace).map(|rule| rule.spec.mtls.mode),
        of_namespace(ROOT_NAMESPACE).map(|rule| rule.spec.mtls.mode),
    ];
    let said = candidates.into_iter().flatten().find(|mode| *mode != Mode::Unset);
    match said {
        Some(Mode::Disable) => MutualTlsMode::Disable,
        Some(Mode::Strict) => MutualTlsMode::Strict,
        Some(Mode::Permissive | Mode::Unset) | None => MutualTlsMode::Permissive,
    }
}
