//! `leno control`: the control plane as a service: the same process as `leno up`, with its roles named.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::exit::{Code, WithCode as _};
use crate::up;

/// Every role of the control plane.
const ROLES: [&str; 5] = ["config", "discovery", "identity", "policy", "telemetry"];

/// Run the control plane as a service.
#[derive(Debug, clap::Args)]
#[group(id = "control")]
pub(crate) struct Args {
    /// Which roles run in this process.
    #[arg(long, value_name = "ROLE", value_delimiter = ',', default_value = "all")]
    roles: Vec<String>,
    #[command(flatten)]
    up: up::Args,
}

/// Runs until SIGINT or SIGTERM.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    check(&args.roles).code(Code::Usage)?;
    up::serve(&args.up.into_options()?)
}

/// All roles share one store in this version; a part of them cannot run alone yet.
fn check(roles: &[String]) -> Result<()> {
    let known = |role: &String| role == "all" || ROLES.contains(&role.as_str());
    if let Some(unknown) = roles.iter().find(|role| !known(role)) {
        bail!("--roles: {unknown:?} is none of all, {}", ROLES.join(", "));
    }
    let all = roles.iter().any(|role| role == "all")
        || ROLES.iter().all(|role| roles.iter().any(|named| named == role));
    if !all {
        bail!("--roles: with the embedded store every role runs in one process: say all");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_all_or_an_error_that_says_so() {
        let table = [
            ("all", true),
            ("config,discovery,identity,policy,telemetry", true),
            ("config", false),
            ("all,kitchen", false),
        ];
        for (roles, right) in table {
            let roles: Vec<String> = roles.split(',').map(str::to_owned).collect();
            assert_eq!(check(&roles).is_ok(), right, "{roles:?}");
        }
    }
}
