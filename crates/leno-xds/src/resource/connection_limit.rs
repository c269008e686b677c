//! `envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit`.

use leno_core::config::ConnectionLimit;

use crate::read::{Field, Reader};
use crate::wire::Writer;

pub(crate) const FILTER: &str = "envoy.filters.network.connection_limit";
pub(crate) const TYPE: &str =
    "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit";

pub(crate) fn decode(r: &mut Reader<'_, '_>) -> ConnectionLimit {
    let max = r.field(2, "max_connections").and_then(|field| field.wrapped(Field::i64));
    let max_connections = max.and_then(|max| u64::try_from(max).ok()).filter(|max| *max > 0);
    if max_connections.is_none() {
        r.problem_at("max_connections", "is not a number above 0");
    }
    // There is no runtime here: the default is the value.
    let enabled = r.message(4, "runtime_enabled", |r| {
        r.harmless(&[(2, "runtime_key")]);
        r.wrapped_bool(1, "default_value").unwrap_or(true)
    });
    ConnectionLimit {
        stat_prefix: r.required_string(1, "stat_prefix"),
        max_connections: max_connections.unwrap_or(u64::MAX),
        delay: r.duration(3, "delay").filter(|delay| !delay.is_zero()),
        is_enabled: enabled.unwrap_or(true),
    }
}

pub(crate) fn encode(w: &mut Writer, limit: &ConnectionLimit) {
    w.string(1, &limit.stat_prefix);
    w.message(2, |w| w.number(1, limit.max_connections));
    if let Some(delay) = limit.delay {
        w.duration(3, delay);
    }
    if !limit.is_enabled {
        w.message(4, |w| {
            w.wrapped_bool(1, false);
            w.string(2, "connection_limit.enabled");
        });
    }
}
