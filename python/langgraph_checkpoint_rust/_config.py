"""Configs, filters and limits to what the native half takes; wrong ones to errors that name them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from langgraph.checkpoint.base import get_checkpoint_id

from langgraph_checkpoint_rust.errors import MissingKeyError

_WRITE_LIKE = re.compile(r'["\\\x00-\x1f\x7f\ud800-\udfff]')
"""What a filter key may not hold: it could end the quoted member of a JSON path, or is no text."""

_THREAD_ADVICE = 'pass {"configurable": {"thread_id": ...}}'
_MOST_INTEGER = 2**63
_MOST_SECONDS = 10**10


def configurable(config: Any) -> Mapping[str, Any]:
    """The `configurable` part of a config."""
    # An abstract class is asked last: that takes ten times as long.
    if not isinstance(config, (dict, Mapping)):
        raise TypeError(f"config must be a mapping, not {type(config).__name__}")
    part = config.get("configurable")
    if part is None:
        raise MissingKeyError('config has no "configurable"; pass {"configurable": {"thread_id": ...}}')
    if not isinstance(part, (dict, Mapping)):
        raise TypeError(f'config["configurable"] must be a mapping, not {type(part).__name__}')
    return part


def key(config: Any) -> tuple[str, str, str | None]:
    """What a config names: the thread, the namespace, and the checkpoint or None.

    Numbers and UUIDs become text, as upstream converts them. The namespace is `""`, the root graph's, if
    none is given.
    """
    part = configurable(config)
    thread = part.get("thread_id")
    if thread is None:
        raise _missing("thread_id", _THREAD_ADVICE)
    namespace, checkpoint = part.get("checkpoint_ns"), get_checkpoint_id(config)
    return (
        str(thread),
        "" if namespace is None else str(namespace),
        str(checkpoint) if checkpoint else None,
    )


def thread_id(config: Any) -> str:
    """The thread alone, as in `key`."""
    return _required(config, "thread_id", _THREAD_ADVICE)


def checkpoint_id(config: Any) -> str | None:
    """The checkpoint alone, as in `key`."""
    configurable(config)
    found = get_checkpoint_id(config)
    return str(found) if found else None


def required_checkpoint_id(config: Any) -> str:
    """The checkpoint that a task's writes belong to."""
    return _required(config, "checkpoint_id", "pass the config of the checkpoint that the task ran from")


def _required(config: Any, key: str, advice: str) -> str:
    value = configurable(config).get(key)
    if value is None:
        raise _missing(key, advice)
    return str(value)


def _missing(key: str, advice: str) -> MissingKeyError:
    return MissingKeyError(f'config["configurable"] has no "{key}"; {advice}')


def id_of(checkpoint: Any) -> Any:
    """The id of a checkpoint, unconverted."""
    if not isinstance(checkpoint, (dict, Mapping)):
        raise TypeError(f"checkpoint must be a mapping, not {type(checkpoint).__name__}")
    if checkpoint.get("id") is None:
        raise MissingKeyError(
            'checkpoint has no "id"; checkpoints are made by langgraph or empty_checkpoint()'
        )
    return checkpoint["id"]


def list_filter(config: Any, filter_: Any, before: Any) -> tuple[Any, ...] | None:
    """What `list` selects; None if nothing can match."""
    if before is not None:
        before = checkpoint_id(before)
        if before is None:
            # Upstream compares with NULL here, which no row passes.
            return None
    selected = [] if filter_ is None else conditions(filter_)
    if config is None:
        return (None, None, None, before, selected)
    namespace = configurable(config).get("checkpoint_ns")
    return (
        thread_id(config),
        None if namespace is None else str(namespace),
        checkpoint_id(config),
        before,
        selected,
    )


def conditions(filter_: Any) -> list[tuple[str, str | None, Any]]:
    """A filter on JSON: the paths of each key, and the value it must have."""
    if not isinstance(filter_, Mapping):
        raise TypeError(f"filter must be a mapping, not {type(filter_).__name__}")
    return [(*_paths(key), _comparable(value)) for key, value in filter_.items()]


def _paths(key: Any) -> tuple[str, str | None]:
    """The JSON paths of a filter key. A dotted one means a path first, as upstream reads it."""
    if not isinstance(key, str):
        raise TypeError(f"filter keys must be str, not {type(key).__name__}")
    if not key or _WRITE_LIKE.search(key):
        raise ValueError(
            f"Invalid filter key: {key!r}. Filter keys must be text without quotes, backslashes and "
            "control characters."
        )
    literal = f'$."{key}"'
    parts = key.split(".")
    if len(parts) == 1 or not all(parts):
        return literal, None
    return "$" + "".join(f'."{part}"' for part in parts), literal


def _comparable(value: Any) -> Any:
    if value is None or isinstance(value, (str, float)):
        return value
    if isinstance(value, int):
        if not -_MOST_INTEGER <= value < _MOST_INTEGER:
            raise ValueError("a filter compares with integers of at most 64 bits")
        return int(value)
    if isinstance(value, (dict, list)):
        # SQLite returns nested JSON without white space.
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return str(value)


def limit(value: Any) -> int | None:
    """The most tuples to return; None for all, which a negative number means in SQL."""
    if value is None:
        return None
    if not isinstance(value, int):
        raise TypeError(f"limit must be an int or None, not {type(value).__name__}")
    return None if value < 0 else value


def seconds(name: str, value: Any) -> float:
    """A span of time in seconds."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a timedelta or seconds, not {type(value).__name__}")
    if not 0 <= value <= _MOST_SECONDS:
        raise ValueError(f"{name} must be between 0 and {_MOST_SECONDS} seconds, not {value}")
    return float(value)


def whole_number(name: str, value: Any, lowest: int, highest: int) -> None:
    """Refuses what is neither None nor an int in these limits."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not lowest <= value <= highest:
        raise ValueError(f"{name} must be between {lowest} and {highest}, not {value}")


def texts(name: str, values: Any) -> list[str]:
    """A sequence of ids. A single `str` is a sequence of letters, surely by mistake."""
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{name} must be a sequence of IDs, not a {type(values).__name__}")
    return [str(value) for value in values]
