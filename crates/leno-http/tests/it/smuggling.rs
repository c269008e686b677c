//! Messages that a strict reader must refuse, by section of RFC 9112, and their harmless neighbours.

use leno_http::h1::{Client, Piece, Server};
use leno_http::{Invalid, Limits, RequestHead, ResponseHead};

/// Reads one request, body included, to its end.
fn read(input: &[u8]) -> Result<(), Invalid> {
    let mut server = Server::new(Limits::DEFAULT);
    let length = server.head(input, &mut RequestHead::new())?.ok_or(Invalid::Truncated)?;
    read_body(server.request_body(), &input[length..])
}

fn read_body(reader: &mut leno_http::h1::BodyReader, mut input: &[u8]) -> Result<(), Invalid> {
    loop {
        let decoded = reader.decode(input)?;
        input = &input[decoded.consumed..];
        match decoded.piece {
            Piece::Data(_) => {}
            Piece::More => return reader.end_of_input(),
            Piece::End => return Ok(()),
        }
    }
}

fn check(table: &[(&str, Result<(), Invalid>)]) {
    for (request, expected) in table {
        assert_eq!(read(request.as_bytes()), *expected, "{request:?}");
    }
}

/// A request with these lines between `Host` and the empty line.
fn with(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
}

fn check_lines(table: &[(&str, Result<(), Invalid>)]) {
    for (lines, expected) in table {
        assert_eq!(read(with(lines).as_bytes()), *expected, "{lines:?}");
    }
}

fn check_chunked(table: &[(&str, Result<(), Invalid>)]) {
    for (body, expected) in table {
        let request = format!("{}{body}", with("Transfer-Encoding: chunked\r\n"));
        assert_eq!(read(request.as_bytes()), *expected, "{body:?}");
    }
}

#[test]
fn section_2_message_format() {
    check(&[
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", Ok(())),
        ("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", Ok(())),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::LeadingBytes)),
        ("\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::BareLf)),
        (" GET / HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::LeadingBytes)),
        ("GET / HTTP/1.1\nHost: x\r\n\r\n", Err(Invalid::BareLf)),
        ("GET / HTTP/1.1\r\nHost: x\n\r\n", Err(Invalid::BareLf)),
        ("GET / HTTP/1.1\r\nHost: x\r\nA: 1\nB: 2\r\n\r\n", Err(Invalid::BareLf)),
        ("GET / HTTP/1.1\r\nHost: x\r\n\n", Err(Invalid::BareLf)),
        ("GET / HTTP/1.1\n\n", Err(Invalid::BareLf)),
        ("GET / HTTP/1.1\r\nHost: x\rA: 1\r\n\r\n", Err(Invalid::BareCr)),
        ("GET / HTTP/1.1\r\nHost: x\r\n\rX", Err(Invalid::BareCr)),
        ("GET / HTTP/1.1\rX\r\nHost: x\r\n\r\n", Err(Invalid::BareCr)),
        ("GET / HTTP/1.1\r\n Host: x\r\n\r\n", Err(Invalid::ObsFold)),
        ("GET / HTTP/1.2\r\nHost: x\r\n\r\n", Err(Invalid::Version)),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n", Err(Invalid::Version)),
        ("GET / HTTP/11\r\nHost: x\r\n\r\n", Err(Invalid::Version)),
        ("GET / http/1.1\r\nHost: x\r\n\r\n", Err(Invalid::RequestLine)),
    ]);
}

