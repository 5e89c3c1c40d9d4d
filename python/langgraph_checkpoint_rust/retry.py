"""When a call of the engine that failed is made again.

Example:
    >>> from langgraph_checkpoint_rust import RetryPolicy, RustSqliteSaver
    >>> saver = RustSqliteSaver(":memory:", retry=RetryPolicy(attempts=5, deadline=10.0))
    >>> saver.get_tuple({"configurable": {"thread_id": "1"}}) is None
    True
"""

from __future__ import annotations

import dataclasses
import logging
import random
from time import monotonic
from typing import TYPE_CHECKING, Any

from langgraph_checkpoint_rust import _config
from langgraph_checkpoint_rust._bridge import Pause
from langgraph_checkpoint_rust.errors import (
    DatabaseBusyError,
    DatabaseError,
    DatabaseInUseError,
    DiskFullError,
    PoolTimeoutError,
)
from langgraph_checkpoint_rust.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._core import Call
    from langgraph_checkpoint_rust.events import Emitter

__all__ = ["RetryPolicy"]

_PRIMARY_CODE = 0xFF
_TRANSIENT = {5, 6, 10, 15}
"""SQLITE_BUSY, SQLITE_LOCKED, SQLITE_IOERR, SQLITE_PROTOCOL: https://sqlite.org/rescode.html."""
_MOST_ATTEMPTS = 10_000

_logger = logging.getLogger("langgraph_checkpoint_rust.retry")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Repeats what failed because somebody else was in the way, or because of the disk.

    Repeated are `DatabaseBusyError`, `PoolTimeoutError`, `DatabaseInUseError`, and `DatabaseError` of an I/O
    error: after each of them nothing of the call was stored. Never `OutcomeUnknownError`, after which it may
    have been: read back first. The call is made with the bytes of the first attempt. Pauses are random, up to
    a length that grows (exponential backoff with full jitter), so that processes that met do not meet again.

    Attributes:
        attempts: Attempts at most, the first among them; None for no limit.
        deadline: Seconds after the first attempt began in which another may begin; None for no limit. An
            attempt itself may take `busy_timeout`: make that shorter where a retry is to take its place.
        base: Seconds of the first pause, at most.
        factor: By how much each pause may be longer than the one before.
        longest: Seconds of a pause, at most.
        jitter: The part of a pause that is random: 1 for all of it, 0 for none.
        disk_full: Whether `DiskFullError` is repeated too.

    Raises:
        TypeError: If a value is of the wrong type.
        ValueError: If a value is out of range, or there is no limit at all.

    Example:
        >>> from langgraph_checkpoint_rust import RetryPolicy
        >>> RetryPolicy(attempts=4, jitter=0).pauses()
        [0.05, 0.1, 0.2]
    """

    attempts: int | None = 6
    deadline: float | None = 60.0
    base: float = 0.05
    factor: float = 2.0
    longest: float = 5.0
    jitter: float = 1.0
    disk_full: bool = False

    def __post_init__(self) -> None:
        _config.whole_number("attempts", self.attempts, 1, _MOST_ATTEMPTS)
        for name in ("deadline", "base", "longest"):
            if getattr(self, name) is not None:
                _config.seconds(name, getattr(self, name))
        if self.attempts is None and self.deadline is None:
            raise ValueError("a RetryPolicy needs attempts or a deadline: without both it would never end")
        if not isinstance(self.factor, (int, float)) or self.factor < 1:
            raise ValueError(f"factor must be a number of at least 1, not {self.factor!r}")
        if not isinstance(self.jitter, (int, float)) or not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be a number between 0 and 1, not {self.jitter!r}")

    def repeats(self, error: BaseException) -> bool:
        """Whether a call that raised this is worth another attempt, and may be made again.

        Args:
            error: The error.

        Returns:
            True if so.

        Example:
            >>> from langgraph_checkpoint_rust import RetryPolicy
            >>> from langgraph_checkpoint_rust.errors import DatabaseBusyError, OutcomeUnknownError
            >>> RetryPolicy().repeats(DatabaseBusyError()), RetryPolicy().repeats(OutcomeUnknownError())
            (True, False)
        """
        if isinstance(error, DatabaseError):
            return error.sqlite_errorcode & _PRIMARY_CODE in _TRANSIENT
        if isinstance(error, DiskFullError):
            return self.disk_full
        return isinstance(error, (DatabaseBusyError, PoolTimeoutError, DatabaseInUseError))

    def pauses(self) -> list[float]:
        """The longest that each pause may be, in seconds; of a policy without `attempts` the first ten.

        Returns:
            The seconds.

        Example:
            >>> from langgraph_checkpoint_rust import RetryPolicy
            >>> RetryPolicy(attempts=3, base=1.0, longest=1.5).pauses()
            [1.0, 1.5]
        """
        return [self._longest_after(attempt) for attempt in range(1, self.attempts or 11)]

    def _longest_after(self, attempt: int) -> float:
        # The exponent is bounded where a float ends.
        return float(min(self.longest, self.base * self.factor ** min(attempt - 1, 64)))

    def _pause(self, error: BaseException, attempt: int, elapsed: float) -> float | None:
        """Seconds to wait after an attempt; None to give up."""
        if not self.repeats(error) or attempt == self.attempts:
            return None
        longest = self._longest_after(attempt)
        pause = longest - self.jitter * random.uniform(0, longest)  # noqa: S311 - no secret
        if self.deadline is not None and elapsed + pause >= self.deadline:
            return None
        return pause

    def carried_out(self, verb: str, call: Callable[[], Call], emit: Emitter) -> Steps[Any]:
        """The steps of a call that is made until it succeeds, or this policy ends."""
        started, attempt = monotonic(), 1
        while True:
            try:
                return (yield call())
            except Exception as error:
                pause = self._pause(error, attempt, monotonic() - started)
                if pause is None:
                    raise
                name = type(error).__name__
            _logger.warning("%s: attempt %d raised %s; again in %.3f s", verb, attempt, name, pause)
            emit(Event("retry", verb, pause, error=name, attempt=attempt))
            yield Pause(pause)
            attempt += 1
