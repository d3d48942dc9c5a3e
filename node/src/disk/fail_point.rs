//! Places where a test lets the process die or stand still, or the disk fail.
//!
//! With `MGNODE_DIE_AT=PLACE` or `PLACE:n` in the environment the process kills itself, as `kill -9` does,
//! when it comes to that place for the n-th time, and says so on standard error. With `MGNODE_STOP_AT` it
//! stops there, as with SIGSTOP, until SIGCONT. With `MGNODE_FAIL_AT` the
//! call at that place gets an I/O error in its n-th turn, and in no other: a system that has told of a failed
//! sync once calls the next one good, whatever became of the pages. Only builds with debug assertions look;
//! in others nothing of this is there.

#[cfg(debug_assertions)]
mod asked {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// What one variable asks for.
    pub(super) struct Asked {
        variable: &'static str,
        place: OnceLock<Option<(String, AtomicU32)>>,
    }

    impl Asked {
        pub(super) const fn by(variable: &'static str) -> Asked {
            Asked { variable, place: OnceLock::new() }
        }

        /// Returns whether this is the place, and the turn.
        pub(super) fn is_now(&self, place: &str) -> bool {
            let asked = self.place.get_or_init(|| {
                let text = std::env::var(self.variable).ok()?;
                let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
                let count = count.parse().unwrap_or_else(|_| panic!("`{}={text}`: a number", self.variable));
                Some((name.to_owned(), AtomicU32::new(count)))
            });
            asked
                .as_ref()
                .is_some_and(|(name, count)| name == place && count.fetch_sub(1, Ordering::Relaxed) == 1)
        }
    }
}

/// Dies or stands still here, if that is what was asked for.
#[cfg(debug_assertions)]
pub(super) fn reach(place: &str) {
    static DIE: asked::Asked = asked::Asked::by("MGNODE_DIE_AT");
    static STOP: asked::Asked = asked::Asked::by("MGNODE_STOP_AT");
    let signal = |signal| rustix::process::kill_process(rustix::process::getpid(), signal);
    if DIE.is_now(place) {
        eprintln!("dies at `{place}`");
        let killed = signal(rustix::process::Signal::KILL);
        unreachable!("a process may kill itself: {killed:?}");
    }
    if STOP.is_now(place) {
        eprintln!("stands still at `{place}`");
        signal(rustix::process::Signal::STOP).expect("a process may stop itself");
    }
}

/// Fails here, if that is what was asked for.
#[cfg(debug_assertions)]
pub(super) fn pass(place: &str) -> std::io::Result<()> {
    static FAIL: asked::Asked = asked::Asked::by("MGNODE_FAIL_AT");
    if FAIL.is_now(place) {
        eprintln!("fails at `{place}`");
        return Err(rustix::io::Errno::IO.into());
    }
    Ok(())
}

#[cfg(not(debug_assertions))]
pub(super) fn reach(_: &str) {}

#[cfg(not(debug_assertions))]
pub(super) fn pass(_: &str) -> std::io::Result<()> {
    Ok(())
}
