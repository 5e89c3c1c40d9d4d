//! The life of a saver's store: opened on first use, closed once, opened afresh in a forked child.
//!
//! `state` is held while one try to open is made, so that the store opens once; never while a verb runs
//! or a thread waits for another process's lock. Callers of `then` may be attached to the interpreter:
//! they wait for nothing, neither for the fork gate nor for `state`.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use rusqlite::Connection;

use super::chunks::Chunks;
use super::deletions;
use super::gate;
use super::janitor::Household;
use super::job::{Baton, Job, Order, TypedJob};
use super::manager::Location;
use super::schema::{self, Schema};
use super::settings::Settings;
use super::shared::{Shared, TRY_AGAIN};
use super::statements::{self as sql, WriteStatements};
use super::sync::{lock, try_lock};
use super::transaction::{Transaction, WriteTransaction};
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::model::{Format, Opened};
use crate::pending::{Cancel, Done, GiveUp, Pending, Work, patient};
use crate::retention::Policy;

/// One database: where it is, how it is set, and its connections while it is open.
pub(super) struct Engine {
    location: Location,
    settings: Arc<Settings>,
    state: Mutex<State>,
    opening: Mutex<Opening>,
    pub(super) household: Household,
    me: Weak<Self>,
}

#[derive(Debug)]
enum State {
    Unopened,
    /// Not open: the last try found the file locked. However many wait for it, one at a time tries.
    Locked(Instant, Error),
    Open(Arc<Shared>),
    /// This process restores it.
    Restoring(u32),
    Closed,
}

impl State {
    fn open(&self) -> Option<Arc<Shared>> {
        match self {
            Self::Open(shared) if shared.is_ours() => Some(Arc::clone(shared)),
            _ => None,
        }
    }
}

/// The calls that nobody waits for and that came before the store was open, in their order.
#[derive(Default)]
struct Opening {
    waiting: VecDeque<Waiter>,
    /// The process whose thread opens the store for them.
    process: Option<u32>,
}

type Waiter = Box<dyn FnOnce(Result<Arc<Shared>>) + Send>;

/// A connection inside a read transaction, with the statements that fit the file.
pub(super) struct ReadTransaction<'a> {
    pub(super) connection: &'a Connection,
    pub(super) statements: &'static WriteStatements,
    pub(super) chunks: Chunks<'a>,
    /// The threads that are being deleted.
    pub(super) hidden: Vec<String>,
}

impl ReadTransaction<'_> {
    /// Whether a thread is being deleted: then nothing of it is there.
    pub(super) fn hides(&self, thread_id: &str) -> bool {
        self.hidden.iter().any(|hidden| hidden == thread_id)
    }
}

