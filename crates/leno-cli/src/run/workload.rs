//! Who the program is in the mesh: its names and labels, checked once.

use anyhow::{Result, bail};
use leno_api::field::is_dns_label;
use rand::RngExt as _;
use serde_json::{Value, json};

use super::{Args, Protocol};

/// Where a sidecar listens that must leave the program's port to the program; an address of its own sets it apart.
const OWN_PORT: u16 = 15016;
/// Characters that do not look like each other, as Kubernetes uses for generated names.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;

/// The names of one run.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) service: String,
    pub(super) version: String,
    /// `reviews-v2`: what runs of the same program share.
    pub(super) name: String,
    /// `reviews-v2-x7k2p`: this run.
    pub(super) pod: String,
    pub(super) namespace: Option<String>,
    pub(super) account: String,
    pub(super) port: Option<u16>,
    /// Where its sidecar takes what is sent to that port.
    pub(super) listened: Option<u16>,
    pub(super) protocol: Protocol,
}

impl Workload {
    /// Every name that is not one is said at once.
    pub(super) fn new(args: &Args) -> Result<Self> {
        let account = args.service_account.clone().unwrap_or_else(|| args.service.clone());
        let names = [
            ("--service", Some(&args.service)),
            ("--version", Some(&args.version)),
            ("--service-account", Some(&account)),
            ("--namespace", args.namespace.as_ref()),
        ];
        let wrong: Vec<String> = names
            .iter()
            .filter_map(|(flag, name)| Some((flag, name.filter(|name| !is_dns_label(name))?)))
            .map(|(flag, name)| format!("{flag} {name:?}"))
            .collect();
        if !wrong.is_empty() {
            let right = "a name is lower-case letters, digits and '-', at most 63";
            bail!("{}: {right}", wrong.join(", "));
        }
        if args.port == Some(0) {
            bail!("--port 0: say the port the program listens on, 1 to 65535");
        }
        let name = format!("{}-{}", args.service, args.version);
        if name.len() + 1 + SUFFIX_LENGTH > 63 {
            bail!("--service and --version: together at most 56 characters, {name} has more");
        }
        Ok(Self {
            service: args.service.clone(),
            version: args.version.clone(),
            pod: format!("{name}-{}", suffix()),
            name,
            namespace: args.namespace.clone(),
            account,
            port: args.port,
            listened: args.port,
            protocol: args.protocol,
        })
    }

    /// The same for a program that shares the host's network: it may take its port on every address, so its sidecar
    /// listens elsewhere.
    pub(super) fn beside_its_sidecar(mut self) -> Self {
        self.listened =
            self.port.map(|port| if port == OWN_PORT { OWN_PORT + 1 } else { OWN_PORT });
        self
    }

    /// The labels that services and subsets choose by.
    pub(super) fn labels(&self) -> Value {
        json!({
            "app": self.service,
            "version": self.version,
            "service.istio.io/canonical-name": self.service,
            "service.istio.io/canonical-revision": self.version,
            "service.istio.io/workload-name": self.name,
            "security.istio.io/tlsMode": "istio",
        })
    }
}

/// Different in every run, so that a new one does not meet what a crashed one left.
fn suffix() -> String {
    let mut random = rand::rng();
    let letter = |_| char::from(SUFFIX_ALPHABET[random.random_range(0..SUFFIX_ALPHABET.len())]);
    (0..SUFFIX_LENGTH).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn workload(line: &str) -> Result<Workload> {
        let words = ["run"].into_iter().chain(line.split_whitespace()).chain(["--", "true"]);
        Workload::new(&Line::try_parse_from(words)?.args)
    }

    #[test]
    fn names_follow_from_service_and_version() {
        let found = workload("--service reviews --version v2 --port 9080").unwrap();
        assert_eq!((found.name.as_str(), found.account.as_str()), ("reviews-v2", "reviews"));
        assert!(is_dns_label(&found.pod) && found.pod.starts_with("reviews-v2-"), "{}", found.pod);
        assert_ne!(found.pod, workload("--service reviews --version v2").unwrap().pod);
        assert_eq!(workload("--service x --service-account y").unwrap().account, "y");
        for (line, listened) in
            [("", None), ("--port 80", Some(15016)), ("--port 15016", Some(15017))]
        {
            let beside = workload(&format!("--service x {line}")).unwrap().beside_its_sidecar();
            assert_eq!(beside.listened, listened, "{line}");
        }
    }

    #[test]
    fn every_wrong_name_is_said_at_once() {
        // (line, what is named)
        let table: [(&str, &[&str]); 4] = [
            ("--service Reviews --version v_2", &["--service \"Reviews\"", "--version \"v_2\""]),
            ("--service x --namespace a.b", &["--namespace \"a.b\""]),
            ("--service x --port 0", &["--port 0"]),
            (&format!("--service {}", "x".repeat(60)), &["at most 56"]),
        ];
        for (line, named) in table {
            let error = workload(line).unwrap_err().to_string();
            assert!(named.iter().all(|part| error.contains(part)), "{line}: {error}");
        }
    }
}
