//! HTTP/1 messages as an application sees them, and how two of them differ.

use std::fmt;

/// Names with their case, and values, in order.
type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// One message, its framing taken away.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Message {
    start: Vec<u8>,
    fields: Lines,
    body: Vec<u8>,
    trailers: Lines,
}

/// What is not as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Difference {
    /// Names are the same but for their case.
    Case(String),
    /// The lines are the same, in another order.
    Order(String),
    /// The words behind the status.
    Reason(String),
    /// Anything else.
    Other(String),
    /// It did not arrive.
    Lost(String),
}

/// Fields that are about one connection (RFC 9110 §7.6.1) or about framing, which each hop does anew.
const OF_THE_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"];
/// What Leno adds to requests and responses where a mesh needs it. `docs/interop.md` has the same list.
const ADDED: [&str; 3] = ["x-forwarded-proto", "x-request-id", "x-envoy-upstream-service-time"];
/// What Envoy adds beside these.
const ADDED_BY_ENVOY: [&str; 2] = ["x-envoy-expected-rq-timeout-ms", "date"];

impl Message {
    /// A whole request; `None` while there is more to come.
    pub(super) fn request(bytes: &[u8]) -> Option<Self> {
        let (message, rest) = head(bytes)?;
        let Some(length) = message.framing(rest)? else { return Some(message) };
        message.take_body(rest, length)
    }

    /// Interim responses and the final one; `None` while there is more to come. `is_closed`: nothing more will.
    pub(super) fn responses(bytes: &[u8], is_head: bool, is_closed: bool) -> Option<Vec<Self>> {
        let (mut messages, mut rest) = (Vec::new(), bytes);
        loop {
            let (mut message, behind) = head(rest)?;
            rest = behind;
            let status = message.start.get(9..12)?.to_vec();
            if status[0] == b'1' {
                messages.push(message);
                continue;
            }
            if !is_head && status != b"204" && status != b"304" {
                match message.framing(rest)? {
                    Some(length) => message = message.take_body(rest, length)?,
                    None if message.has("content-length") => {}
                    None if is_closed => message.body = rest.to_vec(),
                    None => return None,
                }
            }
            messages.push(message);
            return Some(messages);
        }
    }

    fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    fn value(&self, name: &str) -> Option<&[u8]> {
        let found = self.fields.iter().find(|(each, _)| each.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| value.as_slice())
    }

    /// How long the body is, `Some(None)` where no field says so; `usize::MAX` stands for chunks.
    #[expect(clippy::option_option, reason = "not known yet differs from none")]
    fn framing(&self, rest: &[u8]) -> Option<Option<usize>> {
        if self.has("transfer-encoding") {
            return Some(Some(usize::MAX));
        }
        let Some(length) = self.value("content-length") else { return Some(None) };
        let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
        (rest.len() >= length).then_some(Some(length))
    }

    fn take_body(mut self, mut rest: &[u8], length: usize) -> Option<Self> {
        if length < usize::MAX {
            self.body = rest[..length].to_vec();
            return Some(self);
        }
        loop {
            let line = take_line(&mut rest)?;
            let size =
                String::from_utf8_lossy(line.split(|byte| *byte == b';').next()?).into_owned();
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            if size == 0 {
                break;
            }
            self.body.extend_from_slice(rest.get(..size)?);
            rest = rest.get(size + 2..)?;
        }
        loop {
            match take_line(&mut rest)? {
                [] => return Some(self),
                line => self.trailers.push(field(line)),
            }
        }
    }
}

fn take_line<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &rest[..end];
    *rest = &rest[end + 2..];
    Some(line)
}

fn field(line: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
    let value = line.get(colon + 1..).unwrap_or_default();
    (line[..colon].to_vec(), value.trim_ascii().to_vec())
}

fn head(bytes: &[u8]) -> Option<(Message, &[u8])> {
    let mut rest = bytes;
    let mut message = Message { start: take_line(&mut rest)?.to_vec(), ..Message::default() };
    loop {
        match take_line(&mut rest)? {
            [] => return Some((message, rest)),
            line => message.fields.push(field(line)),
        }
    }
}

