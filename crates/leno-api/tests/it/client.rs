//! The client against a server that answers from a script.

use std::path::Path;

use leno_api::client::{ChangeKind, Client, Kubeconfig};
use leno_api::kind_of;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Answers each request, in order, with the next of `answers`; returns what was asked.
async fn serve(answers: Vec<String>) -> (Client, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        let mut answers = answers.into_iter().peekable();
        while answers.peek().is_some() {
            let (mut stream, _) = listener.accept().await.unwrap();
            while answers.peek().is_some() {
                let Some(request) = read_request(&mut stream).await else { break };
                asked.push(request);
                stream.write_all(answers.next().unwrap().as_bytes()).await.unwrap();
            }
        }
        asked
    });
    let config = Kubeconfig {
        server,
        certificate_authority: None,
        token: Some("t0ken".to_owned()),
        namespace: None,
    };
    (Client::new(&config).unwrap(), asked)
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
            }
        }
        let mut chunk = [0; 1024];
        match stream.read(&mut chunk).await.unwrap() {
            0 => return None,
            read => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

#[tokio::test]
async fn documents_are_asked_for_at_their_paths() {
    let ok = answer("200 OK", "", "{\"kind\":\"X\"}");
    let warned = answer("201 Created", "warning: 299 - \"spec.a: \\\"b\\\" idle\"\r\n", "{}");
    let (client, asked) = serve(vec![ok.clone(), warned, ok.clone(), ok]).await;
    let rules = kind_of("networking.istio.io", "VirtualService").unwrap();
    let documents = client.documents(rules, Some("shop"));
    documents.get("reviews").await.unwrap();
    let applied = documents.apply("reviews", &json!({"a": 1}), "leno run").await.unwrap();
    assert_eq!(applied.warnings, ["spec.a: \"b\" idle"]);
    let namespaces = client.documents(kind_of("", "Namespace").unwrap(), Some("ignored"));
    namespaces.list("a=b").await.unwrap();
    documents.delete("x/../y").await.unwrap();

    let asked = asked.await.unwrap();
    let root = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices";
    assert!(asked[0].starts_with(&format!("GET {root}/reviews HTTP/1.1\r\n")), "{}", asked[0]);
    assert!(asked[0].contains("authorization: Bearer t0ken\r\n"));
    let apply = format!(
        "PATCH {root}/reviews?fieldManager=leno%20run&force=true&fieldValidation=Strict HTTP/1.1\r\n"
    );
    assert!(asked[1].starts_with(&apply), "{}", asked[1]);
    assert!(asked[1].contains("application/apply-patch+yaml") && asked[1].ends_with("{\"a\":1}"));
    assert!(asked[2].starts_with("GET /api/v1/namespaces?labelSelector=a%3Db "), "{}", asked[2]);
    assert!(asked[3].starts_with(&format!("DELETE {root}/x%2F..%2Fy ")), "{}", asked[3]);
}

#[tokio::test]
async fn a_refusal_carries_the_words_of_the_api() {
    let body = json!({
        "kind": "Status", "reason": "Invalid", "message": "spec.hosts: Required value",
        "details": {"causes": [{"field": "spec.hosts", "message": "Required value"}]},
    });
    let answers = vec![
        answer("422 Unprocessable Entity", "", &body.to_string()),
        answer("404 Not Found", "", "{}"),
        answer("502 Bad Gateway", "", "a proxy's page"),
    ];
    let (client, asked) = serve(answers).await;
    let documents = client.documents(kind_of("", "Pod").unwrap(), None);
    let error = documents.create(&json!({})).await.unwrap_err();
    let refusal = error.refusal().unwrap();
    assert_eq!(refusal.reason, "Invalid");
    assert_eq!(refusal.causes, [("spec.hosts".to_owned(), "Required value".to_owned())]);
    assert!(documents.find::<serde_json::Value>("a").await.unwrap().is_none());
    let error = documents.get("a").await.unwrap_err();
    assert_eq!(error.to_string(), "502 Bad Gateway a proxy's page");
    asked.await.unwrap();
}

#[tokio::test]
async fn a_watch_yields_changes_until_the_stream_ends() {
    let lines = "{\"type\":\"ADDED\",\"object\":{\"a\":1}}\n{\"type\":\"BOOKMARK\",\"object\":{}}\n\
                 {\"type\":\"ERROR\",\"object\":{\"code\":410,\"reason\":\"Expired\",\"message\":\"too old\"}}\n";
    let (client, asked) = serve(vec![answer("200 OK", "", lines)]).await;
    let mut watch = client.documents(kind_of("", "Pod").unwrap(), None).watch("7").await.unwrap();
    let added = watch.next().await.unwrap().unwrap();
    assert_eq!((added.kind, added.document), (ChangeKind::Added, json!({"a": 1})));
    assert_eq!(watch.next().await.unwrap().unwrap().kind, ChangeKind::Bookmark);
    assert_eq!(watch.next().await.unwrap().unwrap_err().to_string(), "too old");
    assert!(watch.next().await.is_none());
    assert!(
        asked.await.unwrap()[0].contains("watch=1&allowWatchBookmarks=true&resourceVersion=7 ")
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let text = format!(
        "{{current-context: a, contexts: [{{name: a, context: {{cluster: a}}}}], \
         clusters: [{{name: a, cluster: {{server: 'http://{port}'}}}}]}}"
    );
    let config = Kubeconfig::parse(&text, Path::new("k")).unwrap();
    let client = Client::new(&config).unwrap();
    let error = client.documents(kind_of("", "Pod").unwrap(), None).get("a").await.unwrap_err();
    assert_eq!(error.to_string(), format!("http://{port} cannot be reached"));
    for (server, expected) in [
        ("https://127.0.0.1:1", "https needs certificate-authority"),
        ("ftp://a", "must start with http"),
        ("http://a/b", "a path is not supported"),
    ] {
        let config = Kubeconfig { server: server.to_owned(), ..config.clone() };
        assert!(Client::new(&config).unwrap_err().to_string().contains(expected), "{server}");
    }
}
