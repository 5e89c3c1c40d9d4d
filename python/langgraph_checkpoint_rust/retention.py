"""What a saver deletes by itself, or when `apply_retention` is called.

Example:
    >>> from datetime import timedelta
    >>> from langgraph_checkpoint_rust import RetentionPolicy, RustSqliteSaver
    >>> policy = RetentionPolicy(keep_last=50, done_after=timedelta(days=30))
    >>> RustSqliteSaver(":memory:").apply_retention(policy).threads
    ()
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, TypedDict

from langgraph_checkpoint_rust import _config

if TYPE_CHECKING:
    from datetime import timedelta

    from langgraph_checkpoint_rust._rows import Policy

__all__ = ["RetentionPolicy", "TimeToLive"]

_MOST_KEPT = 2**31
_MOST_BYTES = 2**62
_SWEEP_INTERVAL_MINUTES = 60.0
_MOST_MINUTES = 10**8


class TimeToLive(TypedDict, total=False):
    """How long threads live, in the words of LangGraph's Redis savers.

    Attributes:
        default_ttl: Minutes after its last checkpoint that a thread goes, unless `set_ttl` says otherwise;
            None for no default.
        refresh_on_read: Whether `get_tuple` begins that time anew.
        sweep_interval_minutes: How often a thread of the engine deletes what goes; 60 if it is left out.

    Example:
        >>> from langgraph_checkpoint_rust import RustSqliteSaver, TimeToLive
        >>> ttl: TimeToLive = {"default_ttl": 60 * 24, "refresh_on_read": True}
        >>> RustSqliteSaver(":memory:", ttl=ttl).get_tuple({"configurable": {"thread_id": "1"}}) is None
        True
    """

    default_ttl: float | None
    refresh_on_read: bool
    sweep_interval_minutes: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetentionPolicy:
    """What may be deleted. Times are timedeltas or seconds; None for no limit.

    Pinned threads are left alone. Of all others history goes as `prune` deletes it: what a kept checkpoint
    needs stays. The time of a checkpoint is the one in its id, or its `ts`.

    Attributes:
        keep_last: So many of the newest checkpoints of each namespace stay.
        max_age: Checkpoints that are older go, but for the newest. With `keep_last` only what both let go.
        thread_idle_for: Threads whose last checkpoint is older go, whatever they wait for.
        done_after: Threads go so long after their last checkpoint if they have nothing left to do: no node to
            run, no interrupt, no error. Where only the serializer can tell, as in encrypted data, they stay.
        max_bytes: If the file uses more, the threads that are idle longest go, whatever they wait for, but
            none that got a checkpoint within the last hour.
        archive_to: A database that threads are copied to, and read back from, before they are deleted.

    Raises:
        TypeError: If a value is of the wrong type.
        ValueError: If a value is out of range.

    Example:
        >>> from datetime import timedelta
        >>> from langgraph_checkpoint_rust import RetentionPolicy
        >>> RetentionPolicy(keep_last=50, thread_idle_for=timedelta(days=90)).keep_last
        50
    """

    keep_last: int | None = None
    max_age: timedelta | float | None = None
    thread_idle_for: timedelta | float | None = None
    done_after: timedelta | float | None = None
    max_bytes: int | None = None
    archive_to: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        _config.whole_number("keep_last", self.keep_last, 1, _MOST_KEPT)
        _config.whole_number("max_bytes", self.max_bytes, 0, _MOST_BYTES)
        for name in ("max_age", "thread_idle_for", "done_after"):
            _milliseconds(name, getattr(self, name))
        if self.archive_to is not None:
            os.fspath(self.archive_to)


def policy_of(retention: RetentionPolicy | None, ttl: TimeToLive | None) -> Policy | None:
    """What the native half takes."""
    if retention is None and ttl is None:
        return None
    if retention is not None and not isinstance(retention, RetentionPolicy):
        raise TypeError(f"retention must be a RetentionPolicy, not {type(retention).__name__}")
    ttl = _checked(ttl)
    rules = retention or RetentionPolicy()
    interval = ttl.get("sweep_interval_minutes", _SWEEP_INTERVAL_MINUTES)
    return (
        rules.keep_last,
        _milliseconds("max_age", rules.max_age),
        _milliseconds("thread_idle_for", rules.thread_idle_for),
        _milliseconds("done_after", rules.done_after),
        rules.max_bytes,
        None if rules.archive_to is None else os.fspath(rules.archive_to),
        minutes_to_milliseconds("default_ttl", ttl.get("default_ttl")),
        (minutes_to_milliseconds("sweep_interval_minutes", interval) or 0) / 1000,
    )


def minutes_to_milliseconds(name: str, minutes: float | None) -> int | None:
    """Minutes as the engine counts them."""
    if minutes is None:
        return None
    if isinstance(minutes, bool) or not isinstance(minutes, (int, float)):
        raise TypeError(f"{name} must be a number of minutes, not {type(minutes).__name__}")
    if not 0 < minutes <= _MOST_MINUTES:
        raise ValueError(f"{name} must be above 0 and at most {_MOST_MINUTES} minutes, not {minutes}")
    return max(1, round(minutes * 60_000))


def _milliseconds(name: str, time: timedelta | float | None) -> int | None:
    return None if time is None else round(_config.seconds(name, time) * 1000)


def _checked(ttl: TimeToLive | None) -> TimeToLive:
    if ttl is None:
        return {}
    if not isinstance(ttl, dict):
        raise TypeError(f"ttl must be a dict, not {type(ttl).__name__}")
    unknown = ttl.keys() - TimeToLive.__annotations__.keys()
    if unknown:
        known = ", ".join(TimeToLive.__annotations__)
        raise ValueError(f"unknown in ttl: {', '.join(sorted(map(str, unknown)))}; known: {known}")
    if not isinstance(ttl.get("refresh_on_read", False), bool):
        raise TypeError("refresh_on_read must be a bool")
    return ttl
