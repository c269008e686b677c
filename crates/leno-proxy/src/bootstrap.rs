//! The configuration a process starts with: an Envoy bootstrap file, or resources handed over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use leno_core::config::{Address, Discovery, UpstreamTransport};
use leno_core::snapshot::Resources;
use leno_xds::static_file::{self, AdsSource, Overload, StaticFile};

use crate::options::{ConfigSource, Mesh, Node};
use crate::process::Error;

/// What is known before anybody is asked.
pub(crate) struct First {
    pub(crate) name: String,
    pub(crate) resources: Resources,
    pub(crate) admin: Option<SocketAddr>,
    /// What the process may hold, as far as the file says it.
    pub(crate) overload: Overload,
    /// The control plane that the file names.
    pub(crate) mesh: Option<Mesh>,
}

/// What `source` says at once; a control plane says nothing yet.
///
/// # Errors
/// A file that cannot be read or is wrong, with every problem.
pub(crate) fn first(source: &ConfigSource) -> Result<Option<First>, Error> {
    match source {
        ConfigSource::Mesh(_) => Ok(None),
        ConfigSource::Resources(resources) => Ok(Some(First {
            name: "resources".to_owned(),
            resources: resources.clone(),
            admin: None,
            overload: Overload::default(),
            mesh: None,
        })),
        ConfigSource::Static(path) => {
            let name = path.display().to_string();
            let error = |source| Error::Config { path: name.clone(), source };
            let text = std::fs::read_to_string(path).map_err(|source| error(Box::new(source)))?;
            bootstrap(&text, &name).map(Some).map_err(|lines| error(lines.into()))
        }
    }
}

/// What an Envoy bootstrap says; every problem, one a line.
fn bootstrap(text: &str, name: &str) -> Result<First, String> {
    let lines = |problems: &[leno_xds::Problem]| -> String {
        problems.iter().map(|problem| format!("\n  {problem}")).collect()
    };
    let decoded = static_file::parse(text).map_err(|problems| lines(&problems))?;
    for unsupported in &decoded.unsupported {
        tracing::warn!("not acted on: {unsupported}");
    }
    let file = decoded.value;
    let mesh = file.ads.as_ref().map(|ads| mesh(&file, ads)).transpose()?;
    let resources = Resources {
        listeners: file.listeners.into_iter().map(|l| (l.name.clone(), Arc::new(l))).collect(),
        routes: BTreeMap::new(),
        clusters: file.clusters.into_iter().map(|c| (c.name.clone(), Arc::new(c))).collect(),
    };
    Ok(First { name: name.to_owned(), resources, admin: file.admin, overload: file.overload, mesh })
}

/// The control plane that `dynamic_resources.ads_config` names: the first endpoint of its cluster, in plaintext.
fn mesh(file: &StaticFile, ads: &AdsSource) -> Result<Mesh, String> {
    let at = format!("static_resources.clusters[{}]", ads.cluster);
    let cluster = file.clusters.iter().find(|cluster| cluster.name == ads.cluster);
    let cluster = cluster.ok_or_else(|| format!("{at}: is missing"))?;
    if cluster.transport != UpstreamTransport::Plaintext {
        return Err(format!(
            "{at}.transport_socket: TLS to the control plane is for --control https://HOST:PORT"
        ));
    }
    let assignment = match &cluster.discovery {
        Discovery::Static(one) | Discovery::StrictDns(one) | Discovery::LogicalDns(one) => one,
        Discovery::Eds { .. } | Discovery::OriginalDst { .. } | Discovery::DynamicForwardProxy => {
            return Err(format!(
                "{at}.type: the control plane needs an address: STATIC, STRICT_DNS"
            ));
        }
    };
    let first = assignment.localities.iter().flat_map(|locality| &locality.endpoints).next();
    let control = match first.map(|endpoint| &endpoint.address) {
        Some(Address::Socket(address)) => address.to_string(),
        Some(Address::Host { name, port }) => format!("{name}:{port}"),
        Some(Address::Pipe(path)) => format!("unix:{path}"),
        Some(address @ Address::Internal(_)) => {
            return Err(format!("{at}.load_assignment: {address} is within this proxy"));
        }
        None => return Err(format!("{at}.load_assignment: has no endpoint")),
    };
    let node = file.node.as_ref().filter(|node| !node.id.is_empty());
    let node = node.ok_or("node.id: is missing; the control plane has to know who asks")?;
    Ok(Mesh {
        control,
        root_file: None,
        token_file: None,
        node: Node {
            id: node.id.clone(),
            cluster: node.cluster.clone(),
            metadata: node.metadata.clone(),
        },
        variant: ads.variant,
        data_dir: None,
        seal: None,
    })
}

