//! `select`: which checkpoints of a thread a copy of a part of it leaves out.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::engine::ReadTransaction;
use super::prune::{Outlines, read_tree, sweep};
use crate::error::{Error, Result};
use crate::model::{Removal, Selection};
use crate::shape::ShapeBook;

/// Chosen are a root checkpoint and its ancestors, the newest ones of them; of subgraphs what was started
/// from those; and what is needed to read all of that.
pub(super) fn select(
    transaction: &ReadTransaction<'_>,
    thread_id: &str,
    selection: &Selection,
    shapes: &ShapeBook,
) -> Result<Removal> {
    let tree = if transaction.hides(thread_id) {
        BTreeMap::new()
    } else {
        read_tree(transaction.connection, thread_id)?
    };
    let mut outlines = Outlines::new(transaction, thread_id, shapes);
    let mut chain = HashSet::new();
    let roots = tree.get("");
    let mut next = match &selection.up_to {
        Some(id) if roots.is_some_and(|roots| roots.contains_key(id)) => Some(id),
        Some(id) => {
            return Err(Error::CheckpointMissing {
                thread_id: thread_id.to_owned(),
                checkpoint_id: id.clone(),
            });
        }
        None => roots.and_then(|roots| roots.last_key_value()).map(|(id, _)| id),
    };
    while let Some(id) = next
        && chain.len() < selection.last.unwrap_or(usize::MAX)
        && let Some(node) = roots.and_then(|roots| roots.get(id))
        && chain.insert(id.clone())
    {
        next = node.parent.as_ref();
    }
    let mut removal = Removal::default();
    for (checkpoint_ns, namespace) in &tree {
        let chosen = if checkpoint_ns.is_empty() {
            chain.clone()
        } else {
            let started_here = |root: &Option<String>| root.as_ref().is_none_or(|root| chain.contains(root));
            let chosen = namespace.iter().filter(|(_, node)| started_here(&node.root));
            chosen.map(|(id, _)| id.clone()).collect()
        };
        let kept = outlines.with_needs(checkpoint_ns, namespace, chosen)?;
        sweep(&mut removal, thread_id, checkpoint_ns, namespace, &kept);
    }
    if !outlines.unknown.is_empty() {
        return Err(Error::NeedShapes(Arc::new(outlines.unknown)));
    }
    Ok(removal)
}
