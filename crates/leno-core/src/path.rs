//! The one reading of a request's path: what routing matches, authorization judges and the upstream receives.
//!
//! Called once per request, before anything looks at the path. Follows Envoy 1.40's `normalize_path`, `merge_slashes`
//! and `path_with_escaped_slashes_action` byte for byte, in Envoy's order: escaped slashes, dot segments, slashes.
//! Three differences, each on the side of caution: dots that were escaped count also before a parameter
//! (`/a/%2e%2e;/b` is `/b`, where the next reader of Envoy's `/a/..;/b` would make it so); a path of nothing but
//! slashes merges to one; and what is refused below is refused whatever the settings.
//!
//! Invariant: normalizing twice is normalizing once, and a normalized path has no dot segment.

use crate::config::{EscapedSlashes, PathNormalization};

#[cfg(test)]
mod tests;

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It stands as it is; nothing was written.
    Unchanged,
    /// The path and query to go on with were written.
    Changed,
    /// The client is sent (307) to what was written: an escaped slash was found, and the settings say so.
    Redirect,
}

/// Why a path is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// RFC 3986 §3.5: a fragment never leaves the client.
    #[error("a fragment in the request's path")]
    Fragment,
    /// A control byte, a space or a byte outside ASCII (RFC 3986 §2): it must come escaped.
    #[error("a byte in the request's path that must be escaped")]
    Byte,
    /// `%00`: readers behind us may take it for the end.
    #[error("a NUL in the request's path")]
    Nul,
    /// `%2F` or `%5C` where the settings refuse them.
    #[error("an escaped slash in the request's path")]
    EscapedSlash,
}

/// Reads `target` (path and query as received) by the listener's `settings`. Writes to `out`, which it clears, only
/// where the answer is not [`Outcome::Unchanged`]. A target without a leading `/` (`*`, an authority) has no path.
pub fn normalize(
    settings: PathNormalization,
    target: &[u8],
    out: &mut Vec<u8>,
) -> Result<Outcome, Refusal> {
    let Some(doubtful) = look(target)? else { return Ok(Outcome::Unchanged) };
    let (path, query) = target.split_at(doubtful.path_bytes);
    let unescapes = settings.escaped_slashes != EscapedSlashes::Keep;
    let mut unescaped = None;
    if unescapes && doubtful.has_escape {
        unescaped = unescape_slashes(path);
        if unescaped.is_some() && settings.escaped_slashes == EscapedSlashes::Reject {
            return Err(Refusal::EscapedSlash);
        }
    }
    let read = unescaped.as_deref().unwrap_or(path);
    out.clear();
    if settings.normalize {
        remove_dot_segments(read, out)?;
    } else {
        out.extend_from_slice(read);
    }
    if settings.merge_slashes {
        merge_slashes(out);
    }
    if out == path {
        return Ok(Outcome::Unchanged);
    }
    out.extend_from_slice(query);
    let redirects = settings.escaped_slashes == EscapedSlashes::Redirect && unescaped.is_some();
    Ok(if redirects { Outcome::Redirect } else { Outcome::Changed })
}

/// What a first look found: something that the settings may want changed.
struct Doubtful {
    path_bytes: usize,
    has_escape: bool,
}

/// One pass over the bytes; `None` for the ordinary path, which no setting changes.
fn look(target: &[u8]) -> Result<Option<Doubtful>, Refusal> {
    if target.first() != Some(&b'/') {
        return Ok(None);
    }
    let (mut is_doubtful, mut has_escape, mut before) = (false, false, 0);
    let mut path_bytes = target.len();
    for (at, &byte) in target.iter().enumerate() {
        match KINDS[usize::from(byte)] {
            Kind::Plain => {}
            Kind::Slash | Kind::Dot => is_doubtful |= before == b'/',
            Kind::Query => {
                path_bytes = at;
                break;
            }
            Kind::Escape => (is_doubtful, has_escape) = (true, true),
            Kind::Rewritten => is_doubtful = true,
            Kind::Refused => return Err(refused(byte)),
        }
        before = byte;
    }
    let query = &target[path_bytes..];
    if let Some(&byte) = query.iter().find(|&&byte| KINDS[usize::from(byte)] == Kind::Refused) {
        return Err(refused(byte));
    }
    Ok(is_doubtful.then_some(Doubtful { path_bytes, has_escape }))
}

const fn refused(byte: u8) -> Refusal {
    if byte == b'#' { Refusal::Fragment } else { Refusal::Byte }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Slash,
    Dot,
    Query,
    Escape,
    /// Escaped, or in the case of `\`, taken for a slash.
    Rewritten,
    Refused,
}

