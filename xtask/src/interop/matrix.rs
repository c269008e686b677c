//! Every client with every server, HTTP/1 and HTTP/2 on either side, through one proxy and through two: what each client
//! sees must be what it sees without a proxy.
//!
//! A client prints one line for each exchange, which says nothing of versions or connections. Where a client and a server
//! share no version, what the client sees of the reference server stands in, less what the server itself cannot do.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

use super::bed::{Bed, wires};
use super::ends;
use crate::bench::Wire;
use crate::peers;

/// `cargo xtask interop matrix`
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: super::Common,
    /// Only these clients.
    #[arg(long)]
    client: Vec<String>,
    /// Only these servers.
    #[arg(long)]
    server: Vec<String>,
    /// Node, curl and httpx against Node and Python, through one proxy.
    #[arg(long)]
    short: bool,
}

/// What is exchanged, by name, and what the client saw of it.
type Seen = BTreeMap<String, String>;

/// A client and the version it speaks to its proxy.
struct Client {
    name: &'static str,
    wire: Wire,
    /// How it is told the version; `Ends` and `ends` take it in this place.
    kind: &'static str,
    language: Language,
}

/// Who runs an end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Language {
    Node,
    Python,
    Go,
    Java,
}

/// A server, one port of it.
struct Server {
    name: &'static str,
    wire: Wire,
    address: SocketAddr,
}

const CLIENTS: [(&str, Wire, &str, Language); 17] = [
    ("go http1", Wire::Http1, "http1", Language::Go),
    ("go http2", Wire::Http2, "http2", Language::Go),
    ("node http1", Wire::Http1, "http1", Language::Node),
    ("node http2", Wire::Http2, "http2", Language::Node),
    ("java http1", Wire::Http1, "http1", Language::Java),
    ("java http2", Wire::TlsHttp2, "http2", Language::Java),
    ("http.client", Wire::Http1, "http.client", Language::Python),
    ("httpx http1", Wire::Http1, "httpx-http1", Language::Python),
    ("httpx http2", Wire::Http2, "httpx-http2", Language::Python),
    ("curl http1.0", Wire::Http1, "curl-http1.0", Language::Python),
    ("curl http1", Wire::Http1, "curl-http1", Language::Python),
    ("curl upgrade", Wire::Http1, "curl-upgrade", Language::Python),
    ("curl http2", Wire::Http2, "curl-http2", Language::Python),
    ("nghttp", Wire::Http2, "nghttp", Language::Python),
    ("nghttp upgrade", Wire::Http1, UPGRADE, Language::Python),
    ("h2load http1", Wire::Http1, "h2load-http1", Language::Python),
    ("h2load http2", Wire::Http2, "h2load-http2", Language::Python),
];

/// Goes on in HTTP/2 or not at all, so a server that has HTTP/1 alone is nothing to compare with.
const UPGRADE: &str = "nghttp-upgrade";

const SERVERS: [(&str, Wire, Language); 7] = [
    ("node http1", Wire::Http1, Language::Node),
    ("node http2", Wire::Http2, Language::Node),
    ("go http1", Wire::Http1, Language::Go),
    ("go http2", Wire::Http2, Language::Go),
    ("python http1", Wire::Http1, Language::Python),
    ("python http2", Wire::Http2, Language::Python),
    ("java http1", Wire::Http1, Language::Java),
];

/// What `--short` leaves.
const SHORT: ([&str; 5], [&str; 3]) = (
    ["node http1", "node http2", "httpx http2", "curl http1.0", "curl http1"],
    ["node http1", "node http2", "python http1"],
);

/// What two ends cannot do with each other whatever is between them: client, server, exchange, and why.
const UNFIT: [(Language, &str, &str, &str); 1] = [(
    Language::Java,
    "node http2",
    "expect",
    "Node's http2 wants `100-continue` in lower case, Java writes `100-Continue` and waits for ever (JDK-8286171)",
)];

/// What a cell came to.
#[derive(Debug, Default, PartialEq)]
struct Cell {
    same: usize,
    /// What client or server cannot do, or does not get through without a proxy either.
    cannot: usize,
    other: Vec<String>,
}

impl Args {
    /// What `make test` runs.
    pub(super) fn short(common: super::Common) -> Self {
        Self { common, client: Vec::new(), server: Vec::new(), short: true }
    }
}

