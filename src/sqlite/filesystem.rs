//! Recognises network and virtual-machine file systems before WAL is set.
//!
//! The log needs memory that all processes of a database share, and locks that all of them see. Network file
//! systems have neither between hosts; those that a virtual machine shares with its host (virtiofs, 9p) lose
//! data without an error. Two sources: the magic number of `statfs`, and the type that `/proc/self/mountinfo`
//! names (FUSE has one magic number for everything from a local disk to `sshfs`).

use std::path::{Path, PathBuf};

/// What a path's file system is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A file system of this machine's kernel.
    Local,
    /// A network, virtual-machine or user-space file system: WAL is not safe there.
    Network {
        /// Its name as `mount` shows it, such as `nfs4` or `fuse.sshfs`.
        name: String,
    },
    /// Neither; the caller decides.
    Unknown,
}

const FUSE: u32 = 0x6573_5546;

/// Magic numbers of `linux/magic.h` and of the file systems' own sources.
const NETWORK: &[(u32, &str)] = &[
    (0x0000_6969, "nfs"),
    (0x0000_517b, "smb"),
    (0xfe53_4d42, "smb2"),
    (0xff53_4d42, "cifs"),
    (FUSE, "fuse"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "afs"),
    (0x7375_7245, "coda"),
    (0x0000_564c, "ncp"),
    (0x786f_4256, "vboxsf"),
    (0xbacb_acbc, "vmhgfs"),
    (0x7c7c_6673, "prl_fs"),
    (0x00c0_ffee, "hostfs"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x2003_0528, "orangefs"),
    (0x1983_0326, "beegfs"),
];

/// ext2 to ext4, XFS, Btrfs, tmpfs, ramfs, overlayfs, ZFS, F2FS, bcachefs, exFAT, FAT, NTFS (two drivers),
/// `ReiserFS`, JFS, eCryptfs, HFS+, NILFS, squashfs, EROFS.
const LOCAL: &[u32] = &[
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0x0102_1994,
    0x8584_58f6,
    0x794c_7630,
    0x2fc1_2fc1,
    0xf2f5_2010,
    0xca45_1a4e,
    0x2011_bab0,
    0x4d44,
    0x5346_544e,
    0x7366_746e,
    0x5265_4973,
    0x3153_464a,
    0xf15f,
    0x482b,
    0x3434,
    0x7371_7368,
    0xe0f5_e1e2,
];

const NETWORK_NAMES: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "virtiofs",
    "ceph",
    "afs",
    "coda",
    "ncpfs",
    "vboxsf",
    "vmhgfs",
    "prl_fs",
    "hostfs",
    "gfs2",
    "ocfs2",
    "lustre",
    "gpfs",
    "orangefs",
    "beegfs",
    "davfs",
    "fakeowner",
];

/// FUSE on a block device of this machine, and the overlay that rootless containers use: one kernel serves
/// all users of such a file, with its own page cache and locks.
const LOCAL_FUSE: &[&str] = &["fuseblk", "fuse.fuse-overlayfs"];

/// Looks at the file system of `path`, or of the closest directory above it that exists.
pub fn inspect(path: &Path) -> Verdict {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let Some(existing) = absolute
        .ancestors()
        .find_map(|ancestor| std::fs::canonicalize(ancestor).ok())
    else {
        return Verdict::Unknown;
    };
    let mountinfo = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    judge(magic_of(&existing), mount_type(&mountinfo, &existing).as_deref())
}

#[cfg(target_os = "linux")]
fn magic_of(path: &Path) -> Option<u32> {
    let status = rustix::fs::statfs(path).ok()?;
    // Numbers above 2^31 come sign-extended from some kernels: the low 32 bits are the magic.
    u32::try_from(i128::from(status.f_type) & i128::from(u32::MAX)).ok()
}

#[cfg(not(target_os = "linux"))]
fn magic_of(_path: &Path) -> Option<u32> {
    None
}

/// The verdict for a magic number and a mount's type, of which either may be missing.
fn judge(magic: Option<u32>, name: Option<&str>) -> Verdict {
    let by_magic = magic.and_then(|magic| NETWORK.iter().find(|(known, _)| *known == magic));
    let fuse = magic == Some(FUSE) || magic.is_none();
    match (by_magic, name) {
        (_, Some(name)) if fuse && LOCAL_FUSE.contains(&name) => Verdict::Local,
        (Some((_, generic)), name) => Verdict::Network {
            name: name.unwrap_or(generic).to_owned(),
        },
        (None, _) if magic.is_some_and(|magic| LOCAL.contains(&magic)) => Verdict::Local,
        (None, Some(name)) if NETWORK_NAMES.contains(&name) || name.starts_with("fuse") => Verdict::Network {
            name: name.to_owned(),
        },
        _ => Verdict::Unknown,
    }
}

/// The type of the mount that `path` lies on: the longest mount point above it, the latest of equals.
fn mount_type(mountinfo: &[u8], path: &Path) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    for line in mountinfo.split(|&byte| byte == b'\n') {
        let Some((point, name)) = mount_of(line) else {
            continue;
        };
        let depth = point.components().count();
        if path.starts_with(&point) && best.as_ref().is_none_or(|(deepest, _)| depth >= *deepest) {
            best = Some((depth, name));
        }
    }
    best.map(|(_, name)| name)
}

