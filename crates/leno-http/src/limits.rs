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
