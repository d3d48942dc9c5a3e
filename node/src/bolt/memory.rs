//! How much memory there is.

use std::fs::read_to_string;

/// Returns the bytes of memory that this process can have at most; where the system does not say, a
/// number that bounds nothing.
pub(super) fn of_machine() -> usize {
    let limits = [
        // A container's own limit, of either kind of control group.
        number(read_to_string("/sys/fs/cgroup/memory.max")),
        number(read_to_string("/sys/fs/cgroup/memory/memory.limit_in_bytes")),
        read_to_string("/proc/meminfo").ok().and_then(|text| total(&text)),
    ];
    limits.into_iter().flatten().min().unwrap_or(usize::MAX)
}

fn number(text: std::io::Result<String>) -> Option<usize> {
    text.ok()?.trim().parse().ok()
}

fn total(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found_among_the_lines() {
        assert_eq!(total("MemTotal:       24652940 kB\nMemFree: 1 kB\n"), Some(24_652_940 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn a_control_group_without_a_limit_says_so_in_words() {
        assert_eq!(number(Ok("max\n".into())), None);
        assert_eq!(number(Ok("536870912\n".into())), Some(512 << 20));
    }
}
