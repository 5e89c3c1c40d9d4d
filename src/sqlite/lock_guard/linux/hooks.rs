//! The replacements that `SQLite` calls.
#![allow(unsafe_code, reason = "called by SQLite through C function pointers")]

use std::ffi::{CStr, c_char, c_void};
use std::mem::transmute;
use std::panic::{AssertUnwindSafe, catch_unwind};

use libc::{c_int, flock, stat};
use rusqlite::ffi;

use super::sys::{self, Errno};
use super::table::{self, Access};
use super::{fork, inode, park};

/// Runs a replacement as a system call: a failure is -1 and `errno`, a success leaves `errno` alone, and a
/// panic is an I/O error.
fn system_call(call: impl FnOnce() -> Result<c_int, Errno>) -> c_int {
    let saved = sys::errno();
    let (result, errno) = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(result)) => (result, saved),
        Ok(Err(errno)) => (-1, errno),
        Err(_) => (-1, libc::EIO),
    };
    sys::set_errno(errno);
    result
}

fn checked(result: c_int) -> Result<c_int, Errno> {
    if result < 0 { Err(sys::errno()) } else { Ok(result) }
}

/// A journal, or a file that this very call creates and that is no database: `SQLite` opens temporary files
/// and rollback journals with `O_EXCL`, databases and `-shm` files never.
fn is_sidecar(path: &CStr, flags: c_int) -> bool {
    let name = path.to_bytes();
    flags & libc::O_EXCL != 0 || name.ends_with(b"-wal") || name.ends_with(b"-journal")
}

extern "C" fn open(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    system_call(|| {
        if path.is_null() {
            return Err(libc::EFAULT);
        }
        // SAFETY: SQLite passes a NUL-terminated path that outlives the call.
        let path = unsafe { CStr::from_ptr(path) };
        let access = Access::of_flags(flags);
        let sidecar = is_sidecar(path, flags);
        if !sidecar && let Some(number) = park::reuse(path, access) {
            return Ok(number);
        }
        let number = checked(sys::open(path, flags, mode))?;
        table::register(number, access, sidecar);
        Ok(number)
    })
}

extern "C" fn close(number: c_int) -> c_int {
    system_call(|| park::close(number))
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

type Replacement = (&'static CStr, ffi::sqlite3_syscall_ptr);

fn replacements() -> [Replacement; 5] {
    type Close = extern "C" fn(c_int) -> c_int;
    type Fcntl = extern "C" fn(c_int, c_int, *mut c_void) -> c_int;
    type Fstat = extern "C" fn(c_int, *mut stat) -> c_int;
    type Open = extern "C" fn(*const c_char, c_int, c_int) -> c_int;
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
