//! Who enforces one document, and who does not and why. Pure.

use leno_api::Kind;
use leno_api::spec::core::Metadata;
use leno_api::spec::peer_authentication::PeerAuthentication;
use leno_api::spec::{ExportTo, is_subset};
use serde::Deserialize as _;

use crate::push::ProxyEntry;
use crate::store::Document;
use crate::translate::Proxy;
use crate::world::{ROOT_NAMESPACE, World};

/// What one proxy said last.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) proxy: Proxy,
    /// Everything up to this revision is in force.
    enforced: u64,
    /// What it refused and did not take back.
    refusals: Vec<Refused>,
}

/// One refusal of one type of resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) proxy: String,
    pub(super) revision: u64,
    pub(super) problems: Vec<String>,
}

impl Answer {
    pub(super) fn new(entry: &ProxyEntry, proxy: Proxy) -> Self {
        let name = format!("{}.{}", proxy.name, proxy.namespace);
        let standing = |(kind, refusal): (leno_xds::ResourceType, &crate::push::Refusal)| {
            // What was in force afterwards was taken; the refusal is history.
            (entry.progress[kind].acknowledged < refusal.revision).then(|| Refused {
                proxy: name.clone(),
                revision: refusal.revision,
                problems: refusal.problems.clone(),
            })
        };
        let refusals = entry.refusals().filter_map(standing).collect();
        Self { proxy, enforced: entry.enforced(), refusals }
    }

    #[cfg(test)]
    pub(super) fn made(proxy: Proxy, enforced: u64, refusals: Vec<Refused>) -> Self {
        Self { proxy, enforced, refusals }
    }
}

/// What became of one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Proxies it concerns.
    pub(super) proxies: usize,
    /// Those that enforce it.
    pub(super) enforced: usize,
    /// Those that refused it, or what came with it.
    pub(super) refused: Vec<Refused>,
    /// The revision they had to take.
    pub(super) since: u64,
}

impl Verdict {
    pub(super) fn new(
        kind: &Kind,
        document: &Document,
        world: &World,
        since: u64,
        answers: &[Answer],
    ) -> Self {
        let mut verdict = Self { since, ..Self::default() };
        let concerned = answers.iter().filter(|answer| concerns(kind, document, &answer.proxy));
        for answer in concerned {
            verdict.proxies += 1;
            let refusals = answer.refusals.iter().filter(|refused| refused.revision >= since);
            let refused: Vec<Refused> = refusals.cloned().collect();
            if answer.enforced >= since.min(world.revision()) {
                verdict.enforced += 1;
            } else {
                verdict.refused.extend(refused);
            }
        }
        verdict
    }

    /// Whether somebody has neither taken nor refused it yet.
    pub(super) fn is_pending(&self) -> bool {
        self.refused.is_empty() && self.enforced < self.proxies
    }
}

/// Whether a document may reach a proxy at all.
fn concerns(kind: &Kind, document: &Document, proxy: &Proxy) -> bool {
    let home = &*document.key.namespace;
    let spec = &document.value["spec"];
    if kind.kind == "PeerAuthentication" {
        let rule = PeerAuthentication::deserialize(spec).unwrap_or_default();
        let labels = rule.selector.map(|selector| selector.match_labels).unwrap_or_default();
        let near = home == &*proxy.namespace || (home == ROOT_NAMESPACE && labels.is_empty());
        return near && is_subset(&labels, &proxy.labels);
    }
    let export_to = ExportTo::deserialize(&spec["exportTo"]).unwrap_or_default();
    export_to.is_visible(home, &proxy.namespace)
}

/// The metadata of a document, as far as it can be read.
pub(super) fn metadata(document: &Document) -> Metadata {
    Metadata::deserialize(&document.value["metadata"]).unwrap_or_default()
}
