//! Well-known field names, recognised once when a head is parsed and compared as integers after that.

macro_rules! known {
    ($($variant:ident = $text:literal),+ $(,)?) => {
        /// A field name this project knows, or `Other`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Known {
            /// Any name not listed here; only its text tells it.
            Other,
            $(#[doc = concat!("`", $text, "`")] $variant,)+
        }

        impl Known {
            /// Every name, `Other` first: an index is a discriminant.
            const ALL: &'static [Self] = &[Self::Other, $(Self::$variant),+];
            const TEXT: &'static [&'static str] = &["", $($text),+];
        }
    };
}

known! {
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    Allow = "allow",
    Authorization = "authorization",
    B3 = "b3",
    Baggage = "baggage",
    CacheControl = "cache-control",
    Connection = "connection",
    ContentEncoding = "content-encoding",
    ContentLength = "content-length",
    ContentRange = "content-range",
    ContentType = "content-type",
    Cookie = "cookie",
    Date = "date",
    EndUser = "end-user",
    Etag = "etag",
    Expect = "expect",
    Forwarded = "forwarded",
    GrpcMessage = "grpc-message",
    GrpcStatus = "grpc-status",
    GrpcTimeout = "grpc-timeout",
    Host = "host",
    Http2Settings = "http2-settings",
    IfModifiedSince = "if-modified-since",
    IfNoneMatch = "if-none-match",
    KeepAlive = "keep-alive",
    LastModified = "last-modified",
    Location = "location",
    MaxForwards = "max-forwards",
    Origin = "origin",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
    ProxyConnection = "proxy-connection",
    Range = "range",
    Referer = "referer",
    RetryAfter = "retry-after",
    Server = "server",
    SetCookie = "set-cookie",
    Te = "te",
    Traceparent = "traceparent",
    Tracestate = "tracestate",
    Trailer = "trailer",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    UserAgent = "user-agent",
    Vary = "vary",
    Via = "via",
    XB3Sampled = "x-b3-sampled",
    XB3SpanId = "x-b3-spanid",
    XB3TraceId = "x-b3-traceid",
    XEnvoyAttemptCount = "x-envoy-attempt-count",
    XEnvoyDecoratorOperation = "x-envoy-decorator-operation",
    XEnvoyExpectedRqTimeoutMs = "x-envoy-expected-rq-timeout-ms",
    XEnvoyExternalAddress = "x-envoy-external-address",
    XEnvoyInternal = "x-envoy-internal",
    XEnvoyMaxRetries = "x-envoy-max-retries",
    XEnvoyOriginalPath = "x-envoy-original-path",
    XEnvoyOverloaded = "x-envoy-overloaded",
    XEnvoyPeerMetadata = "x-envoy-peer-metadata",
    XEnvoyPeerMetadataId = "x-envoy-peer-metadata-id",
    XEnvoyRatelimited = "x-envoy-ratelimited",
    XEnvoyRetryGrpcOn = "x-envoy-retry-grpc-on",
    XEnvoyRetryOn = "x-envoy-retry-on",
    XEnvoyUpstreamRqPerTryTimeoutMs = "x-envoy-upstream-rq-per-try-timeout-ms",
    XEnvoyUpstreamRqTimeoutMs = "x-envoy-upstream-rq-timeout-ms",
    XEnvoyUpstreamServiceTime = "x-envoy-upstream-service-time",
    XForwardedClientCert = "x-forwarded-client-cert",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedPort = "x-forwarded-port",
    XForwardedProto = "x-forwarded-proto",
    XLenoSpelling = "x-leno-spelling",
    XRequestId = "x-request-id",
}

/// Slots of the recognition table: a power of two well above the number of names.
const SLOTS: usize = 512;

/// Open addressing, built at compile time; 0 (`Other`) marks a free slot.
static TABLE: [u8; SLOTS] = build();

