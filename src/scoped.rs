//! The verbs as one tenant sees them: the one place where its ids of threads become stored ones and back.
//!
//! It implements the trait, so a new verb cannot be forgotten: it does not compile before it says here what
//! it does for a tenant.

use std::path::PathBuf;
use std::sync::Arc;

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::model::{
    CheckpointKey, Conversion, CopyProgress, Deleted, DeltaHistory, EncodedCheckpoint, EncodedRow,
    EncodedWrites, Format, Garbage, HistoryPage, Keep, Leased, ListFilter, Notes, OnExisting, Opened, Page,
    Pages, Removal, Repaired, Salvaged, Scrubbed, Selection, Stats, Storage, StoredTuple, StoredWrite,
    Survey, SweepProgress, Swept, Thread, ThreadCursor, ThreadFilter, ThreadPage, ThreadRange, Vacuumed,
    Verified,
};
use crate::pending::Pending;
use crate::retention::{Outcome, Policy, Run, Term};
use crate::shape::ShapeBook;
use crate::stepwise::Stepwise;

/// What follows the escaped tenant. In an escape two digits follow `%`, so no tenant's prefix begins another's.
const SEPARATOR: &str = "%:";
/// The first text that sorts after all that begin with the separator.
const AFTER_SEPARATOR: &str = "%;";

/// A tenant's ids.
#[derive(Clone, Debug)]
struct Scope {
    prefix: Arc<str>,
    end: Arc<str>,
}

impl Scope {
    fn of(tenant: &str) -> Self {
        let escaped = escaped(tenant);
        Self {
            prefix: format!("{escaped}{SEPARATOR}").into(),
            end: format!("{escaped}{AFTER_SEPARATOR}").into(),
        }
    }

    /// The stored id.
    fn inward(&self, thread_id: &str) -> String {
        format!("{}{thread_id}", self.prefix)
    }

    fn key(&self, mut key: CheckpointKey) -> CheckpointKey {
        key.thread_id = self.inward(&key.thread_id);
        key
    }

    fn range(&self, threads: &ThreadRange) -> ThreadRange {
        let until = threads.until.as_deref();
        ThreadRange {
            from: self.inward(&threads.from),
            until: Some(until.map_or_else(|| self.end.to_string(), |until| self.inward(until))),
        }
    }

    /// The tenant's id of a stored one. Another tenant's does not leave.
    fn outward(&self, thread_id: &mut String) -> Result<()> {
        let own = thread_id
            .strip_prefix(&*self.prefix)
            .ok_or_else(|| Error::Panicked("a thread of another tenant was met".to_owned()))?;
        *thread_id = own.to_owned();
        Ok(())
    }

    fn error(&self, mut error: Error) -> Error {
        if let Error::CorruptRow { thread_id, .. }
        | Error::ThreadDeleted { thread_id }
        | Error::ConcurrentWrite { thread_id, .. }
        | Error::ThreadExists { thread_id }
        | Error::CheckpointMissing { thread_id, .. }
        | Error::LeaseLost { thread_id } = &mut error
            && let Err(error) = self.outward(thread_id)
        {
            return error;
        }
        error
    }
}

/// A tenant's thread as the whole store names it.
pub fn stored_thread_id(tenant: &str, thread_id: &str) -> String {
    Scope::of(tenant).inward(thread_id)
}

/// The tenant in letters, digits and `-._~`; any other byte as `%` and two digits.
fn escaped(tenant: &str) -> String {
    let escape = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    tenant.bytes().map(escape).collect()
}

/// A store as one tenant sees it.
pub struct Scoped {
    store: Arc<dyn Backend>,
    scope: Scope,
}

impl Scoped {
    /// The part of a store that belongs to a tenant.
    pub fn new(store: Arc<dyn Backend>, tenant: &str) -> Self {
        Self {
            store,
            scope: Scope::of(tenant),
        }
    }

    fn own(&self, thread_id: &str) -> String {
        self.scope.inward(thread_id)
    }

    /// A call whose result names no thread.
    fn plain<T: Send + 'static>(&self, pending: Pending<T>) -> Pending<T> {
        self.translated(pending, |_, _| Ok(()))
    }

    /// A call whose result is led to the tenant's ids.
    fn translated<T: Send + 'static>(
        &self,
        pending: Pending<T>,
        translate: impl FnOnce(&Scope, &mut T) -> Result<()> + Send + 'static,
    ) -> Pending<T> {
        let scope = self.scope.clone();
        pending.map(move |result| {
            let mut value = result.map_err(|error| scope.error(error))?;
            translate(&scope, &mut value)?;
            Ok(value)
        })
    }

    /// A call that finds what is to be removed.
    fn removal(&self, pending: Pending<Removal>) -> Pending<Removal> {
        self.translated(pending, |scope, removal| {
            removal.prefix = scope.prefix.to_string();
            Ok(())
        })
    }
}