#[test]
fn section_3_request_line() {
    check(&[
        ("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::RequestLine)),
        ("GET /  HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::RequestLine)),
        ("GET / HTTP/1.1 \r\nHost: x\r\n\r\n", Err(Invalid::RequestLine)),
        ("GET\t/\tHTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::Method)),
        ("GET /\r\nHost: x\r\n\r\n", Err(Invalid::RequestLine)),
        ("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::RequestLine)),
        ("GE(T / HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::Method)),
        ("GET /\u{0} HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::Nul)),
        ("G\u{0}T / HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::Nul)),
        ("GET /\u{7f} HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::Target)),
        ("GET /\t HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::Target)),
        ("GET /\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::Target)),
        ("GET /#fragment HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::Target)),
        ("GET path HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::Target)),
        ("GET * HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::Target)),
        ("GET http://a@b/ HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::Target)),
        ("CONNECT /x HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::Target)),
        ("GET x:443 HTTP/1.1\r\nHost: x\r\n\r\n", Err(Invalid::Target)),
        ("GET / HTTP/1.1\r\n\r\n", Err(Invalid::MissingHost)),
        ("GET / HTTP/1.0\r\n\r\n", Ok(())),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", Err(Invalid::DuplicateHost)),
        ("GET / HTTP/1.1\r\nHost: x\r\nHOST: y\r\n\r\n", Err(Invalid::DuplicateHost)),
        ("GET / HTTP/1.1\r\nHost: x, y\r\n\r\n", Err(Invalid::Host)),
        ("GET / HTTP/1.1\r\nHost: x y\r\n\r\n", Err(Invalid::Host)),
        ("GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", Err(Invalid::Host)),
        ("GET / HTTP/1.1\r\nHost: a@x\r\n\r\n", Err(Invalid::Host)),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Ok(())),
    ]);
}

#[test]
fn section_5_field_lines() {
    check_lines(&[
        ("A : 1\r\n", Err(Invalid::SpaceBeforeColon)),
        ("A\t: 1\r\n", Err(Invalid::SpaceBeforeColon)),
        ("Transfer-Encoding : chunked\r\n", Err(Invalid::SpaceBeforeColon)),
        (": 1\r\n", Err(Invalid::FieldName)),
        ("A\r\n", Err(Invalid::MissingColon)),
        ("A(: 1\r\n", Err(Invalid::FieldName)),
        ("\u{e9}: 1\r\n", Err(Invalid::FieldName)),
        ("A\u{0}: 1\r\n", Err(Invalid::Nul)),
        ("A: \u{0}\r\n", Err(Invalid::Nul)),
        ("A: \u{1}\r\n", Err(Invalid::FieldValue)),
        ("A: \u{7f}\r\n", Err(Invalid::FieldValue)),
        ("A: 1\r\n 2\r\n", Err(Invalid::ObsFold)),
        ("A: 1\r\n\t2\r\n", Err(Invalid::ObsFold)),
        ("Transfer-Encoding:\r\n chunked\r\n", Err(Invalid::ObsFold)),
        ("A: 1\rTransfer-Encoding: chunked\r\n", Err(Invalid::BareCr)),
        ("A: \u{e9}\r\n", Ok(())),
        ("A:\t 1 \t\r\n", Ok(())),
    ]);
}

#[test]
fn section_6_body_length() {
    check_lines(&[
        ("Content-Length: 0\r\n", Ok(())),
        ("Content-Length: 1\r\n", Err(Invalid::Truncated)),
        ("Content-Length: 0\r\nContent-Length: 0\r\n", Err(Invalid::DuplicateContentLength)),
        ("Content-Length: 0\r\ncontent-length: 1\r\n", Err(Invalid::DuplicateContentLength)),
        ("Content-Length: 0, 0\r\n", Err(Invalid::ContentLength)),
        ("Content-Length: +0\r\n", Err(Invalid::ContentLength)),
        ("Content-Length: -1\r\n", Err(Invalid::ContentLength)),
        ("Content-Length: 0x0\r\n", Err(Invalid::ContentLength)),
        ("Content-Length: 1 1\r\n", Err(Invalid::ContentLength)),
        ("Content-Length:\r\n", Err(Invalid::ContentLength)),
        ("Content-Length: 18446744073709551616\r\n", Err(Invalid::ContentLength)),
        ("Content-Length: \u{b2}\r\n", Err(Invalid::ContentLength)),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            Err(Invalid::TransferEncodingWithLength),
        ),
        (
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            Err(Invalid::TransferEncodingWithLength),
        ),
        (
            "Content-Length: 0\r\nTransfer-Encoding: identity\r\n",
            Err(Invalid::TransferEncodingWithLength),
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Err(Invalid::DuplicateTransferEncoding),
        ),
        ("Transfer-Encoding: gzip, chunked\r\n", Err(Invalid::TransferEncoding)),
        ("Transfer-Encoding: chunked, identity\r\n", Err(Invalid::TransferEncoding)),
        ("Transfer-Encoding: chunked, chunked\r\n", Err(Invalid::TransferEncoding)),
        ("Transfer-Encoding: xchunked\r\n", Err(Invalid::TransferEncoding)),
        ("Transfer-Encoding: \"chunked\"\r\n", Err(Invalid::TransferEncoding)),
        ("Transfer-Encoding: chunked;q=1\r\n", Err(Invalid::TransferEncoding)),
        ("Transfer-Encoding: ,chunked\r\n", Err(Invalid::TransferEncoding)),
        ("Transfer-Encoding: \u{b}chunked\r\n", Err(Invalid::FieldValue)),
        ("Transfer-Encoding:\r\n", Err(Invalid::TransferEncoding)),
        ("Transfer-Encoding: identity\r\n", Err(Invalid::TransferEncoding)),
        ("Connection: transfer-encoding\r\n", Err(Invalid::Connection)),
        ("Connection: close, Content-Length\r\nContent-Length: 0\r\n", Err(Invalid::Connection)),
        ("Connection: host\r\n", Err(Invalid::Connection)),
        ("Connection: a b\r\n", Err(Invalid::Connection)),
    ]);
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(read(old.as_bytes()), Err(Invalid::UnexpectedTransferEncoding));
    let mixed = with("tRANSFER-eNCODING: CHUNKED\r\n");
    assert_eq!(read(format!("{mixed}0\r\n\r\n").as_bytes()), Ok(()));
}

#[test]
fn section_7_chunked_coding() {
    check_chunked(&[
        ("0\r\n\r\n", Ok(())),
        ("1\r\na\r\n0\r\n\r\n", Ok(())),
        ("001\r\na\r\n000\r\n\r\n", Ok(())),
        ("A;ext=\"quoted; value\"\r\n0123456789\r\n0\r\n\r\n", Ok(())),
        ("\r\n0\r\n\r\n", Err(Invalid::ChunkSize)),
        ("+1\r\na\r\n0\r\n\r\n", Err(Invalid::ChunkSize)),
        ("-1\r\na\r\n0\r\n\r\n", Err(Invalid::ChunkSize)),
        ("0x1\r\na\r\n0\r\n\r\n", Err(Invalid::ChunkSize)),
        (" 1\r\na\r\n0\r\n\r\n", Err(Invalid::ChunkSize)),
        ("1 \r\na\r\n0\r\n\r\n", Err(Invalid::ChunkSize)),
        ("1\t;x\r\na\r\n0\r\n\r\n", Err(Invalid::ChunkSize)),
        ("1_0\r\na\r\n0\r\n\r\n", Err(Invalid::ChunkSize)),
        ("g\r\n", Err(Invalid::ChunkSize)),
        ("10000000000000000\r\na", Err(Invalid::ChunkSize)),
        ("fffffffffffffffff\r\na", Err(Invalid::ChunkSize)),
        ("ffffffffffffffff\r\na", Err(Invalid::Truncated)),
        ("1\na\r\n0\r\n\r\n", Err(Invalid::BareLf)),
        ("1\ra\r\n0\r\n\r\n", Err(Invalid::BareCr)),
        ("1;x\na\r\n0\r\n\r\n", Err(Invalid::BareLf)),
        ("1;x\rX\r\na\r\n0\r\n\r\n", Err(Invalid::BareCr)),
        ("1;\u{0}\r\na\r\n0\r\n\r\n", Err(Invalid::ChunkExtension)),
        ("1;\u{e9}\r\na\r\n0\r\n\r\n", Err(Invalid::ChunkExtension)),
        ("1\r\nab\r\n0\r\n\r\n", Err(Invalid::ChunkEnd)),
        ("1\r\na\n0\r\n\r\n", Err(Invalid::ChunkEnd)),
        ("2\r\na\r\n0\r\n\r\n", Err(Invalid::ChunkEnd)),
        ("1\r\na\r\n0\r\n", Err(Invalid::Truncated)),
        ("0\r\nX: 1\r\n\r\n", Ok(())),
        ("0\r\nX: 1\n\r\n", Err(Invalid::BareLf)),
        ("0\r\nX : 1\r\n\r\n", Err(Invalid::SpaceBeforeColon)),
        ("0\r\nX: 1\r\n 2\r\n\r\n", Err(Invalid::ObsFold)),
        ("0\r\n\n", Err(Invalid::BareLf)),
        ("0\r\nContent-Length: 1\r\n\r\n", Err(Invalid::ForbiddenTrailer)),
        ("0\r\ntransfer-encoding: chunked\r\n\r\n", Err(Invalid::ForbiddenTrailer)),
        ("0\r\nHost: y\r\n\r\n", Err(Invalid::ForbiddenTrailer)),
        ("0\r\nAuthorization: y\r\n\r\n", Err(Invalid::ForbiddenTrailer)),
    ]);
}

#[test]
fn limits_are_kept_on_both_sides_of_the_line() {
    let pad = |count: usize| "a".repeat(count);
    let head = |value: usize| format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", pad(value));
    let base = head(0).len();
    let limit = Limits::DEFAULT;
    assert_eq!(read(head(limit.head_bytes - base).as_bytes()), Ok(()));
    assert_eq!(read(head(limit.head_bytes - base + 1).as_bytes()), Err(Invalid::HeadTooLarge));
    assert_eq!(read(with(&"A: 1\r\n".repeat(limit.fields - 1)).as_bytes()), Ok(()));
    assert_eq!(
        read(with(&"A: 1\r\n".repeat(limit.fields)).as_bytes()),
        Err(Invalid::TooManyFields)
    );

    let extension = |count: usize| format!("1;{}\r\na\r\n0\r\n\r\n", pad(count));
    let lines = extension(limit.chunk_line_bytes - 4);
    check_chunked(&[
        (&lines, Ok(())),
        (&extension(limit.chunk_line_bytes - 3), Err(Invalid::ChunkLineTooLong)),
        (&format!("{}1\r\na", "0".repeat(limit.chunk_line_bytes)), Err(Invalid::ChunkLineTooLong)),
        (&"1;0123456789abcdef\r\na\r\n".repeat(1000), Err(Invalid::ChunkLineTooLong)),
        (&format!("0\r\nA: {}\r\n\r\n", pad(limit.trailer_bytes - 7)), Ok(())),
        (
            &format!("0\r\nA: {}\r\n\r\n", pad(limit.trailer_bytes - 6)),
            Err(Invalid::TrailersTooLarge),
        ),
        (&format!("0\r\n{}\r\n", "A: 1\r\n".repeat(limit.fields + 1)), Err(Invalid::TooManyFields)),
    ]);
}

#[test]
fn responses_are_held_to_the_same() {
    let get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let table: [(&str, Result<(), Invalid>); 25] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Ok(())),
        ("HTTP/1.1 200 OK\r\n\r\nuntil close", Ok(())),
        ("HTTP/1.1 200 \u{e9}\r\nContent-Length: 0\r\n\r\n", Ok(())),
        ("HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", Ok(())),
        ("\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Err(Invalid::LeadingBytes)),
        ("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", Err(Invalid::BareLf)),
        ("HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n", Err(Invalid::BareCr)),
        ("HTTP/1.1 200 O\u{0}K\r\nContent-Length: 0\r\n\r\n", Err(Invalid::Nul)),
        ("HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", Err(Invalid::StatusLine)),
        ("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", Err(Invalid::StatusLine)),
        ("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", Err(Invalid::StatusLine)),
        ("HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n", Err(Invalid::Status)),
        ("HTTP/2.0 200 OK\r\n\r\n", Err(Invalid::Version)),
        ("ICY 200 OK\r\n\r\n", Err(Invalid::StatusLine)),
        ("HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n", Err(Invalid::Status)),
        ("HTTP/1.1 204 X\r\nContent-Length: 1\r\n\r\n", Err(Invalid::UnexpectedContentLength)),
        (
            "HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n",
            Err(Invalid::UnexpectedTransferEncoding),
        ),
        (
            "HTTP/1.1 100 X\r\nTransfer-Encoding: chunked\r\n\r\n",
            Err(Invalid::UnexpectedTransferEncoding),
        ),
        (
            "HTTP/1.0 200 X\r\nTransfer-Encoding: chunked\r\n\r\n",
            Err(Invalid::UnexpectedTransferEncoding),
        ),
        ("HTTP/1.1 200 X\r\nTransfer-Encoding: gzip\r\n\r\n", Err(Invalid::TransferEncoding)),
        (
            "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
            Err(Invalid::TransferEncodingWithLength),
        ),
        (
            "HTTP/1.1 200 X\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
            Err(Invalid::DuplicateContentLength),
        ),
        ("HTTP/1.1 200 X\r\nA: 1\r\n 2\r\n\r\n", Err(Invalid::ObsFold)),
        ("HTTP/1.1 200 X\r\nA : 1\r\n\r\n", Err(Invalid::SpaceBeforeColon)),
        ("HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\nabc", Err(Invalid::Truncated)),
    ];
    for (response, expected) in table {
        let mut client = Client::new(Limits::DEFAULT);
        let mut request = RequestHead::new();
        Server::new(Limits::DEFAULT).head(get, &mut request).unwrap().unwrap();
        client.request(&request, &mut Vec::new());
        let result =
            client.response(response.as_bytes(), &mut ResponseHead::new()).and_then(|length| {
                read_body(
                    client.response_body(),
                    &response.as_bytes()[length.ok_or(Invalid::Truncated)?..],
                )
            });
        assert_eq!(result, expected, "{response:?}");
    }
}

#[test]
fn every_reason_has_a_code_of_its_own() {
    let all = [
        Invalid::BareLf,
        Invalid::BareCr,
        Invalid::HeadTooLarge,
        Invalid::Version,
        Invalid::ChunkSize,
        Invalid::MissingHost,
        Invalid::TransferEncodingWithLength,
    ];
    let codes: std::collections::BTreeSet<_> = all.iter().map(|reason| reason.code()).collect();
    assert_eq!(codes.len(), all.len());
    assert_eq!(all.map(Invalid::status), [400, 400, 431, 505, 400, 400, 400]);
}