pub(super) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    let bed = Bed::make(root, &args.common)?;
    let is_in = |wanted: &[String], short: &[&str], name: &str| {
        let is_named = wanted.iter().any(|each| each == name);
        is_named || (wanted.is_empty() && (!args.short || short.contains(&name)))
    };
    let clients = clients(&bed, |name| is_in(&args.client, &SHORT.0, name));
    let (servers, _running) = servers(&bed, |name| is_in(&args.server, &SHORT.1, name))?;
    ensure!(!clients.is_empty() && !servers.is_empty(), "no client or no server is left");
    let mut direct = Direct::new(&bed)?;
    let mut failures = Vec::new();
    for is_pair in if args.short { &[false][..] } else { &[false, true] } {
        let heads: Vec<_> = servers.iter().map(|server| server.name).collect();
        let title = if *is_pair { "two proxies, mutual TLS" } else { "one proxy" };
        println!("| {title} | {} |\n|---|{}", heads.join(" | "), "---|".repeat(heads.len()));
        for client in &clients {
            let mut row = Vec::new();
            for server in &servers {
                let cell =
                    cell(&bed, &mut direct, client, server, *is_pair).unwrap_or_else(|error| {
                        Cell { other: vec![format!("{error:#}")], ..Cell::default() }
                    });
                row.push(cell.to_string());
                let place = format!("{title}: {} to {}", client.name, server.name);
                failures.extend(cell.other.into_iter().map(|other| format!("{place}: {other}")));
            }
            println!("| {} | {} |", client.name, row.join(" | "));
        }
        println!();
    }
    println!("exchanges that differ from those without a proxy: {}", failures.len());
    for failure in &failures {
        println!("- {failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} same", self.same)?;
        if self.cannot > 0 {
            write!(f, ", {} cannot", self.cannot)?;
        }
        if self.other.is_empty() { Ok(()) } else { write!(f, ", {} OTHER", self.other.len()) }
    }
}

/// Those that can be had; the others are named, with the reason.
fn clients(bed: &Bed<'_>, is_wanted: impl Fn(&str) -> bool) -> Vec<Client> {
    let mut found = Vec::new();
    for (name, wire, kind, language) in CLIENTS {
        if !is_wanted(name) {
            continue;
        }
        // Some are programs that Python drives.
        let driven =
            ["curl", "nghttp", "h2load"].into_iter().find(|program| name.starts_with(program));
        let is_there = driven.map_or(Ok(()), |program| peers::path(program).map(drop));
        match is_there.and_then(|()| language.command(bed)) {
            Ok(_) => found.push(Client { name, wire, kind, language }),
            Err(error) => println!("no client {name}: {error:#}"),
        }
    }
    found
}

fn servers(
    bed: &Bed<'_>,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<(Vec<Server>, Vec<ends::Server>)> {
    let (mut found, mut running) = (Vec::new(), Vec::new());
    let mut started: BTreeMap<Language, Vec<SocketAddr>> = BTreeMap::new();
    for (name, wire, language) in SERVERS {
        if !is_wanted(name) {
            continue;
        }
        let ports = match started.entry(language) {
            Entry::Occupied(ports) => ports.into_mut(),
            Entry::Vacant(place) => {
                let mut command = match language.command(bed) {
                    Ok(command) => command,
                    Err(error) => {
                        println!("no server {name}: {error:#}");
                        continue;
                    }
                };
                command.arg("server");
                let server = ends::serve(command)?;
                let ports = place.insert(server.addresses.clone());
                running.push(server);
                ports
            }
        };
        let at = usize::from(wire == Wire::Http2);
        let address = *ports.get(at).context("a port for each version")?;
        found.push(Server { name, wire, address });
    }
    Ok((found, running))
}

impl Language {
    fn command(self, bed: &Bed<'_>) -> Result<Command> {
        match self {
            Self::Node => ends::node(bed.root(), "ends.cjs"),
            Self::Python => ends::python(bed.root(), "ends.py"),
            Self::Go => Ok(Command::new(ends::go(bed, "ends")?)),
            Self::Java => ends::java(bed, "Ends"),
        }
    }
}

/// What clients see without a proxy.
struct Direct {
    /// Node's server: the one that does everything, in both versions.
    reference: ends::Server,
    seen: BTreeMap<(&'static str, SocketAddr), Seen>,
}

impl Direct {
    fn new(bed: &Bed<'_>) -> Result<Self> {
        let mut command = Language::Node.command(bed)?;
        command.arg("server");
        Ok(Self { reference: ends::serve(command)?, seen: BTreeMap::new() })
    }

