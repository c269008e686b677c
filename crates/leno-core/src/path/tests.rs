use proptest::prelude::*;

use super::*;

const MERGE: PathNormalization =
    PathNormalization { merge_slashes: true, ..PathNormalization::BASE };
const DECODE: PathNormalization =
    PathNormalization { escaped_slashes: EscapedSlashes::Unescape, ..MERGE };

/// The path to go on with, or the status that is answered.
fn read(settings: PathNormalization, target: &str) -> String {
    let mut out = b"left from before".to_vec();
    match normalize(settings, target.as_bytes(), &mut out) {
        Ok(Outcome::Unchanged) => target.to_owned(),
        Ok(Outcome::Changed) => String::from_utf8(out).unwrap(),
        Ok(Outcome::Redirect) => format!("-> {}", String::from_utf8(out).unwrap()),
        Err(_) => "400".to_owned(),
    }
}

/// Target, and what becomes of it: normalized; slashes merged too; escaped slashes unescaped too. What Envoy 1.40
/// answers, save the differences that the module names.
const TABLE: &[(&str, &str, &str, &str)] = &[
    ("//", "//", "/", "/"),
    ("///", "///", "/", "/"),
    ("//a//b//", "//a//b//", "/a/b/", "/a/b/"),
    ("/a/./b", "/a/b", "/a/b", "/a/b"),
    ("/a/../b", "/b", "/b", "/b"),
    ("/../a", "/a", "/a", "/a"),
    ("/..", "/", "/", "/"),
    ("/.", "/", "/", "/"),
    ("/a/..", "/", "/", "/"),
    ("/a/.", "/a/", "/a/", "/a/"),
    ("/a/b/../../c", "/c", "/c", "/c"),
    ("/a/../../b", "/b", "/b", "/b"),
    ("/%2e", "/", "/", "/"),
    ("/%2E%2e/a", "/a", "/a", "/a"),
    ("/a/%2e%2e/b", "/b", "/b", "/b"),
    ("/a/.%2e/b", "/b", "/b", "/b"),
    ("/a/%2e./b", "/b", "/b", "/b"),
    ("/a//../b", "/a/b", "/a/b", "/a/b"),
    ("/a//..//b", "/a//b", "/a/b", "/a/b"),
    ("//..", "/", "/", "/"),
    ("/a/%2f/b", "/a/%2f/b", "/a/%2f/b", "/a/b"),
    ("/a%2fb", "/a%2fb", "/a%2fb", "/a/b"),
    ("/a%2Fb", "/a%2Fb", "/a%2Fb", "/a/b"),
    ("/a%5cb", "/a%5cb", "/a%5cb", "/a/b"),
    ("/a%5Cb", "/a%5Cb", "/a%5Cb", "/a/b"),
    ("/a\\b", "/a/b", "/a/b", "/a/b"),
    ("/\\..\\b", "/b", "/b", "/b"),
    ("/a/..\\b", "/b", "/b", "/b"),
    ("/a/%2e%2e%2fb", "/a/..%2fb", "/a/..%2fb", "/b"),
    ("/a%2f..%2fb", "/a%2f..%2fb", "/a%2f..%2fb", "/b"),
    ("/a%2f%2e%2e%2fb", "/a%2f..%2fb", "/a%2f..%2fb", "/b"),
    ("/%2f", "/%2f", "/%2f", "/"),
    ("/%25%32e", "/%252e", "/%252e", "/%252e"),
    ("/%00", "400", "400", "400"),
    ("/a%00b", "400", "400", "400"),
    ("/%7e", "/~", "/~", "/~"),
    ("/%41", "/A", "/A", "/A"),
    ("/%61/%2D", "/a/-", "/a/-", "/a/-"),
    ("/<a>", "/%3Ca%3E", "/%3Ca%3E", "/%3Ca%3E"),
    ("/a\"b", "/a%22b", "/a%22b", "/a%22b"),
    ("/{a}", "/%7Ba%7D", "/%7Ba%7D", "/%7Ba%7D"),
    ("/a^b", "/a%5Eb", "/a%5Eb", "/a%5Eb"),
    ("/a|b", "/a%7Cb", "/a%7Cb", "/a%7Cb"),
    ("/a`b", "/a%60b", "/a%60b", "/a%60b"),
    ("/a/../b?x=/../y", "/b?x=/../y", "/b?x=/../y", "/b?x=/../y"),
    ("/a//b?c//d", "/a//b?c//d", "/a/b?c//d", "/a/b?c//d"),
    ("/a%2fb?c%2fd", "/a%2fb?c%2fd", "/a%2fb?c%2fd", "/a/b?c%2fd"),
    ("/;a/..;/b", "/b", "/b", "/b"),
    ("/a;x/../b", "/b", "/b", "/b"),
    ("/a/..;/b", "/b", "/b", "/b"),
    ("/a/.;/b", "/a/b", "/a/b", "/a/b"),
    ("/%7E", "/~", "/~", "/~"),
    ("/%2E", "/", "/", "/"),
    ("/%2e%2E/", "/", "/", "/"),
    ("/a/%2e/", "/a/", "/a/", "/a/"),
    ("/a/./", "/a/", "/a/", "/a/"),
    ("/a/../", "/", "/", "/"),
    ("/.//a", "//a", "/a", "/a"),
    ("/..//a", "//a", "/a", "/a"),
    ("/a/.//../b", "/a/b", "/a/b", "/a/b"),
    ("/%2e%2f%2e%2e/a", "/.%2f../a", "/.%2f../a", "/a"),
    ("/a%3f/../b", "/b", "/b", "/b"),
    ("/a/b/..?x", "/a/?x", "/a/?x", "/a/?x"),
    ("/a/b/.?x", "/a/b/?x", "/a/b/?x", "/a/b/?x"),
    ("/a/b/%2e%2e?x", "/a/?x", "/a/?x", "/a/?x"),
    ("/%2d", "/-", "/-", "/-"),
    ("/%5f", "/_", "/_", "/_"),
    ("/%5F", "/_", "/_", "/_"),
    ("/%2E%2E%5C", "/..%5C", "/..%5C", "/"),
    ("/a%5c..%5cb", "/a%5c..%5cb", "/a%5c..%5cb", "/b"),
    ("/a%5c%2e%2e%5cb", "/a%5c..%5cb", "/a%5c..%5cb", "/b"),
    ("/a/%5c/b", "/a/%5c/b", "/a/%5c/b", "/a/b"),
    ("/a#b", "400", "400", "400"),
    ("/a%2#", "400", "400", "400"),
    ("/a?b#c", "400", "400", "400"),
    ("/a/%2e%2e%00", "400", "400", "400"),
    ("/a/..;x/b", "/b", "/b", "/b"),
    ("/a/.;x/b", "/a/b", "/a/b", "/a/b"),
    ("/a/..;", "/", "/", "/"),
    ("/a/.;", "/a/", "/a/", "/a/"),
    ("/a/%2e%2e;/b", "/b", "/b", "/b"),
    ("/a;/../b", "/b", "/b", "/b"),
    ("/a/..;%2f/b", "/b", "/b", "/b"),
    ("/a/b/..;..;/c", "/a/c", "/a/c", "/a/c"),
    ("/a/.;.;/b", "/a/b", "/a/b", "/a/b"),
    ("/a/.;;/b", "/a/b", "/a/b", "/a/b"),
    ("/a/..;/../b", "/b", "/b", "/b"),
    ("/%%32e%%32e/a", "/%252e%252e/a", "/%252e%252e/a", "/%252e%252e/a"),
    ("/b/%2%65%2%65/a", "/b/%252e%252e/a", "/b/%252e%252e/a", "/b/%252e%252e/a"),
    ("/%%32%65/x", "/%252e/x", "/%252e/x", "/%252e/x"),
    ("/a/%%32f/x", "/a/%252f/x", "/a/%252f/x", "/a/%252f/x"),
    ("/a/..%00;/b", "400", "400", "400"),
    ("/a/.%2e;x=1/b", "/b", "/b", "/b"),
    ("/a/..;a%2fb/c", "/c", "/c", "/b/c"),
    ("/a/..;a\\b/c", "/c", "/c", "/c"),
    ("/..;/", "/", "/", "/"),
    ("/.;a", "/", "/", "/"),
    ("/a/.;?x", "/a/?x", "/a/?x", "/a/?x"),
    ("/a/..;b?c", "/?c", "/?c", "/?c"),
    ("/%2e%2e%3B/a", "/..%3B/a", "/..%3B/a", "/..%3B/a"),
    ("/a/..;.", "/", "/", "/"),
    ("/a/..\\;b", "/;b", "/;b", "/;b"),
];

