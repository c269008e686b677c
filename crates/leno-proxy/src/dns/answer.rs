//! What to do with one query: answer, pass on, or drop. Pure: bytes in, bytes out.
//!
//! RFC 1035, RFC 2308 (no data against no name), RFC 6761 (`localhost`),
//! RFC 6891 (EDNS). Names are compared without case and echoed with it.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::table::{Addresses, Lookup, Table};

/// Istio's; a virtual address outlives it by far.
const TTL_SECONDS: u32 = 30;
/// Without EDNS a datagram holds this much (RFC 1035 §2.3.4).
const PLAIN_BYTES_MAX: usize = 512;
/// What we take and send at most: below every usual path MTU.
const EDNS_BYTES_MAX: u16 = 1232;
/// A message over TCP says its length in 16 bits.
const STREAM_BYTES_MAX: usize = 65535;

/// How a query came; it limits the size of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP: a longer answer is cut and marked, the asker comes back over TCP.
    Datagram,
    /// TCP.
    Stream,
}

/// What happens to a query.
#[derive(Debug, PartialEq)]
pub enum Decision {
    /// These bytes go back.
    Answer(Vec<u8>),
    /// A resolver of the host answers it.
    Forward,
    /// Not a query: nothing goes back.
    Drop,
}

/// Decides what happens to the message in `bytes`.
#[must_use]
pub fn decide(bytes: &[u8], table: &Table, transport: Transport) -> Decision {
    let Ok(query) = Message::from_vec(bytes) else {
        return refuse_unreadable(bytes);
    };
    if query.metadata.message_type == MessageType::Response {
        return Decision::Drop;
    }
    if query.metadata.op_code != OpCode::Query {
        return encode(&query, ResponseCode::NotImp, Vec::new(), transport);
    }
    let [question] = query.queries.as_slice() else {
        return encode(&query, ResponseCode::FormErr, Vec::new(), transport);
    };
    if question.query_class() != DNSClass::IN {
        return Decision::Forward;
    }
    let name = question.name().to_lowercase().to_ascii();
    let name = name.trim_end_matches('.');
    if name == "localhost" || name.ends_with(".localhost") {
        let local = Addresses { v4: vec![Ipv4Addr::LOCALHOST], v6: vec![Ipv6Addr::LOCALHOST] };
        let records = records(question, &local, query.metadata.id);
        return encode(&query, ResponseCode::NoError, records, transport);
    }
    match table.lookup(name) {
        Lookup::Known(addresses) => {
            let records = records(question, addresses, query.metadata.id);
            encode(&query, ResponseCode::NoError, records, transport)
        }
        Lookup::Absent => encode(&query, ResponseCode::NXDomain, Vec::new(), transport),
        Lookup::Foreign => Decision::Forward,
    }
}

/// The answer when no resolver of the host gave one.
pub(super) fn failure(bytes: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let query = Message::from_vec(bytes).ok()?;
    match encode(&query, ResponseCode::ServFail, Vec::new(), transport) {
        Decision::Answer(answer) => Some(answer),
        Decision::Forward | Decision::Drop => None,
    }
}

/// A known name without an address of the asked type has records of no such
/// type, and still exists: an empty answer, not "no such name".
fn records(question: &Query, addresses: &Addresses, id: u16) -> Vec<Record> {
    let kind = question.query_type();
    let v4 = addresses.v4.iter().map(|address| RData::A((*address).into()));
    let v6 = addresses.v6.iter().map(|address| RData::AAAA((*address).into()));
    let mut data: Vec<RData> = match kind {
        RecordType::A => v4.collect(),
        RecordType::AAAA => v6.collect(),
        RecordType::ANY => v4.chain(v6).collect(),
        _ => Vec::new(),
    };
    if !data.is_empty() {
        // Askers take the first: let that differ from query to query.
        let first = usize::from(id) % data.len();
        data.rotate_left(first);
    }
    let record = |data| Record::from_rdata(question.name().clone(), TTL_SECONDS, data);
    data.into_iter().map(record).collect()
}

fn encode(
    query: &Message,
    code: ResponseCode,
    answers: Vec<Record>,
    transport: Transport,
) -> Decision {
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    response.metadata.recursion_desired = query.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    response.metadata.authoritative = code != ResponseCode::ServFail;
    response.metadata.response_code = code;
    response.add_queries(query.queries.iter().cloned());
    response.insert_answers(answers);
    let mut limit = PLAIN_BYTES_MAX;
    if let Some(edns) = &query.edns {
        limit = usize::from(edns.max_payload().clamp(PLAIN_BYTES_MAX as u16, EDNS_BYTES_MAX));
        let mut ours = Edns::new();
        ours.set_max_payload(EDNS_BYTES_MAX);
        response.set_edns(ours);
    }
    if transport == Transport::Stream {
        limit = STREAM_BYTES_MAX;
    }
    let Ok(bytes) = response.to_vec() else { return Decision::Drop };
    if bytes.len() <= limit {
        return Decision::Answer(bytes);
    }
    response.answers.clear();
    response.metadata.truncation = true;
    response.to_vec().map_or(Decision::Drop, Decision::Answer)
}

/// A header that can be read gets a format error with its id; less gets nothing.
fn refuse_unreadable(bytes: &[u8]) -> Decision {
    let (Some(id), Some(flags)) = (bytes.get(..2), bytes.get(2)) else { return Decision::Drop };
    let is_response = flags & 0x80 != 0;
    if bytes.len() < 12 || is_response {
        return Decision::Drop;
    }
    let id = u16::from_be_bytes([id[0], id[1]]);
    let mut response = Message::response(id, OpCode::Query);
    response.metadata.response_code = ResponseCode::FormErr;
    response.to_vec().map_or(Decision::Drop, Decision::Answer)
}

/// The question of a message, for telling an answer from a forgery.
pub(super) fn question(bytes: &[u8]) -> Option<(u16, Name, RecordType)> {
    let message = Message::from_vec(bytes).ok()?;
    let [question] = message.queries.as_slice() else { return None };
    let name = question.name().to_lowercase();
    Some((message.metadata.id, name, question.query_type()))
}

#[cfg(test)]
mod tests;
