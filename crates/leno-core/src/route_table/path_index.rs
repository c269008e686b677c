//! Finds the first route whose path fits, without scanning thousands of routes.
//!
//! Routes are grouped by exact path and by prefix, both with case ignored (the full match decides about case); what
//! has neither (a regex) is in `others`. Within a group, positions ascend, so the smallest fitting position over all
//! groups is the first match of a naive scan.

use crate::config::PathMatch;
use crate::frozen_index::{AffixIndex, End, HashIndex, folded_hash};

/// Up to so many routes a plain scan is as fast.
const SCAN_MAX: usize = 8;

#[derive(Clone, Debug)]
pub(crate) enum PathIndex {
    /// Few routes: try each.
    Scan(u32),
    Grouped(Box<Groups>),
}

#[derive(Clone, Debug)]
pub(crate) struct Groups {
    exact: HashIndex,
    exact_groups: Box<[Group]>,
    prefixes: AffixIndex,
    prefix_groups: Box<[Group]>,
    others: Box<[u32]>,
}

#[derive(Clone, Debug)]
struct Group {
    key: Box<[u8]>,
    positions: Vec<u32>,
}

impl PathIndex {
    pub(crate) fn build<'a>(paths: impl ExactSizeIterator<Item = &'a PathMatch>) -> Self {
        if paths.len() <= SCAN_MAX {
            return Self::Scan(u32::try_from(paths.len()).unwrap_or(0));
        }
        Self::Grouped(Box::new(Groups::build(paths)))
    }

    /// The smallest position for which `fits` holds. `fits` is asked only where the path may fit.
    pub(crate) fn first(&self, path: &[u8], mut fits: impl FnMut(u32) -> bool) -> Option<u32> {
        match self {
            Self::Scan(count) => (0..*count).find(|&position| fits(position)),
            Self::Grouped(groups) => groups.first(path, fits),
        }
    }
}

impl Groups {
    fn build<'a>(paths: impl Iterator<Item = &'a PathMatch>) -> Self {
        let (mut exact_groups, mut prefix_groups, mut others) = (vec![], vec![], vec![]);
        for (position, path) in (0..).zip(paths) {
            match path {
                PathMatch::Exact(text) => exact_groups.push((folded(text), position)),
                PathMatch::Prefix(text) | PathMatch::PathSeparatedPrefix(text) => {
                    prefix_groups.push((folded(text), position));
                }
                PathMatch::Regex(_) | PathMatch::Connect => others.push(position),
            }
        }
        let exact_groups = gather(exact_groups);
        let prefix_groups = gather(prefix_groups);
        let keys = prefix_groups.iter().map(|group| group.key.clone()).collect();
        Self {
            exact: HashIndex::build(exact_groups.iter().map(|group| folded_hash(&group.key))),
            exact_groups: exact_groups.into(),
            prefixes: AffixIndex::build(End::Front, keys),
            prefix_groups: prefix_groups.into(),
            others: others.into(),
        }
    }

    fn first(&self, path: &[u8], mut fits: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut best = u32::MAX;
        let mut try_positions = |positions: &[u32]| {
            for &position in positions {
                if position >= best {
                    return;
                }
                if fits(position) {
                    best = position;
                    return;
                }
            }
        };
        let same = |number: u32| self.exact_groups[number as usize].key.eq_ignore_ascii_case(path);
        if !self.exact_groups.is_empty()
            && let Some(number) = self.exact.find(folded_hash(path), same)
        {
            try_positions(&self.exact_groups[number as usize].positions);
        }
        self.prefixes.for_each(path, |number| {
            try_positions(&self.prefix_groups[number as usize].positions);
        });
        try_positions(&self.others);
        (best != u32::MAX).then_some(best)
    }
}

fn folded(text: &str) -> Box<[u8]> {
    text.to_ascii_lowercase().into_bytes().into()
}

fn gather(mut keyed: Vec<(Box<[u8]>, u32)>) -> Vec<Group> {
    keyed.sort_unstable();
    let mut groups: Vec<Group> = Vec::new();
    for (key, position) in keyed {
        match groups.last_mut() {
            Some(group) if group.key == key => group.positions.push(position),
            _ => groups.push(Group { key, positions: vec![position] }),
        }
    }
    groups
}
