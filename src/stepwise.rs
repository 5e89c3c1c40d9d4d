//! A long verb that its caller takes step by step, so that the caller's own code runs between two steps
//! with nothing locked. What the steps share lives on the stack of a thread of its own.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::pending::{Cancel, Done, GiveUp, Pending, Work};

/// How often a waiting caller looks for signals.
const LOOK: Duration = Duration::from_millis(100);

/// What a step brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// There is more to do.
    More(T),
    /// All is done, and everything is closed.
    Done(T),
}

/// A verb under way. Dropped before its end, it is abandoned.
#[derive(Debug)]
pub struct Stepwise<T>(Arc<Caller<T>>);

#[derive(Debug)]
struct Caller<T> {
    /// Taken on drop only.
    requests: Option<Sender<Request<T>>>,
    cancel: Cancel,
    path: PathBuf,
    process: u32,
}

struct Request<T>(Done<Step<T>>);

/// The thread's side: where it reports, and hears whether to go on.
pub struct Desk<T> {
    requests: Receiver<Request<T>>,
    current: RefCell<Option<Request<T>>>,
    cancel: Cancel,
}

impl<T: Send + 'static> Stepwise<T> {
    /// A verb on `path`. Its `body` begins with the first step; when it returns, nothing of it is left
    /// but its result.
    pub fn start(path: PathBuf, body: impl FnOnce(&Desk<T>) -> Result<T> + Send + 'static) -> Result<Self> {
        let (sender, requests) = channel();
        let cancel = Cancel::default();
        let desk = Desk {
            requests,
            current: RefCell::default(),
            cancel: cancel.clone(),
        };
        std::thread::Builder::new()
            .name("lgcheckpoint-step".to_owned())
            .spawn(move || desk.serve(body))
            .map_err(|error| Error::CannotOpen {
                path: path.clone(),
                detail: format!("no thread could be started: {error}"),
            })?;
        Ok(Self(Arc::new(Caller {
            requests: Some(sender),
            cancel,
            path,
            process: std::process::id(),
        })))
    }

    /// The next step.
    pub fn step(&self) -> Pending<Step<T>> {
        Pending::new(StepWork(Arc::clone(&self.0)))
    }

    /// Ends the verb as if it had not begun; done once nothing of it is left.
    pub fn abandon(&self) -> Pending<()> {
        self.0.cancel.cancel();
        Pending::new(AbandonWork(Arc::clone(&self.0)))
    }
}

impl<T> Caller<T> {
    fn ask(&self, done: Done<Step<T>>) -> Result<()> {
        if self.process != std::process::id() {
            return Err(Error::Forked {
                path: self.path.clone(),
            });
        }
        let sent = self
            .requests
            .as_ref()
            .map(|requests| requests.send(Request(done)));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(Error::Invalid("this call is over".to_owned())),
        }
    }
}

impl<T> Drop for Caller<T> {
    fn drop(&mut self) {
        self.cancel.cancel();
        if self.process != std::process::id() {
            // The thread is the parent's, and may have held the channel's lock at the fork.
            std::mem::forget(self.requests.take());
        }
    }
}

struct StepWork<T>(Arc<Caller<T>>);

impl<T: Send + 'static> Work<Step<T>> for StepWork<T> {
    fn wait(self: Box<Self>, give_up: GiveUp) -> Result<Step<T>> {
        let (sender, outcome) = channel();
        self.0.ask(Box::new(move |result| drop(sender.send(result))))?;
        loop {
            match outcome.recv_timeout(LOOK) {
                Ok(result) => return result,
                // The thread clears up first, which takes a step's time, and then answers.
                Err(RecvTimeoutError::Timeout) if give_up() => self.0.cancel.cancel(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Panicked("a step ended without an outcome".to_owned()));
                }
            }
        }
    }

    fn then(self: Box<Self>, done: Done<Step<T>>) -> Cancel {
        let told = Arc::new(std::sync::Mutex::new(Some(done)));
        let tell = |told: &std::sync::Mutex<Option<Done<Step<T>>>>, result| {
            if let Some(done) = told.lock().ok().and_then(|mut done| done.take()) {
                done(result);
            }
        };
        let later = Arc::clone(&told);
        if let Err(error) = self.0.ask(Box::new(move |result| tell(&later, result))) {
            tell(&told, Err(error));
        }
        self.0.cancel.clone()
    }
}

struct AbandonWork<T>(Arc<Caller<T>>);

impl<T: Send + 'static> Work<()> for AbandonWork<T> {
    fn wait(self: Box<Self>, give_up: GiveUp) -> Result<()> {
        // An error says that it is over, which is what was asked for.
        drop(Box::new(StepWork(Arc::clone(&self.0))).wait(give_up));
        Ok(())
    }

    fn then(self: Box<Self>, done: Done<()>) -> Cancel {
        let ended = Ended(Some(done));
        Box::new(StepWork(Arc::clone(&self.0))).then(Box::new(move |_| drop(ended)))
    }
}

/// Tells that a verb is over, whether it answered or was gone before.
struct Ended(Option<Done<()>>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Ok(()));
        }
    }
}

impl<T> Desk<T> {
    /// Ends the step, and waits for the next one. An error means that the caller wants no more of it.
    pub fn report(&self, value: T) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        if let Some(Request(done)) = self.current.take() {
            done(Ok(Step::More(value)));
        }
        let next = self.requests.recv().ok();
        let wanted = next.is_some() && !self.cancel.is_cancelled();
        self.current.replace(next);
        if wanted { Ok(()) } else { Err(Error::Interrupted) }
    }

    /// Set when the caller wants no more of it.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    fn serve(self, body: impl FnOnce(&Self) -> Result<T>) {
        let Ok(first) = self.requests.recv() else { return };
        self.current.replace(Some(first));
        let call = std::panic::AssertUnwindSafe(|| body(&self));
        let result =
            std::panic::catch_unwind(call).unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())));
        if let Some(Request(done)) = self.current.take() {
            done(result.map(Step::Done));
        }
    }
}

impl<T> std::fmt::Debug for Desk<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Desk")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    struct Flag(Arc<AtomicBool>);

    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn counting(cleared: &Arc<AtomicBool>) -> Stepwise<u32> {
        let flag = Flag(Arc::clone(cleared));
        Stepwise::start(PathBuf::from("x"), move |desk| {
            let _flag = flag;
            for number in 1..3 {
                desk.report(number)?;
            }
            Ok(3)
        })
        .unwrap()
    }

    #[test]
    fn it_goes_step_by_step_to_its_end() {
        let cleared = Arc::default();
        let verb = counting(&cleared);
        let steps: Vec<_> = (0..3).map(|_| verb.step().wait().unwrap()).collect();
        assert_eq!(steps, [Step::More(1), Step::More(2), Step::Done(3)]);
        assert!(cleared.load(Ordering::SeqCst));
        assert!(verb.step().wait().is_err());
        verb.abandon().wait().unwrap();
    }

    #[test]
    fn abandoned_it_has_cleared_up_on_return() {
        let cleared = Arc::default();
        let verb = counting(&cleared);
        verb.step().wait().unwrap();
        assert!(!cleared.load(Ordering::SeqCst));
        verb.abandon().wait().unwrap();
        assert!(cleared.load(Ordering::SeqCst));
    }

    #[test]
    fn dropped_it_clears_up() {
        let cleared: Arc<AtomicBool> = Arc::default();
        let verb = counting(&cleared);
        verb.step().wait().unwrap();
        drop(verb);
        for _ in 0..1000 {
            if cleared.load(Ordering::SeqCst) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it was left as it was");
    }
}
