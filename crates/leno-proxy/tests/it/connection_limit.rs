//! `envoy.filters.network.connection_limit`, beside a real Envoy with the same file: the same connections are closed, held,
//! counted and recorded.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::admin::page;
use crate::envoy::{self, Pair, cluster, filter, log, ours, poll, tcp, text};
use crate::origin::{Peer, origin};

/// Longer than any answer on this machine takes, and short enough to wait for.
const DELAY: Duration = Duration::from_millis(700);

/// How connections end and what passed on them.
const FORMAT: &str = "%RESPONSE_FLAGS% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% \
                      %CONNECTION_TERMINATION_DETAILS% %BYTES_RECEIVED% %BYTES_SENT%";

fn file(limits: &str, origin: SocketAddr, path: &Path) -> String {
    let chain = tcp(limits, "c", &log(path, &text(FORMAT)));
    envoy::file(&chain, &[cluster("c", "", origin)])
}

fn limit(prefix: &str, max: usize, more: &str) -> String {
    filter(
        "envoy.filters.network.connection_limit",
        "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
        &format!("stat_prefix: {prefix}\nmax_connections: {max}\n{more}"),
    )
}

/// Says each word back.
fn shout() -> SocketAddr {
    origin(|mut peer| {
        while let Some(word) = peer.until("\n") {
            peer.write(word.to_uppercase());
        }
    })
}

fn is_served(client: &mut Peer) -> bool {
    client.write("hello\n");
    client.until("\n").as_deref() == Some("HELLO\n")
}

/// How long it takes until a connection, on which nothing is said, is closed unserved.
fn closed_after(address: SocketAddr) -> Duration {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut nothing = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut nothing);
    assert_eq!(nothing, b"");
    begun.elapsed()
}

fn counted(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| line.starts_with("envoy_connection_limit_"));
    // A filter that is switched off counts nothing here; Envoy tells of it all the same.
    lines.filter(|line| !line.contains("\"idle\"")).map(str::to_owned).collect()
}

/// What one proxy does, and counts at each step.
fn tried(
    address: SocketAddr,
    page: &dyn Fn() -> String,
    is_delayed: bool,
) -> Vec<BTreeSet<String>> {
    let mut first = Peer::connect(address);
    let mut second = Peer::connect(address);
    assert!(is_served(&mut first) && is_served(&mut second));
    let mut steps = vec![counted(&page())];
    for _ in 0..2 {
        let took = closed_after(address);
        // Envoy's timers may be a little early.
        assert!(!is_delayed || took >= DELAY / 2, "{took:?}");
    }
    assert!(is_served(&mut first), "who is in stays in");
    steps.push(poll("what is left", || {
        let now = counted(&page());
        let mut active = now.iter().filter(|line| line.contains("_active_"));
        active.all(|line| line.ends_with(" 2")).then_some(now)
    }));
    // A place that is left is taken by the next.
    drop(first);
    poll("a free place", || is_served(&mut Peer::connect(address)).then_some(()));
    steps
}

#[test]
fn connections_beyond_the_limit_are_closed_as_with_envoy() {
    let delay = format!("delay: {:.1}s\n", DELAY.as_secs_f64());
    let idle = "runtime_enabled: { default_value: false, runtime_key: a.b }\n";
    // (limits, whether what is beyond waits)
    let table = [
        (limit("few", 2, ""), false),
        (limit("few", 2, &delay), true),
        (limit("many", 100, "") + &limit("few", 2, ""), false),
        (limit("idle", 1, idle) + &limit("few", 2, ""), false),
    ];
    for (limits, is_delayed) in table {
        let origin = shout();
        let Some(pair) = Pair::start(|log| file(&limits, origin, log)) else { return };
        let our_page = || page(&pair.ours, "GET /stats/prometheus").1;
        let their_page = || pair.theirs.page("/stats/prometheus");
        let [ours, theirs] = pair.addresses;
        let theirs = tried(theirs, &their_page, is_delayed);
        assert_eq!(tried(ours, &our_page, is_delayed), theirs, "{limits}");
        // The first that ended are those beyond.
        let [ours, theirs] = pair.logged(2);
        assert_eq!(ours[..2], theirs[..2], "{limits}");
    }
}

#[test]
fn what_is_no_limit_is_refused_with_its_place() {
    let error = ours(&file(&limit("few", 0, ""), shout(), Path::new("/nowhere"))).unwrap_err();
    let mut said = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        said = format!("{said}: {inner}");
        source = inner.source();
    }
    let place = "filters[0].typed_config.max_connections";
    assert!(said.contains(place) && said.contains("is not a number above 0"), "{said}");
}
