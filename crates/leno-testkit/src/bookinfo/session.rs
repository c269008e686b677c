//! Who is signed in: the name in a cookie, as in the original any name will do.
//!
//! Not a security boundary and not meant as one; the value is kept to harmless
//! characters so that it cannot break a header or a page.

use hyper::HeaderMap;
use hyper::header::COOKIE;

const COOKIE_NAME: &str = "session";
const NAME_BYTES_MAX: usize = 64;

/// The user of a request, if one is signed in.
pub(super) fn user(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|c| c.split_once('='));
    let (_, name) = pairs.find(|(name, _)| name.trim() == COOKIE_NAME)?;
    accept(name)
}

/// The `Set-Cookie` value that signs `name` in.
pub(super) fn sign_in(name: &str) -> Option<String> {
    Some(format!("{COOKIE_NAME}={}; Path=/; HttpOnly; SameSite=Lax", accept(name)?))
}

/// The `Set-Cookie` value that signs out.
pub(super) fn sign_out() -> String {
    format!("{COOKIE_NAME}=; Path=/; Max-Age=0")
}

fn accept(name: &str) -> Option<String> {
    let name = name.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(is_plain);
    fits.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{sign_in, sign_out, user};
    use hyper::HeaderMap;
    use hyper::header::COOKIE;

    #[test]
    fn a_name_comes_back_and_anything_else_is_nobody() {
        let read = |cookie: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, cookie.parse().unwrap());
            user(&headers)
        };
        let signed_in = sign_in("jason").unwrap();
        let (cookie, _) = signed_in.split_once(';').unwrap();
        assert_eq!(read(&format!("a=b; {cookie}")).as_deref(), Some("jason"));
        assert_eq!(read("session="), None);
        assert_eq!(read("other=jason"), None);
        for wrong in ["", "a;b", "<b>", "a\r\nSet-Cookie: x", &"x".repeat(65)] {
            assert_eq!(sign_in(wrong), None, "{wrong:?}");
        }
        assert!(sign_out().contains("Max-Age=0"));
    }
}
