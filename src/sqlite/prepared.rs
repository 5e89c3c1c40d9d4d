//! A value on its way into a row: divided before the transaction, stored inside it.

use std::sync::Arc;

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::chunks;
use super::threads::Noting;
use super::transaction::WriteTransaction;
use crate::chunk::{self, Binding, Draft, Kind, Known, Recipe, Seal};
use crate::error::{Error, Result};
use crate::model::{Compression, Format, Payload, TypedValue};
use crate::progress;

/// A value, and what is known of it before its transaction.
pub(super) struct Prepared {
    value: TypedValue,
    kind: Kind,
    /// The value before this one, which it may resemble.
    base: Option<Arc<Known>>,
    /// Its bytes are a serializer's that is known: they may be stored in parts.
    chunkable: bool,
    compression: Compression,
    divided: Option<(Arc<Draft>, Seal)>,
}

/// What goes into the columns of a row.
pub(super) struct Columns<'a> {
    pub(super) tag: Option<&'a str>,
    pub(super) data: Data<'a>,
    /// The draft and its chunks, if there are any.
    pub(super) known: Option<Known>,
}

/// The bytes of a row.
pub(super) enum Data<'a> {
    Whole(&'a Payload),
    Recipe(Vec<u8>),
}

impl ToSql for Data<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Whole(payload) => payload.to_sql(),
            Self::Recipe(bytes) => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(bytes))),
        }
    }
}

impl Data<'_> {
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Whole(payload) => payload.as_slice().len(),
            Self::Recipe(bytes) => bytes.len(),
        }
    }
}

impl Prepared {
    /// The nodes that a checkpoint runs next; `None` if only its serializer can read it.
    pub(super) fn next_nodes(&self) -> Option<Vec<String>> {
        match &self.divided {
            Some((draft, _)) => draft.next_nodes(),
            None if self.value.tag.as_deref() == Some("msgpack") => {
                progress::next_nodes(self.value.payload.as_slice())
            }
            None => None,
        }
    }

    pub(super) fn new(
        kind: Kind,
        value: TypedValue,
        chunkable: bool,
        base: Option<Arc<Known>>,
        compression: Compression,
    ) -> Self {
        Self {
            compression,
            chunkable: chunkable && value.is_plain(),
            value,
            kind,
            base,
            divided: None,
        }
    }

    /// Divides the value: the work that needs no lock.
    pub(super) fn divide(&mut self, binding: &Binding<'_>) {
        if let (true, None, Some(tag), Payload::Bytes(blob)) = (
            self.chunkable,
            &self.divided,
            &self.value.tag,
            &self.value.payload,
        ) {
            let previous = self.base.as_ref().map(|known| &*known.draft);
            let draft = Draft::new(self.kind, tag, blob.clone(), previous, self.compression);
            let seal = draft.seal(binding);
            self.divided = Some((Arc::new(draft), seal));
        }
    }

    /// The columns, with all chunks stored.
    pub(super) fn store(
        &mut self,
        transaction: &WriteTransaction<'_>,
        binding: &Binding<'_>,
        noting: &mut Noting<'_>,
    ) -> Result<Columns<'_>> {
        if self.value.tag.as_deref() == Some(chunk::TAG) {
            return Err(Error::Invalid(format!(
                "the tag `{}` is taken; a serializer must use another",
                chunk::TAG
            )));
        }
        if transaction.format.get() == Format::Compact {
            // Already done, unless the file was upgraded since.
            self.divide(binding);
            if let Some((draft, seal)) = &self.divided {
                return self.store_recipe(noting, draft, *seal, transaction.epoch);
            }
        }
        Ok(Columns {
            tag: self.value.tag.as_deref(),
            data: Data::Whole(&self.value.payload),
            known: None,
        })
    }

    fn store_recipe(
        &self,
        noting: &mut Noting<'_>,
        draft: &Arc<Draft>,
        seal: Seal,
        epoch: u64,
    ) -> Result<Columns<'_>> {
        let ids = if draft.is_inline() {
            None
        } else {
            Some(chunks::store(noting, draft, self.base.as_deref(), epoch)?)
        };
        let recipe = Recipe {
            seal,
            thread_no: ids.as_ref().map_or(0, |ids| ids.thread_no),
            tag: draft.tag().into(),
            length: draft.length(),
            inline: draft.inline(),
            ops: ids.as_ref().map_or_else(Vec::new, |ids| draft.ops(ids)),
        };
        let data = Data::Recipe(recipe.encode());
        Ok(Columns {
            tag: Some(chunk::TAG),
            data,
            known: ids.map(|ids| Known {
                draft: Arc::clone(draft),
                ids,
                seal,
            }),
        })
    }
}
