//! Paths and hosts, read so that nothing can be meant that is not seen.
//!
//! Both are refused rather than repaired: a value that would have to be normalised first may be normalised otherwise
//! by the tool that gets it.
// SPDX-License-Identifier: MIT OR Apache-2.0

/// Characters that some normalisation turns into a dot, a slash or a backslash.
const DISGUISES: &[char] = &[
    '\u{2024}', '\u{2025}', '\u{2026}', '\u{2044}', '\u{2215}', '\u{FE52}', '\u{FE68}', '\u{FF0E}',
    '\u{FF0F}', '\u{FF3C}',
];

/// A path in normal form: whether it is absolute, and its segments.
///
/// `None` when it holds `.` or `..`, an empty segment, a backslash, a percent sign, a control character, or a
/// character that stands for one of these. One slash at the end is allowed.
pub(super) fn path(text: &str) -> Option<(bool, Vec<&str>)> {
    let forbidden = |c: char| c == '\\' || c == '%' || c.is_control() || DISGUISES.contains(&c);
    if text.is_empty() || text.contains(forbidden) {
        return None;
    }
    let (absolute, rest) = text.strip_prefix('/').map_or((false, text), |rest| (true, rest));
    if rest.is_empty() {
        return Some((absolute, Vec::new()));
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let segments: Vec<_> = rest.split('/').collect();
    let plain =
        segments.iter().all(|segment| !segment.trim().is_empty() && *segment != "." && *segment != "..");
    plain.then_some((absolute, segments))
}

/// Whether a path is a root or lies below it, segment by segment.
pub(super) fn below(text: &str, root: &str) -> bool {
    match (path(text), path(root)) {
        (Some((absolute, segments)), Some((same, root))) => absolute == same && segments.starts_with(&root),
        _ => false,
    }
}

/// The host in a host name or in an `http` or `https` URL, in lower case.
///
/// `None` for anything that two readers could read differently: user names, backslashes, spaces, percent forms in the
/// host, names that are not ASCII, a dot at the end, and addresses in numbers.
pub(super) fn host(text: &str) -> Option<String> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\' || c == '@' || !c.is_ascii();
    if text.contains(odd) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let authority = match lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")) {
        Some(rest) => rest.split(['/', '?', '#']).next().unwrap_or(""),
        None if lower.contains(['/', '?', '#']) => return None,
        None => &lower,
    };
    let name = match authority.split_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) => return None,
        None => authority,
    };
    is_host_name(name).then(|| name.to_owned())
}

fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        !label.is_empty() && label.len() <= 63 && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    // The last label of a name is never a number; `1.2.3.4`, `0x7f.1` and `2130706433` are addresses.
    let numeric = name.rsplit('.').next().is_none_or(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(label) && !numeric
}

/// Whether a host is a suffix or a name below it, label by label.
pub(super) fn host_below(text: &str, suffix: &str) -> bool {
    match (host(text), host(suffix)) {
        (Some(name), Some(suffix)) => {
            name.strip_suffix(&suffix).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_a_root_is_seen_segment_by_segment() {
        for inside in ["/data", "/data/", "/data/q3.pdf", "/data/a/b", "/data/..x", "/data/ä"] {
            assert!(below(inside, "/data"), "{inside}");
        }
        for outside in [
            "",
            "data/q3",
            "/database",
            "/data/../etc",
            "/data/./x",
            "/data//x",
            "/data/%2e%2e/etc",
            "/data\\..\\x",
            "/data/\0",
            "/data/\u{FF0E}\u{FF0E}/etc",
            "/data/\u{2025}/etc",
            "/",
            "/data/ /x",
            "//data",
        ] {
            assert!(!below(outside, "/data"), "{outside}");
        }
        assert!(below("/etc", "/") && below("a/b", "a") && !below("/a/b", "a"));
    }

    #[test]
    fn a_host_is_read_as_every_reader_reads_it() {
        for inside in
            ["example.com", "API.Example.com", "https://api.example.com/x?y#z", "http://example.com:8080"]
        {
            assert!(host_below(inside, "example.com"), "{inside}");
        }
        for outside in [
            "",
            "badexample.com",
            "example.com.evil.org",
            "https://example.com@evil.org/",
            "https://evil.org\\.example.com",
            "https://evil.org/.example.com",
            "https://evil.org#.example.com",
            "ftp://example.com",
            "example.com.",
            "https://example.com:x",
            "ex ample.com",
            "éxample.com",
            "-a.example.com",
            "//example.com",
        ] {
            assert!(!host_below(outside, "example.com"), "{outside}");
        }
        assert!(!host_below("10.0.0.1", "1") && !host_below("1.2.3.4", "1.2.3.4"));
    }
}
