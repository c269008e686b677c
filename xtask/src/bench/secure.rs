//! `cargo xtask bench tls`, `tcp` and `mtls-pair`: TLS in front, bytes unread, and two proxies with TLS between them.

use super::contender::{Contender, Program};
use super::load::Load;
use super::report::Bar;
use super::rounds::{Behind, Course};
use super::wire::Wire;

const TLS: &[Wire] = &[Wire::TlsHttp1, Wire::Http1];
const BYTES: &[Wire] = &[Wire::Http1, Wire::Http1];
const PAIR: &[Wire] = &[Wire::Http1, Wire::MutualHttp2, Wire::Http1];

pub(super) const BODIES: Course = Course {
    name: "tls",
    contenders: &[
        Contender::new("leno", Program::Leno, "plain.yaml", TLS),
        Contender::new("haproxy", Program::Haproxy, "haproxy.cfg", TLS),
        Contender::new("nginx", Program::Nginx, "nginx.conf", TLS),
        Contender::new("envoy", Program::Envoy, "plain.yaml", TLS),
    ],
    behind: Behind::Http1 { body_bytes: 1 << 20 },
    loads: &[("", Load::Secure { connections: 16, once: false }, &[])],
    pairs: &[("leno", "haproxy"), ("leno", "nginx"), ("leno", "envoy")],
    bars: &[Bar { ours: "leno", theirs: "haproxy", at_most: 0.5 }],
    notes: &["TLS 1.3, P-256, 16 connections (wrk), bodies of 1 MiB: `cpu` per MiB."],
    rounds: 20,
};

pub(super) const HANDSHAKES: Course = Course {
    name: "tls-handshake",
    behind: Behind::Http1 { body_bytes: 100 },
    loads: &[
        ("", Load::Handshakes, &[]),
        ("-resumed", Load::Secure { connections: 16, once: true }, &[]),
    ],
    bars: &[Bar { ours: "leno", theirs: "haproxy", at_most: 0.65 }],
    notes: &[
        "TLS 1.3, P-256. NAME: full handshakes and nothing else (openssl s_time); NAME-resumed: each request on a connection \
         of its own, whose handshake resumes the session of the last (wrk, 16 at a time).",
    ],
    ..BODIES
};

pub(super) const TCP: Course = Course {
    name: "tcp",
    contenders: &[
        Contender::new("leno", Program::Leno, "tcp.yaml", BYTES),
        Contender::new("haproxy", Program::Haproxy, "tcp-haproxy.cfg", BYTES),
        Contender::new("envoy", Program::Envoy, "tcp.yaml", BYTES),
    ],
    behind: Behind::Http1 { body_bytes: 1 << 20 },
    loads: &[("", Load::Saturate { connections: 8 }, &[])],
    pairs: &[("leno", "haproxy"), ("leno", "envoy")],
    bars: &[Bar { ours: "leno", theirs: "envoy", at_most: 0.9 }],
    notes: &[
        "Bytes, unread: 8 connections on which 1 MiB at a time is fetched (wrk). `cpu` is per MiB; times 0.954 it is \
         milliseconds per GB.",
    ],
    rounds: 25,
};

pub(super) const MTLS_PAIR: Course = Course {
    name: "mtls-pair",
    contenders: &[
        Contender::new("leno", Program::Leno, "plain.yaml", PAIR),
        Contender::new("leno-mesh", Program::Leno, "mesh.yaml", PAIR),
        Contender::new("haproxy", Program::Haproxy, "haproxy.cfg", PAIR),
        Contender::new("envoy", Program::Envoy, "plain.yaml", PAIR),
        Contender::new("envoy-mesh", Program::Envoy, "mesh.yaml", PAIR),
    ],
    behind: Behind::Http1 { body_bytes: 1024 },
    loads: &[
        ("-1000", Load::Rate { connections: 16, per_second: 1000 }, &[]),
        ("-5000", Load::Rate { connections: 16, per_second: 5000 }, &[]),
        ("-max", Load::Saturate { connections: 32 }, &[]),
    ],
    pairs: &[
        ("leno", "haproxy"),
        ("leno", "envoy"),
        ("leno-mesh", "haproxy"),
        ("leno-mesh", "envoy-mesh"),
    ],
    bars: &[
        Bar { ours: "leno-mesh-1000", theirs: "haproxy-1000", at_most: 0.9 },
        Bar { ours: "leno-mesh-1000", theirs: "envoy-mesh-1000", at_most: 0.5 },
        Bar { ours: "leno-mesh-5000", theirs: "haproxy-5000", at_most: 0.9 },
        Bar { ours: "leno-mesh-5000", theirs: "envoy-mesh-5000", at_most: 0.5 },
    ],
    notes: &[
        "Two proxies of a kind: HTTP/1.1 to the first, HTTP/2 over mutual TLS between them, HTTP/1.1 to the server. \
         `cpu` is of both. NAME-1000 and NAME-5000: requests per second over 16 connections, latency from the moment a \
         request was due; NAME-max: 32 connections as fast as answered.",
        "`-mesh`: what it is in the bench http1, authorization by 101 policies and a traceparent per request included, in \
         both proxies.",
    ],
    rounds: 12,
};
