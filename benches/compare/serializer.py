"""RustSerializer against JsonPlusSerializer: the same values, interleaved, medians.

Run: `python benches/compare/serializer.py [--quick]`. Equal bytes are checked before a pair is timed.
The floor: `pickle.loads` of the same plain dicts (objects made in C, no validation), and of the messages.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import pickle
import platform
import random
import statistics
import string
import sys
import time
import uuid
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Send
from pydantic import BaseModel

from langgraph_checkpoint_rust.serde import RustSerializer

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (2, 20, 200, 1000, 5000)


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


def paired(ours: Callable[[], Any], theirs: Callable[[], Any], seconds: float) -> tuple[float, float]:
    """Medians in microseconds; the two alternate, so that drift hits both."""
    pairs: list[tuple[float, float]] = []
    clock = time.perf_counter
    deadline = clock() + seconds
    while clock() < deadline or len(pairs) < 7:
        start = clock()
        ours()
        middle = clock()
        theirs()
        pairs.append((middle - start, clock() - middle))
    return statistics.median(p[0] for p in pairs) * 1e6, statistics.median(p[1] for p in pairs) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, for a smoke test")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    seconds = 0.1 if options.quick else 1.0
    versions = (
        "langgraph-checkpoint",
        "langchain-core",
        "pydantic",
        "ormsgpack",
        "numpy",
        "langgraph-checkpoint-rust",
    )
    print(platform.python_implementation(), platform.python_version(), platform.machine())
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in versions))
    heads = ("dumps", "upstream", "times", "loads", "upstream", "times")
    print(f"{'case':26} {'bytes':>9} |", *(f"{head:>9}" for head in heads), "| floor")
    theirs, ours = JsonPlusSerializer(), RustSerializer()
    slower = []
    for name, value in cases().items():
        if options.only not in name:
            continue
        typed = ours.dumps_typed(value)
        assert typed == theirs.dumps_typed(value), name
        dumped = paired(partial(ours.dumps_typed, value), partial(theirs.dumps_typed, value), seconds)
        loaded = paired(partial(ours.loads_typed, typed), partial(theirs.loads_typed, typed), seconds)
        plain = value["messages"] if isinstance(value, dict) and "messages" in value else None
        floor = ""
        if plain is not None:
            fields = pickle.dumps([m.model_dump() for m in plain])
            whole = pickle.dumps(plain)
            floors = paired(partial(pickle.loads, fields), partial(pickle.loads, whole), seconds / 4)
            floor = f"{floors[0]:.0f} dicts, {floors[1]:.0f} messages"
        ratios = dumped[1] / dumped[0], loaded[1] / loaded[0]
        slower += [f"{name}: {r:.2f}" for r in ratios if r < 0.95]
        print(
            f"{name:26} {len(typed[1]):9} | {dumped[0]:9.1f} {dumped[1]:9.1f} {ratios[0]:9.2f} "
            f"{loaded[0]:9.1f} {loaded[1]:9.1f} {ratios[1]:9.2f} | {floor}"
        )
    if slower:
        print("slower than 0.95x:", "; ".join(slower))
        sys.exit(1)


if __name__ == "__main__":
    main()
