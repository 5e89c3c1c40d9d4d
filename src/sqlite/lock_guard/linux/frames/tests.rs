//! The run beside a model: the same calls, each carried out at once.

use std::collections::HashMap;

use super::{FULL, Part, Run, State};
use crate::sqlite::lock_guard::linux::sys::Errno;
use std::os::fd::RawFd;

const LOG: RawFd = 7;
const OTHER_LOG: RawFd = 8;
const DATABASE: RawFd = 9;
const GENERATION: u64 = 0;

/// What an underlying write does in place of writing all.
#[derive(Debug, Clone, Copy)]
enum Failure {
    Short(usize),
    Interrupted,
    NothingWritten,
    Refused(Errno),
}

/// Files by descriptor, as the kernel has them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Files(HashMap<RawFd, Vec<u8>>);

impl Files {
    fn write(&mut self, descriptor: RawFd, bytes: &[u8], offset: i64) {
        let file = self.0.entry(descriptor).or_default();
        let start = usize::try_from(offset).unwrap();
        let end = start + bytes.len();
        file.resize(file.len().max(end), 0);
        file[start..end].copy_from_slice(bytes);
    }
}

/// The kernel, and the calls of it that fail, by number.
#[derive(Debug, Default)]
struct Kernel {
    files: Files,
    calls: usize,
    /// Descriptor, offset and length of the latest.
    last: (RawFd, i64, usize),
    failures: HashMap<usize, Failure>,
}

impl Kernel {
    fn pwrite(&mut self, descriptor: RawFd, bytes: &[u8], offset: i64) -> Result<usize, Errno> {
        let call = self.calls;
        self.calls += 1;
        self.last = (descriptor, offset, bytes.len());
        let count = match self.failures.get(&call) {
            None => bytes.len(),
            Some(Failure::Short(count)) => (*count).min(bytes.len()),
            Some(Failure::Interrupted) => return Err(libc::EINTR),
            Some(Failure::NothingWritten) => return Ok(0),
            Some(Failure::Refused(errno)) => return Err(*errno),
        };
        self.files.write(descriptor, &bytes[..count], offset);
        Ok(count)
    }
}

#[derive(Debug, Clone)]
enum Call {
    Write(RawFd, Vec<u8>, i64),
    /// A read, a truncation, a lock.
    Other,
    Begin,
    End,
}

/// The run, the kernel under it, and the files as they would be without it.
struct World {
    run: Run,
    kernel: Kernel,
    model: Files,
}

impl World {
    fn new() -> Self {
        Self {
            run: Run::new(),
            kernel: Kernel::default(),
            model: Files::default(),
        }
    }

    fn call(&mut self, call: &Call) -> Result<(), Errno> {
        let Self { run, kernel, model } = self;
        let mut out = |descriptor, bytes: &[u8], offset| kernel.pwrite(descriptor, bytes, offset);
        match call {
            Call::Write(descriptor, bytes, offset) => {
                let is_log = |number| number != DATABASE;
                let written = run.write((*descriptor, bytes, *offset), is_log, &mut out)?;
                // As `SQLite` does: it writes the rest in a call of its own.
                model.write(*descriptor, &bytes[..written], *offset);
                if written < bytes.len() {
                    let next = super::after(*offset, written);
                    return self.call(&Call::Write(*descriptor, bytes[written..].to_vec(), next));
                }
                Ok(())
            }
            Call::Other => run.settle(&mut out),
            Call::Begin => {
                run.open(GENERATION);
                Ok(())
            }
            Call::End => run.close(&mut out),
        }
    }

    /// The kernel's files, and over them what is held.
    fn seen(&self) -> Files {
        let mut files = self.kernel.files.clone();
        let start = self.run.next - i64::try_from(self.run.held.len()).unwrap();
        if !self.run.held.is_empty() {
            files.write(self.run.descriptor, &self.run.held, start);
        }
        files
    }
}

/// Xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit).unwrap()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mark = u8::try_from(1 + self.below(255)).unwrap();
        vec![mark; count]
    }

    fn header(&mut self, commits: bool) -> Vec<u8> {
        let mut header = self.bytes(24);
        header[4..8].copy_from_slice(&u32::from(commits).to_be_bytes());
        header
    }
}

