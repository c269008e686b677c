//! Texts with command operators (`%REQ(x)%`), as Envoy writes them in header values and access logs: parsed once, filled
//! in per exchange.
//!
//! An operator that is not known is a problem of the configuration. One that has no value in an exchange is written as
//! nothing; `%%` is a percent sign.

mod json;
mod line;
mod log;
mod numbers;
mod parse;
mod time;

use std::fmt;
use std::net::SocketAddr;
use std::time::SystemTime;

pub use json::quote;
pub use log::{LogLine, Wrong};
pub use numbers::{address, decimal, ip};
pub use time::{TimeFormat, timestamp};

/// A parsed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// At most so many bytes of the value are written.
    Operator(Operator, Option<usize>),
}

/// What is asked of an exchange. Names are Envoy's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `REQ(X?Y)`: a header of the request.
    Request(HeaderChoice),
    /// `RESP(X?Y)`: a header of the response.
    Response(HeaderChoice),
    /// `START_TIME(FORMAT)`: when the request began, in UTC.
    StartTime(TimeFormat),
    /// `ENVIRONMENT(NAME)`: of the proxy process.
    Environment(Box<str>),
    /// Without arguments.
    Fact(Fact),
}

/// A header, or another where the first is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderChoice {
    /// Asked first.
    pub first: Header,
    /// Asked then.
    pub or: Option<Header>,
}

/// A header that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// In lower case; `:method`, `:path`, `:authority` and `:scheme` are allowed of a request.
    pub name: Box<str>,
    /// What the exchanges that are asked know the name by, so that they need no look at it; 0 where they were not told
    /// ([`LogLine::number`]).
    pub number: u8,
}

impl Header {
    const fn new(name: Box<str>) -> Self {
        Self { name, number: 0 }
    }
}

macro_rules! facts {
    ($($variant:ident = $text:literal),+ $(,)?) => {
        /// An operator without arguments.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fact {
            $(#[doc = concat!("`", $text, "`")] $variant,)+
        }

        impl Fact {
            const ALL: &'static [(&'static str, Self)] = &[$(($text, Self::$variant)),+];
        }
    };
}

facts! {
    Protocol = "PROTOCOL",
    ResponseCode = "RESPONSE_CODE",
    ResponseCodeDetails = "RESPONSE_CODE_DETAILS",
    ResponseFlags = "RESPONSE_FLAGS",
    RouteName = "ROUTE_NAME",
    UpstreamCluster = "UPSTREAM_CLUSTER",
    UpstreamHost = "UPSTREAM_HOST",
    UpstreamLocalAddress = "UPSTREAM_LOCAL_ADDRESS",
    UpstreamPeerUriSan = "UPSTREAM_PEER_URI_SAN",
    DownstreamRemoteAddress = "DOWNSTREAM_REMOTE_ADDRESS",
    DownstreamRemoteAddressWithoutPort = "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    DownstreamRemotePort = "DOWNSTREAM_REMOTE_PORT",
    DownstreamDirectRemoteAddress = "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    DownstreamDirectRemoteAddressWithoutPort = "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    DownstreamLocalAddress = "DOWNSTREAM_LOCAL_ADDRESS",
    DownstreamLocalAddressWithoutPort = "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    DownstreamLocalPort = "DOWNSTREAM_LOCAL_PORT",
    DownstreamPeerUriSan = "DOWNSTREAM_PEER_URI_SAN",
    RequestedServerName = "REQUESTED_SERVER_NAME",
    Hostname = "HOSTNAME",
    UpstreamClusterRaw = "UPSTREAM_CLUSTER_RAW",
    UpstreamRemoteAddress = "UPSTREAM_REMOTE_ADDRESS",
    UpstreamTransportFailureReason = "UPSTREAM_TRANSPORT_FAILURE_REASON",
    ConnectionTerminationDetails = "CONNECTION_TERMINATION_DETAILS",
    BytesReceived = "BYTES_RECEIVED",
    BytesSent = "BYTES_SENT",
    Duration = "DURATION",
    ResponseDuration = "RESPONSE_DURATION",
    ResponseTxDuration = "RESPONSE_TX_DURATION",
    GrpcStatus = "GRPC_STATUS",
    GrpcStatusSnake = "GRPC_STATUS(SNAKE_STRING)",
    GrpcStatusNumber = "GRPC_STATUS_NUMBER",
    UpstreamRemoteAddressWithoutPort = "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    UpstreamRemotePort = "UPSTREAM_REMOTE_PORT",
    UpstreamLocalAddressWithoutPort = "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    UpstreamLocalPort = "UPSTREAM_LOCAL_PORT",
    ResponseFlagsLong = "RESPONSE_FLAGS_LONG",
    StreamId = "STREAM_ID",
    TraceId = "TRACE_ID",
    UpstreamProtocol = "UPSTREAM_PROTOCOL",
    UpstreamRequestAttemptCount = "UPSTREAM_REQUEST_ATTEMPT_COUNT",
    AccessLogType = "ACCESS_LOG_TYPE",
    DownstreamDirectRemotePort = "DOWNSTREAM_DIRECT_REMOTE_PORT",
    Nothing = "DYNAMIC_METADATA",
}

