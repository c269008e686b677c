//! One worker's TLS connectors, by the transport they serve, so that a new connection takes no lock and resumes the
//! sessions of those before it.
//!
//! A [`Connector`] keeps its sessions as long as somebody keeps it, and the process keeps none. Entries go with the
//! transport: a cluster whose settings stayed as they were keeps its own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use leno_core::cluster::Transport;
use leno_core::config::UpstreamTls;
use leno_core::problem::Problem;

use super::connect::Carries;
use crate::tls::{Connector, Tls};

/// One worker's connectors.
#[derive(Debug, Default)]
pub(crate) struct Connectors {
    kept: RefCell<HashMap<(usize, Carries), Kept>>,
}

#[derive(Debug)]
struct Kept {
    /// Keeps the key (its address) taken.
    transport: Arc<Transport>,
    connector: Arc<Connector>,
}

impl Connectors {
    /// The connector of a transport.
    ///
    /// # Errors
    /// What is wrong with its patterns.
    ///
    /// # Panics
    /// For a transport in plaintext.
    pub(crate) fn get(
        &self,
        tls: &Tls,
        transport: &Arc<Transport>,
        carries: Carries,
    ) -> Result<Arc<Connector>, Vec<Problem>> {
        let key = (Arc::as_ptr(transport) as usize, carries);
        if let Some(kept) = self.kept.borrow().get(&key) {
            return Ok(Arc::clone(&kept.connector));
        }
        let settings = &transport.tls.as_ref().expect("asked for TLS transports only").settings;
        let connector = match carries {
            Carries::Requests => tls.connector(settings)?,
            Carries::Bytes => tls.connector(&without_http(settings))?,
        };
        let (transport, kept) = (Arc::clone(transport), Arc::clone(&connector));
        self.kept.borrow_mut().insert(key, Kept { transport, connector: kept });
        Ok(connector)
    }

    /// Forgets the connectors of transports that nothing else uses.
    pub(crate) fn sweep(&self) {
        let mut kept = self.kept.borrow_mut();
        let users = |of: usize| kept.keys().filter(|(transport, _)| *transport == of).count();
        let used: Vec<_> = kept
            .iter()
            .filter(|((at, _), one)| Arc::strong_count(&one.transport) > users(*at))
            .map(|(key, _)| *key)
            .collect();
        kept.retain(|key, _| used.contains(key));
    }
}

/// The settings for bytes of which nobody knows what they are: of the protocols sidecars tell each other apart by, those
/// that promise HTTP are not offered. A server that believed them would read the bytes as requests.
fn without_http(settings: &UpstreamTls) -> UpstreamTls {
    const PROMISES: [&str; 3] = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
    let alpn = settings.alpn.iter().filter(|name| !PROMISES.contains(&name.as_str()));
    UpstreamTls { alpn: alpn.cloned().collect(), ..settings.clone() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use leno_core::cluster::Cluster;
    use leno_core::config::{TlsVersions, UpstreamTls, UpstreamTransport};

    use super::{Connectors, without_http};
    use crate::tls::{Secrets, Tls};
    use crate::upstream::connect::Carries;

    fn settings(alpn: &[&str]) -> UpstreamTls {
        UpstreamTls {
            versions: TlsVersions::default(),
            sni: None,
            alpn: alpn.iter().map(|&name| name.to_owned()).collect(),
            certificate: None,
            trust_bundle: None,
            peer_sans: Vec::new(),
        }
    }

    #[test]
    fn bytes_never_promise_http() {
        // (of a cluster, for bytes)
        let table: [(&[&str], &[&str]); 4] = [
            (&["istio-http/1.1", "istio"], &["istio"]),
            (&["istio-h2", "istio"], &["istio"]),
            (&["istio-peer-exchange", "istio"], &["istio-peer-exchange", "istio"]),
            (&["h2"], &["h2"]),
        ];
        for (of_cluster, for_bytes) in table {
            assert_eq!(without_http(&settings(of_cluster)).alpn, for_bytes, "{of_cluster:?}");
        }
    }

    #[test]
    fn a_transport_has_its_connectors_until_it_goes() {
        let tls = Tls::new(Secrets::new());
        let connectors = Connectors::default();
        let alpn = ["istio-http/1.1", "istio"];
        let transport = UpstreamTransport::Tls(Box::new(settings(&alpn)));
        let cluster = Cluster::compile(&Arc::new(cluster(transport))).unwrap();
        let transport = Arc::clone(cluster.transport_for(&std::collections::BTreeMap::new()));
        let get = |carries| connectors.get(&tls, &transport, carries).unwrap();
        let (requests, bytes) = (get(Carries::Requests), get(Carries::Bytes));
        assert!(!Arc::ptr_eq(&requests, &bytes));
        connectors.sweep();
        assert!(Arc::ptr_eq(&requests, &get(Carries::Requests)));
        assert!(Arc::ptr_eq(&bytes, &get(Carries::Bytes)));
        drop((cluster, transport));
        connectors.sweep();
        assert!(connectors.kept.borrow().is_empty());
    }

    fn cluster(transport: UpstreamTransport) -> leno_core::config::Cluster {
        use leno_core::config::{
            CircuitLimits, Discovery, LbPolicy, UpstreamHttp, UpstreamProtocol,
        };
        leno_core::config::Cluster {
            name: "one".into(),
            discovery: Discovery::OriginalDst { port: None },
            connect_timeout: std::time::Duration::from_secs(1),
            lb_policy: LbPolicy::RoundRobin,
            transport,
            transport_matches: Vec::new(),
            circuit: CircuitLimits::default(),
            outlier: None,
            buffer_bytes: None,
            http: UpstreamHttp {
                protocol: UpstreamProtocol::Http1,
                idle_timeout: None,
                max_connection_duration: None,
                max_requests_per_connection: None,
                max_concurrent_streams: None,
            },
            services: Vec::new(),
            origin: None,
            subset: None,
        }
    }
}
