//! A turn of the worker costs one read and one write for each connection, however many streams move.
//!
//! Seen through sockets that keep messages apart (`SOCK_SEQPACKET`): each write is one message, and what a read has no
//! room for of a message is lost.

use std::future::poll_fn;
use std::io::{ErrorKind, Read as _, Write as _};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use leno_core::snapshot::Resources;
use leno_http::h2::{self, Event, Heads, Settings, Then};
use leno_http::{BodyLength, RequestHead, ResponseHead, Version};
use socket2::{Domain, Socket, Type};
use tokio::task::{LocalSet, spawn_local, yield_now};

use super::{Changes, Connection, Peerage, Stream};
use crate::lane::Spent;
use crate::limits::ProcessLimits;
use crate::options::{Admin, ConfigSource, Options};
use crate::process::Process;
use crate::upstream::dial::InboundDialer;
use crate::wire::Wire;
use crate::worker::{Seed, Worker};

/// That move at once.
const STREAMS: usize = 100;

/// No exchange of these tests takes longer; a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// A worker without a thread of its own.
fn worker() -> Rc<Worker> {
    let mut options = Options {
        config: ConfigSource::Resources(Resources::default()),
        workers: NonZeroUsize::MIN,
        admin: Admin::Off,
        metrics: Vec::new(),
        inherited: Vec::new(),
        inbound_addresses: Vec::new(),
        limits: ProcessLimits::of_machine(NonZeroUsize::MIN),
        inbound_dialer: InboundDialer::Host,
        dns: crate::dns::Sockets::default(),
        log_level: None,
        handover: None,
        tls_key_log: None,
        lame_duck: Duration::ZERO,
        drain: Duration::ZERO,
    };
    let process = Arc::new(Process::new(&mut options, None, None, None));
    let in_force = process.publisher.in_force();
    let (dialer, connections_max) = (InboundDialer::Host, 1);
    let seed = Seed { id: 0, process, random: 7, dialer, connections_max };
    Rc::new(Worker::new(seed, in_force, Spent::default()))
}

/// The other end of a connection: a machine, and its socket.
struct Far {
    machine: h2::Connection,
    socket: UnixStream,
    /// To be sent with the next message.
    out: Vec<u8>,
}

impl Far {
    fn new(mut machine: h2::Connection) -> (Self, Wire) {
        let (near, far) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        let [near, socket] = [near, far].map(|socket| {
            socket.set_nonblocking(true).unwrap();
            UnixStream::from(OwnedFd::from(socket))
        });
        let mut out = Vec::new();
        machine.start(&mut out);
        let wire = Wire::Unix(tokio::net::UnixStream::from_std(near).unwrap());
        (Self { machine, socket, out }, wire)
    }

    fn send(&mut self) {
        assert_eq!(self.socket.write(&self.out).unwrap(), self.out.len());
        self.out.clear();
    }

    /// Whether a message waits, after everybody had many turns.
    async fn hears_more(&mut self) -> bool {
        for _ in 0..1000 {
            yield_now().await;
        }
        self.socket.read(&mut [0]).is_ok()
    }

    /// The streams whose messages ended within one message of the socket.
    async fn receive(&mut self) -> Vec<h2::Stream> {
        let mut message = vec![0; 1 << 20];
        let length = loop {
            match self.socket.read(&mut message) {
                Ok(length) => break length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        let (mut input, mut heads, mut ended) = (&message[..length], Heads::default(), Vec::new());
        let Self { machine, out, .. } = self;
        while let Some(event) =
            machine.receive(Instant::now(), &mut input, &mut heads, out).unwrap()
        {
            match event {
                Event::Request { stream, then: Then::End }
                | Event::Response { stream, then: Then::End }
                | Event::Data { stream, then: Then::End, .. } => ended.push(stream),
                _ => {}
            }
        }
        ended
    }

    /// The same, of as many messages as it takes.
    async fn receive_all(&mut self, count: usize) -> Vec<h2::Stream> {
        let mut ended = Vec::new();
        while ended.len() < count {
            ended.extend(self.receive().await);
        }
        ended
    }
}

fn question() -> RequestHead {
    let mut head = RequestHead::new();
    head.start(Version::Http2, "GET", "example.test", "/");
    head
}

fn answer() -> ResponseHead {
    let mut head = ResponseHead::new();
    head.start(Version::Http2, 200);
    head.set_body(BodyLength::Exactly(5));
    head
}

/// Runs a test as a worker runs its tasks.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let test = async { tokio::time::timeout(PATIENCE, test).await.expect("nothing hangs") };
    LocalSet::new().block_on(&runtime, test);
}

fn flush_for_ever(worker: &Rc<Worker>) {
    let worker = Rc::clone(worker);
    spawn_local(async move { worker.flusher.run().await });
}

#[test]
fn what_many_streams_answer_in_one_turn_is_one_write() {
    async fn respond(stream: Stream) {
        stream.respond(&answer(), Then::More);
        assert_eq!(stream.send_data(b"hello", Then::End), 5);
    }
    run(async {
        let worker = worker();
        flush_for_ever(&worker);
        let (mut far, wire) = Far::new(h2::Connection::client(Settings::DEFAULT));
        let connection = Connection::server(&worker, wire, &[], (Settings::DEFAULT, None));
        spawn_local(poll_fn(move |cx| {
            let driven = connection.poll_drive(cx);
            while let Some(stream) = connection.accept() {
                spawn_local(respond(stream));
            }
            driven.map(|ended| panic!("{ended:?}"))
        }));
        // After one exchange both know each other's settings.
        for streams in [1, STREAMS, STREAMS] {
            for _ in 0..streams {
                let Far { machine, out, .. } = &mut far;
                machine.request(&question(), Then::End, out).unwrap();
            }
            far.send();
            let answered =
                if streams == 1 { far.receive_all(1).await } else { far.receive().await };
            assert_eq!(answered.len(), streams, "answered by one write");
            for stream in answered {
                far.machine.finish(stream, &mut far.out);
            }
            assert!(streams == 1 || !far.hears_more().await);
        }
    });
}

#[test]
fn what_many_streams_ask_in_one_turn_is_one_write() {
    async fn call(connection: Rc<Connection>) {
        let stream = connection.request(&question(), Then::End).unwrap();
        poll_fn(|cx| {
            stream.register(cx);
            let mut head = ResponseHead::new();
            if stream.take_response(&mut head) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    run(async {
        let worker = worker();
        flush_for_ever(&worker);
        let (mut far, wire) = Far::new(h2::Connection::server(Settings::DEFAULT));
        far.send();
        let place = Rc::<Changes>::default();
        let connection = Connection::client(&worker, wire, Peerage::default(), place);
        let driven = Rc::clone(&connection);
        spawn_local(poll_fn(move |cx| driven.poll_drive(cx).map(|ended| panic!("{ended:?}"))));
        connection.settled().await;
        for streams in [1, STREAMS, STREAMS] {
            let calls: Vec<_> =
                (0..streams).map(|_| spawn_local(call(Rc::clone(&connection)))).collect();
            let asked = if streams == 1 { far.receive_all(1).await } else { far.receive().await };
            assert_eq!(asked.len(), streams, "asked by one write");
            let Far { machine, out, .. } = &mut far;
            for stream in asked {
                machine.response(stream, &answer(), Then::More, out);
                machine.data(stream, b"hello", Then::End, out);
                machine.finish(stream, out);
            }
            // One message, so that one read has it.
            far.send();
            for call in calls {
                call.await.unwrap();
            }
            // Credits and a PING for what came.
            while far.hears_more().await {}
        }
    });
}
