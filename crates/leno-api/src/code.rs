//! Codes: short names for what Leno tells people, each with what it means and what to do.
//!
//! `LNxxxx` codes are ours and never change their meaning; response flags are Envoy's. `leno explain CODE` prints an
//! entry. Adding a code is adding a line here and using it where the message is made.

/// One thing Leno may tell somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// `LN0001`, or a response flag such as `UO`.
    pub id: &'static str,
    /// A few words.
    pub title: &'static str,
    /// What happened.
    pub meaning: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

/// Looks a code up; letter case is ignored.
#[must_use]
pub fn find(id: &str) -> Option<&'static Code> {
    all().find(|code| code.id.eq_ignore_ascii_case(id))
}

/// Every code: ours first, then response flags.
pub fn all() -> impl Iterator<Item = &'static Code> {
    OURS.iter().chain(&FLAGS)
}

const fn code(
    id: &'static str,
    title: &'static str,
    meaning: &'static str,
    advice: &'static str,
) -> Code {
    Code { id, title, meaning, advice }
}

const OURS: [Code; 12] = [
    code(
        "LN0001",
        "address in use",
        "A port that a role should listen on is taken by another process.",
        "Name another one with the role's flag, or 0 to have a free one picked; DIR/ports.json then tells which.",
    ),
    code(
        "LN0002",
        "data directory in use",
        "Another control plane runs on this data directory; its process id is in DIR/lock.",
        "Use that one (export KUBECONFIG=DIR/kubeconfig), stop it, or give this one a directory of its own with --data.",
    ),
    code(
        "LN0003",
        "store damaged",
        "DIR/store.redb cannot be opened. It was renamed, not deleted, and nothing was started.",
        "Restore a copy of the file, or start again, with an empty store, and apply your documents; keep the renamed file until that is done.",
    ),
    code(
        "LN0004",
        "no namespaces for capture",
        "The kernel does not let this user make user and network namespaces, so traffic is captured through HTTP_PROXY.",
        "Set the sysctl that the message names, or accept --capture=env: what ignores HTTP_PROXY then goes around the mesh.",
    ),
    code(
        "LN0005",
        "store cannot be written",
        "The disk is full or read-only. The change was not accepted and nothing of it was kept.",
        "Free space, then repeat the change.",
    ),
    code(
        "LN0006",
        "root certificate unusable",
        "DIR/ca holds a root key or certificate that cannot be read, does not fit, or may be read by others.",
        "Restore it, or move DIR/ca away to begin a new trust domain root: every workload then needs a new certificate.",
    ),
    code(
        "LN0101",
        "field not enforced",
        "The document was accepted, but a field of it has no effect yet.",
        "Remove the field, or read the condition NotEnforced on the object to see which parts are in force.",
    ),
    code(
        "LN0102",
        "refused by a proxy",
        "A proxy could not compile what the document became; it keeps the last good configuration.",
        "The object's status names the proxy, the field and the reason; correct the document and apply it again.",
    ),
    code(
        "LN0103",
        "destination unknown",
        "A route names a host or subset that no service, ServiceEntry or DestinationRule declares; requests get 503 NC.",
        "Create the service or the subset, or correct the name; a short name means the document's own namespace.",
    ),
    code(
        "LN0201",
        "control plane unreachable",
        "The API did not answer.",
        "Start it with leno up, or point KUBECONFIG at the kubeconfig that leno up wrote.",
    ),
    code(
        "LN0202",
        "workload has no service port",
        "A workload was started without --port, so nothing can be sent to it through the mesh.",
        "Add --port to leno run; a client that is never called needs none.",
    ),
    code(
        "LN0203",
        "proxy restarted",
        "A workload's proxy ended and was started again; its listening sockets stayed open, requests in flight were lost.",
        "Look at the proxy's log for the reason; report a crash.",
    ),
];

