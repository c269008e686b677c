//! What is spoken on either side of a proxy under test, and how each program is told.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::contender::Program;

/// One side of a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Http1,
    /// Prior knowledge, plaintext.
    Http2,
    /// TLS 1.3 with a server certificate.
    TlsHttp1,
    TlsHttp2,
    /// Both sides show a certificate.
    MutualHttp2,
}

impl Wire {
    const fn is_tls(self) -> bool {
        matches!(self, Self::TlsHttp1 | Self::TlsHttp2 | Self::MutualHttp2)
    }

    const fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::TlsHttp2 | Self::MutualHttp2)
    }

    /// What takes the place of `# codec`: a listener that is told takes nothing else.
    pub(crate) fn codec(self) -> &'static str {
        if self.is_http2() { "codec_type: HTTP2" } else { "" }
    }

    /// What takes the place of `{{FRONT}}` or `# front`.
    pub(crate) fn front(self, program: Program, folder: &Path) -> String {
        let folder = folder.display();
        let alpn = if self.is_http2() { "h2" } else { "http/1.1" };
        match (program, self) {
            (Program::Leno | Program::Envoy, _) if self.is_tls() => {
                let (verify, require) = if self == Self::MutualHttp2 {
                    (
                        format!(
                            ", validation_context: {{trusted_ca: {{filename: {folder}/ca.pem}}}}"
                        ),
                        ", require_client_certificate: true",
                    )
                } else {
                    (String::new(), "")
                };
                format!(
                    "transport_socket: {{name: tls, typed_config: {{\"@type\": {TLS}.DownstreamTlsContext, \
                     common_tls_context: {{alpn_protocols: [{alpn}], {}{verify}}}{require}}}}}",
                    certificates(&folder)
                )
            }
            (Program::Leno | Program::Envoy, _) => String::new(),
            (Program::Haproxy, Self::Http2) => "proto h2".to_owned(),
            (Program::Haproxy, _) if self.is_tls() => {
                let verify = if self == Self::MutualHttp2 {
                    format!("ca-file {folder}/ca.pem verify required ")
                } else {
                    String::new()
                };
                format!("ssl crt {folder}/leaf.both {verify}alpn {alpn}")
            }
            (Program::Nginx, Self::Http2) => "http2".to_owned(),
            (Program::Nginx, Self::TlsHttp1) => "ssl".to_owned(),
            (Program::Nginx, Self::TlsHttp2 | Self::MutualHttp2) => "ssl http2".to_owned(),
            (Program::Haproxy | Program::Nginx, _) => String::new(),
        }
    }

    /// What takes the place of `{{BACK}}` or `# back`.
    pub(crate) fn back(self, program: Program, folder: &Path) -> String {
        let folder = folder.display();
        match program {
            Program::Leno | Program::Envoy => {
                let mut text = String::new();
                if self.is_http2() {
                    text.push_str(
                        "typed_extension_protocol_options: \
                         {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": \
                         type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, \
                         explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 1000}}}}\n",
                    );
                }
                if self.is_tls() {
                    text.push_str(&format!(
                        "    transport_socket: {{name: tls, typed_config: {{\"@type\": {TLS}.UpstreamTlsContext, \
                         sni: localhost, common_tls_context: {{alpn_protocols: [h2], {}, validation_context: \
                         {{trusted_ca: {{filename: {folder}/ca.pem}}}}}}}}}}\n",
                        certificates(&folder)
                    ));
                }
                text
            }
            Program::Haproxy if self.is_tls() => {
                format!(
                    "ssl crt {folder}/leaf.both ca-file {folder}/ca.pem verify required alpn h2 sni str(localhost)"
                )
            }
            Program::Haproxy if self.is_http2() => "proto h2".to_owned(),
            Program::Haproxy | Program::Nginx => String::new(),
        }
    }
}

const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

fn certificates(folder: &impl std::fmt::Display) -> String {
    format!(
        "tls_certificates: [{{certificate_chain: {{filename: {folder}/leaf.pem}}, private_key: \
         {{filename: {folder}/leaf.key}}}}]"
    )
}

/// An authority of this bench's own, and a leaf that serves and asks: `ca.pem`, `leaf.pem`, `leaf.key`, and `leaf.both`
/// for programs that want one file. P-256, as meshes use.
pub(crate) fn make_certificates(folder: &Path) -> Result<()> {
    let openssl = |args: &[&str]| -> Result<()> {
        let mut command = Command::new("openssl");
        command.current_dir(folder).args(args).stdin(Stdio::null()).stderr(Stdio::null());
        ensure!(command.stdout(Stdio::null()).status()?.success(), "openssl {}", args.join(" "));
        Ok(())
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let ca =
        ["req", "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=bench"];
    openssl(&[&ca[..], &key[..]].concat())?;
    let names = "subjectAltName=DNS:localhost,DNS:svc7.ns.svc.cluster.local,IP:127.0.0.1,\
                 URI:spiffe://cluster.local/ns/ns/sa/bench\n\
                 extendedKeyUsage=serverAuth,clientAuth\n";
    std::fs::write(folder.join("names"), names)?;
    let request = ["req", "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=leaf"];
    openssl(&[&request[..], &key[..]].concat())?;
    let sign = ["x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key"];
    let rest = ["-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "leaf.pem"];
    openssl(&[&sign[..], &rest[..]].concat())?;
    let read = |name: &str| std::fs::read(folder.join(name));
    Ok(std::fs::write(folder.join("leaf.both"), [read("leaf.pem")?, read("leaf.key")?].concat())?)
}
