//! The readers: opened when they are needed, by the thread that needs them, and kept.
//!
//! Not r2d2: its helper threads wait in `parking_lot`, whose process-wide table of waiting threads still
//! names them in a forked child, where their stacks are re-used. 4 of 10 children of a process that had
//! read hung at their first read, in `parking_lot`'s `rehash_bucket_into`. Here are no threads, and the
//! standard library's locks are one word each. It also opens in the calling thread, so that an error of
//! opening is that call's own.

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::reader::Reader;
use super::settings::Settings;
use super::sync::{lock, wait_for};
use crate::error::{Error, Result};
use crate::model::ReaderStats;
use crate::pending::{Cancel, GiveUp};

type Connect = Box<dyn Fn() -> Result<Reader> + Send + Sync>;

/// A pool of readers.
pub(super) struct Pool {
    connect: Connect,
    keep: u32,
    most: u32,
    recycle: Option<Duration>,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    /// Last in, first out: the reader that ran last has the warmest cache.
    idle: Vec<(Reader, Instant)>,
    /// Readers that are idle, lent or being opened.
    open: u32,
    waits: u64,
    timeouts: u64,
    waited: Duration,
}

/// A reader that goes back to its pool on drop.
pub(super) struct Lent<'a> {
    pool: &'a Pool,
    reader: Option<Reader>,
    born: Instant,
}

impl Pool {
    pub(super) fn new(settings: &Settings, connect: Connect) -> Self {
        Self {
            connect,
            keep: settings.pool_size,
            most: settings.pool_size + settings.max_overflow,
            recycle: settings.pool_recycle,
            state: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    /// Lends a reader; `None` if all are lent for all of `time`. A caller that comes again waits once.
    pub(super) fn lend(&self, time: Duration, again: bool) -> Result<Option<Lent<'_>>> {
        let deadline = Instant::now() + time;
        let mut counted = again;
        let mut state = lock(&self.state);
        loop {
            if let Some((reader, born)) = state.idle.pop() {
                if self.recycle.is_some_and(|age| born.elapsed() >= age) {
                    state.open -= 1;
                    drop(state);
                    drop(reader);
                    state = lock(&self.state);
                    continue;
                }
                return Ok(Some(Lent {
                    pool: self,
                    reader: Some(reader),
                    born,
                }));
            }
            if state.open < self.most {
                state.open += 1;
                drop(state);
                // Takes the place that was counted; gives it back if opening fails.
                let mut lent = Lent {
                    pool: self,
                    reader: None,
                    born: Instant::now(),
                };
                lent.reader = Some((self.connect)()?);
                return Ok(Some(lent));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            state.waits += u64::from(!counted);
            counted = true;
            let since = Instant::now();
            state = wait_for(&self.returned, state, left);
            state.waited += since.elapsed();
        }
    }

    /// Closes the idle readers.
    pub(super) fn clear(&self) {
        let mut state = lock(&self.state);
        let idle = std::mem::take(&mut state.idle);
        state.open -= u32::try_from(idle.len()).unwrap_or(state.open);
        drop(state);
        drop(idle);
    }

    /// Counts a caller that gave up.
    pub(super) fn timed_out(&self) {
        lock(&self.state).timeouts += 1;
    }

    pub(super) fn stats(&self) -> ReaderStats {
        let state = lock(&self.state);
        ReaderStats {
            open: state.open,
            idle: u32::try_from(state.idle.len()).unwrap_or(u32::MAX),
            size: self.most,
            waits: state.waits,
            timeouts: state.timeouts,
            waited_microseconds: u64::try_from(state.waited.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl Lent<'_> {
    /// As [`Reader::run`].
    pub(super) fn run<T>(
        &self,
        give_up: GiveUp,
        cancel: &Cancel,
        job: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        let reader = self.reader.as_ref();
        reader
            .ok_or_else(|| Error::Panicked("a reader was used before it was open".to_owned()))?
            .run(give_up, cancel, job)
    }
}

impl Drop for Lent<'_> {
    /// A reader with a transaction left open, or above `pool_size`, is closed.
    fn drop(&mut self) {
        let mut state = lock(&self.pool.state);
        let reader = self.reader.take().filter(Reader::is_clean);
        let unwanted = match reader {
            Some(reader) if state.open <= self.pool.keep => {
                state.idle.push((reader, self.born));
                None
            }
            unwanted => {
                state.open -= 1;
                unwanted
            }
        };
        drop(state);
        drop(unwanted);
        self.pool.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::pending::patient;

    const SOON: Duration = Duration::from_millis(20);

    fn pool(settings: Settings) -> (Arc<Pool>, Arc<AtomicU32>) {
        let opened = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&opened);
        let connect: Connect = Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            Reader::new(Connection::open_in_memory()?, SOON)
        });
        (Arc::new(Pool::new(&settings, connect)), opened)
    }

    fn sized(pool_size: u32, max_overflow: u32) -> Settings {
        Settings {
            pool_size,
            max_overflow,
            ..Settings::default()
        }
    }

    #[test]
    fn a_reader_is_opened_when_needed_and_used_again() {
        let (pool, opened) = pool(sized(4, 0));
        for _ in 0..3 {
            drop(pool.lend(SOON, false).unwrap().unwrap());
        }
        assert_eq!(opened.load(Ordering::Relaxed), 1);
        assert_eq!((pool.stats().open, pool.stats().idle), (1, 1));
    }

    #[test]
    fn an_exhausted_pool_lends_what_comes_back() {
        let (pool, _) = pool(sized(1, 0));
        let first = pool.lend(SOON, false).unwrap().unwrap();
        assert!(pool.lend(SOON, false).unwrap().is_none());
        assert!(pool.lend(SOON, true).unwrap().is_none());
        assert_eq!(pool.stats().waits, 1);
        assert!(pool.stats().waited_microseconds >= 40_000);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.lend(Duration::from_secs(10), false).unwrap().is_some());
            drop(first);
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn what_overflows_is_closed_on_return() {
        let (pool, _) = pool(sized(1, 2));
        let lent: Vec<_> = (0..3).map(|_| pool.lend(SOON, false).unwrap().unwrap()).collect();
        assert_eq!(pool.stats().open, 3);
        drop(lent);
        assert_eq!((pool.stats().open, pool.stats().idle), (1, 1));
    }

    #[test]
    fn a_reader_with_an_open_transaction_does_not_come_back() {
        let (pool, opened) = pool(sized(1, 0));
        let lent = pool.lend(SOON, false).unwrap().unwrap();
        let leave_open = |connection: &Connection| Ok(connection.execute_batch("BEGIN")?);
        lent.run(patient, &Cancel::default(), leave_open).unwrap();
        drop(lent);
        assert_eq!(pool.stats().open, 0);
        drop(pool.lend(SOON, false).unwrap().unwrap());
        assert_eq!(opened.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_failure_to_open_is_the_callers_and_frees_the_place() {
        let failing: Connect = Box::new(|| Err(Error::Invalid("no".to_owned())));
        let pool = Pool::new(&sized(1, 0), failing);
        for _ in 0..2 {
            assert!(matches!(pool.lend(SOON, false), Err(Error::Invalid(_))));
        }
        assert_eq!(pool.stats().open, 0);
    }

    #[test]
    fn an_old_reader_is_replaced() {
        let settings = Settings {
            pool_recycle: Some(Duration::ZERO),
            ..sized(1, 0)
        };
        let (pool, opened) = pool(settings);
        for _ in 0..2 {
            drop(pool.lend(SOON, false).unwrap().unwrap());
        }
        assert_eq!(opened.load(Ordering::Relaxed), 2);
    }
}