const FLAGS: [Code; 20] = [
    code(
        "DC",
        "DownstreamConnectionTermination",
        "The caller went away before the answer was complete.",
        "Look at the caller: its timeout may be shorter than the service needs.",
    ),
    code(
        "DI",
        "DelayInjected",
        "A fault rule delayed the request.",
        "Remove fault.delay from the VirtualService that the record's route names.",
    ),
    code(
        "DPE",
        "DownstreamProtocolError",
        "The caller's bytes were not a valid request; the record's details say which rule they broke.",
        "Correct the caller.",
    ),
    code(
        "DT",
        "DurationTimeout",
        "The request or connection lasted longer than its maximum duration.",
        "Raise the limit, or find out why it takes so long.",
    ),
    code(
        "FI",
        "FaultInjected",
        "A fault rule answered in place of the service.",
        "Remove fault.abort from the VirtualService that the record's route names.",
    ),
    code(
        "LR",
        "LocalReset",
        "This proxy gave the connection up.",
        "Look at the record's details and at the proxy's log.",
    ),
    code(
        "NC",
        "NoClusterFound",
        "The route names a cluster that the proxy does not have.",
        "See LN0103: the service or subset is missing or misspelt.",
    ),
    code(
        "NR",
        "NoRouteFound",
        "No route matches the request.",
        "Add a route without match at the end of the VirtualService, or correct host and path.",
    ),
    code(
        "OM",
        "OverloadManagerTerminated",
        "The proxy shed load to stay alive.",
        "Give it more memory or less traffic.",
    ),
    code(
        "RL",
        "RateLimited",
        "A rate limit refused the request.",
        "Slow the caller down, or raise the limit.",
    ),
    code(
        "SI",
        "StreamIdleTimeout",
        "No byte moved on the request for its idle time-out.",
        "Find out which side stopped, or raise the idle time-out.",
    ),
    code(
        "UAEX",
        "UnauthorizedExternalService",
        "A policy refused the request.",
        "Look at the record's details: they name the policy.",
    ),
    code(
        "UC",
        "UpstreamConnectionTermination",
        "The service closed the connection before its answer was complete.",
        "Look at the service: a crash, or a keep-alive time-out shorter than ours.",
    ),
    code(
        "UF",
        "UpstreamConnectionFailure",
        "No connection to the endpoint could be made.",
        "Is the workload running, does it listen on that port, does its certificate fit? The record names the cause.",
    ),
    code(
        "UH",
        "NoHealthyUpstream",
        "The cluster has no endpoint, or all are ejected.",
        "Look at the cluster's endpoints: leno proxy config endpoints WORKLOAD.",
    ),
    code(
        "UO",
        "UpstreamOverflow",
        "A circuit breaker's limit was reached.",
        "Raise connectionPool in the DestinationRule, or add endpoints.",
    ),
    code(
        "UPE",
        "UpstreamProtocolError",
        "The service's bytes were not a valid response.",
        "Look at the service, and whether its port speaks the protocol its name says.",
    ),
    code(
        "UR",
        "UpstreamRemoteReset",
        "The service reset the request.",
        "Look at the service's log.",
    ),
    code(
        "URX",
        "UpstreamRetryLimitExceeded",
        "Every attempt failed and no retry was left.",
        "Look at why attempts fail; more retries rarely help.",
    ),
    code(
        "UT",
        "UpstreamRequestTimeout",
        "The service did not answer in time.",
        "Raise timeout in the VirtualService, or find out why the service is slow.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_say_what_to_do() {
        let ids: BTreeSet<&str> = all().map(|code| code.id).collect();
        assert_eq!(ids.len(), all().count());
        for code in all() {
            assert!(
                !code.title.is_empty() && code.meaning.ends_with('.') && code.advice.ends_with('.'),
                "{code:?}"
            );
        }
    }

    #[test]
    fn letter_case_does_not_matter() {
        assert_eq!(find("ln0102").map(|code| code.id), Some("LN0102"));
        assert_eq!(find("LN9999"), None);
    }
}
