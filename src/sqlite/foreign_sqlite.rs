//! Detects a second `SQLite` library in this process, for platforms and kernels without the lock guard.
//!
//! A library maps each part of a database's `-shm` file once, however many connections it has open. The same
//! part mapped twice is a second library: its next `close` would take our POSIX locks away. A child of a fork
//! that opens a database afresh beside inherited connections looks the same, and is as dangerous unguarded.
//!
//! Databases that are not in WAL mode have no such file; there a second library stays unseen.

use std::path::Path;

/// Whether a second library has the WAL database at `path` open. One look takes about 0.2 ms; false where
/// there is no `/proc`.
pub fn is_present(path: &Path) -> bool {
    let Some(memory) = SharedMemory::of(path) else {
        return false;
    };
    std::fs::read_to_string("/proc/self/maps").is_ok_and(|maps| mappings(&maps, &memory) > 1)
}

/// What identifies a `-shm` file in the table of mappings.
struct SharedMemory {
    path: String,
    device: String,
    inode: u64,
}

impl SharedMemory {
    #[cfg(target_os = "linux")]
    fn of(database: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;

        let mut name = std::fs::canonicalize(database).ok()?.into_os_string();
        name.push("-shm");
        let status = std::fs::metadata(&name).ok()?;
        let device = format!(
            "{:02x}:{:02x}",
            rustix::fs::major(status.dev()),
            rustix::fs::minor(status.dev())
        );
        // The kernel writes a line feed in a name as an octal escape, and nothing else.
        let path = name.to_string_lossy().replace('\n', "\\012");
        Some(Self {
            path,
            device,
            inode: status.ino(),
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn of(_database: &Path) -> Option<Self> {
        None
    }
}

/// How often the most-mapped part of the file is mapped.
fn mappings(maps: &str, memory: &SharedMemory) -> usize {
    let mut offsets: Vec<&str> = maps.lines().filter_map(|line| offset_of(line, memory)).collect();
    offsets.sort_unstable();
    offsets
        .chunk_by(|one, other| one == other)
        .map(<[&str]>::len)
        .max()
        .unwrap_or(0)
}

fn offset_of<'line>(line: &'line str, memory: &SharedMemory) -> Option<&'line str> {
    // 7f5c8a000000-7f5c8a008000 rw-s 00000000 fe:01 1234    /data/app.db-shm
    let mut rest = line;
    let mut word = || {
        let (word, after) = rest.trim_start().split_once(' ')?;
        rest = after;
        Some(word)
    };
    let (_range, _rights, offset, device, inode) = (word()?, word()?, word()?, word()?, word()?);
    // btrfs and overlayfs show another device here than to `stat`; then the name must do.
    let same_file =
        inode.parse() == Ok(memory.inode) && (device == memory.device || rest.trim_start() == memory.path);
    same_file.then_some(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
7f0000000000-7f0000008000 rw-s 00000000 fe:01 1234                       /data/my app.db-shm
7f0000010000-7f0000018000 rw-s 00008000 fe:01 1234                       /data/my app.db-shm
7f0000020000-7f0000028000 rw-s 00000000 fe:01 77                         /data/other.db-shm
7f0000030000-7f0000038000 rw-s 00000000 00:2f 1234                       /elsewhere/x
7f0000040000-7f0000041000 rw-p 00000000 00:00 0 
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]
";

    fn memory(device: &str) -> SharedMemory {
        SharedMemory {
            path: "/data/my app.db-shm".into(),
            device: device.into(),
            inode: 1234,
        }
    }

    #[test]
    fn one_library_maps_each_part_once() {
        assert_eq!(mappings(MAPS, &memory("fe:01")), 1);
        assert_eq!(mappings("", &memory("fe:01")), 0);
    }

    #[test]
    fn a_second_library_maps_a_part_again() {
        let again =
            "7f0000050000-7f0000058000 rw-s 00000000 fe:01 1234                       /data/my app.db-shm\n";
        assert_eq!(mappings(&format!("{MAPS}{again}"), &memory("fe:01")), 2);
        // The device as `stat` shows it differs: the name decides.
        assert_eq!(mappings(&format!("{MAPS}{again}"), &memory("00:99")), 2);
    }
}
