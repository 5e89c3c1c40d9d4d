//! Calls that have begun. A verb returns one; the caller waits for it or is called back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::faults::{self, Fault};

/// Receives the outcome, on whatever thread made it. Must not block.
pub type Done<T> = Box<dyn FnOnce(Result<T>) + Send>;

/// Asked a few times a second during any wait of the calling thread; true gives up, with
/// `Interrupted`.
pub type GiveUp = fn() -> bool;

/// Never gives up.
pub fn patient() -> bool {
    false
}

/// Withdraws a call that was left to run. A write is then stored or it is not, never in part.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// The caller no longer wants the answer.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether `cancel` was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The two ways to carry out a call.
pub trait Work<T>: Send {
    /// Blocks until it is done; a read, or a write that nobody else is committing, is done here.
    fn wait(self: Box<Self>, give_up: GiveUp) -> Result<T>;

    /// Returns at once; `done` is called later. A write has its place in the queue on return.
    fn then(self: Box<Self>, done: Done<T>) -> Cancel;
}

/// Tells the caller in any case: an awaited future that nobody resolves would hang its task.
struct Teller<T>(Option<Done<T>>);

impl<T> Teller<T> {
    fn tell(mut self, result: Result<T>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl<T> Drop for Teller<T> {
    /// Dropped untold, by a panic.
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(Error::Untold));
        }
    }
}

/// A call that is ready to be carried out.
#[must_use = "a call is carried out by `wait` or `then`"]
pub struct Pending<T>(Box<dyn Work<T>>);

impl<T: 'static> Pending<T> {
    /// Wraps the work of a backend.
    pub fn new(work: impl Work<T> + 'static) -> Self {
        Self(Box::new(work))
    }

    /// A call whose outcome is known: it failed.
    pub fn failed(error: Error) -> Self {
        Self::new(Failed(error))
    }

    /// The same call with another outcome. `convert` must not block.
    pub fn map<U: 'static>(
        self,
        convert: impl FnOnce(Result<T>) -> Result<U> + Send + 'static,
    ) -> Pending<U> {
        Pending::new(Mapped {
            work: self.0,
            convert,
        })
    }

    /// Blocks until the call is done, or until `give_up` says true.
    ///
    /// A panic is an error of this call, not Python's `PanicException`, which is no `Exception`:
    /// servers that catch those would lose a worker to it.
    pub fn wait_unless(self, give_up: GiveUp) -> Result<T> {
        let work = AssertUnwindSafe(|| {
            faults::trip(Fault::PanicAtEntry);
            self.0.wait(give_up)
        });
        catch_unwind(work).unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())))
    }

    /// Blocks until the call is done.
    pub fn wait(self) -> Result<T> {
        self.wait_unless(patient)
    }

    /// Returns at once; `done` is called on another thread.
    pub fn then(self, done: Done<T>) -> Cancel {
        let teller = Teller(Some(done));
        let work = AssertUnwindSafe(move || {
            faults::trip(Fault::PanicAtEntry);
            self.0.then(Box::new(move |result| teller.tell(result)))
        });
        catch_unwind(work).unwrap_or_default()
    }
}

struct Failed(Error);

impl<T> Work<T> for Failed {
    fn wait(self: Box<Self>, _: GiveUp) -> Result<T> {
        Err(self.0)
    }

    fn then(self: Box<Self>, done: Done<T>) -> Cancel {
        done(Err(self.0));
        Cancel::default()
    }
}

struct Mapped<T, C> {
    work: Box<dyn Work<T>>,
    convert: C,
}

impl<T: 'static, U, C> Work<U> for Mapped<T, C>
where
    U: 'static,
    C: FnOnce(Result<T>) -> Result<U> + Send + 'static,
{
    fn wait(self: Box<Self>, give_up: GiveUp) -> Result<U> {
        let Self { work, convert } = *self;
        convert(work.wait(give_up))
    }

    fn then(self: Box<Self>, done: Done<U>) -> Cancel {
        let Self { work, convert } = *self;
        work.then(Box::new(move |result| done(convert(result))))
    }
}

impl<T> std::fmt::Debug for Pending<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Pending")
    }
}
