//! Paths from arbitrary bytes: no panic, a second reading changes nothing, no dot segment stays.
#![no_main]

use leno_core::config::{EscapedSlashes, PathNormalization};
use leno_core::path::{Outcome, normalize};
use libfuzzer_sys::fuzz_target;

const SLASHES: [EscapedSlashes; 4] = [
    EscapedSlashes::Keep,
    EscapedSlashes::Reject,
    EscapedSlashes::Redirect,
    EscapedSlashes::Unescape,
];

fuzz_target!(|data: &[u8]| {
    let Some((&choice, target)) = data.split_first() else { return };
    let settings = PathNormalization {
        normalize: choice & 1 != 0,
        merge_slashes: choice & 2 != 0,
        escaped_slashes: SLASHES[usize::from(choice >> 2 & 3)],
    };
    let mut once = Vec::new();
    match normalize(settings, target, &mut once) {
        Err(_) => return,
        Ok(Outcome::Unchanged) => once = target.to_vec(),
        Ok(Outcome::Changed | Outcome::Redirect) => {}
    }
    assert_eq!(normalize(settings, &once, &mut Vec::new()), Ok(Outcome::Unchanged));
    if settings.normalize && once.first() == Some(&b'/') {
        let path = once.split(|&byte| byte == b'?').next().unwrap_or_default();
        let is_dots = |segment: &[u8]| segment == b"." || segment == b"..";
        assert!(!path.split(|&byte| byte == b'/').any(is_dots));
    }
});