impl Engine {
    pub(super) fn new(location: Location, settings: Settings, policy: Option<Policy>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            location,
            settings: Arc::new(settings),
            state: Mutex::new(State::Unopened),
            opening: Mutex::default(),
            household: Household::new(policy),
            me: Weak::clone(me),
        })
    }

    /// Opens the database.
    pub(super) fn open(self: &Arc<Self>) -> Pending<Opened> {
        Pending::new(OpenWork(Arc::clone(self)))
    }

    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    pub(super) fn path(&self) -> &Path {
        self.location.path()
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn in_use(&self) -> Error {
        Error::InUse {
            path: self.path().to_path_buf(),
        }
    }

    /// Closes the connections, unless another saver or a call of this process uses them, and lets
    /// nobody open them through this saver until the result is dropped.
    pub(super) fn take_over(&self) -> Result<TakenOver<'_>> {
        self.household.dismiss();
        let taken = self.take_over_from_calls();
        if taken.is_err() {
            let _pass = gate::enter();
            if lock(&self.state).open().is_some() {
                self.household.staff(&self.me);
            }
        }
        taken
    }

    fn take_over_from_calls(&self) -> Result<TakenOver<'_>> {
        let previous = {
            let _pass = gate::enter();
            let mut state = lock(&self.state);
            match &*state {
                State::Closed => {
                    return Err(Error::Closed {
                        path: self.path().to_path_buf(),
                    });
                }
                State::Open(shared) if !shared.is_ours() || !shared.is_last() => return Err(self.in_use()),
                State::Restoring(process) if *process == std::process::id() => return Err(self.in_use()),
                _ => std::mem::replace(&mut *state, State::Restoring(std::process::id())),
            }
        };
        let taken = TakenOver(self);
        drop(previous);
        Ok(taken)
    }

    /// Lets go of the connections; the last saver of the file closes them.
    pub(super) fn close(&self) {
        let state = {
            let _pass = gate::enter();
            std::mem::replace(&mut *lock(&self.state), State::Closed)
        };
        self.household.dismiss();
        if let State::Open(shared) = state
            && !shared.is_ours()
        {
            // To close what the parent still uses would disturb it.
            std::mem::forget(shared);
        }
    }

    /// A `job` in one read transaction: all it reads is of one moment. `absent` makes the answer of
    /// a file without tables.
    pub(super) fn read<T, A, F>(self: &Arc<Self>, absent: A, job: F) -> Pending<T>
    where
        T: Send + 'static,
        A: FnOnce() -> T + Send + 'static,
        F: FnOnce(&ReadTransaction<'_>) -> Result<T> + Send + 'static,
    {
        Pending::new(ReadWork {
            engine: Arc::clone(self),
            absent,
            job,
        })
    }

    /// A `job` in a write transaction: all of it is stored, or nothing. It may run twice, after a
    /// rollback in between. `bytes` is what it holds.
    pub(super) fn write<T, F>(self: &Arc<Self>, bytes: usize, work: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnMut(&WriteTransaction<'_>) -> Result<T> + Send + 'static,
    {
        self.write_prepared(bytes, |_, order, done| {
            Box::new(TypedJob {
                order,
                work,
                value: None,
                done,
            })
        })
    }

    /// As `write`, of a job that is made once the store is open and before the lock is taken.
    pub(super) fn write_prepared<T, P>(self: &Arc<Self>, bytes: usize, prepare: P) -> Pending<T>
    where
        T: Send + 'static,
        P: FnOnce(&Shared, Order, Done<T>) -> Box<dyn Job> + Send + 'static,
    {
        Pending::new(WriteWork {
            engine: Arc::clone(self),
            bytes,
            prepare,
        })
    }

    /// The open connections, if there are any.
    pub(super) fn shared_if_open(&self) -> Option<Arc<Shared>> {
        let _pass = gate::enter();
        lock(&self.state).open()
    }

    /// The same for who may not wait; none also while a fork or a try to open is under way.
    fn shared_at_once(&self) -> Option<Arc<Shared>> {
        let _pass = gate::try_enter()?;
        try_lock(&self.state)?.open()
    }

    /// The connections, opened if they are not open. While another process holds the file locked, this
    /// tries again, for at most `busy_timeout` and until `stop` says true; forks pass in between.
    pub(super) fn shared(&self, stop: impl Fn() -> bool) -> Result<Arc<Shared>> {
        let deadline = Instant::now() + self.settings.busy_timeout;
        loop {
            match self.try_shared() {
                Err(error) if error.is_busy() && Instant::now() < deadline => {}
                result => return result,
            }
            if stop() {
                return Err(Error::Interrupted);
            }
            std::thread::sleep(TRY_AGAIN);
        }
    }

    fn try_shared(&self) -> Result<Arc<Shared>> {
        let path = self.location.path();
        if gate::is_spoiled() {
            return Err(Error::Forked {
                path: path.to_path_buf(),
            });
        }
        // A thread that holds `state` as the process is forked would hold it in the child forever.
        let _pass = gate::enter();
        let mut state = lock(&self.state);
        match &*state {
            State::Open(shared) if shared.is_ours() => return Ok(Arc::clone(shared)),
            State::Closed => {
                return Err(Error::Closed {
                    path: path.to_path_buf(),
                });
            }
            State::Open(inherited) => {
                gate::check_inherited(path, self.location == Location::Memory, inherited.generation())?;
                if let State::Open(shared) = std::mem::replace(&mut *state, State::Unopened) {
                    std::mem::forget(shared);
                }
            }
            State::Locked(tried, error) if tried.elapsed() < TRY_AGAIN => return Err(error.clone()),
            State::Restoring(process) if *process == std::process::id() => return Err(self.in_use()),
            State::Locked(..) | State::Unopened | State::Restoring(_) => {}
        }
        let opened = Shared::acquire(&self.location, &self.settings);
        if opened.is_ok() && !self.settings.read_only {
            self.household.staff(&self.me);
        }
        *state = match &opened {
            Ok(shared) => State::Open(Arc::clone(shared)),
            Err(error) if error.is_busy() => State::Locked(Instant::now(), error.clone()),
            Err(_) => State::Unopened,
        };
        opened
    }

    /// Calls `waiter` with the open store: here, or, if it must be opened, on a thread of its own. All
    /// that wait for it go on in the order they came in, and none that comes later overtakes them.
    fn when_open(self: &Arc<Self>, waiter: Waiter) {
        let mut opening = lock(&self.opening);
        let process = std::process::id();
        if opening.process.is_some_and(|other| other != process) {
            // Inherited over a fork: those are the parent's to call.
            std::mem::forget(std::mem::take(&mut *opening));
        }
        if opening.process.is_none()
            && let Some(shared) = self.shared_at_once()
        {
            drop(opening);
            waiter(Ok(shared));
            return;
        }
        opening.waiting.push_back(waiter);
        if opening.process.replace(process).is_some() {
            return;
        }
        drop(opening);
        let engine = Arc::clone(self);
        let spawned = std::thread::Builder::new()
            .name("lgcheckpoint-open".to_owned())
            .spawn(move || engine.open_for_all());
        if spawned.is_err() {
            self.open_for_all();
        }
    }

    fn open_for_all(&self) {
        loop {
            {
                let _pass = gate::enter();
                let mut opening = lock(&self.opening);
                if opening.waiting.is_empty() {
                    opening.process = None;
                    return;
                }
            }
            let opened = guarded(|| self.shared(patient));
            let waiting = {
                // A thread that holds a lock as the process is forked would hold it in the child forever.
                let _pass = gate::enter();
                std::mem::take(&mut lock(&self.opening).waiting)
            };
            for waiter in waiting {
                waiter(opened.clone());
            }
        }
    }

    pub(super) fn sorted<T>(&self, since: Instant, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.at(self.location.path(), since.elapsed()))
    }
}

/// A saver whose file is out of its own reach.
pub(super) struct TakenOver<'a>(&'a Engine);

