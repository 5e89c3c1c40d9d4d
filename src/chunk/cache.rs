//! The last committed encoding of each namespace, to tell what the next one changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashlink::LruCache;

use super::draft::Draft;
use super::seal::Seal;
use crate::model::CacheStats;

/// A draft with the ids of its chunks and its seal, as they were committed.
pub(crate) struct Known {
    pub(crate) draft: Arc<Draft>,
    pub(crate) ids: Ids,
    pub(crate) seal: Seal,
}

/// The chunks of a draft. They hold while the thread has the same number and revision: a number is never
/// given twice, and each removal of chunks raises the revision. In a later epoch somebody else has committed
/// meanwhile, and may have put the database back to an earlier state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    /// That of the writer's transaction they were found in.
    pub(crate) epoch: u64,
    pub(crate) thread_no: i64,
    pub(crate) revision: i64,
    /// By index of the draft's nodes.
    pub(crate) nodes: Vec<i64>,
    /// By index of the draft's leaves; 0 for one that is known as part of its node only.
    pub(crate) leaves: Vec<i64>,
}

/// A thread and a namespace.
type Key = (String, String);

/// What was stored last, up to a number of bytes. Written after COMMIT only.
pub(crate) struct Cache {
    budget: usize,
    entries: Mutex<Entries>,
}

struct Entries {
    by_key: LruCache<Key, Arc<Known>>,
    weight: usize,
    hits: u64,
    misses: u64,
}

impl Cache {
    pub(crate) fn new(budget: u64) -> Self {
        Self {
            budget: usize::try_from(budget).unwrap_or(usize::MAX),
            entries: Mutex::new(Entries {
                by_key: LruCache::new_unbounded(),
                weight: 0,
                hits: 0,
                misses: 0,
            }),
        }
    }

    /// What the next value may resemble: counted as a hit or a miss.
    pub(crate) fn get(&self, thread_id: &str, checkpoint_ns: &str) -> Option<Arc<Known>> {
        let mut entries = self.lock();
        let known = entries.find(thread_id, checkpoint_ns);
        entries.hits += u64::from(known.is_some());
        entries.misses += u64::from(known.is_none());
        known
    }

    pub(crate) fn peek(&self, thread_id: &str, checkpoint_ns: &str) -> Option<Arc<Known>> {
        self.lock().find(thread_id, checkpoint_ns)
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let entries = self.lock();
        CacheStats {
            hits: entries.hits,
            misses: entries.misses,
            entries: entries.by_key.len() as u64,
            bytes: entries.weight as u64,
        }
    }

    /// Takes the place of what was known; without chunks there is nothing to know.
    pub(crate) fn set(&self, thread_id: &str, checkpoint_ns: &str, known: Option<Known>) {
        let key = (thread_id.to_owned(), checkpoint_ns.to_owned());
        let mut gone = Vec::new();
        let mut entries = self.lock();
        if let Some(old) = entries.by_key.remove(&key) {
            entries.weight -= old.weight();
            gone.push(old);
        }
        if let Some(known) = known.filter(|known| known.weight() <= self.budget) {
            entries.weight += known.weight();
            entries.by_key.insert(key, Arc::new(known));
        }
        while entries.weight > self.budget {
            let Some((_, old)) = entries.by_key.remove_lru() else {
                break;
            };
            entries.weight -= old.weight();
            gone.push(old);
        }
        drop(entries);
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn find(&mut self, thread_id: &str, checkpoint_ns: &str) -> Option<Arc<Known>> {
        let key = (thread_id.to_owned(), checkpoint_ns.to_owned());
        self.by_key.get(&key).cloned()
    }
}

impl Known {
    fn weight(&self) -> usize {
        self.draft.weight() + (self.ids.nodes.len() + self.ids.leaves.len()) * size_of::<i64>()
    }
}
