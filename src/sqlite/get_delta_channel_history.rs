//! `get_delta_channel_history`: one walk along the parents for all channels. A checkpoint's channel
//! names are read from its bytes; no value is decoded.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::engine::ReadTransaction;
use super::row;
use super::statements as sql;
use crate::chunk::Binding;
use crate::error::{Error, Result};
use crate::model::{ChannelHistory, CheckpointKey, DeltaHistory};
use crate::shape::{ShapeBook, UNKNOWN_BYTES};

/// Where one channel's walk stands.
struct Walk<'a> {
    channel: &'a str,
    /// Newest first.
    ancestors: Vec<String>,
    seed: Option<usize>,
}

pub(super) fn get_delta_channel_history(
    transaction: &ReadTransaction<'_>,
    thread_id: &str,
    checkpoint_ns: &str,
    checkpoint_id: Option<&str>,
    channels: &[String],
    shapes: &ShapeBook,
) -> Result<DeltaHistory> {
    let connection = transaction.connection;
    let target = match checkpoint_id {
        _ if transaction.hides(thread_id) => None,
        Some(checkpoint_id) => Some(checkpoint_id.to_owned()),
        None => connection
            .prepare_cached(sql::SELECT_LATEST_ID)?
            .query_row(params![thread_id, checkpoint_ns], |row| row.get(0))
            .optional()?,
    };
    let mut walks: Vec<Walk<'_>> = channels
        .iter()
        .map(|channel| Walk {
            channel,
            ancestors: Vec::new(),
            seed: None,
        })
        .collect();
    let mut seeds = Vec::new();
    let mut unknown = Vec::new();
    let mut unknown_bytes = 0;
    let mut walked = HashSet::new();
    let mut next = target.clone();
    let mut ancestor = connection.prepare_cached(sql::SELECT_ANCESTOR)?;
    while let Some(checkpoint_id) = next.take() {
        // Re-putting an id under its descendant makes a loop of the chain.
        if !walked.insert(checkpoint_id.clone()) || walks.iter().all(|walk| walk.seed.is_some()) {
            break;
        }
        let mut rows = ancestor.query(params![thread_id, checkpoint_ns, checkpoint_id])?;
        let Some(found) = rows.next()? else { break };
        next = found.get(0)?;
        if target.as_ref() == Some(&checkpoint_id) {
            continue;
        }
        let key = CheckpointKey {
            thread_id: thread_id.to_owned(),
            checkpoint_ns: checkpoint_ns.to_owned(),
            checkpoint_id: checkpoint_id.clone(),
        };
        let binding = Binding::Checkpoint {
            key: &key,
            parent: next.as_deref(),
            metadata: row::optional_bytes(found, 3)?,
        };
        let Some(shape) = transaction.chunks.outline(found, 1, &binding, shapes)? else {
            let value = transaction.chunks.value(found, 1, &binding)?;
            unknown_bytes += value.payload.as_slice().len();
            unknown.push(value);
            if unknown_bytes > UNKNOWN_BYTES {
                break;
            }
            continue;
        };
        let mut seed = None;
        for walk in walks.iter_mut().filter(|walk| walk.seed.is_none()) {
            walk.ancestors.push(checkpoint_id.clone());
            if shape.channel_values.contains_key(walk.channel) {
                if seed.is_none() {
                    seeds.push(transaction.chunks.value(found, 1, &binding)?);
                    seed = Some(seeds.len() - 1);
                }
                walk.seed = seed;
            }
        }
    }
    if !unknown.is_empty() {
        return Err(Error::NeedShapes(Arc::new(unknown)));
    }
    let channels = walks
        .into_iter()
        .map(|walk| channel_history(transaction, thread_id, checkpoint_ns, walk))
        .collect::<Result<_>>()?;
    Ok(DeltaHistory { channels, seeds })
}

fn channel_history(
    transaction: &ReadTransaction<'_>,
    thread_id: &str,
    checkpoint_ns: &str,
    walk: Walk<'_>,
) -> Result<ChannelHistory> {
    let mut by_channel = transaction
        .connection
        .prepare_cached(transaction.statements.by_channel)?;
    let mut writes = Vec::new();
    for checkpoint_id in walk.ancestors.into_iter().rev() {
        let key = CheckpointKey {
            thread_id: thread_id.to_owned(),
            checkpoint_ns: checkpoint_ns.to_owned(),
            checkpoint_id,
        };
        let parameters = params![key.thread_id, key.checkpoint_ns, key.checkpoint_id, walk.channel];
        writes.extend(row::writes(
            &transaction.chunks,
            &mut by_channel,
            parameters,
            &key,
        )?);
    }
    Ok(ChannelHistory {
        writes,
        seed: walk.seed,
    })
}