impl Drop for TakenOver<'_> {
    fn drop(&mut self) {
        let _pass = gate::enter();
        let mut state = lock(&self.0.state);
        if matches!(&*state, State::Restoring(_)) {
            *state = State::Unopened;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

struct OpenWork(Arc<Engine>);

impl Work<Opened> for OpenWork {
    fn wait(self: Box<Self>, give_up: GiveUp) -> Result<Opened> {
        let since = Instant::now();
        self.0
            .sorted(since, self.0.shared(give_up).map(|shared| shared.opened))
    }

    fn then(self: Box<Self>, done: Done<Opened>) -> Cancel {
        let since = Instant::now();
        let engine = Arc::clone(&self.0);
        self.0.when_open(Box::new(move |opened| {
            done(engine.sorted(since, opened.map(|shared| shared.opened)));
        }));
        Cancel::default()
    }
}

struct ReadWork<A, F> {
    engine: Arc<Engine>,
    absent: A,
    job: F,
}

impl<T, A, F> ReadWork<A, F>
where
    A: FnOnce() -> T,
    F: FnOnce(&ReadTransaction<'_>) -> Result<T>,
{
    fn run(self, give_up: GiveUp, cancel: &Cancel) -> Result<T> {
        let since = Instant::now();
        let Self { engine, absent, job } = self;
        let opened = engine.shared(|| give_up() || cancel.is_cancelled());
        let result = opened.and_then(|shared| {
            shared.check_replaced(false)?;
            shared.with_reader(give_up, cancel, |connection| {
                let transaction = Transaction::begin_read(connection)?;
                let schema = match shared.schema {
                    Schema::Absent => schema::inspect(connection)?,
                    known => known,
                };
                let statements = match schema {
                    Schema::Absent => return Ok(absent()),
                    Schema::WithoutTaskPath => &sql::WITHOUT_TASK_PATH,
                    Schema::Current => &sql::WITH_TASK_PATH,
                };
                let result = job(&ReadTransaction {
                    connection,
                    statements,
                    chunks: Chunks::remembering(connection, &shared.chunks),
                    hidden: hidden_threads(connection, shared.format())?,
                })?;
                faults::trip(Fault::PanicInRead);
                // What was read is read. In a damaged file even this can fail; the drop then ends it.
                drop(transaction.commit());
                Ok(result)
            })
        });
        engine.sorted(since, result)
    }
}

impl<T, A, F> Work<T> for ReadWork<A, F>
where
    T: Send + 'static,
    A: FnOnce() -> T + Send + 'static,
    F: FnOnce(&ReadTransaction<'_>) -> Result<T> + Send + 'static,
{
    fn wait(self: Box<Self>, give_up: GiveUp) -> Result<T> {
        self.run(give_up, &Cancel::default())
    }

    fn then(self: Box<Self>, done: Done<T>) -> Cancel {
        let cancel = Cancel::default();
        let withdrawn = cancel.clone();
        let shared = self.engine.shared_at_once();
        let run = move || self.run(patient, &withdrawn);
        match shared {
            Some(shared) => shared.workers.run(Box::new(move || done(guarded(run)))),
            None => elsewhere(done, run),
        }
        cancel
    }
}

/// The threads that are being deleted. Where the page that names them is damaged, all else shall be readable.
fn hidden_threads(connection: &Connection, format: Format) -> Result<Vec<String>> {
    match deletions::hidden(connection, format) {
        Err(error) if error.is_damage() => Ok(Vec::new()),
        found => found,
    }
}

struct WriteWork<P> {
    engine: Arc<Engine>,
    bytes: usize,
    prepare: P,
}

impl<P> WriteWork<P> {
    /// Puts the job in the queue of its file's writer.
    fn enqueue<T>(
        self,
        shared: &Arc<Shared>,
        cancel: Cancel,
        baton: Option<Arc<Baton>>,
        done: Done<T>,
    ) -> Result<Instant>
    where
        T: Send + 'static,
        P: FnOnce(&Shared, Order, Done<T>) -> Box<dyn Job>,
    {
        let writer = shared.writer.as_ref().ok_or_else(|| shared.read_only());
        let checked = writer.and_then(|writer| {
            shared
                .check_replaced(true)
                .and_then(|()| shared.check_foreign())
                .map(|()| writer)
        });
        let (writer, since) = match checked {
            Ok(writer) => (writer, Instant::now()),
            Err(error) => {
                done(Err(error.clone()));
                return Err(error);
            }
        };
        let Self {
            engine,
            bytes,
            prepare,
        } = self;
        let deadline = since + engine.settings.busy_timeout;
        let synchronous = engine.settings.synchronous;
        let order = Order {
            synchronous,
            bytes,
            since,
            deadline,
            cancel,
            baton,
            alone: false,
        };
        let done: Done<T> = Box::new(move |result| done(engine.sorted(since, result)));
        writer.enqueue(prepare(shared, order, done));
        Ok(deadline)
    }
}

impl<T, P> Work<T> for WriteWork<P>
where
    T: Send + 'static,
    P: FnOnce(&Shared, Order, Done<T>) -> Box<dyn Job> + Send + 'static,
{
    fn wait(self: Box<Self>, give_up: GiveUp) -> Result<T> {
        let since = Instant::now();
        let engine = Arc::clone(&self.engine);
        let shared = engine.sorted(since, engine.shared(give_up))?;
        let baton = Arc::new(Baton::default());
        let slot = Arc::new(Mutex::new(None));
        let filled = Arc::clone(&slot);
        let done: Done<T> = Box::new(move |result| *lock(&filled) = Some(result));
        let cancel = Cancel::default();
        let deadline = self.enqueue(&shared, cancel.clone(), Some(Arc::clone(&baton)), done)?;
        let writer = shared.writer.as_ref().ok_or_else(|| shared.read_only())?;
        writer.attend(&baton, &cancel, deadline, give_up)?;
        let result = lock(&slot).take();
        result.unwrap_or_else(|| Err(Error::Untold))
    }

    fn then(self: Box<Self>, done: Done<T>) -> Cancel {
        let cancel = Cancel::default();
        let withdrawn = cancel.clone();
        let since = Instant::now();
        let engine = Arc::clone(&self.engine);
        let opener = Arc::clone(&engine);
        let begin = move |opened: Result<Arc<Shared>>| match engine.sorted(since, opened) {
            Ok(shared) => {
                // On failure `done` was told.
                if self.enqueue(&shared, withdrawn, None, done).is_ok()
                    && let Some(writer) = &shared.writer
                {
                    writer.kick();
                }
            }
            Err(error) => done(Err(error)),
        };
        opener.when_open(Box::new(begin));
        cancel
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Engine({})", self.location.path().display())
    }
}

/// Runs a call that may take long on a thread of its own.
pub(super) fn elsewhere<T: Send + 'static>(done: Done<T>, call: impl FnOnce() -> Result<T> + Send + 'static) {
    let both = Arc::new(Mutex::new(Some((done, call))));
    let there = Arc::clone(&both);
    let take_and_run = |both: &Mutex<Option<(Done<T>, _)>>| {
        if let Some((done, call)) = lock(both).take() {
            done(guarded(call));
        }
    };
    let spawned = std::thread::Builder::new()
        .name("lgcheckpoint-open".to_owned())
        .spawn(move || take_and_run(&there));
    if spawned.is_err() {
        take_and_run(&both);
    }
}

/// A panic on a thread that nobody joins must still reach the caller.
fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())))
}
