//! How much memory there is, and when no more of it may be filled.
//!
//! The limit is one for the whole process and is looked at, not counted: what the system says that the process
//! holds of its own. It holds back what makes the graph grow, so that a node refuses and goes on where it would
//! otherwise be ended by the system, and again after each restart.

use mgnode_core::engine::Input;
use std::fs::read_to_string;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the system is asked.
const EVERY: Duration = Duration::from_millis(50);

/// Growth is allowed again below this part of the limit, in percent.
const AGAIN_PERCENT: u64 = 95;

/// What a graph takes in memory by what it takes in a snapshot file: some 51 bytes an element by 12 to 14
/// (`docs/performance.md`).
const MEMORY_BY_SNAPSHOT: u64 = 4;

/// Without a limit of its own a node takes this part of the memory that it can have, in percent. The rest is for
/// what comes in between two looks.
const DEFAULT_PERCENT: u64 = 90;

/// Returns the bytes of memory that this process can have at most; where the system does not say, a
/// number that bounds nothing.
pub(crate) fn of_machine() -> usize {
    let limits = [
        // A container's own limit, of either kind of control group.
        number(read_to_string("/sys/fs/cgroup/memory.max")),
        number(read_to_string("/sys/fs/cgroup/memory/memory.limit_in_bytes")),
        read_to_string("/proc/meminfo").ok().and_then(|text| total(&text)),
    ];
    limits.into_iter().flatten().min().unwrap_or(usize::MAX)
}

/// Returns the limit that holds where none was given.
pub(crate) fn default_limit() -> u64 {
    (of_machine() as u64 / 100).saturating_mul(DEFAULT_PERCENT)
}

/// Has a thread give back to the system what was freed. Without it the allocator does so beside later work, and a
/// node that waits at its limit has none.
pub(crate) fn give_back() {
    if let Err(e) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::warn!("memory that was freed is given back late: {e}");
    }
}

/// Returns the bytes that this process holds of its own, without what is a file's; `None` where the system does not
/// say.
fn of_process() -> Option<u64> {
    let pages = own_pages(&read_to_string("/proc/self/statm").ok()?)?;
    Some(pages * rustix::param::page_size() as u64)
}

/// What the system says of this process and its memory, as far as it does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Process {
    /// Bytes in memory now, and at most so far.
    pub(crate) resident: Option<u64>,
    pub(crate) resident_peak: Option<u64>,
    /// Areas of memory that a process may have.
    pub(crate) maps_max: Option<u64>,
}

impl Process {
    /// Asks the system.
    pub(crate) fn look() -> Process {
        let status = read_to_string("/proc/self/status").unwrap_or_default();
        let maps_max = read_to_string("/proc/sys/vm/max_map_count").ok();
        Process {
            resident: kib(&status, "VmRSS:"),
            resident_peak: kib(&status, "VmHWM:"),
            maps_max: maps_max.and_then(|text| text.trim().parse().ok()),
        }
    }
}

/// Returns the bytes of a line such as `VmRSS:   1234 kB`.
fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether there is room for more. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct MemoryRoom {
    limit: u64,
    /// As of the last look.
    used: Arc<AtomicU64>,
}

impl MemoryRoom {
    /// Returns the room of a process that may hold `limit` bytes.
    pub fn new(limit: u64) -> MemoryRoom {
        MemoryRoom { limit, used: Arc::default() }
    }

    /// Returns true if `bytes` more are under the limit.
    pub fn has(&self, bytes: u64) -> bool {
        self.used.load(Ordering::Relaxed).saturating_add(bytes) <= self.limit
    }

    /// Refuses a snapshot whose graph would not fit beside what is held now.
    pub(crate) fn check_snapshot(&self, file_bytes: u64) -> io::Result<()> {
        let needed = file_bytes.saturating_mul(MEMORY_BY_SNAPSHOT);
        if self.has(needed) {
            return Ok(());
        }
        let [needed, used, limit] = [needed, self.used.load(Ordering::Relaxed), self.limit].map(|b| b >> 20);
        let message = format!(
            "its graph takes about {needed} MiB beside the {used} MiB that this node holds, and it may hold {limit} MiB"
        );
        Err(io::Error::new(io::ErrorKind::OutOfMemory, message))
    }
}

