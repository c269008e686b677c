//! `envoy.extensions.transport_sockets.tls.v3`: secrets by name, never key material.
//!
//! Files are named as Istio names them, `file-cert:CHAIN~KEY` and `file-root:FILE`; no name for the roots is the system's.

use leno_core::config::{
    DownstreamTls, ProxyProtocolVersion, StringMatch, StringPattern, TlsVersion, TlsVersions,
    UpstreamTls, UpstreamTransport,
};

use super::value;
use crate::read::{Names, Reader};
use crate::wire::Writer;

const DOWNSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const UPSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const PROXY_PROTOCOL: &str =
    "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";
const PROXY_VERSIONS: [(u32, &str, ProxyProtocolVersion); 2] =
    [(0, "V1", ProxyProtocolVersion::V1), (1, "V2", ProxyProtocolVersion::V2)];
const INTERNAL: &str =
    "envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport";
const RAW: &str = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";

/// Key logs are written where the process is told to, and nowhere else.
const HARMLESS: &Names = &[(15, "key_log")];

/// Ciphers, groups and signatures are our own, none of them weak, whatever is asked for.
const HARMLESS_PARAMETERS: &Names = &[
    (3, "cipher_suites"),
    (4, "ecdh_curves"),
    (5, "signature_algorithms"),
    (6, "compliance_policies"),
];

/// What an enum value means as a minimum, and as a maximum if it can be one.
type Bounds = (TlsVersion, Option<TlsVersion>);

/// Nothing older than TLS 1.2 is ever spoken.
const VERSIONS: [(u32, &str, Bounds); 5] = [
    (0, "TLS_AUTO", (TlsVersion::V12, Some(TlsVersion::V13))),
    (1, "TLSv1_0", (TlsVersion::V12, None)),
    (2, "TLSv1_1", (TlsVersion::V12, None)),
    (3, "TLSv1_2", (TlsVersion::V12, Some(TlsVersion::V12))),
    (4, "TLSv1_3", (TlsVersion::V13, Some(TlsVersion::V13))),
];

/// Resumption is a matter of speed.
const HARMLESS_DOWNSTREAM: &Names = &[
    (6, "session_timeout"),
    (7, "disable_stateless_session_resumption"),
    (9, "full_scan_certs_on_sni_mismatch"),
    (10, "disable_stateful_session_resumption"),
    (11, "prefer_client_ciphers"),
];

/// Resumption, and a check that rustls makes anyway.
const HARMLESS_UPSTREAM: &Names = &[(4, "max_session_keys"), (5, "enforce_rsa_key_usage")];

/// Where systems keep their roots; Envoy has no other way to say "the system's".
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
const CERTIFICATE_FILES: &str = "file-cert:";
const ROOT_FILE: &str = "file-root:";

const SAN_TYPES: [(u32, &str, ()); 2] = [(2, "DNS", ()), (3, "URI", ())];

/// What both directions say.
#[derive(Default)]
struct Common {
    alpn: Vec<String>,
    certificate: Option<String>,
    validation: Option<Validation>,
    versions: TlsVersions,
}

#[derive(Default)]
struct Validation {
    bundle: Option<String>,
    sans: Vec<StringMatch>,
}

/// `TransportSocket` of a filter chain.
pub(crate) fn downstream(r: &mut Reader<'_, '_>) -> Option<DownstreamTls> {
    r.string(1, "name");
    r.any(3, "typed_config", |kind, r| match kind {
        DOWNSTREAM => Some(downstream_context(r)),
        RAW => None,
        other => {
            unknown(r, other);
            None
        }
    })?
}

/// `TransportSocket` of a cluster.
pub(crate) fn upstream(r: &mut Reader<'_, '_>) -> UpstreamTransport {
    r.string(1, "name");
    let transport = r.any(3, "typed_config", |kind, r| match kind {
        UPSTREAM => UpstreamTransport::Tls(Box::new(upstream_context(r))),
        RAW => UpstreamTransport::Plaintext,
        PROXY_PROTOCOL => proxy_protocol(r),
        INTERNAL => internal(r),
        other => {
            unknown(r, other);
            UpstreamTransport::Plaintext
        }
    });
    transport.unwrap_or_else(|| {
        r.problem_at("typed_config", "is missing");
        UpstreamTransport::Plaintext
    })
}

fn proxy_protocol(r: &mut Reader<'_, '_>) -> UpstreamTransport {
    let version = r.message(1, "config", |r| r.choice(1, "version", &PROXY_VERSIONS)).flatten();
    let tls = match r.message(2, "transport_socket", upstream) {
        Some(UpstreamTransport::Tls(tls)) => Some(tls),
        Some(UpstreamTransport::Plaintext) => None,
        Some(UpstreamTransport::Internal) => {
            r.problem_at("transport_socket", "a listener of this proxy needs no such header");
            None
        }
        Some(UpstreamTransport::ProxyProtocol { .. }) => {
            r.problem_at("transport_socket", "is another PROXY protocol header; one is sent");
            None
        }
        None => {
            r.problem_at("transport_socket", "is missing");
            None
        }
    };
    let version = version.unwrap_or(ProxyProtocolVersion::V1);
    UpstreamTransport::ProxyProtocol { version, tls }
}

