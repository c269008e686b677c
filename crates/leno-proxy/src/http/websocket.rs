//! The handshake of RFC 6455 §4, where only one side of an exchange has it: over HTTP/2 (RFC 8441) there is none.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leno_core::random::Random;
use leno_http::{Known, Name, RequestHead, ResponseHead, Version};

const KEY: &str = "sec-websocket-key";
const ACCEPT: &str = "sec-websocket-accept";

/// Gives a request that came without a key one, for an endpoint that speaks HTTP/1.
pub(super) fn ask(request: &mut RequestHead, random: &mut impl Random) {
    if request.version() != Version::Http2 || request.upgrade() != Some("websocket") {
        return;
    }
    let Some(name) = Name::parse(KEY) else { return };
    if request.fields().get(name).is_none() {
        let nonce = [random.next_u64().to_ne_bytes(), random.next_u64().to_ne_bytes()].concat();
        request.fields_mut().append(name, STANDARD.encode(nonce).as_bytes());
    }
}

/// Says in an agreement that came over HTTP/2 what a client of HTTP/1 waits for.
pub(super) fn agree(request: &RequestHead, response: &mut ResponseHead) {
    if request.version() == Version::Http2 || response.version() != Version::Http2 {
        return;
    }
    let Some(protocol) = request.upgrade() else { return };
    response.fields_mut().set(Known::Upgrade, protocol.as_bytes());
    let (Some(key), Some(accept)) = (Name::parse(KEY), Name::parse(ACCEPT)) else { return };
    if let Some(key) = request.fields().get(key)
        && response.fields().get(accept).is_none()
    {
        response.fields_mut().append(accept, accept_of(key).as_bytes());
    }
}

fn accept_of(key: &[u8]) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finish())
}

#[cfg(test)]
mod tests {
    use super::accept_of;

    #[test]
    fn the_key_of_the_rfc_gives_its_answer() {
        assert_eq!(accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
