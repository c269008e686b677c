//! `envoy.extensions.transport_sockets.tls.v3`: secrets by name, never key material.
//!
//! Files are named as Istio names them, `file-cert:CHAIN~KEY` and `file-root:FILE`; no name for the roots is the system's.

mod write;

use leno_core::config::{
    DownstreamTls, ProxyProtocolVersion, StringMatch, TlsVersion, TlsVersions, UpstreamTls,
    UpstreamTransport,
};

use super::value;
use crate::read::{Names, Reader};

pub(crate) use write::{write_downstream, write_upstream};

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
