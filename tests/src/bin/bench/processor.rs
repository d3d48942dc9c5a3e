//! Time that processors spent, beside time that went by.

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

/// Ticks of `/proc` a second; the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// Returns the time that processors spent on a process, its ended threads included.
pub(crate) fn spent(process: &str) -> Result<Duration, Box<dyn Error>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the program, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')').ok_or("a stat file names its program")?;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|n| n.parse().unwrap_or(0u64)).sum();
    Ok(Duration::from_secs_f64(ticks as f64 / TICKS))
}

/// Both clocks of this process.
pub(crate) struct Watch {
    wall: Instant,
    processors: Duration,
}

impl Watch {
    pub(crate) fn start() -> Result<Watch, Box<dyn Error>> {
        Ok(Watch { wall: Instant::now(), processors: spent("self")? })
    }

    /// Returns the time that went by, and the time that processors spent.
    pub(crate) fn stop(self) -> Result<(Duration, Duration), Box<dyn Error>> {
        let wall = self.wall.elapsed();
        Ok((wall, spent("self")?.saturating_sub(self.processors)))
    }
}