/// What a verb on the whole store says.
fn refusal() -> Error {
    Error::Invalid(
        "this saver is scoped to one tenant, and the verb is about the whole file: call it on the saver that \
         this one was made from"
            .to_owned(),
    )
}

fn refused<T: Send + 'static>() -> Pending<T> {
    Pending::failed(refusal())
}

fn tuple(scope: &Scope, tuple: &mut StoredTuple) -> Result<()> {
    scope.outward(&mut tuple.key.thread_id)
}

impl Backend for Scoped {
    fn setup(&self) -> Pending<Opened> {
        self.store.setup()
    }

    fn format(&self) -> Pending<Format> {
        self.store.format()
    }

    /// Others use the store.
    fn close(&self) {}

    fn stats(&self) -> Stats {
        self.store.stats()
    }

    fn put(&self, mut checkpoint: EncodedCheckpoint, lease: Option<String>) -> Pending<()> {
        checkpoint.key = self.scope.key(checkpoint.key);
        self.plain(self.store.put(checkpoint, lease))
    }

    fn put_writes(&self, mut writes: EncodedWrites, lease: Option<String>) -> Pending<()> {
        writes.key = self.scope.key(writes.key);
        self.plain(self.store.put_writes(writes, lease))
    }

    fn get_tuple(
        &self,
        thread_id: String,
        checkpoint_ns: String,
        checkpoint_id: Option<String>,
    ) -> Pending<Option<StoredTuple>> {
        let found = self
            .store
            .get_tuple(self.own(&thread_id), checkpoint_ns, checkpoint_id);
        self.translated(found, |scope, found| {
            found.as_mut().map_or(Ok(()), |found| tuple(scope, found))
        })
    }

    fn pending_sends(&self, keys: Vec<CheckpointKey>) -> Pending<Vec<Vec<StoredWrite>>> {
        let keys = keys.into_iter().map(|key| self.scope.key(key)).collect();
        self.plain(self.store.pending_sends(keys))
    }

    fn list(&self, mut filter: ListFilter, after: Option<CheckpointKey>, limit: usize) -> Pending<Page> {
        filter.threads = self.scope.range(&filter.threads);
        filter.thread_id = filter.thread_id.map(|thread_id| self.own(&thread_id));
        let after = after.map(|key| self.scope.key(key));
        self.translated(self.store.list(filter, after, limit), |scope, page| {
            page.tuples.iter_mut().try_for_each(|found| tuple(scope, found))?;
            let next = page.next.as_mut();
            next.map_or(Ok(()), |key| scope.outward(&mut key.thread_id))
        })
    }

    fn delete_threads(&self, thread_ids: Vec<String>, overwrite: bool) -> Pending<Deleted> {
        let thread_ids = thread_ids.iter().map(|thread_id| self.own(thread_id)).collect();
        self.plain(self.store.delete_threads(thread_ids, overwrite))
    }

    /// What is behind a marker is gone for everybody, whoever carries it to its end.
    fn finish_deletions(&self) -> Pending<Deleted> {
        self.plain(self.store.finish_deletions())
    }

    /// The log is that of all tenants; emptying it changes nothing that one can see.
    fn scrub(&self) -> Pending<Scrubbed> {
        self.plain(self.store.scrub())
    }

    fn acquire_lease(&self, thread_id: String, token: String, milliseconds: i64) -> Pending<Leased> {
        self.plain(
            self.store
                .acquire_lease(self.own(&thread_id), token, milliseconds),
        )
    }

    fn release_lease(&self, thread_id: String, token: String) -> Pending<()> {
        self.plain(self.store.release_lease(self.own(&thread_id), token))
    }

    fn delete_for_runs(&self, run_ids: Vec<String>, threads: ThreadRange) -> Pending<Removal> {
        self.removal(self.store.delete_for_runs(run_ids, self.scope.range(&threads)))
    }

    fn select(&self, thread_id: String, selection: Selection, shapes: Arc<ShapeBook>) -> Pending<Removal> {
        self.removal(self.store.select(self.own(&thread_id), selection, shapes))
    }

