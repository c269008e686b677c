//! Memory that only the start of a program needed.

use std::io;
use std::ops::Range;

/// Gives back the pages of this program's file and of its libraries that are mapped now and cannot have been changed: code
/// and constants. They stay in the page cache, and what is used again is mapped again without reading the file.
///
/// Called once by a process that has started and will sit idle: reading flags and configuration touches several
/// megabytes of code that serving never does.
///
/// # Errors
/// When `/proc` cannot be read or the kernel refuses.
pub fn release_start() -> io::Result<()> {
    let smaps = std::fs::read_to_string("/proc/self/smaps")?;
    for range in unchanged(&smaps) {
        let start = std::ptr::with_exposed_provenance_mut(range.start);
        // SAFETY: the range is a whole private mapping of a file that is not writable and of which no page was ever
        // changed, so every page dropped here comes back from the file with the same content, whoever touches it.
        let outcome = unsafe { libc::madvise(start, range.len(), libc::MADV_DONTNEED) };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Gives back the pages between allocations that hold none any more (`malloc_trim`); whether there were any.
///
/// What is read once and thrown away (a configuration's text and its tree) leaves holes between what was kept, which the
/// allocator gives back by itself only at the end of its heap. It takes each of the heap's locks in turn, for about a
/// millisecond per 10 MB: not for a thread that carries traffic.
pub fn release_heap() -> bool {
    // SAFETY: takes no pointer, and only pages without a live allocation are given back.
    #[cfg(target_env = "gnu")]
    return unsafe { libc::malloc_trim(0) } != 0;
    #[cfg(not(target_env = "gnu"))]
    false
}

/// The private mappings of files that are not writable and hold no page of their own.
fn unchanged(smaps: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        if let Some(mapping) = mapping(line) {
            let is_file = mapping.path.starts_with('/') && !mapping.path.starts_with("/dev/");
            candidate = (is_file && mapping.permissions.ends_with('p'))
                .then_some(mapping)
                .filter(|mapping| !mapping.permissions.contains('w'));
        } else if let Some(anonymous) = line.strip_prefix("Anonymous:")
            && let Some(mapping) = candidate.take()
            && anonymous.trim() == "0 kB"
        {
            ranges.push(mapping.range);
        }
    }
    ranges
}

struct Mapping<'a> {
    range: Range<usize>,
    permissions: &'a str,
    path: &'a str,
}

/// `start-end permissions offset device inode path`; the other lines of an entry begin with a name and a colon.
fn mapping(line: &str) -> Option<Mapping<'_>> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let mut fields = rest.split_whitespace();
    let permissions = fields.next()?;
    let path = fields.nth(3).unwrap_or_default();
    Some(Mapping { range: number(start)?..number(end)?, permissions, path })
}

#[cfg(test)]
mod tests {
    use super::{release_heap, release_start, unchanged};

    #[test]
    #[cfg(target_env = "gnu")]
    fn holes_between_allocations_are_given_back() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        let mut blocks: Vec<Option<Vec<u8>>> = (0..2000).map(|_| Some(vec![1; 8 << 10])).collect();
        // Every eighth stays: 14 MB of holes, none at the heap's end.
        for (at, block) in blocks.iter_mut().enumerate() {
            if at % 8 != 7 {
                *block = None;
            }
        }
        let before = resident();
        assert!(release_heap());
        assert!(resident() + (8 << 10) < before, "{} of {before} kB", resident());
        assert!(blocks.iter().flatten().all(|block| block[0] == 1));
    }

    #[test]
    fn only_unchanged_mappings_of_files_are_released() {
        let entry = |range: &str, permissions: &str, path: &str, anonymous: u32| {
            format!(
                "{range} {permissions} 00000000 fe:00 42       {path}\nSize:  4 kB\nRss:  4 kB\n\
                 Anonymous:      {anonymous} kB\nVmFlags: rd ex mr\n"
            )
        };
        let smaps = [
            entry("1000-2000", "r--p", "/bin/leno", 0),
            entry("2000-5000", "r-xp", "/bin/leno", 0),
            entry("5000-6000", "r--p", "/bin/leno", 4),
            entry("6000-7000", "rw-p", "/bin/leno", 0),
            entry("7000-8000", "r-xs", "/bin/leno", 0),
            entry("8000-9000", "r-xp", "/lib/libc.so.6", 0),
            entry("9000-a000", "rw-p", "", 0),
            entry("a000-b000", "r-xp", "[vdso]", 0),
            entry("b000-c000", "r--p", "/dev/mem", 0),
            entry("c000-d000", "r--p", "", 0),
        ];
        let expected = [0x1000..0x2000, 0x2000..0x5000, 0x8000..0x9000];
        assert_eq!(unchanged(&smaps.concat()), expected);
    }

    #[test]
    fn a_program_runs_on_with_less_of_itself_mapped() {
        let mapped = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        // Touches code far apart, so that there is something to give back.
        let text = format!("{:?}", std::env::vars().collect::<Vec<_>>());
        let before = mapped();
        release_start().unwrap();
        assert!(mapped() < before, "{} of {before} kB", mapped());
        assert_eq!(text, format!("{:?}", std::env::vars().collect::<Vec<_>>()));
    }
}
