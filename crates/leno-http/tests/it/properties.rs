//! What must hold for any input: splits change nothing, writing and reading are inverse, nothing panics.

use leno_http::h1::{BodyReader, Client, Persistence, Piece, Server, relay};
use leno_http::{BodyLength, Fields, Invalid, Limits, Name, RequestHead, ResponseHead, Version};
use proptest::collection::vec;
use proptest::prelude::*;

/// Small enough that generated messages meet every limit.
const LIMITS: Limits = Limits {
    head_bytes: 300,
    fields: 8,
    chunk_line_bytes: 24,
    chunk_extension_bytes: 40,
    trailer_bytes: 60,
};

type Pairs = Vec<(String, Vec<u8>)>;

/// What a connection's bytes meant, data joined.
#[derive(Debug, Default, PartialEq)]
struct Meaning {
    heads: Vec<(String, Pairs)>,
    bodies: Vec<Vec<u8>>,
    trailers: Vec<Pairs>,
    end: Option<Invalid>,
}

fn pairs(fields: &Fields) -> Pairs {
    fields.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect()
}

/// Feeds a server in reads of the given lengths (the last repeats), answering every request at once.
fn requests(input: &[u8], reads: &[usize]) -> Meaning {
    let mut meaning = Meaning::default();
    let (mut server, mut head) = (Server::new(LIMITS), RequestHead::new());
    let (mut held, mut fed, mut turn) = (Vec::new(), 0, 0);
    let mut in_body = false;
    while meaning.end.is_none() && fed < input.len() {
        let length = reads[turn.min(reads.len() - 1)].clamp(1, input.len() - fed);
        held.extend_from_slice(&input[fed..fed + length]);
        (fed, turn) = (fed + length, turn + 1);
        meaning.end =
            requests_in(&mut server, &mut head, &mut held, &mut in_body, &mut meaning).err();
    }
    meaning
}

fn requests_in(
    server: &mut Server,
    head: &mut RequestHead,
    held: &mut Vec<u8>,
    in_body: &mut bool,
    meaning: &mut Meaning,
) -> Result<(), Invalid> {
    loop {
        if !*in_body {
            let Some(length) = server.head(held, head)? else { return Ok(()) };
            held.drain(..length);
            meaning
                .heads
                .push((format!("{} {}", head.method_str(), head.target()), pairs(head.fields())));
            meaning.bodies.push(Vec::new());
            *in_body = true;
        }
        if !body_in(server.request_body(), held, meaning)? {
            return Ok(());
        }
        let mut response = ResponseHead::new();
        response.start(Version::Http11, 200);
        server.response(&response, &mut Vec::new());
        *in_body = false;
        // An upgraded or closing connection has no second request: what is behind it means nothing.
        if server.finish() == Persistence::Close {
            return Err(Invalid::Truncated);
        }
    }
}

/// Feeds a client that asked once, in reads of the given lengths, and then the end of the connection.
fn response(input: &[u8], reads: &[usize]) -> Meaning {
    let mut meaning = Meaning::default();
    let (mut client, mut asked) = (Client::new(LIMITS), RequestHead::new());
    asked.start(Version::Http11, "GET", "x", "/");
    client.request(&asked, &mut Vec::new());
    let (mut held, mut fed, mut turn, mut is_over) = (Vec::new(), 0, 0, false);
    while meaning.end.is_none() && !is_over && fed < input.len() {
        let length = reads[turn.min(reads.len() - 1)].clamp(1, input.len() - fed);
        held.extend_from_slice(&input[fed..fed + length]);
        (fed, turn) = (fed + length, turn + 1);
        match response_in(&mut client, &mut held, &mut meaning) {
            Ok(end) => is_over = end,
            Err(invalid) => meaning.end = Some(invalid),
        }
    }
    if meaning.end.is_none() && !is_over {
        meaning.end = client.end_of_input().err();
    }
    meaning
}

