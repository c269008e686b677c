//! The limits of a connection manager that Envoy has fields for.

use std::time::Duration;

use serde::Serialize;

/// What a listener may set of the limits on HTTP; `None` is the proxy's own default (`docs/limits.md`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct HttpLimits {
    /// Longest head of a request in KiB (`max_request_headers_kb`).
    pub max_request_headers_kb: Option<u32>,
    /// Most header fields of a request (`common_http_protocol_options.max_headers_count`).
    pub max_headers_count: Option<u32>,
    /// Streams a peer may have open (`http2_protocol_options.max_concurrent_streams`).
    pub max_concurrent_streams: Option<u32>,
    /// Bytes of the table for header compression (`http2_protocol_options.hpack_table_size`).
    pub hpack_table_bytes: Option<u32>,
    /// Bytes of the window a stream starts with (`http2_protocol_options.initial_stream_window_size`).
    pub initial_stream_window_bytes: Option<u32>,
    /// Bytes of the window a connection starts with (`http2_protocol_options.initial_connection_window_size`).
    pub initial_connection_window_bytes: Option<u32>,
    /// A request in which no byte moves for this long ends (`stream_idle_timeout`), unless its route says otherwise.
    pub stream_idle_timeout: Option<Duration>,
    /// How long a request may take to arrive, body included (`request_timeout`).
    pub request_timeout: Option<Duration>,
}
