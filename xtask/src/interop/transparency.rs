//! Is a proxy seen by the application? Every message of a corpus goes through, and what arrives is compared with what was
//! sent: start line, field lines with their case, order and duplicates, body, trailers, interim responses.
//!
//! What HTTP says of one connection alone (`Connection`, `Transfer-Encoding`, …) is none of the application's, and the
//! fields that a mesh adds are listed here and in `docs/interop.md`; a field that is in neither list is a difference.

mod message;
mod server;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use self::message::{Difference, Message};
use self::server::Server;
use super::bed::{Bed, ONE, PAIR};
use crate::bench::{Program, Wire};

/// `cargo xtask interop transparency`
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: super::Common,
    /// More messages, made of random parts by this seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many of those.
    #[arg(long, default_value_t = 200)]
    generate: usize,
    /// Show what Envoy changes, too.
    #[arg(long)]
    differences: bool,
}

const CORPUS: &str = "xtask/interop/transparency.tsv";
/// Longer than anything takes on the loopback.
const PATIENCE: Duration = Duration::from_secs(10);
/// Two proxies with HTTP/1 between them.
const PLAIN_PAIR: &[Wire] = &[Wire::Http1, Wire::Http1, Wire::Http1];

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// One line of the corpus: this side of the exchange is looked at, the other is as plain as can be.
struct Case {
    topic: String,
    is_request: bool,
    bytes: Vec<u8>,
    shown: String,
}

impl Args {
    /// What `make test` runs.
    pub(super) fn short(common: super::Common) -> Self {
        Self { common, seed: 1, generate: 200, differences: false }
    }
}

