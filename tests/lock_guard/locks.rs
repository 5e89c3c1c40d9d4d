//! The locks themselves: what other processes see of ours and we of theirs.

use std::ffi::{CString, c_char, c_int};
use std::fs::File;
use std::mem::transmute;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use langgraph_checkpoint_rust::sqlite::lock_guard::holder::write_lock_holder;
use rusqlite::{Connection, TransactionBehavior, ffi};

use crate::harness::{Actor, Role, Scene, fork, leave, lock_request, play, reap, say, set_posix_lock, wait};

pub(crate) const ROLES: &[Role] = &[
    ("count_up", |scene| count_up(scene, "WAL")),
    ("count_up_journal", |scene| count_up(scene, "DELETE")),
    ("hold", hold),
    ("try_write", |scene| leave(i32::from(!can_write(scene)))),
    ("get_lock", get_lock),
    ("wait_lock", wait_lock),
];

const TURNS: i64 = 150;
const THREADS: i64 = 2;

/// Read, add one, write, in several threads with a connection each.
fn count_up(scene: &Scene, journal: &str) {
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (path, journal) = (scene.database.clone(), journal.to_owned());
            thread::spawn(move || {
                let mut connection = Connection::open(path).unwrap();
                connection.busy_timeout(Duration::from_secs(20)).unwrap();
                connection
                    .execute_batch(&format!("PRAGMA journal_mode={journal}; PRAGMA synchronous=OFF"))
                    .unwrap();
                for _ in 0..TURNS {
                    let transaction = connection
                        .transaction_with_behavior(TransactionBehavior::Immediate)
                        .unwrap();
                    let number: i64 = transaction
                        .query_row("SELECT number FROM n", [], |row| row.get(0))
                        .unwrap();
                    transaction
                        .execute("UPDATE n SET number=?1", [number + 1])
                        .unwrap();
                    transaction.commit().unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

const PYTHON: &str = "
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
c.execute('PRAGMA synchronous=OFF')
for _ in range(int(sys.argv[2])):
    c.execute('BEGIN IMMEDIATE')
    n = c.execute('SELECT number FROM n').fetchone()[0]
    c.execute('UPDATE n SET number=?', (n + 1,))
    c.execute('COMMIT')
";

/// Two guarded processes, a plain one of ours and, if there is one, Python's `sqlite3`.
fn counts_exactly(role: &str, journal: &str) {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.db");
    let connection = Connection::open(&database).unwrap();
    let setup =
        format!("PRAGMA journal_mode={journal}; CREATE TABLE n(number INTEGER); INSERT INTO n VALUES (0)");
    connection.execute_batch(&setup).unwrap();
    drop(connection);
    let actors: Vec<Actor> = [true, true, false]
        .map(|guarded| Actor::start(role, guarded, &database))
        .into();
    let python = Command::new("python3")
        .args(["-c", PYTHON])
        .arg(&database)
        .arg(TURNS.to_string())
        .spawn();
    let has_python = python.is_ok_and(|mut child: Child| child.wait().unwrap().success());
    for actor in actors {
        actor.finish();
    }
    let connection = Connection::open(&database).unwrap();
    let number: i64 = connection
        .query_row("SELECT number FROM n", [], |row| row.get(0))
        .unwrap();
    assert_eq!(number, TURNS * (3 * THREADS + i64::from(has_python)));
    let healthy: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(healthy, "ok");
}

#[test]
fn no_update_is_lost_between_guarded_and_plain_processes() {
    counts_exactly("count_up", "WAL");
}

#[test]
fn no_update_is_lost_without_a_log_either() {
    counts_exactly("count_up_journal", "DELETE");
}

fn can_write(scene: &Scene) -> bool {
    let connection = Connection::open(&scene.database).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    match connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK") {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseBusy),
                "{error}"
            );
            false
        }
    }
}

/// Holds the write lock while the test looks, then lets it go.
fn hold(scene: &Scene) {
    let connection = scene.open();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    say("held");
    wait();
    connection.execute_batch("ROLLBACK").unwrap();
    say("free");
    wait();
}

fn writes(guarded: bool, database: &std::path::Path) -> bool {
    Actor::start("try_write", guarded, database).ended_well()
}

#[test]
fn a_held_write_lock_is_busy_for_every_other_process() {
    for holder in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("a.db");
        let mut actor = Actor::start("hold", holder, &database);
        actor.hear("held");
        assert!(!writes(true, &database), "holder guarded: {holder}");
        assert!(!writes(false, &database), "holder guarded: {holder}");
        assert_eq!(
            write_lock_holder(&database),
            u32::try_from(actor.id()).ok(),
            "holder guarded: {holder}"
        );
        actor.go();
        actor.hear("free");
        assert_eq!(write_lock_holder(&database), None);
        assert!(writes(true, &database), "holder guarded: {holder}");
        assert!(writes(false, &database), "holder guarded: {holder}");
        actor.go();
        actor.finish();
    }
}