    fn copy_thread(
        &self,
        source_thread_id: String,
        target_thread_id: String,
        without: Option<Arc<Removal>>,
        on_existing: OnExisting,
        progress: CopyProgress,
    ) -> Pending<Option<CopyProgress>> {
        let (source, target) = (self.own(&source_thread_id), self.own(&target_thread_id));
        self.plain(
            self.store
                .copy_thread(source, target, without, on_existing, progress),
        )
    }

    fn prune(&self, thread_id: String, keep: Option<Keep>, shapes: Arc<ShapeBook>) -> Pending<Removal> {
        self.removal(self.store.prune(self.own(&thread_id), keep, shapes))
    }

    fn apply_retention(
        &self,
        policy: Option<Policy>,
        dry_run: bool,
        shapes: Arc<ShapeBook>,
        threads: ThreadRange,
    ) -> Result<Box<dyn Run>> {
        let threads = self.scope.range(&threads);
        let run = self.store.apply_retention(policy, dry_run, shapes, threads)?;
        let scope = self.scope.clone();
        Ok(Box::new(ScopedRun {
            run,
            scope,
            done: Vec::new(),
        }))
    }

    fn set_term(&self, thread_id: String, term: Term) -> Pending<()> {
        self.plain(self.store.set_term(self.own(&thread_id), term))
    }

    fn garbage(&self, thread_id: String) -> Pending<Garbage> {
        self.plain(self.store.garbage(self.own(&thread_id)))
    }

    fn sweep(&self, garbage: Arc<Garbage>, progress: SweepProgress) -> Pending<Swept> {
        self.plain(self.store.sweep(garbage, progress))
    }

    fn convert(&self, _: Format, _: Conversion) -> Pending<Option<Conversion>> {
        refused()
    }

    fn count_rows(&self) -> Pending<u64> {
        refused()
    }

    fn chunked_threads(&self, _: String) -> Pending<Vec<String>> {
        refused()
    }

    fn rebuild(&self) -> Pending<()> {
        refused()
    }

    fn storage(&self, threads: ThreadRange) -> Pending<Storage> {
        self.plain(self.store.storage(self.scope.range(&threads)))
    }

    fn vacuum(&self) -> Pending<Vacuumed> {
        refused()
    }

    fn remove(&self, removal: Arc<Removal>, from: usize) -> Pending<usize> {
        self.plain(self.store.remove(removal, from))
    }

    fn get_delta_channel_history(
        &self,
        thread_id: String,
        checkpoint_ns: String,
        checkpoint_id: Option<String>,
        channels: Vec<String>,
        shapes: Arc<ShapeBook>,
    ) -> Pending<DeltaHistory> {
        self.plain(self.store.get_delta_channel_history(
            self.own(&thread_id),
            checkpoint_ns,
            checkpoint_id,
            channels,
            shapes,
        ))
    }

    fn backup(&self, _: PathBuf) -> Result<Stepwise<Pages>> {
        Err(refusal())
    }

    fn restore(&self, _: PathBuf) -> Result<Stepwise<Pages>> {
        Err(refusal())
    }

    fn integrity(&self) -> Pending<Vec<String>> {
        refused()
    }

    fn verify(&self, _: Option<CheckpointKey>) -> Pending<Verified> {
        refused()
    }

    fn list_threads(
        &self,
        mut filter: ThreadFilter,
        after: Option<ThreadCursor>,
        limit: usize,
    ) -> Pending<Vec<Thread>> {
        filter.threads = self.scope.range(&filter.threads);
        let after = after.map(|mut after| {
            after.thread_id = self.own(&after.thread_id);
            after
        });
        self.translated(self.store.list_threads(filter, after, limit), |scope, threads| {
            threads
                .iter_mut()
                .try_for_each(|thread| scope.outward(&mut thread.thread_id))
        })
    }

    fn count_threads(&self, mut filter: ThreadFilter) -> Pending<u64> {
        filter.threads = self.scope.range(&filter.threads);
        self.plain(self.store.count_threads(filter))
    }

    fn get_thread(&self, thread_id: String) -> Pending<Option<Thread>> {
        let found = self.store.get_thread(self.own(&thread_id));
        self.translated(found, |scope, found| {
            let found = found.as_mut();
            found.map_or(Ok(()), |thread| scope.outward(&mut thread.thread_id))
        })
    }

    fn set_thread(&self, thread_id: String, title: Option<String>, metadata: Option<String>) -> Pending<()> {
        self.plain(self.store.set_thread(self.own(&thread_id), title, metadata))
    }

    fn read_notes(&self, thread_id: String) -> Pending<Notes> {
        self.plain(self.store.read_notes(self.own(&thread_id)))
    }

