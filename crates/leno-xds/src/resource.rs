//! The four resources: [`decode_listener`] and its kin turn an `Any`'s value into the model, [`encode_listener`] and its
//! kin go the other way.
//!
//! A field that is not modelled is a problem, unless it is on a `HARMLESS` list beside its decoder: tuning, naming or
//! telemetry that changes no routing, no identity and no policy. Those are returned with the value, to be shown.

pub(crate) mod access_log;
pub(crate) mod address;
pub(crate) mod authorization;
pub(crate) mod cluster;
pub(crate) mod connection_limit;
pub(crate) mod endpoint;
pub(crate) mod fault;
pub(crate) mod hcm;
pub(crate) mod header_edits;
pub(crate) mod listener;
pub(crate) mod network_filter;
pub(crate) mod per_filter;
pub(crate) mod retry;
pub(crate) mod route;
pub(crate) mod route_action;
pub(crate) mod tcp_proxy;
pub(crate) mod tls;
pub(crate) mod tracing;
pub(crate) mod upstream;
pub(crate) mod value;

use leno_core::config;

use crate::problem::{Decoded, Problem, Report};
use crate::read::{Path, Reader};
use crate::wire::Writer;

macro_rules! resource {
    ($decode:ident, $encode:ident, $module:ident, $model:ident, $what:literal) => {
        #[doc = concat!("Reads ", $what, "; every problem at once.")]
        ///
        /// # Errors
        /// What is malformed, missing, out of range or not supported.
        pub fn $decode(bytes: &[u8]) -> Result<Decoded<config::$model>, Vec<Problem>> {
            let report = Report::default();
            let value = Reader::wire(bytes, Path::ROOT, &report).read($module::decode);
            report.finish(value)
        }

        #[doc = concat!("Writes ", $what, "; equal values give equal bytes.")]
        #[must_use]
        pub fn $encode(value: &config::$model) -> Vec<u8> {
            Writer::build(|w| $module::encode(w, value))
        }
    };
}

resource!(
    decode_listener,
    encode_listener,
    listener,
    Listener,
    "an `envoy.config.listener.v3.Listener`"
);
resource!(
    decode_route,
    encode_route,
    route,
    RouteConfiguration,
    "an `envoy.config.route.v3.RouteConfiguration`"
);
resource!(decode_cluster, encode_cluster, cluster, Cluster, "an `envoy.config.cluster.v3.Cluster`");
resource!(
    decode_endpoints,
    encode_endpoints,
    endpoint,
    ClusterLoadAssignment,
    "an `envoy.config.endpoint.v3.ClusterLoadAssignment`"
);
