//! Threads that read for callers who do not wait: an event loop's. As many as there are readers.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};

use super::sync::{lock, wait};

type Task = Box<dyn FnOnce() + Send>;

/// A pool of threads that start when there is more work than threads.
#[derive(Default)]
pub(super) struct Workers {
    state: Mutex<State>,
    bell: Condvar,
    most: usize,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Workers {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    /// Runs `task` on a thread, or, where none can be had, here.
    pub(super) fn run(self: &Arc<Self>, task: Task) {
        let mut state = lock(&self.state);
        state.tasks.push_back(task);
        if state.idle < state.tasks.len() && state.threads < self.most && !state.closed {
            let workers = Arc::clone(self);
            let name = format!("lgcheckpoint-read-{}", state.threads);
            if std::thread::Builder::new()
                .name(name)
                .spawn(move || workers.serve())
                .is_ok()
            {
                state.threads += 1;
            } else if state.threads == 0 {
                let task = state.tasks.pop_back();
                drop(state);
                if let Some(task) = task {
                    task();
                }
                return;
            }
        }
        drop(state);
        self.bell.notify_one();
    }

    /// Lets the threads go once the tasks are done.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.bell.notify_all();
    }

    fn serve(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some(task) = state.tasks.pop_front() {
                drop(state);
                task();
                state = lock(&self.state);
            } else if state.closed {
                state.threads -= 1;
                return;
            } else {
                state.idle += 1;
                state = wait(&self.bell, state);
                state.idle -= 1;
            }
        }
    }
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Workers")
    }
}
