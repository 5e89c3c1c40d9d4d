"""What the stored state costs, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph_checkpoint_rust._rows import StorageFigures

_WORDS = ("live_bytes", "logical_bytes", "stored_bytes", "chunks")


def stats_of(figures: StorageFigures) -> dict[str, Any]:
    """The figures of `stats(by="channel")`."""
    (checkpoints, writes), metadata_bytes, write_bytes, costs = figures
    channels = {channel: dict(zip(_WORDS, cost, strict=True)) for channel, cost in costs.items()}
    sums = {word: sum(cost[word] for cost in channels.values()) for word in _WORDS}
    stored = sums["stored_bytes"]
    return {
        "checkpoints": checkpoints,
        "writes": writes,
        **sums,
        "metadata_bytes": metadata_bytes,
        "write_bytes": write_bytes,
        "ratio": round(sums["logical_bytes"] / stored, 1) if stored else 1.0,
        "channels": channels,
    }
