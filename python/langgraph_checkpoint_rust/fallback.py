"""`fallback="memory"`: verbs go on in memory where the database cannot be opened or written.

The database in memory begins empty: what the file holds cannot be read meanwhile, so a thread begins anew.
What is stored there is lost with the process, unless `end_fallback` brings it into the file.

Example:
    >>> from langgraph_checkpoint_rust import RustSqliteSaver
    >>> saver = RustSqliteSaver("app.db", fallback="memory")
    >>> saver.get_tuple({"configurable": {"thread_id": "1"}}) is None
    True
    >>> saver.is_degraded
    False
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from langgraph_checkpoint_rust._core import SqliteBackend
from langgraph_checkpoint_rust.errors import (
    DatabaseBusyError,
    DatabaseError,
    DatabaseOpenError,
    DatabaseReplacedError,
    DiskFullError,
    ForeignSqliteError,
    OutcomeUnknownError,
    ReadOnlyError,
    UnsupportedFilesystemError,
)
from langgraph_checkpoint_rust.events import Event

if TYPE_CHECKING:
    from langgraph_checkpoint_rust._requests import Request
    from langgraph_checkpoint_rust._rows import Policy
    from langgraph_checkpoint_rust.events import Emitter
    from langgraph_checkpoint_rust.settings import SqliteSettings

_REASONS = (
    DatabaseBusyError,
    DatabaseError,
    DatabaseOpenError,
    DatabaseReplacedError,
    DiskFullError,
    ForeignSqliteError,
    OutcomeUnknownError,
    ReadOnlyError,
    UnsupportedFilesystemError,
)
_REQUESTS = frozenset({"delete_threads", "put", "put_writes", "setup"})
"""What LangGraph stores, and the opening, which every verb begins with. Other verbs raise."""
_STORING = frozenset({"put", "put_writes"})

_logger = logging.getLogger("langgraph_checkpoint_rust.fallback")


class Fallback:
    """Whether a store goes on in memory."""

    def __init__(self, settings: SqliteSettings, policy: Policy | None, emit: Emitter) -> None:
        self._settings = settings.replace({"read_only": False})
        self._policy = policy
        self._emit = emit
        self._lock = threading.Lock()
        self.memory: SqliteBackend | None = None
        """The database in memory, while the store is degraded."""

    def instead_of(self, request: Request, error: Exception) -> Request | None:
        """The request to the database in memory; None if the error is the caller's to handle."""
        if request.verb not in _REQUESTS or not isinstance(error, _REASONS):
            return None
        memory = self._degrade(error)
        if request.tenant is not None:
            memory = memory.scoped(request.tenant)
        elif request.backend is memory:
            return None
        arguments = request.arguments
        if request.verb in _STORING:
            # The lease was one of the file's.
            arguments = (*arguments[:-1], None)
        return request._replace(backend=memory, arguments=arguments)

    def _degrade(self, error: Exception) -> SqliteBackend:
        with self._lock:
            memory, first = self.memory, self.memory is None
            if memory is None:
                memory = self.memory = SqliteBackend(None, self._settings, self._policy)
        if first:
            name = type(error).__name__
            _logger.error(
                "the database cannot be used (%s): going on IN MEMORY. Until end_fallback() succeeds, what "
                "the file holds cannot be read, and what is stored is lost with the process: %s",
                name,
                error,
            )
            self._emit(Event("fallback", error=name))
        return memory

    def ended(self) -> None:
        """The file is used again. The database in memory is the caller's to close."""
        with self._lock:
            self.memory = None
        _logger.warning("the database is used again")

    def close(self) -> None:
        """Closes the database in memory."""
        memory = self.memory
        if memory is not None:
            memory.close()

    def after_fork(self) -> None:
        """Forgets a lock that a thread of the parent may have held. The memory stays the parent's."""
        self._lock = threading.Lock()
