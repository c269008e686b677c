//! What command operators ask of the machine: its name, and this process's environment. Read once: asking the system
//! takes a lock.

use std::collections::HashMap;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::LazyLock;

static ENVIRONMENT: LazyLock<HashMap<Vec<u8>, Vec<u8>>> = LazyLock::new(|| {
    std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect()
});

static HOSTNAME: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let name = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim_ascii().to_vec()
});

/// The machine's name as the kernel has it.
pub(crate) fn hostname() -> &'static [u8] {
    &HOSTNAME
}

/// A variable of the environment; `-` where there is none, which is Envoy's way for this operator alone.
pub(crate) fn variable(name: &str) -> &'static [u8] {
    ENVIRONMENT.get(name.as_bytes()).map_or(b"-", Vec::as_slice)
}