pub(super) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    let mut cases = read_corpus(&std::fs::read_to_string(root.join(CORPUS))?)?;
    ensure!(cases.len() >= 200, "the corpus has {} messages", cases.len());
    cases.extend(message::generate(args.seed, args.generate).map(|(is_request, bytes)| Case {
        topic: "generated".to_owned(),
        is_request,
        shown: String::from_utf8_lossy(&bytes).escape_debug().to_string(),
        bytes,
    }));
    let bed = Bed::make(root, &args.common)?;
    let server = Server::start()?;
    let mut failed = false;
    println!("| through | messages | identical | case of names | order | reason | other |");
    println!("|---|---|---|---|---|---|---|");
    let mut lines = Vec::new();
    for (name, program, wires) in [
        ("nothing", None, ONE),
        ("leno", Some(Program::Leno), ONE),
        ("leno pair, HTTP/1", Some(Program::Leno), PLAIN_PAIR),
        ("leno pair, HTTP/2 and mutual TLS", Some(Program::Leno), PAIR),
        ("envoy", Some(Program::Envoy), ONE),
        ("envoy pair, HTTP/2 and mutual TLS", Some(Program::Envoy), PAIR),
    ] {
        let running = match program {
            None => None,
            Some(program) if !bed.is_wanted(program) => continue,
            Some(program) => match bed.transparent(program, wires, server.address()) {
                Ok(running) => Some(running),
                Err(error) if program == Program::Envoy => {
                    println!("no {name}: {error:#}");
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        let address = running.as_ref().map_or(server.address(), |running| running.address);
        let found = try_all(&cases, address, &server);
        println!("| {name} | {} | {} |", cases.len(), count(&found));
        for (case, differences) in cases.iter().zip(&found) {
            let is_failure = program != Some(Program::Envoy);
            for difference in differences {
                failed |= is_failure;
                if !is_failure && !args.differences {
                    continue;
                }
                let side = if case.is_request { "request" } else { "response" };
                lines.push(format!(
                    "- {name}: {side}, {}: {}: {difference}",
                    case.topic, case.shown
                ));
            }
        }
    }
    lines.iter().for_each(|line| println!("{}", line.chars().take(400).collect::<String>()));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn try_all(cases: &[Case], address: SocketAddr, server: &Server) -> Vec<Vec<Difference>> {
    let one = |case: &Case| {
        try_one(case, address, server)
            .unwrap_or_else(|error| vec![Difference::Lost(format!("{error:#}"))])
    };
    cases.iter().map(one).collect()
}

/// Sends one exchange and compares the side that the case is about.
fn try_one(case: &Case, address: SocketAddr, server: &Server) -> Result<Vec<Difference>> {
    let (request, response) =
        if case.is_request { (&case.bytes[..], RESPONSE) } else { (REQUEST, &case.bytes[..]) };
    server.answer_with(response);
    let is_head = request.starts_with(b"HEAD ");
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let (mut received, mut buffer) = (Vec::new(), vec![0; 65536]);
    let arrived = loop {
        if let Some(response) = Message::responses(&received, is_head, false) {
            break response;
        }
        let length = stream.read(&mut buffer).context("no whole answer")?;
        if length == 0 {
            break Message::responses(&received, is_head, true).context("half an answer")?;
        }
        received.extend_from_slice(&buffer[..length]);
    };
    // Whoever is at the other side may have gone already.
    let _ = stream.shutdown(Shutdown::Both);
    if !case.is_request {
        let sent =
            Message::responses(response, is_head, true).context("a response of the corpus")?;
        return Ok(message::compare(&sent, &arrived));
    }
    let sent = Message::request(request).context("a request of the corpus")?;
    let seen = server.take().with_context(|| {
        let line = received.split(|byte| *byte == b'\r').next().unwrap_or_default();
        format!("answered before the server: {}", String::from_utf8_lossy(line))
    })?;
    let seen = Message::request(&seen).context("what the server got")?;
    Ok(message::compare(&[sent], &[seen]))
}

/// `identical | case | order | reason | other`: each message counts once, under the worst that happened to it.
fn count(found: &[Vec<Difference>]) -> String {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for differences in found {
        let worst = differences.iter().map(Difference::rank).max().unwrap_or(0);
        *counts.entry(worst).or_default() += 1;
    }
    let figures: Vec<_> =
        (0..5).map(|rank| counts.get(&rank).copied().unwrap_or(0).to_string()).collect();
    figures.join(" | ")
}

/// `request|response TAB topic TAB message`. `\*x100;` is a hundred times `x`.
fn read_corpus(text: &str) -> Result<Vec<Case>> {
    let case = |line: &str| {
        let mut columns = line.splitn(3, '\t');
        let mut next = || columns.next().context("three columns");
        let (side, topic, shown) = (next()?, next()?, next()?);
        ensure!(side == "request" || side == "response", "{side}");
        Ok(Case {
            topic: topic.to_owned(),
            is_request: side == "request",
            bytes: unescape(shown)?,
            shown: shown.to_owned(),
        })
    };
    text.lines().map(|line| case(line).with_context(|| line.to_owned())).collect()
}

fn unescape(text: &str) -> Result<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let kind = rest[at + 1..].chars().next().context("an escape")?;
        rest = &rest[at + 2..];
        match kind {
            'r' => bytes.push(b'\r'),
            'n' => bytes.push(b'\n'),
            't' => bytes.push(b'\t'),
            '\\' => bytes.push(b'\\'),
            'x' => {
                bytes.push(u8::from_str_radix(rest.get(..2).context("two digits")?, 16)?);
                rest = &rest[2..];
            }
            '*' => {
                let (run, behind) = rest.split_once(';').context("an end of the run")?;
                let (byte, count) = run.split_at(1);
                bytes.extend(byte.repeat(count.parse()?).into_bytes());
                rest = behind;
            }
            _ => anyhow::bail!("\\{kind} is no escape"),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Message, message, read_corpus, unescape};

    #[test]
    fn the_corpus_is_whole_messages() {
        let text = include_str!("../../interop/transparency.tsv");
        let cases = read_corpus(text).unwrap();
        assert!(cases.len() >= 200, "{}", cases.len());
        for case in &cases {
            let is_whole = if case.is_request {
                Message::request(&case.bytes).is_some()
            } else {
                Message::responses(&case.bytes, false, true).is_some()
            };
            assert!(is_whole, "{}", case.shown);
        }
    }

    #[test]
    fn escapes_are_bytes() {
        assert_eq!(unescape(r"a\r\n\x00\\\*b3;c").unwrap(), b"a\r\n\0\\bbbc");
        assert!(unescape(r"\q").is_err());
    }

    #[test]
    fn generated_messages_are_whole_and_the_same_for_a_seed() {
        let once: Vec<_> = message::generate(7, 50).collect();
        assert!(once == message::generate(7, 50).collect::<Vec<_>>());
        for (is_request, bytes) in once {
            let is_whole = if is_request {
                Message::request(&bytes).is_some()
            } else {
                Message::responses(&bytes, false, false).is_some()
            };
            assert!(is_whole, "{}", String::from_utf8_lossy(&bytes));
        }
    }
}
