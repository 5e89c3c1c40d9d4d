"""What tells the nodes that run next, of a checkpoint whose bytes only its own serializer can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

if TYPE_CHECKING:
    from collections.abc import Mapping

_SENDS = "__pregel_tasks"
_TRIGGERS = ("branch:to:", "join:", "__start__")
_serde = JsonPlusSerializer()


def outline(checkpoint: Mapping[str, Any]) -> bytes | None:
    """A checkpoint in msgpack with the same next nodes, and nothing of the user's but names of nodes.

    Args:
        checkpoint: The checkpoint.

    Returns:
        The bytes; None if it is no checkpoint of LangGraph's.
    """
    try:
        values = checkpoint["channel_values"]
        versions = {name: str(version) for name, version in checkpoint["channel_versions"].items()}
        seen = {
            node: {name: str(version) for name, version in of_node.items()}
            for node, of_node in checkpoint["versions_seen"].items()
        }
        triggers = {name: value for name, value in values.items() if name.startswith(_TRIGGERS)}
        if "__start__" in triggers:
            triggers["__start__"] = None
        if _SENDS in values:
            from langgraph.types import Send  # noqa: PLC0415

            triggers[_SENDS] = [Send(send.node, None) for send in values[_SENDS]]
        parts = {"channel_values": triggers, "channel_versions": versions, "versions_seen": seen}
        return _serde.dumps_typed(parts)[1]
    except (AttributeError, KeyError, TypeError, ImportError):
        return None
