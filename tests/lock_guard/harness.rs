//! Processes that talk in lines, and the database they share.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use langgraph_checkpoint_rust::sqlite::lock_guard::{self, Status};
use rusqlite::Connection;

pub(crate) type Role = (&'static str, fn(&Scene));

/// Nothing here takes longer; a process that does is killed by SIGALRM, and its test fails.
const LIMIT_SECONDS: u32 = 30;

/// What a started process knows.
pub(crate) struct Scene {
    pub(crate) database: PathBuf,
}

impl Scene {
    pub(crate) fn begin() -> Self {
        // SAFETY: no memory is involved.
        unsafe { libc::alarm(LIMIT_SECONDS) };
        if std::env::var("LOCK_GUARD_MODE").unwrap() == "guarded" {
            assert_eq!(lock_guard::install(), Status::Active);
            assert_eq!(lock_guard::disable_before_first_open(), Status::Active, "frozen");
        } else {
            assert_eq!(lock_guard::disable_before_first_open(), Status::Disabled);
        }
        Self {
            database: std::env::var_os("LOCK_GUARD_DATABASE").unwrap().into(),
        }
    }

    pub(crate) fn open(&self) -> Connection {
        open(&self.database)
    }
}

/// Ends this process without unwinding, destructors or exit handlers.
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Opens a WAL database with the table that the scenarios fill.
pub(crate) fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    // While another connection closes as the last one, SQLite says "busy" here without waiting.
    let setup = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0;
                 CREATE TABLE IF NOT EXISTS t(who TEXT);";
    while let Err(error) = connection.execute_batch(setup) {
        assert_eq!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::DatabaseBusy),
            "{error}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    connection
}

/// Commits `count` rows one by one; each is acknowledged when this returns.
pub(crate) fn commit(connection: &Connection, who: &str, count: usize) {
    let mut insert = connection.prepare_cached("INSERT INTO t VALUES (?1)").unwrap();
    for _ in 0..count {
        insert.execute([who]).unwrap();
    }
}

/// Tells the test one line.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n@{line}").unwrap();
    out.flush().unwrap();
}

/// Waits until the test says `go`.
pub(crate) fn wait() {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
    assert_eq!(line, "go\n");
}

/// A process started by a test.
pub(crate) struct Actor {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Actor {
    pub(crate) fn start(role: &str, guarded: bool, database: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["role", "--exact", "--nocapture", "--test-threads=1"])
            .env("LOCK_GUARD_ROLE", role)
            .env("LOCK_GUARD_MODE", if guarded { "guarded" } else { "plain" })
            .env("LOCK_GUARD_DATABASE", database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    pub(crate) fn go(&mut self) {
        self.input.write_all(b"go\n").unwrap();
    }

    /// Waits for the process to say something; what follows `expected` and a blank is returned.
    pub(crate) fn hear(&mut self, expected: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(
                self.output.read_line(&mut line).unwrap() > 0,
                "ended before it said {expected}"
            );
            if let Some(said) = line.trim_end().strip_prefix('@') {
                let rest = said
                    .strip_prefix(expected)
                    .unwrap_or_else(|| panic!("said {said}, not {expected}"));
                return rest.trim_start().to_owned();
            }
        }
    }

    /// Like kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn finish(self) {
        assert!(self.ended_well());
    }

    pub(crate) fn ended_well(mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    pub(crate) fn id(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }
}

/// Runs one scenario to its end.
pub(crate) fn play(role: &str) {
    let directory = tempfile::tempdir().unwrap();
    Actor::start(role, true, &directory.path().join("a.db")).finish();
}

/// Another process with a plain `SQLite` opens the database, reads it and closes it: the last one to close
/// checkpoints and deletes the write-ahead log.
pub(crate) fn visit(database: &Path) {
    Actor::start("visit", false, database).finish();
}

/// The rows of `who`, read by a fresh process's worth of state: this process has never opened the file.
pub(crate) fn count(database: &Path, who: &str) -> usize {
    let connection = Connection::open(database).unwrap();
    let healthy: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(healthy, "ok");
    let rows: i64 = connection
        .query_row("SELECT count(*) FROM t WHERE who=?1", [who], |row| row.get(0))
        .unwrap();
    rows.try_into().unwrap()
}

/// The bytes of a database file that every reader locks, as start and length.
pub(crate) const SHARED_BYTES: (i64, i64) = (0x4000_0002, 510);

/// The path of the log or of the shared memory of a database.
pub(crate) fn sibling(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(crate) fn lock_request(kind: i32, (start, length): (i64, i64)) -> libc::flock {
    // SAFETY: plain integers.
    let mut request: libc::flock = unsafe { std::mem::zeroed() };
    request.l_type = kind.try_into().unwrap();
    request.l_start = start;
    request.l_len = length;
    request
}

/// Asks for a POSIX lock as a library without a guard does; whether it was granted.
pub(crate) fn set_posix_lock(file: &File, kind: i32, range: (i64, i64)) -> bool {
    let mut request = lock_request(kind, range);
    // SAFETY: reads one `flock`.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw mut request) == 0 }
}

/// Forks; the child runs `body` and ends, with code 1 if it panics.
pub(crate) fn fork(body: impl FnOnce()) -> i32 {
    // SAFETY: the child runs `body` and leaves; it never returns into the test harness.
    match unsafe { libc::fork() } {
        -1 => panic!("{}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: no memory is involved.
            unsafe { libc::alarm(LIMIT_SECONDS / 2) };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            leave(i32::from(result.is_err()));
        }
        child => child,
    }
}

/// Waits for a forked child; its exit code, or 128 + the signal that ended it.
pub(crate) fn reap(child: i32) -> i32 {
    let mut status = 0;
    // SAFETY: writes one integer.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        128 + libc::WTERMSIG(status)
    }
}
