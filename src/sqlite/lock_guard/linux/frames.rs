//! The frames of one COMMIT, gathered into one write.
//!
//! `SQLite` writes a frame of the write-ahead log as 24 bytes and a page, two system calls for each page of a
//! commit. Between `begin` and `end`, which stand around one COMMIT on one thread, such writes are kept as
//! long as each continues the one before, and go out together with the frame that ends the commit.
//!
//! Invariants:
//! 1. When the write of a commit's last frame has returned without an error, nothing is held: `SQLite` shows the
//!    frames to readers, and syncs them, only then. From there to `end` nothing is held again: the padding of
//!    a commit and headers that are written a second time may be followed by a sync, which is no call of ours.
//! 2. Whatever else this thread asks of a file first writes out what is held, so the file is what it would be
//!    without gathering. This is also how an unlock never leaves a frame behind, to be written over another's.
//! 3. If writing out fails, so do the call that had to do it and every later write to that log until `end`, which
//!    tells it as well: a commit that lost a frame cannot succeed.
//! 4. The child of a fork drops what its parent held.

use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;

use super::fork;
use super::sys::Errno;

#[cfg(test)]
mod tests;

/// A frame's own bytes before its page.
const HEADER: usize = 24;

/// This much is written out before the commit ends, so that each thread that commits keeps a small buffer only. A put
/// of 60 KB takes 73 µs so, 71 with 1 MiB, 82 with 32 KiB.
const FULL: usize = 128 * 1024;

/// `pwrite`: how much of the bytes was written at the offset.
pub(super) type Out<'a> = &'a mut dyn FnMut(RawFd, &[u8], i64) -> Result<usize, Errno>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is kept.
    Closed,
    /// The next frame of a log begins a run.
    Open,
    /// Frames are kept; the next part belongs at `next`.
    Running(Part),
    /// What was kept could not be written.
    Broken(Errno),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Header,
    Page { commits: bool },
}

/// What one thread has gathered.
#[derive(Debug)]
pub(super) struct Run {
    state: State,
    generation: u64,
    descriptor: RawFd,
    next: i64,
    /// Belongs right before `next`.
    held: Vec<u8>,
}

fn after(offset: i64, length: usize) -> i64 {
    offset.saturating_add(i64::try_from(length).unwrap_or(i64::MAX))
}

/// Whether this is the header of the last frame of a commit: it tells the size of the database.
fn commits(header: &[u8]) -> bool {
    header.get(4..8).is_some_and(|size| size != [0; 4])
}

impl Run {
    const fn new() -> Self {
        Self {
            state: State::Closed,
            generation: 0,
            descriptor: -1,
            next: 0,
            held: Vec::new(),
        }
    }

    fn open(&mut self, generation: u64) {
        self.held.clear();
        self.state = State::Open;
        self.generation = generation;
    }

    /// Invariant 4.
    fn inherit(&mut self, generation: u64) {
        if self.generation != generation {
            self.held.clear();
            self.state = State::Broken(libc::EIO);
        }
    }

    /// One `pwrite` of this thread, kept or passed to `out`; `is_log` says whether the descriptor is a log's.
    fn write(
        &mut self,
        (descriptor, bytes, offset): (RawFd, &[u8], i64),
        is_log: impl FnOnce(RawFd) -> bool,
        out: Out<'_>,
    ) -> Result<usize, Errno> {
        let state = self.state;
        match state {
            State::Running(part)
                if descriptor == self.descriptor && offset == self.next && self.keep(part, bytes) =>
            {
                let written = match self.state {
                    State::Running(_) if self.held.len() < FULL => Ok(()),
                    _ => self.write_out(out),
                };
                return written.map(|()| bytes.len());
            }
            State::Broken(errno) if descriptor == self.descriptor => return Err(errno),
            State::Open if bytes.len() == HEADER && is_log(descriptor) => {
                (self.descriptor, self.next) = (descriptor, offset);
                if self.keep(Part::Header, bytes) {
                    return Ok(HEADER);
                }
                self.state = State::Closed;
            }
            _ => {}
        }
        self.settle(out)?;
        out(descriptor, bytes, offset)
    }

