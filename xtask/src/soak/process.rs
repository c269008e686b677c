//! A proxy on a static file as a process: started, asked how it does, ended.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::load::Target;
use super::origin::Origin;

/// No start and no drain takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest that a client keeps a TCP or WebSocket connection, on a machine that is busy with other things too.
const DRAIN_SECONDS: u32 = 5;

/// Where one proxy listens, whichever process it is at the time.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) http: SocketAddr,
    pub(super) tcp: SocketAddr,
    pub(super) admin: SocketAddr,
    folder: PathBuf,
}

/// One process of a proxy; killed when dropped.
pub(super) struct Proxy(Child);

impl Place {
    /// Chooses ports and writes the configuration.
    pub(super) fn new(folder: &Path, name: &str, origin: Origin) -> Result<Self> {
        let place = Self {
            name: name.to_owned(),
            http: quiet_port()?,
            tcp: quiet_port()?,
            admin: quiet_port()?,
            folder: folder.to_owned(),
        };
        std::fs::write(place.config(), config(&place, origin).to_string())?;
        Ok(place)
    }

    pub(super) fn target(&self, is_ready: bool) -> Target {
        let is_ready = AtomicBool::new(is_ready);
        Target { http: self.http, tcp: Some(self.tcp), grpc: Some(self.http), is_ready }
    }

    pub(super) fn targets(&self) -> Arc<Vec<Target>> {
        Arc::new(vec![self.target(true)])
    }

    fn config(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.name))
    }

    /// Starts a process; `config` takes the place of the usual one.
    pub(super) fn start(&self, leno: &Path, workers: u32, config: Option<&Path>) -> Result<Proxy> {
        let log = self.folder.join(format!("{}.log", self.name));
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(leno);
        command
            .arg("proxy")
            .arg("--config")
            .arg(config.map_or_else(|| self.config(), Path::to_path_buf))
            .arg("--handover")
            .arg(self.folder.join(format!("{}.sock", self.name)))
            .args(["--workers", &workers.to_string()])
            .args(["--lame-duck-seconds", "1", "--drain-seconds", &DRAIN_SECONDS.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Ok(Proxy(command.spawn().with_context(|| format!("start {command:?}"))?))
    }

    /// Whether the proxy says that it is ready.
    pub(super) fn is_ready(&self) -> bool {
        let asked = TcpStream::connect(self.admin).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"GET /ready HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer.starts_with("HTTP/1.1 200 "))
        });
        asked.unwrap_or(false)
    }
}

