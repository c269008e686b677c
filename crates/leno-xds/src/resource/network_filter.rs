//! The terminal network filter of a chain, `http_connection_manager.v3` or `tcp_proxy.v3`, and what stands before it.

use leno_core::config::{ConnectionAuthorization, ConnectionLimit, NetworkFilter};

use super::{authorization, connection_limit, hcm, tcp_proxy};
use crate::read::Reader;
use crate::wire::Writer;

const HTTP: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const TCP: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

/// Istio's telemetry for bytes: always on here.
const TELEMETRY: [&str; 3] = [
    "stats.PluginConfig",
    "envoy.tcp.metadataexchange.config.MetadataExchange",
    "io.istio.network.peer_metadata.Config",
];

/// What stands before the terminal filter.
#[derive(Default)]
pub(crate) struct Before {
    pub(crate) connection_limits: Vec<ConnectionLimit>,
    pub(crate) authorization: Vec<ConnectionAuthorization>,
}

/// One network filter; those that only observe are left out, and those that only let connections in go to `before`.
pub(crate) fn decode(r: &mut Reader<'_, '_>, before: &mut Before) -> Option<NetworkFilter> {
    r.string(1, "name");
    let filter = r.any(4, "typed_config", |kind, r| match kind {
        authorization::NETWORK_TYPE => {
            before.authorization.push(authorization::decode_network(r));
            None
        }
        connection_limit::TYPE => {
            before.connection_limits.push(connection_limit::decode(r));
            None
        }
        HTTP => Some(NetworkFilter::Http(Box::new(hcm::decode(r)))),
        TCP => Some(NetworkFilter::Tcp(tcp_proxy::decode(r))),
        observer if TELEMETRY.contains(&observer) => {
            r.leave_out("is always on");
            None
        }
        other => {
            r.problem(&format!("{other} is not a supported network filter"));
            r.skip();
            None
        }
    });
    if filter.is_none() {
        r.problem_at("typed_config", "is missing");
    }
    filter?
}

pub(crate) fn encode(w: &mut Writer, number: u32, filter: &NetworkFilter) {
    w.message(number, |w| match filter {
        NetworkFilter::Http(manager) => {
            w.string(1, "envoy.filters.network.http_connection_manager");
            w.any(4, HTTP, |w| hcm::encode(w, manager));
        }
        NetworkFilter::Tcp(proxy) => {
            w.string(1, "envoy.filters.network.tcp_proxy");
            w.any(4, TCP, |w| tcp_proxy::encode(w, proxy));
        }
    });
}
