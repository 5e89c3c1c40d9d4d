"""Looks at what is stored without importing the classes of the app that stored it.

Nothing here calls code that a stored value names, so a file of unknown origin can be looked at.

Example:
    >>> from langgraph.checkpoint.base import empty_checkpoint
    >>> from langgraph_checkpoint_rust import RustSqliteSaver
    >>> from langgraph_checkpoint_rust.inspection import PlainSerializer, diff, timeline
    >>> config = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
    >>> with RustSqliteSaver("app.db") as saver:
    ...     for words in (["hello"], ["hello", "world"]):
    ...         checkpoint = {**empty_checkpoint(), "channel_values": {"words": words}}
    ...         config = saver.put(config, checkpoint, {"source": "loop", "step": len(words)}, {})
    >>> with RustSqliteSaver("app.db", read_only=True, serde=PlainSerializer()) as saver:
    ...     print([(step.step, step.source, step.bytes > 0) for step in timeline(saver, "1")])
    ...     newer, older = (found.checkpoint["channel_values"] for found in saver.list(None))
    [(2, 'loop', True), (1, 'loop', True)]
    >>> [(change.where, change.kind, change.after) for change in diff(older, newer)]
    [('words[1]', 'added', 'world')]
"""

from __future__ import annotations

from langgraph_checkpoint_rust.inspection.differences import Change, diff
from langgraph_checkpoint_rust.inspection.plain import PlainSerializer, StoredObject, Unreadable
from langgraph_checkpoint_rust.inspection.rendering import as_json, redacted
from langgraph_checkpoint_rust.inspection.subgraphs import anamespaces, namespaces
from langgraph_checkpoint_rust.inspection.timelines import Branch, Step, atimeline, branches, timeline
from langgraph_checkpoint_rust.inspection.types import (
    StoredType,
    TypesReport,
    astored_types,
    stored_types,
    types_in,
)

__all__ = [
    "Branch",
    "Change",
    "PlainSerializer",
    "Step",
    "StoredObject",
    "StoredType",
    "TypesReport",
    "Unreadable",
    "anamespaces",
    "as_json",
    "astored_types",
    "atimeline",
    "branches",
    "diff",
    "namespaces",
    "redacted",
    "stored_types",
    "timeline",
    "types_in",
]