impl Proxy {
    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(super) fn wait_ready(&mut self, place: &Place) -> Result<()> {
        let begun = Instant::now();
        while !place.is_ready() {
            if let Some(status) = self.0.try_wait()? {
                bail!("{} ended before it was ready: {status}", place.name);
            }
            ensure!(begun.elapsed() < PATIENCE, "{} is not ready", place.name);
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Waits until it ends by itself, well.
    pub(super) fn wait_end(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                ensure!(status.success(), "the proxy ended with {status}");
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "the proxy does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) -> Result<()> {
        let status = Command::new("kill").arg(self.pid().to_string()).status()?;
        ensure!(status.success(), "kill {}: {status}", self.pid());
        Ok(())
    }

    /// Ends it without a warning.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // One that has ended already needs nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A free port that the kernel gives no client: one that is bound again and again must be free each time.
fn quiet_port() -> Result<SocketAddr> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let low: u16 = range.split_whitespace().next().context("no range of ports")?.parse()?;
    let first = 10_000 + u16::try_from(std::process::id() % 10_000)?;
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    loop {
        let port = first + NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        ensure!(port < low.max(first + 1000), "no free port below {low}");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
}

fn config(place: &Place, origin: Origin) -> Value {
    let address = |address: SocketAddr| json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}});
    let listener = |name: &str, at: SocketAddr, filter: &str, settings: Value| {
        let mut settings = settings;
        settings["@type"] =
            format!("type.googleapis.com/envoy.extensions.filters.network.{filter}").into();
        settings["stat_prefix"] = name.into();
        let name_of_filter = filter.split('.').next().unwrap_or_default();
        json!({"name": name, "address": address(at), "filter_chains": [{"filters": [{
            "name": format!("envoy.filters.network.{name_of_filter}"), "typed_config": settings,
        }]}]})
    };
    let cluster = |name: &str, to: SocketAddr| {
        json!({"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(to)}}]}],
        }})
    };
    let route = |prefix: &str, cluster: &str| json!({"match": {"prefix": prefix}, "route": {"cluster": cluster}});
    let routes = json!({"name": "all", "virtual_hosts": [{"name": "all", "domains": ["*"],
        "routes": [route("/soak.", "http2"), route("/", "http")]}]});
    let mut http2 = cluster("http2", origin.http);
    http2["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        },
    });
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let http = json!({
        "route_config": routes,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "tracing": tracing(),
        "access_log": [access_log()],
        "http_filters": [
            {"name": "envoy.filters.http.rbac", "typed_config": authorization()},
            {"name": "envoy.filters.http.router", "typed_config": {"@type": router}},
        ],
    });
    let manager = "http_connection_manager.v3.HttpConnectionManager";
    json!({
        "admin": {"address": address(place.admin)},
        "static_resources": {
            "listeners": [
                listener("http", place.http, manager, http),
                listener("tcp", place.tcp, "tcp_proxy.v3.TcpProxy", json!({"cluster": "echo"})),
            ],
            "clusters": [
                cluster("http", origin.http), http2, cluster("echo", origin.echo),
                cluster("collector", origin.http),
            ],
        },
    })
}

/// Every request belongs to a trace, and none is sampled.
fn tracing() -> Value {
    let config = "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig";
    let uri = json!({"uri": "http://collector/v1/traces", "cluster": "collector", "timeout": "5s"});
    json!({"random_sampling": {"value": 0}, "provider": {"name": "envoy.tracers.opentelemetry", "typed_config":
        {"@type": config, "service_name": "soak", "http_service": {"http_uri": uri}}}})
}

/// A line of JSON per request, with what logs of a mesh usually have.
fn access_log() -> Value {
    let log = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
    json!({"name": "envoy.access_loggers.file", "typed_config": {"@type": log, "path": "/dev/null",
    "log_format": {"json_format": {
        "authority": "%REQ(:AUTHORITY)%",
        "bytes_received": "%BYTES_RECEIVED%",
        "bytes_sent": "%BYTES_SENT%",
        "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
        "duration": "%DURATION%",
        "forwarded_for": "%REQ(X-FORWARDED-FOR)%",
        "grpc_status": "%GRPC_STATUS%",
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "protocol": "%PROTOCOL%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "response_code": "%RESPONSE_CODE%",
        "response_code_details": "%RESPONSE_CODE_DETAILS%",
        "response_flags": "%RESPONSE_FLAGS%",
        "start_time": "%START_TIME%",
        "upstream_cluster": "%UPSTREAM_CLUSTER%",
        "upstream_host": "%UPSTREAM_HOST%",
        "user_agent": "%REQ(USER-AGENT)%",
    }}}})
}

/// Of three policies the last one lets everybody in who is here.
fn authorization() -> Value {
    let rbac = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";
    let policy = |prefix: &str, source: &str, bits: u32| {
        json!({
            "permissions": [{"url_path": {"path": {"prefix": prefix}}}],
            "principals": [{"source_ip": {"address_prefix": source, "prefix_len": bits}}],
        })
    };
    json!({"@type": rbac, "rules": {"action": "ALLOW", "policies": {
        "a": policy("/admin/", "127.0.0.0", 8),
        "b": policy("/", "10.0.0.0", 8),
        "c": policy("/", "127.0.0.0", 8),
    }}})
}
