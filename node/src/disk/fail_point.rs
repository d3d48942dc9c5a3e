//! Places where a test lets the process die.
//!
//! With `MGNODE_DIE_AT=PLACE` or `PLACE:n` in the environment the process kills itself, as `kill -9` does,
//! when it comes to that place for the n-th time, and says so on standard error. Only builds with debug
//! assertions look; in others nothing of this is there.

/// Dies here, if that is what was asked for.
#[cfg(debug_assertions)]
pub(super) fn reach(place: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    static ASKED: OnceLock<Option<(String, AtomicU32)>> = OnceLock::new();
    let asked = ASKED.get_or_init(|| {
        let text = std::env::var("MGNODE_DIE_AT").ok()?;
        let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), AtomicU32::new(count.parse().unwrap_or(1))))
    });
    if let Some((name, count)) = asked
        && name == place
        && count.fetch_sub(1, Ordering::Relaxed) == 1
    {
        eprintln!("dies at `{place}`");
        let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        unreachable!("a process may kill itself: {killed:?}");
    }
}

#[cfg(not(debug_assertions))]
pub(super) fn reach(_: &str) {}
