//! Who gets in at the front door, asked with curl and kubectl.

use std::net::{IpAddr, UdpSocket};
use std::process::Stdio;

use leno_control::{Options, Running, StartError};
use tokio::process::Command;

use crate::mesh::Mesh;

/// An address of this machine that others would use; none where there is only loopback.
fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the kernel only says where it would come from.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// The status that curl gets, and where it is led to; certificates are not what this is about.
async fn curl(url: &str, more: &[&str]) -> (String, String) {
    let mut command = Command::new("curl");
    command.args(["-sk", "--noproxy", "*", "--max-time", "30", "-w", "\n%{http_code}"]);
    command.args(more).arg(url).stdin(Stdio::null());
    let output = command.kill_on_drop(true).output().await.expect("curl is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, code) = text.rsplit_once('\n').unwrap();
    (code.to_owned(), body.to_owned())
}

#[tokio::test]
async fn the_front_door_tells_this_machine_from_others() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = Options::on_free_ports(directory.path().join("data"));
    options.front_door.set_ip(IpAddr::from([0, 0, 0, 0]));
    let running = Running::start(&options).await.unwrap();
    let port = running.ports().front_door.port();
    let token = std::fs::read_to_string(options.data.join("token")).unwrap();
    let bearer = format!("authorization: Bearer {}", token.trim());
    let (frame, documents) = ("/leno/v1/frame", "/api/v1/namespaces");
    let local = format!("127.0.0.1:{port}");
    let own = format!("origin: http://{local}");
    // (scheme, path, more for curl, status)
    let here: [(&str, &str, &[&str], &str); 14] = [
        ("http", "/", &[], "200"),
        ("http", "/readyz", &[], "200"),
        ("http", frame, &[], "200"),
        ("https", frame, &[], "200"),
        ("http", frame, &["-H", &own], "200"),
        ("http", frame, &["-H", "host: evil.example"], "403"),
        ("http", frame, &["-H", "origin: http://evil.example"], "403"),
        ("http", frame, &["-H", "origin: null"], "403"),
        ("http", frame, &["-H", "authorization: Bearer wrong"], "401"),
        ("http", documents, &[], "401"),
        ("http", documents, &["-H", "authorization: Bearer wrong"], "401"),
        ("http", documents, &["-H", &bearer], "200"),
        ("https", documents, &["-H", &bearer], "200"),
        ("https", documents, &["-H", &bearer, "-H", "origin: https://evil.example"], "403"),
    ];
    for (scheme, path, more, status) in here {
        let (found, body) = curl(&format!("{scheme}://{local}{path}"), more).await;
        assert_eq!(found, status, "{scheme} {path} {more:?}: {body}");
        let is_status = body.contains(r#""kind":"Status""#);
        assert_eq!(is_status, status.starts_with('4'), "{path} {more:?}: {body}");
    }

    let Some(outward) = outward() else {
        running.stop().await;
        return println!("this machine has loopback only: nothing else to ask from");
    };
    let jar = directory.path().join("jar");
    let jar = jar.to_str().unwrap();
    let form = format!("token={}", token.trim());
    // (scheme, path, more for curl, status)
    let elsewhere: [(&str, &str, &[&str], &str); 13] = [
        ("http", "/readyz", &[], "200"),
        ("http", "/", &[], "308"),
        ("http", frame, &["-H", &bearer], "403"),
        ("http", documents, &["-H", &bearer], "403"),
        ("https", "/", &[], "401"),
        ("https", frame, &[], "401"),
        ("https", frame, &["-H", "host: 127.0.0.1"], "401"),
        ("https", frame, &["-H", &bearer], "200"),
        ("https", documents, &["-H", &bearer], "200"),
        ("https", "/login", &["-d", "token=guess"], "401"),
        ("https", "/login", &["-d", &form, "-c", jar], "303"),
        ("https", frame, &["-b", jar], "200"),
        ("https", documents, &["-b", jar], "401"),
    ];
    for (scheme, path, more, status) in elsewhere {
        let (found, body) = curl(&format!("{scheme}://{outward}:{port}{path}"), more).await;
        assert_eq!(found, status, "{scheme} {path} {more:?}: {body}");
    }
    running.stop().await;
}

#[tokio::test]
async fn kubectl_gets_in_with_its_token_only() {
    let mesh = Mesh::start().await;
    mesh.ok("get configmaps").await;
    for (token, said) in [("wrong", "Unauthorized"), ("", "Unauthorized")] {
        // Without one kubectl would ask for a name and a password.
        let line = format!("get configmaps --kubeconfig {}", {
            let own = std::fs::read_to_string(mesh.kubeconfig()).unwrap();
            let line = own.lines().find(|line| line.trim_start().starts_with("token:")).unwrap();
            let path = mesh.kubeconfig().with_file_name(format!("kubeconfig-{token}"));
            let user = if token.is_empty() {
                "    username: a\n    password: b".to_owned()
            } else {
                format!("    token: {token}")
            };
            std::fs::write(&path, own.replace(line, &user)).unwrap();
            path.display().to_string()
        });
        let found = mesh.kubectl(&line).await;
        assert_eq!(found.code, 1, "{token}: {}", found.out);
        assert!(found.err.contains(said), "{token}: {}", found.err);
    }
    mesh.stop().await;
}

#[tokio::test]
async fn plaintext_is_for_this_machine() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = Options::on_free_ports(directory.path().join("data"));
    options.xds.set_ip(IpAddr::from([0, 0, 0, 0]));
    let Err(error) = Running::start(&options).await else { panic!("it started") };
    assert!(matches!(error, StartError::Plaintext { .. }), "{error}");
    assert!(error.to_string().contains("--xds-tls"), "{error}");
}
