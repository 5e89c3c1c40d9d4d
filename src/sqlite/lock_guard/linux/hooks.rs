//! The replacements that `SQLite` calls.
#![allow(unsafe_code, reason = "called by SQLite through C function pointers")]

use std::ffi::{CStr, c_char, c_void};
use std::mem::transmute;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use libc::{c_int, flock, off_t, size_t, ssize_t, stat};
use rusqlite::ffi;

use super::sys::{self, Errno};
use super::table::{self, Access, Kind};
use super::{fork, frames, inode, park};

/// Runs a replacement as a system call: a failure is -1 and `errno`, a success leaves `errno` alone, and a
/// panic is an I/O error.
fn system_call<T: From<i8>>(call: impl FnOnce() -> Result<T, Errno>) -> T {
    let saved = sys::errno();
    let (result, errno) = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(result)) => (result, saved),
        Ok(Err(errno)) => (T::from(-1), errno),
        Err(_) => (T::from(-1), libc::EIO),
    };
    sys::set_errno(errno);
    result
}

fn checked(result: c_int) -> Result<c_int, Errno> {
    if result < 0 { Err(sys::errno()) } else { Ok(result) }
}

/// A file that this very call creates is no database: `SQLite` opens temporary files and rollback journals
/// with `O_EXCL`, databases, `-shm` files and logs never.
fn kind(path: &CStr, flags: c_int) -> Kind {
    let name = path.to_bytes();
    if flags & libc::O_EXCL != 0 || name.ends_with(b"-journal") {
        Kind::Journal
    } else if name.ends_with(b"-wal") {
        Kind::Log
    } else {
        Kind::Lockable
    }
}

/// Writes out the frames that this thread has gathered.
fn settle() -> Result<(), Errno> {
    frames::settle(&mut sys::write)
}

extern "C" fn open(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    system_call(|| {
        if path.is_null() {
            return Err(libc::EFAULT);
        }
        // SAFETY: SQLite passes a NUL-terminated path that outlives the call.
        let path = unsafe { CStr::from_ptr(path) };
        let access = Access::of_flags(flags);
        let kind = kind(path, flags);
        if kind == Kind::Lockable
            && let Some(number) = park::reuse(path, access)
        {
            return Ok(number);
        }
        let number = checked(sys::open(path, flags, mode))?;
        table::register(number, access, kind);
        Ok(number)
    })
}

extern "C" fn close(number: c_int) -> c_int {
    system_call(|| {
        // The number is free afterwards, whatever came of the frames; `SQLite` closes no log in a COMMIT.
        let settled = settle();
        park::close(number).and_then(|closed| settled.map(|()| closed))
    })
}

/// Not variadic, where the original is: on 64-bit Linux (x86-64 and aarch64) a variadic argument travels in
/// the same register as a named one.
extern "C" fn fcntl(number: c_int, command: c_int, argument: *mut c_void) -> c_int {
    match command {
        libc::F_SETLK | libc::F_SETLKW | libc::F_GETLK => system_call(|| {
            // SAFETY: for these commands SQLite passes a `flock` of its own that nobody else uses.
            let Some(request) = (unsafe { argument.cast::<flock>().as_mut() }) else {
                return Err(libc::EFAULT);
            };
            // An unlock that fails would be taken for a lock that stays.
            match settle() {
                Err(errno) if c_int::from(request.l_type) != libc::F_UNLCK => return Err(errno),
                _ => {}
            }
            inode::lock(number, command, request).map(|()| 0)
        }),
        // SAFETY: passed on as it came.
        _ => unsafe { libc::fcntl(number, command, argument) },
    }
}

/// Makes every file look like another device's in each forked child. Linux keeps device numbers in the low
/// 44 bits unless a major number exceeds 4095, which no driver has; the two halves differ per generation.
fn salt(status: *mut stat) {
    let generation = fork::generation();
    if generation != 0 {
        // SAFETY: called after the system call has written a whole `stat` there.
        unsafe { (*status).st_dev ^= generation << 32 };
    }
}

extern "C" fn fstat(number: c_int, status: *mut stat) -> c_int {
    if let Err(errno) = settle() {
        return system_call(|| Err(errno));
    }
    // SAFETY: SQLite passes a valid place for a `stat`.
    let result = unsafe { libc::fstat(number, status) };
    if result == 0 {
        salt(status);
    }
    result
}

