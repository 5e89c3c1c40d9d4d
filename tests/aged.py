"""Checkpoints that were made some time ago."""

from __future__ import annotations

import time
import uuid
from typing import Any

from helpers import checkpoint_of, config_of
from langgraph.checkpoint.base.id import uuid6


def id_made(age: float) -> str:
    """An id of version 6 that was made so many seconds ago."""
    steps = int((time.time() - age) * 10**7) + 0x01B21DD213814000
    fields = (steps >> 28, steps >> 12 & 0xFFFF, 0x6000 | steps & 0xFFF, *uuid6().fields[3:])
    return str(uuid.UUID(fields=fields))


def put_aged(saver: Any, ages: list[float], thread_id: str = "1", checkpoint_ns: str = "") -> list[str]:
    """Stores checkpoints that were made so many seconds ago; their ids."""
    made, config = [], config_of(thread_id, checkpoint_ns)
    for age in ages:
        checkpoint = checkpoint_of(None, {"age": age}, id=id_made(age))
        config = saver.put(config, checkpoint, {"parents": {}}, {})
        made.append(checkpoint["id"])
    return made


def put_new(saver: Any, length: int, thread_id: str, *, start: int = 1) -> list[Any]:
    """Stores checkpoints that are made now, each the parent of the next; their configs."""
    stored, config = [], config_of(thread_id)
    last = next(iter(saver.list(config, limit=1)), None)
    config = last.config if last else config
    for number in range(start, start + length):
        checkpoint = checkpoint_of(None, {"count": number}, id=str(uuid6()))
        config = saver.put(config, checkpoint, {"parents": {}, "step": number}, {})
        stored.append(config)
    return stored