/// What is passed on beside the bytes is always the same: where the connection goes, and whose it is.
fn internal(r: &mut Reader<'_, '_>) -> UpstreamTransport {
    r.harmless(&[(1, "passthrough_metadata")]);
    let inner = r.message(3, "transport_socket", upstream);
    if inner.is_some_and(|inner| inner != UpstreamTransport::Plaintext) {
        r.problem_at("transport_socket", "only plaintext is passed on within a proxy");
    }
    UpstreamTransport::Internal
}

fn unknown(r: &mut Reader<'_, '_>, kind: &str) {
    r.problem(&format!("{kind} is not a supported transport socket"));
    r.skip();
}

fn downstream_context(r: &mut Reader<'_, '_>) -> DownstreamTls {
    r.harmless(HARMLESS_DOWNSTREAM);
    let common = r.message(1, "common_tls_context", common).unwrap_or_default();
    let Validation { bundle, sans } = common.validation.unwrap_or_default();
    let require_client_certificate =
        r.wrapped_bool(2, "require_client_certificate").unwrap_or(false);
    if bundle.is_none() && (require_client_certificate || !sans.is_empty()) {
        r.problem("nothing says what clients are verified with; name a secret or trusted_ca");
    }
    DownstreamTls {
        require_client_certificate,
        certificate: common.certificate.unwrap_or_else(|| {
            r.problem("a certificate named by tls_certificate_sds_secret_configs is expected");
            String::new()
        }),
        trust_bundle: bundle,
        peer_sans: sans,
        alpn: common.alpn,
        versions: common.versions,
    }
}

fn upstream_context(r: &mut Reader<'_, '_>) -> UpstreamTls {
    r.harmless(HARMLESS_UPSTREAM);
    let common = r.message(1, "common_tls_context", common).unwrap_or_default();
    let Validation { bundle, sans } = common.validation.unwrap_or_default();
    if bundle.is_none() {
        r.problem("nothing says what the server is verified with; name a secret or trusted_ca");
    }
    let is_system = |name: &String| SYSTEM_ROOTS.iter().any(|file| name[..] == root_file(file));
    UpstreamTls {
        sni: r.optional_string(2, "sni"),
        alpn: common.alpn,
        certificate: common.certificate,
        trust_bundle: bundle.filter(|name| !is_system(name)),
        peer_sans: sans,
        versions: common.versions,
    }
}

fn root_file(file: &str) -> String {
    format!("{ROOT_FILE}{file}")
}

fn common(r: &mut Reader<'_, '_>) -> Common {
    r.harmless(HARMLESS);
    let mut certificates = r.messages(6, "tls_certificate_sds_secret_configs", secret_name);
    certificates.extend(r.messages(2, "tls_certificates", |r| {
        let chain = r.message(1, "certificate_chain", file_name).unwrap_or_default();
        let key = r.message(2, "private_key", file_name).unwrap_or_default();
        format!("{CERTIFICATE_FILES}{chain}~{key}")
    }));
    if certificates.len() > 1 {
        r.problem("has several certificates; one is supported");
    }
    let plain = r.message(3, "validation_context", validation);
    let named = r.message(7, "validation_context_sds_secret_config", |r| Validation {
        bundle: Some(secret_name(r)),
        sans: Vec::new(),
    });
    let combined = r.message(8, "combined_validation_context", |r| {
        let checks = r.message(1, "default_validation_context", validation).unwrap_or_default();
        let bundle = r.message(2, "validation_context_sds_secret_config", secret_name);
        Validation { bundle: bundle.or(checks.bundle), sans: checks.sans }
    });
    Common {
        alpn: r.strings(4, "alpn_protocols"),
        certificate: certificates.pop(),
        validation: combined.or(named).or(plain),
        versions: r.message(1, "tls_params", versions).unwrap_or_default(),
    }
}

fn versions(r: &mut Reader<'_, '_>) -> TlsVersions {
    r.harmless(HARMLESS_PARAMETERS);
    let mut versions = TlsVersions::default();
    if let Some((min, _)) = r.choice(1, "tls_minimum_protocol_version", &VERSIONS) {
        versions.min = min;
    }
    if let Some((_, max)) = r.choice(2, "tls_maximum_protocol_version", &VERSIONS) {
        if max.is_none_or(|max| max < versions.min) {
            let what = "leaves no version; TLSv1_2 and TLSv1_3 are spoken";
            r.problem_at("tls_maximum_protocol_version", what);
        }
        versions.max = max.unwrap_or(versions.max).max(versions.min);
    }
    versions
}

/// `DataSource` that is a file.
fn file_name(r: &mut Reader<'_, '_>) -> String {
    r.required_string(1, "filename")
}

/// `SdsSecretConfig`: which secret. Where it comes from is the proxy's own business: it makes its key itself.
fn secret_name(r: &mut Reader<'_, '_>) -> String {
    r.field(2, "sds_config");
    r.required_string(1, "name")
}

fn validation(r: &mut Reader<'_, '_>) -> Validation {
    let typed = r.messages(15, "match_typed_subject_alt_names", |r| {
        r.choice(1, "san_type", &SAN_TYPES);
        r.message(2, "matcher", value::string_match)
    });
    let mut sans: Vec<_> = typed.into_iter().flatten().collect();
    sans.extend(r.messages(9, "match_subject_alt_names", value::string_match));
    let file = r.message(1, "trusted_ca", file_name).map(|file| root_file(&file));
    let system = r.message(17, "system_root_certs", |_| root_file(SYSTEM_ROOTS[0]));
    Validation { bundle: file.or(system), sans }
}

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
