//! Starting: what is there afterwards, and the errors that have names.

use std::os::unix::fs::PermissionsExt as _;

use leno_control::{Options, Running, StartError};
use tokio::net::TcpListener;

use crate::mesh::Mesh;

#[tokio::test]
async fn a_start_leaves_private_files() {
    let mesh = Mesh::start().await;
    let data = mesh.kubeconfig().parent().unwrap().to_owned();
    for name in ["kubeconfig", "token", "ports.json", "store.redb", "lock"] {
        let mode = std::fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o077;
        assert!(mode == 0 || name == "store.redb", "{name} {mode:o}");
    }
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o077, 0);
    let ports = std::fs::read_to_string(data.join("ports.json")).unwrap();
    let ports: serde_json::Value = serde_json::from_str(&ports).unwrap();
    assert_eq!(ports["frontDoor"], mesh.running.ports().front_door.to_string());
    mesh.stop().await;
}

#[tokio::test]
async fn documents_and_access_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options::on_free_ports(directory.path().join("data"));
    let first = Running::start(&options).await.unwrap();
    let revision = first.store().revision();
    let token = std::fs::read_to_string(options.data.join("token")).unwrap();
    first.stop().await;
    let second = Running::start(&options).await.unwrap();
    assert_eq!(second.store().revision(), revision);
    assert_eq!(std::fs::read_to_string(options.data.join("token")).unwrap(), token);
    second.stop().await;
}

#[tokio::test]
async fn what_is_in_the_way_has_a_name() {
    let mesh = Mesh::start().await;
    let data = mesh.kubeconfig().parent().unwrap().to_owned();
    let Err(error) = Running::start(&Options::on_free_ports(data)).await else { panic!() };
    assert!(matches!(error, StartError::InUse(_)), "{error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");

    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut options = Options::on_free_ports(directory.path().join("data"));
    options.front_door = taken.local_addr().unwrap();
    let Err(error) = Running::start(&options).await else { panic!() };
    assert!(matches!(error, StartError::PortTaken { flag: "--front-door", .. }), "{error}");

    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let Err(error) = Running::start(&Options::on_free_ports(file)).await else { panic!() };
    assert!(matches!(error, StartError::Store(_)), "{error}");

    let damaged = directory.path().join("damaged");
    std::fs::create_dir(&damaged).unwrap();
    std::fs::write(damaged.join("store.redb"), "nonsense").unwrap();
    let Err(error) = Running::start(&Options::on_free_ports(damaged)).await else { panic!() };
    assert!(matches!(error, StartError::Damaged(_)), "{error}");
    assert!(error.to_string().contains("corrupt-"), "{error}");
    mesh.stop().await;
}

#[tokio::test]
async fn without_the_token_there_is_nothing_to_see() {
    let mesh = Mesh::start().await;
    let door = mesh.running.ports().front_door;
    let client = leno_api::client::Kubeconfig {
        server: format!("http://{door}"),
        certificate_authority: None,
        token: Some("wrong".into()),
        namespace: None,
    };
    let client = leno_api::client::Client::new(&client).unwrap();
    let pods = client.documents(leno_api::kind_of("", "Pod").unwrap(), Some("default"));
    let refused = pods.list("").await.unwrap_err();
    assert_eq!(refused.refusal().unwrap().status, 401);
    mesh.stop().await;
}
