//! HTTP/1 messages that readers frame differently, put to every proxy, each with a server behind it that records the
//! bytes it gets.
//!
//! Two questions. Who takes which message? And, the one that decides: is what Leno passes on read by the others as the
//! one message that Leno read? A proxy that frames it otherwise behind us could be made to answer somebody else.

mod recorder;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};

use self::recorder::Recorder;
use super::Common;
use super::bed::Bed;
use crate::bench::{Running, Wire};

const CORPUS: &str = "crates/leno-http/tests/smuggling.tsv";
/// Enough for an answer over the loopback; a message that is not whole gets none.
const PATIENCE: Duration = Duration::from_millis(500);

/// One message and how it is shown.
struct Case {
    section: String,
    text: String,
    bytes: Vec<u8>,
}

/// What a proxy did with a message.
#[derive(Clone, Debug, PartialEq)]
struct Verdict {
    /// `None` where no answer came.
    status: Option<u16>,
    /// What its server got.
    passed_on: Vec<u8>,
}

pub(super) fn run(root: &Path, common: &Common) -> Result<ExitCode> {
    let cases = read_corpus(&std::fs::read_to_string(root.join(CORPUS))?);
    let bed = Bed::make(root, common)?;
    let mut verdicts: BTreeMap<&str, Vec<Verdict>> = BTreeMap::new();
    // A proxy and its recorder stand alone, so that all of them can be asked at once.
    let mut standing = Vec::new();
    for only in super::bed::PROXIES {
        let recorder = Recorder::start()?;
        let running = bed.start(&[Wire::Http1, Wire::Http1], recorder.address());
        let found = running.into_iter().find(|running| running.contender.name == only.0);
        standing.extend(found.map(|running| (running, recorder)));
    }
    ensure!(!standing.is_empty(), "no proxy could be started");
    std::thread::scope(|scope| {
        let asked: Vec<_> = standing
            .iter()
            .map(|(running, recorder)| {
                let ask = || cases.iter().map(|c| ask(running, recorder, &c.bytes)).collect();
                (running.contender.name, scope.spawn(ask))
            })
            .collect();
        for (name, thread) in asked {
            verdicts.insert(name, thread.join().unwrap_or_default());
        }
    });
    println!("{}", table(&cases, &verdicts));
    let misread = misread(&cases, &verdicts, &standing);
    println!("passed on by leno and read otherwise behind it: {}", misread.len());
    for line in &misread {
        println!("- {line}");
    }
    Ok(if misread.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends the message, ends the sending side, and waits for an answer.
fn ask(running: &Running, recorder: &Recorder, message: &[u8]) -> Verdict {
    let answer = exchange(running.address, message).unwrap_or_default();
    Verdict { status: status(&answer), passed_on: recorder.take() }
}

fn exchange(address: SocketAddr, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(message)?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    // One answer is enough; a proxy that keeps the connection would let us wait for nothing.
    while !is_whole(&answer) {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => answer.extend_from_slice(&buffer[..length]),
        }
    }
    // A client that has gone already is nothing to complain of.
    let _ = stream.shutdown(Shutdown::Both);
    Ok(answer)
}

/// A final answer's head has come.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    text.contains("\r\n\r\n") && status(answer).is_some_and(|status| status >= 200)
}

fn status(answer: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(answer);
    // An interim answer comes before the one that counts.
    let heads = text.split("\r\n\r\n").filter_map(|head| head.strip_prefix("HTTP/1."));
    let mut codes = heads.filter_map(|head| head.get(2..5)?.parse().ok());
    codes.find(|code| *code >= 200)
}

/// Cases where the others, given what Leno passed on, see another number of messages or another body.
fn misread(
    cases: &[Case],
    verdicts: &BTreeMap<&str, Vec<Verdict>>,
    standing: &[(Running, Recorder)],
) -> Vec<String> {
    let mut lines = Vec::new();
    let Some(ours) = verdicts.get("leno") else { return lines };
    for (case, verdict) in cases.iter().zip(ours) {
        if verdict.passed_on.is_empty() {
            continue;
        }
        let meant = recorder::messages(&verdict.passed_on);
        for (running, recorder) in standing {
            let name = running.contender.name;
            // Whoever refuses it reads nothing otherwise. A busy machine may mix up neighbours once, not every time.
            let is_other = |seen: &Vec<_>| !meant.starts_with(seen);
            let again =
                || recorder::messages(&ask(running, recorder, &verdict.passed_on).passed_on);
            let seen: Vec<_> = (0..3).map(|_| again()).take_while(is_other).collect();
            if let [_, _, last] = &seen[..] {
                lines.push(format!(
                    "{name}: {} {}: {meant:?} read as {last:?}",
                    case.section, case.text
                ));
            }
        }
    }
    lines
}

/// By section: how many each proxy passed on.
fn table(cases: &[Case], verdicts: &BTreeMap<&str, Vec<Verdict>>) -> String {
    let mut sections: BTreeMap<&str, (usize, BTreeMap<&str, usize>)> = BTreeMap::new();
    for (at, case) in cases.iter().enumerate() {
        let (count, passed) = sections.entry(&case.section).or_default();
        *count += 1;
        for (name, verdicts) in verdicts {
            let is_passed = verdicts.get(at).is_some_and(|v| !v.passed_on.is_empty());
            *passed.entry(name).or_default() += usize::from(is_passed);
        }
    }
    let names: Vec<_> = verdicts.keys().copied().collect();
    let mut text = format!(
        "Messages passed on, of so many\n\n| section | cases | {} |\n|---|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for (section, (count, passed)) in sections {
        let figures: Vec<_> = names.iter().map(|name| passed[name].to_string()).collect();
        let _ = writeln!(text, "| {section} | {count} | {} |", figures.join(" | "));
    }
    text
}

fn read_corpus(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for line in text.lines() {
        let mut columns = line.split('\t');
        let mut next = || columns.next().unwrap_or_default().to_owned();
        let (section, form, text) = (next(), next(), next());
        let bytes = unescape(&text);
        let head = b"POST / HTTP/1.1\r\nHost: x\r\n";
        let bytes = match form.as_str() {
            "lines" => [head, &bytes[..], b"\r\nhello"].concat(),
            "chunks" => [head, &b"Transfer-Encoding: chunked\r\n\r\n"[..], &bytes].concat(),
            _ => bytes,
        };
        cases.push(Case { section, text, bytes });
    }
    cases
}

fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        let escaped = if byte == b'\\' { rest.next() } else { None };
        bytes.push(match escaped {
            None => byte,
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'v') => 0x0b,
            Some(b'f') => 0x0c,
            Some(b'0') => 0,
            Some(b'x') => {
                let pair = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default();
                u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap_or_default()
            }
            Some(plain) => plain,
        });
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{read_corpus, status};

    #[test]
    fn a_line_of_the_corpus_is_a_message() {
        let cases =
            read_corpus("9112-5\tlines\tA\\x00: \\r\\n\trefused\n9112-3\traw\tGET\\t/\tx\n");
        assert_eq!(cases[0].bytes, b"POST / HTTP/1.1\r\nHost: x\r\nA\0: \r\n\r\nhello");
        assert_eq!(cases[1].bytes, b"GET\t/");
    }

    #[test]
    fn the_final_status_counts() {
        assert_eq!(status(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.1 100 Continue\r\n\r\n"), None);
        assert_eq!(status(b""), None);
    }
}
