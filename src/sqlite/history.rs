//! `history`: what is stored of one channel at the checkpoints of a namespace. Of a recipe no chunk is read
//! but that channel's.

use rusqlite::params;

use super::engine::ReadTransaction;
use super::row;
use super::statements::threads as sql;
use crate::chunk::Binding;
use crate::error::Result;
use crate::model::{
    Blob, ChannelEntry, ChannelStored, CheckpointKey, HistoryPage, Payload, StoredWrite, TypedValue,
};
use crate::shape::Channel;

/// A page ends early once it holds this much.
const PAGE_BYTES: usize = 8 << 20;

/// Sorts after every id.
const LAST: &str = "\u{10ffff}";

pub(super) fn history(
    transaction: &ReadTransaction<'_>,
    thread_id: &str,
    checkpoint_ns: &str,
    channel: &str,
    before: Option<&str>,
    limit: usize,
) -> Result<HistoryPage> {
    let mut statement = transaction.connection.prepare_cached(sql::HISTORY)?;
    let mut rows = statement.query(params![thread_id, checkpoint_ns, before.unwrap_or(LAST)])?;
    let mut page = HistoryPage::default();
    let mut bytes = 0;
    while let Some(found) = rows.next()? {
        let key = CheckpointKey {
            thread_id: thread_id.to_owned(),
            checkpoint_ns: checkpoint_ns.to_owned(),
            checkpoint_id: found.get(0)?,
        };
        let parent: Option<String> = found.get(1)?;
        let metadata = row::optional_bytes(found, 4)?;
        let binding = Binding::Checkpoint {
            key: &key,
            parent: parent.as_deref(),
            metadata,
        };
        let stored = match transaction.chunks.channel(found, 2, &binding, channel)? {
            Channel::Value(value, is_delta) => {
                bytes += value.len();
                let value = TypedValue {
                    tag: Some("msgpack".to_owned()),
                    payload: Payload::Bytes(Blob::new(value)),
                };
                if is_delta {
                    ChannelStored::Seed(value)
                } else {
                    ChannelStored::Value(value)
                }
            }
            Channel::Unknown => {
                let value = transaction.chunks.value(found, 2, &binding)?;
                bytes += value.payload.as_slice().len();
                ChannelStored::Checkpoint(value)
            }
            Channel::Missing if counts(metadata, channel) => match &parent {
                Some(parent) => ChannelStored::Writes(writes(transaction, &key, parent, channel)?),
                None => continue,
            },
            Channel::Missing => continue,
        };
        if let ChannelStored::Writes(writes) = &stored {
            let lengths = writes.iter().map(|write| write.value.payload.as_slice().len());
            bytes += lengths.sum::<usize>();
        }
        page.next = Some(key.checkpoint_id.clone());
        page.entries.push(ChannelEntry {
            checkpoint_id: key.checkpoint_id,
            stored,
        });
        if page.entries.len() >= limit || bytes > PAGE_BYTES {
            return Ok(page);
        }
    }
    page.next = None;
    Ok(page)
}

/// Whether the channel is one that counts its updates since a snapshot.
fn counts(metadata: Option<&[u8]>, channel: &str) -> bool {
    let metadata: Option<serde_json::Value> =
        metadata.and_then(|metadata| serde_json::from_slice(metadata).ok());
    metadata.is_some_and(|metadata| {
        metadata
            .get("counters_since_delta_snapshot")
            .and_then(|counters| counters.get(channel))
            .is_some()
    })
}

fn writes(
    transaction: &ReadTransaction<'_>,
    key: &CheckpointKey,
    parent: &str,
    channel: &str,
) -> Result<Vec<StoredWrite>> {
    let key = CheckpointKey {
        checkpoint_id: parent.to_owned(),
        ..key.clone()
    };
    let mut by_channel = transaction
        .connection
        .prepare_cached(transaction.statements.by_channel)?;
    let place = params![key.thread_id, key.checkpoint_ns, key.checkpoint_id, channel];
    row::writes(&transaction.chunks, &mut by_channel, place, &key)
}
