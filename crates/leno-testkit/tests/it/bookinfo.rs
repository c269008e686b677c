//! Bookinfo as the original answers, and the client that counts it.

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::time::Duration;

use leno_testkit::bookinfo::{Fault, ReviewsVersion, Role, Upstreams, Workload, serve};
use leno_testkit::client::{Plan, Summary, run};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// All four services, listening.
struct Bookinfo {
    productpage: SocketAddr,
    details: SocketAddr,
    reviews: SocketAddr,
    ratings: SocketAddr,
}

#[test]
fn every_path_answers_as_the_original() {
    in_mesh(ReviewsVersion::V2, async |book| {
        let reviews = get(book.reviews, "/reviews/0", &[]).await;
        assert_eq!(reviews.1["id"], "0");
        assert_eq!(reviews.1["podname"], "reviews-pod");
        assert_eq!(reviews.1["reviews"][0]["rating"], json!({ "stars": 5, "color": "black" }));
        assert_eq!(reviews.1["reviews"][1]["rating"]["stars"], 4);
        // (where, path, status, a field, its value)
        let table = [
            (book.details, "/details/7", 200, "id", json!(7)),
            (book.details, "/details/7", 200, "ISBN-10", json!("1234567890")),
            (book.details, "/details/x", 400, "error", json!("please provide numeric product ID")),
            (book.details, "/nowhere", 404, "error", json!("nothing at GET /nowhere")),
            (book.ratings, "/ratings/0", 200, "ratings", json!({ "Reviewer1": 5, "Reviewer2": 4 })),
            (book.ratings, "/health", 200, "status", json!("Ratings is healthy")),
            (book.productpage, "/api/v1/products/0", 200, "author", json!("William Shakespeare")),
            (book.productpage, "/api/v1/products/0/reviews", 200, "podname", json!("reviews-pod")),
            (book.productpage, "/api/v1/products/3/ratings", 200, "id", json!(3)),
            (
                book.productpage,
                "/api/v1/products/x",
                400,
                "error",
                json!("please provide numeric product id"),
            ),
        ];
        for (at, path, status, field, value) in table {
            let (found, body) = get(at, path, &[]).await;
            assert_eq!((found, &body[field]), (status, &value), "{path}");
        }
        let (_, products) = get(book.productpage, "/api/v1/products", &[]).await;
        assert_eq!(products[0]["title"], "The Comedy of Errors");
    });
}

#[test]
fn each_version_has_its_stars() {
    let table = [
        (ReviewsVersion::V1, Value::Null),
        (ReviewsVersion::V2, json!("black")),
        (ReviewsVersion::V3, json!("red")),
    ];
    for (version, color) in table {
        in_mesh(version, async |book| {
            let (_, body) = get(book.reviews, "/reviews/0", &[]).await;
            assert_eq!(body["reviews"][0]["rating"]["color"], color);
        });
    }
}

#[test]
fn a_failing_service_costs_only_its_part() {
    in_mesh(ReviewsVersion::V3, async |book| {
        set_fault(book.ratings, json!({ "status": 500 })).await;
        let (status, body) = get(book.reviews, "/reviews/0", &[]).await;
        let error = json!({ "error": "Ratings service is currently unavailable" });
        assert_eq!((status, &body["reviews"][0]["rating"]), (200, &error));
        set_fault(book.reviews, json!({ "status": 503 })).await;
        let (status, body) = get(book.productpage, "/api/v1/products/0/reviews", &[]).await;
        let sorry = "Sorry, product reviews are currently unavailable for this book.";
        assert_eq!((status, &body["error"]), (503, &json!(sorry)));
        // The deliberate second attempt of the page: two requests for one.
        assert_eq!(seen(book.reviews).await["total"], 3);
        let (status, _) = get(book.productpage, "/productpage", &[]).await;
        assert_eq!(status, 200);
    });
}

#[test]
fn the_user_and_the_trace_reach_the_last_service() {
    in_mesh(ReviewsVersion::V2, async |book| {
        let headers = [("cookie", "session=jason"), ("x-request-id", "r-1"), ("x-private", "no")];
        get(book.productpage, "/productpage", &headers).await;
        let last = seen(book.ratings).await["requests"][0]["headers"].clone();
        assert_eq!((&last["end-user"], &last["x-request-id"]), (&json!("jason"), &json!("r-1")));
        assert_eq!(last["x-private"], Value::Null);
    });
}

