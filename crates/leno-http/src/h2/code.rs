//! Error codes as they travel in RST_STREAM and GOAWAY (RFC 9113 §7).

/// An error code. Codes that the RFC does not name are kept as they came.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub u32);

impl Code {
    /// Not an error: a graceful end.
    pub const NO_ERROR: Self = Self(0);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// Something broke on this side.
    pub const INTERNAL_ERROR: Self = Self(2);
    /// More bytes came than a window allowed, or a window grew beyond 2^31-1.
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    /// SETTINGS were not acknowledged in time.
    pub const SETTINGS_TIMEOUT: Self = Self(4);
    /// A frame on a stream that had ended.
    pub const STREAM_CLOSED: Self = Self(5);
    /// A frame of the wrong size.
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    /// The stream was not processed at all and may be tried again.
    pub const REFUSED_STREAM: Self = Self(7);
    /// The stream is no longer wanted.
    pub const CANCEL: Self = Self(8);
    /// The header compression state is lost.
    pub const COMPRESSION_ERROR: Self = Self(9);
    /// The connection of a CONNECT request was reset or closed abnormally.
    pub const CONNECT_ERROR: Self = Self(10);
    /// The peer does what may exhaust this side.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);
    /// TLS is weaker than required.
    pub const INADEQUATE_SECURITY: Self = Self(12);
    /// Use HTTP/1.1 for this.
    pub const HTTP_1_1_REQUIRED: Self = Self(13);

    /// The RFC's name, or nothing for a code it does not know.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "NO_ERROR",
            1 => "PROTOCOL_ERROR",
            2 => "INTERNAL_ERROR",
            3 => "FLOW_CONTROL_ERROR",
            4 => "SETTINGS_TIMEOUT",
            5 => "STREAM_CLOSED",
            6 => "FRAME_SIZE_ERROR",
            7 => "REFUSED_STREAM",
            8 => "CANCEL",
            9 => "COMPRESSION_ERROR",
            10 => "CONNECT_ERROR",
            11 => "ENHANCE_YOUR_CALM",
            12 => "INADEQUATE_SECURITY",
            13 => "HTTP_1_1_REQUIRED",
            _ => return None,
        })
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "{:#x}", self.0),
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, formatter)
    }
}
