"""`mirror=`: a second copy of what is stored, in another file or another saver.

Each write goes to the mirror after it was stored, in order, from a queue, by a thread: off the caller's path.
It is a copy, no replica with consensus: what is in the queue is not in the mirror yet, and is lost with the
process.

Example:
    >>> from langgraph.checkpoint.base import empty_checkpoint
    >>> from langgraph_checkpoint_rust import RustSqliteSaver
    >>> with RustSqliteSaver("app.db", mirror="mirror.db") as saver:
    ...     stored = saver.put({"configurable": {"thread_id": "1"}}, empty_checkpoint(), {}, {})
    >>> RustSqliteSaver("mirror.db").get_tuple(stored) is not None
    True
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, TypeAlias

from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph_checkpoint_rust import _config

if TYPE_CHECKING:
    from typing import Any

    MirrorTarget: TypeAlias = "str | os.PathLike[str] | BaseCheckpointSaver[Any]"

__all__ = ["MirrorPolicy", "MirrorTarget"]

_MOST = 2**40


@dataclasses.dataclass(frozen=True)
class MirrorPolicy:
    """Where a mirror is, and how much may wait for it.

    What does not fit into the queue is not mirrored: its thread is marked, and copied as a whole with its
    next write, or by `mirror_resync`. The same goes for a write that the mirror refuses.

    Attributes:
        target: A path, or a saver. A saver of this package gets the stored bytes. Any other gets its public
            sync verbs called with decoded values, from a thread: `put`, `put_writes` and `delete_thread`.
        most_entries: Writes that may wait.
        most_bytes: Bytes of state that may wait; a single write may be larger.
        close_timeout: Seconds that closing the saver waits for the queue; what is left then is logged.

    Raises:
        TypeError: If a value is of the wrong type.
        ValueError: If a value is out of range.

    Example:
        >>> from langgraph_checkpoint_rust import MirrorPolicy, RustSqliteSaver
        >>> saver = RustSqliteSaver(":memory:", mirror=MirrorPolicy("mirror.db", most_entries=1000))
        >>> saver.close()
    """

    target: MirrorTarget
    most_entries: int = 10_000
    most_bytes: int = 64 * 2**20
    close_timeout: float = 10.0

    def __post_init__(self) -> None:
        if not isinstance(self.target, BaseCheckpointSaver):
            os.fspath(self.target)
        _config.whole_number("most_entries", self.most_entries, 1, _MOST)
        _config.whole_number("most_bytes", self.most_bytes, 1, _MOST)
        _config.seconds("close_timeout", self.close_timeout)
