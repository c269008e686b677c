//! Why namespaces are not to be had here, in the words of the setting to change.
//!
//! Pure over [`Settings`]; called when a launch failed, for the one line that
//! says why the app is captured in another way.

use std::fmt;
use std::fs;
use std::io;

use super::Step;

/// What the kernel of this machine says about namespaces. `None` where it does
/// not have the setting.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// `user.max_user_namespaces`
    pub user_namespaces_max: Option<u64>,
    /// `user.max_net_namespaces`
    pub net_namespaces_max: Option<u64>,
    /// `kernel.unprivileged_userns_clone` (Debian's and Arch's patch)
    pub unprivileged_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu)
    pub apparmor_restricts: Option<u64>,
    /// `Seccomp:` of `/proc/self/status`: 2 under a filter.
    pub seccomp: Option<u64>,
}

impl Settings {
    /// Reads them; what cannot be read counts as absent.
    pub fn read() -> Self {
        let sysctl = |name: &str| {
            let text = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
            text.trim().parse().ok()
        };
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let seccomp = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        Self {
            user_namespaces_max: sysctl("user/max_user_namespaces"),
            net_namespaces_max: sysctl("user/max_net_namespaces"),
            unprivileged_clone: sysctl("kernel/unprivileged_userns_clone"),
            apparmor_restricts: sysctl("kernel/apparmor_restrict_unprivileged_userns"),
            seccomp: seccomp.and_then(|value| value.trim().parse().ok()),
        }
    }
}

/// Why a launch with a namespace failed. Its text names what to change.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// A sysctl forbids it at this value.
    Sysctl {
        /// The setting, as `sysctl` names it.
        name: &'static str,
        /// What it is now.
        value: u64,
        /// What would allow it.
        allowed: &'static str,
    },
    /// A limit of namespaces is used up.
    LimitReached {
        /// The setting, as `sysctl` names it.
        name: &'static str,
        /// What it is now.
        value: u64,
    },
    /// A seccomp filter (a container's default profile) refuses the call.
    Seccomp,
    /// The kernel was built without user namespaces.
    NoUserNamespaces,
    /// The kernel has no nf_tables redirect, or may not load it.
    NoRedirect,
    /// The kernel has reasons of its own.
    Unknown {
        /// What was being done.
        step: Step,
        /// What the kernel said, in words.
        said: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctl { name, value, allowed } => {
                write!(out, "{name} = {value} forbids it; `sysctl -w {name}={allowed}` allows it")
            }
            Self::LimitReached { name, value } => {
                write!(out, "the limit {name} = {value} is used up")
            }
            Self::Seccomp => out.write_str(
                "a seccomp filter forbids it; a container needs a profile that allows unshare",
            ),
            Self::NoUserNamespaces => out.write_str("this kernel has no user namespaces"),
            Self::NoRedirect => out.write_str(
                "this kernel has no nf_tables redirect; `modprobe nft_redir nft_chain_nat` may add it",
            ),
            Self::Unknown { step, said } => write!(out, "{step}: {said}"),
        }
    }
}

/// Finds the cause of `error` at `step` in `settings`. A setting is only blamed
/// for an error that it produces.
pub fn diagnose(step: Step, error: &io::Error, settings: &Settings) -> Cause {
    let sysctl = |name, value, allowed| Cause::Sysctl { name, value, allowed };
    let errno = error.raw_os_error().unwrap_or_default();
    let is_refused = matches!(errno, libc::EPERM | libc::EACCES);
    match (step, errno) {
        (Step::Unshare, libc::ENOSPC | libc::EUSERS) => limit(settings),
        (Step::Unshare, libc::EINVAL) => Cause::NoUserNamespaces,
        (Step::Rules, libc::EOPNOTSUPP | libc::ENOENT | libc::EPROTONOSUPPORT) => Cause::NoRedirect,
        _ if is_refused && settings.unprivileged_clone == Some(0) => {
            sysctl("kernel.unprivileged_userns_clone", 0, "1")
        }
        // Ubuntu lets the namespace be made and takes its capabilities away.
        _ if is_refused && settings.apparmor_restricts.is_some_and(|value| value > 0) => {
            let value = settings.apparmor_restricts.unwrap_or(1);
            sysctl("kernel.apparmor_restrict_unprivileged_userns", value, "0")
        }
        (Step::Unshare, libc::EPERM | libc::ENOSYS) if settings.seccomp == Some(2) => {
            Cause::Seccomp
        }
        _ => Cause::Unknown { step, said: error.to_string() },
    }
}

fn limit(settings: &Settings) -> Cause {
    let limits = [
        ("user.max_user_namespaces", settings.user_namespaces_max),
        ("user.max_net_namespaces", settings.net_namespaces_max),
    ];
    for (name, value) in limits {
        if value == Some(0) {
            return Cause::Sysctl { name, value: 0, allowed: "10000" };
        }
    }
    let (name, value) = limits[0];
    Cause::LimitReached { name, value: value.unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::super::Step;
    use super::{Settings, diagnose};
    use std::io;

    #[test]
    fn the_setting_that_forbids_it_is_named() {
        let off = |change: fn(&mut Settings)| {
            let mut settings = Settings { user_namespaces_max: Some(96365), ..Settings::default() };
            change(&mut settings);
            settings
        };
        // (step, errno, settings, what the line must name)
        let table = [
            (
                Step::Unshare,
                libc::ENOSPC,
                off(|s| s.user_namespaces_max = Some(0)),
                "user.max_user_namespaces = 0",
            ),
            (
                Step::Unshare,
                libc::ENOSPC,
                off(|s| s.net_namespaces_max = Some(0)),
                "user.max_net_namespaces = 0",
            ),
            (Step::Unshare, libc::ENOSPC, off(|_| ()), "limit user.max_user_namespaces = 96365"),
            (
                Step::Unshare,
                libc::EPERM,
                off(|s| s.unprivileged_clone = Some(0)),
                "sysctl -w kernel.unprivileged_userns_clone=1",
            ),
            (
                Step::MapUser,
                libc::EACCES,
                off(|s| s.apparmor_restricts = Some(1)),
                "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
            ),
            (Step::Rules, libc::EPERM, off(|s| s.apparmor_restricts = Some(1)), "apparmor"),
            (Step::Unshare, libc::EPERM, off(|s| s.seccomp = Some(2)), "seccomp"),
            (Step::Unshare, libc::EINVAL, off(|_| ()), "no user namespaces"),
            (Step::Rules, libc::ENOENT, off(|s| s.apparmor_restricts = Some(1)), "nf_tables"),
            (Step::Sockets, libc::EADDRINUSE, off(|s| s.seccomp = Some(2)), "listening inside"),
        ];
        for (step, errno, settings, named) in table {
            let error = io::Error::from_raw_os_error(errno);
            let line = diagnose(step, &error, &settings).to_string();
            assert!(line.contains(named), "{step:?} {errno}: {line}");
        }
    }

    #[test]
    fn this_machine_can_be_read() {
        assert!(Settings::read().user_namespaces_max.is_some());
    }
}
