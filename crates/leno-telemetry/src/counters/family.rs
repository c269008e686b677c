//! One kind of series over all workers: which keys are told apart, and every worker's cells of each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::cells::Cells;
use crate::labels::lock;

/// Keys one worker remembers beyond the limit, so that it asks about each only once; then all further unknown keys are
/// counted as `other` unasked. Wrong by: keys that another worker got admitted and this one never saw before.
const REMEMBERED_MAX: usize = 4096;

/// After this long without a count a series makes room for others.
pub(crate) const IDLE: Duration = Duration::from_secs(3600);

/// Series by key; at most `max` keys and their overflow.
#[derive(Debug)]
pub(crate) struct Family<K, C> {
    max: usize,
    overflow: fn(K) -> K,
    rows: Mutex<Rows<K, C>>,
}

#[derive(Debug)]
struct Rows<K, C> {
    admitted: HashSet<K>,
    rows: Vec<(K, Arc<C>)>,
}

impl<K: Clone + Eq + Hash + Ord, C: Cells> Family<K, C> {
    /// `overflow` gives the key that stands for the ones beyond `max`; it must have few results.
    pub(crate) fn new(max: usize, overflow: fn(K) -> K) -> Self {
        let rows = Rows { admitted: HashSet::new(), rows: Vec::new() };
        Self { max, overflow, rows: Mutex::new(rows) }
    }

    /// The key that `key` is counted under: itself, or its overflow once the limit is reached.
    pub(crate) fn admit(&self, key: &K) -> K {
        let admitted = &mut lock(&self.rows).admitted;
        if admitted.contains(key) {
            return key.clone();
        }
        if admitted.len() >= self.max {
            return (self.overflow)(key.clone());
        }
        admitted.insert(key.clone());
        key.clone()
    }

    /// New cells for one worker, counted under an admitted key.
    pub(crate) fn cells(&self, admitted: &K) -> Arc<C> {
        let cells = Arc::new(C::default());
        lock(&self.rows).rows.push((admitted.clone(), cells.clone()));
        cells
    }

    /// Whether so many keys are in use that idle ones are to make room.
    fn is_crowded(&self) -> bool {
        self.len() > self.max / 2
    }

    /// Forgets the series that no worker uses any more.
    fn forget_unused(&self) {
        let mut rows = lock(&self.rows);
        let Rows { admitted, rows } = &mut *rows;
        // Whoever counts holds the cells besides us.
        let in_use: HashSet<&K> =
            rows.iter().filter(|row| Arc::strong_count(&row.1) > 1).map(|row| &row.0).collect();
        let gone: HashSet<K> =
            admitted.iter().filter(|key| !in_use.contains(key)).cloned().collect();
        admitted.retain(|key| !gone.contains(key));
        rows.retain(|(key, _)| !gone.contains(key));
    }

    /// Every series added up over the workers.
    pub(crate) fn sums(&self) -> BTreeMap<K, C::Sum> {
        let mut sums = BTreeMap::new();
        for (key, cells) in &lock(&self.rows).rows {
            cells.add_to(sums.entry(key.clone()).or_default());
        }
        sums
    }

    #[cfg(test)]
    pub(crate) fn rows_len(&self) -> usize {
        lock(&self.rows).rows.len()
    }

    /// Keys told apart so far.
    pub(crate) fn len(&self) -> usize {
        lock(&self.rows).admitted.len()
    }
}

/// One worker's view of a [`Family`]: its own cells by key.
#[derive(Debug)]
pub(crate) struct Local<K, C> {
    cells: HashMap<K, Kept<C>, FoldHash>,
    overflow: HashMap<K, Arc<C>, FoldHash>,
}

/// Cells, and when they were last seen to change.
#[derive(Debug)]
struct Kept<C> {
    cells: Arc<C>,
    /// They are the overflow's.
    is_shared: bool,
    activity: u64,
    /// `None` until the first look.
    since: Option<Instant>,
}

impl<K, C> Default for Local<K, C> {
    fn default() -> Self {
        Self { cells: HashMap::default(), overflow: HashMap::default() }
    }
}

impl<K: Clone + Eq + Hash + Ord, C: Cells> Local<K, C> {
    /// This worker's cells for a key it has seen.
    pub(crate) fn known(&self, key: &K) -> Option<&Arc<C>> {
        self.cells.get(key).map(|kept| &kept.cells)
    }

    /// Where room is short, lets go of what has counted nothing for [`IDLE`]: workloads and services that are gone must not
    /// keep new ones from being told apart. Called every now and then.
    pub(crate) fn sweep(&mut self, now: Instant, family: &Family<K, C>) {
        let is_crowded = family.is_crowded();
        self.cells.retain(|_, kept| {
            let activity = kept.cells.activity();
            if kept.since.is_none() || activity != kept.activity {
                (kept.activity, kept.since) = (activity, Some(now));
            }
            let is_idle = kept.since.is_some_and(|since| now >= since + IDLE);
            // Handles that are kept elsewhere count on: besides them there are the family's and ours.
            let is_held = Arc::strong_count(&kept.cells) > 2 && !kept.is_shared;
            !(is_crowded && (kept.is_shared || is_idle && !is_held))
        });
        if is_crowded {
            family.forget_unused();
        }
    }

    /// This worker's cells for a key; takes the family's lock the first time the key is seen.
    pub(crate) fn cells(&mut self, key: &K, family: &Family<K, C>) -> Arc<C> {
        if let Some(cells) = self.known(key) {
            return cells.clone();
        }
        if self.cells.len() >= REMEMBERED_MAX.max(family.max) {
            return self.overflow((family.overflow)(key.clone()), family);
        }
        let admitted = family.admit(key);
        let is_shared = admitted != *key;
        let cells = if is_shared { self.overflow(admitted, family) } else { family.cells(key) };
        let kept = Kept { cells: cells.clone(), is_shared, activity: 0, since: None };
        self.cells.insert(key.clone(), kept);
        cells
    }

    fn overflow(&mut self, key: K, family: &Family<K, C>) -> Arc<C> {
        self.overflow.entry(key).or_insert_with_key(|key| family.cells(key)).clone()
    }
}

/// A hasher for our own small keys: multiply and fold. Keys are ids that no peer chooses, so it need not resist one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FoldHash;

impl BuildHasher for FoldHash {
    type Hasher = Folder;

    fn build_hasher(&self) -> Folder {
        Folder(0x9e37_79b9_7f4a_7c15)
    }
}

/// See [`FoldHash`].
#[derive(Debug)]
pub(crate) struct Folder(u64);

impl Hasher for Folder {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0xa076_1d64_78bd_642f;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
