//! What an exchange that takes too long ends with, beside a real Envoy with the same file.

use leno_core::snapshot::Resources;
use leno_proxy::{Admin, ConfigSource, Options};

use crate::config::{LISTENER, options};
use crate::log_formats::{lines, log};
use crate::operators::{envoy, file, program};
use crate::origin::Peer;

const FORMAT: &str = "log_format: { text_format_source: { inline_string: \
                      \"%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_SENT%\\n\" } }";
const REQUESTS: [&str; 3] = [
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\nGrpc-Timeout: 50m\r\nContent-Length: 0\r\n\r\n",
];

/// The answer's status line, what it says of gRPC, and its body.
fn essence(answer: &str) -> Vec<String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let is_told =
        |line: &&str| line.starts_with("HTTP/") || line.to_lowercase().starts_with("grpc-");
    let lines = head.lines().filter(is_told).map(str::to_lowercase);
    lines.chain([body.to_owned()]).collect()
}

#[test]
fn what_takes_too_long_ends_as_with_envoy() {
    let Some(program) = program() else { return };
    let silent = crate::origin::origin(|mut peer| {
        peer.rest();
    });
    for durations in [
        "timeout: 0.1s",
        "timeout: 10s, max_stream_duration: { max_stream_duration: 0.1s }",
        "timeout: 10s, max_stream_duration: { max_stream_duration: 0.1s, grpc_timeout_header_max: 5s }",
        "timeout: 0.1s, max_grpc_timeout: 5s",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let run = |name: &str, start: &dyn Fn(&std::path::Path) -> std::net::SocketAddr| {
            let text = file(silent, &log(&at(&format!("{name}.log")), FORMAT));
            let text = text.replace("prefix_rewrite: /rewritten/", durations);
            let path = at(&format!("{name}.yaml"));
            std::fs::write(&path, text).unwrap();
            let address = start(&path);
            let answers = REQUESTS.map(|request| essence(&Peer::connect(address).call(request)));
            (answers, lines(&at(&format!("{name}.log")), REQUESTS.len()))
        };
        let kept = std::cell::RefCell::new(None);
        let theirs = run("theirs", &|path| {
            let (running, address) = envoy(&program, folder.path(), path);
            kept.replace(Some(running));
            address
        });
        let kept = std::cell::RefCell::new(None);
        let ours = run("ours", &|path| {
            let config = ConfigSource::Static(path.to_owned());
            let options = Options { config, admin: Admin::Off, ..options(Resources::default()) };
            let running = leno_proxy::start(options).unwrap();
            let address = running.address(LISTENER).unwrap();
            kept.replace(Some(running));
            address
        });
        // A deadline that the client set is told as such, whatever ran it down.
        assert_eq!(ours.0[2][1], "grpc-status: 4", "{durations}");
        assert_eq!((&ours.0[..2], &ours.1[..2]), (&theirs.0[..2], &theirs.1[..2]), "{durations}");
    }
}
