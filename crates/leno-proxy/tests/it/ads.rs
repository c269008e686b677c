//! Driven by a control plane that others wrote: go-control-plane's cache and server, fed by the test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use leno_core::snapshot::Resources;
use leno_proxy::{Admin, ConfigSource, Options, Running};
use leno_testkit::peers;
use serde_json::{Value, json};

use crate::config::{LISTENER, options};
use crate::origin::{Peer, answering};

/// Nothing here takes longer; a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// The control plane; ends with the value.
struct Control {
    child: Child,
    input: ChildStdin,
    output: Receiver<Value>,
    address: SocketAddr,
}

impl Control {
    fn start(program: &PathBuf) -> Self {
        let mut child =
            Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (said, output) = channel();
        std::thread::spawn(move || {
            let values = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
            // The test may have seen enough.
            values.take_while(|value| said.send(value.clone()).is_ok()).count()
        });
        let first = output.recv_timeout(PATIENCE).unwrap();
        let address = first["listening"].as_str().unwrap().parse().unwrap();
        Self { child, input, output, address }
    }

    fn set(&mut self, mut snapshot: Value) {
        snapshot["node"] = json!("it");
        writeln!(self.input, "{snapshot}").unwrap();
    }

    /// Reads what the proxy says until it says this.
    fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut others = Vec::new();
        loop {
            let Ok(said) = self.output.recv_timeout(PATIENCE) else {
                panic!("it was not said; this was: {others:#?}");
            };
            assert_eq!(said["wrong"], Value::Null, "the test's snapshot");
            if wanted(&said) {
                return said;
            }
            others.push(said);
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cluster(name: &str) -> Value {
    json!({
        "name": name, "type": "EDS", "connectTimeout": "1s",
        "edsClusterConfig": {"edsConfig": {"ads": {}, "resourceApiVersion": "V3"}},
    })
}

fn endpoints(name: &str, at: SocketAddr) -> Value {
    let address =
        json!({"socketAddress": {"address": at.ip().to_string(), "portValue": at.port()}});
    json!({
        "clusterName": name,
        "endpoints": [{"lbEndpoints": [{"endpoint": {"address": address}}]}],
    })
}

fn listener() -> Value {
    const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters";
    let router = json!({"@type": format!("{FILTERS}.http.router.v3.Router")});
    let manager = json!({
        "@type": format!("{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"),
        "statPrefix": "it",
        "rds": {"configSource": {"ads": {}, "resourceApiVersion": "V3"}, "routeConfigName": "r"},
        "httpFilters": [{"name": "envoy.filters.http.router", "typedConfig": router}],
    });
    json!({
        "name": LISTENER,
        "address": {"socketAddress": {"address": "127.0.0.1", "portValue": 0}},
        "filterChains": [{"filters": [{"name": "http", "typedConfig": manager}]}],
    })
}

/// Routes of two owners: `mine` where the match says, `yours` to a cluster.
fn routes(mine: &Value, yours: &str) -> Value {
    json!({"name": "r", "virtualHosts": [
        {"name": "mine", "domains": ["mine"], "routes": [{"match": mine, "route": {"cluster": "a"}}]},
        {"name": "yours", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": yours}}]},
    ]})
}

/// A proxy with a bootstrap file that names this control plane.
fn follow(control: &Control, api: &str) -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("envoy.yaml");
    let text = format!(
        "node: {{ id: it, cluster: it }}
dynamic_resources:
  cds_config: {{ ads: {{}}, resource_api_version: V3 }}
  lds_config: {{ ads: {{}}, resource_api_version: V3 }}
  ads_config:
    api_type: {api}
    transport_api_version: V3
    grpc_services: [{{ envoy_grpc: {{ cluster_name: xds }} }}]
static_resources:
  clusters:
  - name: xds
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ http2_protocol_options: {{}} }}
    load_assignment:
      cluster_name: xds
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }}
",
        control.address.port()
    );
    std::fs::write(&file, text).unwrap();
    let running = leno_proxy::start(Options {
        config: ConfigSource::Static(file),
        admin: Admin::Off,
        ..options(Resources::default())
    });
    (running.unwrap(), folder)
}

fn of<'a>(kind: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |said| said["type"] == kind && said["nonce"].is_string()
}

#[test]
fn both_variants_follow_a_control_plane_that_others_wrote() {
    let Some(program) = peers::Peer::GoControlPlane.program() else { return };
    const A: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na";
    const B: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nb";
    for (api, variant) in [("GRPC", "sotw"), ("DELTA_GRPC", "delta")] {
        let ((a, _a), (b, _b)) = (answering(A), answering(B));
        let mut control = Control::start(&program);
        let snapshot = |version: &str, routes: Value| {
            json!({
                "version": version,
                "clusters": [cluster("a"), cluster("b")],
                "endpoints": [endpoints("a", a), endpoints("b", b)],
                "listeners": [listener()],
                "routes": [routes],
            })
        };
        let any = json!({"prefix": "/"});
        control.set(snapshot("1", routes(&any, "a")));
        let (running, _folder) = follow(&control, api);
        let said = control.until(of("RouteConfiguration"));
        assert_eq!((&said["variant"], &said["error"]), (&json!(variant), &Value::Null));
        // An ACK means "in force": the listener is bound.
        let address = running.address(LISTENER).unwrap();
        let call = move |client: &mut Peer, host: &str| {
            let answer = client.call(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert!(answer.starts_with("HTTP/1.1 200 "), "{variant}: {answer}");
            answer.chars().last().unwrap()
        };
        let mut client = Peer::connect(address);
        assert_eq!(call(&mut client, "yours"), 'a');
        // An update under traffic: nothing fails, and what is acknowledged is in force.
        let traffic = std::thread::spawn(move || {
            let mut client = Peer::connect(address);
            std::iter::repeat_with(|| call(&mut client, "yours")).take_while(|a| *a == 'a').count()
        });
        control.set(snapshot("2", routes(&any, "b")));
        assert_eq!(control.until(of("RouteConfiguration"))["error"], Value::Null);
        assert_eq!(call(&mut client, "yours"), 'b');
        traffic.join().unwrap();
        // One owner's mistake is refused, and the other's change is in force all the same.
        let poison = json!({"safeRegex": {"regex": "[a-z]{20000}"}});
        control.set(snapshot("3", routes(&poison, "a")));
        let said = control.until(|said| said["error"].is_string());
        let error = said["error"].as_str().unwrap();
        assert!(error.starts_with("routes[r].virtual_hosts[mine].routes[0].match"), "{error}");
        assert_eq!((call(&mut client, "mine"), call(&mut client, "yours")), ('a', 'a'));
        // Repaired.
        control.set(snapshot("4", routes(&any, "b")));
        let is_taken = of("RouteConfiguration");
        control.until(|said| is_taken(said) && said["error"].is_null());
        assert_eq!((call(&mut client, "mine"), call(&mut client, "yours")), ('a', 'b'));
    }
}
