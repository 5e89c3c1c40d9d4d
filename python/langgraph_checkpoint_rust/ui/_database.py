"""The file that the pages are about."""

from __future__ import annotations

import copy
import os
import struct
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.inspection import PlainSerializer
from langgraph_checkpoint_rust.ui._figure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.base import CheckpointTuple

_BUSY_TIMEOUT = 5.0
"""Seconds that a page waits for a file in `journal_mode=DELETE` that is being written."""
_LARGEST_PAGE = 65536
"""Its size does not fit the header, which says 1."""
_HEADER = struct.Struct(">16xHB9xI4xI")
_ROLLBACK_JOURNAL = 1


class Header(NamedTuple):
    """What a SQLite file says of itself in its first bytes, as of the last checkpoint of its WAL."""

    page_size: int
    journal: int
    """1 with a rollback journal, 2 with a WAL; 0 in a file that is still empty."""
    pages: int
    free_pages: int


class WeighingSerializer(PlainSerializer):
    """A `PlainSerializer` that knows how many bytes it read."""

    def __init__(self) -> None:
        self.bytes = 0

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """As `PlainSerializer.loads_typed`."""
        self.bytes += len(data[1] or b"")
        return super().loads_typed(data)


class Database:
    """A read-only saver that is opened when it is first needed.

    Args:
        path: The file.
        redact: Whether values that look like secrets are hidden.
    """

    def __init__(self, path: str | os.PathLike[str], *, redact: bool) -> None:
        self.path = os.path.abspath(path)  # noqa: PTH100 (keeps what `..` and symbolic links mean)
        self.name = os.path.basename(path)  # noqa: PTH119 (may be any `PathLike`)
        self.redact = redact
        self._saver: RustSqliteSaver | None = None
        self._descriptor: int | None = None
        self._lock = threading.Lock()
        self._figures: dict[str, Figure] = {}

    @property
    def saver(self) -> RustSqliteSaver:
        """The saver, which reads plain values."""
        with self._lock:
            if self._saver is None:
                # A read-only saver changes no journal, but refuses a WAL where it would lose data.
                rollback = self._header().journal == _ROLLBACK_JOURNAL
                self._saver = RustSqliteSaver(
                    self.path,
                    serde=PlainSerializer(),
                    read_only=True,
                    busy_timeout=_BUSY_TIMEOUT,
                    journal_mode="DELETE" if rollback else "WAL",
                )
            return self._saver

    def close(self) -> None:
        """Closes the file; the next use opens it again."""
        with self._lock:
            saver, self._saver = self._saver, None
            descriptor, self._descriptor = self._descriptor, None
            self._figures = {}
            if saver is not None:
                saver.close()
            # Last, since it drops the locks that this process has on the file.
            if descriptor is not None:
                os.close(descriptor)

    def header(self) -> Header:
        """What the file says of itself now."""
        with self._lock:
            return self._header()

    def _header(self) -> Header:
        if self._descriptor is None and os.path.exists(self.path):  # noqa: PTH110 (a path, not a `Path`)
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        # What is not there the saver has an error for.
        found = b"" if self._descriptor is None else os.pread(self._descriptor, _HEADER.size, 0)
        header = Header(*_HEADER.unpack(found.ljust(_HEADER.size, b"\0")))
        return header._replace(page_size=_LARGEST_PAGE) if header.page_size == 1 else header

    def load(
        self, thread_id: str, checkpoint_ns: str, checkpoint_id: str
    ) -> tuple[CheckpointTuple | None, int]:
        """A checkpoint, and the bytes of its state and writes."""
        reader = copy.copy(self.saver)
        reader.serde = weighing = WeighingSerializer()
        found = reader.get_tuple(
            {
                "configurable": {
                    "thread_id": thread_id,
                    "checkpoint_ns": checkpoint_ns,
                    "checkpoint_id": checkpoint_id,
                }
            }
        )
        return found, weighing.bytes

    def figure(self, name: str, look_up: Callable[[], Any], patience: float | None = None) -> Any:
        """A figure of the file, at most a few seconds old; older if it takes long to look up.

        Args:
            name: Its name.
            look_up: What tells it.
            patience: Seconds to wait for a new one; None for as long as it takes.

        Returns:
            The figure, or None if it takes longer and none is known yet.
        """
        with self._lock:
            figure = self._figures.setdefault(name, Figure(look_up))
        return figure.get(patience)
