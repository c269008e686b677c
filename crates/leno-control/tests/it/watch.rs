//! Watches as clients see them: raw requests, one JSON line per event.

use leno_api::client::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::mesh::{Mesh, kubectls};

/// One request on a connection of its own; the body as lines.
pub(crate) struct Lines {
    reader: BufReader<TcpStream>,
    pub(crate) status: u16,
    pub(crate) head: String,
}

impl Lines {
    async fn get(mesh: &Mesh, path: &str) -> Self {
        Self::get_as(mesh, path, "application/json").await
    }

    async fn get_as(mesh: &Mesh, path: &str, accept: &str) -> Self {
        Self::ask(mesh, &format!("GET {path} HTTP/1.0\r\naccept: {accept}"), "").await
    }

    pub(crate) async fn post(mesh: &Mesh, path: &str, body: &str) -> Self {
        let length = body.len();
        let kind = "application/json";
        let head =
            format!("POST {path} HTTP/1.0\r\ncontent-type: {kind}\r\ncontent-length: {length}");
        Self::ask(mesh, &head, body).await
    }

    async fn ask(mesh: &Mesh, head: &str, body: &str) -> Self {
        let token = std::fs::read_to_string(mesh.kubeconfig().with_file_name("token")).unwrap();
        let mut stream = TcpStream::connect(mesh.running.ports().front_door).await.unwrap();
        let request =
            format!("{head}\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).await.unwrap() > 0, "{head}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { reader, status, head }
    }

    async fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.reader.read_line(&mut line).await.unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    /// `TYPE name` of the next event.
    async fn event(&mut self) -> String {
        let event = self.next().await.expect("another event");
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        format!("{} {}", text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }

    pub(crate) async fn document(mut self) -> Value {
        let mut text = String::new();
        self.reader.read_to_string(&mut text).await.unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn put(mesh: &Mesh, name: &str, label: &str) {
    let client = Client::from_kubeconfig(&mesh.kubeconfig()).unwrap();
    let maps = client.documents(leno_api::kind_of("", "ConfigMap").unwrap(), Some("default"));
    let document = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"stage": label}},
    });
    if maps.create(&document).await.is_err() {
        maps.replace(name, &document).await.unwrap();
    }
}

async fn delete(mesh: &Mesh, name: &str) {
    let client = Client::from_kubeconfig(&mesh.kubeconfig()).unwrap();
    let maps = client.documents(leno_api::kind_of("", "ConfigMap").unwrap(), Some("default"));
    maps.delete(name).await.unwrap();
}

#[tokio::test]
async fn a_watch_goes_on_where_a_list_ended() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        put(&mesh, "a", "x").await;
        let list = Lines::get(&mesh, MAPS).await.document().await;
        let revision = list["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        put(&mesh, "b", "x").await;
        delete(&mesh, "a").await;
        let path = format!("{MAPS}?watch=1&resourceVersion={revision}");
        let mut watch = Lines::get(&mesh, &path).await;
        assert_eq!(watch.event().await, "ADDED b");
        assert_eq!(watch.event().await, "DELETED a");
        put(&mesh, "b", "y").await;
        let third = watch.next().await.unwrap();
        assert_eq!(third["type"], "MODIFIED");
        // Cut off here, the next watch goes on after the last event seen.
        let seen = third["object"]["metadata"]["resourceVersion"].as_str().unwrap();
        put(&mesh, "c", "x").await;
        let path = format!("{MAPS}?watch=1&resourceVersion={seen}");
        assert_eq!(Lines::get(&mesh, &path).await.event().await, "ADDED c");
        mesh.stop().await;
    }
}

#[tokio::test]
async fn a_selector_turns_changes_into_comings_and_goings() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        put(&mesh, "a", "x").await;
        let mut watch = Lines::get(&mesh, &format!("{MAPS}?watch=1&labelSelector=stage%3Dx")).await;
        assert_eq!(watch.event().await, "ADDED a");
        put(&mesh, "other", "y").await;
        put(&mesh, "a", "y").await;
        put(&mesh, "a", "x").await;
        assert_eq!(watch.event().await, "DELETED a");
        assert_eq!(watch.event().await, "ADDED a");
        mesh.stop().await;
    }
}

#[tokio::test]
async fn bookmarks_mark_the_end_of_what_was_there_and_of_the_watch() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        put(&mesh, "a", "x").await;
        let path = format!(
            "{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1"
        );
        let mut watch = Lines::get(&mesh, &path).await;
        assert_eq!(watch.event().await, "ADDED a");
        let bookmark = watch.next().await.unwrap();
        assert_eq!(bookmark["type"], "BOOKMARK");
        let annotations = &bookmark["object"]["metadata"]["annotations"];
        assert_eq!(annotations["k8s.io/initial-events-end"], "true");
        assert_eq!(watch.next().await.unwrap()["type"], "BOOKMARK");
        assert!(watch.next().await.is_none());
        mesh.stop().await;
    }
}

#[tokio::test]
async fn what_is_no_longer_known_is_gone_and_what_is_not_yet_is_too_new() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        let table = [
            (format!("{MAPS}?watch=1&resourceVersion=999999"), 504),
            (format!("{MAPS}?resourceVersion=999999&resourceVersionMatch=NotOlderThan"), 504),
            (format!("{MAPS}?watch=1&resourceVersion=x"), 400),
            (format!("{MAPS}?continue=nonsense"), 400),
            (format!("{MAPS}?watch=1&sendInitialEvents=true"), 400),
            (format!("{MAPS}?labelSelector=%3D"), 400),
            ("/api/v1/nothing".to_owned(), 404),
        ];
        for (path, status) in table {
            let answer = Lines::get(&mesh, &path).await;
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(answer.document().await["kind"], "Status", "{path}");
        }
        mesh.stop().await;
    }
}

#[tokio::test]
async fn pages_of_a_list_are_of_one_revision() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        for name in ["a", "b", "c"] {
            put(&mesh, name, "x").await;
        }
        let first = Lines::get(&mesh, &format!("{MAPS}?limit=2")).await.document().await;
        assert_eq!(first["metadata"]["remainingItemCount"], 1);
        delete(&mesh, "c").await;
        put(&mesh, "d", "x").await;
        let resume = first["metadata"]["continue"].as_str().unwrap();
        let path = format!("{MAPS}?limit=2&continue={resume}");
        let second = Lines::get(&mesh, &path).await.document().await;
        assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
        let names: Vec<&str> = second["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["c"]);
        mesh.stop().await;
    }
}

#[tokio::test]
async fn tables_and_metadata_come_when_asked_for() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        put(&mesh, "a", "x").await;
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let list = Lines::get_as(&mesh, MAPS, table).await.document().await;
        assert_eq!(list["kind"], "Table");
        assert_eq!(list["rows"][0]["cells"][0], "a");
        let mut watch = Lines::get_as(&mesh, &format!("{MAPS}?watch=1"), table).await;
        let first = watch.next().await.unwrap();
        assert!(first["object"]["columnDefinitions"].is_array());
        put(&mesh, "b", "x").await;
        assert!(watch.next().await.unwrap()["object"]["columnDefinitions"].is_null());
        let partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
        let list = Lines::get_as(&mesh, MAPS, partial).await.document().await;
        assert_eq!(list["kind"], "PartialObjectMetadataList");
        assert!(list["items"][0].get("data").is_none());
        mesh.stop().await;
    }
}