    /// What the client sees of the server, or would.
    fn expect(&mut self, bed: &Bed<'_>, client: &Client, server: &Server) -> Result<Seen> {
        if client.kind == UPGRADE {
            let (name, kind, language) = ("nghttp", "nghttp", client.language);
            return self.expect(bed, &Client { name, wire: Wire::Http2, kind, language }, server);
        }
        let plain = if client.wire == Wire::Http2 { Wire::Http2 } else { Wire::Http1 };
        if plain == server.wire {
            return self.see(bed, client, server.address);
        }
        let at = usize::from(plain == Wire::Http2);
        let reference = self.reference.addresses[at];
        let mut seen = self.see(bed, client, reference)?;
        // What Node's client of the server's version sees otherwise is the server's own.
        let (name, kind) = if server.wire == Wire::Http2 {
            ("node http2", "http2")
        } else {
            ("node http1", "http1")
        };
        let judge = Client { name, kind, wire: server.wire, language: Language::Node };
        let of_server = self.see(bed, &judge, server.address)?;
        let of_reference = self.see(bed, &judge, self.reference.addresses[1 - at])?;
        for (exchange, line) in &mut seen {
            if of_server.get(exchange) != of_reference.get(exchange) {
                *line = "cannot: the server".to_owned();
            }
        }
        Ok(seen)
    }

    fn see(&mut self, bed: &Bed<'_>, client: &Client, address: SocketAddr) -> Result<Seen> {
        if let Some(seen) = self.seen.get(&(client.name, address)) {
            return Ok(seen.clone());
        }
        let seen = ask(bed, client, &format!("http://{address}"), &[])?;
        self.seen.insert((client.name, address), seen.clone());
        Ok(seen)
    }
}

fn ask(bed: &Bed<'_>, client: &Client, url: &str, left: &[&str]) -> Result<Seen> {
    let mut command = client.language.command(bed)?;
    // Without TLS it is told the version that it shares with the server.
    let is_plain_java = client.wire == Wire::TlsHttp2 && url.starts_with("http:");
    let kind = if is_plain_java { "http1" } else { client.kind };
    command.args(["client", kind, url]).env("LENO_CA", bed.folder().join("ca.pem"));
    command.env("LENO_SKIP", left.join(","));
    let said = ends::said(&command, 60).with_context(|| format!("{} to {url}", client.name))?;
    let lines = said.lines().filter_map(|line| line.split_once('\t'));
    let seen: Seen = lines.map(|(name, what)| (name.to_owned(), what.to_owned())).collect();
    ensure!(!seen.is_empty(), "{} printed nothing", client.name);
    Ok(seen)
}

fn cell(
    bed: &Bed<'_>,
    direct: &mut Direct,
    client: &Client,
    server: &Server,
    is_pair: bool,
) -> Result<Cell> {
    let mut expected = direct.expect(bed, client, server)?;
    let unfit = |(who, whom, ..): &&(Language, &str, &str, &str)| {
        *who == client.language && *whom == server.name
    };
    let left: Vec<_> = UNFIT.iter().filter(unfit).collect();
    for (_, _, exchange, why) in &left {
        expected.insert((*exchange).to_owned(), format!("cannot: {why}"));
    }
    let left: Vec<_> = left.iter().map(|(_, _, exchange, _)| *exchange).collect();
    let proxy = bed.leno(wires(client.wire, server.wire, is_pair)?, server.address)?;
    let port = proxy.address.port();
    let url = match client.wire {
        Wire::TlsHttp2 => format!("https://localhost:{port}"),
        _ => format!("http://127.0.0.1:{port}"),
    };
    let found = ask(bed, client, &url, &left)?;
    Ok(compare(&expected, &found))
}

fn compare(expected: &Seen, found: &Seen) -> Cell {
    let mut cell = Cell::default();
    let names: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    for name in names {
        let of = |seen: &Seen| seen.get(name).cloned().unwrap_or_else(|| "nothing".to_owned());
        let (expected, found) = (of(expected), of(found));
        if expected.starts_with("cannot: ") || expected.starts_with("error: ") {
            cell.cannot += 1;
        } else if expected == found {
            cell.same += 1;
        } else {
            cell.other.push(format!("{name}: {expected:?} became {found:?}"));
        }
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::{Cell, Seen, compare};

    fn seen(lines: &[(&str, &str)]) -> Seen {
        lines.iter().map(|(name, what)| ((*name).to_owned(), (*what).to_owned())).collect()
    }

    #[test]
    fn a_cell_counts_what_is_the_same_and_names_what_is_not() {
        let expected =
            seen(&[("get", "a"), ("post", "b"), ("hints", "cannot: it"), ("early", "error: x")]);
        let found = seen(&[("get", "a"), ("post", "c"), ("hints", "d"), ("early", "e")]);
        let cell = compare(&expected, &found);
        let other = vec!["post: \"b\" became \"c\"".to_owned()];
        assert_eq!(cell, Cell { same: 1, cannot: 2, other });
        assert_eq!(cell.to_string(), "1 same, 2 cannot, 1 OTHER");
        assert_eq!(compare(&expected, &seen(&[("get", "a")])).other.len(), 1);
    }
}
