//! Resources as bytes, each encoded once: whoever shares a resource shares its bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use leno_xds::server::{Encoded, Wanted};

/// Bytes are forgotten after so many sweeps without use.
const IDLE_SWEEPS_MAX: u64 = 8;

#[derive(Debug)]
pub(super) struct Encoder<T> {
    /// By the resource's address, which stays taken while the entry holds the resource.
    made: HashMap<usize, Entry<T>>,
    sweeps: u64,
}

#[derive(Debug)]
struct Entry<T> {
    _resource: Arc<T>,
    encoded: Encoded,
    used: u64,
}

impl<T> Default for Encoder<T> {
    fn default() -> Self {
        Self { made: HashMap::new(), sweeps: 0 }
    }
}

impl<T> Encoder<T> {
    /// `resources` as bytes; `before` itself when nothing in it is different.
    pub(super) fn encode(
        &mut self,
        resources: &BTreeMap<Arc<str>, Arc<T>>,
        encode: fn(&T) -> Vec<u8>,
        before: Option<&Arc<Wanted>>,
    ) -> Arc<Wanted> {
        let sweeps = self.sweeps;
        let one = |(name, resource): (&Arc<str>, &Arc<T>)| {
            let address = Arc::as_ptr(resource).addr();
            let entry = self.made.entry(address).or_insert_with(|| Entry {
                _resource: resource.clone(),
                encoded: Encoded::new(encode(resource).into()),
                used: sweeps,
            });
            entry.used = sweeps;
            (name.clone(), entry.encoded.clone())
        };
        let wanted: Wanted = resources.iter().map(one).collect();
        match before.filter(|before| same_versions(before, &wanted)) {
            Some(before) => before.clone(),
            None => Arc::new(wanted),
        }
    }

    pub(super) fn sweep(&mut self) {
        self.sweeps += 1;
        let oldest = self.sweeps.saturating_sub(IDLE_SWEEPS_MAX);
        self.made.retain(|_, entry| entry.used >= oldest);
    }
}

fn same_versions(a: &Wanted, b: &Wanted) -> bool {
    let versions = |wanted: &Wanted| -> Vec<(Arc<str>, Arc<str>)> {
        wanted.iter().map(|(name, one)| (name.clone(), one.version.clone())).collect()
    };
    a.len() == b.len() && versions(a) == versions(b)
}
