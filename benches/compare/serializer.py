"""RustSerializer beside JsonPlusSerializer: the same values in turn, after their bytes were compared.

Floors: `ormsgpack` of the same fields as plain dicts, and `pickle` of those dicts (objects made in C, no
validation) and of the messages themselves.

    python benches/compare/serializer.py [--quick] [--only TEXT]
"""

from __future__ import annotations

import pickle
import random
import string
import time
import uuid
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import ormsgpack
from common import Results, main, microseconds
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Send
from pydantic import BaseModel

from langgraph_checkpoint_rust.serde import RustSerializer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    Contestants = dict[str, Callable[[], Any]]

SIZES = (2, 20, 200, 1000, 5000)
FEWEST = 7


class PydanticState(BaseModel):
    """A state as an app declares it."""

    messages: list[Any]
    plan: list[str] = []
    budget: float = 1.0


def text(source: random.Random, length: int) -> str:
    return "".join(source.choices(string.ascii_lowercase + "    ", k=length))


def message(source: random.Random, number: int) -> Any:
    """One of four in turn, about 650 bytes: a question, a tool call, its result, an answer."""
    tokens = {"input_tokens": number, "output_tokens": 40, "total_tokens": number + 40}
    meta = {"model_name": "gpt-5", "finish_reason": "stop", "system_fingerprint": "fp_1", "logprobs": None}
    ident = str(uuid.UUID(int=source.getrandbits(128)))
    match number % 4:
        case 0:
            return HumanMessage(text(source, 400), id=ident)
        case 1:
            call = {
                "name": "search",
                "args": {"query": text(source, 60), "limit": 5},
                "id": f"call_{number}",
                "type": "tool_call",
            }
            details = {
                "input_token_details": {"audio": 0, "cache_read": 0},
                "output_token_details": {"audio": 0, "reasoning": 0},
            }
            return AIMessage(
                "",
                tool_calls=[call],
                id=f"run-{ident}",
                response_metadata=meta,
                usage_metadata={**tokens, **details},
            )
        case 2:
            return ToolMessage(text(source, 500), tool_call_id=f"call_{number - 1}", name="search", id=ident)
        case _:
            return AIMessage(
                text(source, 450), id=f"run-{ident}", response_metadata=meta, usage_metadata=tokens
            )


def deep_dict(levels: int) -> Any:
    value: Any = {"leaf": 1}
    for level in range(levels):
        value = {"level": level, "inner": value, "note": "n", "list": [1, 2.5, None, True]}
    return value


def cases() -> dict[str, Any]:
    source = random.Random(7)
    messages = [message(source, number) for number in range(max(SIZES))]
    result: dict[str, Any] = {f"{n} messages": {"messages": messages[:n]} for n in SIZES}
    result["1000 human messages"] = [HumanMessage(text(source, 300), id=str(n)) for n in range(1000)]
    result["100 documents"] = [
        Document(text(source, 800), metadata={"source": f"s{n}", "page": n}) for n in range(100)
    ]
    result["system message"] = [SystemMessage(text(source, 2000))]
    result["200 KB string"] = {"page": text(source, 200_000)}
    result["200 KB string, not ASCII"] = {"page": "ü" + text(source, 200_000)}
    result["deep dict"] = deep_dict(80)
    result["wide dict"] = {f"key_{n}": {"n": n, "f": n / 3, "s": f"value {n}"} for n in range(2000)}
    result["numpy arrays, 8 KB"] = {"a": np.arange(1000.0), "b": np.zeros((10, 10), dtype=np.float32)}
    result["numpy array, 4 MB"] = {"a": np.arange(500_000.0)}
    result["pydantic state"] = PydanticState(
        messages=[{"role": "user", "content": text(source, 200)}] * 50, plan=["a"] * 20
    )
    result["sends with messages"] = [Send("node", {"messages": messages[:20]}) for _ in range(10)]
    result["datetimes and UUIDs"] = [(datetime.now(timezone.utc), uuid.UUID(int=n)) for n in range(200)]
    result["sets"] = [{1, 2, n} for n in range(200)]
    result["small checkpoint"] = {
        "v": 4,
        "id": str(uuid.uuid4()),
        "channel_values": {"count": 3},
        "channel_versions": {"count": "0001.5"},
    }
    return result


def measure(contestants: Contestants, seconds: float) -> dict[str, list[float]]:
    """Microseconds of each call; they take turns, so that drift hits all."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    deadline, rounds = time.perf_counter() + seconds, 0
    while time.perf_counter() < deadline or rounds < FEWEST:
        rounds += 1
        for name, call in contestants.items():
            taken[name].append(microseconds(call)[0])
    return taken


def run(options: argparse.Namespace, results: Results) -> None:
    seconds = 0.05 if options.quick else 0.8
    theirs, ours = JsonPlusSerializer(), RustSerializer()
    results.references["RustSerializer"] = "JsonPlusSerializer"
    for name, value in cases().items():
        if options.only not in name:
            continue
        typed = ours.dumps_typed(value)
        assert typed == theirs.dumps_typed(value), name
        revived = ours.loads_typed(typed), theirs.loads_typed(typed)
        assert theirs.dumps_typed(revived[0]) == theirs.dumps_typed(revived[1]), name
        dumps: Contestants = {
            "RustSerializer": partial(ours.dumps_typed, value),
            "JsonPlusSerializer": partial(theirs.dumps_typed, value),
        }
        loads: Contestants = {
            "RustSerializer": partial(ours.loads_typed, typed),
            "JsonPlusSerializer": partial(theirs.loads_typed, typed),
        }
        if isinstance(value, dict) and "messages" in value:
            held = value["messages"]
            fields = [each.model_dump() for each in held]
            for label, plain in (("dicts", fields), ("messages", held)):
                dumps[f"pickle, {label}"] = partial(pickle.dumps, plain)
                loads[f"pickle, {label}"] = partial(pickle.loads, pickle.dumps(plain))
            packed = ormsgpack.packb(fields)
            dumps["ormsgpack, dicts"] = partial(ormsgpack.packb, fields)
            loads["ormsgpack, dicts"] = partial(ormsgpack.unpackb, packed)
        case = f"{name} ({len(typed[1]):,} bytes)"
        for table, contestants in (("dumps", dumps), ("loads", loads)):
            for contestant, taken in measure(contestants, seconds).items():
                results.add(table, "µs", case, contestant, taken)


if __name__ == "__main__":
    main("serializer", __doc__, run)