#[cfg(test)]
mod tests {
    use leno_xds::discovery::Variant;

    use super::*;

    fn refusal(text: &str) -> String {
        bootstrap(text, "file").err().unwrap_or_default()
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_place() {
        let told = refusal("static_resources:\n  listeners:\n  - name: a\n    nonsense: 1\n");
        assert!(told.contains("nonsense") && told.contains("4:"), "{told}");
        let empty = bootstrap("node: {id: a}\n", "file").unwrap();
        assert!(empty.resources.listeners.is_empty() && empty.admin.is_none());
        assert!(empty.mesh.is_none());
    }

    fn following(node: &str, api: &str, cluster: &str) -> String {
        format!(
            "{node}
dynamic_resources:
  cds_config: {{ads: {{}}, resource_api_version: V3}}
  ads_config:
    api_type: {api}
    grpc_services: [{{envoy_grpc: {{cluster_name: xds}}}}]
static_resources:
  clusters: [{{name: xds, connect_timeout: 1s, {cluster}}}]
"
        )
    }

    fn at(address: &str) -> String {
        let endpoint = format!("lb_endpoints: [{{endpoint: {{address: {address}}}}}]");
        format!("load_assignment: {{cluster_name: xds, endpoints: [{{{endpoint}}}]}}")
    }

    #[test]
    fn a_file_may_name_a_control_plane() {
        let socket = at("{socket_address: {address: 127.0.0.1, port_value: 18000}}");
        let named = at("{socket_address: {address: istiod.istio-system, port_value: 15010}}");
        let pipe = at("{pipe: {path: /var/run/xds}}");
        // (api_type, the cluster, what is dialled, how)
        let table = [
            (
                "GRPC",
                format!("type: STATIC, {socket}"),
                "127.0.0.1:18000",
                Variant::StateOfTheWorld,
            ),
            ("DELTA_GRPC", format!("type: STATIC, {socket}"), "127.0.0.1:18000", Variant::Delta),
            (
                "DELTA_GRPC",
                format!("type: STRICT_DNS, {named}"),
                "istiod.istio-system:15010",
                Variant::Delta,
            ),
            (
                "GRPC",
                format!("type: STATIC, {pipe}"),
                "unix:/var/run/xds",
                Variant::StateOfTheWorld,
            ),
        ];
        for (api, cluster, control, variant) in table {
            let text = following("node: {id: a, cluster: c}", api, &cluster);
            let mesh = bootstrap(&text, "file").map(|first| first.mesh).unwrap().unwrap();
            assert_eq!((mesh.control.as_str(), mesh.variant), (control, variant));
            assert_eq!((mesh.node.id.as_str(), mesh.node.cluster.as_str()), ("a", "c"));
        }
        let wrong = [
            (following("", "GRPC", &format!("type: STATIC, {socket}")), "node.id: is missing"),
            (following("node: {id: a}", "GRPC", "type: STATIC"), "load_assignment: is missing"),
            (
                following(
                    "node: {id: a}",
                    "GRPC",
                    "type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED",
                ),
                "clusters[xds].type",
            ),
        ];
        for (text, expected) in wrong {
            assert!(refusal(&text).contains(expected), "{}", refusal(&text));
        }
    }
}
