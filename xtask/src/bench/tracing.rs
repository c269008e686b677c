//! `cargo xtask bench tracing`: what a span per request costs, with few connections and with many.

use super::contender::{Contender, Program};
use super::load::Load;
use super::report::Bar;
use super::rounds::{Behind, Course};
use super::wire::Wire;

const WIRES: &[Wire] = &[Wire::Http1, Wire::Http1];

/// Every request begins a recorded trace; spans go out as OTLP over HTTP.
const TRACED: &[(&str, &str)] = &[
    ("tracing: {random_sampling: {value: 0}", "tracing: {random_sampling: {value: 100}"),
    ("port_value: 9}", "port_value: {{COLLECTOR_PORT}}}"),
];

/// No trace context at all.
const UNTRACED: &[(&str, &str)] = &[("          tracing: {", "          # tracing: {")];

pub(super) const COURSE: Course = Course {
    name: "tracing",
    contenders: &[
        Contender::new("leno", Program::Leno, "mesh.yaml", WIRES).with(UNTRACED),
        Contender::new("leno-traced", Program::Leno, "mesh.yaml", WIRES).with(TRACED),
        Contender::new("envoy", Program::Envoy, "mesh.yaml", WIRES).with(UNTRACED),
        Contender::new("envoy-traced", Program::Envoy, "mesh.yaml", WIRES).with(TRACED),
    ],
    behind: Behind::Http1 { body_bytes: 1024 },
    loads: &[
        ("-8", Load::Saturate { connections: 8 }, &[]),
        ("-16", Load::Saturate { connections: 16 }, &[]),
        ("-32", Load::Saturate { connections: 32 }, &[]),
        ("-100", Load::Saturate { connections: 100 }, &[]),
    ],
    pairs: &[("leno-traced", "leno"), ("envoy-traced", "envoy")],
    bars: &[
        Bar { ours: "leno-traced-8", theirs: "leno-8", at_most: 1.1 },
        Bar { ours: "leno-traced-16", theirs: "leno-16", at_most: 1.1 },
        Bar { ours: "leno-traced-32", theirs: "leno-32", at_most: 1.1 },
        Bar { ours: "leno-traced-100", theirs: "leno-100", at_most: 1.1 },
    ],
    notes: &[
        "NAME-8 to NAME-100: so many keep-alive connections as fast as answered (wrk), with what `-mesh` of the bench \
         http1 has, but without trace context. `-traced`: a span for every request, sent as OTLP over HTTP in batches; the collector answers and \
         throws them away, on the load's core.",
    ],
    rounds: 14,
};
