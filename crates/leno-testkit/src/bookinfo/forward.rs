//! Which request headers a service passes on to the services it calls.
//!
//! A mesh sees each hop alone; only the application can tie an outgoing call to
//! the request that caused it. The list is the original's.

use hyper::HeaderMap;
use hyper::header::HeaderName;

const PASSED_ON: [&str; 19] = [
    "x-request-id",
    "x-ot-span-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "traceparent",
    "tracestate",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "sw8",
    "end-user",
    "user-agent",
    "authorization",
    "cookie",
];

/// The headers of `received` that go along with every call made for it.
pub(super) fn passed_on(received: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in PASSED_ON.map(HeaderName::from_static) {
        for value in received.get_all(&name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::passed_on;
    use hyper::HeaderMap;

    #[test]
    fn tracing_and_the_user_go_along_and_nothing_else() {
        let mut received = HeaderMap::new();
        for name in ["end-user", "x-b3-traceid", "traceparent", "host", "content-length"] {
            received.insert(name, "1".parse().unwrap());
        }
        let sent = passed_on(&received);
        let mut names: Vec<_> = sent.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["end-user", "traceparent", "x-b3-traceid"]);
    }
}
