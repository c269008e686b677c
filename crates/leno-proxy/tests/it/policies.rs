//! Faults, mirrors, circuit limits, ejection.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use leno_core::config::{
    CircuitLimits, FaultAbort, FaultDelay, FaultInjection, Fraction, HttpFilter, Mirror,
    OutlierDetection, RouteFault,
};

use crate::basic::{GET, OK};
use crate::config::{
    cluster, edited, forward, http_listener, resources, route, start, with_listener,
};
use crate::origin::{Peer, answering, origin};

#[test]
fn filters_run_in_the_configured_order_and_routes_override_them() {
    let (origin, requests) = answering(OK);
    let abort = |status| FaultInjection {
        delay: None,
        abort: Some(FaultAbort { status, fraction: Fraction::ALWAYS }),
    };
    let mut spared = route("/spared", forward("origin"));
    spared.fault = Some(RouteFault::Disabled);
    let mut own = route("/own", forward("origin"));
    own.fault = Some(RouteFault::Inject(Box::new(abort(503))));
    let routes = vec![spared, own, route("/plain", forward("origin"))];
    let listener = edited(http_listener(routes), |manager| {
        let faults = [501, 502].map(|status| HttpFilter::Fault(Some(abort(status))));
        manager.http_filters.splice(.., faults.into_iter().chain([HttpFilter::Router]));
    });
    let (_proxy, address) = start(with_listener(listener, vec![cluster("origin", &[origin])]));
    let mut client = Peer::connect(address);
    // A request without a route passes the filters, too, as in Envoy.
    let table = [("/spared", 200), ("/own", 503), ("/plain", 501), ("/none", 501)];
    for (path, status) in table {
        let response = client.call(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {response}");
    }
    assert_eq!(requests.try_iter().count(), 1);
}

#[test]
fn injected_faults_delay_and_answer() {
    let (origin, requests) = answering(OK);
    let delay = Duration::from_millis(100);
    let mut delayed = route("/slow", forward("origin"));
    delayed.fault = Some(RouteFault::Inject(Box::new(FaultInjection {
        delay: Some(FaultDelay { fixed: delay, fraction: Fraction::ALWAYS }),
        abort: None,
    })));
    let mut aborted = route("/broken", forward("origin"));
    aborted.fault = Some(RouteFault::Inject(Box::new(FaultInjection {
        delay: None,
        abort: Some(FaultAbort { status: 555, fraction: Fraction::ALWAYS }),
    })));
    let routes = vec![delayed, aborted];
    let (_proxy, address) = start(resources(routes, vec![cluster("origin", &[origin])]));
    let mut client = Peer::connect(address);
    let began = Instant::now();
    assert_eq!(client.call("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"), OK);
    assert!(began.elapsed() >= delay, "{:?}", began.elapsed());
    let response = client.call("GET /broken HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(response.starts_with("HTTP/1.1 555 "), "{response}");
    assert!(response.ends_with("fault filter abort"), "{response}");
    assert_eq!(requests.try_iter().count(), 1);
}

#[test]
fn a_mirror_sees_every_request_and_nobody_waits_for_it() {
    let (origin, _requests) = answering(OK);
    let (mirror, copies) = answering("HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno");
    let mut forward = forward("origin");
    forward.mirrors = vec![Mirror { cluster: "mirror".into(), fraction: Fraction::ALWAYS }];
    let clusters = vec![cluster("origin", &[origin]), cluster("mirror", &[mirror])];
    let (_proxy, address) = start(resources(vec![route("/", forward)], clusters));
    let mut client = Peer::connect(address);
    for n in 0..10 {
        let request = format!("PUT /{n} HTTP/1.1\r\nHost: x:80\r\nContent-Length: 4\r\n\r\ndata");
        assert_eq!(client.call(&request), OK);
    }
    let mut seen: Vec<String> =
        (0..10).map(|_| copies.recv_timeout(Duration::from_secs(5)).unwrap()).collect();
    seen.sort();
    for (n, copy) in seen.iter().enumerate() {
        assert!(copy.starts_with(&format!("PUT /{n} HTTP/1.1\r\n")), "{copy}");
        assert!(copy.contains("\r\nHost: x-shadow:80\r\n"), "{copy}");
        assert!(copy.ends_with("\r\n\r\ndata"), "{copy}");
    }
}

/// An endpoint whose answers wait until the test lets them go.
fn held() -> (std::net::SocketAddr, Receiver<()>, Sender<()>) {
    let (arrived_sender, arrived) = channel();
    let (release, released) = channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let address = origin(move |mut peer| {
        while peer.message().is_some() {
            let _ = arrived_sender.send(());
            let _ = released.lock().unwrap().recv();
            peer.write(OK);
        }
    });
    (address, arrived, release)
}

#[test]
fn requests_beyond_the_circuits_limit_are_refused_at_once() {
    let (origin, arrived, release) = held();
    let mut limited = cluster("origin", &[origin]);
    limited.circuit = CircuitLimits { max_requests: Some(1), ..CircuitLimits::default() };
    let routes = vec![route("/", forward("origin"))];
    let (_proxy, address) = start(resources(routes, vec![limited]));
    let mut first = Peer::connect(address);
    first.write(GET);
    arrived.recv().unwrap();
    let mut second = Peer::connect(address);
    let refused = second.call(GET);
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("\r\nx-leno-blame: policy\r\n"), "{refused}");
    assert!(refused.ends_with("overflow"), "{refused}");
    release.send(()).unwrap();
    assert_eq!(first.message().unwrap(), OK);
    second.write(GET);
    arrived.recv().unwrap();
    release.send(()).unwrap();
    assert_eq!(second.message().unwrap(), OK);
}

#[test]
fn requests_wait_for_a_connection_as_many_as_may() {
    let (origin, arrived, release) = held();
    let mut limited = cluster("origin", &[origin]);
    limited.circuit = CircuitLimits {
        max_connections: Some(1),
        max_pending_requests: Some(1),
        ..CircuitLimits::default()
    };
    let routes = vec![route("/", forward("origin"))];
    let (proxy, address) = start(resources(routes, vec![limited]));
    let mut first = Peer::connect(address);
    first.write(GET);
    arrived.recv().unwrap();
    let mut waiting = Peer::connect(address);
    waiting.write(GET);
    let pending =
        || crate::admin::cluster_value(&proxy, "origin", "/circuit/pending_requests/in_use");
    while pending() != 1 {
        std::thread::yield_now();
    }
    let refused = Peer::connect(address).call(GET);
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    release.send(()).unwrap();
    assert_eq!(first.message().unwrap(), OK);
    arrived.recv().unwrap();
    release.send(()).unwrap();
    assert_eq!(waiting.message().unwrap(), OK);
}

#[test]
fn a_connection_that_idles_elsewhere_makes_room() {
    let (first, _) = answering(OK);
    let (second, _) = answering(OK);
    let mut limited = cluster("origin", &[first, second]);
    limited.circuit = CircuitLimits { max_connections: Some(1), ..CircuitLimits::default() };
    let routes = vec![route("/", forward("origin"))];
    let (_proxy, address) = start(resources(routes, vec![limited]));
    let mut client = Peer::connect(address);
    for _ in 0..6 {
        assert_eq!(client.call(GET), OK);
    }
}

#[test]
fn an_endpoint_that_keeps_failing_is_set_aside_and_comes_back() {
    let (good, _) = answering(OK);
    let (bad, failures) = answering("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    let mut watched = cluster("origin", &[good, bad]);
    watched.outlier = Some(Box::new(OutlierDetection {
        consecutive_5xx: 3,
        consecutive_gateway_failure: 0,
        interval: Duration::from_millis(50),
        // Longer than twenty requests take on a busy machine.
        base_ejection_time: Duration::from_secs(2),
        max_ejection_time: Duration::from_secs(2),
        max_ejection_percent: 100,
        min_health_percent: 0,
    }));
    let routes = vec![route("/", forward("origin"))];
    let (_proxy, address) = start(resources(routes, vec![watched]));
    let mut client = Peer::connect(address);
    let mut call = || client.call(GET).starts_with("HTTP/1.1 200 ");
    let failed = (0..20).filter(|_| !call()).count();
    assert_eq!(failed, 3, "after three failures only the other one is asked");
    assert_eq!(failures.try_iter().count(), 3);
    let began = Instant::now();
    while call() {
        assert!(began.elapsed() < Duration::from_secs(20), "it never came back");
    }
}
