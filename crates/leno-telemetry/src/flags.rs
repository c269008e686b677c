//! Envoy's response flags: short codes in the access record and in the `response_flags` label.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

macro_rules! flags {
    ($($(#[doc = $doc:literal])* $variant:ident = $code:literal;)*) => {
        /// One flag; the names are Envoy's long names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum ResponseFlag {
            $($(#[doc = $doc])* $variant,)*
        }

        impl ResponseFlag {
            /// Every flag in Envoy's order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Envoy's short code.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// Envoy's long name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }
        }
    };
}

flags! {
    /// Local service failed the health check.
    FailedLocalHealthCheck = "LH";
    /// No healthy endpoint in the cluster.
    NoHealthyUpstream = "UH";
    /// The route's or the try's timeout passed.
    UpstreamRequestTimeout = "UT";
    /// We reset the stream.
    LocalReset = "LR";
    /// The endpoint reset the stream.
    UpstreamRemoteReset = "UR";
    /// No connection to the endpoint.
    UpstreamConnectionFailure = "UF";
    /// The endpoint ended the connection.
    UpstreamConnectionTermination = "UC";
    /// A circuit limit was hit.
    UpstreamOverflow = "UO";
    /// No route.
    NoRouteFound = "NR";
    /// A delay was injected.
    DelayInjected = "DI";
    /// An abort was injected.
    FaultInjected = "FI";
    /// Rate limited.
    RateLimited = "RL";
    /// Denied by an authorization service.
    UnauthorizedExternalService = "UAEX";
    /// The rate limit service failed.
    RateLimitServiceError = "RLSE";
    /// The caller went away.
    DownstreamConnectionTermination = "DC";
    /// Retries or connect attempts were used up.
    UpstreamRetryLimitExceeded = "URX";
    /// The stream was idle too long.
    StreamIdleTimeout = "SI";
    /// A header Envoy reserves had an invalid value.
    InvalidEnvoyRequestHeaders = "IH";
    /// The caller broke the protocol.
    DownstreamProtocolError = "DPE";
    /// The stream lasted longer than allowed.
    UpstreamMaxStreamDurationReached = "UMSDR";
    /// Served from the cache.
    ResponseFromCacheFilter = "RFCF";
    /// A filter's configuration never arrived.
    NoFilterConfigFound = "NFCF";
    /// The connection lasted longer than allowed.
    DurationTimeout = "DT";
    /// The endpoint broke the protocol.
    UpstreamProtocolError = "UPE";
    /// No such cluster.
    NoClusterFound = "NC";
    /// Overloaded.
    OverloadManagerTerminated = "OM";
    /// A name could not be resolved.
    DnsResolutionFailed = "DF";
    /// The load was dropped on purpose.
    DropOverload = "DO";
}

/// A set of flags, `-` when empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResponseFlags(u32);

impl ResponseFlags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// Adds one.
    pub fn insert(&mut self, flag: ResponseFlag) {
        *self |= flag.into();
    }

    /// Whether it is there.
    #[must_use]
    pub fn contains(self, flag: ResponseFlag) -> bool {
        self.0 & Self::from(flag).0 != 0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The flags in Envoy's order.
    pub fn iter(self) -> impl Iterator<Item = ResponseFlag> {
        ResponseFlag::ALL.iter().copied().filter(move |flag| self.contains(*flag))
    }

    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// The codes joined by commas, or `-`.
    pub fn each_part(self, part: impl FnMut(&'static str)) {
        self.each_joined(ResponseFlag::code, part);
    }

    /// The long names joined by commas, or `-`.
    pub fn each_name_part(self, part: impl FnMut(&'static str)) {
        self.each_joined(ResponseFlag::name, part);
    }

    fn each_joined(
        self,
        text: impl Fn(ResponseFlag) -> &'static str,
        mut part: impl FnMut(&'static str),
    ) {
        if self.is_empty() {
            return part("-");
        }
        for (index, flag) in self.iter().enumerate() {
            if index > 0 {
                part(",");
            }
            part(text(flag));
        }
    }
}

impl From<ResponseFlag> for ResponseFlags {
    fn from(flag: ResponseFlag) -> Self {
        Self(1 << flag as u8)
    }
}

impl BitOr for ResponseFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for ResponseFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Display for ResponseFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        self.each_part(|part| result = result.and_then(|()| f.write_str(part)));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::{ResponseFlag, ResponseFlags};

    #[test]
    fn flags_print_as_envoy_prints_them() {
        let both = ResponseFlags::from(ResponseFlag::UpstreamRetryLimitExceeded)
            | ResponseFlag::UpstreamConnectionFailure.into();
        // (flags, text)
        let table = [
            (ResponseFlags::NONE, "-"),
            (ResponseFlag::UpstreamOverflow.into(), "UO"),
            (both, "UF,URX"),
        ];
        for (flags, text) in table {
            assert_eq!(flags.to_string(), text);
        }
    }

    #[test]
    fn every_flag_has_its_own_bit_and_code() {
        let all = ResponseFlag::ALL.iter().fold(ResponseFlags::NONE, |all, f| all | (*f).into());
        assert_eq!(all.iter().count(), ResponseFlag::ALL.len());
        let codes: std::collections::BTreeSet<_> = all.iter().map(ResponseFlag::code).collect();
        assert_eq!(codes.len(), 28);
    }
}
