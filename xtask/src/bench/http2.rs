//! `cargo xtask bench http2` and `grpc`: one hop of HTTP/2 on both sides.

use super::contender::{Contender, Program};
use super::load::Load;
use super::report::Bar;
use super::rounds::{Behind, Course};
use super::streams::Requests;
use super::wire::Wire;

const PLAIN: &[Wire] = &[Wire::Http2, Wire::Http2];
const TLS: &[Wire] = &[Wire::TlsHttp2, Wire::Http2];
const PLAINTEXT: &[&str] = &["leno", "haproxy", "envoy", "leno-mesh"];
const ENCRYPTED: &[&str] = &["leno-tls", "haproxy-tls", "envoy-tls"];

const fn wide(requests: Requests) -> Load {
    Load::Streams { connections: 4, streams: 25, requests, tls: false }
}

const fn narrow(requests: Requests) -> Load {
    Load::Streams { connections: 32, streams: 1, requests, tls: false }
}

pub(super) const COURSE: Course = Course {
    name: "http2",
    contenders: &[
        Contender::new("leno", Program::Leno, "plain.yaml", PLAIN),
        Contender::new("haproxy", Program::Haproxy, "haproxy.cfg", PLAIN),
        Contender::new("envoy", Program::Envoy, "plain.yaml", PLAIN),
        Contender::new("leno-mesh", Program::Leno, "mesh.yaml", PLAIN),
        Contender::new("leno-tls", Program::Leno, "plain.yaml", TLS),
        Contender::new("haproxy-tls", Program::Haproxy, "haproxy.cfg", TLS),
        Contender::new("envoy-tls", Program::Envoy, "plain.yaml", TLS),
    ],
    behind: Behind::Http2,
    loads: &[
        ("", wide(Requests::Small), PLAINTEXT),
        ("-32x1", narrow(Requests::Small), PLAINTEXT),
        ("-uris", wide(Requests::Uris), PLAINTEXT),
        ("-headers", wide(Requests::Headers), PLAINTEXT),
        ("-post", wide(Requests::Post), PLAINTEXT),
        ("-100k", wide(Requests::Large), PLAINTEXT),
        (
            "",
            Load::Streams { connections: 4, streams: 25, requests: Requests::Small, tls: true },
            ENCRYPTED,
        ),
        (
            "-32x1",
            Load::Streams { connections: 32, streams: 1, requests: Requests::Small, tls: true },
            ENCRYPTED,
        ),
    ],
    pairs: &[
        ("leno", "haproxy"),
        ("leno", "envoy"),
        ("leno-mesh", "haproxy"),
        ("leno-mesh", "envoy"),
        ("leno-tls", "haproxy-tls"),
        ("leno-tls", "envoy-tls"),
    ],
    bars: &[
        Bar { ours: "leno-mesh", theirs: "haproxy", at_most: 0.7 },
        Bar { ours: "leno-mesh", theirs: "envoy", at_most: 0.15 },
        Bar { ours: "leno-mesh-32x1", theirs: "haproxy-32x1", at_most: 0.95 },
        Bar { ours: "leno-mesh-32x1", theirs: "envoy-32x1", at_most: 0.4 },
        Bar { ours: "leno-tls", theirs: "haproxy-tls", at_most: 0.6 },
        Bar { ours: "leno-tls-32x1", theirs: "haproxy-tls-32x1", at_most: 0.9 },
        Bar { ours: "leno-100k", theirs: "envoy-100k", at_most: 0.6 },
    ],
    notes: &[
        "NAME: 4 connections with 25 streams each (h2load), 100 bytes come back; NAME-32x1: 32 connections with one; \
         -uris: a thousand paths in turn; -headers: fifteen more fields and a cookie of 320 bytes; -post: 1 KiB is sent; \
         -100k: 100 KB come back. `-tls`: TLS 1.3 in front. What answers is haproxy itself, over HTTP/2.",
        "`-mesh`: 100 virtual hosts, two routes each, timeout and retry policy, authorization by 101 policies of which one \
         in the middle applies, a traceparent per request (none sampled), a JSON access record per request to /dev/null, \
         metrics.",
    ],
    rounds: 7,
};

pub(super) const GRPC: Course = Course {
    name: "grpc",
    contenders: &[
        Contender::new("leno", Program::Leno, "plain.yaml", PLAIN),
        Contender::new("haproxy", Program::Haproxy, "haproxy.cfg", PLAIN),
        Contender::new("envoy", Program::Envoy, "plain.yaml", PLAIN),
        Contender::new("leno-mesh", Program::Leno, "mesh.yaml", PLAIN),
        Contender::new("envoy-mesh", Program::Envoy, "mesh.yaml", PLAIN),
    ],
    behind: Behind::Grpc,
    loads: &[
        ("", wide(Requests::Unary), &[]),
        ("-32x1", narrow(Requests::Unary), &[]),
        ("-stream", wide(Requests::ServerStream), &[]),
    ],
    pairs: &[
        ("leno", "haproxy"),
        ("leno", "envoy"),
        ("leno-mesh", "haproxy"),
        ("leno-mesh", "envoy-mesh"),
    ],
    bars: &[
        Bar { ours: "leno-mesh", theirs: "envoy", at_most: 0.2 },
        Bar { ours: "leno-mesh", theirs: "haproxy", at_most: 0.7 },
        Bar { ours: "leno-mesh-stream", theirs: "envoy-stream", at_most: 0.2 },
        Bar { ours: "leno-mesh-stream", theirs: "haproxy-stream", at_most: 0.7 },
    ],
    notes: &[
        "NAME: unary calls, 100 bytes each way, 4 connections with 25 calls each; NAME-32x1: 32 with one; NAME-stream: \
         calls that are answered by a hundred messages of 1 KiB, `cpu` per call. What answers is grpc-go's \
         interoperability server, which is what limits req/s.",
    ],
    rounds: 15,
};
