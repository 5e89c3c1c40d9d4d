//! The thread that runs a saver's retention policy now and then. It never touches Python: what only a serializer
//! can read it leaves alone, and counts.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::gate;
use super::retention::Retention;
use super::sync::{lock, wait_for};
use crate::error::Error;
use crate::model::ThreadRange;
use crate::notice;
use crate::retention::{Policy, Reason, RetentionStats, Run};
use crate::shape::ShapeBook;

/// The first run comes soon after the store is opened, and not at once in every process that starts.
const FIRST: Duration = Duration::from_mins(1);

/// A step that was short is followed by a rest of this at least.
const REST: Duration = Duration::from_millis(1);

/// How long one wait for the end of a step lasts.
const LOOK: Duration = Duration::from_millis(100);

/// A saver's policy, and who runs it.
pub(super) struct Household {
    policy: Option<Arc<Policy>>,
    janitor: Mutex<Option<Arc<Janitor>>>,
    /// Threads may have a time to live.
    mortal: AtomicBool,
}

impl Household {
    pub(super) fn new(policy: Option<Policy>) -> Self {
        Self {
            mortal: AtomicBool::new(policy.is_some()),
            policy: policy.map(Arc::new),
            janitor: Mutex::default(),
        }
    }

    pub(super) fn policy(&self) -> Option<Arc<Policy>> {
        self.policy.clone()
    }

    /// The time to live of threads that have none of their own; outer: whether any may have one.
    #[expect(
        clippy::option_option,
        reason = "outer: threads are immortal; inner: those without a time of their own"
    )]
    pub(super) fn time_to_live(&self) -> Option<Option<i64>> {
        let mortal = self.mortal.load(Ordering::Relaxed);
        mortal.then(|| self.policy.as_ref().and_then(|policy| policy.default_ttl))
    }

    /// From now on threads are looked at for their time to live.
    pub(super) fn set_mortal(&self) {
        self.mortal.store(true, Ordering::Relaxed);
    }

    /// What the runs did.
    pub(super) fn stats(&self) -> RetentionStats {
        let _pass = gate::enter();
        let janitor = lock(&self.janitor);
        janitor
            .as_ref()
            .map(|janitor| janitor.stats())
            .unwrap_or_default()
    }

    /// Has the policy run in this process. The caller is inside the gate.
    pub(super) fn staff(&self, engine: &Weak<Engine>) {
        let Some(policy) = &self.policy else { return };
        let Some(interval) = policy.interval else { return };
        let mut janitor = lock(&self.janitor);
        match janitor.take() {
            Some(ours) if ours.is_ours() => *janitor = Some(ours),
            inherited => {
                // Its locks may be held by threads that this process does not have.
                std::mem::forget(inherited);
                *janitor = Some(Janitor::start(Weak::clone(engine), Arc::clone(policy), interval));
            }
        }
    }

    /// Ends the runs in this process. Waits for a step that is under way.
    pub(super) fn dismiss(&self) {
        let janitor = {
            let _pass = gate::enter();
            lock(&self.janitor).take()
        };
        match janitor {
            Some(ours) if ours.is_ours() => ours.close(),
            inherited => std::mem::forget(inherited),
        }
    }
}

/// The runs of one saver.
struct Janitor {
    state: Mutex<State>,
    bell: Condvar,
    /// The process and the fork generation that it works in.
    process: u32,
    generation: u64,
}

#[derive(Default)]
struct State {
    closed: bool,
    thread: Option<ThreadId>,
    stats: RetentionStats,
}

impl Janitor {
    /// Starts the thread. Without one, the next opening tries again.
    fn start(engine: Weak<Engine>, policy: Arc<Policy>, interval: Duration) -> Arc<Self> {
        let janitor = Arc::new(Self {
            state: Mutex::default(),
            bell: Condvar::new(),
            process: std::process::id(),
            generation: gate::generation(),
        });
        let served = Arc::clone(&janitor);
        let spawned = std::thread::Builder::new()
            .name("lgcheckpoint-ttl".to_owned())
            .spawn(move || served.serve(&engine, &policy, interval));
        if let Ok(thread) = spawned {
            let mut state = lock(&janitor.state);
            if !state.closed {
                state.thread = Some(thread.thread().id());
            }
        }
        janitor
    }

    fn is_ours(&self) -> bool {
        self.process == std::process::id() && self.generation == gate::generation()
    }

    fn stats(&self) -> RetentionStats {
        lock(&self.state).stats
    }

    /// Sends the thread home, and waits until its step is over.
    fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        self.bell.notify_all();
        while state
            .thread
            .is_some_and(|thread| thread != std::thread::current().id())
        {
            state = wait_for(&self.bell, state, LOOK);
        }
    }

    fn serve(&self, engine: &Weak<Engine>, policy: &Arc<Policy>, interval: Duration) {
        let mut pause = FIRST.min(interval).mul_f64(random());
        while self.rests(pause) {
            let Some(engine) = engine.upgrade() else { break };
            let run = std::panic::AssertUnwindSafe(|| self.run(&engine, policy));
            if std::panic::catch_unwind(run).is_err() {
                lock(&self.state).stats.failed += 1;
            }
            pause = interval.mul_f64(0.9 + random() / 5.0);
        }
        let mut state = lock(&self.state);
        state.closed = true;
        state.thread = None;
        self.bell.notify_all();
    }

    fn run(&self, engine: &Arc<Engine>, policy: &Arc<Policy>) {
        let shapes = Arc::new(ShapeBook::default());
        let mut run = Retention::new(engine, Arc::clone(policy), false, shapes, ThreadRange::default());
        loop {
            let began = Instant::now();
            let step = run.step();
            let mut state = lock(&self.state);
            for outcome in run.take_outcomes() {
                state.stats.threads += u64::from(outcome.reason != Reason::History);
                state.stats.weight.checkpoints += outcome.weight.checkpoints;
                state.stats.weight.writes += outcome.weight.writes;
                state.stats.weight.bytes += outcome.weight.bytes;
            }
            match step {
                Ok(true) => {
                    state.stats.runs += 1;
                    return;
                }
                Ok(false) => {}
                Err(Error::NeedShapes(_)) => {
                    state.stats.skipped += 1;
                    run.skip();
                }
                Err(error) => {
                    state.stats.failed += 1;
                    drop(state);
                    if run.check_open().is_ok() && !error.is_busy() {
                        notice::leave(format!("retention: {error}"));
                    }
                    return;
                }
            }
            drop(state);
            // Others get as much of the time.
            if !self.rests(began.elapsed().max(REST)) {
                return;
            }
        }
    }

    /// Waits; false if it is closed.
    fn rests(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = lock(&self.state);
        while !state.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            state = wait_for(&self.bell, state, left);
        }
        false
    }
}

/// A number from 0 to 1.
fn random() -> f64 {
    let bits = std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish();
    f64::from((bits >> 32) as u32) / f64::from(u32::MAX)
}
