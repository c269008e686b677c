//! The corpus of messages that readers frame differently, and our verdict on each: what is accepted must be read the
//! same by whoever stands behind us, so that whatever two readers could disagree about is refused. `cargo xtask
//! interop smuggling` puts the same cases to other proxies.

use leno_http::h1::{BodyReader, Piece, Server};
use leno_http::{Limits, RequestHead};

/// Section, form, text, verdict; escapes as in Rust.
const CORPUS: &str = include_str!("../smuggling.tsv");

/// What is sent: `raw` as it stands; `lines` in the head of a POST that is followed by `hello`; `chunks` as a chunked
/// body.
fn message(form: &str, text: &[u8]) -> Vec<u8> {
    let head: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\n";
    match form {
        "raw" => text.to_vec(),
        "lines" => [head, text, b"\r\nhello"].concat(),
        "chunks" => [head, b"Transfer-Encoding: chunked\r\n\r\n", text].concat(),
        other => panic!("no form {other}"),
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.chars());
    while let Some(letter) = rest.next() {
        if letter != '\\' {
            bytes.extend(letter.to_string().bytes());
            continue;
        }
        bytes.push(match rest.next().expect("something is escaped") {
            'r' => b'\r',
            'n' => b'\n',
            't' => b'\t',
            'v' => 0x0b,
            'f' => 0x0c,
            '0' => 0,
            'x' => {
                let pair: String = rest.by_ref().take(2).collect();
                u8::from_str_radix(&pair, 16).expect("two hexadecimal digits")
            }
            plain => u8::try_from(plain).expect("an ASCII letter"),
        });
    }
    bytes
}

/// The code of the refusal; `ok` with the body's bytes and what is left over; `more` when it is not whole.
fn verdict(input: &[u8]) -> String {
    let (mut server, mut head) = (Server::new(Limits::DEFAULT), RequestHead::new());
    let length = match server.head(input, &mut head) {
        Ok(Some(length)) => length,
        Ok(None) => return "more".to_owned(),
        Err(invalid) => return invalid.code().to_owned(),
    };
    body(server.request_body(), &input[length..])
}

fn body(reader: &mut BodyReader, mut input: &[u8]) -> String {
    let mut bytes = 0;
    loop {
        let decoded = match reader.decode(input) {
            Ok(decoded) => decoded,
            Err(invalid) => return invalid.code().to_owned(),
        };
        if let Piece::Data(data) = &decoded.piece {
            bytes += data.len();
        }
        input = &input[decoded.consumed..];
        match decoded.piece {
            Piece::Data(_) => {}
            Piece::More => return "more".to_owned(),
            Piece::End => return format!("ok {bytes}+{}", input.len()),
        }
    }
}

#[test]
fn every_case_of_the_corpus_has_its_verdict() {
    let mut wrong = Vec::new();
    for line in CORPUS.lines() {
        let [section, form, text, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line:?} has not four columns")
        };
        let seen = verdict(&message(form, &unescape(text)));
        if seen != expected {
            wrong.push(format!("{section}\t{form}\t{text}\t{seen}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(CORPUS.lines().count() >= 300);
}