    /// Keeps a part that is the run's next; false if it is not, or if there is no memory for it.
    fn keep(&mut self, part: Part, bytes: &[u8]) -> bool {
        let state = match part {
            Part::Header if bytes.len() == HEADER => State::Running(Part::Page {
                commits: commits(bytes),
            }),
            // The least page there is has 512 bytes.
            Part::Page { commits: true } if bytes.len() > HEADER => State::Closed,
            Part::Page { commits: false } if bytes.len() > HEADER => State::Running(Part::Header),
            _ => return false,
        };
        if self.held.try_reserve(bytes.len()).is_err() {
            return false;
        }
        self.held.extend_from_slice(bytes);
        self.next = after(self.next, bytes.len());
        self.state = state;
        true
    }

    /// Writes out what is held and gathers no more.
    fn settle(&mut self, out: Out<'_>) -> Result<(), Errno> {
        if !matches!(self.state, State::Running(_)) {
            return Ok(());
        }
        self.state = State::Closed;
        self.write_out(out)
    }

    fn write_out(&mut self, out: Out<'_>) -> Result<(), Errno> {
        let mut rest = self.held.as_slice();
        let mut result = Ok(());
        while !rest.is_empty() {
            let offset = self
                .next
                .saturating_sub(i64::try_from(rest.len()).unwrap_or(i64::MAX));
            match out(self.descriptor, rest, offset) {
                // As `SQLite` takes it.
                Ok(0) => result = Err(libc::ENOSPC),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(libc::EINTR) => {}
                Err(errno) => result = Err(errno),
            }
            if let Err(errno) = result {
                self.state = State::Broken(errno);
                break;
            }
        }
        self.held.clear();
        result
    }

    fn close(&mut self, out: Out<'_>) -> Result<(), Errno> {
        let result = match self.state {
            State::Broken(errno) => Err(errno),
            _ => self.settle(out),
        };
        self.state = State::Closed;
        result
    }
}

thread_local! {
    /// Whether this thread is between `begin` and `end`. All that other threads' calls look at.
    static GATHERS: Cell<bool> = const { Cell::new(false) };
    static RUN: RefCell<Run> = const { RefCell::new(Run::new()) };
}

/// Calls with what this thread gathers; `None` if it does not, as nearly always.
#[inline]
fn gathering<T>(call: impl FnOnce(&mut Run) -> T) -> Option<T> {
    if !GATHERS.get() {
        return None;
    }
    RUN.try_with(|run| {
        run.try_borrow_mut().ok().map(|mut run| {
            run.inherit(fork::generation());
            call(&mut run)
        })
    })
    .ok()
    .flatten()
}

/// From here to `end` this thread gathers.
pub(super) fn begin() {
    // False at a thread's very end, when it has no place for a run any more.
    let opened = RUN.try_with(|run| {
        run.try_borrow_mut()
            .map(|mut run| run.open(fork::generation()))
            .is_ok()
    });
    GATHERS.set(opened.unwrap_or(false));
}

/// The error that kept frames from being written, if `SQLite` has not been told or could do without them.
pub(super) fn end(out: Out<'_>) -> Result<(), Errno> {
    let result = gathering(|run| run.close(out)).unwrap_or(Ok(()));
    GATHERS.set(false);
    result
}

/// Whether this thread is between `begin` and `end`.
#[inline]
pub(super) fn gathers() -> bool {
    GATHERS.get()
}

/// `pwrite`.
pub(super) fn write(
    (descriptor, bytes, offset): (RawFd, &[u8], i64),
    is_log: impl FnOnce(RawFd) -> bool,
    out: Out<'_>,
) -> Result<usize, Errno> {
    match gathering(|run| run.write((descriptor, bytes, offset), is_log, &mut *out)) {
        Some(result) => result,
        None => out(descriptor, bytes, offset),
    }
}

/// Comes before any other call that can look at a file, change it or let others do so.
#[inline]
pub(super) fn settle(out: Out<'_>) -> Result<(), Errno> {
    gathering(|run| run.settle(out)).unwrap_or(Ok(()))
}