fn frame(random: &mut Random, descriptor: RawFd, offset: i64, page: usize, commits: bool) -> [Call; 2] {
    [
        Call::Write(descriptor, random.header(commits), offset),
        Call::Write(descriptor, random.bytes(page), offset + 24),
    ]
}

/// One COMMIT: what came before in its transaction, frames with something in between now and then, a last
/// frame, headers that are written again, padding.
fn commit(random: &mut Random) -> Vec<Call> {
    let page = [512, 4_096, 65_536][random.below(3)];
    let size = i64::try_from(page + 24).unwrap();
    let mut offset = 32 + size * i64::try_from(random.below(4)).unwrap();
    let first = offset;
    let mut calls = vec![Call::Begin];
    for _ in 0..random.below(6) {
        calls.extend(frame(random, LOG, offset, page, false));
        offset += size;
        match random.below(12) {
            0 => calls.push(Call::Other),
            1 => calls.push(Call::Write(LOG, random.header(false), offset)),
            2 => calls.push(Call::Write(LOG, random.bytes(page), first + 24)),
            3 => calls.push(Call::Write(LOG, random.bytes(32), 0)),
            4 => calls.push(Call::Write(DATABASE, random.header(true), offset)),
            5 => calls.extend(frame(random, OTHER_LOG, 32, page, true)),
            // A savepoint is rolled back: the next frames go where these went.
            6 => offset = first,
            7 => calls.push(Call::Write(LOG, random.bytes(page / 2), offset)),
            _ => {}
        }
    }
    if random.below(8) > 0 {
        calls.extend(frame(random, LOG, offset, page, true));
        for _ in 0..random.below(3) {
            calls.push(Call::Other);
            calls.push(Call::Write(LOG, random.header(true), first));
        }
        for _ in 0..random.below(3) {
            calls.extend(frame(random, LOG, offset + size, page, true));
        }
    }
    calls.push(Call::End);
    calls
}

/// Whether a commit's last frame is whole with this call, so that readers may be shown it.
fn ends_a_commit(calls: &[Call], place: usize) -> bool {
    match (place.checked_sub(1).map(|before| &calls[before]), &calls[place]) {
        (Some(Call::Write(log, header, start)), Call::Write(descriptor, page, offset)) => {
            log == descriptor
                && header.len() == 24
                && *offset == start + 24
                && header[4..8] != [0; 4]
                && page.len() >= 512
        }
        _ => false,
    }
}

#[test]
fn files_are_as_without_gathering() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let (mut gathered, mut plain) = (0, 0);
    for _ in 0..600 {
        let mut world = World::new();
        for _ in 0..2 {
            let calls = commit(&mut random);
            for (place, call) in calls.iter().enumerate() {
                world.call(call).unwrap();
                assert!(world.seen() == world.model);
                plain += usize::from(matches!(call, Call::Write(..)));
                if ends_a_commit(&calls, place) || matches!(call, Call::Other | Call::End) {
                    assert!(world.kernel.files == world.model, "something is held");
                }
            }
        }
        gathered += world.kernel.calls;
    }
    assert!(gathered < plain, "{gathered} calls in place of {plain}");
}

#[test]
fn nothing_is_held_after_a_commit_frame() {
    let mut random = Random(3);
    let mut world = World::new();
    world.call(&Call::Begin).unwrap();
    for (number, offset) in [32, 32 + 4_120, 32 + 8_240].into_iter().enumerate() {
        for call in frame(&mut random, LOG, offset, 4_096, number > 0) {
            world.call(&call).unwrap();
        }
        // The third is padding: a sync may come between its header and its page.
        assert_eq!(world.run.held.is_empty(), number > 0);
    }
    assert_eq!(world.kernel.calls, 1 + 2);
}

#[test]
fn a_long_run_goes_out_in_parts() {
    let mut random = Random(5);
    let mut world = World::new();
    world.call(&Call::Begin).unwrap();
    let frames = 1_000;
    for number in 0..frames {
        let calls = frame(&mut random, LOG, 32 + number * 4_120, 4_096, number == frames - 1);
        for call in calls {
            world.call(&call).unwrap();
            assert!(world.run.held.len() < FULL);
        }
    }
    assert!(world.kernel.files == world.model);
    assert!(world.run.held.capacity() <= 4 * FULL);
    assert!(world.kernel.calls <= 1 + 1_000 * 4_120 / FULL);
}

