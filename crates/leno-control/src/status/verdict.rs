//! Who enforces one document, and who does not and why. Pure.

use leno_api::Kind;
use std::collections::BTreeSet;

use leno_api::spec::core::Metadata;
use leno_api::spec::peer_authentication::PeerAuthentication;
use leno_api::spec::{ExportTo, is_subset};
use serde::Deserialize as _;

use super::blame::blamed;
use crate::push::ProxyEntry;
use crate::store::Document;
use crate::translate::{Proxy, Translated};
use crate::world::{DocumentRef, ROOT_NAMESPACE};

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
    /// The documents it is about, as Istio names them; empty when nobody can say.
    pub(super) blamed: BTreeSet<String>,
}

impl Answer {
    /// `translated` is what the proxy was told last.
    pub(super) fn new(entry: &ProxyEntry, proxy: Proxy, translated: Option<&Translated>) -> Self {
        let name = format!("{}.{}", proxy.name, proxy.namespace);
        let standing = |(kind, refusal): (leno_xds::ResourceType, &crate::push::Refusal)| {
            // What was in force afterwards was taken; the refusal is history.
            (entry.progress[kind].acknowledged < refusal.revision).then(|| Refused {
                proxy: name.clone(),
                revision: refusal.revision,
                problems: refusal.problems.clone(),
                blamed: translated
                    .iter()
                    .flat_map(|told| refusal.problems.iter().flat_map(|one| blamed(told, one)))
                    .collect(),
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
    /// Those that refused it.
    pub(super) refused: Vec<Refused>,
    /// Those that refused something else, and with it what came at the same time or later.
    pub(super) held_up: Vec<Refused>,
    /// The revision they had to take.
    pub(super) since: u64,
}

impl Verdict {
    pub(super) fn new(kind: &Kind, document: &Document, since: u64, answers: &[Answer]) -> Self {
        let mut verdict = Self { since, ..Self::default() };
        let origin = DocumentRef {
            kind: kind.kind,
            namespace: document.key.namespace.as_str().into(),
            name: document.key.name.as_str().into(),
        }
        .origin();
        let concerned = answers.iter().filter(|answer| concerns(kind, document, &answer.proxy));
        for answer in concerned {
            verdict.proxies += 1;
            if answer.enforced >= since {
                verdict.enforced += 1;
                continue;
            }
            for refused in answer.refusals.iter().filter(|refused| refused.revision >= since) {
                let own = refused.blamed.is_empty() || refused.blamed.contains(&origin);
                let list = if own { &mut verdict.refused } else { &mut verdict.held_up };
                list.push(refused.clone());
            }
        }
        verdict
    }

    /// Whether somebody has neither taken nor refused it yet.
    pub(super) fn is_pending(&self) -> bool {
        self.refused.is_empty() && self.held_up.is_empty() && self.enforced < self.proxies
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
