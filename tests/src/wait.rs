//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Asks `condition` again and again until it gives a value.
///
/// Panics with the last refusal after `limit`, which is only there so that a broken product fails
/// instead of hanging.
pub fn until<T, E: std::fmt::Display>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<T, E>,
) -> T {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        match condition() {
            Ok(value) => return value,
            Err(e) if Instant::now() >= end => panic!("{what}: not within {limit:?}; at last: {e}"),
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