extern "C" fn stat_path(path: *const c_char, status: *mut stat) -> c_int {
    // SAFETY: SQLite passes a NUL-terminated path and a valid place for a `stat`.
    let result = unsafe { libc::stat(path, status) };
    if result == 0 {
        salt(status);
    }
    result
}

extern "C" fn pread(number: c_int, bytes: *mut c_void, length: size_t, offset: off_t) -> ssize_t {
    if let Err(errno) = settle() {
        return system_call(|| Err(errno));
    }
    // SAFETY: SQLite passes a place for `length` bytes.
    unsafe { libc::pread(number, bytes, length, offset) }
}

extern "C" fn ftruncate(number: c_int, length: off_t) -> c_int {
    if let Err(errno) = settle() {
        return system_call(|| Err(errno));
    }
    // SAFETY: no memory is involved.
    unsafe { libc::ftruncate(number, length) }
}

fn is_log(number: RawFd) -> bool {
    fork::table().is_log(number)
}

extern "C" fn pwrite(number: c_int, bytes: *const c_void, length: size_t, offset: off_t) -> ssize_t {
    if !frames::gathers() || bytes.is_null() {
        // SAFETY: passed on as it came.
        return unsafe { libc::pwrite(number, bytes, length, offset) };
    }
    system_call(|| {
        // SAFETY: SQLite passes `length` bytes that nobody changes during the call, and not null, as seen above.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) };
        let written = frames::write((number, bytes, offset), is_log, &mut sys::write)?;
        isize::try_from(written).map_err(|_| libc::EINVAL)
    })
}

type Replacement = (&'static CStr, ffi::sqlite3_syscall_ptr);

fn replacements() -> [Replacement; 8] {
    type Close = extern "C" fn(c_int) -> c_int;
    type Fcntl = extern "C" fn(c_int, c_int, *mut c_void) -> c_int;
    type Fstat = extern "C" fn(c_int, *mut stat) -> c_int;
    type Ftruncate = extern "C" fn(c_int, off_t) -> c_int;
    type Open = extern "C" fn(*const c_char, c_int, c_int) -> c_int;
    type Pread = extern "C" fn(c_int, *mut c_void, size_t, off_t) -> ssize_t;
    type Pwrite = extern "C" fn(c_int, *const c_void, size_t, off_t) -> ssize_t;
    type Stat = extern "C" fn(*const c_char, *mut stat) -> c_int;
    type Call = unsafe extern "C" fn();
    // SAFETY: function pointers of one size; SQLite casts each back to the signature it is called with.
    unsafe {
        [
            (c"open", Some(transmute::<Open, Call>(open))),
            (c"close", Some(transmute::<Close, Call>(close))),
            (c"fstat", Some(transmute::<Fstat, Call>(fstat))),
            (c"stat", Some(transmute::<Stat, Call>(stat_path))),
            (c"fcntl", Some(transmute::<Fcntl, Call>(fcntl))),
            (c"pread", Some(transmute::<Pread, Call>(pread))),
            (c"pwrite", Some(transmute::<Pwrite, Call>(pwrite))),
            (c"ftruncate", Some(transmute::<Ftruncate, Call>(ftruncate))),
        ]
    }
}

/// Puts the replacements in place, all or none.
pub(crate) fn install() -> Result<(), &'static str> {
    sys::probe()?;
    // SAFETY: may be called at any time, from any thread.
    if unsafe { ffi::sqlite3_initialize() } != ffi::SQLITE_OK {
        return Err("SQLite cannot be initialised");
    }
    // SAFETY: a NUL-terminated name; registered file systems are never freed.
    let vfs = unsafe { ffi::sqlite3_vfs_find(c"unix".as_ptr()) };
    // SAFETY: null or a registered file system.
    let Some(set) = (unsafe { vfs.as_ref() }).and_then(|vfs| vfs.xSetSystemCall) else {
        return Err("SQLite has no unix file system with replaceable system calls");
    };
    fork::watch()?;
    let all = replacements();
    for (place, (name, function)) in all.iter().enumerate() {
        // SAFETY: the file system's own function, its own pointer, a NUL-terminated name.
        if unsafe { set(vfs, name.as_ptr(), *function) } != ffi::SQLITE_OK {
            for (name, _) in &all[..place] {
                // SAFETY: as above; a null function restores the original.
                unsafe { set(vfs, name.as_ptr(), None) };
            }
            return Err("SQLite refused a replacement system call");
        }
    }
    Ok(())
}
