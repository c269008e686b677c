//! Every limit on what a peer can make this process hold or wait for, each with its unit and its reason.
//!
//! Configuration may tighten most of them; nothing may lift them. Read by the listeners, the exchange, the pools and
//! the relay; written by nobody.

use std::time::Duration;

pub(crate) mod http;
mod process;
mod table;

pub use process::ProcessLimits;
pub use table::table;

/// Downstream connections one worker accepts at once. Above it the socket's backlog is left to wait, as a full
/// accept queue is the one back-pressure every client understands. The open-file limit may make it smaller.
pub const DOWNSTREAM_CONNECTIONS: usize = 20_000;

/// File descriptors left free for upstream connections, files, admin and ADS when the open-file limit is shared out.
pub const SPARE_FILES: usize = 256;

/// Downstream connections of one listener, in percent of the process': one that is flooded leaves the others some.
pub const CONNECTIONS_PER_LISTENER_PERCENT: usize = 90;

/// Downstream connections of one peer address, in percent of the process'. Most of them, since a sidecar's only client and
/// a gateway's only balancer are one address each; not all, so that another address still gets in.
pub const CONNECTIONS_PER_PEER_PERCENT: usize = 75;

/// How often refused connections are told in the log.
pub const REFUSALS_LOGGED: Duration = Duration::from_secs(10);

/// The memory budget, in percent of what the cgroup or the machine has. The rest is for configuration, TLS and the kernel's
/// socket buffers, which a cgroup counts, too.
pub const MEMORY_BUDGET_PERCENT: usize = 50;

/// The memory budget where there is much memory or no limit, in bytes: what 20 000 connections with a full buffer hold.
pub const MEMORY_BUDGET_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// The least memory budget that is derived, in bytes; below it nothing is carried any more.
pub const MEMORY_BUDGET_BYTES_MIN: usize = 32 * 1024 * 1024;

/// What an idle downstream connection costs this process, as the memory budget counts it, in bytes: its task, its timers,
/// its place in tables. With TLS it is more, which the other half of the memory is for.
pub const CONNECTION_BYTES: usize = 8 * 1024;

/// The same of an HTTP/2 stream, and of the place that is kept ready for the next one: its task, its heads.
pub const STREAM_BYTES: usize = 4 * 1024;

/// Share of the memory budget, in percent, from which on connections that hold more than [`MEMORY_FREE_BYTES`] are not
/// read from: what they sent must leave first.
pub const MEMORY_STOP_READING_PERCENT: usize = 75;

/// Share of the memory budget, in percent, from which on new requests are refused (`OM`, REFUSED_STREAM): those under way
/// get what is left.
pub const MEMORY_REFUSE_STREAMS_PERCENT: usize = 90;

/// Share of the memory budget, in percent, from which on connections are refused, and those cut that hold the most: some
/// are lost, so that not all are.
pub const MEMORY_SHED_PERCENT: usize = 100;

/// How far, in percent of the budget, memory must fall behind the share at which a grade began before it ends.
pub const MEMORY_EASE_PERCENT: usize = 5;

/// Bytes a connection may hold and still be read from whatever the others hold: one buffer each way. Who sends ordinary
/// requests never waits for those who do not.
pub const MEMORY_FREE_BYTES: usize = 2 * READ_BUFFER_BYTES;

/// How much a worker's memory may change before it tells the other workers: the error of their sum, and what keeps them
/// from sharing anything on the path of a request.
pub const MEMORY_STEP_BYTES: usize = 256 * 1024;

/// Pause after an `accept` that failed for want of descriptors or memory: long enough not to spin, short enough to
/// be back before a client times out.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections taken from one listening socket before the other tasks of the worker get their turn: some 100 µs, beside
/// which a look at the sockets is nothing.
pub const ACCEPTS_PER_TURN: usize = 8;

/// The kernel's accept queue asked for (`listen(2)`; the kernel cuts it to `net.core.somaxconn`).
pub const LISTEN_BACKLOG: u32 = 4096;

/// Bytes a listener filter may look at. A ClientHello with post-quantum key shares and many extensions is about 2 KiB;
/// 16 KiB is one whole TLS record.
pub const SNIFF_BYTES: usize = 16 * 1024;

/// A request line longer than this is not taken for HTTP by the inspector.
pub const SNIFF_REQUEST_LINE_BYTES: usize = 8 * 1024;

/// How long a TLS handshake may take; what Envoy calls the transport socket's connect timeout on gateways.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(15);

/// How long a request's head may take from its first byte to its last, unless the listener says otherwise: a slow
/// sender must not hold a connection for ever. In HTTP/2 any frame but DATA, and all of a header block (a kin of
/// CVE-2024-27316: CONTINUATION that never ends, but slowly); endpoints have as long.
pub const REQUEST_HEAD: Duration = Duration::from_secs(60);