/// An exchange, as far as texts ask for it.
pub trait Exchange {
    /// Appends what `operator` stands for; nothing where there is nothing.
    fn write(&self, operator: &Operator, out: &mut Vec<u8>);

    /// The same for whoever writes it by itself, which is cheaper for what nearly every line of a log has.
    fn value<'v>(&'v self, operator: &'v Operator) -> Value<'v> {
        let _ = operator;
        Value::Written
    }
}

/// What an operator stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'v> {
    /// There is nothing; an empty text is the same.
    Nothing,
    /// Bytes as they are.
    Text(&'v [u8]),
    /// Written in decimal.
    Number(u64),
    /// Written by [`address`].
    Address(SocketAddr),
    /// Written in the form that the operator gives.
    Time(SystemTime),
    /// To be asked of [`Exchange::write`].
    Written,
}

impl Operator {
    fn number(&mut self, number: &impl Fn(&str) -> u8) {
        let (Self::Request(choice) | Self::Response(choice)) = self else { return };
        for header in std::iter::once(&mut choice.first).chain(&mut choice.or) {
            header.number = number(&header.name);
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let choice =
            |f: &mut fmt::Formatter<'_>, name: &str, choice: &HeaderChoice| match &choice.or {
                Some(or) => write!(f, "%{name}({}?{})%", choice.first.name, or.name),
                None => write!(f, "%{name}({})%", choice.first.name),
            };
        match self {
            Self::Request(header) => choice(f, "REQ", header),
            Self::Response(header) => choice(f, "RESP", header),
            Self::StartTime(_) => f.write_str("%START_TIME%"),
            Self::Environment(name) => write!(f, "%ENVIRONMENT({name})%"),
            Self::Fact(fact) => {
                let name =
                    Fact::ALL.iter().find(|(_, each)| each == fact).map_or("", |(name, _)| name);
                write!(f, "%{name}%")
            }
        }
    }
}

impl Format {
    /// Reads a text.
    ///
    /// # Errors
    /// What is wrong with it, in words that continue the text: `has …`.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { parts: parse::parts(text)?.into() })
    }

    /// The text itself, if nothing in it depends on the exchange.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Gives the headers that it asks for their numbers.
    fn number(&mut self, number: &impl Fn(&str) -> u8) {
        for part in &mut self.parts {
            if let Part::Operator(operator, _) = part {
                operator.number(number);
            }
        }
    }

    /// Appends the text with every operator's value.
    pub fn write(&self, exchange: &(impl Exchange + ?Sized), out: &mut Vec<u8>) {
        self.write_or(exchange, b"", out);
    }

    /// The same, with `missing` for what the exchange does not have.
    pub fn write_or(&self, exchange: &(impl Exchange + ?Sized), missing: &[u8], out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Operator(operator, length_max) => {
                    let start = out.len();
                    exchange.write(operator, out);
                    if out.len() == start {
                        out.extend_from_slice(missing);
                    }
                    if let Some(max) = length_max {
                        out.truncate(start + max);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
