//! Which process: an id alone is given to another one when the first has ended.

use std::io;

/// A process that ran at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) pid: u32,
    /// When it started, in a form that only this system compares; it includes the system's own start.
    started: String,
}

/// What a process is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// To end well.
    Terminate,
    /// To end.
    Kill,
    /// To stand still.
    Freeze,
    /// To go on.
    Continue,
}

impl Identity {
    /// Returns who has that id now, `None` if nobody has or it has ended.
    pub(super) fn of(pid: u32) -> Option<Identity> {
        started(pid).map(|started| Identity { pid, started })
    }

    /// Returns it as one line.
    pub(super) fn to_text(&self) -> String {
        format!("{} {}", self.pid, self.started)
    }

    /// Reads that line.
    pub(super) fn parse(text: &str) -> Option<Identity> {
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Identity { pid: pid.parse().ok()?, started: started.to_owned() })
    }

    /// Returns true if this very process still runs.
    pub(super) fn is_alive(&self) -> bool {
        Identity::of(self.pid).as_ref() == Some(self)
    }

    /// Returns true if it stands still.
    pub(super) fn is_frozen(&self) -> bool {
        state(self.pid).is_some_and(|state| state.starts_with('T')) && self.is_alive()
    }

    /// Signals this very process, and no other that has its id now.
    #[cfg(unix)]
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        let signal = match signal {
            Signal::Terminate => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
            Signal::Freeze => rustix::process::Signal::STOP,
            Signal::Continue => rustix::process::Signal::CONT,
        };
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("no such process id"))?;
        match rustix::process::kill_process(pid, signal) {
            // It ended in between.
            Err(rustix::io::Errno::SRCH) => Ok(()),
            other => other.map_err(io::Error::from),
        }
    }

    #[cfg(not(unix))]
    pub(super) fn signal(&self, _: Signal) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "local processes need Linux or macOS"))
    }
}

#[cfg(target_os = "linux")]
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    // The second field is the name in parentheses, and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    // One that ended and was not yet collected by its parent.
    if state == "Z" || state == "X" {
        return None;
    }
    Some(format!("{} {}", fields.nth(18)?, boot.trim()))
}

#[cfg(target_os = "linux")]
fn state(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().next().map(str::to_owned)
}

#[cfg(not(target_os = "linux"))]
fn state(pid: u32) -> Option<String> {
    let output =
        std::process::Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().ok()?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}

#[cfg(not(target_os = "linux"))]
fn started(pid: u32) -> Option<String> {
    let output = std::process::Command::new("ps")
        .args(["-o", "stat=,lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (state, started) = text.trim().split_once(' ')?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_one_that_had_its_id_before_does_not() {
        let me = Identity::of(std::process::id()).unwrap();
        assert!(me.is_alive());
        assert_eq!(Identity::parse(&me.to_text()), Some(me.clone()));
        let before = Identity { started: "1 another boot".into(), ..me };
        assert!(!before.is_alive());
        // Signalling it reaches nobody: this test goes on.
        before.signal(Signal::Kill).unwrap();
    }

    #[test]
    fn a_process_stands_still_and_goes_on() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(child.id()).unwrap();
        let until = |is_frozen: bool| {
            let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
            while identity.is_frozen() != is_frozen {
                assert!(std::time::Instant::now() < until, "it does not become so: {is_frozen}");
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        };
        identity.signal(Signal::Freeze).unwrap();
        until(true);
        identity.signal(Signal::Continue).unwrap();
        until(false);
        identity.signal(Signal::Kill).unwrap();
        child.wait().unwrap();
        assert!(!identity.is_frozen());
    }

    #[test]
    fn a_process_that_ended_and_was_not_collected_is_not_alive() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(child.id()).unwrap();
        assert!(identity.is_alive());
        identity.signal(Signal::Terminate).unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while identity.is_alive() {
            assert!(std::time::Instant::now() < until, "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.wait().unwrap();
    }
}
