//! Queries as resolvers send them, and as nobody should.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use proptest::prelude::{any, prop, proptest};

use super::{Decision, Transport, decide};
use crate::dns::{Entry, Table};

#[test]
fn services_are_answered_and_others_passed_on() {
    // (name, type, what comes of it)
    let cases = [
        ("reviews.", RecordType::A, "NoError 240.240.0.1"),
        ("ReViEwS.default.", RecordType::A, "NoError 240.240.0.1"),
        ("reviews.", RecordType::AAAA, "NoError"),
        ("reviews.", RecordType::MX, "NoError"),
        ("both.default.", RecordType::AAAA, "NoError 2001:2::5"),
        ("both.default.", RecordType::ANY, "NoError 2001:2::5 240.240.0.5"),
        ("gone.default.svc.cluster.local.", RecordType::A, "NXDomain"),
        ("localhost.", RecordType::A, "NoError 127.0.0.1"),
        ("x.localhost.", RecordType::AAAA, "NoError ::1"),
        ("example.org.", RecordType::A, "forward"),
    ];
    for (name, kind, expected) in cases {
        let query = query(name, kind);
        assert_eq!(said(&query.to_vec().unwrap(), Transport::Datagram), expected, "{name} {kind}");
    }
}

#[test]
fn an_answer_repeats_the_question_as_it_was_written() {
    let query = query("ReViEwS.", RecordType::A);
    let answer = answer(&query.to_vec().unwrap(), Transport::Datagram);
    assert_eq!(answer.metadata.id, query.metadata.id);
    assert_eq!(answer.queries[0].name().to_ascii(), "ReViEwS.");
    assert_eq!(answer.answers[0].name.to_ascii(), "ReViEwS.");
    assert!(answer.metadata.recursion_available && answer.edns.is_none());
}

#[test]
fn long_answers_are_cut_by_size_and_transport() {
    let mut with_edns = query("many.default.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    with_edns.set_edns(edns);
    let plain = query("many.default.", RecordType::A);
    // 60 records of 16 bytes: beyond 512, within 1232.
    // (query, transport, answers, cut)
    let cases = [
        (&plain, Transport::Datagram, 0, true),
        (&plain, Transport::Stream, 60, false),
        (&with_edns, Transport::Datagram, 60, false),
    ];
    for (query, transport, answers, cut) in cases {
        let found = answer(&query.to_vec().unwrap(), transport);
        assert_eq!((found.answers.len(), found.metadata.truncation), (answers, cut));
        assert_eq!(found.edns.is_some(), query.edns.is_some());
    }
}

#[test]
fn the_first_of_many_addresses_differs() {
    let mut firsts = std::collections::BTreeSet::new();
    for id in 0..60 {
        let mut query = query("many.default.", RecordType::A);
        query.metadata.id = id;
        let found = answer(&query.to_vec().unwrap(), Transport::Stream);
        firsts.insert(found.answers[0].data.to_string());
    }
    assert_eq!(firsts.len(), 60);
}

#[test]
fn what_is_not_a_query_is_refused_or_dropped() {
    let mut response = query("reviews.", RecordType::A);
    response.metadata.message_type = MessageType::Response;
    let mut update = query("reviews.", RecordType::A);
    update.metadata.op_code = OpCode::Update;
    let none = Message::new(7, MessageType::Query, OpCode::Query);
    let good = query("reviews.", RecordType::A).to_vec().unwrap();
    // (case, bytes, what comes of it)
    let cases = [
        ("response", response.to_vec().unwrap(), "drop"),
        ("update", update.to_vec().unwrap(), "NotImp"),
        ("no question", none.to_vec().unwrap(), "FormErr"),
        ("cut", good[..good.len() - 3].to_vec(), "FormErr"),
        ("nothing", Vec::new(), "drop"),
        ("half a header", good[..6].to_vec(), "drop"),
    ];
    for (case, bytes, expected) in cases {
        assert_eq!(said(&bytes, Transport::Datagram), expected, "{case}");
    }
}

proptest! {
    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Decision::Answer(answer) = decide(&bytes, &table(), Transport::Datagram) {
            assert!(answer.len() <= 1232);
            assert_eq!(answer[..2], bytes[..2]);
        }
    }
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn answer(bytes: &[u8], transport: Transport) -> Message {
    match decide(bytes, &table(), transport) {
        Decision::Answer(answer) => Message::from_vec(&answer).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn said(bytes: &[u8], transport: Transport) -> String {
    match decide(bytes, &table(), transport) {
        Decision::Forward => "forward".to_owned(),
        Decision::Drop => "drop".to_owned(),
        Decision::Answer(answer) => {
            let answer = Message::from_vec(&answer).unwrap();
            let code = match answer.metadata.response_code {
                ResponseCode::NoError => "NoError".to_owned(),
                other => format!("{other:?}"),
            };
            let mut data: Vec<_> = answer.answers.iter().map(|r| r.data.to_string()).collect();
            data.sort();
            [&[code][..], &data].concat().join(" ")
        }
    }
}

fn table() -> Table {
    let entry = |short: &str, addresses: Vec<std::net::IpAddr>| Entry {
        host: format!("{short}.default.svc.cluster.local"),
        addresses,
        short_name: Some(short.to_owned()),
        namespace: Some("default".to_owned()),
    };
    let entries = [
        entry("reviews", vec!["240.240.0.1".parse().unwrap()]),
        entry("both", vec!["240.240.0.5".parse().unwrap(), "2001:2::5".parse().unwrap()]),
        entry("many", (1..=60).map(|last| [240, 240, 1, last].into()).collect()),
    ];
    Table::new(&entries, "default", "cluster.local", &[])
}