/// What no setting changes.
const KEPT: &[&str] = &[
    "/",
    "/a",
    "/a/...",
    "/a/..b",
    "/a/b..",
    "/a/.b",
    "/%",
    "/%2",
    "/%zz",
    "/a%2",
    "/%20",
    "/%C3%A9",
    "/%ff",
    "/a'b",
    "/a[b]",
    "/a?b/../c",
    "/a?//",
    "/?",
    "/a%23b",
    "/%3F../a",
    "/%0a",
    "/a/..%3b/b",
    "/a/;/b",
    "/a/...;/b",
    "/..a;/b",
];

#[test]
fn paths_are_read_as_envoy_reads_them() {
    for (target, normalized, merged, decoded) in TABLE {
        for (settings, expected) in
            [(PathNormalization::BASE, normalized), (MERGE, merged), (DECODE, decoded)]
        {
            assert_eq!(read(settings, target), **expected, "{target} by {settings:?}");
        }
    }
    for target in KEPT {
        for settings in [PathNormalization::default(), PathNormalization::BASE, MERGE, DECODE] {
            assert_eq!(read(settings, target), **target, "{target} by {settings:?}");
        }
    }
}

#[test]
fn without_settings_only_what_no_path_may_hold_is_refused() {
    for (target, ..) in TABLE {
        let expected = if target.contains('#') { "400" } else { target };
        assert_eq!(read(PathNormalization::default(), target), *expected);
    }
    let refused = |target: &[u8]| {
        normalize(PathNormalization::default(), target, &mut Vec::new()).unwrap_err()
    };
    let table: [(&[u8], Refusal); 7] = [
        (b"/a#b", Refusal::Fragment),
        (b"/a?b#c", Refusal::Fragment),
        (b"/a\0b", Refusal::Byte),
        (b"/a b", Refusal::Byte),
        (b"/a?b\x7f", Refusal::Byte),
        (b"/\xc3\xa9", Refusal::Byte),
        (b"/\xff", Refusal::Byte),
    ];
    for (target, expected) in table {
        assert_eq!(refused(target), expected, "{}", target.escape_ascii());
    }
}

