//! Who holds a database's write lock, as far as the kernel tells.
//!
//! `/proc/locks` names the process of a POSIX lock. An OFD lock (every lock of a guarded process is one)
//! belongs to no process there; the one that has it is found by the `lock:` lines of `/proc/<pid>/fdinfo`,
//! for processes that we may look into. For error messages: a look takes milliseconds.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The search for the owner of an OFD lock gives up after this long.
const PATIENCE: Duration = Duration::from_millis(500);

/// The write lock's byte in the `-shm` file.
const WAL_WRITE: (u64, u64) = (120, 120);
/// The pending, reserved and shared bytes of a database file; writers hold a write lock on one of them.
const DATABASE: (u64, u64) = (0x4000_0000, 0x4000_0000 + 511);

/// One line of the kernel's lock tables.
#[derive(Debug, PartialEq, Eq)]
struct Lock {
    process: Option<u32>,
    device: (u32, u32),
    inode: u64,
    range: (u64, u64),
}

/// Parses a granted record lock for writing; anything else is `None`.
fn parse(line: &str) -> Option<Lock> {
    // 1: POSIX  ADVISORY  WRITE 4711 fe:01:1234 120 120
    let mut words = line.split_whitespace().skip(1);
    if !matches!(words.next()?, "POSIX" | "OFDLCK") || words.next()? != "ADVISORY" || words.next()? != "WRITE"
    {
        return None;
    }
    let process = words.next()?.parse::<i64>().ok()?;
    let mut file = words.next()?.split(':');
    let major = u32::from_str_radix(file.next()?, 16).ok()?;
    let minor = u32::from_str_radix(file.next()?, 16).ok()?;
    let inode = file.next()?.parse().ok()?;
    let start = words.next()?.parse().ok()?;
    let end = match words.next()? {
        "EOF" => u64::MAX,
        number => number.parse().ok()?,
    };
    // -1: an OFD lock; 0: a process of another container.
    let process = u32::try_from(process).ok().filter(|&process| process > 0);
    Some(Lock {
        process,
        device: (major, minor),
        inode,
        range: (start, end),
    })
}

/// A file whose locks matter, and which of its bytes.
struct Target {
    path: PathBuf,
    device: (u32, u32),
    inode: u64,
    bytes: (u64, u64),
}

impl Target {
    fn find(path: PathBuf, bytes: (u64, u64)) -> Option<Self> {
        let status = fs::metadata(&path).ok()?;
        let device = (rustix::fs::major(status.dev()), rustix::fs::minor(status.dev()));
        Some(Self {
            path,
            device,
            inode: status.ino(),
            bytes,
        })
    }

    /// Some file systems (btrfs, overlayfs) show `stat` another device than the lock table: there the inode
    /// and `SQLite`'s unusual byte range must do.
    fn is_held_by(&self, lock: &Lock, exact: bool) -> bool {
        lock.inode == self.inode
            && (!exact || lock.device == self.device)
            && lock.range.0 <= self.bytes.1
            && self.bytes.0 <= lock.range.1
    }
}

/// The process id of the one that holds the write lock of the database at `path`, this process included.
pub fn write_lock_holder(path: &Path) -> Option<u32> {
    let path = fs::canonicalize(path).ok()?;
    let mut memory = path.clone().into_os_string();
    memory.push("-shm");
    let targets = [(memory.into(), WAL_WRITE), (path, DATABASE)];
    let targets: Vec<Target> = targets
        .into_iter()
        .filter_map(|(path, bytes)| Target::find(path, bytes))
        .collect();
    let table = fs::read_to_string("/proc/locks").ok()?;
    let locks: Vec<Lock> = table.lines().filter_map(parse).collect();
    [true, false].into_iter().find_map(|exact| {
        targets.iter().find_map(|target| {
            let lock = locks.iter().find(|lock| target.is_held_by(lock, exact))?;
            lock.process.or_else(|| owner_of_descriptor(target, exact))
        })
    })
}

/// Looks for the process whose open file description has the lock.
fn owner_of_descriptor(target: &Target, exact: bool) -> Option<u32> {
    let deadline = Instant::now() + PATIENCE;
    for process in fs::read_dir("/proc").ok()? {
        let Some(number) = process
            .ok()?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // Not ours to look into, or gone meanwhile.
        let Ok(descriptors) = fs::read_dir(format!("/proc/{number}/fd")) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            if Instant::now() > deadline {
                return None;
            }
            if !fs::read_link(descriptor.path()).is_ok_and(|link| link == target.path) {
                continue;
            }
            let name = descriptor.file_name();
            let info = fs::read_to_string(Path::new(&format!("/proc/{number}/fdinfo")).join(name))
                .unwrap_or_default();
            let mut locks = info
                .lines()
                .filter_map(|line| parse(line.strip_prefix("lock:")?.trim_start()));
            if locks.any(|lock| target.is_held_by(&lock, exact)) {
                return Some(number);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_lock_table() {
        let posix = parse("12: POSIX  ADVISORY  WRITE 4711 fe:01:1234 120 120").unwrap();
        let expected = Lock {
            process: Some(4711),
            device: (0xfe, 1),
            inode: 1234,
            range: (120, 120),
        };
        assert_eq!(posix, expected);
        let descriptor = parse("1: OFDLCK ADVISORY  WRITE -1 00:2a:9 1073741825 EOF").unwrap();
        assert_eq!(
            (descriptor.process, descriptor.range),
            (None, (0x4000_0001, u64::MAX))
        );
        for other in [
            "",
            "1: -> POSIX  ADVISORY  WRITE 4711 fe:01:1234 120 120",
            "1: POSIX  ADVISORY  READ 4711 fe:01:1234 120 120",
            "1: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF",
            "1: LEASE  ACTIVE    WRITE 4711 fe:01:1234 0 EOF",
            "1: POSIX  ADVISORY  WRITE 4711 fe:01",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