/// A downstream HTTP connection without a request is closed after this (Envoy's default).
pub const DOWNSTREAM_IDLE: Duration = Duration::from_secs(3600);

/// A request in which no byte moves either way ends after this (Envoy's `stream_idle_timeout`).
pub const STREAM_IDLE: Duration = Duration::from_secs(300);

/// An upstream HTTP connection without a request is closed after this (Envoy's default is an hour; common servers
/// close after one to five minutes, and a connection they closed first costs a replay).
pub const UPSTREAM_IDLE: Duration = Duration::from_secs(3600);

/// How long a client of an unknown destination is listened to before its server is asked too: longer than a client on
/// the same machine takes to speak, shorter than anybody notices.
pub const CLIENT_FIRST: Duration = Duration::from_millis(5);

/// The same where clients are known to speak first; a connection that is only opened in advance costs the server none.
pub const CLIENT_FIRST_KNOWN: Duration = Duration::from_secs(1);

/// Destinations of which is remembered what they speak, in the process: some hundred bytes each.
pub const LEARNED_DESTINATIONS: usize = 4096;

/// How long that is believed after it was last seen; addresses are given to others.
pub const LEARNED_FOR: Duration = Duration::from_secs(3600);

/// A TCP connection in which no byte moves is closed after this (Envoy's default).
pub const TCP_IDLE: Duration = Duration::from_secs(3600);

/// How long an endpoint may take to answer a request for a tunnel: it connects to another one meanwhile.
pub const TUNNEL_ANSWER: Duration = Duration::from_secs(15);

/// After a receiver has taken nothing for this long its sender is watched for having gone: a moment is no reason to.
pub const BLOCKED: Duration = Duration::from_millis(10);

/// Size a read buffer starts with: one read takes any ordinary head.
pub const READ_BUFFER_BYTES: usize = 16 * 1024;

/// Encrypted bytes read at a time where they come in bulk: two records, which TLS then takes in pieces of 4 KiB.
pub const TLS_AHEAD_BYTES: usize = 32 * 1024;

/// Body bytes held between a fast sender and a slow receiver, per direction of one exchange.
pub const BODY_BUFFER_BYTES: usize = 64 * 1024;

/// What a downstream connection must have taken of responses before those that come over HTTP/1 are read in pieces of
/// [`BODY_BUFFER_BYTES`], and not of [`READ_BUFFER_BYTES`]: more than the two kernels take of what nobody reads. A piece is what
/// a reader that stops makes us hold.
pub const PROVEN_BYTES: u64 = 512 * 1024;

/// What a receiver must take of a response that waits for it, within the exchange's idle time, unless it takes all: less
/// is a window that is kept closed (CVE-2019-9511 and CVE-2019-9517), or a socket that is not read.
pub const STALL_BYTES: u64 = 4096;

/// Bytes that the kernel takes for a downstream connection beyond those that are under way (`TCP_NOTSENT_LOWAT` of the
/// listening socket, which accepted ones inherit). Without it the kernel takes up to 4 MiB for each reader that does not read,
/// which costs the memory of the machine, and the time to copy what nobody will see. Whoever shows that it reads gets more.
pub const UNSENT_BYTES: u32 = 128 * 1024;

/// The same for one that took [`STEP_BYTES`] within [`FAST`] time after time: it is doubled each time, up to this. A wake-up for
/// each 64 KiB costs as much as the encryption of them.
pub const UNSENT_BYTES_MAX: u32 = 2 * 1024 * 1024;

/// How much a peer takes between two looks at its pace; at the first of them nothing is known, since two kernels may take as
/// much for a peer that does not read.
pub const STEP_BYTES: usize = 512 * 1024;

/// Who takes so much in this time is fast: 20 MiB a second.
pub const FAST: Duration = Duration::from_millis(25);

/// Who needs longer than this for it is not: 2 MiB a second.
pub const SLOW: Duration = Duration::from_millis(250);

/// Bytes one HTTP/2 connection may have waiting for its socket before its streams are told to wait, and before no more
/// is read from it: what a peer makes us answer without reading it is bounded by this.
pub const HTTP2_OUT_BYTES: usize = 256 * 1024;

/// The one buffer of a worker that HTTP/2 connections are read into.
pub const HTTP2_READ_BYTES: usize = 128 * 1024;

/// After this long without a stream an HTTP/2 connection gives back what it keeps ready for the next ones.
pub const HTTP2_REST: Duration = Duration::from_secs(30);

/// Request body kept for another attempt; a longer body is sent once (Envoy's default retry buffer is of this order).
pub const REPLAY_BYTES: usize = 64 * 1024;

/// Mirrored copies one worker has on their way at once; more are dropped and counted.
pub const MIRRORS_IN_FLIGHT: usize = 1024;

/// How long one mirrored copy may take.
pub const MIRROR: Duration = Duration::from_secs(15);

/// How long an answer of the proxy's own may take to be taken: a few KiB, which any reader takes at once.
pub const ANSWER: Duration = Duration::from_secs(60);

