//! Which threads a call on many of them sees.

/// Threads whose ids sort, as bytes, from one id to another; all by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadRange {
    /// The first id.
    pub from: String,
    /// The first id that is beyond; `None` if there is none.
    pub until: Option<String>,
}

impl ThreadRange {
    /// One thread.
    pub fn one(thread_id: String) -> Self {
        Self {
            until: Some(next(&thread_id)),
            from: thread_id,
        }
    }

    /// Leaves out a thread and those that sort before it.
    pub fn begin_after(&mut self, thread_id: &str) {
        self.from = next(thread_id);
    }

    /// Whether no thread is left out.
    pub fn is_all(&self) -> bool {
        self.from.is_empty() && self.until.is_none()
    }

    /// Whether a thread is in it.
    pub fn contains(&self, thread_id: &str) -> bool {
        *thread_id >= *self.from && self.until.as_deref().is_none_or(|until| thread_id < until)
    }
}

/// Of all ids that sort after another, the first.
fn next(thread_id: &str) -> String {
    format!("{thread_id}\0")
}