type Call = unsafe extern "C" fn();
type Open = extern "C" fn(*const c_char, c_int, c_int) -> c_int;
type Close = extern "C" fn(c_int) -> c_int;
type Fcntl = extern "C" fn(c_int, c_int, *mut libc::flock) -> c_int;

/// `SQLite`'s own system calls, the guard's replacements among them.
struct Calls {
    open: Open,
    close: Close,
    fcntl: Fcntl,
}

impl Calls {
    fn find() -> Self {
        // SAFETY: the functions behind the names have these signatures.
        unsafe {
            let vfs = ffi::sqlite3_vfs_find(c"unix".as_ptr());
            let get = (*vfs).xGetSystemCall.unwrap();
            Self {
                open: transmute::<Call, Open>(get(vfs, c"open".as_ptr()).unwrap()),
                close: transmute::<Call, Close>(get(vfs, c"close".as_ptr()).unwrap()),
                fcntl: transmute::<Call, Fcntl>(get(vfs, c"fcntl".as_ptr()).unwrap()),
            }
        }
    }
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap()
}

/// Each answer of the replacement, against what `fcntl(2)` says.
fn get_lock(scene: &Scene) {
    std::fs::write(&scene.database, "x").unwrap();
    let path = CString::new(scene.database.as_os_str().as_bytes()).unwrap();
    let calls = Calls::find();
    let ask = |number: c_int, kind: c_int, range: (i64, i64)| {
        let mut request = lock_request(kind, range);
        request.l_pid = 77;
        assert_eq!((calls.fcntl)(number, libc::F_GETLK, &raw mut request), 0);
        request
    };
    let number = (calls.open)(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC, 0);
    assert!(number >= 0);

    let free = ask(number, libc::F_WRLCK, (5, 0));
    assert_eq!(
        (i32::from(free.l_type), free.l_start, free.l_len, free.l_pid),
        (libc::F_UNLCK, 5, 0, 77)
    );

    // Another process: its pid and its range.
    let mut holder = Actor::start("wait_lock", false, &scene.database);
    holder.hear("locked");
    let taken = ask(number, libc::F_RDLCK, (0, 0));
    assert_eq!(
        (i32::from(taken.l_type), taken.l_start, taken.l_len),
        (libc::F_WRLCK, 10, 5)
    );
    assert_eq!(taken.l_pid, holder.id());
    let mut request = lock_request(libc::F_RDLCK, (12, 1));
    assert_eq!((calls.fcntl)(number, libc::F_SETLK, &raw mut request), -1);
    assert!(matches!(errno(), libc::EAGAIN | libc::EACCES));
    // Waiting ends when the other side lets go, and errno is left alone.
    holder.go();
    let started = Instant::now();
    assert_eq!((calls.fcntl)(number, libc::F_SETLKW, &raw mut request), 0);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(matches!(errno(), libc::EAGAIN | libc::EACCES));
    holder.finish();

    // Our own lock is not in our way; a second library's lock in this process is, with our pid.
    assert_eq!(
        i32::from(ask(number, libc::F_WRLCK, (0, 0)).l_type),
        libc::F_UNLCK
    );
    let neighbour = File::options()
        .read(true)
        .write(true)
        .open(&scene.database)
        .unwrap();
    assert!(set_posix_lock(&neighbour, libc::F_WRLCK, (100, 1)));
    let taken = ask(number, libc::F_RDLCK, (100, 1));
    assert_eq!(taken.l_pid, i32::try_from(std::process::id()).unwrap());

    // As the kernel would: no write lock through a read-only descriptor, no relative range, no null.
    let reader = (calls.open)(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC, 0);
    let mut request = lock_request(libc::F_WRLCK, (200, 1));
    assert_eq!((calls.fcntl)(reader, libc::F_SETLK, &raw mut request), -1);
    assert_eq!(errno(), libc::EBADF);
    request.l_whence = libc::SEEK_CUR.try_into().unwrap();
    assert_eq!((calls.fcntl)(number, libc::F_SETLK, &raw mut request), -1);
    assert_eq!(errno(), libc::EINVAL);
    assert_eq!((calls.fcntl)(number, libc::F_SETLK, std::ptr::null_mut()), -1);
    assert_eq!(errno(), libc::EFAULT);

    // The neighbour's lock survives the close of our last descriptor; ours is released.
    assert_eq!((calls.close)(reader), 0);
    assert_eq!((calls.close)(number), 0);
    let granted = |range| {
        reap(fork(|| {
            leave(i32::from(set_posix_lock(&neighbour, libc::F_WRLCK, range)))
        })) == 1
    };
    assert!(!granted((100, 1)), "the neighbour's lock is gone");
    assert!(granted((12, 1)), "our lock is still there");
}

/// Holds a POSIX lock until told to go, and a little longer.
fn wait_lock(scene: &Scene) {
    let file = File::options()
        .read(true)
        .write(true)
        .open(&scene.database)
        .unwrap();
    assert!(set_posix_lock(&file, libc::F_WRLCK, (10, 5)));
    say("locked");
    wait();
    thread::sleep(Duration::from_millis(100));
}

#[test]
fn lock_requests_are_answered_as_the_kernel_would() {
    play("get_lock");
}
