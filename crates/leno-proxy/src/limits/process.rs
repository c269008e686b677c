//! What one process may hold in all: derived from the machine once, at the start; the command line and the bootstrap file
//! may say otherwise.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::{
    CONNECTIONS_PER_LISTENER_PERCENT, CONNECTIONS_PER_PEER_PERCENT, DOWNSTREAM_CONNECTIONS,
    MEMORY_BUDGET_BYTES_MAX, MEMORY_BUDGET_BYTES_MIN, MEMORY_BUDGET_PERCENT, SPARE_FILES,
};

/// The limits of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Bytes that connections may make it hold, all together.
    pub memory_bytes: usize,
    /// Downstream connections, all together; beyond, accepting waits.
    pub connections: usize,
    /// Downstream connections of one listener; beyond, they are closed.
    pub connections_per_listener: usize,
    /// Downstream connections of one peer address, on all listeners together; beyond, they are closed.
    pub connections_per_peer: usize,
}

impl ProcessLimits {
    /// What the cgroup, the machine and the open-file limit leave for this many workers.
    #[must_use]
    pub fn of_machine(workers: NonZeroUsize) -> Self {
        let memory = [cgroup_limit(Path::new("/")), memory_total()].into_iter().flatten().min();
        Self { memory_bytes: memory_budget(memory), ..Self::of_connections(connections(workers)) }
    }

    /// With this many connections, and shares of them for listeners and peers; memory as if nothing limited it.
    fn of_connections(connections: usize) -> Self {
        let share = |percent: usize| (connections * percent / 100).max(1);
        Self {
            memory_bytes: MEMORY_BUDGET_BYTES_MAX,
            connections,
            connections_per_listener: share(CONNECTIONS_PER_LISTENER_PERCENT),
            connections_per_peer: share(CONNECTIONS_PER_PEER_PERCENT),
        }
    }

    /// The same with other totals, as a bootstrap file's overload manager gives them; shares follow.
    #[must_use]
    pub fn with(self, memory_bytes: Option<usize>, connections: Option<usize>) -> Self {
        let memory_bytes = memory_bytes.unwrap_or(self.memory_bytes);
        match connections {
            Some(connections) => Self { memory_bytes, ..Self::of_connections(connections) },
            None => Self { memory_bytes, ..self },
        }
    }

    /// One worker's part of the connections.
    pub(crate) fn connections_per_worker(&self, workers: usize) -> usize {
        self.connections.div_ceil(workers).clamp(1, DOWNSTREAM_CONNECTIONS)
    }
}

/// A part of what there is; where nobody knows, the most.
fn memory_budget(memory_bytes: Option<u64>) -> usize {
    let memory = memory_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
    let part = memory / 100 * MEMORY_BUDGET_PERCENT;
    part.clamp(MEMORY_BUDGET_BYTES_MIN, MEMORY_BUDGET_BYTES_MAX)
}

/// What the open-file limit leaves: each downstream connection may need an upstream one.
fn connections(workers: NonZeroUsize) -> usize {
    let files = rlimit_files().unwrap_or(1024);
    let fit = files.saturating_sub(SPARE_FILES) / 2;
    fit.clamp(16 * workers.get(), DOWNSTREAM_CONNECTIONS * workers.get())
}

fn rlimit_files() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = text.lines().find(|line| line.starts_with("Max open files"))?;
    let soft = line.split_whitespace().nth(3)?;
    if soft == "unlimited" { Some(usize::MAX) } else { soft.parse().ok() }
}

fn memory_total() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// The least that a cgroup on the way up to the root allows, in either version's files below `root`.
fn cgroup_limit(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounted = root.join("sys/fs/cgroup");
    let limits = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (folder, file) = match controllers {
            "" => (mounted.clone(), "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                (mounted.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        least(&folder, Path::new(path.trim_start_matches('/')), file)
    });
    limits.min()
}

fn least(mounted: &Path, path: &Path, file: &str) -> Option<u64> {
    // Inside a container the path may be the host's, of which only the root is seen.
    let folders = path.ancestors().map(|folder| mounted.join(folder));
    let read = |folder: PathBuf| {
        std::fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok()
    };
    folders.filter_map(read).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_half_of_what_there_is_within_bounds() {
        const MIB: usize = 1024 * 1024;
        // (MiB there are, MiB of budget)
        let table = [
            (Some(128), 64),
            (Some(1024), 512),
            (Some(16), 32),
            (Some(65_536), 1024),
            (None, 1024),
        ];
        for (there, budget) in table {
            let given = there.map(|mib: u64| mib * MIB as u64);
            assert!(memory_budget(given).abs_diff(budget * MIB) < 100, "{there:?}");
        }
    }

    #[test]
    fn the_least_limit_on_the_way_to_the_root_counts() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(cgroup_limit(folder.path()), None);
        write("proc/self/cgroup", "0::/pods/one\n");
        assert_eq!(cgroup_limit(folder.path()), None, "no file, no limit");
        write("sys/fs/cgroup/pods/one/memory.max", "max\n");
        write("sys/fs/cgroup/pods/memory.max", "1000\n");
        write("sys/fs/cgroup/memory.max", "5000\n");
        assert_eq!(cgroup_limit(folder.path()), Some(1000));
        write("proc/self/cgroup", "5:cpu:/a\n4:memory,hugetlb:/elsewhere\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "700\n");
        assert_eq!(cgroup_limit(folder.path()), Some(700), "version 1, seen from a container");
    }

    #[test]
    fn shares_follow_the_number_of_connections() {
        let workers = NonZeroUsize::new(2).unwrap();
        let machine = ProcessLimits::of_machine(workers);
        assert!(machine.connections_per_peer <= machine.connections_per_listener);
        assert!(machine.connections_per_listener <= machine.connections);
        let given = machine.with(Some(5), Some(1000));
        assert_eq!((given.memory_bytes, given.connections), (5, 1000));
        assert_eq!((given.connections_per_listener, given.connections_per_peer), (900, 750));
        assert_eq!(given.connections_per_worker(2), 500);
        assert_eq!(machine.with(None, None), machine);
    }
}
