//! The system's `SQLite`, loaded into the same process: a second library with POSIX locks of its own.

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;

type Open = unsafe extern "C" fn(*const c_char, *mut *mut c_void) -> c_int;
type Execute =
    unsafe extern "C" fn(*mut c_void, *const c_char, *mut c_void, *mut c_void, *mut c_void) -> c_int;
type Close = unsafe extern "C" fn(*mut c_void) -> c_int;

/// A connection of the second library.
pub(crate) struct Neighbour {
    handle: *mut c_void,
    execute: Execute,
    close: Close,
}

fn load() -> Option<*mut c_void> {
    // DEEPBIND: the library must use its own functions, not ones of the same name in this program.
    let flags = libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_DEEPBIND;
    // SAFETY: a NUL-terminated name; the library is never unloaded.
    let library = unsafe { libc::dlopen(c"libsqlite3.so.0".as_ptr(), flags) };
    (!library.is_null()).then_some(library)
}

/// Whether this machine has a second library at all.
pub(crate) fn available() -> bool {
    load().is_some()
}

impl Neighbour {
    pub(crate) fn open(path: &Path) -> Self {
        let library = load().unwrap();
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        let mut handle = null_mut();
        // SAFETY: the library's documented functions, with the signatures of its documentation.
        unsafe {
            let open =
                std::mem::transmute::<*mut c_void, Open>(libc::dlsym(library, c"sqlite3_open".as_ptr()));
            let execute =
                std::mem::transmute::<*mut c_void, Execute>(libc::dlsym(library, c"sqlite3_exec".as_ptr()));
            let close =
                std::mem::transmute::<*mut c_void, Close>(libc::dlsym(library, c"sqlite3_close".as_ptr()));
            assert_eq!(open(path.as_ptr(), &raw mut handle), 0);
            let neighbour = Self {
                handle,
                execute,
                close,
            };
            neighbour.execute("PRAGMA busy_timeout=10000; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0; SELECT count(*) FROM sqlite_master");
            neighbour
        }
    }

    pub(crate) fn execute(&self, sql: &str) {
        assert_eq!(self.try_execute(sql), 0, "{sql}");
    }

    /// Returns the library's result code.
    pub(crate) fn try_execute(&self, sql: &str) -> c_int {
        let sql = CString::new(sql).unwrap();
        // SAFETY: an open handle, a NUL-terminated text, no callback.
        unsafe { (self.execute)(self.handle, sql.as_ptr(), null_mut(), null_mut(), null_mut()) }
    }

    pub(crate) fn commit(&self, who: &str, count: usize) {
        for _ in 0..count {
            self.execute(&format!("INSERT INTO t VALUES ('{who}')"));
        }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // SAFETY: an open handle, closed once.
        assert_eq!(unsafe { (self.close)(self.handle) }, 0);
    }
}
