//! Remembers what a plain `fn` returned for each key. The `fn` cannot capture anything that the key does not hold.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// A value is forgotten after so many sweeps without use.
const IDLE_SWEEPS_MAX: u64 = 8;

#[derive(Debug)]
pub(super) struct Memo<K, V> {
    made: HashMap<K, Entry<V>>,
    sweeps: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: Arc<V>,
    used: u64,
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self { made: HashMap::new(), sweeps: 0 }
    }
}

impl<K: Clone + Eq + Hash, V> Memo<K, V> {
    pub(super) fn get_or_make(&mut self, key: &K, make: fn(&K) -> V) -> Arc<V> {
        if let Some(entry) = self.made.get_mut(key) {
            entry.used = self.sweeps;
            return entry.value.clone();
        }
        let value = Arc::new(make(key));
        self.made.insert(key.clone(), Entry { value: value.clone(), used: self.sweeps });
        value
    }

    pub(super) fn sweep(&mut self) {
        self.sweeps += 1;
        let oldest = self.sweeps.saturating_sub(IDLE_SWEEPS_MAX);
        self.made.retain(|_, entry| entry.used >= oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_once_and_forgotten_when_idle() {
        let mut memo: Memo<u32, u32> = Memo::default();
        let first = memo.get_or_make(&1, |n| n + 1);
        assert!(Arc::ptr_eq(&first, &memo.get_or_make(&1, |n| n + 1)));
        for _ in 0..IDLE_SWEEPS_MAX {
            memo.sweep();
        }
        assert!(Arc::ptr_eq(&first, &memo.get_or_make(&1, |n| n + 1)), "used again in time");
        for _ in 0..=IDLE_SWEEPS_MAX {
            memo.sweep();
        }
        assert!(memo.made.is_empty());
    }
}