/// The mount point and the type of one line.
fn mount_of(line: &[u8]) -> Option<(PathBuf, String)> {
    // 36 35 98:0 /root /mount/point rw,noatime master:1 - ext4 /dev/sda1 rw
    let mut words = line.split(|&byte| byte == b' ');
    let point = words.nth(4)?;
    let name = words.skip_while(|word| *word != b"-").nth(1)?;
    Some((
        path_of(unescape(point)),
        String::from_utf8_lossy(name).into_owned(),
    ))
}

/// Blanks, tabs, line feeds and backslashes are written as three octal digits.
fn unescape(escaped: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after
            .get(..3)
            .filter(|digits| first == b'\\' && digits.iter().all(|byte| (b'0'..b'8').contains(byte)));
        if let Some(digits) = digits {
            plain.push(digits.iter().fold(0_u8, |value, digit| {
                value.wrapping_mul(8).wrapping_add(digit - b'0')
            }));
            rest = &after[3..];
        } else {
            plain.push(first);
            rest = after;
        }
    }
    plain
}

#[cfg(unix)]
fn path_of(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;

    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn path_of(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
40 22 0:40 / /mnt/share rw - nfs4 server:/export rw
41 22 0:41 / /mnt/share/inner rw master:1 propagate_from:2 - xfs /dev/sdb1 rw
42 22 0:42 / /mnt/my\\040disk rw - fuse.sshfs me@host: rw
43 22 0:43 / /work rw - ext4 /dev/sdc1 rw
44 43 0:44 / /work rw - virtiofs workspace rw
45 22 0:45 /x /mnt/c rw - 9p drvfs rw
46 22 0:46 / /mnt/usb rw - fuseblk /dev/sdd1 rw
garbage
";

    fn type_at(path: &str) -> Option<String> {
        mount_type(MOUNTS, Path::new(path))
    }

    fn network(name: &str) -> Verdict {
        Verdict::Network {
            name: name.to_owned(),
        }
    }

    #[test]
    fn the_longest_mount_point_wins() {
        assert_eq!(type_at("/home/app.db").as_deref(), Some("ext4"));
        assert_eq!(type_at("/mnt/share/app.db").as_deref(), Some("nfs4"));
        assert_eq!(
            type_at("/mnt/shared/app.db").as_deref(),
            Some("ext4"),
            "a prefix of the name only"
        );
        assert_eq!(type_at("/mnt/share/inner/app.db").as_deref(), Some("xfs"));
        assert_eq!(mount_type(b"", Path::new("/")), None);
    }

    #[test]
    fn a_later_mount_covers_an_earlier_one() {
        assert_eq!(type_at("/work/app.db").as_deref(), Some("virtiofs"));
    }

    #[test]
    fn escaped_names_are_read() {
        assert_eq!(type_at("/mnt/my disk/app.db").as_deref(), Some("fuse.sshfs"));
        assert_eq!(unescape(br"a\011b\134c\9"), b"a\tb\\c\\9");
    }

    #[test]
    fn network_file_systems_are_named_as_mount_names_them() {
        assert_eq!(judge(Some(0x6969), Some("nfs4")), network("nfs4"));
        assert_eq!(judge(Some(0x6969), None), network("nfs"));
        assert_eq!(judge(Some(0xff53_4d42), Some("cifs")), network("cifs"));
        assert_eq!(judge(Some(FUSE), Some("fuse.sshfs")), network("fuse.sshfs"));
        assert_eq!(judge(Some(FUSE), Some("virtiofs")), network("virtiofs"));
        assert_eq!(judge(Some(FUSE), None), network("fuse"));
        assert_eq!(judge(Some(0x0102_1997), Some("9p")), network("9p"));
        assert_eq!(judge(Some(0x00c3_6400), Some("ceph")), network("ceph"));
        assert_eq!(judge(Some(0x1234), Some("davfs")), network("davfs"));
        assert_eq!(judge(None, Some("fuse.glusterfs")), network("fuse.glusterfs"));
    }

    #[test]
    fn file_systems_of_this_kernel_are_local() {
        assert_eq!(judge(Some(0xef53), Some("ext4")), Verdict::Local);
        assert_eq!(judge(Some(0x9123_683e), None), Verdict::Local);
        assert_eq!(judge(Some(0x794c_7630), Some("overlay")), Verdict::Local);
        assert_eq!(judge(Some(FUSE), Some("fuseblk")), Verdict::Local);
        assert_eq!(judge(Some(FUSE), Some("fuse.fuse-overlayfs")), Verdict::Local);
    }

    #[test]
    fn the_rest_is_unknown() {
        assert_eq!(judge(Some(0x1234), Some("newfs")), Verdict::Unknown);
        assert_eq!(judge(None, None), Verdict::Unknown);
    }

    #[test]
    fn a_path_that_does_not_exist_yet_is_judged_by_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let here = inspect(directory.path());
        assert_eq!(inspect(&directory.path().join("new/app.db")), here);
    }
}