#[test]
fn what_is_not_a_path_is_left_alone() {
    for target in ["*", "a.example:443", ""] {
        assert_eq!(read(DECODE, target), target);
    }
}

#[test]
fn escaped_slashes_are_kept_refused_redirected_or_unescaped() {
    let by = |escaped_slashes| PathNormalization { escaped_slashes, ..PathNormalization::BASE };
    // (setting, a path with an escaped slash, one with it in the query only)
    let table = [
        (EscapedSlashes::Keep, "/a%2F..%5Cb?c%2Fd", "/a?%2f"),
        (EscapedSlashes::Reject, "400", "/a?%2f"),
        (EscapedSlashes::Redirect, "-> /b?c%2Fd", "/a?%2f"),
        (EscapedSlashes::Unescape, "/b?c%2Fd", "/a?%2f"),
    ];
    for (setting, escaped, query) in table {
        assert_eq!(read(by(setting), "/a%2F..%5Cb?c%2Fd"), escaped, "{setting:?}");
        assert_eq!(read(by(setting), "/a?%2f"), query, "{setting:?}");
    }
    let alone = PathNormalization {
        escaped_slashes: EscapedSlashes::Unescape,
        ..PathNormalization::default()
    };
    assert_eq!(read(alone, "/a%2f%2E%5cb//c"), "/a/%2E\\b//c");
}

fn settings() -> impl Strategy<Value = PathNormalization> {
    let slashes = prop_oneof![
        Just(EscapedSlashes::Keep),
        Just(EscapedSlashes::Redirect),
        Just(EscapedSlashes::Unescape)
    ];
    (any::<bool>(), any::<bool>(), slashes).prop_map(
        |(normalize, merge_slashes, escaped_slashes)| PathNormalization {
            normalize,
            merge_slashes,
            escaped_slashes,
        },
    )
}

/// Paths made of what matters: dots, slashes, escapes whole and cut short.
fn hard_path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "/", "\\", ".", ".", "..", ";", "%", "%2", "%2e", "%2E", "%2f", "%2F", "%5c", "%25",
        "%32", "%65", "%66", "%41", "%7e", "%00", "2e", "2f", "e", "a", "b", "{", "?", "=", "..;x",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn normalizing_twice_is_normalizing_once(settings in settings(), target in hard_path()) {
        let once = read(settings, &target);
        let once = once.trim_start_matches("-> ");
        if once != "400" {
            prop_assert_eq!(read(settings, once), once, "{} by {:?}", target, settings);
        }
    }

    #[test]
    fn a_normalized_path_has_no_dot_segment(target in hard_path(), decodes in any::<bool>()) {
        let once = read(if decodes { DECODE } else { PathNormalization::BASE }, &target);
        if once != "400" {
            let path = once.split('?').next().unwrap();
            prop_assert!(path.starts_with('/'), "{}", once);
            for segment in path[1..].split(['/', '\\']) {
                let plain = segment.to_ascii_lowercase().replace("%2e", ".");
                let name = plain.split(';').next().unwrap();
                prop_assert!(name != "." && name != "..", "{} of {}", once, target);
            }
            prop_assert!(!decodes || !path.contains("//"), "{}", once);
        }
    }

    #[test]
    fn the_query_is_never_touched(settings in settings(), target in hard_path()) {
        let once = read(settings, &target);
        if once != "400" {
            prop_assert_eq!(once.split_once('?').map(|s| s.1), target.split_once('?').map(|s| s.1));
        }
    }
}
