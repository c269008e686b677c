//! Finds the policies that may apply to a call, without asking hundreds that cannot.
//!
//! A policy that needs a path, a prefix of it, or a peer's exact name is filed under these texts, all with case ignored
//! (the policy itself decides about case); under which of the two, is chosen so that as few policies as possible share
//! one. What has neither is asked every time. Numbers ascend within each group, so the smallest that fits is the first
//! of a naive scan.

use std::collections::HashMap;

use super::condition::Condition;
use crate::frozen_index::{AffixIndex, End, HashIndex, folded_hash};
use crate::string_match::Fixed;

/// Up to so many policies a plain scan is as fast.
const SCAN_MAX: usize = 4;

/// Prefixes that nearly every path has narrow nothing.
const PREFIX_MIN_BYTES: usize = 2;

/// What a policy may be filed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dimension {
    Path,
    Principal,
}

/// One text that a policy is filed under, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Anchor {
    Path(Box<[u8]>),
    Prefix(Box<[u8]>),
    Principal(Box<[u8]>),
}

impl Anchor {
    pub(super) fn of_path(fixed: Fixed<'_>) -> Option<Vec<Self>> {
        match fixed {
            Fixed::Whole(text) => Some(vec![Self::Path(folded(text))]),
            Fixed::Front(text) if text.len() >= PREFIX_MIN_BYTES => {
                Some(vec![Self::Prefix(folded(text))])
            }
            Fixed::Front(_) => None,
        }
    }

    pub(super) fn principal(text: &[u8]) -> Self {
        Self::Principal(folded(text))
    }

    pub(super) fn length(&self) -> usize {
        match self {
            Self::Path(text) | Self::Prefix(text) | Self::Principal(text) => text.len(),
        }
    }
}

fn folded(text: &[u8]) -> Box<[u8]> {
    text.to_ascii_lowercase().into()
}

/// Which policies may apply.
#[derive(Clone, Debug)]
pub(super) struct PolicyIndex {
    principals: Exact,
    paths: Exact,
    prefixes: AffixIndex,
    prefix_members: Box<[Box<[u32]>]>,
    others: Box<[u32]>,
}

/// A text and the policies filed under it.
type Group = (Box<[u8]>, Box<[u32]>);

/// Whole texts and the policies filed under each.
#[derive(Clone, Debug)]
struct Exact {
    keys: Box<[Box<[u8]>]>,
    members: Box<[Box<[u32]>]>,
    index: HashIndex,
}

impl PolicyIndex {
    pub(super) fn build<'a>(policies: impl ExactSizeIterator<Item = &'a Condition>) -> Self {
        let is_scanned = policies.len() <= SCAN_MAX;
        let known: Vec<_> = policies
            .map(|policy| {
                let anchors = |dimension| {
                    let anchors = if is_scanned { None } else { policy.anchors(dimension) };
                    anchors.map(|mut anchors| {
                        anchors.sort_unstable();
                        anchors.dedup();
                        anchors
                    })
                };
                [anchors(Dimension::Principal), anchors(Dimension::Path)]
            })
            .collect();
        let mut counts: HashMap<&Anchor, usize> = HashMap::new();
        for anchor in known.iter().flatten().flatten().flatten() {
            *counts.entry(anchor).or_default() += 1;
        }
        let crowd = |anchors: &&Vec<Anchor>| {
            anchors.iter().map(|anchor| counts[anchor]).max().unwrap_or_default()
        };
        let mut filed: HashMap<&Anchor, Vec<u32>> = HashMap::new();
        let mut others = Vec::new();
        for (number, choices) in (0..).zip(&known) {
            match choices.iter().flatten().min_by_key(crowd) {
                Some(anchors) => {
                    anchors.iter().for_each(|anchor| filed.entry(anchor).or_default().push(number));
                }
                None => others.push(number),
            }
        }
        let (mut principals, mut paths, mut prefixes) = (vec![], vec![], vec![]);
        for (anchor, members) in filed {
            let (text, group) = match anchor {
                Anchor::Principal(text) => (text, &mut principals),
                Anchor::Path(text) => (text, &mut paths),
                Anchor::Prefix(text) => (text, &mut prefixes),
            };
            group.push((text.clone(), members.into_boxed_slice()));
        }
        let (keys, prefix_members): (Vec<_>, Vec<_>) = prefixes.into_iter().unzip();
        Self {
            principals: Exact::build(principals),
            paths: Exact::build(paths),
            prefixes: AffixIndex::build(End::Front, keys),
            prefix_members: prefix_members.into(),
            others: others.into(),
        }
    }

    /// The smallest number for which `applies` holds; it is asked of those that may apply.
    pub(super) fn first(
        &self,
        path: Option<&[u8]>,
        principal: Option<&[u8]>,
        mut applies: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let mut first = u32::MAX;
        let mut ask = |members: &[u32]| {
            for &number in members {
                if number >= first {
                    return;
                }
                if applies(number) {
                    first = number;
                    return;
                }
            }
        };
        if let Some(principal) = principal {
            ask(self.principals.members(principal));
        }
        if let Some(path) = path {
            ask(self.paths.members(path));
            self.prefixes.for_each(path, |number| ask(&self.prefix_members[number as usize]));
        }
        ask(&self.others);
        (first != u32::MAX).then_some(first)
    }
}

impl Exact {
    fn build(groups: Vec<Group>) -> Self {
        let (keys, members): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
        let index = HashIndex::build(keys.iter().map(|key| folded_hash(key)));
        Self { keys: keys.into(), members: members.into(), index }
    }

    fn members(&self, text: &[u8]) -> &[u32] {
        if self.keys.is_empty() {
            return &[];
        }
        let is_it = |number: u32| self.keys[number as usize].eq_ignore_ascii_case(text);
        match self.index.find(folded_hash(text), is_it) {
            Some(number) => &self.members[number as usize],
            None => &[],
        }
    }
}
