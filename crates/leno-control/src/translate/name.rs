//! Names of resources, as Istio makes them. Tools and people read them.

/// `outbound|9080|v1|reviews.default.svc.cluster.local`.
pub(super) fn outbound_cluster(port: u16, subset: &str, host: &str) -> String {
    format!("outbound|{port}|{subset}|{host}")
}

/// `inbound|9080||`.
pub(super) fn inbound_cluster(port: u16) -> String {
    format!("inbound|{port}||")
}

/// Server name between sidecars: `outbound_.9080_.v1_.reviews.default.svc.cluster.local`.
pub(super) fn sni(port: u16, subset: &str, host: &str) -> String {
    format!("outbound_.{port}_.{subset}_.{host}")
}

/// What is not of the mesh goes where it was going.
pub(super) const PASSTHROUGH: &str = "PassthroughCluster";
/// What a program without a namespace asks for that is not of the mesh goes where it says.
pub(super) const BY_AUTHORITY: &str = "ForwardProxyCluster";
/// What must go nowhere.
pub(super) const BLACK_HOLE: &str = "BlackHoleCluster";
/// To the workload, on a port that no service names.
pub(super) const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";

/// The proxy's own certificate.
pub(super) const OWN_CERTIFICATE: &str = "default";
/// The mesh's trust bundle.
pub(super) const TRUST_BUNDLE: &str = "ROOTCA";

/// Captured outbound and inbound connections come in here.
pub(super) const OUTBOUND_PORT: u16 = 15001;
pub(super) const INBOUND_PORT: u16 = 15006;