fn response_in(
    client: &mut Client,
    held: &mut Vec<u8>,
    meaning: &mut Meaning,
) -> Result<bool, Invalid> {
    while meaning.bodies.is_empty() {
        let mut head = ResponseHead::new();
        let Some(length) = client.response(held, &mut head)? else { return Ok(false) };
        held.drain(..length);
        let reason = String::from_utf8_lossy(head.reason()).into_owned();
        meaning.heads.push((format!("{} {reason}", head.status()), pairs(head.fields())));
        if !head.is_interim() {
            meaning.bodies.push(Vec::new());
        }
    }
    body_in(client.response_body(), held, meaning)
}

fn body_in(
    reader: &mut BodyReader,
    held: &mut Vec<u8>,
    meaning: &mut Meaning,
) -> Result<bool, Invalid> {
    loop {
        let decoded = reader.decode(held)?;
        let consumed = decoded.consumed;
        match decoded.piece {
            Piece::Data(data) => meaning.bodies.last_mut().unwrap().extend_from_slice(data),
            Piece::More => {
                held.drain(..consumed);
                return Ok(false);
            }
            Piece::End => {
                held.drain(..consumed);
                meaning.trailers.push(pairs(reader.trailers()));
                return Ok(true);
            }
        }
        held.drain(..consumed);
    }
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z][A-Za-z0-9-]{0,9}"
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (token(), "[ -~]{0,12}").prop_map(|(name, value)| format!("{name}: {value}\r\n")),
        1 => Just("Connection: close\r\n".to_owned()),
        1 => Just("Expect: 100-continue\r\n".to_owned()),
        1 => (token(), "[ -~\t\r\n\u{0}]{0,6}").prop_map(|(name, value)| format!("{name}:{value}\r\n")),
    ]
}

fn chunk() -> impl Strategy<Value = String> {
    ("[a-z0-9]{1,20}", prop_oneof![4 => Just(String::new()), 1 => ";[a-z=\"]{1,24}"])
        .prop_map(|(data, extension)| format!("{:x}{extension}\r\n{data}\r\n", data.len()))
}

fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\r\n".to_owned()),
        "[a-z]{0,30}".prop_map(|body| format!("Content-Length: {}\r\n\r\n{body}", body.len())),
        (vec(chunk(), 0..4), vec(line(), 0..2)).prop_map(|(chunks, trailers)| {
            format!(
                "Transfer-Encoding: chunked\r\n\r\n{}0\r\n{}\r\n",
                chunks.concat(),
                trailers.concat()
            )
        }),
    ]
}