static KINDS: [Kind; 256] = {
    let mut table = [Kind::Refused; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = match byte {
            b'#' => Kind::Refused,
            b'/' => Kind::Slash,
            b'.' => Kind::Dot,
            b'?' => Kind::Query,
            b'%' => Kind::Escape,
            b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => Kind::Rewritten,
            _ => Kind::Plain,
        };
        byte += 1;
    }
    table
};

/// `%2F` and `%5C` as the bytes they stand for; `None` where there are none.
fn unescape_slashes(path: &[u8]) -> Option<Vec<u8>> {
    let mut unescaped: Option<Vec<u8>> = None;
    let (mut at, mut copied) = (0, 0);
    while at < path.len() {
        let Some(slash @ (b'/' | b'\\')) = escape_at(path, at) else {
            at += 1;
            continue;
        };
        let unescaped = unescaped.get_or_insert_with(|| Vec::with_capacity(path.len()));
        unescaped.extend_from_slice(&path[copied..at]);
        unescaped.push(slash);
        at += 3;
        copied = at;
    }
    if let Some(unescaped) = &mut unescaped {
        unescaped.extend_from_slice(&path[copied..]);
    }
    unescaped
}

/// RFC 3986 §5.2.4 and §6.2.2, as browsers do it: a backslash is a slash.
fn remove_dot_segments(path: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut rest = path;
    while let Some((_, after_slash)) = rest.split_first() {
        let mut end = memchr::memchr2(b'/', b'\\', after_slash).unwrap_or(after_slash.len());
        let dots = dots(&after_slash[..end]);
        if dots > 0 && memchr::memchr(b';', &after_slash[..end]).is_some() {
            // The parameters of a dot segment reach to the next true slash.
            end = memchr::memchr(b'/', after_slash).unwrap_or(after_slash.len());
        }
        let segment = &after_slash[..end];
        rest = &after_slash[end..];
        match dots {
            0 => {
                out.push(b'/');
                push_segment(segment, out)?;
                continue;
            }
            1 => {}
            _ => out.truncate(memchr::memrchr(b'/', out).unwrap_or(0)),
        }
        // What the segment's parameters hold goes with it, save what no path may hold.
        push_segment(segment, &mut Vec::new())?;
        if rest.is_empty() {
            out.push(b'/');
        }
    }
    Ok(())
}

/// 1 or 2 for a dot segment, escaped dots and parameters (`..;x`) included; else 0.
fn dots(segment: &[u8]) -> usize {
    let mut rest = segment;
    let mut count = 0;
    while count < 3 {
        rest = match rest {
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            [] | [b';', ..] => return count,
            _ => return 0,
        };
        count += 1;
    }
    0
}

/// One segment with its escapes in their normal form: unreserved bytes plain, what must be escaped escaped.
fn push_segment(segment: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
    // Where a `%` was written that starts no escape.
    let mut bare = None;
    let mut at = 0;
    while at < segment.len() {
        let byte = segment[at];
        if byte == b'%' {
            match escape_at(segment, at) {
                Some(0) => return Err(Refusal::Nul),
                Some(plain) if is_unreserved(plain) => {
                    out.push(plain);
                    at += 3;
                    part_new_escape(&mut bare, segment.get(at), out);
                    continue;
                }
                Some(_) => {
                    out.extend_from_slice(&segment[at..at + 3]);
                    at += 3;
                    continue;
                }
                None => bare = Some(out.len()),
            }
        }
        if KINDS[usize::from(byte)] == Kind::Rewritten {
            let hex = b"0123456789ABCDEF";
            let pair = [hex[usize::from(byte >> 4)], hex[usize::from(byte & 15)]];
            out.extend_from_slice(&[b'%', pair[0], pair[1]]);
        } else {
            out.push(byte);
        }
        at += 1;
    }
    Ok(())
}

/// Undoes what unescaping may have made of a bare `%` shortly before (`%%32e` must not become `%2e`, which the next
/// reader takes for a dot): the `%` is escaped itself.
fn part_new_escape(bare: &mut Option<usize>, next: Option<&u8>, out: &mut Vec<u8>) {
    let Some(percent) = *bare else { return };
    let makes_escape = match &out[percent + 1..] {
        [first, second] => first.is_ascii_hexdigit() && second.is_ascii_hexdigit(),
        [first] => first.is_ascii_hexdigit() && next.is_some_and(u8::is_ascii_hexdigit),
        _ => false,
    };
    if makes_escape {
        out.splice(percent + 1..percent + 1, *b"25");
        *bare = None;
    }
}

fn merge_slashes(path: &mut Vec<u8>) {
    let mut before = 0;
    path.retain(|&byte| {
        let is_second = byte == b'/' && before == b'/';
        before = byte;
        !is_second
    });
}

/// The byte that `%XX` at that place stands for.
fn escape_at(path: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low] = path.get(at..at + 3)? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}