#[test]
fn short_and_interrupted_writes_are_gone_on_with() {
    let mut random = Random(7);
    for seed in 0..400 {
        let mut world = World::new();
        for call in 0..40 {
            let failure = [Failure::Short(1 + random.below(5_000)), Failure::Interrupted][random.below(2)];
            if random.below(2) == 0 {
                world.kernel.failures.insert(call, failure);
            }
        }
        for call in commit(&mut random) {
            // `SQLite` repeats a call of its own that is interrupted.
            while let Err(errno) = world.call(&call) {
                assert_eq!(errno, libc::EINTR, "{seed}");
            }
            assert!(world.seen() == world.model);
        }
        assert!(world.kernel.files == world.model);
    }
}

/// At each underlying write in turn: from the failure on no write to that log succeeds before the end, which
/// tells of it, nothing that was held comes out later, and what did come out is a beginning of it.
#[test]
fn a_failed_write_fails_the_commit() {
    let mut random = Random(11);
    for _ in 0..100 {
        let calls = commit(&mut random);
        let mut whole = World::new();
        for call in &calls {
            whole.call(call).unwrap();
        }
        for failing in 0..whole.kernel.calls {
            for failure in [Failure::Refused(libc::EIO), Failure::NothingWritten] {
                fails_at(&calls, failing, 0, failure);
                // The disk is full in the middle of it.
                fails_at(&calls, failing, 1_000, failure);
            }
        }
    }
}

fn fails_at(calls: &[Call], failing: usize, part: usize, failure: Failure) {
    let mut world = World::new();
    let mut failing = failing;
    if part > 0 {
        world.kernel.failures.insert(failing, Failure::Short(part));
        failing += 1;
    }
    world.kernel.failures.insert(failing, failure);
    let mut broken: Option<Files> = None;
    for call in calls {
        let (first, mut files) = (world.kernel.calls, world.kernel.files.clone());
        let mut run = (world.run.descriptor, world.run.held.clone(), world.run.next);
        if let Call::Write(_, bytes, _) = call
            && matches!(world.run.state, State::Running(Part::Page { commits: true }))
        {
            run.1.extend_from_slice(bytes);
            run.2 += i64::try_from(bytes.len()).unwrap();
        }
        let result = world.call(call);
        if let Some(files) = &broken {
            match call {
                Call::Write(descriptor, ..) if *descriptor == LOG => assert!(result.is_err()),
                Call::End => assert!(result.is_err(), "the end must tell"),
                _ => {}
            }
            assert_eq!(
                world.kernel.files.0.get(&LOG),
                files.0.get(&LOG),
                "came out later"
            );
        } else if world.kernel.calls > failing {
            let (descriptor, held, next) = run;
            if held.is_empty() || descriptor != LOG || held.len() <= part {
                // A write that was passed on: `SQLite` is told, and it is its own affair.
                return;
            }
            let start = next - i64::try_from(held.len()).unwrap();
            let rest = (LOG, start + i64::try_from(part).unwrap(), held.len() - part);
            if world.kernel.last != rest || failing != first + usize::from(part > 0) {
                // The same, after what was held went out.
                return;
            }
            assert!(result.is_err(), "the call that had to write must fail");
            assert!(world.run.held.is_empty());
            if part > 0 {
                files.write(LOG, &held[..part], start);
            }
            assert!(
                world.kernel.files == files,
                "{failing} {part} {failure:?}: what came out is no beginning of what was held"
            );
            if !matches!(call, Call::End) {
                assert!(matches!(world.run.state, State::Broken(_)));
                broken = Some(files);
            }
        }
    }
}

#[test]
fn a_child_drops_what_its_parent_held() {
    let mut random = Random(13);
    let mut world = World::new();
    world.call(&Call::Begin).unwrap();
    for call in frame(&mut random, LOG, 32, 4_096, false) {
        world.call(&call).unwrap();
    }
    assert_eq!(world.run.state, State::Running(Part::Header));
    world.run.inherit(GENERATION + 1);
    assert!(
        world
            .call(&frame(&mut random, LOG, 4_152, 4_096, true)[0])
            .is_err()
    );
    assert!(world.call(&Call::End).is_err());
    assert_eq!(world.kernel.calls, 0);
}