fn message() -> impl Strategy<Value = String> {
    let start = prop_oneof![
        8 => Just("GET /a?b HTTP/1.1\r\nHost: x\r\n".to_owned()),
        2 => Just("POST http://h/ HTTP/1.1\r\nHost: x\r\n".to_owned()),
        1 => "[A-Z]{1,3} [/a-z ]{1,4} HTTP/1[.][0-3]\r\n",
    ];
    (start, vec(line(), 0..5), body())
        .prop_map(|(start, lines, body)| format!("{start}{}{body}", lines.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn any_split_of_requests_means_the_same(
        messages in vec(message(), 1..4),
        noise in vec((any::<prop::sample::Index>(), any::<u8>()), 0..2),
        reads in vec(1_usize..40, 1..12),
    ) {
        let mut input = messages.concat().into_bytes();
        for (at, byte) in noise {
            let at = at.index(input.len());
            input[at] = byte;
        }
        let whole = requests(&input, &[input.len()]);
        prop_assert_eq!(&requests(&input, &[1]), &whole);
        prop_assert_eq!(&requests(&input, &reads), &whole);
    }

    #[test]
    fn any_split_of_a_response_means_the_same(
        interim in vec(vec(line(), 0..2), 0..2),
        status in prop_oneof![4 => Just(200_u16), 1 => Just(204), 1 => Just(304), 1 => 200_u16..600],
        lines in vec(line(), 0..4),
        body in prop_oneof![3 => body(), 1 => "\r\n[a-z\r\n]{0,30}"],
        noise in vec((any::<prop::sample::Index>(), any::<u8>()), 0..2),
        reads in vec(1_usize..40, 1..12),
    ) {
        let before: String =
            interim.iter().map(|lines| format!("HTTP/1.1 103 Early Hints\r\n{}\r\n", lines.concat())).collect();
        let mut input =
            format!("{before}HTTP/1.1 {status} Said\r\n{}{body}", lines.concat()).into_bytes();
        for (at, byte) in noise {
            let at = at.index(input.len());
            input[at] = byte;
        }
        let whole = response(&input, &[input.len()]);
        prop_assert_eq!(&response(&input, &[1]), &whole);
        prop_assert_eq!(&response(&input, &reads), &whole);
    }

    #[test]
    fn any_bytes_are_read_without_panic(input in vec(any::<u8>(), 0..400), reads in vec(1_usize..40, 1..4)) {
        requests(&input, &reads);
        let mut client = Client::new(LIMITS);
        let mut head = RequestHead::new();
        head.start(Version::Http11, "GET", "x", "/");
        client.request(&head, &mut Vec::new());
        let _ = client.response(&input, &mut ResponseHead::new());
    }

    #[test]
    fn a_request_that_was_written_reads_the_same(
        method in "[A-Z]{1,7}",
        target in "/[!-~é ]{0,20}",
        fields in vec((token(), "[!-~]([ -~]{0,10}[!-~])?"), 0..5),
        length in prop_oneof![Just(BodyLength::Empty), (1_u64..1000).prop_map(BodyLength::Exactly), Just(BodyLength::Unknown)],
    ) {
        prop_assume!(method != "CONNECT");
        let mut head = RequestHead::new();
        head.start(Version::Http2, &method, "authority:80", &target);
        for (name, value) in &fields {
            let name = Name::parse(name).unwrap();
            prop_assume!(name.known() == leno_http::Known::Other);
            head.fields_mut().append(name, value.as_bytes());
        }
        head.set_body(length);
        let mut out = Vec::new();
        Client::new(Limits::DEFAULT).request(&head, &mut out);
        let mut read = RequestHead::new();
        prop_assert_eq!(Server::new(Limits::DEFAULT).head(&out, &mut read), Ok(Some(out.len())));
        prop_assert_eq!(read.method_str(), &method);
        prop_assert_eq!(read.target(), head.target());
        prop_assert_eq!(read.authority(), "authority:80");
        prop_assert_eq!(read.body(), length);
        let sent: Vec<_> = pairs(head.fields()).into_iter().skip(1).collect();
        let framing = usize::from(length != BodyLength::Empty);
        let received = pairs(read.fields());
        prop_assert_eq!(&received[1..received.len() - framing], &sent[..]);
    }

    #[test]
    fn a_body_that_was_written_reads_the_same(pieces in vec(vec(any::<u8>(), 0..50), 0..6), read_bytes in 1_usize..30) {
        let mut head = RequestHead::new();
        head.start(Version::Http11, "POST", "x", "/");
        head.set_body(BodyLength::Unknown);
        let (mut client, mut out) = (Client::new(Limits::DEFAULT), Vec::new());
        client.request(&head, &mut out);
        for piece in &pieces {
            client.request_body().data(piece, &mut out).unwrap();
        }
        let mut trailers = Fields::new();
        trailers.append(Name::parse("x-sum").unwrap(), b"1");
        client.request_body().end(&trailers, &mut out).unwrap();

        let (mut server, mut held, mut body) = (Server::new(Limits::DEFAULT), Vec::new(), Vec::new());
        let length = server.head(&out, &mut head).unwrap().unwrap();
        let mut meaning = Meaning { bodies: vec![Vec::new()], ..Meaning::default() };
        let mut is_end = false;
        for read in out[length..].chunks(read_bytes) {
            held.extend_from_slice(read);
            is_end = body_in(server.request_body(), &mut held, &mut meaning).unwrap();
        }
        prop_assert!(is_end && held.is_empty());
        body.extend(pieces.concat());
        prop_assert_eq!(&meaning.bodies[0], &body);
        prop_assert_eq!(&meaning.trailers[0], &pairs(&trailers));
    }

    #[test]
    fn relaying_and_decoding_agree_and_relayed_bytes_are_a_prefix(
        chunks in vec(chunk(), 0..4),
        noise in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        read_bytes in 1_usize..40,
    ) {
        let head_text = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut body = format!("{}0\r\n\r\n", chunks.concat()).into_bytes();
        if let Some((at, byte)) = noise {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let mut head = RequestHead::new();
        let mut decoding = Server::new(LIMITS);
        decoding.head(head_text, &mut head).unwrap();
        let mut meaning = Meaning { bodies: vec![Vec::new()], ..Meaning::default() };
        let decoded = body_in(decoding.request_body(), &mut body.clone(), &mut meaning);

        let (mut server, mut client, mut out) = (Server::new(LIMITS), Client::new(LIMITS), Vec::new());
        server.head(head_text, &mut head).unwrap();
        client.request(&head, &mut Vec::new());
        let (mut held, mut relayed, mut spent) = (Vec::new(), Ok(false), 0);
        for read in body.chunks(read_bytes) {
            held.extend_from_slice(read);
            match relay(server.request_body(), client.request_body(), &held, &mut out) {
                Ok(moved) => {
                    held.drain(..moved.consumed);
                    spent += moved.consumed;
                    relayed = Ok(moved.is_end);
                }
                Err(invalid) => relayed = Err(invalid),
            }
            if relayed != Ok(false) {
                break;
            }
        }
        prop_assert_eq!(relayed, decoded);
        prop_assert_eq!(&out[..], &body[..spent]);
    }

    #[test]
    fn a_body_may_be_framed_anew_at_first_and_passed_on_as_it_is_later(
        chunks in vec(chunk(), 0..6),
        decoded_reads in 0_usize..8,
        read_bytes in 1_usize..40,
    ) {
        let head_text = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let body = format!("{}0\r\n\r\n", chunks.concat()).into_bytes();
        let mut head = RequestHead::new();
        let (mut server, mut client) = (Server::new(Limits::DEFAULT), Client::new(Limits::DEFAULT));
        server.head(head_text, &mut head).unwrap();
        client.request(&head, &mut Vec::new());
        let (mut held, mut out, mut is_end) = (Vec::new(), Vec::new(), false);
        for (turn, read) in body.chunks(read_bytes).enumerate() {
            held.extend_from_slice(read);
            // At first the caller keeps a copy of what it decodes; then it has no more use for one.
            while turn < decoded_reads && !is_end {
                let decoded = server.request_body().decode(&held).unwrap();
                let consumed = decoded.consumed;
                match decoded.piece {
                    Piece::Data(data) => client.request_body().data(data, &mut out).unwrap(),
                    Piece::End => {
                        client.request_body().end(&Fields::new(), &mut out).unwrap();
                        is_end = true;
                    }
                    Piece::More => {
                        held.drain(..consumed);
                        break;
                    }
                }
                held.drain(..consumed);
            }
            if turn >= decoded_reads && !is_end {
                let moved = relay(server.request_body(), client.request_body(), &held, &mut out).unwrap();
                held.drain(..moved.consumed);
                is_end = moved.is_end;
            }
        }
        prop_assert!(is_end && held.is_empty());
        let bodies = [body, out].map(|bytes| {
            let mut reading = Server::new(Limits::DEFAULT);
            reading.head(head_text, &mut RequestHead::new()).unwrap();
            let mut meaning = Meaning { bodies: vec![Vec::new()], ..Meaning::default() };
            let mut held = bytes;
            let is_whole = body_in(reading.request_body(), &mut held, &mut meaning);
            (is_whole, held, meaning)
        });
        prop_assert_eq!(&bodies[1].0, &Ok(true));
        prop_assert_eq!(&bodies[0], &bodies[1]);
    }
}
