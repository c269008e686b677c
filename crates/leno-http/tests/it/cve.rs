//! Attacks with a number: each test names the vulnerability of another implementation whose class it excludes here. The
//! rules themselves have tables of their own; these show the attack as it was published.

use std::time::Instant;

use leno_http::h1::Server;
use leno_http::h2::{Connection, PREFACE, Settings, Violation};
use leno_http::{Http2Limits, Invalid, Limits, Name, RequestHead};

use crate::http2::pair::{End, Seen};
use crate::http2::wire::{
    ACK, CONTINUATION, END_STREAM, GET, HEADERS, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, block,
    frame, frames, get, setting,
};

fn head(bytes: &[u8]) -> Result<RequestHead, Invalid> {
    let mut head = RequestHead::new();
    Server::new(Limits::DEFAULT).head(bytes, &mut head)?.ok_or(Invalid::Truncated)?;
    Ok(head)
}

/// A server of HTTP/2 that knows its peer.
fn server(limits: Http2Limits) -> End {
    let mut end = End::new(Connection::server(Settings { limits, ..Settings::DEFAULT }));
    let start = [&PREFACE[..], &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, ACK, 0, &[])].concat();
    end.receive(Instant::now(), &start).unwrap();
    end.out.clear();
    end
}

fn why(end: &mut End, input: &[u8]) -> Option<Violation> {
    end.receive(Instant::now(), input).err().map(|error| error.why)
}

#[test]
fn a_nul_in_a_value_is_refused_before_anybody_reads_half_of_it_cve_2019_9900() {
    for value in ["\0", "admin\0", "\0admin", "ad\0min"] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: x\r\nx-user: {value}\r\n\r\n");
        assert!(head(bytes.as_bytes()).is_err(), "{value:?}");
        let input = frame(HEADERS, WHOLE, 1, &get(&[("x-user", value)]));
        let seen = server(Http2Limits::DEFAULT).receive(Instant::now(), &input).unwrap();
        let is_refused = |seen: &Seen| match seen {
            Seen::Other(text) => text.contains("FieldValue"),
            _ => false,
        };
        assert!(seen.iter().all(is_refused) && !seen.is_empty(), "{value:?}: {seen:?}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_the_same_bytes_behind_us_cve_2023_27488() {
    let value = b"caf\xe9 \xff\xfe \xc3\x28";
    let bytes = [b"GET / HTTP/1.1\r\nHost: x\r\nx-name: ", &value[..], b"\r\n\r\n"].concat();
    let head = head(&bytes).unwrap();
    let name = Name::parse("x-name").unwrap();
    assert_eq!(head.fields().get(name), Some(&value[..]), "nothing is replaced or left out");
    let mut out = Vec::new();
    leno_http::h1::Client::new(Limits::DEFAULT).request(&head, &mut out);
    assert!(out.windows(value.len()).any(|at| at == value));
}

#[test]
fn what_is_no_request_line_is_not_passed_on_cve_2023_27491() {
    let table = [
        "GET /\x01 HTTP/1.1",
        "GET /a b HTTP/1.1",
        "G\x01T / HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        " / HTTP/1.1",
        "GET  HTTP/1.1",
    ];
    for line in table {
        assert!(head(format!("{line}\r\nHost: x\r\n\r\n").as_bytes()).is_err(), "{line:?}");
    }
    let table = [(":method", "G\x01T"), (":method", ""), (":path", "/a b"), (":path", "/\x01")];
    for (name, value) in table {
        let fields = GET.map(|(n, v)| if n == name { (n, value) } else { (n, v) });
        let input = frame(HEADERS, WHOLE, 1, &block(&fields));
        let seen = server(Http2Limits::DEFAULT).receive(Instant::now(), &input).unwrap();
        assert!(!seen.iter().any(|s| matches!(s, Seen::Request(..))), "{name} {value:?}: {seen:?}");
    }
}

#[test]
fn a_flood_of_continuations_ends_before_it_is_kept_cve_2024_27919_cve_2024_30255() {
    let begin = frame(HEADERS, END_STREAM, 1, &get(&[]));
    // Small frames without end, whether they say something or nothing.
    for payload in [&b"\0\x01a\x01b"[..], &[]] {
        let more = frame(CONTINUATION, 0, 1, payload);
        let mut end = server(Http2Limits::DEFAULT);
        let input = [begin.clone(), more.repeat(100_000)].concat();
        assert!(
            why(&mut end, &input)
                .is_some_and(|why| why.error_code() == Violation::ContinuationFlood.error_code())
        );
    }
    // A block that is over its limit ends the connection, though its last frame never comes.
    let mut end = server(Http2Limits::DEFAULT);
    let large = frame(CONTINUATION, 0, 1, &[0; 16_000]).repeat(5);
    assert_eq!(why(&mut end, &[begin, large].concat()), Some(Violation::HeaderBlock));
}

#[test]
fn resetting_all_streams_at_once_is_bounded_by_their_number_cve_2021_32778() {
    let limits = Http2Limits { streams: 100, ..Http2Limits::DEFAULT };
    let mut end = server(limits);
    let ids = || (0..100).map(|at| 2 * at + 1);
    let open: Vec<u8> = ids().flat_map(|id| frame(HEADERS, 4, id, &get(&[]))).collect();
    let seen = end.receive(Instant::now(), &open).unwrap();
    assert_eq!((seen.len(), end.machine.active()), (100, 100));
    let reset: Vec<u8> =
        ids().flat_map(|id| frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())).collect();
    let seen = end.receive(Instant::now(), &reset).unwrap();
    assert_eq!(
        seen.len(),
        100,
        "one event for each, and none for what another one's reset touched"
    );
    for seen in seen {
        let Seen::Reset(stream, _) = seen else { panic!("{seen:?}") };
        end.machine.finish(stream, &mut end.out);
    }
    assert_eq!(end.machine.active(), 0);
}

#[test]
fn mistakes_that_make_a_server_reset_are_counted_like_resets_cve_2025_8671() {
    let (mut end, now) = (server(Http2Limits::DEFAULT), Instant::now());
    let ended = (0..100_000_u32).find_map(|turn| {
        let id = 2 * turn + 1;
        let request = frame(HEADERS, WHOLE, id, &get(&[]));
        let input = [request, frame(WINDOW_UPDATE, 0, id, &[0; 4])].concat();
        let seen = end.receive(now, &input);
        end.out.clear();
        for seen in seen.iter().flatten() {
            if let Seen::Reset(stream, _) = seen {
                end.machine.finish(*stream, &mut end.out);
            }
        }
        seen.err().map(|error| (turn, error.why))
    });
    let (turn, why) = ended.expect("it ends");
    assert_eq!(why.error_code(), Violation::RefusalFlood.error_code());
    assert!(turn <= Http2Limits::DEFAULT.refusals.burst, "after {turn}");
}

#[test]
fn a_peer_that_changes_its_settings_for_ever_is_cut_off_cve_2019_9515() {
    let mut end = server(Http2Limits::DEFAULT);
    let flood = frame(SETTINGS, 0, 0, &setting(4, 0)).repeat(10_000);
    assert_eq!(why(&mut end, &flood), Some(Violation::SettingsFlood));
    let acknowledged = frames(&end.out).iter().filter(|frame| frame.kind == SETTINGS).count();
    assert!(acknowledged <= Http2Limits::DEFAULT.settings.burst as usize, "{acknowledged}");
}
