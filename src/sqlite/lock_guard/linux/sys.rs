//! The system calls the guard needs, as safe functions over descriptors' numbers.
#![allow(
    unsafe_code,
    reason = "system calls that std does not offer; each block says why it is sound"
)]

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use libc::{c_int, flock, stat};

/// An `errno` value.
pub(super) type Errno = c_int;

/// What identifies a file while a descriptor of it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// The identity of a file, and whether it can carry a database at all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    pub(super) id: FileId,
    pub(super) regular: bool,
}

pub(super) fn errno() -> Errno {
    // SAFETY: the location is valid for the life of the calling thread.
    unsafe { *libc::__errno_location() }
}

pub(super) fn set_errno(value: Errno) {
    // SAFETY: as above; no reference to the location exists.
    unsafe { *libc::__errno_location() = value }
}

fn check(result: c_int) -> Result<c_int, Errno> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

fn identity_of(status: &stat) -> Identity {
    Identity {
        id: FileId {
            device: status.st_dev,
            inode: status.st_ino,
        },
        regular: status.st_mode & libc::S_IFMT == libc::S_IFREG,
    }
}

/// The identity of an open descriptor; never salted. Allocates nothing: the child of a fork calls it.
pub(super) fn identify(descriptor: RawFd) -> Result<Identity, Errno> {
    let mut status = MaybeUninit::<stat>::uninit();
    // SAFETY: fstat writes one whole `stat` or fails; the pointer is valid for writing one.
    check(unsafe { libc::fstat(descriptor, status.as_mut_ptr()) })?;
    // SAFETY: fstat succeeded, so `status` is initialised.
    Ok(identity_of(&unsafe { status.assume_init() }))
}

/// The identity of what `path` names, a symbolic link not followed.
pub(super) fn identify_path(path: &CStr) -> Result<Identity, Errno> {
    let mut status = MaybeUninit::<stat>::uninit();
    // SAFETY: `path` ends with NUL; lstat writes one whole `stat` or fails.
    check(unsafe { libc::lstat(path.as_ptr(), status.as_mut_ptr()) })?;
    // SAFETY: lstat succeeded, so `status` is initialised.
    Ok(identity_of(&unsafe { status.assume_init() }))
}

/// Opens the file behind `descriptor` once more, as a description of its own (a `dup` would share it).
pub(super) fn reopen(descriptor: RawFd, writable: bool) -> Result<RawFd, Errno> {
    let Ok(path) = CString::new(format!("/proc/self/fd/{descriptor}")) else {
        return Err(libc::EINVAL);
    };
    let mode = if writable { libc::O_RDWR } else { libc::O_RDONLY };
    loop {
        // SAFETY: `path` ends with NUL; without O_CREAT open reads no third argument.
        match check(unsafe { libc::open(path.as_ptr(), mode | libc::O_CLOEXEC | libc::O_NOCTTY) }) {
            Err(libc::EINTR) => {}
            result => return result,
        }
    }
}

/// Another number for the description of `descriptor`.
pub(super) fn duplicate(descriptor: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) })
}

/// `open` as `SQLite` calls it.
pub(super) fn open(path: &CStr, flags: c_int, mode: c_int) -> c_int {
    // SAFETY: `path` ends with NUL; the mode travels as the promoted third argument.
    unsafe { libc::open(path.as_ptr(), flags, mode) }
}

/// `pwrite` of some bytes; how many were written.
pub(super) fn write(descriptor: RawFd, bytes: &[u8], offset: i64) -> Result<usize, Errno> {
    // SAFETY: the kernel reads at most `bytes.len()` bytes from the pointer.
    let written = unsafe { libc::pwrite(descriptor, bytes.as_ptr().cast(), bytes.len(), offset) };
    usize::try_from(written).map_err(|_| errno())
}

/// Closes a descriptor's number; it is free afterwards whatever the result says. Allocates nothing.
pub(super) fn close(descriptor: RawFd) -> Result<c_int, Errno> {
    // SAFETY: no memory is involved; the callers own the number.
    check(unsafe { libc::close(descriptor) })
}

/// Takes or releases an OFD lock without waiting.
pub(super) fn set_lock(descriptor: RawFd, request: &flock) -> Result<(), Errno> {
    let mut copy = *request;
    // The kernel demands 0 in an OFD request.
    copy.l_pid = 0;
    // SAFETY: the kernel reads one `flock` from the pointer, which is valid for the call.
    check(unsafe { libc::fcntl(descriptor, libc::F_OFD_SETLK, &raw mut copy) }).map(|_| ())
}

/// Asks for the first lock in the way of `request`; `None` if there is none.
pub(super) fn get_lock(descriptor: RawFd, request: &flock) -> Result<Option<flock>, Errno> {
    let mut copy = *request;
    copy.l_pid = 0;
    // SAFETY: the kernel reads and writes one `flock` at the pointer, which is valid for the call.
    check(unsafe { libc::fcntl(descriptor, libc::F_OFD_GETLK, &raw mut copy) })?;
    Ok((c_int::from(copy.l_type) != libc::F_UNLCK).then_some(copy))
}

/// A lock request from the start of the file; `l_len` 0 reaches to the end.
pub(super) fn request(kind: c_int, (start, length): (i64, i64)) -> flock {
    // SAFETY: `flock` is plain integers, for which all zeroes is a value.
    let mut request: flock = unsafe { std::mem::zeroed() };
    request.l_type = i16::try_from(kind).unwrap_or_default();
    request.l_whence = i16::try_from(libc::SEEK_SET).unwrap_or_default();
    request.l_start = start;
    request.l_len = length;
    request
}

/// Sleeps, or returns false if a signal came first.
pub(super) fn sleep_microseconds(microseconds: u32) -> bool {
    let pause = libc::timespec {
        tv_sec: 0,
        tv_nsec: i64::from(microseconds) * 1_000,
    };
    // SAFETY: reads one `timespec`; a null second pointer is allowed.
    unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) == 0 }
}

/// Whether the kernel knows OFD locks and `/proc` lets a descriptor be opened once more.
pub(super) fn probe() -> Result<(), &'static str> {
    // The program's own file: it exists, and nobody keeps record locks there that our close could drop.
    // SAFETY: a NUL-terminated literal; without O_CREAT open reads no third argument.
    let first = unsafe { libc::open(c"/proc/self/exe".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if first < 0 {
        return Err("the lock guard needs /proc");
    }
    let result = match reopen(first, false) {
        Err(_) => Err("the lock guard needs /proc/self/fd"),
        Ok(second) => {
            let answer = get_lock(second, &request(libc::F_RDLCK, (0, 1)));
            let _ = close(second);
            match answer {
                Ok(_) => Ok(()),
                Err(libc::EINVAL) => Err("the kernel has no open-file-description locks"),
                Err(_) => Err("the kernel refuses open-file-description locks"),
            }
        }
    };
    let _ = close(first);
    result
}
