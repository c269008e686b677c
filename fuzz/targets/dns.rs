//! DNS messages from arbitrary bytes: no panic, nothing in answer to a response, and an answer is a response to that very
//! query, within the size its asker takes.
#![no_main]

use answer::{Decision, Transport, decide, failure, question};
use hickory_proto::op::{Message, MessageType};
use libfuzzer_sys::fuzz_target;
use table::{Entry, Table};

/// Both need nothing of their crate, so that this build stays small.
#[path = "../../crates/leno-proxy/src/dns/answer.rs"]
mod answer;
#[allow(dead_code, reason = "only what answers need of it is used here")]
#[path = "../../crates/leno-proxy/src/dns/table.rs"]
mod table;

fuzz_target!(|data: &[u8]| {
    let table = names();
    for transport in [Transport::Datagram, Transport::Stream] {
        if let Decision::Answer(answer) = decide(data, &table, transport) {
            check(data, &answer, transport);
        }
        if let Some(answer) = failure(data, transport) {
            check(data, &answer, transport);
        }
    }
});

fn check(query: &[u8], answer: &[u8], transport: Transport) {
    let read = Message::from_vec(answer).expect("what we answer is a message");
    assert_eq!(read.metadata.message_type, MessageType::Response);
    assert_eq!(&query[..2], &answer[..2], "the id of the query");
    if transport == Transport::Datagram && read.answers.len() > 1 {
        assert!(answer.len() <= 1232, "{} bytes", answer.len());
    }
    // One question, and its answer's, are what a forger would have to know.
    if let Some(asked) = question(query)
        && read.queries.len() == 1
    {
        assert_eq!(question(answer).as_ref(), Some(&asked));
    }
}

/// Names of every kind, and one with more addresses than a datagram holds.
fn names() -> Table {
    let entry = |host: &str, addresses: Vec<std::net::IpAddr>| Entry {
        host: host.to_owned(),
        addresses,
        short_name: host.split_once(".default.svc.").map(|(short, _)| short.to_owned()),
        namespace: Some("default".to_owned()),
    };
    let many = (0..200).map(|number| [10, 0, 0, number].into()).collect();
    let entries = [
        entry("a.default.svc.cluster.local", vec![[240, 240, 0, 1].into()]),
        entry("b.default.svc.cluster.local", many),
        entry("*.example.com", vec![[240, 240, 0, 2].into(), [0x2001, 2, 0, 0, 0, 0, 0, 2].into()]),
    ];
    Table::new(&entries, "default", "cluster.local", &["lan".to_owned()])
}