/// Encoded spans that wait on one worker for one collector; more are dropped and counted. Two seconds of a collector
/// that is away, at a thousand recorded requests a second.
pub const SPAN_QUEUE_BYTES: usize = 2 << 20;

/// Spans that are sent at once without waiting for more.
pub const SPAN_BATCH: usize = 256;

/// How long spans wait for more (Envoy's `flush_interval_ms` is 5 s).
pub const SPAN_FLUSH: Duration = Duration::from_secs(1);

/// How long a batch of spans may take where the provider says nothing.
pub const SPAN_EXPORT: Duration = Duration::from_secs(10);

/// How long a client may take for [`BODY_PROGRESS_BYTES`] of a body whose length it announced, while they are waited for.
pub const BODY_PROGRESS: Duration = Duration::from_secs(60);

/// What has to come in that time, or the end: 500 bytes a second, which the slowest of modems could do. A body sent a byte
/// at a time holds a connection to the endpoint, too.
pub const BODY_PROGRESS_BYTES: u64 = 30_000;

/// What has to come of a body of unknown length, or of a stream's, within the exchange's idle time (a minute at least), until the
/// endpoint begins to answer; the end of the body is enough. Little, since some clients send as things arise, but no drip. gRPC and what is
/// like it is free of it, and so is all where the idle time is set to 0.
pub const STREAMED_BYTES: u64 = 4096;

/// Request body bytes read and thrown away after an early answer, so that the client sees the answer and not a reset.
pub const LINGER_BYTES: usize = 256 * 1024;

/// How long such a client is listened to.
pub const LINGER: Duration = Duration::from_secs(2);

/// Room for one read of a TCP relay: the size at which a copy beats `splice(2)`, and a head before it, so that messages of
/// a round size leave no few bytes for a read of their own. Held only while the receiver takes less than there is.
pub const RELAY_BUFFER_BYTES: usize = (256 + 16) * 1024;

/// Bytes one direction of a TCP relay moves before the worker's other connections have their turn.
pub const RELAY_TURN_BYTES: u64 = 1024 * 1024;

/// Bytes that one turn of a worker's loop moves of long bodies while somebody else may wait; what else can wait is counted as so
/// many bytes, too. A small request meets as much at each of its steps: some 100 µs.
pub const LANE_BYTES: usize = 256 * 1024;

/// Bytes of a body from which on it is a long one.
pub const LONG_BODY_BYTES: u64 = 32 * 1024;

/// Bytes that a long body moves before it asks for another turn.
pub const BODY_TURN_BYTES: u64 = 64 * 1024;

/// What ending a connection is counted as, in bytes that take as long to move.
pub const END_BYTES: usize = 16 * 1024;

/// Streams that one HTTP/2 connection begins before other tasks have their turn: more than a client has that waits for its
/// answers, far fewer than fit into one read.
pub const HTTP2_STREAMS_PER_TURN: usize = 32;

/// What each of those that follow is counted as.
pub const STREAM_TURN_BYTES: usize = 8 * 1024;

/// Idle upstream connections one worker keeps to one endpoint.
pub const IDLE_PER_ENDPOINT: usize = 256;

/// Original destinations one worker remembers per cluster; beyond it starts afresh, which costs kept connections only.
pub const ORIGINAL_DESTINATIONS: usize = 4096;

/// How often kept upstream connections are looked through: how exactly it is learnt when endpoints close idle ones.
pub const SWEEP: Duration = Duration::from_millis(500);

/// Kept connections that may turn out to be closed under one request; more is no accident.
pub const STALE_CONNECTIONS: u32 = 3;

/// How long is waited for the reset that proves that nobody read a request on a connection that had been closed: the time to
/// the endpoint and back, and no longer than anybody minds.
pub const REFUSAL: Duration = Duration::from_millis(250);

/// How long an idle connection waits for one more request in a drain, so that a request that is on its way when the
/// drain begins is answered and not cut off.
pub const DRAIN_IDLE: Duration = Duration::from_millis(500);

/// How long connections that were cut off at the end of a drain may take to write their records.
pub const CUT_OFF: Duration = Duration::from_millis(250);

/// How often it is looked which series of the metrics nobody counts any more.
pub const SERIES_SWEEP: Duration = Duration::from_secs(60);

/// How long an access record may wait in a worker's buffer before it is handed over to be written.
pub const RECORDS_FLUSH: Duration = Duration::from_millis(200);

/// How long one side of a handover waits for the other's next word where none has to be worked for.
pub const HANDOVER_ANSWER: Duration = Duration::from_secs(10);

/// How long a new process may take to be ready; the running one serves meanwhile, and then goes on alone.
pub const HANDOVER_READY: Duration = Duration::from_secs(60);

/// How often the running process looks, while it waits for the new one's word, whether it is told to end.
pub const HANDOVER_TURN: Duration = Duration::from_millis(200);