const fn build() -> [u8; SLOTS] {
    assert!(Known::ALL.len() < 128, "the presence set of `Fields` holds 128 names");
    let mut table = [0; SLOTS];
    let mut index = 1;
    while index < Known::TEXT.len() {
        let mut slot = slot_of(Known::TEXT[index].as_bytes());
        while table[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = index as u8;
        index += 1;
    }
    table
}

/// Length, first and last letter and one in the middle tell almost all names apart; `| 0x20` folds case.
const fn slot_of(name: &[u8]) -> usize {
    let length = name.len();
    let first = (name[0] | 0x20) as usize;
    let middle = (name[length / 2] | 0x20) as usize;
    let last = (name[length - 1] | 0x20) as usize;
    (length * 37 + first * 5 + middle * 11 + last * 59) % SLOTS
}

impl Known {
    /// Recognises a token in any case. `Other` when it is not listed, the empty name included.
    pub fn recognize(name: &[u8]) -> Self {
        if name.is_empty() {
            return Self::Other;
        }
        let mut slot = slot_of(name);
        loop {
            let index = usize::from(TABLE[slot]);
            if index == 0 {
                return Self::Other;
            }
            if folds_to(name, Self::TEXT[index].as_bytes()) {
                return Self::ALL[index];
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// The name with this discriminant; `Other` where there is none.
    pub fn numbered(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Other)
    }

    /// The name in lower case; empty for `Other`.
    pub const fn as_str(self) -> &'static str {
        Self::TEXT[self as usize]
    }

    /// Fields that concern one connection only and are never forwarded (RFC 9110 §7.6.1); what our own two ends of one tell
    /// each other is another.
    pub const fn is_hop_by_hop(self) -> bool {
        const HOP_BY_HOP: KnownSet = KnownSet::EMPTY
            .with(Known::Connection)
            .with(Known::KeepAlive)
            .with(Known::ProxyConnection)
            .with(Known::Te)
            .with(Known::TransferEncoding)
            .with(Known::Upgrade)
            .with(Known::Http2Settings)
            .with(Known::XLenoSpelling);
        HOP_BY_HOP.has(self)
    }

    /// Fields that a trailer section must not carry: they frame, route or authenticate (RFC 9110 §6.5.1).
    pub(crate) const fn is_forbidden_in_trailers(self) -> bool {
        self.is_hop_by_hop()
            || matches!(
                self,
                Self::ContentLength
                    | Self::Host
                    | Self::Trailer
                    | Self::Authorization
                    | Self::ProxyAuthorization
                    | Self::ContentEncoding
                    | Self::ContentType
                    | Self::ContentRange
                    | Self::Cookie
                    | Self::SetCookie
                    | Self::Expect
                    | Self::MaxForwards
                    | Self::CacheControl
            )
    }

    /// Fields that `Connection` must not name: without them the message would mean something else to the next hop.
    pub(crate) const fn is_vital(self) -> bool {
        matches!(self, Self::Host | Self::ContentLength | Self::TransferEncoding)
    }
}

/// A set of well-known names, a bit per discriminant in words that a register holds. [`Known::Other`] is never in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KnownSet([u64; 2]);

impl KnownSet {
    pub(crate) const EMPTY: Self = Self([0; 2]);

    /// Word and bit.
    const fn place(known: Known) -> (usize, u64) {
        let at = known as u8;
        ((at >> 6 & 1) as usize, (!matches!(known, Known::Other) as u64) << (at & 63))
    }

    pub(crate) const fn has(self, known: Known) -> bool {
        let (word, bit) = Self::place(known);
        self.0[word] & bit != 0
    }

    pub(crate) const fn insert(&mut self, known: Known) {
        let (word, bit) = Self::place(known);
        self.0[word] |= bit;
    }

    pub(crate) const fn remove(&mut self, known: Known) {
        let (word, bit) = Self::place(known);
        self.0[word] &= !bit;
    }

    const fn with(mut self, known: Known) -> Self {
        self.insert(known);
        self
    }
}

/// Whether a token is this lower-case name but for case, eight bytes at a time; the last eight of a name of some length were
/// looked at in part already. Setting bit 5 folds letters and leaves digits and `-` alone; what else it would fold to them
/// are control characters, which no token has.
fn folds_to(token: &[u8], lower: &[u8]) -> bool {
    const FOLD: u64 = 0x2020_2020_2020_2020;
    let word_folds_to = |token: &[u8; 8], lower: &[u8; 8]| {
        u64::from_ne_bytes(*token) | FOLD == u64::from_ne_bytes(*lower)
    };
    if token.len() != lower.len() {
        return false;
    }
    let (Some(token_last), Some(lower_last)) = (token.last_chunk(), lower.last_chunk()) else {
        return token.iter().zip(lower).all(|(token, lower)| token | 0x20 == *lower);
    };
    let (token_words, _) = token.as_chunks();
    let (lower_words, _) = lower.as_chunks();
    word_folds_to(token_last, lower_last)
        && token_words.iter().zip(lower_words).all(|(token, lower)| word_folds_to(token, lower))
}

#[cfg(test)]
mod tests {
    use super::{Known, KnownSet};

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        for name in Known::ALL {
            let mut set = KnownSet::EMPTY;
            set.insert(*name);
            for other in Known::ALL {
                assert_eq!(set.has(*other), other == name && *other != Known::Other, "{other:?}");
            }
            set.remove(*name);
            assert_eq!(set, KnownSet::EMPTY);
        }
    }

    #[test]
    fn every_name_is_recognised_in_any_case_and_nothing_else_is() {
        for (index, text) in Known::TEXT.iter().enumerate().skip(1) {
            assert_eq!(Known::recognize(text.as_bytes()), Known::ALL[index]);
            assert_eq!(Known::recognize(text.to_uppercase().as_bytes()), Known::ALL[index]);
            assert_eq!(Known::recognize(format!("{text}x").as_bytes()), Known::Other);
            assert_eq!(Known::ALL[index].as_str(), *text);
        }
        assert_eq!(Known::recognize(b""), Known::Other);
        assert_eq!(Known::recognize(b"x"), Known::Other);
        assert_eq!(Known::recognize(b"h\x4fst"), Known::Host);
        assert_eq!(Known::recognize(b"h\x0fst"), Known::Other);
    }
}
