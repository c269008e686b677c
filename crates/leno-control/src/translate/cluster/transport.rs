//! How a cluster's connections are protected.

use leno_api::spec::destination_rule::TlsMode;
use leno_core::config::{
    StringMatch, StringPattern, TlsVersions, TransportMatch, UpstreamTls, UpstreamTransport,
};

use super::OutboundInputs;
use crate::translate::name;
use crate::translate::proxy::Engine;
use crate::world::{self, Location, Protocol};

/// Plain, TLS as the rule says, or decided by each endpoint: those with a sidecar get mutual TLS.
pub(super) fn transport(inputs: &OutboundInputs) -> (UpstreamTransport, Vec<TransportMatch>) {
    let OutboundInputs { service, policy, .. } = inputs;
    let Some(tls) = &policy.settings.tls else {
        let automatic =
            service.location == Location::Mesh && service.discovery == world::Discovery::Registry;
        if !automatic {
            return (UpstreamTransport::Plaintext, Vec::new());
        }
        let labels = [("tlsMode".to_owned(), "istio".to_owned())].into();
        let matches = vec![
            TransportMatch {
                name: "tlsMode-istio".to_owned(),
                labels,
                transport: UpstreamTransport::Tls(Box::new(between_sidecars(inputs, ""))),
            },
            TransportMatch {
                name: "tlsMode-disabled".to_owned(),
                labels: Default::default(),
                transport: UpstreamTransport::Plaintext,
            },
        ];
        return (UpstreamTransport::Plaintext, matches);
    };
    let transport = match tls.mode {
        TlsMode::Disable => UpstreamTransport::Plaintext,
        TlsMode::IstioMutual => {
            UpstreamTransport::Tls(Box::new(between_sidecars(inputs, &tls.sni)))
        }
        TlsMode::Simple | TlsMode::Mutual => {
            let sni = if tls.sni.is_empty() { service.host.to_string() } else { tls.sni.clone() };
            let mut names = tls.subject_alt_names.clone();
            if names.is_empty() {
                names.clone_from(&service.subject_alt_names);
            }
            if names.is_empty() {
                names.push(sni.clone());
            }
            UpstreamTransport::Tls(Box::new(UpstreamTls {
                versions: TlsVersions::default(),
                sni: Some(sni),
                alpn: Vec::new(),
                certificate: None,
                trust_bundle: None,
                peer_sans: names.into_iter().map(exactly).collect(),
            }))
        }
    };
    (transport, Vec::new())
}

fn between_sidecars(inputs: &OutboundInputs, sni: &str) -> UpstreamTls {
    let OutboundInputs { service, port, policy, .. } = inputs;
    let own = name::sni(port.number, inputs.subset_name(), &service.host);
    let said = policy.settings.tls.as_ref().map(|tls| tls.subject_alt_names.clone());
    let mut names = said.unwrap_or_default();
    if names.is_empty() {
        names = inputs.identities.iter().chain(&service.subject_alt_names).cloned().collect();
    }
    let alpn: &[&str] = match (port.protocol, inputs.engine) {
        (Protocol::Tcp | Protocol::Tls | Protocol::Udp, _) => &["istio"],
        // The plain names are for a sidecar that takes no others.
        (Protocol::Http, Engine::Leno) => {
            &["istio-h2", "istio-http/1.1", "istio", "h2", "http/1.1"]
        }
        (Protocol::Http | Protocol::Unknown, _) => &["istio-http/1.1", "istio", "http/1.1"],
        (Protocol::Http2, _) => &["istio-h2", "istio", "h2"],
    };
    UpstreamTls {
        versions: TlsVersions::default(),
        sni: Some(if sni.is_empty() { own } else { sni.to_owned() }),
        alpn: alpn.iter().map(|&name| name.to_owned()).collect(),
        certificate: Some(name::OWN_CERTIFICATE.to_owned()),
        trust_bundle: Some(name::TRUST_BUNDLE.to_owned()),
        peer_sans: names.into_iter().map(exactly).collect(),
    }
}

fn exactly(text: String) -> StringMatch {
    StringMatch { pattern: StringPattern::Exact(text), ignore_case: false }
}
