//! What shall happen: exchanges and their fates, known to client and origin.

use super::Random;

/// All exchanges of a run.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) exchanges: Vec<Exchange>,
    /// After so many steps the relay loses the origin.
    pub(super) cut_at: Option<u32>,
}

/// One exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) request_bytes: usize,
    pub(super) response_bytes: usize,
    pub(super) says_length: bool,
    pub(super) request_trailers: bool,
    pub(super) response_trailers: bool,
    pub(super) has_interim: bool,
    pub(super) fate: Fate,
}

/// How an exchange is to end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    Complete,
    /// The client loses interest after so many bytes of the response.
    Cancelled(usize),
    /// The origin resets it after so many bytes of the response.
    Broken(usize),
    /// The origin answers without reading the request to its end.
    Early,
}

impl Plan {
    pub(super) fn new(random: &mut Random) -> Self {
        let count = 1 + random.below(14);
        let exchanges = (0..count).map(|_| Exchange::new(random)).collect();
        let cut_at = random.one_in(6).then(|| 1 + random.below(3000) as u32);
        Self { exchanges, cut_at }
    }
}

impl Exchange {
    fn new(random: &mut Random) -> Self {
        let mut bytes = || match random.below(4) {
            0 => 0,
            1 => random.below(30) as usize,
            2 => random.below(4000) as usize,
            _ => random.below(30_000) as usize,
        };
        let (request_bytes, response_bytes) = (bytes(), bytes());
        let fate = match random.below(10) {
            0 => Fate::Cancelled(random.below(1 + response_bytes as u64) as usize),
            1 => Fate::Broken(random.below(1 + response_bytes as u64) as usize),
            2 => Fate::Early,
            _ => Fate::Complete,
        };
        Self {
            request_bytes,
            response_bytes,
            says_length: random.one_in(2),
            request_trailers: random.one_in(4),
            response_trailers: random.one_in(3),
            has_interim: random.one_in(5),
            fate,
        }
    }
}

/// The body that travels in exchange `number`: a stretch of one random text, so that parts are cheap to make and check.
pub(super) fn body(
    number: usize,
    is_response: bool,
    range: std::ops::Range<usize>,
) -> &'static [u8] {
    static TEXT: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let text = TEXT.get_or_init(|| {
        let mut random = Random::new(1);
        (0..100_000).map(|_| random.next() as u8).collect()
    });
    let offset = (number * 2 + usize::from(is_response)) * 977;
    &text[offset + range.start..offset + range.end]
}

/// Checks received bytes against the plan, from where the last ones ended.
pub(super) fn check(number: usize, is_response: bool, start: usize, bytes: &[u8]) {
    let expected = body(number, is_response, start..start + bytes.len());
    assert!(bytes == expected, "exchange {number}: other bytes from {start} on");
}
