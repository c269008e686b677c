use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_core::cluster::Transport;
use leno_core::keep_alive::SharedKeepAlive;
use leno_core::retry::Idempotence;
use leno_http::Limits;
use leno_http::h1::Client;
use tokio::net::{TcpListener, TcpStream};

use super::{Connection, Pool, Wanted};
use crate::listener::Proof;
use crate::wire::Wire;

fn plaintext() -> Arc<Transport> {
    Arc::new(Transport { name: "default".into(), tls: None, proxy_protocol: None })
}

async fn connection() -> (Box<Connection<()>>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    let wire = Wire::Tcp(near.unwrap().into());
    let connection = Box::new(Connection {
        wire,
        client: Client::new(Limits::DEFAULT),
        served: 0,
        opened: Instant::now(),
        idle: Duration::ZERO,
        transport: plaintext(),
        proof: Proof::default(),
        is_http2: false,
        local: None,
        _slot: (),
    });
    (connection, far.unwrap().0)
}

fn take(
    pool: &Pool<()>,
    known: &SharedKeepAlive,
    now: Instant,
    idempotence: Idempotence,
) -> Option<Box<Connection<()>>> {
    let age_max = Duration::from_secs(3600);
    pool.checkout(Wanted { transport: &plaintext(), known, now, idempotence, age_max })
}

#[tokio::test]
async fn the_last_connection_comes_out_first_and_a_closed_one_never() {
    let pool = Pool::default();
    let known = SharedKeepAlive::default();
    let now = Instant::now();
    let (older, _far_older) = connection().await;
    let older_local = older.wire.local_addr();
    let (closed, far_closed) = connection().await;
    drop(far_closed);
    closed.wire.tcp().unwrap().readable().await.unwrap();
    for kept in [older, closed] {
        pool.give_back(kept, now);
    }
    let now = now + Duration::from_millis(4);
    let taken = take(&pool, &known, now, Idempotence::Idempotent).unwrap();
    assert_eq!(taken.wire.local_addr(), older_local);
    assert!(take(&pool, &known, now, Idempotence::Idempotent).is_none() && pool.is_empty());
    let learnt = known.load().used_within();
    assert!(learnt.is_some_and(|within| within <= Duration::from_millis(10)), "{learnt:?}");
}

#[tokio::test]
async fn what_is_too_old_for_one_request_stays_for_another() {
    let pool = Pool::default();
    let known = SharedKeepAlive::default();
    let now = Instant::now();
    let (kept, _far) = connection().await;
    pool.give_back(kept, now);
    let late = now + Duration::from_secs(5);
    assert!(take(&pool, &known, late, Idempotence::NotIdempotent).is_none());
    assert!(take(&pool, &known, late, Idempotence::Idempotent).is_some());
}

#[tokio::test]
async fn one_witness_outlives_what_is_retired() {
    let pool = Pool::default();
    let known = SharedKeepAlive::default();
    known.update(|known| known.on_announced(Some(Duration::from_secs(5))));
    let now = Instant::now();
    let mut far = Vec::new();
    for age in [4, 3, 0] {
        let (kept, other) = connection().await;
        far.push(other);
        pool.give_back(kept, now + Duration::from_secs(4 - age));
    }
    let late = now + Duration::from_secs(5);
    pool.sweep(late, (Duration::from_secs(3600), Duration::MAX), &known);
    assert_eq!(pool.len(), 2, "the witness, and the one that is young");
    assert!(take(&pool, &known, late, Idempotence::Idempotent).is_some());
    assert!(take(&pool, &known, late, Idempotence::Idempotent).is_none());
    assert_eq!(pool.len(), 1);
}

#[tokio::test]
async fn a_sweep_closes_what_is_idle_too_long() {
    let pool = Pool::default();
    let known = SharedKeepAlive::default();
    let now = Instant::now();
    let (kept, _far) = connection().await;
    pool.give_back(kept, now);
    let idle = Duration::from_secs(60);
    pool.sweep(now + idle / 2, (idle, Duration::MAX), &known);
    assert_eq!(pool.len(), 1);
    pool.sweep(now + idle, (idle, Duration::MAX), &known);
    assert!(pool.is_empty());
}

#[tokio::test]
async fn what_has_stood_too_long_is_neither_used_nor_kept() {
    let pool = Pool::default();
    let known = SharedKeepAlive::default();
    let now = Instant::now();
    let mut far = Vec::new();
    for _ in 0..2 {
        let (kept, other) = connection().await;
        far.push(other);
        pool.give_back(kept, now + Duration::from_secs(3599));
    }
    let late = now + Duration::from_secs(3600);
    pool.sweep(late, (Duration::from_secs(60), Duration::from_secs(7200)), &known);
    assert_eq!((pool.len(), pool.take_aged()), (2, 0));
    assert!(take(&pool, &known, late + Duration::from_secs(1), Idempotence::Idempotent).is_none());
    assert_eq!((pool.len(), pool.take_aged()), (0, 2));
    let (kept, _far) = connection().await;
    pool.give_back(kept, late);
    pool.sweep(late, (Duration::from_secs(60), Duration::from_secs(3599)), &known);
    assert_eq!((pool.len(), pool.take_aged()), (0, 1));
}
