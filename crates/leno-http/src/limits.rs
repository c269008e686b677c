//! Everything a peer can make an HTTP machine hold, bounded.

/// Bounds on what one message may contain. The caller chooses; [`Limits::DEFAULT`] is Envoy's where Envoy has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest head, request line and empty line included.
    pub head_bytes: usize,
    /// Most header fields in a head, and most trailer fields; at most [`Limits::FIELDS_MAX`].
    pub fields: usize,
    /// Longest chunk-size line, extensions included.
    pub chunk_line_bytes: usize,
    /// Most chunk-extension bytes in one whole body: a peer that sends one data byte per kilobyte of extension is
    /// spending our processor, not sending a body.
    pub chunk_extension_bytes: u64,
    /// Longest trailer section.
    pub trailer_bytes: usize,
}

impl Limits {
    /// Heads of 60 KiB and 100 fields, chunk lines of 256 bytes, 16 KiB of extensions, trailers of 8 KiB.
    pub const DEFAULT: Self = Self {
        head_bytes: 60 * 1024,
        fields: 100,
        chunk_line_bytes: 256,
        chunk_extension_bytes: 16 * 1024,
        trailer_bytes: 8 * 1024,
    };

    /// The parser's index lives on the stack and holds this many fields.
    pub const FIELDS_MAX: usize = 256;
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Bounds on what one HTTP/2 connection may hold or spend. Rates are buckets: so many at once, refilled by so many a
/// second; what a peer does beyond costs it the connection, with ENHANCE_YOUR_CALM and a
/// [`Violation`](crate::h2::Violation) that names the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Limits {
    /// Streams a peer may have open, those included that it has reset but whose exchange is still running here: that is
    /// what makes rapid reset (CVE-2023-44487) pointless.
    pub streams: u32,
    /// Bytes of one header list, as RFC 9113 §6.5.2 counts them: name + value + 32 each.
    pub header_list_bytes: u32,
    /// Fields of one header list.
    pub fields: u32,
    /// Encoded bytes of one header block. A longer one ends the connection, since the compression state is lost unless
    /// it is decoded.
    pub header_block_bytes: u32,
    /// CONTINUATION frames of one header block (CVE-2024-27316 and its kin).
    pub continuations: u32,
    /// Size of the table a peer may fill by header compression, and of the one we fill at the peer, in bytes.
    pub table_bytes: u32,
    /// Window that a stream starts with, in bytes: all that can be held for it while nobody takes what comes.
    pub stream_window_bytes: u32,
    /// Window that a stream gets as soon as what comes is passed on.
    pub stream_window_flowing_bytes: u32,
    /// Window that a stream may grow to when the measured bandwidth-delay product needs it.
    pub stream_window_bytes_max: u32,
    /// By how much the windows of all streams of a connection together may exceed what they start with. When it is used
    /// up streams keep the window they have: what readers that stop can make us hold is bounded by this, too.
    pub stream_growth_bytes: u32,
    /// Window that the connection starts with.
    pub connection_window_bytes: u32,
    /// Window that the connection may grow to.
    pub connection_window_bytes_max: u32,
    /// Streams the peer resets before their response is complete. Each response that completes gives one back.
    pub resets: Rate,
    /// Streams that we must refuse or reset because of what the peer does on them.
    pub refusals: Rate,
    /// PING frames to answer. Each DATA frame of ours gives one back, since peers measure the path with it.
    pub pings: Rate,
    /// SETTINGS frames to apply and acknowledge.
    pub settings: Rate,
    /// PRIORITY frames, frames of unknown types, interim responses, and resets of streams that are over.
    pub ignored: Rate,
    /// DATA frames without data that end nothing, and empty CONTINUATION frames.
    pub empties: Rate,
    /// WINDOW_UPDATE frames. Each frame of ours that a peer may acknowledge gives some back.
    pub window_updates: Rate,
}

/// So many at once, and so many a second after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Most at once.
    pub burst: u32,
    /// How many more each second.
    pub per_second: u32,
}

impl Rate {
    /// A rate.
    pub const fn new(burst: u32, per_second: u32) -> Self {
        Self { burst, per_second }
    }
}

impl Http2Limits {
    /// What a peer gets that nothing is known about. Header limits are those of HTTP/1; the rates are far above what
    /// gRPC clients that cancel, ping and measure do, and far below what costs a core.
    pub const DEFAULT: Self = Self {
        streams: 256,
        header_list_bytes: 60 * 1024,
        fields: 100,
        header_block_bytes: 64 * 1024,
        continuations: 8,
        table_bytes: 4096,
        stream_window_bytes: 64 * 1024,
        stream_window_flowing_bytes: 128 * 1024,
        stream_window_bytes_max: 1024 * 1024,
        stream_growth_bytes: 8 * 1024 * 1024,
        connection_window_bytes: 1024 * 1024,
        connection_window_bytes_max: 16 * 1024 * 1024,
        resets: Rate::new(1000, 100),
        refusals: Rate::new(1000, 100),
        pings: Rate::new(200, 20),
        settings: Rate::new(100, 10),
        ignored: Rate::new(1000, 100),
        empties: Rate::new(100, 10),
        window_updates: Rate::new(4000, 400),
    };
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
