//! Disks of a test's own: file systems in a file, whose power can be cut, and small ones that are soon full.
//!
//! # What models a power cut
//!
//! An ext4 file system lies in a file, behind a loop device that goes around the page cache of the file
//! system below (`losetup --direct-io=on`). So the file holds what the "disk" was given and nothing else:
//! what a node wrote and did not sync is in the page cache above the loop device only. The cut is
//! `EXT4_IOC_SHUTDOWN` without a flush of the journal: from one instant on, for all files and all
//! processes at once, nothing reaches the disk, no journal transaction commits, and every call fails
//! with an I/O error. That is the copy of the disk at a random moment, taken in no time: a copy that takes
//! seconds while others write would be a disk that never was. Then the file system is unmounted, which
//! throws the page cache away, and mounted again, which replays the journal as after a crash.
//!
//! What it does not model is a disk that forgets or reorders what it was given since the last flush; the
//! simulator's disks do that, sector by sector.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in a file.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    /// Where it is mounted.
    pub root: PathBuf,
    device: Option<String>,
}

/// Says why this machine cannot mount disks, if it cannot.
pub fn unavailable() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can mount file systems".to_owned());
    }
    for tool in ["losetup", "mount", "umount", "mkfs.ext4"] {
        if let Err(e) = Command::new(tool).arg("--version").output() {
            return Some(format!("`{tool}` cannot be started: {e}"));
        }
    }
    // Whether the kernel plays along shows only when it is asked.
    let dir = match work_folder() {
        Ok(dir) => dir,
        Err(e) => return Some(format!("no folder for disks can be made: {e}")),
    };
    Disk::make(dir.path(), "probe", 8).err().map(|e| format!("no file system in a file can be mounted: {e}"))
}

/// Makes a temporary folder on the disk of the workspace: `/tmp` may be memory, which is no place for the
/// file behind a loop device.
pub fn work_folder() -> std::io::Result<tempfile::TempDir> {
    let target = crate::paths::cache("disks");
    tempfile::tempdir_in(target)
}

fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let out = Command::new(program).args(args).output().map_err(|e| format!("{program}: {e}"))?;
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    } else {
        Err(format!("{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr).trim()))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a test's paths are UTF-8")
}

impl Disk {
    /// Makes a disk below `dir` and mounts it there.
    pub fn make(dir: &Path, name: &str, mebibytes: u64) -> Result<Disk, String> {
        let image = dir.join(format!("{name}.img"));
        let root = dir.join(name);
        let file = File::create_new(&image).map_err(|e| format!("{}: {e}", image.display()))?;
        file.set_len(mebibytes << 20).map_err(|e| format!("{}: {e}", image.display()))?;
        std::fs::create_dir(&root).map_err(|e| format!("{}: {e}", root.display()))?;
        run("mkfs.ext4", &["-q", "-m", "0", text(&image)])?;
        let mut disk = Disk { image, root, device: None };
        disk.mount()?;
        Ok(disk)
    }

    /// Mounts it again, which replays the journal where that is due.
    pub fn mount(&mut self) -> Result<(), String> {
        assert!(self.device.is_none(), "it is mounted already");
        let args = ["--find", "--show", "--direct-io=on", text(&self.image)];
        // Two processes may be given the same free device; one of them asks again.
        let device = run("losetup", &args).or_else(|_| run("losetup", &args))?;
        self.device = Some(device.clone());
        run("mount", &["-t", "ext4", &device, text(&self.root)]).map(drop)
    }

    /// Cuts the power: from now on nothing reaches the disk and every call fails.
    pub fn cut_power(&self) {
        const SHUTDOWN: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(b'X', 125);
        const WITHOUT_FLUSH: u32 = 2;
        let root = File::open(&self.root).expect("it is mounted");
        // SAFETY: the kernel reads one u32, which the setter holds.
        #[expect(unsafe_code)]
        let cut = unsafe {
            rustix::ioctl::ioctl(&root, rustix::ioctl::Setter::<SHUTDOWN, u32>::new(WITHOUT_FLUSH))
        };
        cut.expect("ext4 can be shut down");
    }

    /// Returns the bytes that can still be written.
    pub fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.root).expect("it is mounted");
        disk.f_bavail * disk.f_frsize
    }

    /// Makes it read-only, or writable again.
    pub fn set_read_only(&self, is_read_only: bool) {
        let how = if is_read_only { "remount,ro" } else { "remount,rw" };
        run("mount", &["-o", how, text(&self.root)]).expect("a mounted file system can be remounted");
    }

    /// Lets the system find an error on it while files are open: from now on nobody can write to it.
    pub fn turn_read_only(&self) {
        run("mount", &["-o", "remount,abort", text(&self.root)]).expect("ext4 can be aborted");
    }

    /// Unmounts it. Nobody may have a file open there.
    pub fn unmount(&mut self) -> Result<(), String> {
        let Some(device) = self.device.take() else { return Ok(()) };
        let unmounted = run("umount", &[text(&self.root)]);
        let detached = run("losetup", &["-d", &device]);
        unmounted.and(detached).map(drop)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(first) = self.unmount() {
            // Someone sits there still; it goes when he does.
            let lazily = run("umount", &["-l", text(&self.root)]);
            eprintln!("{} was not unmounted at once: {first}, {lazily:?}", self.root.display());
        }
    }
}