    fn write_notes(&self, thread_id: String, notes: Notes) -> Pending<()> {
        self.plain(self.store.write_notes(self.own(&thread_id), notes))
    }

    fn archive_thread(&self, thread_id: String) -> Pending<()> {
        self.plain(self.store.archive_thread(self.own(&thread_id)))
    }

    fn unarchive_thread(&self, thread_id: String) -> Pending<()> {
        self.plain(self.store.unarchive_thread(self.own(&thread_id)))
    }

    fn history(
        &self,
        thread_id: String,
        checkpoint_ns: String,
        channel: String,
        before: Option<String>,
        limit: usize,
    ) -> Pending<HistoryPage> {
        let thread_id = self.own(&thread_id);
        self.plain(
            self.store
                .history(thread_id, checkpoint_ns, channel, before, limit),
        )
    }

    fn repair(&self, _: Vec<CheckpointKey>) -> Pending<Repaired> {
        refused()
    }

    fn survey(&self, _: Option<Arc<Survey>>, _: u64) -> Pending<Survey> {
        refused()
    }

    fn salvage(&self, _: Arc<Survey>, _: usize) -> Pending<Salvaged> {
        refused()
    }

    fn thread_ids(&self, threads: ThreadRange, noted: bool, limit: usize) -> Pending<Vec<String>> {
        let found = self.store.thread_ids(self.scope.range(&threads), noted, limit);
        self.translated(found, |scope, threads| {
            threads
                .iter_mut()
                .try_for_each(|thread_id| scope.outward(thread_id))
        })
    }

    fn read_thread(&self, thread_id: String, after: Option<(String, String)>) -> Pending<ThreadPage> {
        let page = self.store.read_thread(self.own(&thread_id), after);
        self.translated(page, |scope, page| {
            page.rows.iter_mut().try_for_each(|row| {
                row.checkpoint
                    .as_mut()
                    .map_or(Ok(()), |found| tuple(scope, found))?;
                scope.outward(&mut row.key.thread_id)
            })
        })
    }

    fn write_thread(&self, mut rows: Vec<EncodedRow>) -> Pending<()> {
        for row in &mut rows {
            let checkpoint = row.checkpoint.as_mut().map(|checkpoint| &mut checkpoint.key);
            let writes = row.writes.iter_mut().map(|writes| &mut writes.key);
            for key in checkpoint.into_iter().chain(writes) {
                key.thread_id = self.own(&key.thread_id);
            }
        }
        self.plain(self.store.write_thread(rows))
    }
}

/// A run of a policy over the threads of a tenant.
struct ScopedRun {
    run: Box<dyn Run>,
    scope: Scope,
    done: Vec<Outcome>,
}

impl Run for ScopedRun {
    fn step(&mut self) -> Result<bool> {
        let is_last = self.run.step().map_err(|error| self.scope.error(error))?;
        for mut outcome in self.run.take_outcomes() {
            self.scope.outward(&mut outcome.thread_id)?;
            self.done.push(outcome);
        }
        Ok(is_last)
    }

    fn take_outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::{Scope, escaped};
    use crate::model::ThreadRange;

    const TENANTS: [&str; 12] = [
        "a", "A", "a/", "a/b", "a%2F", "a%2Fb", "a%:", "a%", "a_", "\0", "é", "e\u{301}",
    ];

    #[test]
    fn no_prefix_begins_another() {
        for left in TENANTS {
            for right in TENANTS.into_iter().filter(|right| *right != left) {
                let (left, right) = (Scope::of(left), Scope::of(right));
                assert!(!left.prefix.starts_with(&*right.prefix));
            }
        }
    }

    #[test]
    fn the_range_holds_the_own_ids_and_no_others() {
        let ids = ["", "1", ":", "\u{10ffff}", "%:", ";"];
        for left in TENANTS {
            let range = Scope::of(left).range(&ThreadRange::default());
            for right in TENANTS {
                let stored = ids.map(|id| Scope::of(right).inward(id));
                assert!(stored.iter().all(|id| range.contains(id) == (left == right)));
            }
        }
    }

    #[test]
    fn another_tenants_id_does_not_leave() {
        let mut stored = Scope::of("a").inward("1");
        assert!(Scope::of("b").outward(&mut stored).is_err());
        assert!(Scope::of("a").outward(&mut stored).is_ok());
        assert_eq!(stored, "1");
    }

    #[test]
    fn a_tenant_is_escaped_as_in_a_url() {
        assert_eq!(escaped("Acme-1._~"), "Acme-1._~");
        assert_eq!(escaped("a/b é%"), "a%2Fb%20%C3%A9%25");
    }
}