#[test]
fn faults_hit_their_exact_share_and_the_client_counts_them() {
    in_mesh(ReviewsVersion::V1, async |book| {
        set_fault(book.reviews, json!({ "status": 500, "share": 0.25 })).await;
        let url = format!("http://{}/reviews/0", book.reviews);
        let count_field = Some("podname".into());
        let many = Plan { requests: 400, connections: 8, count_field, ..plan(&url) };
        let summary = run(many, pending()).await;
        assert_eq!(summary.status, [(200, 300), (500, 100)].into());
        assert_eq!(summary.by_field, [("-".into(), 100), ("reviews-pod".into(), 300)].into());
        assert_eq!((summary.requests, summary.connections_opened), (400, 8));

        let delay = json!({ "delay_ms": 60, "delay_share": 0.5 });
        set_fault(book.reviews, delay).await;
        let slow = Some(Duration::from_millis(60));
        let summary = run(Plan { requests: 10, slow, ..plan(&url) }, pending()).await;
        assert_eq!(summary.slow.count, 5, "{summary:?}");
        assert!(summary.slow.min_ms >= 60.0, "{summary:?}");
    });
}

#[test]
fn requests_beside_the_others_count_apart() {
    in_mesh(ReviewsVersion::V1, async |book| {
        set_fault(book.reviews, json!({ "delay_ms": 60 })).await;
        let url = format!("http://{}/reviews/0", book.reviews);
        let beside = Some(("x-beside".parse().unwrap(), "1".parse().unwrap()));
        let summary = run(Plan { requests: 3, beside, ..plan(&url) }, pending()).await;
        assert_eq!((summary.requests, summary.connections_opened), (3, 1), "{summary:?}");
        assert_eq!(summary.status, [(200, 3)].into());
        assert!(summary.beside.count > 0 && summary.beside.max_ms >= 60.0, "{summary:?}");
    });
}

#[test]
fn a_fault_that_means_nothing_is_refused() {
    in_mesh(ReviewsVersion::V1, async |book| {
        let (status, body) = post(book.details, "/_fault", r#"{"share":7}"#).await;
        assert_eq!(status, 400);
        assert!(body["error"].as_str().unwrap().contains("share: 7"), "{body}");
        assert_eq!(get(book.details, "/details/0", &[]).await.0, 200);
    });
}

#[test]
fn nobody_there_is_an_error_and_not_a_hang() {
    block_on(async {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let twice = Plan { requests: 2, ..plan(&format!("http://{gone}/")) };
        let Summary { errors, status, .. } = run(twice, pending()).await;
        assert_eq!(errors, [("connect: connection refused".into(), 2)].into());
        assert!(status.is_empty());
    });
}

fn in_mesh(version: ReviewsVersion, test: impl AsyncFnOnce(Bookinfo)) {
    block_on(async {
        let none = Upstreams::default();
        let details = start(Role::Details, none.clone()).await;
        let ratings = start(Role::Ratings, none.clone()).await;
        let stars = Upstreams { ratings: ratings.to_string(), ..none };
        let reviews = start(Role::Reviews(version), stars.clone()).await;
        let all = Upstreams { details: details.to_string(), reviews: reviews.to_string(), ..stars };
        let productpage = start(Role::Productpage, all).await;
        test(Bookinfo { productpage, details, reviews, ratings }).await;
    });
}

async fn start(role: Role, upstreams: Upstreams) -> SocketAddr {
    let pod = match role {
        Role::Reviews(_) => "reviews-pod",
        Role::Productpage | Role::Details | Role::Ratings => "pod",
    };
    let listen = "127.0.0.1:0".parse().unwrap();
    let workload = Workload { role, listen, pod: pod.into(), upstreams, fault: Fault::default() };
    let (tell, told) = oneshot::channel();
    let ready = move |address| tell.send(address).unwrap();
    tokio::task::spawn_local(async move { serve(workload, ready, pending()).await });
    told.await.unwrap()
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bounded = async { tokio::time::timeout(Duration::from_secs(60), test).await };
    LocalSet::new().block_on(&runtime, bounded).unwrap();
}

fn plan(url: &str) -> Plan {
    Plan {
        url: url.parse().unwrap(),
        method: hyper::Method::GET,
        headers: hyper::HeaderMap::new(),
        body: String::new(),
        requests: 1,
        connections: 1,
        rate: None,
        timeout: Duration::from_secs(20),
        count_field: None,
        count_header: None,
        slow: None,
        beside: None,
        proxy: None,
    }
}

async fn get(at: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> (u16, Value) {
    let mut plan = plan(&format!("http://{at}{path}"));
    for (name, value) in headers {
        plan.headers.insert(*name, value.parse().unwrap());
    }
    once(plan).await
}

async fn post(at: SocketAddr, path: &str, body: &str) -> (u16, Value) {
    let plan = plan(&format!("http://{at}{path}"));
    once(Plan { method: hyper::Method::POST, body: body.to_owned(), ..plan }).await
}

async fn once(plan: Plan) -> (u16, Value) {
    let summary = run(plan, pending()).await;
    let (status, _) = summary.status.first_key_value().expect("an answer");
    (*status, serde_json::from_str(&summary.last_body).unwrap_or_default())
}

async fn set_fault(at: SocketAddr, fault: Value) {
    assert_eq!(post(at, "/_fault", &fault.to_string()).await.0, 200);
}

async fn seen(at: SocketAddr) -> Value {
    get(at, "/_seen", &[]).await.1
}