impl Difference {
    /// The column it counts in.
    pub(super) fn rank(&self) -> usize {
        match self {
            Self::Case(_) => 1,
            Self::Order(_) => 2,
            Self::Reason(_) => 3,
            Self::Other(_) | Self::Lost(_) => 4,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Case(what) => write!(f, "case: {what}"),
            Self::Order(what) => write!(f, "order: {what}"),
            Self::Reason(what) => write!(f, "reason: {what}"),
            Self::Other(what) => write!(f, "other: {what}"),
            Self::Lost(what) => write!(f, "lost: {what}"),
        }
    }
}

/// What is not as it was sent, in all messages of one side.
pub(super) fn compare(sent: &[Message], arrived: &[Message]) -> Vec<Difference> {
    if sent.len() != arrived.len() {
        return vec![Difference::Other(format!(
            "{} messages became {}",
            sent.len(),
            arrived.len()
        ))];
    }
    let pairs = sent.iter().zip(arrived);
    pairs.flat_map(|(sent, arrived)| compare_one(sent, arrived)).collect()
}

fn compare_one(sent: &Message, arrived: &Message) -> Vec<Difference> {
    let mut differences = Vec::new();
    let (expected, found) = (start_of(sent), start_of(arrived));
    if expected.0 != found.0 {
        differences.push(Difference::Other(format!(
            "{} became {}",
            show(&expected.0),
            show(&found.0)
        )));
    }
    if expected.1 != found.1 {
        differences.push(Difference::Reason(format!(
            "{} became {}",
            show(&expected.1),
            show(&found.1)
        )));
    }
    differences.extend(compare_lines(&own_fields(sent), &passed_fields(sent, arrived)));
    differences.extend(compare_lines(&sent.trailers, &arrived.trailers));
    if sent.body != arrived.body {
        let (sent, arrived) = (sent.body.len(), arrived.body.len());
        differences.push(Difference::Other(format!("another body: {sent} bytes became {arrived}")));
    }
    differences
}

/// Everything but the version, which is each hop's own; the reason phrase apart.
fn start_of(message: &Message) -> (Vec<u8>, Vec<u8>) {
    let text = message.start.as_slice();
    if text.starts_with(b"HTTP/") {
        return (text[9..12].to_vec(), text.get(13..).unwrap_or_default().to_vec());
    }
    let end = text.iter().rposition(|byte| *byte == b' ').unwrap_or(text.len());
    (text[..end].to_vec(), Vec::new())
}

fn is_among(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|each| name.eq_ignore_ascii_case(each.as_bytes()))
}

fn own_fields(message: &Message) -> Lines {
    let is_own = |(name, _): &&(Vec<u8>, Vec<u8>)| !is_among(name, &OF_THE_CONNECTION);
    message.fields.iter().filter(is_own).cloned().collect()
}

/// Without what a proxy adds, and without a length that framing needed and the sender had not said.
fn passed_fields(sent: &Message, arrived: &Message) -> Lines {
    let is_added = |name: &[u8]| {
        let name_of = String::from_utf8_lossy(name).into_owned();
        let by_proxy = is_among(name, &ADDED) || is_among(name, &ADDED_BY_ENVOY);
        (by_proxy || is_among(name, &["content-length"])) && !sent.has(&name_of)
    };
    own_fields(arrived).into_iter().filter(|(name, _)| !is_added(name)).collect()
}

fn compare_lines(sent: &Lines, arrived: &Lines) -> Option<Difference> {
    if sent == arrived {
        return None;
    }
    let lower = |lines: &Lines| -> Lines {
        lines.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
    };
    let said = || format!("{} became {}", show_lines(sent), show_lines(arrived));
    let (mut expected, mut found) = (lower(sent), lower(arrived));
    if expected == found {
        return Some(Difference::Case(said()));
    }
    expected.sort();
    found.sort();
    if expected == found {
        return Some(Difference::Order(said()));
    }
    Some(Difference::Other(said()))
}

fn show(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(120)]))
}

fn show_lines(lines: &Lines) -> String {
    let joined: Vec<_> =
        lines.iter().map(|(name, value)| [&name[..], b": ", &value[..]].concat()).collect();
    show(&joined.join(&b" | "[..]))
}

