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
    /// Everything up to this revision was answered, and is in force but for what is refused. `None` for proxies that
    /// refuse a response as a whole.
    settled: Option<u64>,
    /// What it refused and did not take back.
    refusals: Vec<Refused>,
}

/// One refusal of one type of resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) proxy: String,
    pub(super) revision: u64,
    pub(super) problems: Vec<String>,
    /// The documents it is about, as Istio names them; empty when it is about none.
    pub(super) blamed: BTreeSet<String>,
}

impl Refused {
    /// Whether every problem names the resource it is in. Otherwise the response was refused whole (ADR 7).
    fn names_parts(&self) -> bool {
        const PARTS: [&str; 5] = ["listeners[", "routes[", "clusters[", "endpoints[", "names:"];
        let is_named = |problem: &String| PARTS.iter().any(|part| problem.starts_with(part));
        !self.problems.is_empty() && self.problems.iter().all(is_named)
    }
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
        let settled = entry.node.takes_parts().then(|| entry.settled());
        Self { proxy, enforced: entry.enforced(), settled, refusals }
    }

    #[cfg(test)]
    pub(super) fn made(proxy: Proxy, enforced: u64, refusals: Vec<Refused>) -> Self {
        Self { proxy, enforced, settled: None, refusals }
    }

    #[cfg(test)]
    pub(super) fn refusals_mut(&mut self) -> &mut Vec<Refused> {
        &mut self.refusals
    }

    /// The same of a proxy that takes the parts that are right.
    #[cfg(test)]
    pub(super) fn in_parts(self, settled: u64) -> Self {
        Self { settled: Some(settled), ..self }
    }

    /// Refusals that are about no document: something that we made by ourselves, or a response as a whole.
    pub(super) fn about_no_document(&self) -> impl Iterator<Item = &Refused> {
        self.refusals.iter().filter(|refused| refused.blamed.is_empty())
    }

    /// The refusals of a document, and those of others that keep it back.
    fn refusals(&self, origin: &str, since: u64) -> (Vec<&Refused>, Vec<&Refused>) {
        let is_own = |refused: &&Refused| refused.blamed.contains(origin);
        match self.settled {
            // What it refuses it refuses until it says otherwise; what is not refused whole keeps nothing else back.
            Some(settled) if settled >= since => {
                let keeps_back =
                    |refused: &&Refused| refused.revision >= since && !refused.names_parts();
                let others = self.about_no_document().filter(keeps_back);
                (self.refusals.iter().filter(is_own).collect(), others.collect())
            }
            Some(_) => (Vec::new(), Vec::new()),
            None => {
                self.refusals.iter().filter(|refused| refused.revision >= since).partition(is_own)
            }
        }
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
            let (own, others) = answer.refusals(&origin, since);
            let is_settled = answer.settled.is_some_and(|settled| settled >= since);
            if is_settled && own.is_empty() && others.is_empty() {
                verdict.enforced += 1;
            }
            verdict.refused.extend(own.into_iter().cloned());
            verdict.held_up.extend(others.into_iter().cloned());
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
