//! The way back: transport sockets from the model to the wire.

use leno_core::config::{
    DownstreamTls, StringMatch, StringPattern, TlsVersion, TlsVersions, UpstreamTls,
    UpstreamTransport,
};

use super::{
    CERTIFICATE_FILES, DOWNSTREAM, INTERNAL, PROXY_PROTOCOL, PROXY_VERSIONS, RAW, ROOT_FILE,
    SYSTEM_ROOTS, UPSTREAM,
};
use crate::resource::value;
use crate::wire::Writer;

pub(crate) fn write_downstream(w: &mut Writer, number: u32, tls: &DownstreamTls) {
    w.message(number, |w| {
        w.string(1, "envoy.transport_sockets.tls");
        w.any(3, DOWNSTREAM, |w| {
            w.message(1, |w| {
                write_versions(w, tls.versions);
                write_common(w, Some(&tls.certificate), &tls.alpn);
                if tls.trust_bundle.is_some() || !tls.peer_sans.is_empty() {
                    write_validation(w, tls.trust_bundle.as_deref(), &tls.peer_sans, false);
                }
            });
            w.wrapped_bool(2, tls.require_client_certificate);
        });
    });
}

pub(crate) fn write_upstream(w: &mut Writer, number: u32, transport: &UpstreamTransport) {
    if *transport == UpstreamTransport::Internal {
        return w.message(number, write_internal);
    }
    let UpstreamTransport::ProxyProtocol { version, .. } = transport else {
        return w.message(number, |w| write_upstream_tls(w, transport.tls()));
    };
    w.message(number, |w| {
        w.string(1, "envoy.transport_sockets.upstream_proxy_protocol");
        w.any(3, PROXY_PROTOCOL, |w| {
            w.message(1, |w| w.number(1, value::number_of(&PROXY_VERSIONS, *version)));
            w.message(2, |w| write_upstream_tls(w, transport.tls()));
        });
    });
}

fn write_internal(w: &mut Writer) {
    w.string(1, "envoy.transport_sockets.internal_upstream");
    w.any(3, INTERNAL, |w| {
        w.message(1, |w| {
            // `MetadataKind.host`: of the endpoint.
            w.message(1, |w| w.message(4, |_| ()));
            w.string(2, "envoy.filters.listener.original_dst");
        });
        w.message(3, |w| write_upstream_tls(w, None));
    });
}

fn write_upstream_tls(w: &mut Writer, tls: Option<&UpstreamTls>) {
    let Some(tls) = tls else {
        w.string(1, "envoy.transport_sockets.raw_buffer");
        return w.any(3, RAW, |_| ());
    };
    w.string(1, "envoy.transport_sockets.tls");
    w.any(3, UPSTREAM, |w| {
        w.message(1, |w| {
            write_versions(w, tls.versions);
            write_common(w, tls.certificate.as_ref(), &tls.alpn);
            write_validation(w, tls.trust_bundle.as_deref(), &tls.peer_sans, true);
        });
        w.string(2, tls.sni.as_deref().unwrap_or_default());
    });
}

fn write_versions(w: &mut Writer, versions: TlsVersions) {
    if versions == TlsVersions::default() {
        return;
    }
    let number = |version| match version {
        TlsVersion::V12 => 3,
        TlsVersion::V13 => 4,
    };
    w.message(1, |w| {
        w.number(1, number(versions.min));
        w.number(2, number(versions.max));
    });
}

fn write_common(w: &mut Writer, certificate: Option<&String>, alpn: &[String]) {
    w.strings(4, alpn);
    if let Some(certificate) = certificate {
        let files = certificate.strip_prefix(CERTIFICATE_FILES);
        let files = files.and_then(|files| files.split_once('~'));
        match files.filter(|(chain, key)| !chain.is_empty() && !key.is_empty()) {
            None => write_secret(w, 6, certificate),
            Some((chain, key)) => w.message(2, |w| {
                w.message(1, |w| w.string(1, chain));
                w.message(2, |w| w.string(1, key));
            }),
        }
    }
}

fn write_secret(w: &mut Writer, number: u32, name: &str) {
    w.message(number, |w| {
        w.string(1, name);
        value::write_ads(w, 2);
    });
}

fn write_validation(w: &mut Writer, bundle: Option<&str>, sans: &[StringMatch], verifies: bool) {
    let file = match bundle {
        Some(name) => name.strip_prefix(ROOT_FILE).filter(|file| !file.is_empty()),
        None => verifies.then_some(SYSTEM_ROOTS[0]),
    };
    match bundle {
        Some(bundle) if file.is_none() && sans.is_empty() => write_secret(w, 7, bundle),
        Some(bundle) if file.is_none() => w.message(8, |w| {
            w.message(1, |w| write_sans(w, sans));
            write_secret(w, 2, bundle);
        }),
        _ => w.message(3, |w| {
            if let Some(file) = file {
                w.message(1, |w| w.string(1, file));
            }
            write_sans(w, sans);
        }),
    }
}

fn write_sans(w: &mut Writer, sans: &[StringMatch]) {
    for san in sans {
        let (StringPattern::Exact(text)
        | StringPattern::Prefix(text)
        | StringPattern::Suffix(text)
        | StringPattern::Contains(text)
        | StringPattern::Regex(text)) = &san.pattern;
        let is_uri = text.starts_with("spiffe:");
        w.message(15, |w| {
            w.number(1, if is_uri { 3 } else { 2 });
            value::write_string_match(w, 2, san);
        });
    }
}