/// Messages of random parts: whether each is a request, and its bytes.
pub(super) fn generate(seed: u64, count: usize) -> impl Iterator<Item = (bool, Vec<u8>)> {
    let mut random = Random(seed | 1);
    (0..count).map(move |number| {
        let is_request = number % 2 == 0;
        let mut lines = Vec::new();
        for _ in 0..random.below(12) {
            let name = random.name();
            let value = random.text(b"abcXYZ019 ,;=\"-/:*()", 30);
            lines.push(format!("{name}: {}", value.trim()));
        }
        let body = random.text(b"abc\r\n0 ", 200);
        let is_chunked = random.below(2) == 0;
        let framed = if is_chunked {
            lines.push("Transfer-Encoding: chunked".to_owned());
            let (first, second) = body.split_at(body.len() / 2);
            let chunk = |text: &str| match text.len() {
                0 => String::new(),
                length => format!("{length:x}\r\n{text}\r\n"),
            };
            format!("{}{}0\r\n\r\n", chunk(first), chunk(second))
        } else {
            let at = random.below(lines.len() + 1);
            lines.insert(at, format!("Content-Length: {}", body.len()));
            body
        };
        let start = if is_request {
            let at = random.below(lines.len() + 1);
            lines.insert(at, "Host: app.example".to_owned());
            format!("POST /{} HTTP/1.1", random.text(b"abc/?&=%20-_.~", 20).replace('%', "%2"))
        } else {
            "HTTP/1.1 200 OK".to_owned()
        };
        (is_request, format!("{start}\r\n{}\r\n\r\n{framed}", lines.join("\r\n")).into_bytes())
    })
}

/// Xorshift: the same everywhere for a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }

    fn text(&mut self, of: &[u8], longest: usize) -> String {
        let length = self.below(longest + 1);
        (0..length).map(|_| char::from(of[self.below(of.len())])).collect()
    }

    /// Few names, so that they come twice, in any case.
    fn name(&mut self) -> String {
        const NAMES: [&str; 9] = [
            "accept",
            "x-one",
            "x-two",
            "user-agent",
            "cache-control",
            "x-three-words",
            "link",
            "etag",
            "warning",
        ];
        let name = NAMES[self.below(NAMES.len())];
        let case = self.below(4);
        let mut is_start = true;
        let mut letter = |letter: char| {
            let is_upper = match case {
                0 => false,
                1 => true,
                2 => is_start,
                _ => self.below(2) == 0,
            };
            is_start = letter == '-';
            if is_upper { letter.to_ascii_uppercase() } else { letter }
        };
        name.chars().map(&mut letter).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Difference, Message, compare};

    fn check(sent: &str, arrived: &str, expected: &[usize]) {
        let read = |text: &str| Message::responses(text.as_bytes(), false, true).unwrap();
        let found: Vec<_> =
            compare(&read(sent), &read(arrived)).iter().map(Difference::rank).collect();
        assert_eq!(found, expected, "{sent:?} became {arrived:?}");
    }

    #[test]
    fn differences_are_told_apart() {
        let sent = "HTTP/1.1 200 OK\r\nX-A: 1\r\nX-B: 2\r\nContent-Length: 2\r\n\r\nok";
        check(sent, sent, &[]);
        let chunked =
            "HTTP/1.1 200 OK\r\nX-A: 1\r\nX-B: 2\r\nContent-Length: 2\r\nx-request-id: 7\r\n\r\nok";
        check(sent, chunked, &[]);
        check(sent, &sent.replace("X-A", "x-a"), &[1]);
        check(sent, "HTTP/1.1 200 OK\r\nX-B: 2\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok", &[2]);
        check(sent, &sent.replace("200 OK", "200 "), &[3]);
        check(sent, &sent.replace("200 OK", "201 OK"), &[4]);
        check(sent, &sent.replace("X-A: 1", "X-A: 3"), &[4]);
        check(sent, &sent.replace("\r\n\r\nok", "\r\n\r\nno"), &[4]);
        check(sent, &format!("HTTP/1.1 103 Early Hints\r\n\r\n{sent}"), &[4]);
    }
}
