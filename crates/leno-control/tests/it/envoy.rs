//! Runs a real Envoy against our ADS server and asks its admin endpoint.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::served::Served;

const PATIENCE: Duration = Duration::from_secs(30);

/// Which network namespace an Envoy is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The test's own.
    Here,
    /// One of its own, where every port is free. It reaches us through a socket file.
    Apart,
}

/// A running Envoy; ends with the value.
pub(crate) struct Envoy {
    child: Child,
    folder: tempfile::TempDir,
    admin: String,
}

impl Envoy {
    /// Starts one that takes everything from `control` by ADS; `api` is `GRPC` or `DELTA_GRPC`.
    pub(crate) fn start(program: &Path, control: &Served, api: &str, place: Place) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bootstrap = folder.path().join("bootstrap.yaml");
        let (control, admin) = match place {
            Place::Here => (tcp(control.address), tcp(([127, 0, 0, 1], 0).into())),
            Place::Apart => (pipe(&control.socket), pipe(&folder.path().join("admin.socket"))),
        };
        std::fs::write(&bootstrap, bootstrap_yaml(&control, &admin, api)).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = match place {
            Place::Here => Command::new(program),
            Place::Apart => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-root-user", "--net", "--"]).arg(program);
                command
            }
        };
        let child = command
            .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"])
            .arg("--admin-address-path")
            .arg(folder.path().join("admin"))
            .arg("-c")
            .arg(&bootstrap)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut envoy = Self { child, folder, admin: String::new() };
        envoy.admin = envoy.poll("its admin address", |envoy| {
            let text = std::fs::read_to_string(envoy.folder.path().join("admin")).ok()?;
            Some(text).filter(|text| !text.is_empty())
        });
        envoy
    }

    fn ask(&self, path: &str) -> String {
        match self.admin.parse() {
            Ok(address) => get(address, "localhost", path).1,
            Err(_) => exchange(UnixStream::connect(&self.admin).unwrap(), "localhost", path).1,
        }
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
        let body = self.ask("/config_dump?include_eds");
        let dump: Value =
            serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body:.400}"));
        let sections = dump["configs"].as_array().unwrap();
        let is =
            |section: &&Value| section["@type"].as_str().unwrap().ends_with(&format!(".{name}"));
        sections.iter().find(is).cloned().unwrap_or_default()
    }

    /// Where a listener accepts connections.
    pub(crate) fn listener(&self, name: &str) -> Option<SocketAddr> {
        let body = self.ask("/listeners");
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
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(stream, host, path)
}

fn exchange(mut stream: impl Read + Write, host: &str, path: &str) -> (u16, String) {
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

fn tcp(address: SocketAddr) -> String {
    format!("{{ socket_address: {{ address: {}, port_value: {} }} }}", address.ip(), address.port())
}

fn pipe(path: &Path) -> String {
    format!("{{ pipe: {{ path: {} }} }}", path.display())
}

fn bootstrap_yaml(control: &str, admin: &str, api: &str) -> String {
    format!(
        "node: {{ id: sidecar~127.0.0.1~envoy.default~x, cluster: envoy }}
admin: {{ address: {admin} }}
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
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {control} }} }}] }}]
"
    )
}
