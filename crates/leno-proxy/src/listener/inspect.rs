//! What is found out about a connection before its filter chain is chosen: whose it is (PROXY protocol), and what it
//! speaks.
//!
//! Where bytes would be passed on as they are, the server may be the first to speak, and waiting for the client would be
//! waiting for ever. So both sides are read at once: the upstream connection is opened while the client is silent, and
//! the first side that says something decides. When it is opened depends on what the destination spoke before
//! ([`super::learned`]).

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use leno_core::config::{ListenerFilter, TransportProtocol};
use leno_core::filter_chain::{ConnectionFacts, Listener};
use leno_core::reply::Failure;
use leno_telemetry::ProcessStat;
use tokio::time::{sleep, timeout};

use super::active::ActiveListener;
use super::learned::Spoken;
use super::sniff::{self, ClientHello, proxy_protocol};
use crate::limits;
use crate::tcp::ahead::{Ahead, Heard};
use crate::upstream::connect::Ends;
use crate::wire::Wire;
use crate::worker::Worker;

/// What was found out.
pub(crate) struct Inspected {
    /// The connection's ends, by the PROXY protocol's word if it was spoken.
    pub(crate) ends: Ends,
    pub(crate) seen: Seen,
    /// What came from the client so far.
    pub(crate) inbox: Vec<u8>,
    /// An upstream connection, if one was opened meanwhile.
    pub(crate) ahead: Option<Ahead>,
}

/// What the inspectors saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) hello: Option<Box<ClientHello>>,
    http: Option<&'static str>,
}

impl Seen {
    pub(crate) fn transport(&self) -> TransportProtocol {
        match self.hello {
            Some(_) => TransportProtocol::Tls,
            None => TransportProtocol::RawBuffer,
        }
    }

    pub(crate) fn protocols(&self) -> impl Iterator<Item = &[u8]> {
        let offered = self.hello.iter().flat_map(|hello| &hello.alpn).map(Vec::as_slice);
        offered.chain(self.http.map(str::as_bytes))
    }

    fn spoken(&self) -> Spoken {
        match (&self.hello, self.http) {
            (Some(_), _) => Spoken::Tls,
            (None, Some(_)) => Spoken::Http,
            (None, None) => Spoken::Bytes,
        }
    }
}

/// Why no filter chain is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The client left before it said anything.
    Left,
    /// To be recorded.
    Failed(Failure),
}

/// One accepted connection.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) active: &'a ActiveListener,
    pub(crate) listener: &'a Listener,
    pub(crate) wire: &'a Wire,
}

impl Arrival<'_> {
    /// Reads until every inspector has its answer.
    pub(crate) async fn inspect(self, ends: Ends) -> Result<Inspected, Ended> {
        let wants = Wants::of(self.listener);
        let mut inspected =
            Inspected { ends, seen: Seen::default(), inbox: Vec::new(), ahead: None };
        if wants.is_nothing() {
            return Ok(inspected);
        }
        self.worker.buffers.ensure(&mut inspected.inbox);
        let source = self.listener.source();
        let limit = match source.listener_filters_timeout {
            Duration::ZERO => limits::STREAM_IDLE,
            limit => limit,
        };
        if let Some(allow_missing) = wants.proxy_protocol {
            let reading = self.proxy_protocol(&mut inspected, allow_missing);
            // Without it nobody knows whose connection this is: there is nothing to continue with.
            timeout(limit, reading).await.unwrap_or(Err(Ended::Failed(TOO_LATE)))?;
        }
        if !wants.tls && !wants.http {
            return Ok(inspected);
        }
        let learned = &self.worker.process.learned;
        let hint = learned.spoken(inspected.ends.destination, Instant::now());
        let race = Race { arrival: self, wants, hint, may_ahead: true };
        let spoken = match timeout(limit, race.run(&mut inspected)).await {
            Ok(spoken) => spoken?,
            Err(_) => {
                self.worker.process.metrics.add(ProcessStat::DetectionTimeouts, 1);
                if !source.continue_on_listener_filters_timeout {
                    return Err(Ended::Failed(TOO_LATE));
                }
                // Neither side said enough: the next connection shall not wait for that.
                Spoken::Bytes
            }
        };
        self.note(&inspected, spoken);
        Ok(inspected)
    }

    /// Remembers what was spoken.
    fn note(self, inspected: &Inspected, spoken: Spoken) {
        let (process, now) = (&self.worker.process, Instant::now());
        process.learned.note(inspected.ends.destination, spoken, now);
        let metrics = &process.metrics;
        metrics.add(ProcessStat::Detections, 1);
        if spoken == Spoken::ServerFirst {
            metrics.add(ProcessStat::DetectedServerFirst, 1);
        }
    }

    async fn proxy_protocol(
        self,
        inspected: &mut Inspected,
        allow_missing: bool,
    ) -> Result<(), Ended> {
        let failed = Err(Ended::Failed(Failure::ProxyProtocolError));
        loop {
            match proxy_protocol::parse(&inspected.inbox) {
                proxy_protocol::Parsed::More => {}
                proxy_protocol::Parsed::Absent if allow_missing => return Ok(()),
                proxy_protocol::Parsed::Absent | proxy_protocol::Parsed::Invalid(_) => {
                    return failed;
                }
                proxy_protocol::Parsed::Header { ends, length } => {
                    inspected.inbox.drain(..length);
                    if let Some(proxy_protocol::Ends { source, destination }) = ends {
                        inspected.ends = Ends { peer: source, destination };
                    }
                    return Ok(());
                }
            }
            match read(self.wire, &mut inspected.inbox).await {
                Ok(1..) => {}
                // A health check that connects and leaves is no failure.
                _ if inspected.inbox.is_empty() => return Err(Ended::Left),
                // What was said so far is not the beginning of a header any more.
                _ if allow_missing => return Ok(()),
                _ => return failed,
            }
        }
    }
}

