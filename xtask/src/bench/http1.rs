//! `cargo xtask bench http1`: one hop of HTTP/1.1, 1 KiB responses over keep-alive connections.

use super::contender::{Contender, Program};
use super::load::Load;
use super::report::Bar;
use super::rounds::{Behind, Course};
use super::wire::Wire;

const WIRES: &[Wire] = &[Wire::Http1, Wire::Http1];

pub(super) const COURSE: Course = Course {
    name: "http1",
    contenders: &[
        Contender::new("leno", Program::Leno, "plain.yaml", WIRES),
        Contender::new("haproxy", Program::Haproxy, "haproxy.cfg", WIRES),
        Contender::new("nginx", Program::Nginx, "nginx.conf", WIRES),
        Contender::new("envoy", Program::Envoy, "plain.yaml", WIRES),
        Contender::new("bytes", Program::Leno, "tcp.yaml", WIRES),
        Contender::new("leno-mesh", Program::Leno, "mesh.yaml", WIRES),
        Contender::new("envoy-mesh", Program::Envoy, "mesh.yaml", WIRES),
    ],
    behind: Behind::Http1 { body_bytes: 1024 },
    loads: &[
        ("", Load::Saturate { connections: 32 }, &[]),
        ("-128", Load::Saturate { connections: 128 }, &[]),
        ("-10k", Load::Rate { connections: 64, per_second: 10_000 }, &[]),
    ],
    pairs: &[
        ("leno", "haproxy"),
        ("leno", "nginx"),
        ("leno", "envoy"),
        ("leno", "bytes"),
        ("leno-mesh", "haproxy"),
        ("leno-mesh", "envoy-mesh"),
        ("leno-mesh", "leno"),
    ],
    bars: &[
        Bar { ours: "leno", theirs: "haproxy", at_most: 0.8 },
        Bar { ours: "leno-128", theirs: "haproxy-128", at_most: 0.8 },
        Bar { ours: "leno", theirs: "nginx", at_most: 0.75 },
        Bar { ours: "leno-128", theirs: "nginx-128", at_most: 0.75 },
        Bar { ours: "leno-mesh", theirs: "haproxy", at_most: 0.9 },
        Bar { ours: "leno-mesh-128", theirs: "haproxy-128", at_most: 0.9 },
        Bar { ours: "leno-mesh", theirs: "envoy-mesh", at_most: 0.35 },
        Bar { ours: "leno-mesh-128", theirs: "envoy-mesh-128", at_most: 0.35 },
    ],
    notes: &[
        "NAME: 32 keep-alive connections as fast as answered (wrk); NAME-128: 128; NAME-10k: 10,000 requests per second \
         over 64 connections, latency from the moment a request was due.",
        "`bytes`: Leno again, as a TCP relay that reads nothing of what it passes on, two `recv` and two `send` for an \
         exchange: what is left of a hop when all of HTTP costs nothing.",
        "`-mesh`: 100 virtual hosts, two routes each, timeout and retry policy, authorization by 101 policies of which one \
         in the middle applies, a traceparent per request (none sampled), a JSON access record per request to /dev/null, \
         metrics.",
    ],
    rounds: 12,
};