impl Default for MemoryRoom {
    /// Without a limit.
    fn default() -> MemoryRoom {
        MemoryRoom::new(u64::MAX)
    }
}

/// Looks from time to time, until it is dropped.
pub(crate) struct MemoryWatch {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryWatch {
    /// Begins to look. `report` is told of every change.
    pub(crate) fn start(
        room: &MemoryRoom,
        report: impl Fn(Input) + Send + 'static,
    ) -> io::Result<MemoryWatch> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (room, is_stopping) = (room.clone(), stopping.clone());
        let look = move || {
            let mut enough = true;
            while !is_stopping.load(Ordering::Relaxed) {
                let Some(used) = of_process() else {
                    return tracing::warn!(
                        "what memory this process holds is not known: `--memory-limit` has no effect"
                    );
                };
                room.used.store(used, Ordering::Relaxed);
                if is_enough(enough, used, room.limit) != enough {
                    enough = !enough;
                    let (used, limit) = (used >> 20, room.limit >> 20);
                    match enough {
                        true => tracing::info!("{used} MiB of {limit} are held: the graph may grow again"),
                        false => tracing::error!(
                            "{used} MiB are held, the limit is {limit}: the graph may not grow"
                        ),
                    }
                    report(Input::Memory { enough });
                }
                std::thread::park_timeout(EVERY);
            }
        };
        let thread = std::thread::Builder::new().name("memory".to_owned()).spawn(look)?;
        Ok(MemoryWatch { stopping, thread: Some(thread) })
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the thread that watches memory has panicked");
            }
        }
    }
}

/// Whether growth is allowed, given whether it was.
fn is_enough(was_enough: bool, used: u64, limit: u64) -> bool {
    let bar = if was_enough { limit } else { (limit / 100).saturating_mul(AGAIN_PERCENT) };
    used <= bar
}

fn number(text: io::Result<String>) -> Option<usize> {
    text.ok()?.trim().parse().ok()
}

fn total(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Resident pages without those of files and shared memory: the second field less the third.
fn own_pages(statm: &str) -> Option<u64> {
    let mut fields = statm.split_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(resident.saturating_sub(shared))
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

    #[test]
    fn what_a_process_holds_is_found_among_the_lines() {
        assert_eq!(kib("Name:\tmgnode\nVmHWM:\t   200 kB\nVmRSS:\t   100 kB\n", "VmRSS:"), Some(102_400));
        assert_eq!(kib("Name:\tmgnode\n", "VmRSS:"), None);
        let found = Process::look();
        assert!(found.resident_peak >= found.resident && found.resident.is_some(), "{found:?}");
    }

    #[test]
    fn what_is_a_files_is_not_a_process_own() {
        assert_eq!(own_pages("5000 1200 200 30 0 900 0\n"), Some(1000));
        assert_eq!(own_pages("5000\n"), None);
        let held = vec![1_u8; 8 << 20];
        assert!(of_process().unwrap() >= held.len() as u64);
    }

    #[test]
    fn growth_stops_above_the_limit_and_begins_again_well_below_it() {
        assert!(is_enough(true, 1000, 1000));
        assert!(!is_enough(true, 1001, 1000));
        assert!(!is_enough(false, 951, 1000));
        assert!(is_enough(false, 950, 1000));
    }

    #[test]
    fn room_is_what_the_last_look_left() {
        let room = MemoryRoom::new(1000);
        assert!(room.has(1000) && !room.has(1001));
        room.used.store(400, Ordering::Relaxed);
        assert!(room.has(600) && !room.has(601));
        assert!(MemoryRoom::default().has(u64::MAX - 1));
    }
}