const TOO_LATE: Failure = Failure::InspectionTimeout;

/// What the listener filters ask for.
#[derive(Clone, Copy, Default)]
struct Wants {
    tls: bool,
    http: bool,
    /// Whether a connection may come without it.
    proxy_protocol: Option<bool>,
}

impl Wants {
    fn of(listener: &Listener) -> Self {
        let mut wants = Self::default();
        for filter in &listener.source().listener_filters {
            match filter {
                ListenerFilter::TlsInspector => wants.tls = true,
                ListenerFilter::HttpInspector => wants.http = true,
                ListenerFilter::ProxyProtocol { allow_missing } => {
                    wants.proxy_protocol = Some(*allow_missing);
                }
                ListenerFilter::OriginalDst => {}
            }
        }
        wants
    }

    fn is_nothing(self) -> bool {
        !self.tls && !self.http && self.proxy_protocol.is_none()
    }
}

/// Both sides read at once.
struct Race<'a> {
    arrival: Arrival<'a>,
    wants: Wants,
    hint: Option<Spoken>,
    /// Whether the server may still turn out to speak first.
    may_ahead: bool,
}

impl Race<'_> {
    async fn run(mut self, inspected: &mut Inspected) -> Result<Spoken, Ended> {
        let Arrival { worker, wire, .. } = self.arrival;
        let mut grace = std::pin::pin!(sleep(grace(self.hint)));
        loop {
            if let Some(seen) = self.look(&inspected.inbox) {
                inspected.seen = seen;
                return Ok(inspected.seen.spoken());
            }
            let Inspected { ends, inbox, ahead, .. } = inspected;
            let is_open = ahead.is_some();
            let hear = poll_fn(|cx| match ahead {
                Some(ahead) => ahead.poll_heard(cx, &worker.buffers),
                None => std::task::Poll::Pending,
            });
            tokio::select! {
                biased;
                count = read(wire, inbox) => match count {
                    Ok(1..) => {}
                    // Half-closed before it said enough: whatever it said is what it is.
                    _ if !inbox.is_empty() => return Ok(Spoken::Bytes),
                    _ => return Err(Ended::Left),
                },
                heard = hear, if is_open && self.may_ahead => match heard {
                    Heard::Server => return Ok(Spoken::ServerFirst),
                    Heard::Settings => {
                        self.may_ahead = false;
                        *ahead = None;
                    }
                    // It used to speak first: without it there is nothing to wait for.
                    Heard::Nothing if self.hint == Some(Spoken::ServerFirst) => {
                        return Ok(Spoken::ServerFirst);
                    }
                    Heard::Nothing => self.may_ahead = false,
                },
                () = &mut grace, if !is_open && self.may_ahead => {
                    *ahead = self.begin(*ends);
                    self.may_ahead = ahead.is_some();
                }
            }
        }
    }

    /// Opens the upstream connection of the chain that takes bytes of which nothing is known.
    fn begin(&self, ends: Ends) -> Option<Ahead> {
        let nothing = ConnectionFacts {
            destination: ends.destination,
            server_name: None,
            transport: TransportProtocol::RawBuffer,
            application_protocols: &[],
        };
        let chosen = self.arrival.active.choose(&nothing)?;
        Ahead::begin(self.arrival.worker, &chosen.chain, ends)
    }

    /// `None` asks for more bytes.
    fn look(&self, bytes: &[u8]) -> Option<Seen> {
        let mut seen = Seen::default();
        // Where nothing but opaque bytes was met, what may still become HTTP is not waited for.
        let is_opaque = !bytes.is_empty() && self.hint.is_some_and(Spoken::is_opaque);
        if self.wants.tls {
            match sniff::tls(bytes) {
                sniff::Tls::More => return None,
                sniff::Tls::No => {}
                sniff::Tls::Hello(hello) => {
                    seen.hello = Some(hello);
                    return Some(seen);
                }
            }
        }
        if self.wants.http {
            match sniff::http(bytes) {
                sniff::Http::More if is_opaque => {}
                sniff::Http::More => return None,
                answer => seen.http = answer.application_protocol(),
            }
        }
        Some(seen)
    }
}

/// How long the client is listened to alone. Who spoke first before will again; of a stranger most clients speak at once,
/// and a connection that is opened for nothing costs the server more than a few milliseconds cost the rest.
fn grace(hint: Option<Spoken>) -> Duration {
    match hint {
        Some(Spoken::ServerFirst | Spoken::Bytes) => Duration::ZERO,
        None => limits::CLIENT_FIRST,
        Some(Spoken::Http | Spoken::Tls) => limits::CLIENT_FIRST_KNOWN,
    }
}

/// Appends what the client says next; 0 is its end.
async fn read(wire: &Wire, inbox: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|cx| wire.poll_inspect(cx, inbox)).await
}
