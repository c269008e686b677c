//! Step 8: what is between two sidecars is TLS, both know the peer, and STRICT means it.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::stage::Stage;
use super::wire::Wire;

const RATINGS: &str = "http://ratings:9080/ratings/0";

/// Travels in a header; must not be readable between the sidecars.
const SECRET: &str = "plaintext-would-show-this";

/// A name whose one endpoint is the tap in front of ratings: the caller's sidecar speaks mutual TLS to it, as to
/// ratings itself.
fn wire_entry(tap: SocketAddr) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: wire}}
spec:
  hosts: [wire.test]
  addresses: [240.241.0.1]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 9080, name: http, protocol: HTTP}}]
  endpoints:
  - address: {}
    ports: {{http: {}}}
    serviceAccount: ratings
    labels: {{security.istio.io/tlsMode: istio}}
",
        tap.ip(),
        tap.port()
    )
}

/// Bytes on the way are TLS; each side's record names the peer; STRICT refuses plaintext, PERMISSIVE takes it.
pub(super) fn mutual_tls(stage: &mut Stage<'_>) -> Result<String> {
    let wire = Wire::tap(stage.mesh.address("ratings-v1")?)?;
    stage.apply(&wire_entry(wire.address()))?;
    let secret = format!("x-secret: {SECRET}");
    let answers = stage.call(&["-n", "10", "-H", &secret, "http://wire.test:9080/ratings/0"])?;
    ensure!(
        answers.with_status(200) == 10,
        "over the wire: {:?} {:?}",
        answers.status,
        answers.errors
    );
    let seen = wire.finish(SECRET)?;
    peer(&stage.records("tour", 10)?, "upstream_peer", "/sa/ratings")?;
    peer(&stage.records("ratings-v1", 10)?, "peer", "/sa/tour")?;

    let policy = |mode: &str| {
        format!(
            "
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default}}
spec:
  mtls: {{mode: {mode}}}
"
        )
    };
    let address = stage.mesh.address("ratings-v1")?;
    let plaintext = || {
        let url = format!("http://{address}/ratings/0");
        let output = Command::new("curl")
            .args(["-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", &url])
            .output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    stage.apply(&policy("STRICT"))?;
    let strict = plaintext()?;
    ensure!(strict == "000", "STRICT answered plaintext with {strict}");
    let meshed = stage.call(&["-n", "20", RATINGS])?;
    ensure!(meshed.with_status(200) == 20, "STRICT broke meshed traffic: {:?}", meshed.status);
    stage.apply(&policy("PERMISSIVE"))?;
    let permissive = plaintext()?;
    ensure!(permissive == "200", "PERMISSIVE answered plaintext with {permissive}");
    Ok(format!(
        "{seen}, no plaintext; peers named on both sides; STRICT refuses, PERMISSIVE takes plaintext"
    ))
}

fn peer(records: &[Value], field: &str, end: &str) -> Result<()> {
    for record in records {
        let id = record[field].as_str().unwrap_or_default();
        ensure!(id.starts_with("spiffe://") && id.ends_with(end), "{field} is {id:?}, not …{end}");
    }
    Ok(())
}
