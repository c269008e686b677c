//! Why a peer's frame, or message, was refused. The access record prints [`Violation::code`].

use super::Code;

/// Makes the enum, the words and the error codes one table, so that none can be forgotten.
macro_rules! violations {
    ($($(#[$doc:meta])+ $variant:ident = $word:literal, $code:ident, $text:literal;)+) => {
        /// What a peer did that a strict reader must refuse. Whether it costs a stream or the connection depends on
        /// where it is reported.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum Violation {
            $($(#[$doc])+ #[error($text)] $variant,)+
        }

        impl Violation {
            /// Every violation there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// A stable word for the access record's details.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => concat!("http2.", $word),)+ }
            }

            /// What the peer is told.
            pub const fn error_code(self) -> Code {
                match self { $(Self::$variant => Code::$code,)+ }
            }
        }
    };
}

violations! {
    /// The connection does not start with the preface (RFC 9113 §3.4).
    Preface = "preface", PROTOCOL_ERROR, "no connection preface";
    /// The first frame is not SETTINGS (RFC 9113 §3.4).
    SettingsFirst = "settings_first", PROTOCOL_ERROR, "first frame is not SETTINGS";
    /// A frame longer than we announced, or of a length its type does not have (RFC 9113 §4.2).
    FrameSize = "frame_size", FRAME_SIZE_ERROR, "wrong frame size";
    /// More padding than payload (RFC 9113 §6.1).
    Padding = "padding", PROTOCOL_ERROR, "padding exceeds the payload";
    /// A frame on stream 0, or not on stream 0, where it may not be (RFC 9113 §6).
    StreamZero = "stream_zero", PROTOCOL_ERROR, "frame on the wrong kind of stream";
    /// A frame between the frames of a header block, or CONTINUATION outside one (RFC 9113 §6.10).
    Continuation = "continuation", PROTOCOL_ERROR, "header block interrupted";
    /// A frame on a stream that nobody opened (RFC 9113 §5.1).
    IdleStream = "idle_stream", PROTOCOL_ERROR, "frame on an idle stream";
    /// A stream identifier of the other side's kind (RFC 9113 §5.1.1).
    StreamIdentifier = "stream_identifier", PROTOCOL_ERROR, "invalid stream identifier";
    /// A frame on a stream that had ended (RFC 9113 §5.1).
    StreamClosed = "stream_closed", STREAM_CLOSED, "frame on a closed stream";
    /// A stream that depends on itself (RFC 9113 §5.3.1, RFC 7540 §5.3.1).
    SelfDependency = "self_dependency", PROTOCOL_ERROR, "stream depends on itself";
    /// More DATA than the window allowed (RFC 9113 §5.2).
    FlowControl = "flow_control", FLOW_CONTROL_ERROR, "flow control window exceeded";
    /// A window beyond 2^31-1 (RFC 9113 §6.9.1).
    WindowOverflow = "window_overflow", FLOW_CONTROL_ERROR, "flow control window overflow";
    /// WINDOW_UPDATE by nothing (RFC 9113 §6.9).
    ZeroIncrement = "zero_increment", PROTOCOL_ERROR, "window increment of zero";
    /// A setting outside its range (RFC 9113 §6.5.2).
    Setting = "setting", PROTOCOL_ERROR, "invalid setting";
    /// An initial window beyond 2^31-1 (RFC 9113 §6.5.2).
    InitialWindow = "initial_window", FLOW_CONTROL_ERROR, "invalid initial window";
    /// PUSH_PROMISE, which nobody may send here (RFC 9113 §8.4).
    Push = "push", PROTOCOL_ERROR, "server push is off";
    /// A header block that does not decode (RFC 7541).
    Compression = "compression", COMPRESSION_ERROR, "header block does not decode";
    /// A header block longer than the limit, so that decoding it would cost too much.
    HeaderBlock = "header_block", ENHANCE_YOUR_CALM, "header block exceeds the limit";
    /// More CONTINUATION frames than the limit.
    ContinuationFlood = "continuation_flood", ENHANCE_YOUR_CALM, "too many CONTINUATION frames";
    /// A header block, or another frame, that was begun and not completed in time.
    SlowHead = "slow_head", ENHANCE_YOUR_CALM, "frame not completed in time";
    /// Streams opened and reset faster than the limit.
    ResetFlood = "reset_flood", ENHANCE_YOUR_CALM, "streams reset too fast";
    /// Streams that this side had to refuse or reset, more than the limit.
    RefusalFlood = "refusal_flood", ENHANCE_YOUR_CALM, "too many refused streams";
    /// PING faster than the limit.
    PingFlood = "ping_flood", ENHANCE_YOUR_CALM, "too many PING frames";
    /// SETTINGS faster than the limit.
    SettingsFlood = "settings_flood", ENHANCE_YOUR_CALM, "too many SETTINGS frames";
    /// PRIORITY and unknown frames faster than the limit.
    IgnoredFlood = "ignored_flood", ENHANCE_YOUR_CALM, "too many frames without effect";
    /// Frames with nothing in them faster than the limit.
    EmptyFlood = "empty_flood", ENHANCE_YOUR_CALM, "too many empty frames";
    /// WINDOW_UPDATE faster than what is sent explains.
    WindowFlood = "window_flood", ENHANCE_YOUR_CALM, "too many WINDOW_UPDATE frames";
    /// Header list longer than the limit; the stream may be answered 431.
    HeaderList = "header_list", ENHANCE_YOUR_CALM, "header list exceeds the limit";
    /// More streams at a time than announced (RFC 9113 §5.1.2).
    ConcurrentStreams = "concurrent_streams", REFUSED_STREAM, "too many concurrent streams";
    /// A request after the final GOAWAY (RFC 9113 §6.8).
    GoingAway = "going_away", REFUSED_STREAM, "connection is going away";
    /// A field name that is empty, not a token or has upper-case letters (RFC 9113 §8.2.1).
    FieldName = "field_name", PROTOCOL_ERROR, "invalid field name";
    /// A field value with a control character or surrounding white space (RFC 9113 §8.2.1).
    FieldValue = "field_value", PROTOCOL_ERROR, "invalid field value";
    /// A field that belongs to HTTP/1 connections (RFC 9113 §8.2.2).
    ConnectionField = "connection_field", PROTOCOL_ERROR, "connection-specific field";
    /// TE with anything but `trailers` (RFC 9113 §8.2.2).
    Te = "te", PROTOCOL_ERROR, "TE other than trailers";
    /// A pseudo-header field that is unknown, repeated, misplaced or missing (RFC 9113 §8.3).
    PseudoField = "pseudo_field", PROTOCOL_ERROR, "invalid pseudo-header fields";
    /// A method that is not a token (RFC 9110 §9.1).
    Method = "method", PROTOCOL_ERROR, "method is not a token";
    /// A scheme other than http and https.
    Scheme = "scheme", PROTOCOL_ERROR, "unknown scheme";
    /// A path that is empty or has a forbidden byte or form (RFC 9113 §8.3.1).
    Path = "path", PROTOCOL_ERROR, "invalid path";
    /// No authority, an invalid one, or a Host that says something else (RFC 9113 §8.3.1).
    Authority = "authority", PROTOCOL_ERROR, "invalid authority";
    /// A status that is not three digits, or 101 (RFC 9113 §8.6).
    Status = "status", PROTOCOL_ERROR, "invalid status";
    /// `:protocol` where we did not allow extended CONNECT (RFC 8441 §4).
    Protocol = "protocol", PROTOCOL_ERROR, "extended CONNECT not allowed";
    /// A content-length that is no number, repeated, or not what was sent (RFC 9113 §8.1.1).
    ContentLength = "content_length", PROTOCOL_ERROR, "content-length differs from the body";
    /// Trailers that do not end the stream, or carry what trailers may not (RFC 9113 §8.1).
    Trailers = "trailers", PROTOCOL_ERROR, "invalid trailers";
    /// DATA before the head, or a final head after it (RFC 9113 §8.1).
    MessageOrder = "message_order", PROTOCOL_ERROR, "frames of a message out of order";
}

#[cfg(test)]
mod tests {
    use super::Violation;

    #[test]
    fn words_tell_violations_apart() {
        for (index, one) in Violation::ALL.iter().enumerate() {
            assert!(one.code().starts_with("http2.") && !one.to_string().is_empty());
            for other in &Violation::ALL[index + 1..] {
                assert_ne!(one.code(), other.code());
            }
        }
    }
}
