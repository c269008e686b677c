//! What access logs say of how a call ended and how long its parts took: the same as a real Envoy's.

use std::time::Duration;

use crate::envoy::{Pair, log, text};
use crate::operators::file;
use crate::origin::{Peer, origin};

/// Answers each request by its path: `/STATUS/GRPC-STATUS`, after a while.
fn answering(delay: Duration) -> std::net::SocketAddr {
    origin(move |mut peer| {
        while let Some(request) = peer.message() {
            let path = request.split(' ').nth(1).unwrap();
            let mut asked = path.trim_start_matches("/rewritten/").split('/');
            let status = asked.next().unwrap().to_owned();
            let grpc = match asked.next() {
                Some("none") | None => String::new(),
                Some(code) => format!("grpc-status: {code}\r\n"),
            };
            // An endpoint that takes its time, not something that is waited for.
            std::thread::sleep(delay);
            peer.write(format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/grpc\r\n{grpc}Content-Length: 0\r\n\r\n"
            ));
        }
    })
}

/// What we and Envoy log of these paths, asked for with this content type.
fn logged(
    format: &str,
    content_type: &str,
    paths: &[String],
    delay: Duration,
) -> Option<[Vec<String>; 2]> {
    let origin = answering(delay);
    let pair = Pair::start(|path| file(origin, &log(path, &text(format))))?;
    for address in pair.addresses {
        for path in paths {
            let mut client = Peer::connect(address);
            client.write(format!(
                "POST /{path} HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nContent-Length: 0\r\n\r\n"
            ));
            client.until("\r\n\r\n").unwrap();
        }
    }
    Some(pair.logged(paths.len()))
}

#[test]
fn the_end_of_a_call_has_every_spelling_that_envoy_has() {
    const FORMAT: &str = "%RESPONSE_CODE% %GRPC_STATUS% %GRPC_STATUS(CAMEL_STRING)% %GRPC_STATUS(SNAKE_STRING)% \
        %GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%";
    let mut paths: Vec<String> = (0..=18).map(|code| format!("200/{code}")).collect();
    paths.extend(["200/none", "404/none", "503/none", "429/none"].map(str::to_owned));
    for content_type in ["application/grpc", "application/grpc+proto", "text/plain"] {
        let Some([ours, theirs]) = logged(FORMAT, content_type, &paths, Duration::ZERO) else {
            return;
        };
        assert_eq!(ours, theirs, "{content_type}");
        let unavailable = "200 Unavailable Unavailable UNAVAILABLE 14 14";
        assert_eq!(ours[14] == unavailable, content_type != "text/plain", "{}", ours[14]);
    }
}

#[test]
fn the_parts_of_an_exchange_add_up_to_the_whole() {
    const DELAY: Duration = Duration::from_millis(120);
    let format = "%DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%";
    let Some(both) = logged(format, "text/plain", &["200/none".to_owned()], DELAY) else { return };
    for lines in both {
        let parts: Vec<u64> = lines[0].split(' ').map(|part| part.parse().unwrap()).collect();
        let [whole, until, after] = parts[..] else { panic!("{lines:?}") };
        assert!(u128::from(until) >= DELAY.as_millis() - 1, "{lines:?}");
        // Each is rounded on its own.
        assert!(until + after <= whole + 1 && whole <= until + after + 2, "{lines:?}");
    }
}
